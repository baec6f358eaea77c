//! What an exploration comes to: how many runs there were, which marks they reached, what failed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::report::{self, FailureReport as Told, Style};
use crate::shrink::Shrunk;
use crate::{Failure, Story, Strategy, junit};

/// What an exploration says.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// What was run.
    pub scenario: String,
    /// How many runs there were, up to the one that failed.
    pub runs: u64,
    /// How many there had to be if none failed, one at least; `None` where time or the number of orders decides it and
    /// there were some.
    pub wanted: Option<u64>,
    /// How runs differed from one another.
    pub strategy: Strategy,
    /// Whether these are all orders that there are, of a strategy that tries all.
    pub exhausted: Option<bool>,
    /// The first that failed.
    pub found: Option<Found>,
    /// In how many runs each mark was reached that was to be, sometimes.
    pub marks: BTreeMap<String, u64>,
    /// What had to hold, and in how many runs.
    pub judged: BTreeMap<String, u64>,
    /// How many requests came to components, in all runs: calls, casts, publications.
    pub requests: u64,
    /// Which marks say nothing of what was done: that a fault came that somebody wrote down.
    pub(crate) faults: BTreeSet<String>,
    /// The hashes of all runs, as one.
    pub hash: u128,
    /// Their virtual time.
    pub simulated: Duration,
    /// The time they took.
    pub took: Duration,
}

/// Runs that were the same twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checked {
    /// How many.
    pub runs: u64,
    /// In how many processes they were done at first, and then; `None` if all were done twice in this one.
    pub processes: Option<[usize; 2]>,
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
    /// How often the shrunk case failed in the same way, of how many times; `None` for a run that never ended or that
    /// ended its process, which cannot be tried again, and for one that did not begin since its faults are a mistake.
    pub reproduced: Option<(u32, u32)>,
    /// The families of faults that were on in it, before it was shrunk.
    pub families: Vec<String>,
    /// What is told about it.
    pub told: Told,
    /// Where it was written to.
    pub files: Vec<PathBuf>,
}

impl Found {
    pub(crate) fn tell(&self, story: &Story) -> Told {
        let shrunk = &self.shrunk;
        let failure = shrunk.ran.failure.as_ref().unwrap_or(&self.failure);
        let (from, to) = (shrunk.from, shrunk.to);
        let frames = to
            .frames
            .map_or_else(String::new, |frames| format!(", {frames} late frames"));
        Told {
            property: failure.property.clone(),
            text: failure.text.clone(),
            at: monofil_transport::Instant::ZERO + failure.at.0,
            seed: shrunk.case.seed,
            faults: match &shrunk.case.plan {
                Some(left) => left.families().iter().map(ToString::to_string).collect(),
                None => self.families.clone(),
            },
            events: report::events(story, report::EVENTS_MAX),
            shrunk: self.reproduced.is_some().then(|| {
                format!(
                    "{} faults of {}, {} choices of {}{frames}, after {} tries",
                    to.faults, from.faults, to.draws, from.draws, shrunk.tries
                )
            }),
            reproduced: self.reproduced,
            commands: Vec::new(),
        }
    }
}

impl Report {
    /// Fails a test if a run failed, or if a mark was never reached.
    ///
    /// # Panics
    ///
    /// Then, with the whole report.
    #[track_caller]
    pub fn check(&self) {
        assert!(self.is_good(), "{self}");
    }

    /// Returns what CI systems are told: a case for each property that had to hold and each mark that had to be reached,
    /// whatever the number of runs. Cases of seeds would be others each time that their number changes.
    #[must_use]
    pub fn cases(&self) -> Vec<junit::Case> {
        let case = |name: &str, text: String, failure| junit::Case {
            name: name.to_owned(),
            took: Duration::ZERO,
            failure,
            output: text,
        };
        let broken = self.found.as_ref();
        let properties = self.judged.iter().map(|(property, runs)| {
            let broken = broken.filter(|found| found.failure.property == *property);
            let failure = broken.map(|found| (found.failure.to_string(), self.to_string()));
            case(
                property,
                format!("looked at in {runs} of {} runs", self.runs),
                failure,
            )
        });
        let marks = self.marks.iter().map(|(mark, times)| {
            let text = format!("reached in {times} of {} runs", self.runs);
            let failure = (*times == 0).then(|| ("it was never reached".to_owned(), text.clone()));
            case(&format!("sometimes {mark}"), text, failure)
        });
        let missing = self.missing().map(|missing| {
            let text = format!("{missing} runs were not done");
            let failure = Some((text.clone(), self.to_string()));
            case("all runs are done", text, failure)
        });
        let idle = self.is_idle().then(|| {
            let failure = Some((IDLE.to_owned(), self.to_string()));
            case("components are called", IDLE.to_owned(), failure)
        });
        let all = properties.chain(marks).chain(missing).chain(idle);
        let mut cases: Vec<_> = all.collect();
        // All of them together took it.
        if let Some(first) = cases.first_mut() {
            first.took = self.took;
        }
        cases
    }

    /// Tells whether all runs were done, none failed, each mark was reached, and some component was called or some mark
    /// was there to be reached.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let is_done = self.missing().is_none() && !self.is_idle();
        self.found.is_none() && is_done && self.unreached().next().is_none()
    }

    /// Tells whether there were runs and nothing was done in any of them: no request, and no mark, by which a scenario
    /// says what else is to be done.
    fn is_idle(&self) -> bool {
        let is_of_a_fault = |mark| self.faults.contains(mark);
        let is_empty = self.requests == 0 && self.marks.keys().all(is_of_a_fault);
        is_empty && self.runs > 0 && self.found.is_none()
    }

    /// Returns how many runs were not done though none failed, if it is not as many as there had to be.
    fn missing(&self) -> Option<u64> {
        let missing = self.wanted?.checked_sub(self.runs)?;
        (missing > 0 && self.found.is_none()).then_some(missing)
    }

    /// Returns what is wrong with the faults that were given, so that no run began.
    #[must_use]
    pub fn mistake(&self) -> Option<&str> {
        self.found.as_ref()?.failure.mistake()
    }

    /// Returns the marks that were never reached.
    pub fn unreached(&self) -> impl Iterator<Item = &str> {
        let never = self.marks.iter().filter(|(_, times)| **times == 0);
        never.map(|(mark, _)| mark.as_str())
    }
}

/// What is said of runs in which nothing was done.
const IDLE: &str = "no request came to a component in any run; if that is meant, say what is to be reached, by a mark \
     or `--expect MARK`";

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runs = self.runs;
        match self.processes {
            Some([first, second]) => {
                write!(
                    f,
                    "{runs} runs are the same in {first} and {second} processes"
                )
            }
            None => write!(f, "{runs} runs are the same twice in one process"),
        }
    }
}

impl Report {
    /// Writes it, with what failed as a [`FailureReport`](crate::report::FailureReport) in this style.
    #[must_use]
    pub fn text(&self, style: &Style) -> String {
        let mut text = String::new();
        // A string takes everything.
        let _ = self.write(&mut text, style);
        text
    }

    fn write(&self, f: &mut impl fmt::Write, style: &Style) -> fmt::Result {
        let seconds = self.took.as_secs_f64();
        writeln!(
            f,
            "{}: {} runs, {:.0} simulated seconds in {seconds:.2} s",
            self.scenario,
            self.runs,
            self.simulated.as_secs_f64()
        )?;
        if let (Strategy::Dfs { depth }, Some(exhausted)) = (self.strategy, self.exhausted) {
            let all = if exhausted { "all" } else { "not all" };
            writeln!(f, "  {all} orders of the first {depth} choices were tried")?;
        }
        for (mark, times) in &self.marks {
            writeln!(f, "  sometimes {mark}: {times} of {} runs", self.runs)?;
        }
        for mark in self.unreached() {
            writeln!(f, "NEVER REACHED: {mark}")?;
        }
        if let Some(missing) = self.missing() {
            writeln!(f, "NOT DONE: {missing} runs")?;
        }
        if self.is_idle() {
            writeln!(f, "NOTHING DONE: {IDLE}")?;
        }
        let Some(found) = &self.found else {
            return Ok(());
        };
        f.write_str(&found.told.text(style))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, &Style::default())
    }
}
