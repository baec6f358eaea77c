//! What goes wrong in one run: plain data, to be drawn, written, read, shrunk and replayed.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use monofil_inproc::{Bandwidth, Bursts, Latency, LinkModel, Stalls};
use serde::{Deserialize, Serialize};

use crate::{Chance, Family, Injection, Span, SpanRange};

/// What goes wrong in one run. [`Faults`](crate::Faults) draws it from a seed; a test may write it down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plan {
    /// How links between machines behave until all heals.
    pub link: LinkPlan,
    /// What is otherwise on single ways between nodes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ways: Vec<Way>,
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

/// How links behave. What is not said is as in a network without faults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LinkPlan {
    /// How long messages are on the way; a millisecond if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Shape>,
    /// How many datagrams are lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<Chance>,
    /// Bursts, in which more are lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bursts: Option<BurstPlan>,
    /// How many datagrams arrive twice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplication: Option<Chance>,
    /// How many datagrams are overtaken, by those of the next 10 ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reordering: Option<Chance>,
    /// How many datagrams arrive with a bit turned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corruption: Option<Chance>,
    /// Frames that stall, and for how long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stalls: Option<StallPlan>,
    /// What passes at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<BandwidthPlan>,
}

/// What is otherwise on the way from one node to another than on all links; the way back is not meant.
///
/// ```
/// use monofil_sim::{Chance, LinkPlan, Plan, Way};
///
/// let plan: Plan = toml::from_str(r#"
///     [[ways]]
///     from = "orders"
///     to = "*"
///     link.loss = "20%"
/// "#)?;
/// let link = LinkPlan { loss: Some(Chance::percent(20)), ..LinkPlan::default() };
/// assert_eq!(plan.ways, [Way::new("orders", "*", link.clone())]);
/// assert_eq!(plan.between("orders", "payments"), link);
/// assert_eq!(plan.between("payments", "orders"), LinkPlan::default());
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Way {
    /// Where messages come from: a node, or `*` for any on another machine.
    pub from: String,
    /// Where they go: a node, or `*` for any on another machine.
    pub to: String,
    /// What is otherwise. What is not said is as on all links; of several ways that are meant the later one counts.
    pub link: LinkPlan,
}

/// Stands for any node.
pub(crate) const ANY: &str = "*";

impl Way {
    /// Describes one.
    pub fn new(from: impl Into<String>, to: impl Into<String>, link: LinkPlan) -> Self {
        Self {
            from: from.into(),
            to: to.into(),
            link,
        }
    }

    /// Tells whether it is about a way between two nodes of one machine.
    fn names(&self, from: &str, to: &str) -> bool {
        self.from == from && self.to == to
    }

    /// Tells whether it is about a way between machines.
    fn is_meant(&self, from: &str, to: &str) -> bool {
        let fits = |wanted: &str, name| wanted == ANY || wanted == name;
        fits(&self.from, from) && fits(&self.to, to)
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} > {}: {}", self.from, self.to, self.link)
    }
}

impl Plan {
    /// Returns how the way from one node to another behaves, which are on two machines.
    #[must_use]
    pub fn between(&self, from: &str, to: &str) -> LinkPlan {
        let ways = self.ways.iter().filter(|way| way.is_meant(from, to));
        over(self.link.clone(), ways)
    }

    /// Returns how the way from one node to another on its machine behaves: as if nothing were wrong, unless one of the
    /// [ways](Self::ways) names both. `*` means those on other machines.
    #[must_use]
    pub fn within(&self, from: &str, to: &str) -> LinkPlan {
        let near = LinkPlan {
            latency: Some(Shape::constant(NEAR)),
            ..LinkPlan::default()
        };
        let ways = self.ways.iter().filter(|way| way.names(from, to));
        over(near, ways)
    }

    /// Returns which kinds of faults are in it, whether they were drawn or written down: of events and of
    /// [ways](Self::ways) what they do.
    #[must_use]
    pub fn families(&self) -> BTreeSet<Family> {
        let links = std::iter::once(&self.link).chain(self.ways.iter().map(|way| &way.link));
        let events = self.events.iter().map(|event| event.what.family());
        let rest = [
            (Family::Service, self.service.is_empty()),
            (Family::Messages, self.messages.is_empty()),
        ];
        let rest = rest.into_iter().filter(|(_, is_empty)| !is_empty);
        links
            .flat_map(LinkPlan::families)
            .chain(events)
            .chain(rest.map(|(family, _)| family))
            .collect()
    }

    /// Returns all that is said of links.
    pub(crate) fn links_mut(&mut self) -> impl Iterator<Item = &mut LinkPlan> {
        let ways = self.ways.iter_mut().map(|way| &mut way.link);
        std::iter::once(&mut self.link).chain(ways)
    }
}

/// Returns how links behave if ways say what is otherwise.
fn over<'a>(link: LinkPlan, ways: impl Iterator<Item = &'a Way>) -> LinkPlan {
    ways.fold(link, |link, way| way.link.or(link))
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

/// The latency between processes of one machine.
const NEAR: Span = Span(std::time::Duration::from_micros(50));

impl LinkPlan {
    /// Returns the families of what is said.
    fn families(&self) -> impl Iterator<Item = Family> {
        let said = [
            (Family::Latency, self.latency.is_some()),
            (Family::Loss, self.loss.is_some()),
            (Family::Bursts, self.bursts.is_some()),
            (Family::Duplication, self.duplication.is_some()),
            (Family::Reordering, self.reordering.is_some()),
            (Family::Corruption, self.corruption.is_some()),
            (Family::Stalls, self.stalls.is_some()),
            (Family::Bandwidth, self.bandwidth.is_some()),
        ];
        let said = said.into_iter().filter(|(_, is_said)| *is_said);
        said.map(|(family, _)| family)
    }

    /// Returns what is said here, and of the rest what is said there.
    pub(crate) fn or(&self, other: Self) -> Self {
        Self {
            latency: self.latency.clone().or(other.latency),
            loss: self.loss.or(other.loss),
            bursts: self.bursts.or(other.bursts),
            duplication: self.duplication.or(other.duplication),
            reordering: self.reordering.or(other.reordering),
            corruption: self.corruption.or(other.corruption),
            stalls: self.stalls.or(other.stalls),
            bandwidth: self.bandwidth.or(other.bandwidth),
        }
    }

    /// Returns it as the world has it.
    #[must_use]
    pub fn to_model(&self) -> LinkModel {
        let latency = self
            .latency
            .as_ref()
            .map_or(Latency::Constant(CALM.0), Shape::to_latency);
        let share = |chance: Option<Chance>| chance.unwrap_or_default().0;
        LinkModel {
            datagram_loss: share(self.loss),
            datagram_bursts: self.bursts.map(|bursts| Bursts {
                begin: bursts.begin.0,
                end: bursts.end.0,
                loss: bursts.loss.0,
            }),
            datagram_duplication: share(self.duplication),
            datagram_reordering: share(self.reordering),
            datagram_corruption: share(self.corruption),
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

/// Lists what is said, in a few words.
impl fmt::Display for LinkPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let latency = self.latency.as_ref().map(|shape| match shape {
            Shape::Constant { time } => format!("latency {time}"),
            Shape::Uniform { range } => format!("latency {range}"),
            Shape::Exponential { mean, .. } => format!("latency exponential, {mean}"),
            Shape::LogNormal { median, .. } => format!("latency log-normal, {median}"),
            Shape::Table { .. } => "latency from a table".to_owned(),
        });
        let chance = |name, chance: Option<Chance>| chance.map(|it| format!("{name} {it}"));
        let bandwidth = |it: BandwidthPlan| format!("{} bytes a second", it.bytes_per_second);
        let parts = [
            latency,
            chance("loss", self.loss),
            self.bursts.map(|_| "bursts of loss".to_owned()),
            chance("duplication", self.duplication),
            chance("reordering", self.reordering),
            chance("corruption", self.corruption),
            self.stalls.map(|it| format!("stalls of {}", it.lasts)),
            self.bandwidth.map(bandwidth),
        ];
        let said: Vec<_> = parts.into_iter().flatten().collect();
        f.write_str(&said.join(", "))
    }
}

/// How long the handlers of a method occupy the thread of their node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceTime {
    /// Whose handlers: a component, with or without its app's name; empty for all.
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
    /// How long it lasts; nothing only where a node crashes, to start again at once, or connections break.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Span>,
    /// What.
    #[serde(flatten)]
    pub what: Happening,
}

/// What happens. Nodes are given by their names, or as `*` for all. Those that a run does not have are left out of what
/// was drawn or made smaller; in what somebody wrote down they are mistakes ([`Sim::follow`](crate::Sim::follow)).
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

impl Happening {
    /// Returns the family it would be drawn by.
    const fn family(&self) -> Family {
        match self {
            Self::Partition { .. } => Family::Partitions,
            Self::Disconnect { .. } => Family::Disconnects,
            Self::Clog { .. } => Family::Clogs,
            Self::Crash { machine: false, .. } => Family::Crashes,
            Self::Crash { machine: true, .. } => Family::Outages,
            Self::Pause { .. } => Family::Pauses,
            Self::Slow { .. } => Family::Slowness,
            Self::Drift { .. } => Family::Drift,
            Self::StepClock { .. } => Family::ClockSteps,
        }
    }
}
