//! What a backend drives.

use crate::{Instant, Io};

/// When a node needs its next turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// At once: there is work left.
    Now,
    /// At this time, or when something arrives.
    At(Instant),
    /// When something arrives.
    Idle,
    /// Never: the node has ended, and everything it accepted has its outcome.
    Ended,
}

/// A single-threaded program that a backend drives: a container, or a test's stand-in for one.
pub trait Node {
    /// Takes what has arrived, does what is due, sends what came of it, and says when to turn again.
    fn turn(&mut self, io: &mut dyn Io) -> Next;
}
