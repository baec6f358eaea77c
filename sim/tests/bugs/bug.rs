//! How a bug is planted and looked for.

use std::rc::Rc;
use std::time::Duration;

use monofil_container::Context;
use monofil_sim::{
    Case, Episodes, Event, Faults, Happening, Keep, Plan, Ran, Scenario, Shape, Shrunk, Sim, Span,
    SpanRange,
};
use monofil_transport::Instant;

/// One app with a bug in it, and how to look for it.
pub(crate) struct Bug {
    pub(crate) name: &'static str,
    /// Where it is known from, if it is a published one.
    pub(crate) known_from: &'static str,
    /// What the bug breaks.
    pub(crate) property: &'static str,
    /// Makes the app: as it is, or corrected.
    pub(crate) app: fn(corrected: bool) -> Rc<dyn App>,
    /// How many clients there are.
    pub(crate) clients: u64,
    /// How many things clients do, in how many milliseconds.
    pub(crate) acts: u64,
    pub(crate) millis: u64,
    /// Of how many kinds; an [`Act`] says which.
    pub(crate) kinds: u64,
    /// What may go wrong, and with which nodes.
    pub(crate) faults: &'static [Kind],
    pub(crate) nodes: &'static [&'static str],
    /// The shortest history that shows the bug, found by thinking, where every message takes a millisecond.
    pub(crate) by_hand: fn() -> History,
}

/// An app, its clients, and what is known of it outside.
pub(crate) trait App {
    /// Adds the components.
    fn build(&self, sim: &mut Sim);

    /// Does something as a client.
    fn act(&self, cx: &mut Context, act: Act);

    /// Looks at it when all is well again, as a client.
    fn look(&self, cx: &mut Context) {
        let _ = cx;
    }

    /// Tells whether the property holds, or what broke it.
    fn judge(&self) -> Result<(), String>;
}

/// Something that a client does.
#[derive(Clone, Copy)]
pub(crate) struct Act {
    /// Which of all there are, from 1: what is to be unique is made of it.
    pub(crate) number: i64,
    pub(crate) client: u64,
    pub(crate) kind: u64,
}

/// What may go wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Crash,
    Pause,
    Partition,
    Disconnect,
}

/// What is done to an app.
#[derive(Default)]
pub(crate) struct History {
    /// What clients do: when, in milliseconds, which client, and what kind of thing.
    pub(crate) acts: Vec<(u64, u64, u64)>,
    pub(crate) faults: Vec<Event>,
}

impl History {
    pub(crate) fn events(&self) -> usize {
        self.acts.len() + self.faults.len()
    }
}

/// Makes an event: something happens for a while.
pub(crate) fn event(at_micros: u64, lasts_millis: u64, what: Happening) -> Event {
    Event {
        at: Span::from(Duration::from_micros(at_micros)),
        lasts: Some(Span::millis(lasts_millis)),
        what,
    }
}

pub(crate) fn crash(node: &str) -> Happening {
    Happening::Crash {
        node: node.to_owned(),
        machine: false,
    }
}

pub(crate) fn pause(node: &str) -> Happening {
    Happening::Pause {
        node: node.to_owned(),
    }
}

/// Nothing passes between one and some others.
pub(crate) fn partition(one: &str, others: &[&str]) -> Happening {
    Happening::Partition {
        from: vec![one.to_owned()],
        to: others.iter().map(|&it| it.to_owned()).collect(),
        one_way: false,
        flaps: None,
    }
}

/// Clients begin when connections are there.
const BEGIN: u64 = 100;

/// All is well for so long before an app is looked at.
const SETTLE: Duration = Duration::from_secs(8);

impl Bug {
    /// Describes the runs in which it is looked for.
    pub(crate) fn scenario(&'static self, corrected: bool) -> Scenario {
        Scenario::new(self.name, "app", move |sim| self.build(sim, corrected)).faults(self.faults())
    }

    /// What may go wrong.
    pub(crate) fn faults(&self) -> Faults {
        let some = |kind, every, min, max| {
            let episodes = Episodes::every(Span::millis(every), SpanRange::millis(min, max));
            let is_there = self.faults.contains(&kind);
            is_there.then(|| episodes.to(self.nodes))
        };
        let every = self.millis / 4;
        Faults {
            lasts: Span::millis(BEGIN + self.millis),
            latency: Some(vec![Shape::Uniform {
                range: SpanRange::millis(1, 2),
            }]),
            crashes: some(Kind::Crash, every, 10, self.millis),
            pauses: some(Kind::Pause, every, 10, self.millis),
            partitions: some(Kind::Partition, every, 10, self.millis),
            disconnects: some(Kind::Disconnect, every, 10, self.millis),
            ..Faults::none()
        }
    }

    /// Puts an app and its clients into a world.
    pub(crate) fn build(&'static self, sim: &mut Sim, corrected: bool) {
        let app = (self.app)(corrected);
        app.build(sim);
        let tape = sim.tape();
        let mut acts: Vec<(Instant, Act)> = Vec::new();
        for number in 1..=self.acts {
            let micros = tape.draw("at", 0..=self.millis * 1_000);
            let act = Act {
                number: number.cast_signed(),
                client: tape.draw("client", 0..=self.clients - 1),
                kind: tape.draw("kind", 0..=self.kinds - 1),
            };
            let at = Duration::from_millis(BEGIN) + Duration::from_micros(micros);
            acts.push((Instant::ZERO + at, act));
        }
        let kept = tape.steps(ACTS, self.acts);
        let acts = kept
            .iter()
            .map(|step| acts[usize::try_from(*step).expect("a step")]);
        let mut acts: Vec<_> = acts.collect();
        acts.sort_by_key(|(at, _)| *at);
        for client in 0..self.clients {
            let (app, acts) = (app.clone(), acts.clone());
            sim.spawn(&format!("client-{client}"), move |cx| {
                for (at, act) in acts.into_iter().filter(|(_, act)| act.client == client) {
                    // Nobody waits for a client, and it is never killed.
                    let _ = cx.sleep(at.since(cx.now()));
                    app.act(cx, act);
                }
            });
        }
        let (looking, over) = (app.clone(), Duration::from_millis(BEGIN + self.millis));
        sim.spawn("judge", move |cx| {
            let _ = cx.sleep(over + SETTLE);
            looking.look(cx);
        });
        sim.at_end(self.property, move |_| app.judge());
    }

    /// Returns the history that was made by hand, in the world of a seed.
    pub(crate) fn case_by_hand(&self, seed: u64) -> Case {
        let history = (self.by_hand)();
        let mut case = Case::of_seed(seed);
        let mut fix = |site: &str, index: usize, value| {
            let site = case.fixed.entry(site.to_owned()).or_default();
            site.insert(index as u64, value);
        };
        for index in 0..usize::try_from(self.acts).expect("few") {
            fix(ACTS, index, u64::from(index < history.acts.len()));
        }
        for (index, (millis, client, kind)) in history.acts.iter().enumerate() {
            fix("at", index, (millis - BEGIN) * 1_000);
            fix("client", index, *client);
            fix("kind", index, *kind);
        }
        case.plan = Some(Plan {
            events: history.faults,
            ..Plan::default()
        });
        case
    }

    /// Returns the same histories with one thing less: what a client does, or what goes wrong. Everything else is as it
    /// was, and when it was.
    pub(crate) fn cases_with_less(&self, seed: u64) -> Vec<(String, Case)> {
        let history = (self.by_hand)();
        let acts = history.acts.iter().enumerate().map(|(index, act)| {
            let mut case = self.case_by_hand(seed);
            let acts = case.fixed.entry(ACTS.to_owned()).or_default();
            acts.insert(index as u64, 0);
            (format!("{act:?}"), case)
        });
        let faults = history.faults.iter().enumerate().map(|(index, fault)| {
            let mut case = self.case_by_hand(seed);
            case.plan.get_or_insert_default().events.remove(index);
            (format!("{fault:?}"), case)
        });
        acts.chain(faults).collect()
    }

    /// Runs a case.
    pub(crate) fn run(&'static self, case: &Case, corrected: bool) -> Ran {
        let keep = Keep {
            choices: true,
            ..Keep::default()
        };
        self.scenario(corrected).run(case, keep)
    }
}

/// Where it is drawn what clients do; it shrinks by leaving out.
const ACTS: &str = "acts";

/// Counts what is done to an app in a run: what clients do, and what happens.
pub(crate) fn events(ran: &Ran) -> usize {
    ran.plan.events.len() + acts(ran)
}

/// Counts all that makes a run that was shrunk what it is: besides that, what links do, and frames that are late. In a
/// history made by hand there is none of it.
pub(crate) fn all_of(shrunk: &Shrunk) -> usize {
    let frames = shrunk.to.frames.unwrap_or(0);
    acts(&shrunk.ran) + shrunk.to.faults + frames
}

fn acts(ran: &Ran) -> usize {
    let acts = ran.drawn.iter();
    acts.filter(|it| it.site == ACTS && it.value == 1).count()
}
