//! Small messages that may be lost.

use std::net::SocketAddr;

/// Why a datagram was not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DatagramError {
    /// Longer than [`Limits::datagram_bytes_max`](crate::Limits::datagram_bytes_max).
    #[error("a datagram of {0} bytes is longer than the limit")]
    TooLarge(usize),
    /// The operating system's buffer is full, or it refused for a reason of its own. A datagram may
    /// always be lost, so this is only worth counting.
    #[error("the datagram was refused: {0}")]
    Refused(String),
    /// This node has no datagram address.
    #[error("this node sends no datagrams")]
    Unsupported,
}

/// Sends datagrams: unordered, unreliable, possibly duplicated, never merged or split.
///
/// What arrives comes as [`Event::Datagram`](crate::Event::Datagram).
pub trait Datagrams {
    /// Sends one datagram and forgets it.
    ///
    /// # Errors
    ///
    /// See [`DatagramError`]. `Ok` says nothing about arrival.
    fn send_datagram(&mut self, to: SocketAddr, payload: &[u8]) -> Result<(), DatagramError>;

    /// Returns the addresses that `host:port` stands for, as far as they are known by now, and has a name looked up
    /// again for the next time. Never blocks: a name is asked for elsewhere, and the first answer is none.
    fn lookup(&mut self, place: &str) -> Vec<SocketAddr>;
}
