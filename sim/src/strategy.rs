//! In which order things happen: how an exploration gets from one run to others.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::str::FromStr;
use std::time::Duration;

use monofil_inproc::{FrameOnTheWay, NodeKey, World};
use monofil_transport::{Instant, Plane, Stream};
use serde::{Deserialize, Serialize};

use crate::Span;

/// How runs differ from one another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// Each has a seed of its own, and everything is drawn from it.
    #[default]
    Random,
    /// The same, and on top of it each direction between two nodes has a priority: what goes along one of a lower
    /// priority is behind. At `depth - 1` random points the one just used becomes the lowest of all.
    ///
    /// After Burckhardt et al., "A randomized scheduler with probabilistic guarantees of finding bugs" (ASPLOS 2010),
    /// and Ozkan et al., "Randomized testing of distributed systems with probabilistic guarantees" (OOPSLA 2018), who
    /// do it with the chains of messages. Theirs waits until nothing of a higher priority is left; here a priority is
    /// a delay, so that time-outs mean what they mean.
    Pct {
        /// Bugs that need this many events in one order are what it is for; at least 1.
        depth: u32,
    },
    /// All runs have the seed of the first, and the number of a run says which of the first `depth` frames that
    /// are on the way together with others come after those others: all ways are tried, the usual one first.
    Dfs {
        /// How many frames; 2 to this power is the number of runs that try everything. At most 63.
        depth: u32,
    },
}

/// Why a text is no strategy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no strategy: write random, pct:d=3 or dfs:depth=10")]
pub struct StrategyError(String);

impl FromStr for Strategy {
    type Err = StrategyError;

    fn from_str(text: &str) -> Result<Self, StrategyError> {
        let number = |prefix: &str, most: u32| {
            let number: u32 = text.strip_prefix(prefix)?.parse().ok()?;
            (1..=most).contains(&number).then_some(number)
        };
        if text == "random" {
            Ok(Self::Random)
        } else if let Some(depth) = number("pct:d=", 1_000) {
            Ok(Self::Pct { depth })
        } else if let Some(depth) = number("dfs:depth=", 63) {
            Ok(Self::Dfs { depth })
        } else {
            Err(StrategyError(text.to_owned()))
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Random => f.write_str("random"),
            Self::Pct { depth } => write!(f, "pct:d={depth}"),
            Self::Dfs { depth } => write!(f, "dfs:depth={depth}"),
        }
    }
}

/// In which order the frames of one run arrive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Schedule {
    /// As links have it.
    #[default]
    Links,
    /// By priorities; see [`Strategy::Pct`].
    Priorities {
        /// See there.
        depth: u32,
    },
    /// Frames that come after the others that are on the way with them; see [`Strategy::Dfs`].
    Choices {
        /// How many frames are asked about.
        depth: u32,
        /// One bit for each, the first lowest.
        bits: u64,
    },
    /// Each frame takes a millisecond, except for these.
    Fixed {
        /// How long, by the way and the number of the frame there, from 1: `client>counter/3`.
        frames: BTreeMap<String, Span>,
    },
}

impl Strategy {
    /// Returns the seed and the schedule of the run with this number, of those that begin with `first`.
    pub(crate) const fn run(self, first: u64, number: u64) -> (u64, Schedule) {
        match self {
            Self::Random => (number, Schedule::Links),
            Self::Pct { depth } => (number, Schedule::Priorities { depth }),
            Self::Dfs { depth } => (
                first,
                Schedule::Choices {
                    depth,
                    bits: number - first,
                },
            ),
        }
    }

    /// Returns how many runs try everything, if that is known.
    #[must_use]
    pub const fn runs(self) -> Option<u64> {
        match self {
            Self::Dfs { depth } => Some(1 << depth),
            _ => None,
        }
    }
}

/// How long frames were on the way, each called as [`Schedule::Fixed`] calls it, in their order.
pub(crate) type Latencies = Rc<RefCell<Vec<(String, Span)>>>;

/// Says how long a frame takes, which is called like this.
type Decide = Box<dyn FnMut(&FrameOnTheWay, &str) -> Duration>;

/// Frames of which it is noted how long they were on the way.
const NOTED_MAX: usize = 200_000;

/// The points at which priorities change are among so many frames.
const FRAMES: u64 = 1_000;

impl Schedule {
    /// Has a world follow it as long as `calm` does not say so, and notes how long frames took.
    pub(crate) fn install(
        &self,
        world: &mut World,
        seed: u64,
        calm: &Rc<Cell<bool>>,
        note: bool,
    ) -> Latencies {
        let noted = Latencies::default();
        if *self == Self::Links && !note {
            return noted;
        }
        let (latencies, calm) = (noted.clone(), calm.clone());
        let names: Vec<_> = world.names().map(str::to_owned).collect();
        let needs_names = note || matches!(self, Self::Fixed { .. });
        let mut numbers: BTreeMap<_, u64> = BTreeMap::new();
        let mut decide = self.decide(seed);
        world.schedule(move |frame| {
            let mut called = String::new();
            if needs_names {
                let number = numbers.entry((frame.from, frame.to)).or_default();
                *number += 1;
                let name = |node: NodeKey| names.get(node.index()).map_or("", String::as_str);
                called = format!("{}>{}/{number}", name(frame.from), name(frame.to));
            }
            let latency = match calm.get() {
                true => frame.latency,
                false => decide(frame, &called),
            };
            let mut latencies = latencies.borrow_mut();
            if note && latencies.len() < NOTED_MAX {
                latencies.push((called, Span(latency)));
            }
            latency
        });
        noted
    }

    fn decide(&self, seed: u64) -> Decide {
        match self {
            Self::Links => Box::new(|frame, _| frame.latency),
            Self::Priorities { depth } => {
                let mut decide = priorities(seed, *depth);
                Box::new(move |frame, _| decide(frame))
            }
            Self::Choices { depth, bits } => {
                let mut decide = choices(*depth, *bits);
                Box::new(move |frame, _| decide(frame))
            }
            Self::Fixed { frames } => {
                let frames = frames.clone();
                Box::new(move |_, called| frames.get(called).map_or(crate::plan::CALM.0, |it| it.0))
            }
        }
    }
}

fn priorities(seed: u64, depth: u32) -> impl FnMut(&FrameOnTheWay) -> Duration {
    let mut stream = Stream::new(seed, "schedule/priorities");
    let mut points: Vec<u64> = (1..depth).map(|_| 1 + stream.below(FRAMES)).collect();
    points.sort_unstable();
    // The greater, the later.
    let mut ranks: BTreeMap<_, u64> = BTreeMap::new();
    let mut lowest = 1_000;
    move |frame| {
        let rank = ranks
            .entry((frame.from, frame.to))
            .or_insert_with(|| stream.below(16));
        while points.first() == Some(&frame.number) {
            points.remove(0);
            lowest += 16;
            *rank = lowest - 984;
        }
        let steps = u32::try_from(*rank).unwrap_or(u32::MAX);
        frame.latency.saturating_add(crate::plan::CALM.0 * steps)
    }
}

fn choices(depth: u32, bits: u64) -> impl FnMut(&FrameOnTheWay) -> Duration {
    let mut asked = 0;
    // When the last frame arrives that is on the way, and which way.
    let mut last = (Instant::ZERO, None);
    move |frame| {
        let due = frame.at + frame.latency;
        let way = Some((frame.from, frame.to));
        let (last_due, last_way) = last;
        let is_choice = frame.plane == Plane::Application && last_due > frame.at && last_way != way;
        let mut latency = frame.latency;
        if is_choice && asked < depth {
            if bits >> asked & 1 == 1 {
                let behind = frame.at.until(last_due) + Duration::from_micros(1);
                latency = latency.max(behind + frame.latency);
            }
            asked += 1;
        }
        if frame.plane == Plane::Application && frame.at + latency > last_due {
            last = (due.max(frame.at + latency), way);
        }
        latency
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strategies_are_read_as_they_are_written() {
        for text in ["random", "pct:d=3", "dfs:depth=12"] {
            let strategy: Strategy = text.parse().expect(text);
            assert_eq!(strategy.to_string(), text);
        }
        for text in ["", "pct", "pct:d=0", "dfs:depth=64", "dfs:depth=x", "fuzz"] {
            assert!(text.parse::<Strategy>().is_err(), "{text}");
        }
    }
}
