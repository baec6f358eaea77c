//! What a run was made of: typed records, kept for people.
//!
//! A simulated world can keep a [`Recorder`]. What the world does goes into it, and so does what containers do,
//! which get it from [`Watch::recorder`](crate::Watch::recorder). Nothing is recorded unless somebody asked: a
//! container without a recorder tests one `Option` at each place. Records change nothing about a run: no random
//! number is drawn, no time passes.
//!
//! Who sends a message notes [`Sent`], who gets it [`What::Queued`], and so on, each for itself. What belongs
//! together is found by numbers:
//!
//! ```text
//!   Sent.message  ─────────▶ Queued.message, Began.message      the same span of a trace, whatever the node
//!   Sent.cause    ─────────▶ the Sent.message of what its sender was handling
//!   Sent.call     ─────────▶ CallEnded.call, CastReturned.cast  on the same node and incarnation
//!   Began.task    ─────────▶ Suspended, Resumed, Ended          on the same node and incarnation
//!   FrameArrived.sent ─────▶ the sequence of its FrameSent
//! ```

mod recorder;
mod text;

use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

pub use recorder::{Recorder, Recording, Stack};

use crate::Instant;
use crate::decorator::Call;

/// A place in somebody's source.
pub type Place = &'static Location<'static>;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number, from 1: the order in which things happened, of those at one time, too.
    pub sequence: u64,
    /// When.
    pub at: Instant,
    /// To which node, by its place in [`Recording::nodes`]; `None` for what concerns no single node.
    pub node: Option<u32>,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// The node started, for the how-manieth time.
    NodeStarted {
        /// One for the first time.
        incarnation: u64,
    },
    /// The node ended by itself.
    NodeEnded,
    /// The node crashed.
    NodeCrashed,
    /// The node does not turn any more for now.
    NodePaused,
    /// It does again.
    NodeResumed,
    /// The node was asked to end.
    NodeAskedToEnd,
    /// A connection of this node's was established.
    Connected {
        /// With whom.
        to: u32,
    },
    /// This node was told that a connection of its own is broken.
    Disconnected {
        /// With whom; `None` if nobody was ever there.
        to: Option<u32>,
    },
    /// Nothing passes to another node any more.
    Cut {
        /// To whom.
        to: u32,
    },
    /// It does again.
    Healed {
        /// To whom.
        to: u32,
    },
    /// The way to another node behaves otherwise from now on.
    LinkChanged {
        /// To whom.
        to: u32,
    },
    /// What is sent to another node arrives when so much time has passed from now.
    Clogged {
        /// To whom.
        to: u32,
        /// How much; nothing when it ends early.
        lasts: Duration,
    },
    /// Each turn of this node takes longer.
    Slowed {
        /// By so long; nothing when it ends.
        each_turn: Duration,
    },
    /// The clocks of this node run fast, or slow if negative.
    ClockDrifts {
        /// By so many millionths; 0 when it ends.
        ppm: i32,
    },
    /// The wall clock of this node jumped, back if negative.
    ClockStepped {
        /// By so many microseconds.
        micros: i64,
    },
    /// A frame was taken from this node.
    FrameSent {
        /// Where it goes; `None` if nobody is there.
        to: Option<u32>,
        /// Its length.
        bytes: usize,
    },
    /// A frame arrived at this node.
    FrameArrived {
        /// From whom.
        from: u32,
        /// The sequence of the record of its sending; 0 when that was not recorded.
        sent: u64,
    },
    /// Frames on the way to this node were lost.
    FramesLost {
        /// From whom they were.
        from: u32,
        /// How many.
        frames: u64,
    },
    /// A datagram was taken from this node.
    DatagramSent {
        /// Where it goes.
        to: u32,
        /// Its length.
        bytes: usize,
    },
    /// A datagram arrived at this node.
    DatagramArrived {
        /// From whom.
        from: u32,
        /// The sequence of the record of its sending; 0 when that was not recorded.
        sent: u64,
    },
    /// A datagram of this node's was lost.
    DatagramLost {
        /// Where it was to go; `None` for an address that no node has.
        to: Option<u32>,
        /// The sequence of the record of its sending; 0 when that was not recorded.
        sent: u64,
    },
    /// Something passed between the node and its backend, as a [tracer](crate::decorator::Traced) saw it.
    Passed(Box<Call>),
    /// A fault of a plan begins.
    FaultBegan {
        /// Its number in the plan.
        fault: u32,
        /// What it is, for people: `partition`, `slow payments>stock`.
        name: Arc<str>,
        /// The nodes it concerns; none for all.
        nodes: Box<[u32]>,
    },
    /// It is over.
    FaultEnded {
        /// Its number in the plan.
        fault: u32,
    },
    /// A simulation did something to a message at this node.
    Injected {
        /// The message; see [`Sent::message`].
        message: u64,
        /// What, for people: `drop request Charge to payments`.
        name: Arc<str>,
        /// For how long the message is held up; `None` until somebody [lets it pass](Self::Released).
        lasts: Option<Duration>,
    },
    /// Messages that a simulation held pass now, at all nodes.
    Released,
    /// A component, or a program that is none, sent a message.
    Sent(Box<Sent>),
    /// A message arrived in the queue of an instance.
    Queued {
        /// The message; see [`Sent::message`].
        message: u64,
        /// Whose queue: `app/name`.
        component: Arc<str>,
        /// Which of its instances on this node, from 0.
        instance: u32,
    },
    /// A handler began.
    Began {
        /// Its number, unique in its node's incarnation.
        task: u64,
        /// The message that it handles; 0 for none, as in `start` and `stop`.
        message: u64,
        /// Whose handler: `app/name`.
        component: Arc<str>,
        /// Which of its instances on this node, from 0.
        instance: u32,
        /// The method; the topic of something published.
        method: Arc<str>,
    },
    /// A handler waits.
    Suspended {
        /// See [`What::Began`].
        task: u64,
        /// Where in its source.
        place: Place,
    },
    /// A handler's wait is over.
    Resumed {
        /// See [`What::Began`].
        task: u64,
    },
    /// A handler returned.
    Ended {
        /// See [`What::Began`].
        task: u64,
        /// Its own error, or its panic.
        error: Option<Arc<str>>,
    },
    /// A call ended for who made it.
    CallEnded {
        /// See [`Sent::call`].
        call: u64,
        /// The beginning of the answer, or why there is none.
        outcome: Result<Arc<str>, Arc<str>>,
    },
    /// The answer to a call came that had ended before.
    AnswerLate {
        /// See [`Sent::call`].
        call: u64,
    },
    /// A cast came back: it was not handled.
    CastReturned {
        /// See [`Sent::call`].
        cast: u64,
        /// Why.
        error: Arc<str>,
    },
    /// Something that a test waits for was reached.
    Reached {
        /// What it is called.
        name: Arc<str>,
    },
    /// A property does not hold.
    Broken {
        /// What it is called.
        property: Arc<str>,
        /// How it does not hold.
        text: Arc<str>,
        /// The message whose handler broke it, if that is known; 0 if not. See [`Sent::message`].
        message: u64,
    },
}

/// How a message asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Manner {
    /// For an answer.
    Call,
    /// For none.
    Cast,
    /// For none, and it was published to a topic.
    Publish,
}

/// A message as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Its number: the span it is in its trace, so the same on every node. 0 for none.
    pub message: u64,
    /// The number of the message whose handler sent it; 0 for none.
    pub cause: u64,
    /// The number by which the sending node ends it.
    pub call: u64,
    /// How it asks.
    pub manner: Manner,
    /// The component that sent it; empty for a program that is none.
    pub from: Arc<str>,
    /// The component it is for.
    pub to: Arc<str>,
    /// The operation, or the topic.
    pub method: Arc<str>,
    /// The business flow; empty for none.
    pub flow: Arc<str>,
    /// The beginning of its payload, for people.
    pub payload: Arc<str>,
    /// The length of its payload in bytes.
    pub bytes: usize,
    /// Where in its sender's source, as far as that is known.
    pub place: Option<Place>,
}

impl What {
    /// Tells whether it is kept when a recorder has no room any more: it is rare, and what comes later is not
    /// understood without it.
    const fn is_landmark(&self) -> bool {
        matches!(
            self,
            Self::NodeStarted { .. }
                | Self::NodeEnded
                | Self::NodeCrashed
                | Self::NodePaused
                | Self::NodeResumed
                | Self::Cut { .. }
                | Self::Healed { .. }
                | Self::LinkChanged { .. }
                | Self::Clogged { .. }
                | Self::Slowed { .. }
                | Self::ClockDrifts { .. }
                | Self::ClockStepped { .. }
                | Self::FaultBegan { .. }
                | Self::FaultEnded { .. }
                | Self::Injected { .. }
                | Self::Released
                | Self::Broken { .. }
        )
    }
}
