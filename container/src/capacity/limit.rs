//! What limits there are, and how somebody says that one is to change.

use std::fmt;
use std::time::Duration;

use crate::{InstanceLimits, Name, NodeLimits};

/// What several have together: the messages of a flow at a node, whichever of its instances they are for; or all
/// instances of a component in the network. `None`: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupLimits {
    /// Messages queued.
    pub queue_messages: Option<u64>,
    /// Their payloads, in bytes.
    pub queue_bytes: Option<u64>,
    /// Messages queued and handlers under way.
    pub in_flight: Option<u64>,
    /// Messages admitted each second; see [`Limit::RateMessages`].
    pub rate_messages: Option<u64>,
    /// Their payloads, in bytes for each second.
    pub rate_bytes: Option<u64>,
}

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// Messages that wait in a queue.
    QueueMessages,
    /// Their payloads, in bytes. One message may always wait where no other does, however large it is.
    QueueBytes,
    /// Messages that wait, and handlers under way.
    InFlight,
    /// Messages admitted each second, with bursts of a tenth of a second's worth.
    RateMessages,
    /// Their payloads, in bytes for each second. A payload larger than a burst is admitted when nothing is owed.
    RateBytes,
    /// How long messages may stand in the queue of an instance, in microseconds: when all of them have waited longer
    /// for a tenth of a second, those that have waited for twice as long are refused when their turn comes.
    QueueTime,
}

/// The value of a limit that is none.
pub(crate) const UNLIMITED: u64 = u64::MAX;

impl Limit {
    /// All of them, in order.
    pub const ALL: [Self; 6] = [
        Self::QueueMessages,
        Self::QueueBytes,
        Self::InFlight,
        Self::RateMessages,
        Self::RateBytes,
        Self::QueueTime,
    ];

    /// Tells whether it lets nothing pass when it is 0. One message may wait alone, however few bytes may; and a time in
    /// the queue refuses only what has stood there.
    #[must_use]
    pub const fn closes(self) -> bool {
        match self {
            Self::QueueMessages | Self::InFlight | Self::RateMessages | Self::RateBytes => true,
            Self::QueueBytes | Self::QueueTime => false,
        }
    }

    /// Returns its name, as it is set and read: `queue_messages`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::QueueMessages => "queue_messages",
            Self::QueueBytes => "queue_bytes",
            Self::InFlight => "in_flight",
            Self::RateMessages => "rate_messages",
            Self::RateBytes => "rate_bytes",
            Self::QueueTime => "queue_time",
        }
    }

    /// Finds the limit with a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|limit| limit.as_str() == name)
    }

    /// Returns what a component is configured with.
    pub(crate) fn of_instance(self, limits: &InstanceLimits) -> u64 {
        match self {
            Self::QueueMessages => limits.queue_messages as u64,
            Self::QueueBytes => limits.queue_bytes as u64,
            Self::InFlight => limits.in_flight.unwrap_or(UNLIMITED),
            Self::RateMessages => limits.rate_messages.unwrap_or(UNLIMITED),
            Self::RateBytes => limits.rate_bytes.unwrap_or(UNLIMITED),
            Self::QueueTime => limits.queue_time.map_or(UNLIMITED, crate::error::micros),
        }
    }

    /// Returns what a flow, or all instances of a component, are configured with.
    pub(crate) fn of_group(self, limits: &GroupLimits) -> u64 {
        let value = match self {
            Self::QueueMessages => limits.queue_messages,
            Self::QueueBytes => limits.queue_bytes,
            Self::InFlight => limits.in_flight,
            Self::RateMessages => limits.rate_messages,
            Self::RateBytes => limits.rate_bytes,
            Self::QueueTime => None,
        };
        value.unwrap_or(UNLIMITED)
    }

    /// Returns what a node is configured with.
    pub(crate) fn of_node(self, limits: &NodeLimits) -> u64 {
        match self {
            Self::QueueMessages => limits.queue_messages as u64,
            Self::QueueBytes => limits.queue_bytes as u64,
            Self::InFlight => limits.in_flight.unwrap_or(UNLIMITED),
            Self::RateMessages => limits.rate_messages.unwrap_or(UNLIMITED),
            Self::RateBytes => limits.rate_bytes.unwrap_or(UNLIMITED),
            Self::QueueTime => UNLIMITED,
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a limit belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum LimitScope {
    /// Each instance of a component (`app/name`) on this node, by itself.
    Component(Name),
    /// All instances of a component in the network together, of which each has its part. It has to be set at each node
    /// that runs some.
    Network(Name),
    /// All instances of this node together.
    Node,
    /// The messages of a flow, whichever instance of this node they are for.
    Flow(Name),
}

impl LimitScope {
    /// Returns the word before the limit's own name in a refusal: `instance`, as in `instance.queue_messages`.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Component(_) => "instance",
            Self::Network(_) => "network",
            Self::Node => "node",
            Self::Flow(_) => "flow",
        }
    }
}

/// What a limit is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitValue {
    /// So much, in the limit's own unit. 0 admits nothing.
    At(u64),
    /// None. Queues always have one.
    Unlimited,
    /// What it was when the node began.
    Configured,
}

/// A change of a limit of a running node.
///
/// It counts from the next message on. Nothing that was admitted is put out again: below what is there already,
/// nothing more is admitted until enough of it has gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitChange {
    /// Whose limit.
    pub scope: LimitScope,
    /// Which one.
    pub limit: Limit,
    /// What it is to be.
    pub value: LimitValue,
    /// For how long; then it is again what it was before. `None`: until the node ends.
    pub lasts: Option<Duration>,
    /// Who wants it, for people. Nobody checks that.
    pub author: Name,
}

/// A limit as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitInfo {
    /// Whose limit.
    pub scope: LimitScope,
    /// Of a component: which of its instances on this node.
    pub instance: u32,
    /// Which one.
    pub limit: Limit,
    /// What counts now; `None`: it is none.
    pub value: Option<u64>,
    /// What it was when the node began.
    pub configured: Option<u64>,
    /// What there is of it now, at this node. Of a rate: 0.
    pub observed: u64,
    /// Who changed it, and when, if anybody did.
    pub change: Option<LimitChanged>,
}

/// The last change of a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitChanged {
    /// Grows with each change of any limit of the node, from 1.
    pub epoch: u64,
    /// Who wanted it; the end of a change that was to last for a while is nobody's.
    pub author: Name,
    /// When, by the node's clock: microseconds since 1970-01-01 UTC.
    pub at_micros: u64,
    /// How much longer it lasts; `None`: until the node ends.
    pub remaining: Option<Duration>,
}

/// Why a limit was not changed. All limits are as they were.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LimitError {
    /// Nothing here is called that.
    #[error("node `{node}` runs no `{component}`")]
    NoComponent {
        /// The node that was asked.
        node: Name,
        /// What it does not run.
        component: Name,
    },
    /// Where messages wait there is always a bound.
    #[error("`{0}` of a component or a node always has a value: give one")]
    AlwaysLimited(Limit),
    /// Only an instance has a queue in which time passes.
    #[error("`queue_time` is a limit of components: set it for one")]
    OnlyOfComponents,
    /// Too many flows are limited already: so many.
    #[error("{0} flows are limited already: set one of them back to `configured` first")]
    TooManyFlows(usize),
    /// The name of a flow is missing, or longer than what travels.
    #[error("the flow has no name, or one that is too long")]
    BadFlow,
    /// Nobody said who wants it.
    #[error("whoever changes a limit says who that is")]
    NoAuthor,
}
