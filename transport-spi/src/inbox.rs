//! What a node is handed.

use std::collections::VecDeque;
use std::net::SocketAddr;

use bytes::Bytes;

use crate::{ConnectionId, JobId, JobOutcome, Plane, Route};

/// Something that happened to a node.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A frame arrived.
    Frame {
        /// The plane whose socket it came through.
        plane: Plane,
        /// Where an answer goes if its sender advertises no endpoint of its own.
        from: Route,
        /// One message part, at most [`Limits::frame_bytes_max`](crate::Limits::frame_bytes_max)
        /// bytes long. Anyone may have sent it.
        frame: Bytes,
    },
    /// A datagram arrived.
    Datagram {
        /// The address it claims to come from.
        from: SocketAddr,
        /// Anyone may have sent it.
        payload: Bytes,
    },
    /// A connection that this node opened lost its other end. The backend goes on trying; frames that
    /// were accepted and not yet delivered may be lost or may arrive after all.
    PeerGone(ConnectionId),
    /// A connection that this node opened is (again) connected. Comes once for each time, the first
    /// included; frames accepted before it may or may not have been delivered.
    PeerConnected(ConnectionId),
    /// A connection that answered [`SendError::Full`](crate::SendError::Full) takes frames again.
    Writable(ConnectionId),
    /// An offloaded job ended.
    JobDone(JobId, JobOutcome),
    /// Whoever runs this node wants it to end.
    Shutdown(Shutdown),
}

/// How a node is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Finish what was accepted, then end (SIGTERM, Ctrl-C).
    Drain,
    /// End now (the second signal).
    Now,
}

/// What arrived for a node, in order, until it is taken.
///
/// A backend pushes; a node pops until it is empty, each turn.
#[derive(Debug, Default)]
pub struct Inbox {
    events: VecDeque<Event>,
}

impl Inbox {
    /// Makes an empty inbox.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what happened last.
    pub fn push(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// Takes what happened first.
    pub fn pop(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Returns how many events wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Tells whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}
