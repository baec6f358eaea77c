//! In which order things happen: how an exploration gets from one run to others.

mod chains;
mod naming;
mod priorities;
pub(crate) mod tree;
mod turns;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::str::FromStr;
use std::time::Duration;

use monofil_inproc::{FrameOnTheWay, World};
use monofil_transport::Instant;
use serde::{Deserialize, Serialize};

use self::naming::Naming;
use self::priorities::Priorities;
use self::turns::{Choose, Turns};
use crate::Span;
use crate::plan::CALM;

/// How runs differ from one another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// Each has a seed of its own, and everything is drawn from it.
    #[default]
    Random,
    /// The same, but that frames arrive one at a time, by priorities.
    ///
    /// This is PCTCP: Ozkan et al., "Randomized testing of distributed systems with probabilistic guarantees" (OOPSLA
    /// 2018), after Burckhardt et al., "A randomized scheduler with probabilistic guarantees of finding bugs" (ASPLOS
    /// 2010). Frames are put into chains as they leave, each caused by the one before it in its chain. Each chain has a
    /// random priority, and of the frames that are there the one of the highest arrives. At `depth - 1` random frames
    /// the priority of their chain falls below all others.
    ///
    /// The paper's guarantee: if a bug needs `depth` messages to arrive in one order, whatever the others do, a run
    /// finds it with a probability of at least `1 / (w² n^(depth - 1))`, where at most `w` messages are independent of
    /// each other and there are `n` of them. It holds for code that has nothing but messages: no time-outs, and no
    /// faults. The number of frames is not known before, so a run guesses one of ten powers of two up to 8,192: up to
    /// there the probability is at least a tenth of that, with the next power of two for `n`. Two frames that a node
    /// sends at different times are taken to be independent unless they go along the same connection, so `w` may be
    /// greater than it had to be. Time goes on between frames, by 0.1, 1 or 10 ms in a run: so time-outs take part.
    Pct {
        /// Bugs that need this many events in one order are what it is for; at least 1.
        depth: u32,
    },
    /// All runs have the seed of the first, and frames arrive one at a time. The first `depth` times that there are
    /// several to choose from, each is chosen in some run: all orders are tried, the usual one first. A run's number
    /// says how it chooses, and not each number is that of a run. After that the first that left is the first to arrive.
    ///
    /// If all were tried and none failed, no order of these deliveries breaks a property with this seed: with these
    /// faults, at these times, a millisecond from one frame to the next.
    Dfs {
        /// How many choices, at most 63.
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
    /// One of all orders; see [`Strategy::Dfs`].
    Choices {
        /// How many choices there are at most.
        depth: u32,
        /// Which ways are gone: for each choice the remainder by the number of its ways, the first one's lowest.
        number: u64,
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
                    number: number - first,
                },
            ),
        }
    }
}

/// What a run's schedule notes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Noted {
    /// How long frames were on the way, each called as [`Schedule::Fixed`] calls it, in the order in which that was
    /// known.
    pub(crate) latencies: Vec<(String, Span)>,
    /// Between how many frames it chose, each time.
    pub(crate) choices: Vec<u32>,
    /// Whether latencies are wanted.
    is_wanted: bool,
}

/// Frames of which it is noted how long they were on the way.
const NOTED_MAX: usize = 200_000;

impl Noted {
    fn latency(&mut self, called: String, latency: Duration) {
        if self.is_wanted && self.latencies.len() < NOTED_MAX {
            self.latencies.push((called, Span(latency)));
        }
    }
}

/// The beat of a run whose orders are all tried: a frame arrives each millisecond.
const BEAT: Duration = Duration::from_micros(500);

impl Schedule {
    /// Has a world follow it as long as `calm` does not say so. If it is wanted, it is noted how long frames took.
    pub(crate) fn install(
        &self,
        world: &mut World,
        seed: u64,
        calm: &Rc<Cell<bool>>,
        is_wanted: bool,
    ) -> Rc<RefCell<Noted>> {
        let noted = Rc::new(RefCell::new(Noted {
            is_wanted,
            ..Noted::default()
        }));
        let (notes, calm) = (noted.clone(), calm.clone());
        let needs_names = is_wanted || matches!(self, Self::Fixed { .. });
        let mut naming = Naming::of(world, needs_names);
        match self {
            Self::Links if !is_wanted => {}
            Self::Links => world.schedule(move |frame: &FrameOnTheWay| {
                let called = naming.name(frame);
                notes.borrow_mut().latency(called, frame.latency);
                frame.latency
            }),
            Self::Fixed { frames } => {
                let frames = frames.clone();
                world.schedule(move |frame: &FrameOnTheWay| {
                    let called = naming.name(frame);
                    let latency = match calm.get() {
                        true => frame.latency,
                        false => frames.get(&called).map_or(CALM.0, |it| it.0),
                    };
                    notes.borrow_mut().latency(called, latency);
                    latency
                });
            }
            Self::Priorities { depth } => {
                let choose = Priorities::new(seed, *depth);
                let beat = Priorities::beat(seed);
                world.schedule(Turns::new(choose, beat, calm, naming, notes));
            }
            Self::Choices { depth, number } => {
                let choose = Numbered {
                    depth: *depth as usize,
                    left: *number,
                    noted: notes.clone(),
                };
                world.schedule(Turns::new(choose, BEAT, calm, naming, notes));
            }
        }
        noted
    }
}

/// Chooses as the number of a run says; see [`tree`].
struct Numbered {
    depth: usize,
    left: u64,
    noted: Rc<RefCell<Noted>>,
}

impl Choose for Numbered {
    fn leaves(&mut self, _: &FrameOnTheWay) {}

    fn choose(&mut self, there: &[u64]) -> u64 {
        let choices = &mut self.noted.borrow_mut().choices;
        if there.len() < 2 || choices.len() == self.depth {
            return there.first().copied().unwrap_or_default();
        }
        let ways = u32::try_from(there.len()).unwrap_or(u32::MAX);
        choices.push(ways);
        there[tree::choose(&mut self.left, ways) as usize]
    }

    fn arrives(&mut self, _: Instant, _: u64) {}
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use monofil_inproc::{NodeSpec, application_endpoint};
    use monofil_transport::{Inbox, Io, Next, Node, Plane, Route};

    use super::*;

    /// Sends frames to a node that does nothing with them.
    struct Sender {
        to: String,
        frames: usize,
        begun: bool,
    }

    impl Node for Sender {
        fn turn(&mut self, io: &mut dyn Io) -> Next {
            io.receive(&mut Inbox::new());
            if !std::mem::replace(&mut self.begun, true) && !self.to.is_empty() {
                let endpoint = application_endpoint(&self.to).expect("an endpoint");
                let to = io.connect(Plane::Application, &endpoint);
                let to = Route::Connection(to.expect("it can be tried"));
                for _ in 0..self.frames {
                    io.send(&to, vec![1].into()).expect("there is room");
                }
            }
            Next::Idle
        }
    }

    /// Returns the frames of some nodes to another one, each as many.
    pub(super) fn frames_of(mut world: World, nodes: usize, frames: usize) -> Vec<FrameOnTheWay> {
        for number in 0..=nodes {
            let to = if number == 0 { "" } else { "node-0" };
            let added = world.add_node(NodeSpec::new(format!("node-{number}")), move |_| {
                let (to, begun) = (to.to_owned(), false);
                Box::new(Sender { to, frames, begun })
            });
            added.expect("another name");
        }
        let seen: Arc<Mutex<Vec<FrameOnTheWay>>> = Arc::default();
        let noted = seen.clone();
        world.schedule(move |frame: &FrameOnTheWay| {
            noted.lock().expect("nobody panicked").push(*frame);
            frame.latency
        });
        world.run_for(Duration::from_secs(1));
        let seen = seen.lock().expect("nobody panicked");
        assert_eq!(seen.len(), nodes * frames);
        seen.clone()
    }

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
