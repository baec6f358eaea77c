//! The end of a node: nobody waits for ever, and nothing is lost that could still arrive.
//!
//! ```text
//!   draining   what was accepted is finished
//!   stopping   the instances' `stop` runs
//!   flushing   what left is acknowledged, here and there; nobody waits for peers that are gone
//!   ended      the last frames say so
//! ```

use std::time::Duration;

use monofil_proto::write_frame;
use monofil_transport::{Instant, Io, SendError};

use crate::core::{Core, Stage, Timer};
use crate::counters::Counter;
use crate::peers::{Health, Peer};

/// A peer that acknowledges nothing and was not heard of for so long is not waited for. Long enough for one
/// whose thread is held by a handler to be asked, and for somebody there to say so.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often peers that have not acknowledged everything are spoken to meanwhile.
const POKE: Duration = Duration::from_millis(250);

impl Core {
    /// Gives up what waits for nodes that are not there: nobody would be left to hear of it later. Tells
    /// whether there was anything, which its senders get back now.
    pub(crate) fn abandon_unreachable(&mut self) -> bool {
        let waits = |peer: &Peer| !peer.is_established() && peer.link.has_fresh_requests();
        let unreachable: Vec<_> = self
            .peers
            .iter()
            .filter(|(_, peer)| waits(peer))
            .map(|(index, _)| index)
            .collect();
        for index in &unreachable {
            self.abandon_requests(*index, "it is not there, and this node ends");
        }
        !unreachable.is_empty()
    }

    /// Tells whether all that was sent has arrived, as far as that can be known.
    pub(crate) fn is_flushed(&self) -> bool {
        let since = match self.stage {
            Stage::Flushing { since } => since,
            _ => self.now,
        };
        self.peers
            .iter()
            .all(|(_, peer)| !peer.is_awaited(since, self.now))
    }

    /// Tells whether nothing that was sent from here is under way any more, to wherever it goes.
    pub(crate) fn has_all_arrived(&self) -> bool {
        self.peers
            .iter()
            .all(|(_, peer)| peer.unsent.is_none() && peer.link.is_flushed())
    }

    /// Speaks to those who have not acknowledged everything, from time to time: one that is gone is found out.
    pub(crate) fn poke(&mut self, io: &mut dyn Io) {
        if self.now < self.poke_at {
            return;
        }
        self.poke_at = self.now + POKE;
        self.timers.set(self.poke_at, Timer::Poke);
        for index in self.peers.indices() {
            let now = self.now;
            let awaited = |peer: &&Peer| peer.is_awaited(now, now);
            let Some(peer) = self.peers.get(index).filter(awaited) else {
                continue;
            };
            let Some(route) = peer.route() else {
                continue;
            };
            let frame = write_frame(&self.head(Some(index)), None);
            match io.send(&route, frame) {
                Ok(()) => self.counters.add(Counter::FramesSent),
                Err(SendError::Gone(_)) => self.peer_unreachable(index),
                Err(_) => {}
            }
        }
    }

    /// Says how much of what was sent is known not to have arrived, or not known to.
    pub(crate) fn report_unreceived(&self) {
        let records: usize = self
            .peers
            .iter()
            .map(|(_, peer)| peer.link.unacknowledged())
            .sum();
        if records > 0 {
            tracing::warn!(node = %self.name, records, "ended before all was received");
        }
    }
}

impl Peer {
    /// Tells whether a node that ends waits for it to acknowledge what it was sent, since a time.
    fn is_awaited(&self, since: Instant, now: Instant) -> bool {
        // Two that end at the same time take nothing more from each other.
        let done = self.unsent.is_none() && self.link.is_heard();
        let there = self.is_established() && self.route().is_some();
        let patient =
            matches!(self.health, Health::Busy { .. }) || now < self.heard.max(since) + PATIENCE;
        !done && there && patient
    }
}
