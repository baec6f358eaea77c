//! How far messages may travel.

use std::collections::BTreeMap;

use super::Distance;
use crate::Name;

/// How far a message may travel, and what becomes of a cast that would have to go farther.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Horizon {
    /// The farthest.
    pub distance: Distance,
    /// A cast comes back to its sender ([`CallError::HorizonExceeded`](crate::CallError::HorizonExceeded)); without
    /// this it is dropped and counted. A call hears of it in any case.
    pub bounce: bool,
}

impl Horizon {
    /// Makes one that lets casts come back.
    #[must_use]
    pub const fn new(distance: Distance) -> Self {
        Self {
            distance,
            bounce: true,
        }
    }

    /// Lets casts be dropped that would have to go farther.
    #[must_use]
    pub const fn dropping(mut self) -> Self {
        self.bounce = false;
        self
    }

    /// Returns the nearer one. Of two that are equally far one that drops counts.
    fn nearer(self, other: Self) -> Self {
        let order = |it: &Self| (it.distance, it.bounce);
        if order(&other) < order(&self) {
            other
        } else {
            self
        }
    }
}

impl Default for Horizon {
    fn default() -> Self {
        Self::new(Distance::Remote)
    }
}

/// How far messages of all kinds may travel. The nearest of those that concern a message counts, its own
/// ([`Request::within`](crate::Request::within)) among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Horizons {
    /// Everything that this node sends.
    pub network: Horizon,
    /// What is for components of this node's app.
    pub app: Horizon,
    /// What is for a component, `app/name`.
    pub components: BTreeMap<Name, Horizon>,
    /// What belongs to a flow.
    pub flows: BTreeMap<Name, Horizon>,
}

impl Horizons {
    /// Tells whether all may travel as far as they like.
    pub(crate) fn is_endless(&self) -> bool {
        let is_set = |horizon: &Horizon| *horizon != Horizon::default();
        !is_set(&self.network)
            && !is_set(&self.app)
            && self.components.is_empty()
            && self.flows.is_empty()
    }

    /// Returns how far a message may go. `own`: the app is this node's.
    pub(crate) fn of(
        &self,
        message: Option<Horizon>,
        target: &Name,
        flow: &Name,
        own: bool,
    ) -> Horizon {
        let mut horizon = message.unwrap_or_default().nearer(self.network);
        if own {
            horizon = horizon.nearer(self.app);
        }
        // Most nodes have none of these.
        for (table, name) in [(&self.components, target), (&self.flows, flow)] {
            if !table.is_empty()
                && let Some(other) = table.get(name)
            {
                horizon = horizon.nearer(*other);
            }
        }
        horizon
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_counts() {
        use Distance::{Host, Network, Process, Remote};
        let named = |distance| BTreeMap::from([(Name::from("it"), Horizon::new(distance))]);
        // Network, app, component, flow, message: each is the nearest once.
        let table = [
            ([Host, Network, Network, Network, Network], Host),
            ([Network, Host, Remote, Remote, Remote], Host),
            ([Remote, Network, Process, Host, Network], Process),
            ([Remote, Remote, Remote, Host, Network], Host),
            ([Network, Network, Network, Network, Process], Process),
            ([Remote, Remote, Remote, Remote, Remote], Remote),
        ];
        for ([network, app, component, flow, message], expected) in table {
            let horizons = Horizons {
                network: Horizon::new(network),
                app: Horizon::new(app),
                components: named(component),
                flows: named(flow),
            };
            let (it, message) = ("it".into(), Some(Horizon::new(message)));
            assert_eq!(horizons.of(message, &it, &it, true).distance, expected);
            // What does not concern it does not count.
            let other = "other".into();
            let all = horizons.of(message, &other, &other, false).distance;
            assert_eq!(all, network.min(message.expect("it is there").distance));
        }
    }

    #[test]
    fn one_that_drops_says_what_becomes_of_casts_if_it_is_no_farther() {
        let horizons = Horizons {
            network: Horizon::new(Distance::Host).dropping(),
            ..Horizons::default()
        };
        let of = |message| horizons.of(message, &Name::empty(), &Name::empty(), false);
        assert!(!of(None).bounce);
        assert!(!of(Some(Horizon::new(Distance::Host))).bounce);
        assert!(of(Some(Horizon::new(Distance::Process))).bounce);
    }
}
