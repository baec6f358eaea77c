//! Connections: opened, established, broken, given up, tried again.

use monofil_transport::{ConnectionId, Endpoint, Plane, Stream};

use crate::agenda::{Way, What};
use crate::fabric::{Change, Fabric, Life};
use crate::link::Site;
use crate::link::nanos;
use crate::trace::{NOBODY, TraceKind};

/// How a node's end of a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// On purpose: what is on the way arrives.
    Orderly,
    /// The process is killed: of what is on the way, the first few may arrive.
    Killed,
    /// The machine is gone: nothing arrives, and nobody is told.
    Vanished,
}

impl Fabric {
    pub(crate) fn connect(&mut self, node: u32, plane: Plane, endpoint: &Endpoint) -> ConnectionId {
        let slot = self.connections.open(node, endpoint, plane, self.now);
        self.node(node).owned.insert(slot);
        self.try_soon(slot, 0);
        self.connections.get(slot).id(slot)
    }

    /// Schedules an attempt after a random part of `back_off` and a handshake's round trip; while the
    /// target is away, the connection waits for it without costing anything.
    fn try_soon(&mut self, slot: u32, back_off: u64) {
        let connection = self.connections.get(slot);
        if connection.closed || connection.near || connection.attempting {
            return;
        }
        let generation = connection.generation;
        let Some((target, bound)) = self.endpoints.get(&connection.endpoint).copied() else {
            let endpoint = connection.endpoint.clone();
            self.unresolved
                .entry(endpoint)
                .or_default()
                .push((slot, generation));
            return;
        };
        let owner = connection.owner;
        let (forth, back) = (self.link(owner, target), self.link(target, owner));
        let connection = self.connections.get(slot);
        (connection.target, connection.bound) = (target, bound);
        (connection.forth_link, connection.back_link) = (forth, back);
        if !self.reachable(slot) {
            self.node(target).waiting.push((slot, generation));
            return;
        }
        let forth = &mut self.links[forth as usize];
        let wait = if back_off > 0 {
            forth.back_off_nanos(back_off)
        } else {
            0
        };
        let there = forth.frame_nanos(Site::Handshake);
        let and_back = self.links[back as usize].frame_nanos(Site::Handshake);
        let due = self.now.saturating_add(wait + there + and_back);
        self.connections.get(slot).attempting = true;
        self.agenda
            .add(self.now, due, What::Attempt { slot, generation });
    }

    /// Tells whether a connection that has a target could be established now.
    fn reachable(&mut self, slot: u32) -> bool {
        let connection = self.connections.get(slot);
        let cut = [connection.forth_link, connection.back_link]
            .iter()
            .any(|link| self.links[*link as usize].is_cut());
        !cut && self.nodes[connection.target as usize].life == Life::Up
    }

    /// An attempt came due.
    pub(crate) fn attempt(&mut self, slot: u32, generation: u32) {
        let connection = self.connections.get(slot);
        if connection.generation != generation || connection.closed {
            return;
        }
        connection.attempting = false;
        let target = connection.target;
        if !self.reachable(slot) {
            self.node(target).waiting.push((slot, generation));
            return;
        }
        self.connections.get(slot).establish(slot);
        self.node(target).accepted.insert(slot);
        self.fly_held(slot);
        self.report(slot, Change::Connected);
        // What the other end had not received of the last session takes no room in this one.
        self.tell_room(slot, Way::Forth);
    }

    /// Tries everything again that waits for a node.
    pub(crate) fn try_waiting(&mut self, node: u32) {
        let mut waiting = std::mem::take(&mut self.node(node).waiting);
        let local = self.node(node).local.clone();
        for plane in Plane::ALL {
            if let Some(endpoint) = local.plane(plane) {
                waiting.extend(self.unresolved.remove(endpoint).unwrap_or_default());
            }
        }
        let (min, max) = (
            nanos(self.config.reconnect_min),
            nanos(self.config.reconnect_max),
        );
        for (slot, generation) in waiting {
            let connection = self.connections.get(slot);
            if connection.generation == generation && !connection.closed {
                let down = self.now.saturating_sub(connection.lost_at);
                self.try_soon(slot, down.clamp(min, max.max(min)));
            }
        }
    }

    /// The opener of a connection learns that it is broken.
    pub(crate) fn near_gone(&mut self, slot: u32, session: u32) {
        let connection = self.connections.get(slot);
        if connection.session != session || !connection.near {
            return;
        }
        connection.near = false;
        connection.lost_at = self.now;
        let (owner, target) = (connection.owner, connection.target);
        let (forth, back) = (connection.forth.lose(), connection.back.lose());
        self.count_lost(forth, target, owner);
        self.count_lost(back, owner, target);
        self.report(slot, Change::Gone);
        self.tell_room(slot, Way::Forth);
        self.try_soon(slot, nanos(self.config.reconnect_min));
    }

    /// The other side of a connection learns that it is broken.
    pub(crate) fn far_gone(&mut self, slot: u32, session: u32) {
        let connection = self.connections.get(slot);
        if connection.session != session || !connection.far {
            return;
        }
        connection.far = false;
        let (owner, target, closed) = (connection.owner, connection.target, connection.closed);
        let back = connection.back.lose();
        self.count_lost(back, owner, target);
        self.node(target).accepted.remove(&slot);
        if closed {
            let forth = self.connections.get(slot).forth.lose();
            self.count_lost(forth, target, owner);
            self.connections.free(slot);
        }
    }

    /// Breaks a connection for both ends at once; what is on the way is lost.
    pub(crate) fn sever(&mut self, slot: u32) {
        let session = self.connections.get(slot).session;
        self.far_gone(slot, session);
        self.near_gone(slot, session);
    }

    /// A connection whose link was cut may have been silent for too long.
    pub(crate) fn check_silence(&mut self, slot: u32, session: u32) {
        let connection = self.connections.get(slot);
        if connection.session != session {
            return;
        }
        let oldest = [connection.forth_link, connection.back_link]
            .iter()
            .filter_map(|link| self.links[*link as usize].cut_since)
            .min();
        let silence_max = nanos(self.config.silence_max);
        if oldest.is_some_and(|since| since.saturating_add(silence_max) <= self.now) {
            self.sever(slot);
        }
    }

    /// Gives a connection up, for its owner.
    pub(crate) fn disconnect(&mut self, node: u32, id: ConnectionId) {
        let Some((slot, _)) = self.connections.owned(id, node) else {
            return;
        };
        self.node(node).owned.remove(&slot);
        self.close_near(slot, End::Orderly);
    }

    /// Ends all of a node's ends.
    pub(crate) fn close_all(&mut self, node: u32, end: End) {
        for slot in std::mem::take(&mut self.node(node).owned) {
            self.close_near(slot, end);
        }
        for slot in std::mem::take(&mut self.node(node).accepted) {
            self.close_far(slot, end);
        }
    }

    fn close_near(&mut self, slot: u32, end: End) {
        let connection = self.connections.get(slot);
        let was_near = std::mem::replace(&mut connection.near, false);
        connection.closed = true;
        let (owner, target, session) = (connection.owner, connection.target, connection.session);
        let (far, back_link) = (connection.far, connection.forth_link);
        let lost = connection.back.lose();
        self.count_lost(lost, owner, target);
        if !was_near {
            let held = self.connections.get(slot).forth.lose();
            self.count_lost(held, target, owner);
        }
        if !far {
            self.stop_waiting(slot);
            self.connections.free(slot);
            return;
        }
        let due = self.last_word(slot, Way::Forth, back_link, end);
        self.agenda
            .add(self.now, due, What::FarGone { slot, session });
    }

    /// Takes a connection that was never (again) established off the lists of those that wait.
    fn stop_waiting(&mut self, slot: u32) {
        let connection = self.connections.get(slot);
        let (target, entry) = (connection.target, (slot, connection.generation));
        if target != NOBODY {
            self.node(target).waiting.retain(|each| *each != entry);
        } else if let Some(waiting) = self.unresolved.get_mut(&connection.endpoint) {
            waiting.retain(|each| *each != entry);
            if waiting.is_empty() {
                self.unresolved.remove(&connection.endpoint);
            }
        }
    }

    fn close_far(&mut self, slot: u32, end: End) {
        let connection = self.connections.get(slot);
        connection.far = false;
        connection.forth.unread = 0;
        let (owner, target, session) = (connection.owner, connection.target, connection.session);
        let (near, closed, link) = (connection.near, connection.closed, connection.back_link);
        // Frames held for the next session stay; those on the way have nowhere to go.
        let lost = if near || closed {
            connection.forth.lose()
        } else {
            0
        };
        self.count_lost(lost, target, owner);
        if closed {
            self.connections.free(slot);
        } else if near {
            let due = self.last_word(slot, Way::Back, link, end);
            self.agenda
                .add(self.now, due, What::NearGone { slot, session });
        }
    }

    /// Settles which frames of a direction still arrive after its sender ended, and returns when the
    /// other end learns of that.
    fn last_word(&mut self, slot: u32, way: Way, link: u32, end: End) -> u64 {
        let cut = self.links[link as usize].is_cut();
        let latency = self.links[link as usize].frame_nanos(Site::Handshake);
        let connection = self.connections.get(slot);
        let (owner, target) = (connection.owner, connection.target);
        let (sender, receiver) = match way {
            Way::Forth => (owner, target),
            Way::Back => (target, owner),
        };
        let flying = connection.pipe(way).flying.len();
        let kept = match end {
            End::Orderly => flying,
            End::Killed => self.survivors(sender, receiver, flying),
            End::Vanished => 0,
        };
        let pipe = self.connections.get(slot).pipe(way);
        pipe.flying.truncate(kept);
        let last = pipe.flying.back().map_or(0, |flying| flying.due);
        self.count_lost(flying - kept, receiver, sender);
        if cut || end == End::Vanished {
            return self.now.saturating_add(nanos(self.config.silence_max));
        }
        last.max(self.now.saturating_add(latency))
    }

    /// Draws how many of the frames on the way outlive their killed sender.
    fn survivors(&mut self, sender: u32, receiver: u32, flying: usize) -> usize {
        if flying == 0 {
            return 0;
        }
        let seed = self.config.seed;
        let receiver = self.node(receiver).name.clone();
        let state = self.node(sender);
        let site = format!("kill/{}/{}>{receiver}", state.name, state.incarnation);
        let mut stream = Stream::new(seed, &site);
        usize::try_from(stream.below(flying as u64 + 1)).unwrap_or(0)
    }

    /// Returns the connections between two nodes, whoever opened them.
    pub(crate) fn between(&mut self, one: u32, other: u32) -> Vec<u32> {
        let mut slots = Vec::new();
        for (owner, target) in [(one, other), (other, one)] {
            for slot in &self.nodes[owner as usize].owned {
                if self.connections.get(*slot).target == target {
                    slots.push(*slot);
                }
            }
        }
        slots
    }

    /// Cuts the way from one node to another: frames wait, datagrams are lost, and after
    /// `silence_max` the connections in both directions break.
    pub(crate) fn cut(&mut self, from: u32, to: u32) {
        let link = self.link(from, to);
        if self.links[link as usize].is_cut() {
            return;
        }
        self.links[link as usize].cut_since = Some(self.now);
        self.trace.add(self.now, TraceKind::Cut, from, to, 0);
        let due = self.now.saturating_add(nanos(self.config.silence_max));
        for slot in self.between(from, to) {
            let session = self.connections.get(slot).session;
            self.agenda
                .add(self.now, due, What::Silent { slot, session });
        }
    }

    /// Heals the way from one node to another: what waited goes on.
    pub(crate) fn heal(&mut self, from: u32, to: u32) {
        let link = self.link(from, to);
        if self.links[link as usize].cut_since.take().is_none() {
            return;
        }
        self.trace.add(self.now, TraceKind::Healed, from, to, 0);
        for slot in self.between(from, to) {
            for way in [Way::Forth, Way::Back] {
                self.arm(slot, way);
            }
        }
        self.try_waiting(from);
        self.try_waiting(to);
    }

    /// Puts the next arrival of a direction on the agenda, if there is one and it is not there.
    fn arm(&mut self, slot: u32, way: Way) {
        let connection = self.connections.get(slot);
        let session = connection.session;
        if way == Way::Forth && !connection.near {
            return;
        }
        let pipe = connection.pipe(way);
        if let (false, Some(next)) = (pipe.armed, pipe.flying.front()) {
            let due = next.due;
            pipe.armed = true;
            self.agenda
                .add(self.now, due, What::Arrive { slot, session, way });
        }
    }

    /// Returns the bytes that a node's `fill` draws from, for its present incarnation.
    pub(crate) fn entropy(&mut self, node: u32) -> &mut Stream {
        let seed = self.config.seed;
        let state = self.node(node);
        let (name, incarnation) = (&state.name, state.incarnation);
        state.entropy.get_or_insert_with(|| {
            Box::new(Stream::new(seed, &format!("entropy/{name}/{incarnation}")))
        })
    }
}
