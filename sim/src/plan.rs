//! What goes wrong in one run: plain data, to be drawn, written, read, shrunk and replayed.

use std::sync::Arc;

use monofil_inproc::{Bandwidth, Bursts, Latency, LinkModel, Stalls};
use serde::{Deserialize, Serialize};

use crate::{Chance, Injection, Span, SpanRange};

/// What goes wrong in one run. [`Faults`](crate::Faults) draws it from a seed; a test may write it down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plan {
    /// How links behave until all heals.
    pub link: LinkPlan,
    /// How long handlers take.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub service: Vec<ServiceTime>,
    /// What happens, in the order of time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Event>,
    /// What is done to messages.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<Injection>,
}

/// How all links behave. What is not said is as in a network without faults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LinkPlan {
    /// How long messages are on the way; a millisecond if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Shape>,
    /// How many datagrams are lost.
    #[serde(skip_serializing_if = "is_never")]
    pub loss: Chance,
    /// Bursts, in which more are lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bursts: Option<BurstPlan>,
    /// How many datagrams arrive twice.
    #[serde(skip_serializing_if = "is_never")]
    pub duplication: Chance,
    /// How many datagrams are overtaken, by those of the next 10 ms.
    #[serde(skip_serializing_if = "is_never")]
    pub reordering: Chance,
    /// How many datagrams arrive with a bit turned.
    #[serde(skip_serializing_if = "is_never")]
    pub corruption: Chance,
    /// Frames that stall, and for how long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stalls: Option<StallPlan>,
    /// What passes at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<BandwidthPlan>,
}

/// Serde asks for a reference.
fn is_never(chance: &Chance) -> bool {
    *chance == Chance::default()
}

/// Bursts of loss; see [`Bursts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BurstPlan {
    /// How likely a datagram is to be the first of a burst.
    pub begin: Chance,
    /// How likely one in a burst is to be its last.
    pub end: Chance,
    /// How many are lost in a burst.
    pub loss: Chance,
}

/// Frames that stall, and hold up those behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StallPlan {
    /// How many.
    pub probability: Chance,
    /// For how long.
    pub lasts: Span,
}

/// What a link carries at most; see [`Bandwidth`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BandwidthPlan {
    /// Bytes that leave in a second.
    pub bytes_per_second: u64,
    /// Bytes that may wait; datagrams beyond them are lost.
    pub queue_bytes: u64,
}

/// How long something takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "shape", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Shape {
    /// Always the same.
    Constant {
        /// So long.
        time: Span,
    },
    /// Equally likely between two bounds, both included.
    Uniform {
        /// Between these.
        range: SpanRange,
    },
    /// A fixed part, and on top of it an exponentially distributed one.
    Exponential {
        /// The fixed part.
        min: Span,
        /// The mean of what comes on top.
        mean: Span,
    },
    /// Most near the median, a few very much longer; see [`Latency::LogNormal`].
    LogNormal {
        /// Half are shorter.
        median: Span,
        /// The standard deviation of the logarithm, in hundredths.
        sigma_percent: u32,
    },
    /// Quantiles at equal distances, the shortest first.
    Table {
        /// As they were measured.
        quantiles: Vec<Span>,
    },
}

impl Shape {
    /// Makes one that is always the same.
    pub fn constant(time: impl Into<Span>) -> Self {
        Self::Constant { time: time.into() }
    }

    /// Returns it as the world has it.
    #[must_use]
    pub fn to_latency(&self) -> Latency {
        match self {
            Self::Constant { time } => Latency::Constant(time.0),
            Self::Uniform { range } => Latency::Uniform {
                min: range.min.0,
                max: range.max.0,
            },
            Self::Exponential { min, mean } => Latency::Exponential {
                min: min.0,
                mean: mean.0,
            },
            Self::LogNormal {
                median,
                sigma_percent,
            } => Latency::LogNormal {
                median: median.0,
                sigma_percent: *sigma_percent,
            },
            Self::Table { quantiles } => {
                let quantiles: Arc<[_]> = quantiles.iter().map(|span| span.0).collect();
                Latency::Table(quantiles)
            }
        }
    }
}

/// The latency of a network without faults.
pub(crate) const CALM: Span = Span::millis(1);

impl LinkPlan {
    /// Returns it as the world has it.
    #[must_use]
    pub fn to_model(&self) -> LinkModel {
        let latency = self
            .latency
            .as_ref()
            .map_or(Latency::Constant(CALM.0), Shape::to_latency);
        LinkModel {
            datagram_loss: self.loss.0,
            datagram_bursts: self.bursts.map(|bursts| Bursts {
                begin: bursts.begin.0,
                end: bursts.end.0,
                loss: bursts.loss.0,
            }),
            datagram_duplication: self.duplication.0,
            datagram_reordering: self.reordering.0,
            datagram_corruption: self.corruption.0,
            frame_stalls: self.stalls.map(|stalls| Stalls {
                probability: stalls.probability.0,
                duration: stalls.lasts.0,
            }),
            bandwidth: self.bandwidth.map(|bandwidth| Bandwidth {
                bytes_per_second: bandwidth.bytes_per_second,
                queue_bytes: bandwidth.queue_bytes,
            }),
            ..LinkModel::with_latency(latency)
        }
    }
}

/// How long the handlers of a method occupy the thread of their node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceTime {
    /// Whose handlers: a component without its app's name; empty for all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub component: String,
    /// Of which method, with or without its service; empty for all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub method: String,
    /// How long.
    pub takes: Shape,
}

/// Something that happens to nodes or to the ways between them, and ends again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When it begins.
    pub at: Span,
    /// How long it lasts; nothing for what is done once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Span>,
    /// What.
    #[serde(flatten)]
    pub what: Happening,
}

/// What happens. Nodes are given by their names; those that a run does not have are left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Happening {
    /// Nothing passes from some nodes to others, nor back unless it is one-way. A node that is in neither group
    /// sees both: it bridges the partition.
    Partition {
        /// Some.
        from: Vec<String>,
        /// Others.
        to: Vec<String>,
        /// Whether messages pass back.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        one_way: bool,
        /// The partition comes and goes, each for so long.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        flaps: Option<Span>,
    },
    /// All connections between two nodes break, with loss of what was on the way.
    Disconnect {
        /// One.
        node: String,
        /// The other.
        peer: String,
    },
    /// What is sent from one node to another arrives when it is over.
    Clog {
        /// From where.
        node: String,
        /// To where.
        peer: String,
    },
    /// A node is killed, and starts again with an empty memory when it is over.
    Crash {
        /// Which.
        node: String,
        /// Its machine goes with it: nobody is told.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        machine: bool,
    },
    /// A node does nothing.
    Pause {
        /// Which.
        node: String,
    },
    /// Each turn of a node takes longer.
    Slow {
        /// Which.
        node: String,
        /// By so long.
        each_turn: Span,
    },
    /// A node's clocks run fast, or slow if negative.
    Drift {
        /// Which.
        node: String,
        /// By so many millionths.
        ppm: i32,
    },
    /// A node's wall clock jumps, back if negative.
    StepClock {
        /// Which.
        node: String,
        /// By so many milliseconds.
        millis: i64,
    },
}
