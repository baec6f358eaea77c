//! What links carry from here, and what becomes of it when they end.

use std::time::Duration;

use monofil_proto::wire::{Closing, Kind};

use crate::CallError;
use crate::calls::{Destination, LinkKey, OutgoingCall};
use crate::core::{Core, Timer};
use crate::counters::Counter;
use crate::envelope::Envelope;
use crate::link::LedgerEntry;
use crate::parcel::Parcel;
use crate::peers::{Health, Peer};

/// How often requests that wait for a link are looked at.
const SWEEP: Duration = Duration::from_millis(100);

impl Core {
    /// The other incarnation of a link is gone: everything under way is reported, each to its sender.
    pub(super) fn end_link(&mut self, index: usize, why: &str) {
        let number = self.fresh_id();
        let Some(peer) = self.peers.get_mut(index) else {
            return;
        };
        self.counters.add(Counter::LinksEnded);
        let place = peer.place();
        let old = LinkKey {
            peer: index,
            number: std::mem::replace(&mut peer.link_number, number),
        };
        let lost = peer.link.end();
        peer.unsent = None;
        peer.draining = false;
        peer.forget_refusals();
        let incarnation = peer.incarnation;
        tracing::info!(node = %self.name, peer = %place, incarnation, why, "link ended");
        let error = CallError::PeerLost(format!("`{place}`: {why}"));
        let mut calls: Vec<u64> = self
            .calls
            .iter()
            .filter(|(_, call)| call.destination == Destination::Peer(index) && !call.is_over())
            .map(|(id, _)| id)
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
            .filter(|key| key.link == Some(old))
            .copied()
            .collect();
        served.sort_unstable_by_key(|key| key.id);
        for key in served {
            self.cancel_served(key);
        }
    }

    /// The other side ended the link: what it did not receive stays here, and waits for the next link.
    pub(super) fn handle_closing(&mut self, index: usize, closing: Closing) {
        let (why, left) = match closing {
            Closing::Unspecified => return,
            Closing::Forgetting => ("it needed its memory for others", false),
            Closing::Leaving => ("it left", true),
        };
        let calls = &self.calls;
        if let Some(peer) = self.peers.get_mut(index) {
            // One that went elsewhere meanwhile is none of this link's business.
            let is_here = |call: &OutgoingCall| {
                !call.is_over() && call.destination == Destination::Peer(index)
            };
            peer.link.recall(|id| calls.get(id).is_some_and(is_here));
        }
        self.end_link(index, why);
        let now = self.now;
        if let Some(peer) = self.peers.get_mut(index) {
            peer.introduced = false;
            peer.dormant = true;
            peer.closed_epoch = std::mem::take(&mut peer.their_epoch);
            if left {
                peer.health = Health::Left;
                peer.health_since = now;
            }
            self.peers.mark_dirty(index);
        }
        if left {
            self.send_elsewhere(index);
        }
    }

    /// Gives a request to a link. Where nobody has introduced itself yet it waits, within its deadline.
    pub(crate) fn offer(&mut self, index: usize, mut envelope: Parcel) -> Result<(), CallError> {
        self.encode("a payload", &mut envelope.payload)?;
        let now = self.now;
        let Some(peer) = self.peers.get_mut(index) else {
            return Err(CallError::Unreachable("the node was forgotten".into()));
        };
        if let Err(refused) = peer.offer(now, envelope) {
            return Err(refused.0);
        }
        self.peers.mark_dirty(index);
        Ok(())
    }

    /// Gives anything but a request to a node.
    pub(crate) fn tell_peer(&mut self, index: usize, envelope: Parcel) {
        if let Some(peer) = self.peers.get_mut(index) {
            peer.link.answer(envelope, None);
            self.peers.mark_dirty(index);
        }
    }

    /// Gives a link what answers a record of it; `settles` when the record ends with that. Tells whether the
    /// link is still there: nobody else wants the answer.
    pub(crate) fn answer_link(
        &mut self,
        link: LinkKey,
        envelope: Parcel,
        settles: Option<u64>,
    ) -> bool {
        let Some(peer) = self.peers.on_link(link) else {
            self.counters.add(Counter::AnswersUndeliverable);
            return false;
        };
        peer.link.answer(envelope, settles);
        self.peers.mark_dirty(link.peer);
        true
    }

    pub(crate) fn settle_peer(&mut self, link: LinkKey, sequence: u64) {
        if sequence > 0
            && let Some(peer) = self.peers.on_link(link)
        {
            peer.link.settle(sequence);
        }
    }

    /// A cast of another node ended well.
    pub(crate) fn settle_cast(&mut self, link: LinkKey, sequence: u64) {
        let now = self.now;
        if sequence > 0
            && let Some(peer) = self.peers.on_link(link)
            && let Some(at) = peer.link.settle_cast(now, sequence)
        {
            if at > now {
                self.set_link_timer(link.peer, at);
            } else {
                self.peers.mark_dirty(link.peer);
            }
        }
    }

    pub(crate) fn link_due(&mut self, index: usize) {
        if let Some(peer) = self.peers.get_mut(index) {
            peer.link_timer = None;
            self.peers.mark_dirty(index);
        }
    }

    /// Sees to it that what waits for a node ends by its deadline, whatever the node does.
    pub(crate) fn watch_requests(&mut self, index: usize) {
        let (now, watch) = (self.now, self.watch());
        let waits = |peer: &Peer| peer.keeps_waiting(now, watch);
        if !self.peers.sweep_set && self.peers.get(index).is_some_and(waits) {
            self.peers.sweep_set = true;
            self.timers.set(self.now + SWEEP, Timer::Sweep);
        }
    }

    /// Ends what waits for a node and has expired.
    pub(crate) fn sweep_requests(&mut self) {
        self.peers.sweep_set = false;
        for index in self.peers.indices() {
            let (now, watch) = (self.now, self.watch());
            let Some(peer) = self.peers.get_mut(index) else {
                continue;
            };
            let place = peer.place();
            let error = peer.not_sent();
            let expired = peer.link.expire(now);
            // One that is there says itself what became of what it has.
            let unsettled = if peer.is_lost_sight_of(now, watch) {
                peer.link.expire_unsettled(now)
            } else {
                Vec::new()
            };
            for envelope in expired {
                self.request_failed(&envelope, error.clone());
            }
            for entry in unsettled {
                let text =
                    format!("`{place}` has it, perhaps, and did not say so before the deadline");
                self.cast_lost(entry, CallError::Timeout(text));
            }
            self.watch_requests(index);
        }
    }

    /// Ends what has not left for a node and never will.
    pub(crate) fn abandon_requests(&mut self, index: usize, why: &str) {
        let place = self.peers.place(index);
        let Some(peer) = self.peers.get_mut(index) else {
            return;
        };
        for envelope in peer.link.take_requests() {
            let error = CallError::Unreachable(format!("`{place}`: {why}"));
            self.request_failed(&envelope, error);
        }
    }

    /// A request that never left ends here.
    pub(crate) fn request_failed(&mut self, envelope: &Envelope, error: CallError) {
        if envelope.kind == Kind::Call {
            self.end_call(envelope.id, Err(error));
        } else {
            self.cast_lost(LedgerEntry::of(envelope, 0), error);
        }
    }
}
