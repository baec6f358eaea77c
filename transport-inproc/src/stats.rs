//! What a world counts.

/// What happened in a world until now, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Turns of nodes.
    pub turns: u64,
    /// Frames that `send` took.
    pub frames_sent: u64,
    /// Frames that nodes received.
    pub frames_received: u64,
    /// Frames that were lost on the way.
    pub frames_lost: u64,
    /// Datagrams that were sent.
    pub datagrams_sent: u64,
    /// Datagrams that arrived, each copy counted.
    pub datagrams_arrived: u64,
    /// Datagrams that were lost.
    pub datagrams_lost: u64,
}
