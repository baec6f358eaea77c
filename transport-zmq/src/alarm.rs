//! Ends a wait from another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mio::Waker;

/// Ends what a node's thread waits in, or else its next wait, for a reason that is none of the node's.
#[derive(Clone, Debug)]
pub struct Alarm {
    waker: Arc<Waker>,
    rung: Arc<AtomicBool>,
}

impl Alarm {
    pub(crate) fn new(waker: Arc<Waker>) -> Self {
        Self {
            waker,
            rung: Arc::default(),
        }
    }

    /// Ends the wait. Whoever waits sees all that this thread wrote before.
    pub fn ring(&self) {
        self.rung.store(true, Ordering::Release);
        // It can only fail when the kernel has no memory; the wait ends at its time then.
        let _ = self.waker.wake();
    }

    pub(crate) fn is_rung(&self) -> bool {
        self.rung.load(Ordering::Acquire)
    }

    pub(crate) fn take(&self) -> bool {
        self.rung.swap(false, Ordering::AcqRel)
    }
}
