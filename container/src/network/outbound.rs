//! Frames that leave.

use std::time::Duration;

use bytes::Bytes;
use monofil_proto::{Head, VERSION, wire, write_frame};
use monofil_transport::{Io, Route, SendError};

use crate::core::{Core, Stage, Timer};
use crate::counters::Counter;
use crate::link::Marks;

impl Core {
    /// Sends what there is, a frame for each node and as many as it takes.
    pub(crate) fn flush(&mut self, io: &mut dyn Io) {
        if matches!(self.stage, Stage::Flushing { .. }) {
            self.acknowledge_all();
        }
        for index in self.peers.take_dirty() {
            if self.peers.get(index).is_some_and(|peer| peer.undialed) {
                self.dial(io, index);
            }
            let Some(peer) = self.peers.get(index) else {
                continue;
            };
            if peer.link.is_overrun() && !peer.lasting {
                self.forget(io, index, "it takes no answers");
                continue;
            }
            let Some(peer) = self.peers.get(index) else {
                continue;
            };
            if peer.is_established() {
                self.pump(io, index);
            } else if peer.wants_greeting() && !peer.greeting_set {
                self.greet(io, index);
            }
            self.watch_requests(index);
        }
    }

    /// Tells a node that this is the last it hears on this link. If it does not get through, it finds out in
    /// other ways.
    pub(super) fn say_closing(&mut self, io: &mut dyn Io, index: usize, closing: wire::Closing) {
        let Some(peer) = self.peers.get(index) else {
            return;
        };
        let Some(route) = peer.route().filter(|_| peer.is_established()) else {
            return;
        };
        if peer.link.is_unnumbered() {
            return;
        }
        let mut head = self.head(Some(index));
        head.closing = closing.into();
        if io.send(&route, write_frame(&head, None)).is_ok() {
            self.counters.add(Counter::FramesSent);
        }
    }

    /// Says goodbye to everybody.
    pub(crate) fn leave(&mut self, io: &mut dyn Io) {
        for index in self.peers.indices() {
            self.say_closing(io, index, wire::Closing::Leaving);
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
                    Some(batch) => self.write_batch(index, &batch),
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
                    self.peer_unreachable(index);
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

    /// The way to a node is gone.
    pub(crate) fn peer_unreachable(&mut self, index: usize) {
        if let Some(peer) = self.peers.get_mut(index) {
            peer.introduced = false;
        }
    }

    pub(super) fn set_link_timer(&mut self, index: usize, at: monofil_transport::Instant) {
        if let Some(peer) = self.peers.get_mut(index) {
            self.timers
                .hasten(&mut peer.link_timer, at, Timer::Link(index));
        }
    }

    fn write_batch(&mut self, index: usize, batch: &crate::link::Batch) -> Bytes {
        let counter = if batch.resent {
            Counter::RecordsResent
        } else {
            Counter::RecordsSent
        };
        self.counters.add_many(counter, batch.records as u64);
        let now = self.now;
        let mut head = self.head(Some(index));
        head.first_sequence = batch.first_sequence;
        set_marks(&mut head, &batch.marks);
        self.peers
            .get_mut(index)
            .map_or_else(Bytes::new, |peer| peer.link.write(&head, batch, now))
    }

    /// Returns how many messages there are to handle here, or being handled.
    pub(crate) fn load(&self) -> u32 {
        u32::try_from(self.queued_messages + self.tasks.len()).unwrap_or(u32::MAX)
    }

    /// Makes what every frame to a node begins with, or to whoever is there.
    pub(crate) fn head(&self, to: Option<usize>) -> Head {
        let mut head = Head {
            version: VERSION,
            network: self.network,
            sender: self.node.0,
            sender_incarnation: self.incarnation,
            ..Head::default()
        };
        if let Some(peer) = to.and_then(|index| self.peers.get(index))
            && let Some(node) = peer.node
        {
            head.receiver = Some(node.0);
            head.receiver_incarnation = peer.incarnation;
            head.link_epoch = peer.epoch;
            head.receiver_epoch = peer.their_epoch;
            set_marks(&mut head, &peer.link.peek_marks());
            if !peer.link.is_unnumbered() {
                head.load = self.load().saturating_add(1);
            }
        }
        head
    }
}

const fn set_marks(head: &mut Head, marks: &Marks) {
    head.received = marks.received;
    head.settled = marks.settled;
    head.credit_records = marks.credit_records;
    head.credit_bytes = marks.credit_bytes;
    head.resend = marks.resend;
}
