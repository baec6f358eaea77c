//! The traits that carry frames, tell the time and wait.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::{
    Datagrams, Endpoint, EndpointError, Inbox, Instant, LocalEndpoints, Next, Offload, Plane, Watch,
};

/// Everything a node may do to the world outside, as one object.
pub trait Io: Transport + Datagrams + Clock + Entropy + Offload + Watch {}

impl<T: Transport + Datagrams + Clock + Entropy + Offload + Watch + ?Sized> Io for T {}

/// Tells the time.
pub trait Clock {
    /// Returns the monotonic time now.
    fn now(&self) -> Instant;

    /// Returns the wall clock's time in microseconds since 1970-01-01 UTC, for people and logs only:
    /// it may jump.
    fn wall_micros(&self) -> u64;
}

/// Gives entropy, for identities and seeds.
pub trait Entropy {
    /// Fills `bytes` from the operating system, or from the seed of a simulated world.
    fn fill(&mut self, bytes: &mut [u8]);
}

/// A connection this node opened to one plane of one endpoint. Never used again in a backend's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// The way back along a connection that someone else opened. Opaque to a node; meaningless to any
/// other node, and void once that connection is gone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReturnPath(pub Bytes);

impl fmt::Debug for ReturnPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReturnPath({:02x?})", &self.0[..])
    }
}

/// Where a frame goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Route {
    /// Along a connection that this node opened.
    Connection(ConnectionId),
    /// Back along one that was opened to this node.
    Return(Plane, ReturnPath),
}

/// Sizes that a backend can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest frame, in bytes, in both directions.
    pub frame_bytes_max: usize,
    /// The longest datagram, in bytes, in both directions.
    pub datagram_bytes_max: usize,
}

/// Why a frame was not taken. The frame is handed back in every case: nothing was sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The connection's buffer is full. Keep the frame; [`Event::Writable`](crate::Event::Writable)
    /// says when to try again (for a [`Route::Return`], try again next turn).
    #[error("the connection takes no more frames for now")]
    Full(Bytes),
    /// Longer than [`Limits::frame_bytes_max`]. Sending it again fails again.
    #[error("a frame of {} bytes is longer than the limit", .0.len())]
    TooLarge(Bytes),
    /// The connection was closed by [`Transport::disconnect`], or the other side of a
    /// [`Route::Return`] is gone. Sending it again fails again.
    #[error("there is no such connection")]
    Gone(Bytes),
}

impl SendError {
    /// Takes the frame back.
    #[must_use]
    pub fn into_frame(self) -> Bytes {
        match self {
            Self::Full(frame) | Self::TooLarge(frame) | Self::Gone(frame) => frame,
        }
    }
}

/// Why a connection cannot even be tried. That the other side is not up is no error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The endpoint is malformed.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// This backend does not speak the endpoint's scheme.
    #[error("`{0}` cannot be reached by this transport")]
    Unsupported(Endpoint),
    /// The endpoint cannot be used: the address does not parse for the operating system, or there are
    /// no more sockets. The text is the backend's.
    #[error("cannot connect to `{endpoint}`: {reason}")]
    Refused {
        /// The endpoint that was asked for.
        endpoint: Endpoint,
        /// What the backend said.
        reason: String,
    },
}

/// Carries frames between endpoints.
///
/// # Contract
///
/// - **Frames are opaque, whole and bounded.** One `send` is at most one [`Event::Frame`] at the other
///   end, with the same bytes. A backend never splits, joins or changes frames. A frame from outside
///   that is longer than the limit, or of more than one part, never reaches a node: the backend counts
///   and drops it (or its connection).
/// - **Order.** Frames of one connection arrive in the order in which `send` took them. When a
///   connection breaks, some of the last frames taken may be lost, and none is delivered twice.
///   Nothing is promised between connections, or between planes.
/// - **Never blocks.** `send`, `receive`, `connect` return at once. A full buffer is
///   [`SendError::Full`] with the frame, and later [`Event::Writable`]. The buffer of a connection is
///   bounded and small: a few dozen frames.
/// - **Connecting never fails because the other side is not up yet**: the backend keeps trying, with
///   back-off, until [`Transport::disconnect`]. Frames sent meanwhile are held up to the bound.
/// - **Faults are events.** A lost peer is [`Event::PeerGone`], its return [`Event::PeerConnected`].
///   A backend that meets an error it cannot recover from on one connection heals it by connecting
///   anew, never by giving up.
/// - **Planes are apart**: a full or broken application connection does not hold up the control plane.
///
/// [`Event::Frame`]: crate::Event::Frame
/// [`Event::Writable`]: crate::Event::Writable
/// [`Event::PeerGone`]: crate::Event::PeerGone
/// [`Event::PeerConnected`]: crate::Event::PeerConnected
pub trait Transport {
    /// Returns the sizes this backend can carry.
    fn limits(&self) -> Limits;

    /// Returns where this node can be reached.
    fn local(&self) -> LocalEndpoints;

    /// Starts to connect to one plane of a node.
    ///
    /// # Errors
    ///
    /// Only for endpoints that can never work; see [`ConnectError`].
    fn connect(&mut self, plane: Plane, endpoint: &Endpoint) -> Result<ConnectionId, ConnectError>;

    /// Gives a connection up, with what it still holds. Unknown connections are ignored.
    fn disconnect(&mut self, connection: ConnectionId);

    /// Hands a frame over.
    ///
    /// # Errors
    ///
    /// See [`SendError`]; the frame comes back.
    fn send(&mut self, to: &Route, frame: Bytes) -> Result<(), SendError>;

    /// Moves what has arrived into `inbox`, up to a budget of the backend's own; when more is left,
    /// the node is turned again without waiting.
    fn receive(&mut self, inbox: &mut Inbox);
}

/// A backend that owns the thread its node runs on.
pub trait Driver: Io {
    /// Sleeps until something is there to [receive](Transport::receive), or until `next`.
    ///
    /// It may return early; it never sleeps through an arrival.
    fn wait(&mut self, next: Next);

    /// Closes everything, and waits up to `linger` for frames that were accepted to leave. Tells whether
    /// all of them did. Afterwards the backend carries nothing any more.
    fn finish(&mut self, linger: Duration) -> bool;
}
