//! The other members, and what they run.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use monofil_proto::control::{self, ComponentEntry, Entry};
use monofil_transport::{Endpoint, Instant};

use super::packet::{Card, Identity};
use crate::routing::token;
use crate::{ComponentKind, Name, NodeId};

/// Members that are down have their part of what is shared for so long.
pub(super) const KEEPS: Duration = Duration::from_secs(60);
/// The longest entry that is kept, in bytes as it travels.
pub(super) const ENTRY_BYTES_MAX: usize = 64 << 10;

/// Another member.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) identity: Identity,
    pub(crate) up: bool,
    /// It said itself that it leaves.
    pub(crate) left: bool,
    /// Since when it is up, or down.
    pub(crate) since: Instant,
    /// Of this life of it.
    pub(crate) entry: Option<Entry>,
    /// It can be found by what its entry says.
    found: bool,
    /// It was down, or is in another life, and what it runs is not known again yet.
    is_back: bool,
    /// It spoke while it was held to be down.
    pub(crate) heard_down: Option<HeardDown>,
    /// A handler holds its thread, as was said last.
    pub(crate) busy: Option<(Name, Instant)>,
    /// When its entry was last asked for, and how often in vain.
    pub(super) asked: Option<Instant>,
    pub(super) attempts: u32,
}

/// That a member spoke while it was held to be down.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeardDown {
    pub(crate) first: Instant,
    pub(crate) last: Instant,
    /// It had time enough to come back, and nothing reaches it, then.
    pub(crate) reported: bool,
}

impl Known {
    fn new(identity: Identity, now: Instant) -> Self {
        Self {
            identity,
            up: false,
            left: false,
            since: now,
            entry: None,
            found: false,
            is_back: false,
            heard_down: None,
            busy: None,
            asked: None,
            attempts: 0,
        }
    }

    pub(crate) fn version(&self) -> u64 {
        self.entry.as_ref().map_or(0, |entry| entry.version)
    }

    pub(crate) fn name(&self) -> Name {
        let name = self.entry.as_ref().map(|entry| entry.name.as_str());
        match name.filter(|name| !name.is_empty()) {
            Some(name) => name.into(),
            None => format!("the node at {}", self.identity.address).into(),
        }
    }

    pub(crate) fn components(&self) -> impl Iterator<Item = &str> {
        let entry = self.entry.iter();
        entry.flat_map(|entry| entry.components.iter().map(|it| it.name.as_str()))
    }
}

/// A place where a component runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Another order at each node, so that not all choose the same.
    rank: u64,
    pub(crate) node: NodeId,
    pub(crate) endpoint: Endpoint,
    /// The same wherever it is asked for.
    pub(crate) token: u64,
    /// The machine that it is on; empty: it does not say.
    pub(crate) host: Name,
    pub(crate) kind: ComponentKind,
    pub(crate) instances: u32,
    /// Messages that all of them take; 0: it does not say.
    pub(crate) capacity: u64,
    /// The limit because of which they take nothing; empty: they do.
    pub(crate) closed_by: Name,
}

/// All of them. What runs where is known of those that are up.
#[derive(Debug)]
pub(crate) struct Members {
    own: NodeId,
    /// Something can be found that could not before.
    pub(super) news: bool,
    /// Grows with each change in what can be found.
    changes: u64,
    /// What those run that came since somebody looked, or came back.
    pub(super) came: Vec<Name>,
    /// Those that are down since somebody looked.
    pub(super) gone: Vec<NodeId>,
    all: BTreeMap<NodeId, Known>,
    /// What was found is looked at while others are told of it.
    components: BTreeMap<Name, Rc<Vec<Place>>>,
    /// Who is subscribed to a topic, and at how many nodes.
    topics: BTreeMap<Name, BTreeMap<(Name, Name), usize>>,
}

impl Members {
    pub(super) const fn new(own: NodeId) -> Self {
        Self {
            own,
            news: false,
            changes: 0,
            came: Vec::new(),
            gone: Vec::new(),
            all: BTreeMap::new(),
            components: BTreeMap::new(),
            topics: BTreeMap::new(),
        }
    }

    /// Returns a number that is another once something can be found, or not found, that could not, or could.
    pub(crate) const fn changes(&self) -> u64 {
        self.changes
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn get(&self, node: &NodeId) -> Option<&Known> {
        self.all.get(node)
    }

    pub(super) fn get_mut(&mut self, node: &NodeId) -> Option<&mut Known> {
        self.all.get_mut(node)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Known> {
        self.all.values()
    }

    pub(crate) fn up(&self) -> impl Iterator<Item = &Known> {
        self.iter().filter(|known| known.up)
    }

    /// Returns where a component runs, in this node's order.
    pub(crate) fn locate(&self, component: &str) -> Rc<Vec<Place>> {
        self.components.get(component).cloned().unwrap_or_default()
    }

    /// Counts the instances of a component at members: at those before this node in the line of all nodes, and at all.
    /// Those that are down, and did not say that they would leave, count for a while: they may be cut off and work on.
    pub(crate) fn sharers(&self, component: &str, now: Instant) -> (u64, u64) {
        let mut counts = (0, 0);
        for (node, known) in &self.all {
            let Some(entry) = &known.entry else {
                continue;
            };
            let runs = entry.components.iter().filter(|it| it.name == component);
            let runs: u64 = runs.map(|it| u64::from(it.instances)).sum();
            let leaves = entry.leaving.iter().filter(|it| *it == component).count() as u64;
            let count = match known.up {
                true => runs + leaves,
                false if now.since(known.since) < KEEPS => runs,
                false => 0,
            };
            counts.1 += count;
            if *node < self.own {
                counts.0 += count;
            }
        }
        counts
    }

    /// Returns who is subscribed to a topic.
    pub(crate) fn subscribers(&self, topic: &str) -> impl Iterator<Item = &(Name, Name)> {
        self.topics.get(topic).into_iter().flat_map(BTreeMap::keys)
    }

    /// Notes that a member is up, or has another name now.
    pub(super) fn set_up(&mut self, identity: &Identity, now: Instant) {
        self.rename(identity, now);
        if let Some(known) = self.all.get_mut(&identity.node)
            && !known.up
        {
            known.up = true;
            known.is_back = true;
            known.since = now;
            known.heard_down = None;
            known.attempts = 0;
            known.asked = None;
        }
        self.publish(&identity.node);
    }

    /// Notes that a member is down: nobody is sent there any more.
    pub(super) fn set_down(&mut self, identity: &Identity, now: Instant) {
        self.withdraw(&identity.node);
        if let Some(known) = self.all.get_mut(&identity.node) {
            known.up = false;
            known.since = now;
            known.busy = None;
            self.gone.push(identity.node);
        }
    }

    /// Notes a member's present name. In another life it runs other things, perhaps.
    pub(super) fn rename(&mut self, identity: &Identity, now: Instant) {
        let known = self.all.get(&identity.node);
        if known.is_some_and(|known| known.identity.life != identity.life) {
            self.withdraw(&identity.node);
        }
        let known = self
            .all
            .entry(identity.node)
            .or_insert_with(|| Known::new(identity.clone(), now));
        if known.identity.life != identity.life {
            known.entry = None;
            known.is_back = true;
            known.busy = None;
            known.asked = None;
            known.attempts = 0;
        }
        known.left &= known.identity == *identity;
        known.identity = identity.clone();
    }

    /// Takes a member's entry, unless there is a later one.
    pub(super) fn learn(&mut self, identity: &Identity, entry: Entry) -> bool {
        let node = identity.node;
        let wanted = self.all.get(&node).is_some_and(|known| {
            known.identity.life == identity.life && known.version() < entry.version
        });
        if !wanted {
            return false;
        }
        self.withdraw(&node);
        if let Some(known) = self.all.get_mut(&node) {
            known.entry = Some(entry);
            known.attempts = 0;
            known.asked = None;
        }
        self.publish(&node);
        true
    }

    pub(super) fn forget(&mut self, node: &NodeId) {
        self.withdraw(node);
        self.all.remove(node);
    }

    /// Lets a member be found by what it runs.
    fn publish(&mut self, node: &NodeId) {
        let Some(known) = self.all.get_mut(node) else {
            return;
        };
        let Some(entry) = known.entry.as_ref().filter(|_| known.up && !known.found) else {
            return;
        };
        known.found = true;
        if std::mem::take(&mut known.is_back) {
            let names = entry.components.iter().map(|it| it.name.as_str());
            self.came.extend(names.map(Name::from));
        }
        self.changes += 1;
        self.news = true;
        let endpoint: Option<Endpoint> = entry.application.parse().ok();
        for component in &entry.components {
            let name: Name = component.name.as_str().into();
            for it in &component.subscriptions {
                let subscriber = (name.clone(), Name::from(it.method.as_str()));
                let of_topic = self.topics.entry(it.topic.as_str().into()).or_default();
                *of_topic.entry(subscriber).or_default() += 1;
            }
            let Some(endpoint) = endpoint.clone() else {
                continue;
            };
            let place = Place {
                rank: rank(&self.own, node),
                node: *node,
                token: token(endpoint.as_str()),
                host: entry.host.as_str().into(),
                kind: kind_of(component),
                instances: component.instances,
                capacity: component.queue_messages_max,
                closed_by: component.closed_by.as_str().into(),
                endpoint,
            };
            let places = Rc::make_mut(self.components.entry(name).or_default());
            if let Err(at) = places.binary_search(&place) {
                places.insert(at, place);
            }
        }
    }

    /// Lets a member no longer be found.
    fn withdraw(&mut self, node: &NodeId) {
        let Some(known) = self.all.get_mut(node) else {
            return;
        };
        let Some(entry) = known.entry.as_ref().filter(|_| known.found) else {
            return;
        };
        known.found = false;
        self.changes += 1;
        for component in &entry.components {
            let name = component.name.as_str();
            if let Some(places) = self.components.get_mut(name) {
                Rc::make_mut(places).retain(|place| place.node != *node);
                if places.is_empty() {
                    self.components.remove(name);
                }
            }
            for it in &component.subscriptions {
                let subscriber = (Name::from(name), Name::from(it.method.as_str()));
                let Some(of_topic) = self.topics.get_mut(it.topic.as_str()) else {
                    continue;
                };
                if let Some(count) = of_topic.get_mut(&subscriber) {
                    *count -= 1;
                    if *count == 0 {
                        of_topic.remove(&subscriber);
                    }
                }
                if of_topic.is_empty() {
                    self.topics.remove(it.topic.as_str());
                }
            }
        }
    }
}

/// Reads of what kind a component is; an earlier release has but one.
pub(crate) fn kind_of(component: &ComponentEntry) -> ComponentKind {
    match component.kind() {
        control::ComponentKind::Keyed => ComponentKind::Keyed,
        control::ComponentKind::Stateless => ComponentKind::Stateless,
        control::ComponentKind::Unspecified | control::ComponentKind::Single => {
            ComponentKind::Single
        }
    }
}

/// Draws lots for who is asked first: the same each time, and others at another node (rendezvous hashing).
fn rank(own: &NodeId, other: &NodeId) -> u64 {
    let mixed = own.0.iter().zip(&other.0);
    mixed.fold(0xcbf2_9ce4_8422_2325, |hash, (a, b)| {
        let hash =
            (hash ^ u64::from(*a) ^ (u64::from(*b) << 8)).wrapping_mul(0x0000_0100_0000_01b3);
        hash ^ (hash >> 29)
    })
}

/// The last card of each member.
#[derive(Debug, Default)]
pub(super) struct Cards {
    all: BTreeMap<NodeId, Card>,
    /// Of how many members at most.
    pub(super) most: usize,
    /// There is one of a member that was not heard of before, or whose entry is another now.
    pub(super) news: bool,
}

impl Cards {
    pub(super) fn get(&self, node: &NodeId) -> Option<&Card> {
        self.all.get(node)
    }

    /// Takes a card that is news; tells whether it is.
    pub(super) fn take(&mut self, card: Card) -> bool {
        let known = self.all.get(&card.node);
        if known.is_some_and(|known| !card.is_after(known))
            || (known.is_none() && self.all.len() >= self.most)
        {
            return false;
        }
        // Load alone is no reason to look what is lacking.
        let entry = |card: &Card| (card.life, card.version);
        self.news |= known.is_none_or(|known| entry(known) != entry(&card));
        self.all.insert(card.node, card);
        true
    }

    pub(super) fn forget(&mut self, node: &NodeId) {
        self.all.remove(node);
    }

    /// Keeps those of some nodes.
    pub(super) fn keep(&mut self, is_kept: impl Fn(&NodeId) -> bool) {
        self.all.retain(|node, _| is_kept(node));
    }
}
