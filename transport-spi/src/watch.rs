//! How a stalled handler is seen from outside its thread.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::record::Recorder;

/// A handler's number in [`Progress`]: cheap to publish each time it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HandlerId(u32);

/// What a node's thread is doing, readable from any thread.
///
/// The node writes it around each handler; a sentinel reads it now and then. Two looks that find the
/// same [`Running::entry`] mean that one and the same handler was on the thread all the while, so no
/// clock is needed on the node's side.
#[derive(Debug, Default)]
pub struct Progress {
    /// Invariant: odd while a handler runs, even otherwise; grows at each change, from one handler to the next, too.
    entries: AtomicU64,
    handler: AtomicU32,
    names: Mutex<Vec<Arc<str>>>,
}

/// The handler on a node's thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// `component/method`.
    pub handler: Arc<str>,
    /// Differs between any two times a handler is entered or resumed.
    pub entry: u64,
}

impl Progress {
    /// Gives a handler its number.
    pub fn register(&self, name: &str) -> HandlerId {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let id = names
            .iter()
            .position(|known| &**known == name)
            .unwrap_or_else(|| {
                names.push(name.into());
                names.len() - 1
            });
        HandlerId(u32::try_from(id).unwrap_or(u32::MAX))
    }

    /// Says that a handler is on the thread from now on.
    pub fn enter(&self, handler: HandlerId) {
        self.handler.store(handler.0, Ordering::Relaxed);
        let entries = self.entries.load(Ordering::Relaxed);
        self.entries.store((entries + 1) | 1, Ordering::Release);
    }

    /// Says that it is not any more.
    pub fn leave(&self) {
        let entries = self.entries.load(Ordering::Relaxed);
        self.entries.store((entries | 1) + 1, Ordering::Release);
    }

    /// Returns the handler on the thread, if there is one.
    #[must_use]
    pub fn running(&self) -> Option<Running> {
        let entry = self.entries.load(Ordering::Acquire);
        if entry.is_multiple_of(2) {
            return None;
        }
        let id = self.handler.load(Ordering::Relaxed) as usize;
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let handler = names.get(id).cloned()?;
        Some(Running { handler, entry })
    }
}

/// Answers for a node whose thread is stuck in a handler.
///
/// The backend's sentinel calls it, on the sentinel's thread, for each datagram that arrives while the
/// node is stalled. It touches no component.
pub trait WatchAnswer: Send {
    /// Returns the answer to `datagram` if it is a liveness probe; `None` leaves it for the node.
    fn busy(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        running: &Running,
        since: Duration,
    ) -> Option<Vec<u8>>;
}

/// Lets a backend's sentinel see what the node is doing.
pub trait Watch {
    /// Returns where the node publishes what runs.
    fn progress(&self) -> Arc<Progress>;

    /// Installs what answers liveness probes while a handler holds the thread.
    fn install_answer(&mut self, answer: Box<dyn WatchAnswer>);

    /// Returns how often each handler was found to hold the thread for too long, by name.
    fn stalls(&self) -> Vec<(Arc<str>, u64)>;

    /// Returns where the node writes down what it does, if anybody wants to know. Nobody does unless the
    /// backend says otherwise.
    fn recorder(&self) -> Option<Recorder> {
        None
    }
}

impl fmt::Display for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.handler)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handler_is_seen_while_it_runs_and_each_entry_differs() {
        let progress = Progress::default();
        let charge = progress.register("payments/Charge");
        assert_eq!(progress.register("payments/Charge"), charge);
        assert_eq!(progress.running(), None);
        progress.enter(charge);
        let first = progress.running().expect("entered");
        assert_eq!(&*first.handler, "payments/Charge");
        progress.leave();
        assert_eq!(progress.running(), None);
        progress.enter(charge);
        let second = progress.running().expect("entered");
        assert_ne!(second.entry, first.entry);
        // One right after the other.
        progress.enter(charge);
        assert_ne!(progress.running().expect("entered").entry, second.entry);
    }
}
