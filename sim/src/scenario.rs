//! A scenario: what is run again and again, and judged.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use monofil_inproc::{TraceHash, WorldConfig};
use monofil_transport::draws::{self, Draw};
use monofil_transport::record::Recording;
use serde::{Deserialize, Serialize};

use crate::mentioned::NAMES;
use crate::patience::{self, Published};
use crate::property::{Broken, Failure};
use crate::strategy::Noted;
use crate::tape::{Drawn, Fixed, Tape};
use crate::{Explore, Faults, Plan, Schedule, Sim, Simulate, Span, panics, property, stacks};

/// What is run again and again: nodes, work, faults, properties.
///
/// A run has two phases, as in TigerBeetle's simulator. In the first things go wrong, and what must *always* hold has to.
/// Then all heals; now what clients were given has to come to its end, and what must hold *eventually*, within a bound.
///
/// ```
/// use monofil_container::{
///     Caller, Component, ComponentSpec, Context, HandlerError, Message, Payload, Reply, Request,
/// };
/// use monofil_sim::{Faults, Scenario};
///
/// struct Echo;
///
/// impl Component for Echo {
///     fn handle(&mut self, _: &mut Context, message: Message) -> Result<Reply, HandlerError> {
///         Ok(Reply::Payload(message.payload().clone()))
///     }
/// }
///
/// Scenario::new("echo", "echoes", |sim| {
///     sim.component("echo", || ComponentSpec::new("echo", || Echo));
///     sim.spawn("client", |cx| {
///         while cx.call(Request::new("echo", "Say", Payload::bytes("hello"))).is_err() {}
///     });
///     sim.always("it echoes only what was said", |sim| {
///         sim.received("echo").iter().all(|message| message.payload.to_bytes() == "hello")
///     });
/// })
/// .faults(Faults::all())
/// .explore(0..20)
/// .check();
/// ```
#[derive(Clone)]
pub struct Scenario {
    pub(crate) name: String,
    app: String,
    build: Arc<dyn Fn(&mut Sim) + Send + Sync>,
    pub(crate) faults: Faults,
    liveness: Duration,
    may_panic: bool,
    patience: Duration,
    /// Called with how a run failed that never ends, before the process does.
    stuck: Stuck,
}

type Stuck = Arc<dyn Fn(&Case, &Failure) + Send + Sync>;

/// All that decides a run of a scenario.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What is not said otherwise is drawn from it.
    pub seed: u64,
    /// Draws that are not left to the seed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fixed: Fixed,
    /// In which order frames arrive.
    #[serde(default)]
    pub schedule: Schedule,
    /// What goes wrong; if it is not said, the scenario's faults are drawn from the seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
}

impl Case {
    /// Returns the case of a seed, without anything said otherwise.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        Self {
            seed,
            ..Self::default()
        }
    }
}

/// What a run is to bring along besides its verdict.
#[derive(Clone, Copy, Debug, Default)]
pub struct Keep {
    /// How many records of what happened; see [`Recording`]. 0 for none.
    pub records: usize,
    /// The draws and the latencies, for those who want to shrink it.
    pub choices: bool,
    /// Where handlers wait when it is over; needs records.
    pub stacks: bool,
    /// How many of all random choices, the first ones: those of links, faults, schedules, containers and components.
    pub draws: usize,
}

/// A run that is over.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Ran {
    /// How it failed, if it did.
    pub failure: Option<Failure>,
    /// The hash of everything that happened.
    pub hash: TraceHash,
    /// How long it took, in virtual time.
    pub lasted: Span,
    /// Marks that were to be reached sometimes, and whether they were.
    pub marks: BTreeMap<String, bool>,
    /// What had to hold.
    pub judged: BTreeSet<String>,
    /// How many requests came to components; see [`Sim::requests`].
    pub requests: u64,
    /// What went wrong in it.
    pub plan: Plan,
    /// How many frames were sent.
    pub frames: u64,
    /// What was drawn, if that was to be kept.
    pub drawn: Vec<Drawn>,
    /// How long each frame was on the way, by what [`Schedule::Fixed`] calls it, if that was to be kept.
    pub latencies: Vec<(String, Span)>,
    /// Between how many frames the schedule chose, each time, if it is one of [`Choices`](Schedule::Choices).
    pub choices: Vec<u32>,
    /// What happened, if that was to be kept.
    pub recording: Recording,
    /// Each random choice, if that was to be kept: where, from which range, and what it was.
    pub draws: Vec<Draw>,
    /// Where handlers waited when it was over, as [`stacks::text`] writes it, if that was to be kept.
    pub stacks: String,
}

impl Ran {
    /// Says of a run only that it failed.
    pub(crate) fn that_failed(failure: Failure) -> Self {
        Self {
            failure: Some(failure),
            hash: TraceHash(0),
            lasted: Span::default(),
            marks: BTreeMap::new(),
            judged: BTreeSet::new(),
            requests: 0,
            plan: Plan::default(),
            frames: 0,
            drawn: Vec::new(),
            latencies: Vec::new(),
            choices: Vec::new(),
            draws: Vec::new(),
            recording: Recording::default(),
            stacks: String::new(),
        }
    }
}

/// The longest that a run may take without letting time pass, in steps.
const STEPS_AT_ONCE_MAX: u64 = 2_000_000;

/// How a process ends in which a handler never gives the thread back.
pub const EXIT_STUCK: u8 = 5;

/// What always must hold, so that a run ends.
pub(crate) const GIVES_BACK: &str = "handlers give the thread back";

/// The stack of a thread that runs a world.
const STACK_BYTES: usize = 8 << 20;

impl Scenario {
    /// Makes a scenario. `build` describes what there is and what must hold, and gives clients their work, for each
    /// run anew; it lets no time pass.
    pub fn new(
        name: impl Into<String>,
        app: impl Into<String>,
        build: impl Fn(&mut Sim) + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            app: app.into(),
            build: Arc::new(build),
            faults: Faults::none(),
            liveness: Duration::from_secs(120),
            may_panic: false,
            patience: Duration::from_secs(60),
            stuck: Arc::new(|case, failure| eprintln!("seed {}: {failure}", case.seed)),
        }
    }

    /// Makes a scenario of an app: what it has is there when `build` is called.
    pub fn of<A: Simulate>(
        name: impl Into<String>,
        app: impl Fn() -> A + Send + Sync + 'static,
        build: impl Fn(&mut Sim) + Send + Sync + 'static,
    ) -> Self {
        let called = app().name().to_owned();
        Self::new(name, called, move |sim| {
            app().join(sim);
            build(sim);
        })
    }

    /// Says what may go wrong. Without it nothing does but that messages take their time.
    #[must_use]
    pub fn faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    /// Bounds how long it may take, once all is healed, until all is as it must be eventually. Default two minutes.
    #[must_use]
    pub const fn within(mut self, liveness: Duration) -> Self {
        self.liveness = liveness;
        self
    }

    /// Takes handlers that panic as something that happens. Otherwise a run fails by it.
    #[must_use]
    pub const fn may_panic(mut self) -> Self {
        self.may_panic = true;
        self
    }

    /// Says how long a handler may hold the thread, of the real clock; zero for ever. Default a minute.
    ///
    /// Nothing can end a handler that never returns but the end of its process. In an exploration with several processes
    /// that is a run that failed; where there is one only, it says which handler of which seed it was, and ends with
    /// exit code [`EXIT_STUCK`].
    #[must_use]
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Says what is done with how a run failed that never ends, before the process ends.
    pub(crate) fn when_stuck(
        mut self,
        stuck: impl Fn(&Case, &Failure) + Send + Sync + 'static,
    ) -> Self {
        self.stuck = Arc::new(stuck);
        self
    }

    /// Begins an exploration: the runs with these numbers, which are their seeds unless a
    /// [strategy](crate::Strategy) says otherwise.
    #[must_use]
    pub fn explore(self, runs: std::ops::Range<u64>) -> Explore {
        Explore::new(self, runs)
    }

    /// Runs a case, on a thread of its own.
    ///
    /// # Panics
    ///
    /// When no thread can be had.
    #[must_use]
    pub fn run(&self, case: &Case, keep: Keep) -> Ran {
        self.watch(case, keep, |_| true)
    }

    /// Runs a case and has it watched: after each step `go_on` looks at it, and ends it by saying false.
    ///
    /// # Panics
    ///
    /// When no thread can be had.
    pub fn watch(
        &self,
        case: &Case,
        keep: Keep,
        mut go_on: impl FnMut(&Sim) -> bool + Send,
    ) -> Ran {
        let published = Published::default();
        let (running, over) = mpsc::channel::<()>();
        let (there, go_on) = (published.clone(), &mut go_on);
        let run = move || {
            let _running = running;
            self.run_here(case, keep, &there, go_on)
        };
        let ran = std::thread::scope(|scope| {
            let thread = std::thread::Builder::new()
                .name(format!("sim {}", self.name))
                .stack_size(STACK_BYTES)
                .spawn_scoped(scope, run);
            let thread = thread.expect("a thread for a simulated run");
            if let Some(handler) = patience::wait(&published, &over, self.patience) {
                self.give_up(case, &handler);
            }
            thread.join()
        });
        ran.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Says that a handler does not give the thread back, and ends the process: nothing else ends the handler.
    fn give_up(&self, case: &Case, handler: &str) -> ! {
        let text = format!("`{handler}` has held the thread for {:.0?}", self.patience);
        (self.stuck)(
            case,
            &Failure {
                property: GIVES_BACK.to_owned(),
                text,
                ..Failure::default()
            },
        );
        std::process::exit(EXIT_STUCK.into())
    }

    fn run_here(
        &self,
        case: &Case,
        keep: Keep,
        published: &Published,
        go_on: &mut dyn FnMut(&Sim) -> bool,
    ) -> Ran {
        let noting = (keep.draws > 0).then(|| draws::note(keep.draws));
        let mut config = WorldConfig::with_seed(case.seed);
        config.records_max = keep.records;
        let mut sim = Sim::with(self.app.as_str(), config);
        sim.judged = true;
        panics::hush();
        sim.cluster.publish(published);
        let recorder = sim.world().recorder().cloned().filter(|_| keep.stacks);
        if let Some(recorder) = &recorder {
            recorder.keep_stacks();
        }
        sim.tape = Tape::new(case.seed, case.fixed.clone());
        let mut ran = None;
        let ended = catch_unwind(AssertUnwindSafe(|| {
            ran = Some(self.play(&mut sim, case, keep.choices, go_on));
        }));
        let panicked = panics::heard();
        let said = property::heard();
        if ended.is_err() {
            let no_message = || ("no message".to_owned(), String::new());
            let (text, site) = panicked.map_or_else(no_message, |it| (it.text, it.site));
            sim.failure = None;
            sim.fail(Broken {
                site,
                ..Broken::new("the scenario runs to its end", text)
            });
        }
        let (plan, noted) = ran.unwrap_or_default();
        let noted = noted.take();
        for (mark, reached) in said.marks {
            *sim.marks.entry(mark).or_default() |= reached;
        }
        let mut judged = sim.judged();
        judged.extend(said.judged);
        Ran {
            judged,
            failure: sim.failure.take(),
            hash: sim.trace_hash(),
            lasted: sim.elapsed(),
            marks: std::mem::take(&mut sim.marks),
            requests: sim.requests(),
            plan,
            frames: sim.world().stats().frames_sent,
            drawn: match keep.choices {
                true => sim.tape.drawn(),
                false => Vec::new(),
            },
            latencies: noted.latencies,
            choices: noted.choices,
            draws: noting.map_or_else(Vec::new, |noting| noting.draws()),
            recording: sim.world().recording(),
            stacks: recorder.as_ref().map_or_else(String::new, stacks::text),
        }
    }

    fn play(
        &self,
        sim: &mut Sim,
        case: &Case,
        note: bool,
        go_on: &mut dyn FnMut(&Sim) -> bool,
    ) -> (Plan, Rc<RefCell<Noted>>) {
        sim.may_panic = self.may_panic;
        (self.build)(sim);
        sim.start();
        let plan = match &case.plan {
            Some(plan) => {
                // It may come from a file, and what is called otherwise by now is not tested any more.
                if let Some(mistake) = sim.mistake_in_names(plan) {
                    sim.fail(Broken::new(NAMES, mistake.to_string()));
                    return <_>::default();
                }
                plan.clone()
            }
            None => {
                if let Some(mistake) = sim.mistake_in_faults(&self.faults) {
                    sim.fail(Broken::new(NAMES, mistake.to_string()));
                    return <_>::default();
                }
                // One that happens in no run is missed, as a mark is.
                for event in &self.faults.events {
                    sim.expects(&event.to_string());
                }
                for injection in &self.faults.messages {
                    sim.expects(&injection.to_string());
                }
                self.faults.draw(case.seed, &sim.nodes())
            }
        };
        let calm = sim.weather.calm.clone();
        let world = sim.cluster.world_mut();
        let noted = case.schedule.install(world, case.seed, &calm, note);
        sim.follow_as_it_is(&plan);
        if self.go_wrong(sim, go_on) {
            sim.heal_all();
            if self.come_right(sim, go_on) && sim.failure.is_none() {
                sim.judge_end();
            }
        }
        (plan, noted)
    }

    /// The phase of faults. When clients have nothing to do any more, it need not go on. Returns false if the run was
    /// ended by who watches it.
    fn go_wrong(&self, sim: &mut Sim, go_on: &mut dyn FnMut(&Sim) -> bool) -> bool {
        let limit = sim.now() + self.faults.lasts.0;
        let mut steps = Steps::default();
        while !sim.is_worked_off() && steps.take(sim, limit) {
            if !go_on(sim) {
                return false;
            }
        }
        true
    }

    fn come_right(&self, sim: &mut Sim, go_on: &mut dyn FnMut(&Sim) -> bool) -> bool {
        let limit = sim.now() + self.liveness;
        let mut steps = Steps::default();
        // It may be so already, and nothing may ever happen again.
        sim.look();
        while !sim.is_all_right() && steps.take(sim, limit) {
            if !go_on(sim) {
                return false;
            }
        }
        if let Some(broken) = sim.not_yet() {
            sim.fail(broken);
        }
        true
    }
}

/// One step after the other, and a look at whether time passes.
#[derive(Default)]
struct Steps {
    at_once: u64,
}

impl Steps {
    fn take(&mut self, sim: &mut Sim, limit: monofil_transport::Instant) -> bool {
        let before = sim.now();
        if !sim.step_until(limit) {
            return false;
        }
        self.at_once = if sim.now() > before {
            0
        } else {
            self.at_once + 1
        };
        if self.at_once > STEPS_AT_ONCE_MAX {
            let text = "nodes keep each other busy and no time passes";
            sim.fail(Broken::new("time passes", text));
        }
        true
    }
}

impl Ran {
    /// Returns what is wrong with the faults that were given, if that is why nothing was run.
    #[must_use]
    pub fn mistake(&self) -> Option<&str> {
        self.failure.as_ref()?.mistake()
    }
}

impl fmt::Debug for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scenario")
            .field("name", &self.name)
            .field("app", &self.app)
            .field("faults", &self.faults)
            .finish_non_exhaustive()
    }
}
