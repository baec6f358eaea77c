//! How a bug is planted, looked for and made small.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use monofil_container::Context;
use monofil_inproc::{Latency, LinkModel, TraceHash, WorldConfig};
use monofil_sim::{Sim, Task};
use monofil_transport::{Instant, Stream};

/// One app with a bug in it, and how to look for it.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Where it is known from, if it is a published one.
    pub(crate) known_from: &'static str,
    /// What the bug breaks.
    pub(crate) property: &'static str,
    /// Makes the app: as it is, or corrected.
    pub(crate) app: fn(corrected: bool) -> Rc<dyn App>,
    /// How many clients there are.
    pub(crate) clients: u64,
    /// Draws what a client does.
    pub(crate) act: fn(&mut Stream) -> Act,
    /// How many things clients do at most, and within how many milliseconds.
    pub(crate) acts: u64,
    pub(crate) millis: u64,
    /// What may go wrong, and with which nodes.
    pub(crate) faults: &'static [Kind],
    pub(crate) nodes: &'static [&'static str],
    /// The shortest history that shows the bug, found by thinking, where every message takes a millisecond.
    pub(crate) by_hand: fn() -> Vec<Event>,
}

/// An app, its clients, and what is known of it outside.
pub(crate) trait App {
    /// Adds the components.
    fn build(&self, sim: &mut Sim);

    /// Does something as a client.
    fn act(&self, cx: &mut Context, client: u64, act: &Act);

    /// Looks at it when all is well again, as a client.
    fn look(&self, cx: &mut Context) {
        let _ = cx;
    }

    /// Tells whether the property holds, or what broke it.
    fn judge(&self) -> Result<(), String>;
}

/// What a client does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Act {
    pub(crate) what: &'static str,
    pub(crate) args: Vec<i64>,
}

pub(crate) fn act(what: &'static str, args: &[i64]) -> Act {
    Act {
        what,
        args: args.to_vec(),
    }
}

/// Something that is done to the app from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// When, since the beginning.
    at: Duration,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Act {
        client: u64,
        act: Act,
    },
    Fault {
        kind: Kind,
        node: &'static str,
        /// The other node, of faults between two.
        other: &'static str,
        lasts: Duration,
    },
}

/// What may go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A node dies, and starts anew after a while.
    Down,
    /// A node does nothing for a while.
    Pause,
    /// Nothing passes between two nodes for a while.
    Cut,
    /// Nothing passes between a node and the other ones of the app for a while; its clients reach it.
    Isolate,
    /// Connections between two nodes break.
    Break,
}

/// Makes an event: a client does something.
pub(crate) fn does(at_millis: u64, client: u64, act: Act) -> Event {
    Event {
        at: Duration::from_millis(at_millis),
        what: What::Act { client, act },
    }
}

/// Makes an event: something goes wrong.
pub(crate) fn fault(at_micros: u64, kind: Kind, node: &'static str, millis: u64) -> Event {
    between(at_micros, kind, node, node, millis)
}

/// Makes an event: something goes wrong between two nodes.
pub(crate) fn between(
    at_micros: u64,
    kind: Kind,
    node: &'static str,
    other: &'static str,
    millis: u64,
) -> Event {
    Event {
        at: Duration::from_micros(at_micros),
        what: What::Fault {
            kind,
            node,
            other,
            lasts: Duration::from_millis(millis),
        },
    }
}

/// All that is done to an app.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    latency: Latency,
    pub(crate) events: Vec<Event>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) broken: Option<String>,
    pub(crate) hash: TraceHash,
}

/// Clients begin when connections are there.
const BEGIN: u64 = 100;

/// All is well again for so long before the app is judged.
const SETTLE: Duration = Duration::from_secs(10);

impl Case {
    /// Draws what happens.
    pub(crate) fn plan(&self, seed: u64) -> Plan {
        let mut random = Stream::new(seed, "plan");
        let within = |random: &mut Stream, from: u64, millis: u64| {
            Duration::from_micros(from * 1000 + random.below(millis * 1000))
        };
        let mut events = Vec::new();
        for _ in 0..random.below(self.acts + 1) {
            events.push(Event {
                at: within(&mut random, BEGIN, self.millis),
                what: What::Act {
                    client: random.below(self.clients),
                    act: (self.act)(&mut random),
                },
            });
        }
        // Half of what may go wrong does not in this run: so that the rest is not hidden by it.
        let mut kinds = self.faults.to_vec();
        random.shuffle(&mut kinds);
        kinds.truncate(kinds.len().div_ceil(2));
        let faults = if kinds.is_empty() {
            0
        } else {
            1 + random.below(4)
        };
        for _ in 0..faults {
            let mut nodes = self.nodes.to_vec();
            random.shuffle(&mut nodes);
            events.push(Event {
                at: within(&mut random, BEGIN, self.millis),
                what: What::Fault {
                    kind: kinds[random.below(kinds.len() as u64) as usize],
                    node: nodes[0],
                    other: nodes[nodes.len() - 1],
                    lasts: within(&mut random, 10, self.millis),
                },
            });
        }
        events.sort_by_key(|event| event.at);
        Plan {
            seed,
            latency: Latency::Uniform {
                min: Duration::from_millis(1),
                max: Duration::from_millis(2),
            },
            events,
        }
    }

    /// Returns the plan that was made by hand.
    pub(crate) fn plan_by_hand(&self) -> Plan {
        Plan {
            seed: 0,
            latency: Latency::Constant(Duration::from_millis(1)),
            events: (self.by_hand)(),
        }
    }

    /// Runs a plan.
    pub(crate) fn run(&self, plan: &Plan, corrected: bool) -> Ended {
        let app = (self.app)(corrected);
        let (mut sim, clients) = self.begin(plan, &app);
        let lasts = |event: &Event| match event.what {
            What::Fault { lasts, .. } => event.at + lasts,
            What::Act { .. } => event.at,
        };
        let over = plan.events.iter().map(lasts).max().unwrap_or_default();
        sim.run_until(
            Instant::ZERO + over.max(Duration::from_millis(BEGIN + self.millis)) + SETTLE,
        );
        while !clients.iter().all(Task::is_done) {
            sim.run_for(Duration::from_secs(1));
        }
        let judge = app.clone();
        sim.run("judge", move |cx| judge.look(cx));
        Ended {
            broken: app.judge().err(),
            hash: sim.trace_hash(),
        }
    }

    /// Makes a world in which a plan is about to happen.
    pub(crate) fn begin(&self, plan: &Plan, app: &Rc<dyn App>) -> (Sim, Vec<Task<()>>) {
        let mut sim = Sim::with(
            "app",
            WorldConfig {
                link: LinkModel::with_latency(plan.latency.clone()),
                ..WorldConfig::with_seed(plan.seed)
            },
        );
        app.build(&mut sim);
        sim.start();
        let mut acts: BTreeMap<u64, Vec<(Duration, Act)>> = BTreeMap::new();
        for Event { at, what } in &plan.events {
            match what {
                What::Act { client, act } => {
                    acts.entry(*client).or_default().push((*at, act.clone()));
                }
                What::Fault {
                    kind,
                    node,
                    other,
                    lasts,
                } => self.break_for_a_while(&mut sim, *kind, (node, other), *at, *lasts),
            }
        }
        let client = |(client, acts): (u64, Vec<_>)| {
            let app = app.clone();
            sim.spawn(&format!("client-{client}"), move |cx| {
                for (at, act) in acts {
                    let wait = (Instant::ZERO + at).since(cx.now());
                    // Nobody waits for a client, and it is never killed.
                    let _ = cx.sleep(wait);
                    app.act(cx, client, &act);
                }
            })
        };
        let clients = acts.into_iter().map(client).collect();
        (sim, clients)
    }

    fn break_for_a_while(
        &self,
        sim: &mut Sim,
        kind: Kind,
        (node, other): (&'static str, &'static str),
        at: Duration,
        lasts: Duration,
    ) {
        let others: Vec<_> = match kind {
            Kind::Isolate => self
                .nodes
                .iter()
                .copied()
                .filter(|it| *it != node)
                .collect(),
            _ => vec![other],
        };
        let again = others.clone();
        sim.at(at, move |sim| match kind {
            Kind::Down => sim.crash(node),
            Kind::Pause => sim.pause(node),
            Kind::Cut | Kind::Isolate => others.iter().for_each(|other| sim.cut(node, other)),
            Kind::Break => {
                let (one, other) = (sim.key(node), sim.key(other));
                sim.world_mut().disconnect(one, other);
            }
        });
        sim.at(at + lasts, move |sim| match kind {
            Kind::Down => {
                if !sim.world().is_up(sim.key(node)) {
                    sim.restart(node);
                }
            }
            Kind::Pause => sim.resume(node),
            Kind::Break => {}
            Kind::Cut | Kind::Isolate => {
                again.iter().for_each(|other| sim.heal(node, other));
            }
        });
    }

    /// Looks for a seed that breaks the property.
    pub(crate) fn find(&self, seeds: u64) -> Option<(Plan, Ended)> {
        (0..seeds).find_map(|seed| {
            let plan = self.plan(seed);
            let ended = self.run(&plan, false);
            ended.broken.is_some().then_some((plan, ended))
        })
    }

    /// Leaves out whatever is not needed.
    pub(crate) fn shrink(&self, mut plan: Plan) -> Plan {
        let mut size = plan.events.len().div_ceil(2);
        let mut tried = BTreeSet::new();
        loop {
            let mut from = 0;
            let mut is_smaller = false;
            while from < plan.events.len() {
                let mut less = plan.clone();
                let to = (from + size).min(less.events.len());
                less.events.drain(from..to);
                let is_new = tried.insert(format!("{:?}", less.events));
                if is_new && self.run(&less, false).broken.is_some() {
                    (plan, is_smaller) = (less, true);
                } else {
                    from = to;
                }
            }
            if size > 1 {
                size = size.div_ceil(2);
            } else if !is_smaller {
                return plan;
            }
        }
    }
}
