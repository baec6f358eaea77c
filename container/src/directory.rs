//! Who runs what, and where.

use std::collections::BTreeMap;
use std::rc::Rc;

use monofil_transport::Endpoint;

use crate::{ComponentKind, Name, Subscription};

/// Knows which nodes run a component. The one place a container asks for what was written down beforehand: what it says
/// stays the same while a container runs.
pub trait Directory {
    /// Returns where a component (`app/name`) can be reached, best first; empty when nobody is known.
    fn locate(&self, component: &str) -> &[Endpoint];

    /// Returns the components subscribed to a topic, each with the operation it wants called.
    fn subscribers(&self, topic: &str) -> &[(Name, Name)];

    /// Returns how many instances of a component there may be, and which of them a message goes to.
    fn kind(&self, component: &str) -> ComponentKind {
        let _ = component;
        ComponentKind::Single
    }

    /// Returns every endpoint that is known, to connect to before anything is sent there.
    fn endpoints(&self) -> Vec<Endpoint>;

    /// Returns every component that is known, to name them when one is not found.
    fn components(&self) -> Vec<Name>;
}

/// A directory that was written down beforehand.
#[derive(Clone, Debug, Default)]
pub struct StaticDirectory {
    components: BTreeMap<Name, Vec<Endpoint>>,
    topics: BTreeMap<Name, Vec<(Name, Name)>>,
    kinds: BTreeMap<Name, ComponentKind>,
}

impl StaticDirectory {
    /// Makes an empty directory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a place where a component runs, and what it is subscribed to.
    pub fn add(
        &mut self,
        component: impl Into<Name>,
        endpoint: Endpoint,
        subscriptions: &[Subscription],
    ) {
        let component = component.into();
        for subscription in subscriptions {
            let subscriber = (component.clone(), subscription.method.clone());
            let subscribers = self.topics.entry(subscription.topic.clone()).or_default();
            if !subscribers.contains(&subscriber) {
                subscribers.push(subscriber);
            }
        }
        let endpoints = self.components.entry(component).or_default();
        if !endpoints.contains(&endpoint) {
            endpoints.push(endpoint);
        }
    }
}

impl StaticDirectory {
    /// Says of what kind a component is. Without this there is one instance.
    pub fn set_kind(&mut self, component: impl Into<Name>, kind: ComponentKind) {
        self.kinds.insert(component.into(), kind);
    }
}

impl StaticDirectory {
    /// Returns what is written down of some components.
    #[must_use]
    pub fn only(&self, components: &[Name]) -> Self {
        let is_meant = |name: &Name| components.contains(name);
        let topics = self.topics.iter().map(|(topic, subscribers)| {
            let left = subscribers.iter().filter(|(name, _)| is_meant(name));
            (topic.clone(), left.cloned().collect())
        });
        let pick = |name: &Name| Some((name.clone(), self.components.get(name)?.clone()));
        let kind = |name: &Name| Some((name.clone(), *self.kinds.get(name)?));
        Self {
            components: components.iter().filter_map(pick).collect(),
            topics: topics
                .filter(|(_, left): &(_, Vec<_>)| !left.is_empty())
                .collect(),
            kinds: components.iter().filter_map(kind).collect(),
        }
    }
}

/// Many nodes may look into one.
impl<D: Directory + ?Sized> Directory for Rc<D> {
    fn locate(&self, component: &str) -> &[Endpoint] {
        (**self).locate(component)
    }

    fn subscribers(&self, topic: &str) -> &[(Name, Name)] {
        (**self).subscribers(topic)
    }

    fn kind(&self, component: &str) -> ComponentKind {
        (**self).kind(component)
    }

    fn endpoints(&self) -> Vec<Endpoint> {
        (**self).endpoints()
    }

    fn components(&self) -> Vec<Name> {
        (**self).components()
    }
}

impl Directory for StaticDirectory {
    fn kind(&self, component: &str) -> ComponentKind {
        self.kinds.get(component).copied().unwrap_or_default()
    }

    fn locate(&self, component: &str) -> &[Endpoint] {
        self.components.get(component).map_or(&[], Vec::as_slice)
    }

    fn subscribers(&self, topic: &str) -> &[(Name, Name)] {
        self.topics.get(topic).map_or(&[], Vec::as_slice)
    }

    fn endpoints(&self) -> Vec<Endpoint> {
        let mut all: Vec<_> = self.components.values().flatten().cloned().collect();
        all.sort();
        all.dedup();
        all
    }

    fn components(&self) -> Vec<Name> {
        self.components.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_part_nothing_else_is_known() {
        let mut all = StaticDirectory::new();
        let wants = [Subscription {
            topic: "sales".into(),
            method: "Sold".into(),
        }];
        for (name, at) in [("shop/stock", "inproc://a"), ("shop/orders", "inproc://b")] {
            let endpoint = at.parse().expect("an endpoint");
            all.add(name, endpoint, &wants);
            all.set_kind(name, ComponentKind::Keyed);
        }
        let part = all.only(&["shop/stock".into(), "shop/none".into()]);
        assert_eq!(part.components(), [Name::from("shop/stock")]);
        assert_eq!(part.endpoints(), all.locate("shop/stock"));
        assert_eq!(part.subscribers("sales"), &all.subscribers("sales")[..1]);
        assert_eq!(part.kind("shop/stock"), ComponentKind::Keyed);
        assert_eq!(part.kind("shop/orders"), ComponentKind::default());
        assert!(part.locate("shop/orders").is_empty());
        assert!(all.only(&[]).subscribers("sales").is_empty());
    }
}
