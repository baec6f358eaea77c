//! What happened, as a hash for machines and as records for people.

use std::fmt;

use monofil_transport::Instant;
use monofil_transport::record::{Recorder, What};

use crate::NodeKey;

/// What kind of thing happened in a world. New kinds are added at the end: the number of each is part
/// of the trace hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum TraceKind {
    /// A node started; the detail is its incarnation.
    Started,
    /// A node turned.
    Turned,
    /// A node ended by itself.
    Ended,
    /// A node crashed.
    Crashed,
    /// A node was paused.
    Paused,
    /// A node was resumed.
    Resumed,
    /// A node was asked to end.
    ShutdownAsked,
    /// A connection was established, by the first node to the second.
    Connected,
    /// A connection's opener, the first node, was told that the second is gone.
    PeerGone,
    /// A frame was taken from the first node; the detail is the hash of its bytes.
    FrameSent,
    /// A frame from the second node arrived at the first; the detail is its length.
    FrameArrived,
    /// Frames on the way from the second node to the first were lost; the detail is how many.
    FramesLost,
    /// A full connection of the first node takes frames again.
    Writable,
    /// A datagram was taken from the first node; the detail is the hash of its bytes.
    DatagramSent,
    /// A datagram from the second node arrived at the first; the detail is its length.
    DatagramArrived,
    /// A datagram from the first node to the second was lost.
    DatagramLost,
    /// A job of the first node ended; the detail is its number.
    JobDone,
    /// The way from the first node to the second was cut.
    Cut,
    /// It was healed.
    Healed,
    /// The model of the link from the first node to the second was changed.
    LinkChanged,
    /// What is sent from the first node to the second is held up; the detail says for how many nanoseconds.
    Clogged,
    /// The first node's turns take longer; the detail says by how many nanoseconds.
    Slowed,
    /// A clock of the first node's was changed; the detail says how.
    ClockChanged,
    /// A datagram from the first node to the second arrives with a bit turned; the detail says which.
    DatagramCorrupted,
}

/// One thing that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceRecord {
    /// When.
    pub at: Instant,
    /// What.
    pub kind: TraceKind,
    /// To which node.
    pub node: NodeKey,
    /// The other node, where there is one.
    pub peer: Option<NodeKey>,
    /// See [`TraceKind`].
    pub detail: u64,
}

impl TraceRecord {
    /// Returns how it is recorded; `None` for what is not of interest, or is recorded where more is known.
    fn what(&self) -> Option<What> {
        let to = self.peer.map(|peer| peer.0);
        match self.kind {
            TraceKind::Started => Some(What::NodeStarted {
                incarnation: self.detail,
            }),
            TraceKind::Ended => Some(What::NodeEnded),
            TraceKind::Crashed => Some(What::NodeCrashed),
            TraceKind::Paused => Some(What::NodePaused),
            TraceKind::Resumed => Some(What::NodeResumed),
            TraceKind::ShutdownAsked => Some(What::NodeAskedToEnd),
            TraceKind::Connected => to.map(|to| What::Connected { to }),
            TraceKind::PeerGone => Some(What::Disconnected { to }),
            TraceKind::Cut => to.map(|to| What::Cut { to }),
            TraceKind::Healed => to.map(|to| What::Healed { to }),
            TraceKind::LinkChanged => to.map(|to| What::LinkChanged { to }),
            TraceKind::FramesLost => to.map(|from| What::FramesLost {
                from,
                frames: self.detail,
            }),
            TraceKind::Turned
            | TraceKind::FrameSent
            | TraceKind::FrameArrived
            | TraceKind::Writable
            | TraceKind::DatagramSent
            | TraceKind::DatagramArrived
            | TraceKind::DatagramLost
            | TraceKind::JobDone
            | TraceKind::Clogged
            | TraceKind::Slowed
            | TraceKind::ClockChanged
            | TraceKind::DatagramCorrupted => None,
        }
    }
}

impl fmt::Display for TraceRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {}", self.at, self.kind, self.node)?;
        if let Some(peer) = self.peer {
            write!(f, " {peer}")?;
        }
        write!(f, " {:x}", self.detail)
    }
}

/// The hash of everything that happened in a world until now. Equal for equal seeds and programs, on
/// every platform and in every build.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceHash(pub u128);

impl fmt::Debug for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceHash({self})")
    }
}

impl fmt::Display for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Called with each record.
pub(crate) type Listener = Box<dyn FnMut(&TraceRecord)>;

/// Follows a world: always the hash, records only when somebody asked for them.
pub(crate) struct Trace {
    state: [u64; 2],
    listener: Option<Listener>,
    recorder: Option<Recorder>,
    /// Whether anybody wants records; so that the usual case tests one flag.
    wanted: bool,
}

const KEYS: [u64; 4] = [
    0xa076_1d64_78bd_642f,
    0xe703_7ed1_a0b4_28db,
    0x8ebc_6af0_9c88_c6e3,
    0x5899_65cc_7537_4cc3,
];

/// Multiplies to 128 bits and folds the halves: well mixed, one instruction on most machines.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

/// No node: the peer of a record that has none.
pub(crate) const NOBODY: u32 = u32::MAX;

impl Trace {
    pub(crate) fn new(recorder: Option<Recorder>) -> Self {
        Self {
            state: [KEYS[0], KEYS[1]],
            listener: None,
            wanted: recorder.is_some(),
            recorder,
        }
    }

    pub(crate) fn listen(&mut self, listener: Listener) {
        self.listener = Some(listener);
        self.wanted = true;
    }

    pub(crate) fn hash(&self) -> TraceHash {
        let [low, high] = self.state;
        TraceHash(u128::from(high) << 64 | u128::from(low))
    }

    pub(crate) const fn recorder(&self) -> Option<&Recorder> {
        self.recorder.as_ref()
    }

    /// Records what the hash does not say enough about; see [`Trace::add`] for the rest. Returns the record's
    /// sequence, and 0 when nobody wants any.
    #[inline]
    pub(crate) fn write(&self, at: u64, node: u32, what: impl FnOnce() -> What) -> u64 {
        match &self.recorder {
            Some(recorder) => recorder.of(node).add(Instant::from_nanos(at), what()),
            None => 0,
        }
    }

    #[inline]
    pub(crate) fn add(&mut self, at: u64, kind: TraceKind, node: u32, peer: u32, detail: u64) {
        let [low, high] = self.state;
        let who = u64::from(node) << 32 | u64::from(peer);
        let low = fold(low ^ at, KEYS[2]) ^ (kind as u64);
        let high = fold(high ^ who, KEYS[3]).wrapping_add(detail);
        self.state = [
            fold(low ^ KEYS[1], KEYS[0]) ^ high.rotate_left(23),
            fold(high ^ KEYS[0], KEYS[1]).wrapping_add(low),
        ];
        if self.wanted {
            self.record(at, kind, node, peer, detail);
        }
    }

    #[cold]
    fn record(&mut self, at: u64, kind: TraceKind, node: u32, peer: u32, detail: u64) {
        let record = TraceRecord {
            at: Instant::from_nanos(at),
            kind,
            node: NodeKey(node),
            peer: (peer != NOBODY).then_some(NodeKey(peer)),
            detail,
        };
        if let Some(listener) = &mut self.listener {
            listener(&record);
        }
        if let (Some(recorder), Some(what)) = (&self.recorder, record.what()) {
            recorder.of(node).add(record.at, what);
        }
    }
}

/// Hashes the bytes of a frame.
#[inline]
pub(crate) fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut state = KEYS[0] ^ bytes.len() as u64;
    let mut chunks = bytes.chunks_exact(16);
    for chunk in &mut chunks {
        let (first, second) = chunk.split_at(8);
        state = fold(word(first) ^ KEYS[1], word(second) ^ state);
    }
    let rest = chunks.remainder();
    let (first, second) = rest.split_at(rest.len().min(8));
    fold(word(first) ^ KEYS[2], word(second) ^ state ^ KEYS[3])
}

/// Reads up to eight bytes, the first one lowest.
#[inline]
fn word(bytes: &[u8]) -> u64 {
    match bytes.try_into() {
        Ok(eight) => u64::from_le_bytes(eight),
        Err(_) => bytes
            .iter()
            .rev()
            .fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_pinned_and_sees_every_part_of_a_record() {
        let hash_of = |at, kind, node, peer, detail| {
            let mut trace = Trace::new(None);
            trace.add(at, kind, node, peer, detail);
            trace.hash()
        };
        let base = hash_of(1, TraceKind::FrameSent, 2, 3, 4);
        assert_eq!(base.to_string(), "5644228b6f7df01db07d36674dc34497");
        for other in [
            hash_of(2, TraceKind::FrameSent, 2, 3, 4),
            hash_of(1, TraceKind::FrameArrived, 2, 3, 4),
            hash_of(1, TraceKind::FrameSent, 3, 2, 4),
            hash_of(1, TraceKind::FrameSent, 2, 3, 5),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn every_byte_counts() {
        let bytes: Vec<u8> = (0..100).collect();
        let mut seen = std::collections::BTreeSet::new();
        for length in 0..100 {
            assert!(seen.insert(hash_bytes(&bytes[..length])));
        }
        for index in 0..100 {
            let mut changed = bytes.clone();
            changed[index] ^= 0x80;
            assert!(seen.insert(hash_bytes(&changed)));
        }
        assert_eq!(hash_bytes(b"monofil"), 13_218_061_802_617_977_976);
    }
}
