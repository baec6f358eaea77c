//! Many runs of a scenario, and what they say together.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::shrink::{Shrunk, shrink};
use crate::workers::{self, Worker};
use crate::{Case, Failure, Keep, Ran, Scenario, Strategy};

/// Runs a scenario many times.
#[derive(Clone, Debug)]
pub struct Explore {
    pub(crate) scenario: Scenario,
    pub(crate) runs: Range<u64>,
    pub(crate) strategy: Strategy,
    jobs: Option<usize>,
    budget: Option<Duration>,
    shrink: Duration,
}

/// What one run says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) run: u64,
    pub(crate) failure: Option<Failure>,
    pub(crate) hash: String,
    pub(crate) lasted_nanos: u64,
    pub(crate) marks: BTreeMap<String, bool>,
}

/// What an exploration says.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// What was run.
    pub scenario: String,
    /// How many runs there were, up to the one that failed.
    pub runs: u64,
    /// The first that failed.
    pub found: Option<Found>,
    /// In how many runs each mark was reached that was to be, sometimes.
    pub marks: BTreeMap<String, u64>,
    /// The hashes of all runs, as one.
    pub hash: u128,
    /// Their virtual time.
    pub simulated: Duration,
    /// The time they took.
    pub took: Duration,
}

/// A failing run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Found {
    /// Its number.
    pub run: u64,
    /// How it failed, before it was shrunk.
    pub failure: Failure,
    /// What was made of it.
    pub shrunk: Shrunk,
    /// How often the shrunk case failed in the same way, of how many times.
    pub reproduced: (u32, u32),
}

/// How often a shrunk case is run again.
const REPRODUCE: u32 = 10;

impl Explore {
    pub(crate) const fn new(scenario: Scenario, runs: Range<u64>) -> Self {
        Self {
            scenario,
            runs,
            strategy: Strategy::Random,
            jobs: None,
            budget: None,
            shrink: Duration::from_secs(30),
        }
    }

    /// Says how runs differ from one another. Default: by their seeds.
    #[must_use]
    pub const fn strategy(mut self, strategy: Strategy) -> Self {
        self.strategy = strategy;
        self
    }

    /// Runs in so many processes. The result is the same. Default: one for each core, if there is enough to do.
    #[must_use]
    pub const fn jobs(mut self, jobs: usize) -> Self {
        self.jobs = Some(jobs);
        self
    }

    /// Begins no run any more after so long, in real time.
    #[must_use]
    pub const fn for_time(mut self, budget: Duration) -> Self {
        self.budget = Some(budget);
        self
    }

    /// Bounds how long a failing run is shrunk, in real time. Default 30 s; zero for not at all.
    #[must_use]
    pub const fn shrink_for(mut self, budget: Duration) -> Self {
        self.shrink = budget;
        self
    }

    /// Returns the case of a run.
    pub(crate) fn case(&self, run: u64) -> Case {
        let (seed, schedule) = self.strategy.run(self.runs.start, run);
        Case {
            schedule,
            ..Case::of_seed(seed)
        }
    }

    pub(crate) fn line(&self, run: u64) -> Line {
        let ran = self.scenario.run(&self.case(run), Keep::default());
        Line {
            run,
            failure: ran.failure,
            hash: ran.hash.to_string(),
            lasted_nanos: ran.lasted.nanos(),
            marks: ran.marks,
        }
    }

    /// Runs the exploration. It ends with the first run that fails, which is shrunk then.
    ///
    /// # Panics
    ///
    /// When processes cannot be started.
    #[must_use]
    pub fn run(&self) -> Report {
        let began = Instant::now();
        let until = self.budget.map(|budget| began + budget);
        let mut explore = self.clone();
        if let Some(most) = explore.strategy.runs() {
            let end = explore.runs.start.saturating_add(most);
            explore.runs.end = explore.runs.end.min(end);
        }
        let lines = match workers::role(&explore.scenario.name) {
            Worker::Idle => BTreeMap::new(),
            Worker::Share { index, of } => workers::work(&explore, index, of),
            Worker::None => {
                let jobs = explore.processes();
                match workers::command().filter(|_| jobs > 1) {
                    Some(command) => workers::share_out(&explore, &command, jobs, until),
                    None => explore.here(until),
                }
            }
        };
        explore.report(lines, began)
    }

    fn processes(&self) -> usize {
        const ENOUGH: u64 = 64;
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let usual = || match self.runs.end.saturating_sub(self.runs.start) < ENOUGH {
            true => 1,
            false => cores(),
        };
        self.jobs.unwrap_or_else(usual)
    }

    fn here(&self, until: Option<Instant>) -> BTreeMap<u64, Line> {
        let mut lines = BTreeMap::new();
        for run in self.runs.clone() {
            if until.is_some_and(|until| Instant::now() >= until) {
                break;
            }
            let line = self.line(run);
            let failed = line.failure.is_some();
            lines.insert(run, line);
            if failed {
                break;
            }
        }
        lines
    }

    /// Puts together what runs said, up to the first that failed.
    fn report(&self, lines: BTreeMap<u64, Line>, began: Instant) -> Report {
        let mut report = Report {
            scenario: self.scenario.name.clone(),
            runs: 0,
            found: None,
            marks: BTreeMap::new(),
            hash: 0,
            simulated: Duration::ZERO,
            took: Duration::ZERO,
        };
        let mut failed = None;
        for (run, line) in lines {
            report.runs += 1;
            report.simulated += Duration::from_nanos(line.lasted_nanos);
            let hash = u128::from_str_radix(&line.hash, 16).unwrap_or(0);
            report.hash = report.hash.rotate_left(1) ^ hash;
            for (mark, reached) in line.marks {
                *report.marks.entry(mark).or_default() += u64::from(reached);
            }
            if let Some(failure) = line.failure {
                failed = Some((run, failure));
                break;
            }
        }
        report.took = began.elapsed();
        report.found = failed.map(|(run, failure)| self.found(run, failure));
        report
    }

    fn found(&self, run: u64, failure: Failure) -> Found {
        let case = self.case(run);
        let shrunk = shrink(&self.scenario, &case, self.shrink);
        let shrunk = shrunk.unwrap_or_else(|| {
            panic!(
                "run {run} of `{}` failed ({failure}) and does not fail again: something in it is not decided by \
                 its seed",
                self.scenario.name
            )
        });
        let same = |ran: &Ran| ran.hash == shrunk.ran.hash && ran.failure == shrunk.ran.failure;
        let again = || self.scenario.run(&shrunk.case, Keep::default());
        let reproduced = (0..REPRODUCE).filter(|_| same(&again())).count();
        Found {
            run,
            failure,
            reproduced: (u32::try_from(reproduced).unwrap_or(0), REPRODUCE),
            shrunk,
        }
    }
}

impl Report {
    /// Fails a test if a run failed, or if a mark was never reached.
    ///
    /// # Panics
    ///
    /// Then, with the whole report.
    pub fn check(&self) {
        assert!(self.is_good(), "{self}");
    }

    /// Tells whether no run failed and each mark was reached.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.found.is_none() && self.unreached().next().is_none()
    }

    /// Returns the marks that were never reached.
    pub fn unreached(&self) -> impl Iterator<Item = &str> {
        let never = self.marks.iter().filter(|(_, times)| **times == 0);
        never.map(|(mark, _)| mark.as_str())
    }
}

impl Explore {
    /// Runs the exploration, and fails a test if a run failed, or if a mark was never reached.
    ///
    /// # Panics
    ///
    /// Then, with the whole report.
    pub fn check(&self) {
        self.run().check();
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.took.as_secs_f64();
        writeln!(
            f,
            "{}: {} runs, {:.0} simulated seconds in {seconds:.2} s",
            self.scenario,
            self.runs,
            self.simulated.as_secs_f64()
        )?;
        for (mark, times) in &self.marks {
            writeln!(f, "  sometimes {mark}: {times} of {} runs", self.runs)?;
        }
        for mark in self.unreached() {
            writeln!(f, "NEVER REACHED: {mark}")?;
        }
        let Some(found) = &self.found else {
            return Ok(());
        };
        let (shrunk, case) = (&found.shrunk, &found.shrunk.case);
        writeln!(f, "run {} FAILED: {}", found.run, found.failure)?;
        let (from, to) = (shrunk.from, shrunk.to);
        writeln!(
            f,
            "shrunk in {} tries from {} faults and {} draws to {} and {}; fails in {} of {} runs",
            shrunk.tries,
            from.faults,
            from.draws,
            to.faults,
            to.draws,
            found.reproduced.0,
            found.reproduced.1
        )?;
        if let Some(failure) = &shrunk.ran.failure {
            writeln!(f, "{failure}")?;
        }
        match toml::to_string(case) {
            Ok(text) => f.write_str(&text),
            Err(error) => write!(f, "{case:?} ({error})"),
        }
    }
}
