//! How far messages may travel.

use std::collections::BTreeMap;
use std::fmt;

use monofil_proto::{HorizonRef, wire};

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

impl fmt::Display for Horizon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let distance = self.distance;
        match self.bounce {
            true => write!(f, "{distance}"),
            false => write!(f, "{distance}, drop"),
        }
    }
}

/// Whose horizon it is that bounds a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HorizonOf {
    Message,
    Flow,
    Component,
    App,
    Network,
}

impl fmt::Display for HorizonOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Message => "its own",
            Self::Flow => "that of its flow",
            Self::Component => "that of the component",
            Self::App => "that of the app",
            Self::Network => "that of the network",
        })
    }
}

/// How far one message may travel, and who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    pub(crate) horizon: Horizon,
    pub(crate) of: HorizonOf,
}

impl Reach {
    /// Its sender says so.
    pub(crate) const fn own(horizon: Horizon) -> Self {
        Self {
            horizon,
            of: HorizonOf::Message,
        }
    }

    pub(crate) fn is_endless(&self) -> bool {
        self.horizon == Horizon::default()
    }

    fn nearer(self, horizon: Horizon, of: HorizonOf) -> Self {
        match self.horizon.nearer(horizon) == self.horizon {
            true => self,
            false => Self { horizon, of },
        }
    }

    pub(crate) fn to_wire(self) -> HorizonRef {
        let distance = match self.horizon.distance {
            Distance::Process => wire::Distance::Process,
            Distance::Host => wire::Distance::Host,
            Distance::Network => wire::Distance::Network,
            Distance::Remote => wire::Distance::Remote,
        };
        let of = match self.of {
            HorizonOf::Message => wire::HorizonOf::HorizonMessage,
            HorizonOf::Flow => wire::HorizonOf::HorizonFlow,
            HorizonOf::Component => wire::HorizonOf::HorizonComponent,
            HorizonOf::App => wire::HorizonOf::HorizonApp,
            HorizonOf::Network => wire::HorizonOf::HorizonNetwork,
        };
        HorizonRef {
            distance: distance.into(),
            bounce: self.horizon.bounce,
            set_by: of.into(),
        }
    }

    /// `None` where nothing is said that this release knows.
    pub(crate) fn from_wire(said: HorizonRef) -> Option<Self> {
        let distance = match wire::Distance::try_from(said.distance).ok()? {
            wire::Distance::Process => Distance::Process,
            wire::Distance::Host => Distance::Host,
            wire::Distance::Network => Distance::Network,
            wire::Distance::Remote => Distance::Remote,
            wire::Distance::Unspecified => return None,
        };
        let of = match wire::HorizonOf::try_from(said.set_by).unwrap_or_default() {
            wire::HorizonOf::HorizonFlow => HorizonOf::Flow,
            wire::HorizonOf::HorizonComponent => HorizonOf::Component,
            wire::HorizonOf::HorizonApp => HorizonOf::App,
            wire::HorizonOf::HorizonNetwork => HorizonOf::Network,
            wire::HorizonOf::HorizonUnspecified | wire::HorizonOf::HorizonMessage => {
                HorizonOf::Message
            }
        };
        let horizon = Horizon {
            distance,
            bounce: said.bounce,
        };
        Some(Self { horizon, of })
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (distance, of) = (self.horizon.distance, self.of);
        write!(f, "`{distance}`: of all horizons, {of} is the nearest")
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
        message: Option<Reach>,
        target: &Name,
        flow: &Name,
        own: bool,
    ) -> Reach {
        let endless = Reach::own(Horizon::default());
        let mut reach = message.unwrap_or(endless);
        // Most nodes have none of these.
        for (table, name, of) in [
            (&self.flows, flow, HorizonOf::Flow),
            (&self.components, target, HorizonOf::Component),
        ] {
            if !table.is_empty()
                && let Some(horizon) = table.get(name)
            {
                reach = reach.nearer(*horizon, of);
            }
        }
        if own {
            reach = reach.nearer(self.app, HorizonOf::App);
        }
        reach.nearer(self.network, HorizonOf::Network)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_counts() {
        use Distance::{Host, Network, Process, Remote};
        let named = |distance| BTreeMap::from([(Name::from("it"), Horizon::new(distance))]);
        use HorizonOf::{App, Component, Flow, Message};
        // Network, app, component, flow, message: each is the nearest once. Of equals the last one is named.
        let table = [
            (
                [Host, Network, Network, Network, Network],
                Host,
                HorizonOf::Network,
            ),
            ([Network, Host, Remote, Remote, Remote], Host, App),
            (
                [Remote, Network, Process, Host, Network],
                Process,
                Component,
            ),
            ([Remote, Remote, Remote, Host, Network], Host, Flow),
            (
                [Network, Network, Network, Network, Process],
                Process,
                Message,
            ),
            ([Network, Network, Network, Host, Host], Host, Message),
            ([Remote, Remote, Remote, Remote, Remote], Remote, Message),
        ];
        for ([network, app, component, flow, message], expected, by) in table {
            let horizons = Horizons {
                network: Horizon::new(network),
                app: Horizon::new(app),
                components: named(component),
                flows: named(flow),
            };
            let (it, own) = ("it".into(), Some(Reach::own(Horizon::new(message))));
            let reach = horizons.of(own, &it, &it, true);
            assert_eq!((reach.horizon.distance, reach.of), (expected, by));
            // As far as that another node lets it go.
            let said = Reach::from_wire(reach.to_wire()).expect("it is said");
            assert_eq!(said, reach);
            // What does not concern it does not count.
            let other = "other".into();
            let all = horizons.of(own, &other, &other, false).horizon.distance;
            assert_eq!(all, network.min(message));
        }
    }

    #[test]
    fn what_is_not_known_bounds_nothing() {
        for distance in [-1, 0, 5, i32::MAX] {
            let said = HorizonRef {
                distance,
                ..HorizonRef::default()
            };
            assert_eq!(Reach::from_wire(said), None);
        }
    }

    #[test]
    fn one_that_drops_says_what_becomes_of_casts_if_it_is_no_farther() {
        let horizons = Horizons {
            network: Horizon::new(Distance::Host).dropping(),
            ..Horizons::default()
        };
        let of = |message: Option<Horizon>| {
            let message = message.map(Reach::own);
            let reach = horizons.of(message, &Name::empty(), &Name::empty(), false);
            reach.horizon
        };
        assert!(!of(None).bounce);
        assert!(!of(Some(Horizon::new(Distance::Host))).bounce);
        assert!(of(Some(Horizon::new(Distance::Process))).bounce);
    }
}
