//! Calls that were started here, and where the answers to those handled here go.

use std::collections::VecDeque;
use std::rc::Rc;

use monofil_transport::Instant;

use crate::hash::Table;
use crate::heading::Heading;
use crate::resilience::{GuardKey, Ticket};
use crate::route::Again;
use crate::slab::Slab;
use crate::timers::TimerKey;
use crate::{CallError, Payload};

/// Names a handler under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TaskId(pub(crate) u64);

impl TaskId {
    /// Returns a number below [`Slab::LEN_MAX`] that no other handler under way has.
    pub(crate) const fn place(self) -> usize {
        Slab::<()>::place(self.0)
    }
}

/// Names a link for as long as it lasts. What belongs to a link that has ended finds nobody, although the
/// node, or another in its place, may be there again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LinkKey {
    pub(crate) peer: usize,
    pub(crate) number: u64,
}

/// Where a message came from, and so where its end is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A call of this container.
    LocalCall { id: u64 },
    /// A cast or publication of this container, and the instance that sent it.
    LocalCast { id: u64, sender: Option<usize> },
    /// A message of another node.
    Remote {
        link: LinkKey,
        id: u64,
        /// The number of its record; 0 on an unnumbered link.
        sequence: u64,
        /// A call, not a cast.
        answer: bool,
    },
}

/// Where a call that was started here went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// Nowhere: it ended before it was sent.
    Nowhere,
    /// An instance of this container.
    Local,
    /// Another node.
    Peer(usize),
    /// The control plane of some node.
    Control,
}

/// The calls that were started here, by their ids. These are odd: everything else that is numbered has even
/// ones.
#[derive(Debug, Default)]
pub(crate) struct Calls(Slab<OutgoingCall>);

impl Calls {
    pub(crate) const LEN_MAX: usize = Slab::<OutgoingCall>::LEN_MAX;

    pub(crate) fn insert(&mut self, call: OutgoingCall) -> u64 {
        self.0.insert(call) << 1 | 1
    }

    pub(crate) fn get(&self, id: u64) -> Option<&OutgoingCall> {
        if id & 1 == 0 {
            return None;
        }
        self.0.get(id >> 1)
    }

    pub(crate) fn get_mut(&mut self, id: u64) -> Option<&mut OutgoingCall> {
        if id & 1 == 0 {
            return None;
        }
        self.0.get_mut(id >> 1)
    }

    pub(crate) fn remove(&mut self, id: u64) -> Option<OutgoingCall> {
        if id & 1 == 0 {
            return None;
        }
        self.0.remove(id >> 1)
    }

    pub(crate) fn contains(&self, id: u64) -> bool {
        self.get(id).is_some()
    }

    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &OutgoingCall)> {
        self.0.iter().map(|(key, call)| (key << 1 | 1, call))
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut OutgoingCall> {
        self.0.values_mut()
    }
}

/// A call that was started here.
#[derive(Debug)]
pub(crate) struct OutgoingCall {
    pub(crate) heading: Rc<Heading>,
    pub(crate) destination: Destination,
    /// Where it is, if it is served here.
    pub(crate) served: Option<Served>,
    /// When it ends at the latest.
    pub(crate) deadline: Instant,
    pub(crate) timer: Option<TimerKey>,
    /// The handler that waits for it.
    pub(crate) waiter: Option<TaskId>,
    /// The instance that made it.
    pub(crate) caller: Option<usize>,
    /// What lets it through, and wants to know how it ends.
    pub(crate) guarded: Option<(GuardKey, Ticket)>,
    /// What it takes to try it again, for one that may be.
    pub(crate) again: Option<Box<Again>>,
    pub(crate) answer: Answer,
}

/// What has come of a call so far.
#[derive(Debug)]
pub(crate) enum Answer {
    Pending,
    Done(Result<Payload, CallError>),
    Stream(IncomingStream),
    /// It was passed on to another node, and so is its answer.
    Passed(Box<Origin>),
}

/// The items of a streamed reply that were not taken yet.
#[derive(Debug, Default)]
pub(crate) struct IncomingStream {
    pub(crate) items: VecDeque<Payload>,
    /// How many have come.
    pub(crate) received: u64,
    /// Taken, and not yet given back as credit.
    pub(crate) taken: u32,
    /// No more will come; with the reason if that is not the end.
    pub(crate) end: Option<Result<(), CallError>>,
}

/// How many items a stream may send ahead of its reader.
pub(crate) const STREAM_CREDIT: u32 = 16;

impl OutgoingCall {
    /// Describes a call of which nothing has come so far, and for which nobody waits.
    pub(crate) const fn new(
        heading: Rc<Heading>,
        destination: Destination,
        deadline: Instant,
        answer: Answer,
    ) -> Self {
        Self {
            heading,
            destination,
            served: None,
            deadline,
            timer: None,
            waiter: None,
            caller: None,
            guarded: None,
            again: None,
            answer,
        }
    }

    /// Tells whether its caller has something to take.
    pub(crate) fn is_ready(&self) -> bool {
        match &self.answer {
            Answer::Pending | Answer::Passed(_) => false,
            Answer::Done(_) => true,
            Answer::Stream(stream) => !stream.items.is_empty() || stream.end.is_some(),
        }
    }

    /// Tells whether nothing more will come.
    pub(crate) const fn is_over(&self) -> bool {
        match &self.answer {
            Answer::Pending | Answer::Passed(_) => false,
            Answer::Done(_) => true,
            Answer::Stream(stream) => stream.end.is_some(),
        }
    }
}

/// Calls whose answer did not come in time, remembered for a while to tell how late it was.
#[derive(Debug, Default)]
pub(crate) struct Lapsed {
    deadlines: Table<u64, Instant>,
    order: VecDeque<u64>,
}

impl Lapsed {
    const MOST: usize = 1024;

    pub(crate) fn remember(&mut self, id: u64, deadline: Instant) {
        if self.order.len() == Self::MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.deadlines.remove(&oldest);
        }
        self.order.push_back(id);
        self.deadlines.insert(id, deadline);
    }

    /// Returns when the caller stopped waiting, if it is remembered.
    pub(crate) fn deadline(&self, id: u64) -> Option<Instant> {
        self.deadlines.get(&id).copied()
    }
}

/// A call that is being served here, by who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ServedKey {
    /// `None`: this container itself.
    pub(crate) link: Option<LinkKey>,
    pub(crate) id: u64,
}

/// Where a call that is being served is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Served {
    Queued {
        instance: usize,
        arrival: u64,
    },
    Running(TaskId),
    Streaming(u64),
    /// By another node, by the number of the call that passed it on.
    Passed(u64),
}

impl Origin {
    /// Nobody wants to know.
    pub(crate) const NOWHERE: Self = Self::LocalCast {
        id: 0,
        sender: None,
    };

    /// Returns the key under which a call is found when it is cancelled; `None` for a cast.
    pub(crate) const fn served_key(&self) -> Option<ServedKey> {
        match *self {
            Self::LocalCall { id } => Some(ServedKey { link: None, id }),
            Self::Remote {
                link,
                id,
                answer: true,
                ..
            } => Some(ServedKey {
                link: Some(link),
                id,
            }),
            Self::LocalCast { .. } | Self::Remote { .. } => None,
        }
    }
}
