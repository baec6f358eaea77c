//! Frames of the application plane, read and written in place.
//!
//! What `prost` does by building a tree of messages is done here in one walk over the bytes: names and
//! payloads are borrowed from the frame, bounds are checked on the way, and nothing is allocated for a field.
//! The bytes are the same, field for field in the same order; the tests hold both against each other.

mod read;
mod write;

pub use read::{FrameRef, read_frame};
pub use write::{FrameWriter, put_waiting, write_frame};

/// What a frame says besides its names, records and hello. See `Frame` in `wire.proto` for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The version of the protocol.
    pub version: u32,
    /// Which network it is for; 0: any.
    pub network: u64,
    /// The sender's node id.
    pub sender: [u8; 16],
    /// Never 0.
    pub sender_incarnation: u64,
    /// `None`: whoever is there.
    pub receiver: Option<[u8; 16]>,
    /// 0: not known.
    pub receiver_incarnation: u64,
    /// The number of the first record; 0: not numbered.
    pub first_sequence: u64,
    /// All up to this one have arrived at the sender.
    pub received: u64,
    /// All up to this one have ended at the sender.
    pub settled: u64,
    /// Requests that the receiver may have sent in all.
    pub credit_records: u64,
    /// Bytes of payload these may have had.
    pub credit_bytes: u64,
    /// The sender misses some after `received`.
    pub resend: bool,
    /// The sender's number for the link; 0: not said.
    pub link_epoch: u64,
    /// The receiver's number for it; 0: not known.
    pub receiver_epoch: u64,
    /// Whether and why the sender ends the link: a [`crate::wire::Closing`].
    pub closing: i32,
    /// One more than the number of messages there are to handle at the sender; 0: not said.
    pub load: u32,
}

/// A name, written out or as the number that a definition gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameRef<'a> {
    /// Empty: none.
    Text(&'a str),
    /// Never 0.
    Number(u32),
}

impl Default for NameRef<'_> {
    fn default() -> Self {
        Self::Text("")
    }
}

/// The trace context of a record, without vendor state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceRef {
    /// 0: none, or one that makes no sense.
    pub trace_id: u128,
    /// The same.
    pub span_id: u64,
    /// Bit 0: sampled.
    pub flags: u32,
}

/// One record, borrowed. See `Record` in `wire.proto` for each field; what this release does not look at yet
/// is checked and skipped.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecordRef<'a> {
    /// A [`crate::wire::Kind`].
    pub kind: i32,
    /// Of a request, or of the request it belongs to.
    pub id: u64,
    /// Who sends it.
    pub source: NameRef<'a>,
    /// Whom it is for.
    pub target: NameRef<'a>,
    /// The operation.
    pub method: NameRef<'a>,
    /// The business flow it belongs to.
    pub flow: NameRef<'a>,
    /// How the payload is encoded.
    pub content_type: NameRef<'a>,
    /// What it was published to.
    pub topic: NameRef<'a>,
    /// How long its sender still waits; 0: not said.
    pub remaining_micros: u64,
    /// The content.
    pub payload: &'a [u8],
    /// `None`: no trace context.
    pub trace: Option<TraceRef>,
    /// Who waits for it.
    pub waiting: Waitings<'a>,
    /// How the request ended, if not with a reply.
    pub outcome: Option<Box<crate::wire::Outcome>>,
    /// Items of a stream that may come.
    pub credit: u32,
    /// The number of an item, or of all of them.
    pub item: u64,
    /// Chooses the instance of a keyed component.
    pub key: &'a [u8],
    /// It may be run more than once without harm.
    pub idempotent: bool,
    /// How often it was passed on.
    pub hops: u32,
    /// At which distances it was spilled, a bit each.
    pub spilled: u32,
    /// How far it may travel; `None`: not said.
    pub horizon: Option<HorizonRef>,
}

/// How far a message may travel, without the networks it may be in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HorizonRef {
    /// A [`crate::wire::Distance`].
    pub distance: i32,
    /// It comes back instead of being dropped.
    pub bounce: bool,
    /// A [`crate::wire::HorizonOf`].
    pub set_by: i32,
}

/// The instances that wait for a call, first the one where it began: encoded entries, each with its tag.
/// Other fields between them are passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waitings<'a> {
    pub(crate) bytes: &'a [u8],
}

/// One instance that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitingRef<'a> {
    /// 16 bytes, if it makes sense.
    pub node: &'a [u8],
    /// `app/name`
    pub component: &'a str,
    /// Which of the node's instances of it, from 0.
    pub instance: u32,
}

#[cfg(test)]
mod tests;
