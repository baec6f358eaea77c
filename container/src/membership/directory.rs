//! Who runs what: entries that members say of themselves, and how they come to those who lack them.

use std::collections::BTreeMap;
use std::time::Duration;

use monofil_proto::control::{
    self, ComponentEntry, Directory as Asked, Entries, Entry, EntryVersion, Request,
    SubscriptionEntry, control_frame::Body, request::Verb,
};
use monofil_proto::encode;
use monofil_transport::{ConnectionId, Instant, Io, Plane, Route};
use prost::Message as _;

use super::Membership;
use super::members::{ENTRY_BYTES_MAX, Known};
use super::packet::{read_member, write_member};
use crate::core::{Core, Timer};
use crate::counters::Counter;
use crate::peers::Peer;
use crate::{CallError, ComponentKind, Limit, Name, NodeId};

/// How often a node looks at what it lacks, and at itself.
const TICK: Duration = Duration::from_secs(1);
/// An entry that did not come is asked for again after this.
const ASK_AGAIN: Duration = Duration::from_millis(900);
/// Questions under way at once.
const PULLS_MAX: usize = 8;
/// Members whose entries are asked for one by one; when more are lacking, one member is asked for all as well.
const ONE_BY_ONE: usize = 4;
/// Entries in one answer.
const ENTRIES_MAX: usize = 128;
/// Their bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Members beyond this are not named by one who asks for what it lacks.
const KNOWN_MAX: usize = 4096;
/// The longest pause before a newcomer is asked what it runs; in a large network not all ask at once.
const SPREAD_MAX: Duration = Duration::from_millis(400);
const SPREAD_EACH: Duration = Duration::from_millis(2);

/// Questions under way.
#[derive(Debug, Default)]
pub(super) struct Pulls {
    under_way: BTreeMap<u64, Pull>,
}

#[derive(Debug)]
struct Pull {
    connection: ConnectionId,
    /// Who is asked.
    node: NodeId,
    /// For everything, and not for its own entry alone.
    all: bool,
    until: Instant,
}

impl Membership {
    /// Tells whether what this node says of itself is not true any more.
    pub(super) fn has_changed(&self, core: &Core) -> bool {
        self.own.draining == core.accepts_new()
    }
}

impl Core {
    /// Looks at what is lacking soon.
    pub(super) fn refresh_soon(&mut self, membership: &mut Membership) {
        let members = u32::try_from(membership.members.len()).unwrap_or(u32::MAX);
        let spread = SPREAD_EACH.saturating_mul(members).min(SPREAD_MAX);
        let pause = membership.random.between(Duration::ZERO, spread);
        self.timers.hasten(
            &mut membership.refresh_timer,
            self.now + pause,
            Timer::Refresh,
        );
    }

    /// Says what is new of this node, and asks for what is not known of others.
    pub(super) fn refresh(&mut self, io: &mut dyn Io, membership: &mut Membership) {
        let (now, at) = (self.now, self.now + TICK);
        self.timers
            .hasten(&mut membership.refresh_timer, at, Timer::Refresh);
        self.describe_self(membership);
        self.give_up_pulls(io, membership);
        if now >= membership.compare_at {
            let interval = membership.config.compare_interval;
            let pause = membership.random.between(interval / 2, interval * 3 / 2);
            membership.compare_at = now + pause;
            self.forget_long_down(membership);
            self.ask_somebody(io, membership);
        }
        let mut lacking = lacking(membership, now);
        if lacking.len() > ONE_BY_ONE {
            self.ask_somebody(io, membership);
            // Another few each time, and at each node.
            membership.random.shuffle(&mut lacking);
        }
        for node in lacking.into_iter().take(ONE_BY_ONE) {
            self.ask(io, membership, node, false);
        }
    }

    /// Notes what this node runs, and tells the others when that has changed.
    fn describe_self(&mut self, membership: &mut Membership) {
        let components = if self.accepts_new() {
            self.own_components()
        } else {
            Vec::new()
        };
        let application = membership.application.as_ref();
        let leaving = if self.accepts_new() {
            Vec::new()
        } else {
            self.own_components()
        };
        let entry = Entry {
            host: self.routing.host.as_str().to_owned(),
            leaving: leaving.into_iter().flat_map(once_for_each).collect(),
            member: Vec::new(),
            version: membership.own.version,
            name: self.name.as_str().to_owned(),
            application: application.map_or_else(String::new, ToString::to_string),
            components,
            draining: !self.accepts_new(),
        };
        if entry != membership.own || entry.version == 0 {
            membership.own = entry;
            membership.own.version += 1;
            let length = membership.own.encoded_len();
            if length > ENTRY_BYTES_MAX {
                tracing::error!(
                    node = %self.name, length, most = ENTRY_BYTES_MAX,
                    "what this node runs is too much to tell; other nodes will not find it"
                );
            }
        }
        let load = self.queued_messages + self.handlers_under_way();
        let load = u16::try_from(load).unwrap_or(u16::MAX);
        let version = u32::try_from(membership.own.version).unwrap_or(u32::MAX);
        let card = &mut membership.card;
        let as_said = version == card.version && load.checked_ilog2() == card.load.checked_ilog2();
        if as_said && card.number > 0 && !membership.say_again {
            return;
        }
        membership.hurries |= version != card.version || membership.say_again;
        membership.say_again = false;
        card.number += 1;
        card.version = version;
        card.load = load;
        if let Err(error) = membership.foca.add_broadcast(&card.write()) {
            tracing::debug!(node = %self.name, %error, "membership");
        }
        membership.cards.borrow_mut().news = false;
    }

    fn own_components(&self) -> Vec<ComponentEntry> {
        let mut all: BTreeMap<&str, ComponentEntry> = BTreeMap::new();
        for instance in self.instances.iter().take(self.bounds.components) {
            let entry = all.entry(instance.name.as_str()).or_default();
            let closed_by = self.closed_by(instance);
            let closed_by =
                closed_by.map_or_else(String::new, |(scope, limit)| format!("{scope}.{limit}"));
            if entry.instances == 0 {
                closed_by.clone_into(&mut entry.closed_by);
            } else if closed_by.is_empty() {
                entry.closed_by.clear();
            }
            entry.name = instance.name.as_str().to_owned();
            entry.instances += 1;
            let queue = instance.guard.get(Limit::QueueMessages);
            let takes = queue.min(instance.guard.get(Limit::InFlight));
            entry.queue_messages_max = entry.queue_messages_max.saturating_add(takes);
            entry.kind = kind_on_wire(instance.definition.kind).into();
            entry.version = instance.definition.version.as_str().to_owned();
            if entry.instances == 1 {
                let subscriptions = instance.definition.subscriptions.iter();
                let entries = subscriptions.map(|it| SubscriptionEntry {
                    topic: it.topic.as_str().to_owned(),
                    method: it.method.as_str().to_owned(),
                });
                entry.subscriptions = entries.collect();
            }
        }
        all.into_values().collect()
    }

    /// Asks a random member for all that this one lacks.
    fn ask_somebody(&mut self, io: &mut dyn Io, membership: &mut Membership) {
        let up: Vec<NodeId> = membership
            .members
            .up()
            .filter(|known| known.identity.control.is_some())
            .map(|known| known.identity.node)
            .collect();
        let place = membership.random.below(up.len() as u64);
        let Some(node) = usize::try_from(place).ok().and_then(|place| up.get(place)) else {
            return;
        };
        self.ask(io, membership, *node, true);
    }

    fn ask(&mut self, io: &mut dyn Io, membership: &mut Membership, node: NodeId, all: bool) {
        if membership.pulls.under_way.len() >= PULLS_MAX {
            return;
        }
        let now = self.now;
        let Some(known) = membership.members.get_mut(&node) else {
            return;
        };
        if !all {
            known.asked = Some(now);
            known.attempts += 1;
        }
        let Some(control) = known.identity.control.clone() else {
            return;
        };
        let connection = match io.connect(Plane::Control, &control) {
            Ok(connection) => connection,
            Err(error) => {
                tracing::warn!(node = %self.name, %control, %error, "a member cannot be asked what it runs");
                return;
            }
        };
        let id = self.fresh_id();
        let pull = Pull {
            connection,
            node,
            all,
            until: now + TICK,
        };
        self.put_question(io, membership, id, &pull);
        membership.pulls.under_way.insert(id, pull);
    }

    fn put_question(&mut self, io: &mut dyn Io, membership: &Membership, id: u64, pull: &Pull) {
        let version = |known: &Known| EntryVersion {
            node: known.identity.node.0.to_vec(),
            incarnation: known.identity.life,
            version: known.version(),
        };
        let asked = if pull.all {
            Asked {
                known: membership
                    .members
                    .up()
                    .take(KNOWN_MAX)
                    .map(version)
                    .collect(),
                node: Vec::new(),
            }
        } else {
            Asked {
                known: Vec::new(),
                node: pull.node.0.to_vec(),
            }
        };
        let request = Request {
            verb: Some(Verb::Directory(asked)),
        };
        let frame = self.control_frame(id, Body::Request(request));
        // A question that is not sent is asked again, of somebody else perhaps.
        let _ = io.send(&Route::Connection(pull.connection), encode(&frame));
    }

    /// Answers who runs what, as far as this node knows and the other does not.
    pub(crate) fn entries(&self, asked: &Asked) -> Entries {
        let Some(membership) = &self.membership else {
            return Entries::default();
        };
        let identity = membership.foca.identity();
        let mut own = membership.own.clone();
        own.member = write_member(identity, 0, foca::State::Alive);
        let wanted = NodeId::from_wire(&asked.node);
        if !asked.node.is_empty() {
            let is_own = wanted == Some(self.node);
            let entries = if is_own { vec![own] } else { Vec::new() };
            return Entries {
                entries,
                more: false,
            };
        }
        let known: BTreeMap<&[u8], (u64, u64)> = asked
            .known
            .iter()
            .map(|it| (&it.node[..], (it.incarnation, it.version)))
            .collect();
        let is_news = |node: &NodeId, life: u64, version: u64| {
            known
                .get(&node.0[..])
                .is_none_or(|known| *known < (life, version))
        };
        let mut answer = Entries::default();
        let mut bytes = 0;
        let mut add = |entry: Entry| {
            let length = entry.encoded_len();
            let has_room = answer.entries.len() < ENTRIES_MAX && bytes + length <= ANSWER_BYTES_MAX;
            if has_room {
                bytes += length;
                answer.entries.push(entry);
            } else {
                answer.more = true;
            }
            has_room
        };
        if is_news(&self.node, self.incarnation, own.version) {
            add(own);
        }
        for other in membership.members.up() {
            let identity = &other.identity;
            if !is_news(&identity.node, identity.life, other.version()) {
                continue;
            }
            let mut entry = other.entry.clone().unwrap_or_default();
            entry.member = write_member(identity, 0, foca::State::Alive);
            if !add(entry) {
                break;
            }
        }
        answer
    }

    /// Takes the answer to a question.
    pub(crate) fn entries_arrived(
        &mut self,
        io: &mut dyn Io,
        request: u64,
        sender: &[u8],
        network: u64,
        entries: Entries,
    ) {
        let Some(mut membership) = self.membership.take() else {
            return;
        };
        if let Some(mut pull) = membership.pulls.under_way.remove(&request) {
            // Somebody else may be there by now: then it is asked again, at its new place.
            let is_of_it = *sender == pull.node.0 && network == self.network;
            let entries = if is_of_it {
                entries
            } else {
                Entries::default()
            };
            let more = entries.more && pull.all;
            let mut learnt = false;
            for entry in entries.entries {
                learnt |= self.learn(io, &mut membership, entry);
            }
            if more && learnt {
                pull.until = self.now + TICK;
                let id = self.fresh_id();
                self.put_question(io, &membership, id, &pull);
                membership.pulls.under_way.insert(id, pull);
            } else {
                io.disconnect(pull.connection);
                if learnt && pull.all {
                    self.refresh_soon(&mut membership);
                }
            }
        }
        self.membership = Some(membership);
    }

    /// Takes an entry, and with it the word that this member is there.
    fn learn(&mut self, io: &mut dyn Io, membership: &mut Membership, mut entry: Entry) -> bool {
        let member = read_member(&mut &entry.member[..]);
        let Ok(member) = member else {
            self.counters.add(Counter::MembershipRefused);
            return false;
        };
        let id = member.id().clone();
        let stranger = membership.members.get(&id.node).is_none();
        if id.node == self.node || entry.encoded_len() > ENTRY_BYTES_MAX {
            return false;
        }
        if stranger && self.make_room(membership, 1) == 0 {
            return false;
        }
        let is_up = |membership: &Membership| {
            let known = membership.members.get(&id.node);
            known.is_some_and(|known| known.up)
        };
        let was_up = is_up(membership);
        // The protocol knows who is down under that very name, and forgot the others if this node was cut off.
        if !was_up {
            let alive = [foca::Member::alive(id.clone())];
            let applied = membership
                .foca
                .apply_many(alive.into_iter(), true, &mut membership.out);
            if let Err(error) = applied {
                tracing::debug!(node = %self.name, %error, "membership");
            }
            self.settle(io, membership);
        }
        entry.member = Vec::new();
        membership.members.learn(&id, entry) || (!was_up && is_up(membership))
    }

    fn give_up_pulls(&mut self, io: &mut dyn Io, membership: &mut Membership) {
        let now = self.now;
        membership.pulls.under_way.retain(|_, pull| {
            let waits = now < pull.until;
            if !waits {
                io.disconnect(pull.connection);
            }
            waits
        });
    }

    /// Finds a way to a member that runs something; whoever is not met yet is dialed with what leaves next.
    pub(crate) fn reach(&mut self, place: &super::Place) -> Option<usize> {
        let index = match self.known(place) {
            Some(index) => index,
            None => self.add_unmet(true)?,
        };
        let peer = self.peers.get_mut(index)?;
        if peer.connection.is_none() && (peer.way_back.is_none() || peer.is_gone()) {
            peer.undialed = true;
            if peer.application.is_none() {
                self.peers.name_endpoint(index, place.endpoint.clone());
            }
            self.peers.mark_dirty(index);
        }
        Some(index)
    }

    /// Lets what is for a component that runs nowhere, as far as is known, wait until somebody says that it does.
    pub(crate) fn seek(&mut self, component: &Name) -> Result<usize, CallError> {
        let is_it = |peer: &Peer| peer.sought.as_ref() == Some(component);
        let known = self.peers.iter().find(|(_, peer)| is_it(peer));
        if let Some(index) = known.map(|(index, _)| index) {
            return Ok(index);
        }
        let Some(index) = self.add_unmet(false) else {
            return Err(self.too_many_peers());
        };
        if let Some(peer) = self.peers.get_mut(index) {
            peer.sought = Some(component.clone());
            peer.name = format!("whoever runs {component}").into();
        }
        Ok(index)
    }

    /// Sends what waited for whoever runs something to those who do.
    pub(super) fn settle_sought(&mut self) {
        let sought: Vec<(usize, Name)> = self
            .peers
            .iter()
            .filter_map(|(index, peer)| Some((index, peer.sought.clone()?)))
            .collect();
        for (index, component) in sought {
            if !self.is_found(&component) {
                continue;
            }
            // It may have given way to one that was found before it.
            let entry = self.peers.get(index);
            if entry.is_none_or(|it| it.sought.as_ref() != Some(&component)) {
                continue;
            }
            if let Some(mut entry) = self.peers.remove(index) {
                self.route_again(entry.link.take_requests());
            }
        }
    }

    /// Finds the node at a place, if this one has to do with it already.
    pub(crate) fn known(&self, place: &super::Place) -> Option<usize> {
        self.peers
            .by_node(&place.node)
            .or_else(|| self.peers.by_endpoint(&place.endpoint))
    }
}

/// Names a component as often as it has instances.
fn once_for_each(it: ComponentEntry) -> impl Iterator<Item = String> {
    (0..it.instances).map(move |_| it.name.clone())
}

/// Says of what kind a component is.
pub(crate) const fn kind_on_wire(kind: ComponentKind) -> control::ComponentKind {
    match kind {
        ComponentKind::Single => control::ComponentKind::Single,
        ComponentKind::Keyed => control::ComponentKind::Keyed,
        ComponentKind::Stateless => control::ComponentKind::Stateless,
    }
}

/// Returns the members whose entries are lacking or out of date and not being asked for.
fn lacking(membership: &Membership, now: Instant) -> Vec<NodeId> {
    let cards = membership.cards.borrow();
    let is_lacking = |known: &&Known| {
        let node = &known.identity.node;
        let card = cards
            .get(node)
            .filter(|card| card.life == known.identity.life);
        let version = card.map_or(1, |card| u64::from(card.version).max(1));
        // The longer it is in vain the rarer it is tried; others who have it are asked meanwhile.
        let pause = ASK_AGAIN * (1 << known.attempts.saturating_sub(1).min(3));
        let asked = known.asked.is_some_and(|at| now.since(at) < pause);
        known.version() < version && !asked
    };
    membership
        .members
        .up()
        .filter(is_lacking)
        .map(|known| known.identity.node)
        .collect()
}
