//! Who is there: introducing this node, and finding out who another is.

use std::time::Duration;

use monofil_proto::{Head, wire, write_frame};
use monofil_transport::{ConnectionId, Endpoint, Io, Route};

use crate::NodeId;
use crate::calls::Destination;
use crate::core::{Core, Timer};
use crate::counters::Counter;

/// A greeting is repeated after this, doubling to 16 times.
const GREET_AGAIN: Duration = Duration::from_millis(250);
/// Connections that a node opens because a stranger said where it is, and that nobody has taken yet. Whoever
/// comes beyond is answered on its own connection.
const UNPROVEN_MAX: usize = 64;
/// A node that speaks on a link that is over is told so once in this time.
const CORRECT_AGAIN: Duration = Duration::from_millis(20);

impl Core {
    /// Introduces this node and asks the other to do the same.
    pub(super) fn greet(&mut self, io: &mut dyn Io, index: usize) {
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
            if peer.wants_greeting() {
                self.peers.mark_dirty(index);
            }
        }
    }

    pub(super) fn send_hello(
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
        let frame = write_frame(&self.head(to), Some(&hello));
        // Lost or refused, it is sent again by the timer or by the other side.
        if io.send(route, frame).is_ok() {
            self.counters.add(Counter::FramesSent);
        }
    }

    /// Finds who sent a frame, and notices when it began anew.
    pub(super) fn sender_of(
        &mut self,
        io: &mut dyn Io,
        node: NodeId,
        frame: &Head,
        hello: Option<&wire::Hello>,
        from: &Route,
    ) -> Option<usize> {
        let known = self.peers.by_node(&node);
        let dialed = hello.and_then(|hello| self.dialed(hello, from));
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
            (None, None) if hello.is_none() && is_of_a_link(frame) => {
                // It thinks it has been introduced.
                self.send_hello(io, None, from, true, 0);
                return None;
            }
            (None, None) => self.add_peer(io)?,
        };
        if self.peers.node(index).is_none() {
            self.peers.name_node(index, node);
        }
        if self
            .follow_incarnation(index, frame.sender_incarnation)
            .is_none()
        {
            if hello.is_some() {
                self.correct(io, index, from);
            }
            return None;
        }
        self.follow_epoch(index, frame.link_epoch)?;
        self.follow_numbering(index, frame, hello);
        let peer = self.peers.get_mut(index)?;
        if peer.connection.is_none() || hello.is_some() {
            peer.way_back = Some(from.clone());
        }
        self.heard_of(index);
        Some(index)
    }

    /// Finds the node that was dialed: by the answer to a greeting, on the connection that was greeted; or by
    /// where the sender says that it is, as long as nobody has answered there. Any stranger can say either
    /// elsewhere, and a node that has answered is not replaced by one that did not.
    fn dialed(&self, hello: &wire::Hello, from: &Route) -> Option<usize> {
        let own = match from {
            Route::Connection(connection) => self.peers.by_connection(*connection),
            Route::Return(..) => None,
        };
        let cookie = hello.cookie.checked_sub(1).filter(|_| !hello.answer);
        let answered = cookie.is_some_and(|id| *from == Route::Connection(ConnectionId(id)));
        own.filter(|_| answered).or_else(|| {
            let endpoint = hello.application.parse().ok()?;
            let index = self.peers.by_endpoint(&endpoint)?;
            (own == Some(index) || self.peers.node(index).is_none()).then_some(index)
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
        // Somebody else may have been at the dialed endpoint before.
        self.replace_node(dialed);
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
        if let Some(peer) = self.peers.get_mut(known) {
            peer.lasting |= old.lasting;
        }
        self.move_requests(&mut old.link, dialed, known);
    }

    /// Lets what was meant for one entry and has not left go to another.
    fn move_requests(&mut self, from: &mut crate::link::Link, old: usize, new: usize) {
        for envelope in from.take_requests() {
            let now = self.now;
            let moved = self.peers.get_mut(new);
            let moved = moved.map(|peer| peer.offer(now, envelope));
            if let Some(Err(refused)) = moved {
                self.request_failed(&refused.1, refused.0.clone());
            }
        }
        self.calls
            .values_mut()
            .filter(|call| call.destination == Destination::Peer(old))
            .for_each(|call| call.destination = Destination::Peer(new));
        self.peers.mark_dirty(new);
    }

    /// Notices that a node began anew. `None`: what speaks is a life that is over.
    fn follow_incarnation(&mut self, index: usize, spoken: u64) -> Option<()> {
        let known = self.peers.incarnation(index)?;
        if spoken < known {
            self.counters.add(Counter::FramesStale);
            let peer = self.peers.get_mut(index)?;
            if std::mem::replace(&mut peer.outdated, spoken) != spoken {
                tracing::warn!(
                    node = %self.name, peer = %peer.place(), known, spoken,
                    "an earlier life of a peer speaks; it is not heard"
                );
            }
            return None;
        }
        if spoken > known {
            if known > 0 {
                self.end_link(index, "it began anew");
            }
            let peer = self.peers.get_mut(index)?;
            peer.incarnation = spoken;
            peer.their_epoch = 0;
            peer.closed_epoch = 0;
            peer.introduced = false;
        }
        Some(())
    }

    /// Tells a node that speaks on a link, or as a life, that is over how things are; but not for each of the
    /// frames it sent meanwhile.
    pub(super) fn correct(&mut self, io: &mut dyn Io, index: usize, from: &Route) {
        let now = self.now;
        if let Some(peer) = self.peers.get_mut(index)
            && peer.corrected.is_none_or(|at| now >= at + CORRECT_AGAIN)
        {
            peer.corrected = Some(now);
            self.send_hello(io, Some(index), from, true, 0);
        }
    }

    /// Notes that others know a later life of this node: they do not listen to this one.
    pub(crate) fn outdated_by(&mut self, known: u64) {
        if !std::mem::replace(&mut self.outdated, true) {
            tracing::error!(
                node = %self.name, incarnation = self.incarnation, known,
                "this node is known to have begun later than it did, and nobody listens to it; \
                 does it run twice, or did the clock go back?"
            );
        }
    }

    /// Notices that a node had forgotten this one and begins another link. This side's own epoch stays: if
    /// following made a new one, the two would go on ending each other's links. `None`: the frame is of a
    /// link before.
    fn follow_epoch(&mut self, index: usize, spoken: u64) -> Option<()> {
        let peer = self.peers.get(index)?;
        let known = peer.their_epoch;
        if spoken == 0 || spoken == known {
            return Some(());
        }
        if spoken < known || spoken <= peer.closed_epoch {
            self.counters.add(Counter::FramesStale);
            return None;
        }
        if known > 0 {
            self.end_link(index, "it had forgotten this node");
        }
        self.peers.get_mut(index)?.their_epoch = spoken;
        Some(())
    }

    /// Notices whether a node numbers its records. Whoever says that it does not ends the link on which it did: of what
    /// is under way there it will say nothing any more. Whoever names both epochs of the link does number, whatever
    /// anybody said in its name before.
    fn follow_numbering(&mut self, index: usize, frame: &Head, hello: Option<&wire::Hello>) {
        let Some(peer) = self.peers.get_mut(index) else {
            return;
        };
        if peer.link.is_unnumbered() {
            let numbers = frame.link_epoch > 0 && frame.receiver_epoch == peer.epoch;
            if numbers && hello.is_none_or(|hello| !hello.unnumbered) {
                self.end_link(index, "it numbers its records now");
            }
            return;
        }
        if hello.is_none()
            && !is_of_a_link(frame)
            && peer.connection.is_none()
            && !peer.introduced
            && peer.their_epoch == 0
        {
            // A program that speaks without introducing itself: at most once, on its own connection.
            peer.introduced = true;
        } else if hello.is_none_or(|hello| !hello.unnumbered) {
            return;
        }
        if peer.their_epoch > 0 {
            self.end_link(index, "it does not number its records any more");
        }
        if let Some(peer) = self.peers.get_mut(index) {
            // What it said before on the link may come late.
            peer.closed_epoch = peer.closed_epoch.max(std::mem::take(&mut peer.their_epoch));
            peer.link.set_unnumbered();
        }
    }

    pub(super) fn handle_hello(
        &mut self,
        io: &mut dyn Io,
        index: usize,
        hello: &wire::Hello,
        from: &Route,
    ) {
        let Some(peer) = self.peers.get_mut(index) else {
            return;
        };
        let is_new_connection = hello.answer && hello.cookie > 0;
        let was_introduced = std::mem::replace(&mut peer.introduced, true);
        peer.dormant = false;
        peer.greetings = 0;
        peer.name = hello.name.as_str().into();
        peer.control = hello.control.parse().ok();
        peer.datagram = hello.datagram.parse().ok();
        peer.components = hello
            .components
            .iter()
            .map(|name| name.as_str().into())
            .collect();
        if !was_introduced {
            for component in &peer.components {
                self.resilience.try_soon(self.now, component);
            }
        }
        if !hello.unnumbered && (!was_introduced || is_new_connection) {
            peer.link.reconnected();
        }
        let advertised: Option<Endpoint> = hello.application.parse().ok();
        if let Some(endpoint) = advertised
            && self.peers.by_endpoint(&endpoint) != Some(index)
        {
            self.peers.advertise(index, endpoint);
        }
        if hello.answer {
            self.send_hello(io, Some(index), from, false, hello.cookie);
        }
        if self
            .peers
            .get(index)
            .is_some_and(|peer| peer.connection.is_none())
            && self.peers.unproven() < UNPROVEN_MAX
        {
            self.dial(io, index);
        }
        self.peers.mark_dirty(index);
    }
}

/// Tells whether a frame is of a link that numbers its records: only then is there an epoch.
pub(super) const fn is_of_a_link(frame: &Head) -> bool {
    frame.link_epoch > 0 || frame.first_sequence > 0
}
