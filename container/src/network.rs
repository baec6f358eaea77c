//! Frames in, frames out: greeting other nodes, keeping links, passing records on.
//!
//! ```text
//!   connected        ── hello(answer) ─▶
//!                    ◀─ hello ──────────   now both know each other's incarnation: records may leave
//!   connection lost, connected again: the same; then what is not acknowledged leaves once more
//!   another incarnation answers: the link ends, and what was under way is reported as lost
//! ```

use std::time::Duration;

use bytes::Bytes;
use monofil_proto::wire::{self, Kind};
use monofil_proto::{VERSION, decode_frame, encode};
use monofil_transport::{ConnectionId, Endpoint, Io, Plane, Route, SendError};

use crate::calls::{Destination, Origin, ServedKey};
use crate::core::{Core, Stage, Timer};
use crate::counters::Counter;
use crate::envelope::Envelope;
use crate::link::{Arrival, Marks};
use crate::peers::Health;
use crate::{CallError, NodeId, Undelivered};

/// A greeting is repeated after this, doubling to 16 times.
const GREET_AGAIN: Duration = Duration::from_millis(250);
/// How often requests that wait for a link are looked at.
const SWEEP: Duration = Duration::from_millis(100);

impl Core {
    // ── Connections ──────────────────────────────────────────────────────────────────────────────────

    /// Opens connections to all nodes the directory knows.
    pub(crate) fn connect_all(&mut self, io: &mut dyn Io) {
        let local = io.local().application;
        for endpoint in self.directory.endpoints() {
            if Some(&endpoint) != local.as_ref() {
                self.connect(io, endpoint);
            }
        }
    }

    pub(crate) fn connect(&mut self, io: &mut dyn Io, endpoint: Endpoint) -> Option<usize> {
        if let Some(known) = self.peers.by_endpoint(&endpoint) {
            return Some(known);
        }
        let index = self.add_peer()?;
        self.peers.name_endpoint(index, endpoint);
        self.dial(io, index);
        Some(index)
    }

    fn add_peer(&mut self) -> Option<usize> {
        let epoch = self.fresh_id();
        let index = self
            .peers
            .add(self.link_config, epoch, self.now, self.limits.peers);
        if index.is_none() {
            self.counters.add(Counter::PeersRefused);
        }
        index
    }

    /// Opens a connection to a node that said where it is.
    fn dial(&mut self, io: &mut dyn Io, index: usize) {
        let Some(endpoint) = self
            .peers
            .get(index)
            .and_then(|peer| peer.application.clone())
        else {
            return;
        };
        match io.connect(Plane::Application, &endpoint) {
            Ok(connection) => self.peers.name_connection(index, connection),
            Err(error) => tracing::warn!(node = %self.name, %endpoint, %error, "cannot connect"),
        }
    }

    pub(crate) fn peer_connected(&mut self, io: &mut dyn Io, connection: ConnectionId) {
        if let Some(index) = self.peers.by_connection(connection) {
            if let Some(peer) = self.peers.get_mut(index) {
                peer.connected = true;
                peer.established = false;
                peer.greetings = 0;
            }
            self.greet(io, index);
        }
    }

    pub(crate) fn peer_gone(&mut self, connection: ConnectionId) {
        if let Some(peer) = self
            .peers
            .by_connection(connection)
            .and_then(|index| self.peers.get_mut(index))
        {
            peer.connected = false;
            peer.established = false;
            // What the transport still held is sent again by the link.
            peer.unsent = None;
        }
    }

    pub(crate) fn writable(&mut self, connection: ConnectionId) {
        if let Some(index) = self.peers.by_connection(connection) {
            self.peers.mark_dirty(index);
        }
    }

    /// Introduces this node and asks the other to do the same.
    fn greet(&mut self, io: &mut dyn Io, index: usize) {
        let Some(peer) = self.peers.get(index) else {
            return;
        };
        let cookie = peer.connection.map_or(0, |connection| connection.0 + 1);
        let Some(route) = peer.route() else {
            return;
        };
        self.send_hello(io, Some(index), &route, true, cookie);
        self.set_greeting(index);
    }

    fn set_greeting(&mut self, index: usize) {
        let now = self.now;
        if let Some(peer) = self.peers.get_mut(index)
            && !peer.greeting_set
        {
            peer.greeting_set = true;
            let at = now + GREET_AGAIN * (1 << peer.greetings.min(4));
            peer.greetings += 1;
            self.timers.set(at, Timer::Greet(index));
        }
    }

    /// A greeting was not answered in time, perhaps.
    pub(crate) fn greeting_due(&mut self, index: usize) {
        if let Some(peer) = self.peers.get_mut(index) {
            peer.greeting_set = false;
            if peer.connected && !peer.established {
                self.peers.mark_dirty(index);
            }
        }
    }

    fn send_hello(
        &mut self,
        io: &mut dyn Io,
        to: Option<usize>,
        route: &Route,
        answer: bool,
        cookie: u64,
    ) {
        let local = io.local();
        let text = |endpoint: &Option<Endpoint>| {
            endpoint
                .as_ref()
                .map_or_else(String::new, ToString::to_string)
        };
        let mut components: Vec<_> = self
            .instances
            .iter()
            .map(|instance| instance.name.as_str().to_owned())
            .collect();
        components.dedup();
        components.truncate(self.bounds.components);
        let hello = wire::Hello {
            answer,
            application: text(&local.application),
            control: text(&local.control),
            datagram: local
                .datagram
                .map_or_else(String::new, |address| address.to_string()),
            components,
            cookie,
            unnumbered: false,
            name: self.name.as_str().to_owned(),
        };
        let mut frame = self.frame(to);
        frame.hello = Some(Box::new(hello));
        // Lost or refused, it is sent again by the timer or by the other side.
        if io.send(route, encode(&frame)).is_ok() {
            self.counters.add(Counter::FramesSent);
        }
    }

    /// Makes an empty frame to a node, or to whoever is there.
    fn frame(&mut self, to: Option<usize>) -> wire::Frame {
        let mut frame = wire::Frame {
            version: VERSION,
            network: self.network,
            sender: self.node.0.to_vec(),
            sender_incarnation: self.incarnation,
            ..wire::Frame::default()
        };
        if let Some(peer) = to.and_then(|index| self.peers.get_mut(index))
            && let Some(node) = peer.node
        {
            frame.receiver = node.0.to_vec();
            frame.receiver_incarnation = peer.incarnation;
            frame.link_epoch = peer.epoch;
            set_marks(&mut frame, &peer.link.peek_marks());
        }
        frame
    }

    // ── Frames in ────────────────────────────────────────────────────────────────────────────────────

    pub(crate) fn handle_frame(&mut self, io: &mut dyn Io, from: &Route, bytes: &Bytes) {
        self.counters.add(Counter::FramesReceived);
        let mut frame = match decode_frame(bytes, &self.bounds) {
            Ok(frame) => frame,
            Err(error) => {
                self.counters.malformed(error.reason);
                tracing::debug!(node = %self.name, %error, "a frame was refused");
                return;
            }
        };
        if self.network != 0 && frame.network != 0 && frame.network != self.network {
            self.counters.add(Counter::FramesForeignNetwork);
            return;
        }
        let Some(node) = NodeId::from_wire(&frame.sender).filter(|node| *node != self.node) else {
            self.counters.add(Counter::FramesMisdirected);
            return;
        };
        if !self.is_for_us(&frame) {
            // Meant for who was here before: whoever sent it learns who is here now.
            self.counters.add(Counter::FramesMisdirected);
            if frame.hello.is_none() {
                self.send_hello(io, None, from, true, 0);
                return;
            }
            frame.records.clear();
            frame.first_sequence = 0;
            frame.link_epoch = 0;
            set_marks(&mut frame, &Marks::default());
        }
        let hello = frame.hello.take();
        let Some(index) = self.sender_of(io, node, &frame, hello.as_deref(), from) else {
            return;
        };
        if let Some(hello) = hello {
            self.handle_hello(io, index, &hello, from);
        }
        self.handle_records(index, frame);
    }

    fn is_for_us(&self, frame: &wire::Frame) -> bool {
        let same_node = frame.receiver.is_empty() || frame.receiver == self.node.0;
        let same_life =
            frame.receiver_incarnation == 0 || frame.receiver_incarnation == self.incarnation;
        same_node && same_life
    }

    /// Finds who sent a frame, and notices when it began anew.
    fn sender_of(
        &mut self,
        io: &mut dyn Io,
        node: NodeId,
        frame: &wire::Frame,
        hello: Option<&wire::Hello>,
        from: &Route,
    ) -> Option<usize> {
        let known = self.peers.by_node(&node);
        let dialed = hello.and_then(|hello| self.dialed(hello));
        let index = match (known, dialed) {
            (Some(known), Some(dialed)) if known != dialed => {
                self.merge(io, dialed, known);
                known
            }
            (Some(known), _) => known,
            (None, Some(dialed)) => {
                self.replace_node(dialed);
                dialed
            }
            (None, None) if frame.first_sequence > 0 => {
                // Numbered records of a node that thinks it has been introduced.
                self.send_hello(io, None, from, true, 0);
                return None;
            }
            (None, None) => self.add_peer()?,
        };
        if self.peers.node(index).is_none() {
            self.peers.name_node(index, node);
        }
        self.check_incarnation(io, index, frame, hello, from)?;
        let now = self.now;
        let peer = self.peers.get_mut(index)?;
        peer.heard = now;
        if peer.connection.is_none() || hello.is_some() {
            peer.way_back = Some(from.clone());
        }
        if hello.is_none()
            && frame.first_sequence == 0
            && peer.connection.is_none()
            && !peer.established
        {
            // A program that speaks without introducing itself: at most once, on its own connection.
            peer.link.set_unnumbered();
            peer.established = true;
        }
        self.heard_of(index);
        Some(index)
    }

    /// Finds the node that was dialed, by what the answer to a greeting brings back.
    fn dialed(&self, hello: &wire::Hello) -> Option<usize> {
        let cookie = hello.cookie.checked_sub(1).filter(|_| !hello.answer);
        let by_cookie = cookie.and_then(|id| self.peers.by_connection(ConnectionId(id)));
        by_cookie.or_else(|| {
            let endpoint = hello.application.parse().ok()?;
            self.peers.by_endpoint(&endpoint)
        })
    }

    /// Another node answers where one was known: the old one is gone from there.
    fn replace_node(&mut self, index: usize) {
        if self.peers.node(index).is_some() {
            self.end_link(index, "another node answers in its place");
            self.peers.forget_node(index);
        }
    }

    /// Two entries turn out to be one node: one was dialed, the other spoke first.
    fn merge(&mut self, io: &mut dyn Io, dialed: usize, known: usize) {
        let Some(mut old) = self.peers.remove(dialed) else {
            return;
        };
        if let Some(endpoint) = old.application.take() {
            self.peers.alias(endpoint, known);
        }
        let keep = self
            .peers
            .get(known)
            .is_some_and(|peer| peer.connection.is_none());
        match old.connection {
            Some(connection) if keep => {
                self.peers.name_connection(known, connection);
                if let Some(peer) = self.peers.get_mut(known) {
                    peer.connected = old.connected;
                }
            }
            Some(connection) => {
                io.disconnect(connection);
                // The other side may have taken it for its way back.
                self.greet(io, known);
            }
            None => {}
        }
        let place = self.peers.place(known);
        for envelope in old.link.take_requests() {
            let id = envelope.id;
            let moved = self
                .peers
                .get_mut(known)
                .map(|peer| peer.link.offer(envelope, &place));
            if let Some(Err(refused)) = moved {
                self.request_failed(&refused.1, refused.0.clone());
            } else if let Some(call) = self.calls.get_mut(&id) {
                call.destination = Destination::Peer(known);
            }
        }
        self.calls
            .values_mut()
            .filter(|call| call.destination == Destination::Peer(dialed))
            .for_each(|call| call.destination = Destination::Peer(known));
        self.peers.mark_dirty(known);
    }

    fn check_incarnation(
        &mut self,
        io: &mut dyn Io,
        index: usize,
        frame: &wire::Frame,
        hello: Option<&wire::Hello>,
        from: &Route,
    ) -> Option<()> {
        let known = self.peers.incarnation(index)?;
        let spoken = frame.sender_incarnation;
        if spoken < known {
            self.counters.add(Counter::FramesStale);
            return None;
        }
        if spoken > known {
            if known > 0 {
                self.end_link(index, "it began anew");
            }
            let peer = self.peers.get_mut(index)?;
            peer.incarnation = spoken;
            peer.their_epoch = 0;
            peer.established = false;
            if hello.is_none() && frame.first_sequence > 0 {
                self.send_hello(io, None, from, true, 0);
                return None;
            }
        }
        let epoch = frame.link_epoch;
        let known_epoch = self.peers.get(index)?.their_epoch;
        if epoch > 0 && epoch < known_epoch {
            self.counters.add(Counter::FramesStale);
            return None;
        }
        if epoch > known_epoch && known_epoch > 0 {
            self.end_link(index, "it had forgotten this node");
        }
        let peer = self.peers.get_mut(index)?;
        peer.their_epoch = peer.their_epoch.max(epoch);
        Some(())
    }

    fn handle_hello(&mut self, io: &mut dyn Io, index: usize, hello: &wire::Hello, from: &Route) {
        let Some(peer) = self.peers.get_mut(index) else {
            return;
        };
        let was_established = peer.established;
        peer.established = true;
        peer.greetings = 0;
        peer.name = hello.name.as_str().into();
        peer.control = hello.control.parse().ok();
        peer.datagram = hello.datagram.parse().ok();
        peer.components = hello
            .components
            .iter()
            .map(|name| name.as_str().into())
            .collect();
        if hello.unnumbered {
            peer.link.set_unnumbered();
        } else if !was_established || hello.answer {
            peer.link.reconnected();
        }
        let advertised: Option<Endpoint> = hello.application.parse().ok();
        if let Some(endpoint) = advertised
            && self.peers.by_endpoint(&endpoint) != Some(index)
        {
            self.peers.name_endpoint(index, endpoint);
        }
        if hello.answer {
            self.send_hello(io, Some(index), from, false, hello.cookie);
        }
        if self
            .peers
            .get(index)
            .is_some_and(|peer| peer.connection.is_none())
        {
            self.dial(io, index);
        }
        self.peers.mark_dirty(index);
    }

    fn handle_records(&mut self, index: usize, frame: wire::Frame) {
        let now = self.now;
        let marks = marks_of(&frame);
        let Some(peer) = self.peers.get_mut(index) else {
            return;
        };
        let incarnation = peer.incarnation;
        let numbered = frame.first_sequence > 0;
        let (skip, mut sequence) = if numbered && !frame.records.is_empty() {
            match peer
                .link
                .handle_records(now, frame.first_sequence, frame.records.len())
            {
                Arrival::New { skip, sequence } => (skip, sequence),
                Arrival::Gap => {
                    peer.link.handle_marks(now, &marks, false);
                    self.counters.add(Counter::LinkGaps);
                    self.peers.mark_dirty(index);
                    return;
                }
            }
        } else {
            (0, 0)
        };
        self.counters
            .add_many(Counter::RecordsDuplicate, skip as u64);
        for record in frame.records.into_iter().skip(skip) {
            self.counters.add(Counter::RecordsReceived);
            let record_sequence = if numbered { sequence } else { 0 };
            sequence += 1;
            match Envelope::from_record(record, now, self.default_deadline) {
                Some(envelope) => self.handle_record(index, incarnation, record_sequence, envelope),
                None => {
                    self.counters.add(Counter::RecordsInvalid);
                    self.settle_peer(index, record_sequence);
                }
            }
        }
        if let Some(peer) = self.peers.get_mut(index) {
            peer.link.handle_marks(now, &marks, true);
        }
        self.peers.mark_dirty(index);
    }

    fn handle_record(&mut self, peer: usize, incarnation: u64, sequence: u64, envelope: Envelope) {
        let id = envelope.id;
        match envelope.kind {
            Kind::Call | Kind::Cast | Kind::Publish => {
                self.handle_request(peer, incarnation, sequence, envelope);
                return;
            }
            Kind::Reply if self.came_from(peer, id) => self.end_call(id, Ok(envelope.payload)),
            Kind::Failure => self.handle_failure(peer, envelope),
            Kind::Cancel => self.cancel_served(ServedKey {
                peer: Some(peer),
                id,
            }),
            Kind::Item => self.item_arrived(Some(peer), id, envelope.item, envelope.payload),
            Kind::End if self.came_from(peer, id) => self.stream_ended(id, envelope.item),
            Kind::Credit => {
                self.stream_credit(
                    ServedKey {
                        peer: Some(peer),
                        id,
                    },
                    envelope.credit,
                );
            }
            Kind::Reply | Kind::End | Kind::Unspecified => {}
        }
        self.settle_peer(peer, sequence);
    }

    /// Answers are believed only from where the call went; late ones are counted.
    fn came_from(&mut self, peer: usize, id: u64) -> bool {
        match self.calls.get(&id) {
            Some(call) => call.destination == Destination::Peer(peer),
            None => true,
        }
    }

    fn handle_request(&mut self, peer: usize, incarnation: u64, sequence: u64, envelope: Envelope) {
        let answer = envelope.kind == Kind::Call;
        let origin = Origin::Remote {
            peer,
            incarnation,
            id: envelope.id,
            sequence,
            answer,
        };
        if let Some(state) = self.peers.get_mut(peer) {
            state.link.handle_request(envelope.payload.bytes.len());
        }
        let is_known = origin
            .served_key()
            .is_some_and(|key| self.served.contains_key(&key));
        let delivered = if !self.accepts_new() {
            Err(CallError::Draining(self.name.clone()))
        } else if is_known {
            // A program that numbers nothing repeated itself: the first is being worked on.
            self.counters.add(Counter::RecordsDuplicate);
            return;
        } else {
            let envelope = Envelope {
                target: self.qualified(&envelope.target),
                ..envelope
            };
            self.deliver(envelope, origin.clone())
        };
        if let Err(error) = delivered {
            self.rejected(&error);
            self.conclude(&origin, Err(error));
        }
    }

    fn handle_failure(&mut self, peer: usize, envelope: Envelope) {
        let error = envelope.outcome.map_or_else(
            || CallError::Timeout("it failed, and its node did not say how".into()),
            |error| *error,
        );
        if self.calls.contains_key(&envelope.id) {
            if self.came_from(peer, envelope.id) {
                self.end_call(envelope.id, Err(error));
            }
            return;
        }
        let entry = self
            .peers
            .get_mut(peer)
            .and_then(|peer| peer.link.take_cast(envelope.id));
        match entry {
            Some(entry) => self.cast_lost(entry, error),
            None => self.end_call(envelope.id, Err(error)),
        }
    }

    fn cast_lost(&mut self, entry: crate::link::LedgerEntry, error: CallError) {
        let sender = self
            .by_name
            .get(&entry.source)
            .and_then(|all| all.first())
            .copied();
        let undelivered = Undelivered {
            id: entry.id,
            target: entry.target,
            method: entry.method,
            flow: entry.flow,
            error,
        };
        self.return_cast(sender, undelivered);
    }

    // ── Links ────────────────────────────────────────────────────────────────────────────────────────

    /// The other incarnation of a link is gone: everything under way is reported, each to its sender.
    fn end_link(&mut self, index: usize, why: &str) {
        let epoch = self.fresh_id();
        let Some(peer) = self.peers.get_mut(index) else {
            return;
        };
        self.counters.add(Counter::LinksEnded);
        let place = peer.place();
        let lost = peer.link.end();
        peer.unsent = None;
        peer.epoch = epoch;
        let incarnation = peer.incarnation;
        tracing::info!(node = %self.name, peer = %place, incarnation, why, "link ended");
        let error = CallError::PeerLost(format!("`{place}`: {why}"));
        let mut calls: Vec<u64> = self
            .calls
            .iter()
            .filter(|(_, call)| call.destination == Destination::Peer(index) && !call.is_over())
            .map(|(id, _)| *id)
            .collect();
        calls.sort_unstable();
        for id in calls {
            let fresh = self
                .peers
                .get(index)
                .is_some_and(|peer| peer.link.is_fresh(id));
            if !fresh {
                self.end_call(id, Err(error.clone()));
            }
        }
        for entry in lost {
            self.cast_lost(entry, error.clone());
        }
        let mut served: Vec<_> = self
            .served
            .keys()
            .filter(|key| key.peer == Some(index))
            .copied()
            .collect();
        served.sort_unstable_by_key(|key| key.id);
        for key in served {
            self.cancel_served(key);
        }
    }

    /// Gives a request to a link. Where nobody has introduced itself yet it waits, within its deadline.
    pub(crate) fn offer(&mut self, index: usize, envelope: Envelope) -> Result<(), CallError> {
        let place = self.peers.place(index);
        let Some(peer) = self.peers.get_mut(index) else {
            return Err(CallError::Unreachable("the node was forgotten".into()));
        };
        if let Err(refused) = peer.link.offer(envelope, &place) {
            return Err(refused.0);
        }
        if !peer.established && !self.peers.sweep_set {
            self.peers.sweep_set = true;
            self.timers.set(self.now + SWEEP, Timer::Sweep);
        }
        self.peers.mark_dirty(index);
        Ok(())
    }

    /// Gives anything but a request to a link.
    pub(crate) fn answer_peer(&mut self, index: usize, envelope: Envelope, settles: Option<u64>) {
        if let Some(peer) = self.peers.get_mut(index) {
            peer.link.answer(envelope, settles);
            self.peers.mark_dirty(index);
        }
    }

    pub(crate) fn settle_peer(&mut self, index: usize, sequence: u64) {
        if sequence > 0
            && let Some(peer) = self.peers.get_mut(index)
        {
            peer.link.settle(sequence);
        }
    }

    pub(crate) fn link_due(&mut self, index: usize) {
        if let Some(peer) = self.peers.get_mut(index) {
            peer.link_timer = None;
            self.peers.mark_dirty(index);
        }
    }

    /// Ends casts that wait for a link and have expired. (Calls have timers of their own.)
    pub(crate) fn sweep_requests(&mut self) {
        self.peers.sweep_set = false;
        let mut waiting = false;
        for index in self.peers.indices() {
            let now = self.now;
            let Some(peer) = self.peers.get_mut(index) else {
                continue;
            };
            let place = peer.place();
            let expired = peer.link.expire(now);
            waiting |= !peer.established && peer.link.has_fresh_requests();
            for envelope in expired {
                let text = format!("`{place}` could not be reached before the deadline");
                self.request_failed(&envelope, CallError::Unreachable(text));
            }
        }
        if waiting {
            self.peers.sweep_set = true;
            self.timers.set(self.now + SWEEP, Timer::Sweep);
        }
    }

    /// A request that never left ends here.
    fn request_failed(&mut self, envelope: &Envelope, error: CallError) {
        if envelope.kind == Kind::Call {
            self.end_call(envelope.id, Err(error));
        } else {
            self.cast_lost(crate::link::LedgerEntry::of(envelope, 0), error);
        }
    }

    // ── Frames out ───────────────────────────────────────────────────────────────────────────────────

    /// Sends what there is, a frame for each node and as many as it takes.
    pub(crate) fn flush(&mut self, io: &mut dyn Io) {
        if self.stage == Stage::Flushing {
            self.acknowledge_all();
        }
        for index in self.peers.take_dirty() {
            let Some(peer) = self.peers.get(index) else {
                continue;
            };
            if peer.established {
                self.pump(io, index);
            } else if peer.connected && !peer.greeting_set {
                self.greet(io, index);
            }
        }
    }

    /// Lets nobody wait for an acknowledgement from a node that is about to end.
    fn acknowledge_all(&mut self) {
        for index in self.peers.indices() {
            let waits = |peer: &mut crate::peers::Peer| peer.link.hurry();
            if self.peers.get_mut(index).is_some_and(waits) {
                self.peers.mark_dirty(index);
            }
        }
    }

    fn pump(&mut self, io: &mut dyn Io, index: usize) {
        let Some(route) = self.peers.get(index).and_then(crate::peers::Peer::route) else {
            return;
        };
        loop {
            let now = self.now;
            let Some(peer) = self.peers.get_mut(index) else {
                return;
            };
            let frame = match peer.unsent.take() {
                Some(frame) => frame,
                None => match peer.link.poll_frame(now) {
                    Some(batch) => self.encode_batch(index, &batch),
                    None => break,
                },
            };
            match io.send(&route, frame) {
                Ok(()) => self.counters.add(Counter::FramesSent),
                Err(SendError::Full(frame)) => {
                    if let Some(peer) = self.peers.get_mut(index) {
                        peer.unsent = Some(frame);
                    }
                    if matches!(route, Route::Return(..)) {
                        // Nothing says when it has room: try again soon.
                        self.set_link_timer(index, now + Duration::from_millis(5));
                    }
                    return;
                }
                Err(SendError::Gone(_)) => {
                    if let Some(peer) = self.peers.get_mut(index) {
                        peer.established = false;
                    }
                    return;
                }
                Err(error) => {
                    tracing::error!(node = %self.name, %error, "a frame could not be sent");
                }
            }
        }
        if let Some(at) = self
            .peers
            .get(index)
            .and_then(|peer| peer.link.next_deadline())
        {
            self.set_link_timer(index, at);
        }
    }

    fn set_link_timer(&mut self, index: usize, at: monofil_transport::Instant) {
        if let Some(peer) = self.peers.get_mut(index)
            && peer.link_timer.is_none_or(|set| at < set)
        {
            peer.link_timer = Some(at);
            self.timers.set(at, Timer::Link(index));
        }
    }

    fn encode_batch(&mut self, index: usize, batch: &crate::link::Batch) -> Bytes {
        let count = batch.records.len() as u64;
        let counter = if batch.resent {
            Counter::RecordsResent
        } else {
            Counter::RecordsSent
        };
        self.counters.add_many(counter, count);
        let now = self.now;
        let mut frame = self.frame(Some(index));
        frame.first_sequence = batch.first_sequence;
        frame.records = batch
            .records
            .iter()
            .map(|envelope| envelope.to_record(now))
            .collect();
        set_marks(&mut frame, &batch.marks);
        encode(&frame)
    }

    /// Notes that a node is there.
    pub(crate) fn heard_of(&mut self, index: usize) {
        let now = self.now;
        if let Some(peer) = self.peers.get_mut(index) {
            peer.heard = now;
            if peer.health != Health::Alive {
                if matches!(peer.health, Health::Silent | Health::Busy { .. }) {
                    tracing::info!(node = %self.name, peer = %peer.place(), "peer answers again");
                }
                peer.health = Health::Alive;
                peer.health_since = now;
            }
        }
    }

    /// Tells whether all that was sent has arrived, as far as that can be known.
    pub(crate) fn is_flushed(&self) -> bool {
        self.peers.iter().all(|(_, peer)| {
            let reachable = peer.established && peer.route().is_some();
            !reachable || (peer.unsent.is_none() && peer.link.is_flushed())
        })
    }
}

const fn set_marks(frame: &mut wire::Frame, marks: &Marks) {
    frame.received = marks.received;
    frame.settled = marks.settled;
    frame.credit_records = marks.credit_records;
    frame.credit_bytes = marks.credit_bytes;
    frame.resend = marks.resend;
}

const fn marks_of(frame: &wire::Frame) -> Marks {
    Marks {
        received: frame.received,
        settled: frame.settled,
        credit_records: frame.credit_records,
        credit_bytes: frame.credit_bytes,
        resend: frame.resend,
    }
}
