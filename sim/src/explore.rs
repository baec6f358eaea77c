//! Many runs of a scenario, and what they say together.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::file::{self, CaseFile};
use crate::mentioned::NAMES;
use crate::outcome::{Checked, Found, Report};
use crate::replay::{self, Lines, difference_of};
use crate::report::{FailureReport as Told, Style};
use crate::scenario::GIVES_BACK;
use crate::shrink::{Shrunk, shrink};
use crate::strategy::tree::{self, Tree};
use crate::workers::{self, SURVIVES, Worker};
use crate::{Case, Failure, Faults, Keep, Ran, Scenario, StopAt, Story, Strategy, perfetto, view};

/// Runs a scenario many times.
#[derive(Clone, Debug)]
pub struct Explore {
    pub(crate) scenario: Scenario,
    pub(crate) runs: Range<u64>,
    pub(crate) strategy: Strategy,
    jobs: Option<usize>,
    budget: Option<Duration>,
    shrink: Duration,
    program: Option<Program>,
    folder: Option<PathBuf>,
    pinned: Option<PathBuf>,
    /// Whether runs go on after one that fails.
    pub(crate) to_the_end: bool,
}

/// A program that explores, not a test.
#[derive(Clone, Debug)]
pub struct Program {
    /// What people call it: `orders sim`.
    pub called: String,
    /// What starts it again to do the same: itself, and what it was given.
    pub command: Vec<OsString>,
    /// What a file of a failing run is to say that it was given.
    pub args: Vec<String>,
    /// Where everything is, for the file as well: settings of a layout and their values; empty without one.
    pub layout: BTreeMap<String, String>,
}

/// What one run says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) run: u64,
    pub(crate) failure: Option<Failure>,
    pub(crate) hash: String,
    pub(crate) lasted_nanos: u64,
    pub(crate) marks: BTreeMap<String, bool>,
    pub(crate) judged: BTreeSet<String>,
    /// How many requests came to components.
    pub(crate) requests: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) choices: Vec<u32>,
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
            program: None,
            folder: None,
            pinned: None,
            to_the_end: false,
        }
    }

    /// Says that a program explores, not a test: how it is started again, and what its commands are.
    #[must_use]
    pub fn of_program(mut self, program: Program) -> Self {
        self.program = Some(program);
        self
    }

    /// Writes what fails into this folder. Default: `sim` in the build folder of the program.
    #[must_use]
    pub fn files_in(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// First runs the failing runs that were put into this folder, which must not fail any more; those of other scenarios
    /// are left to these. The folder has to exist. A path that is not absolute is one in the package of the test.
    #[must_use]
    pub fn pinned(mut self, folder: impl Into<PathBuf>) -> Self {
        self.pinned = Some(folder.into());
        self
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
            judged: ran.judged,
            requests: ran.requests,
            choices: ran.choices,
        }
    }

    /// Runs the exploration. It ends with the first run that fails, which is shrunk then.
    ///
    /// If the environment has a `SIM_REPLAY`, the file there is run instead of all others, if it is of this scenario. What
    /// came of it is said on standard error. With a `SIM_UNTIL` it stops when so much time has passed, as `3s`, and with a
    /// `SIM_BREAK` at a request to one of the components there, or to a method as in `payments/Charge`, with commas
    /// between them; then it is said which handlers wait, and where.
    ///
    /// # Panics
    ///
    /// When processes cannot be started, when a run that was pinned or is replayed fails, when the folder of pinned runs
    /// cannot be read, and with a `SIM_UNTIL` or `SIM_BREAK` without a `SIM_REPLAY`.
    #[must_use]
    pub fn run(&self) -> Report {
        let began = Instant::now();
        let until = self.budget.map(|budget| began + budget);
        let explore = self.clone();
        let lines = match workers::role(&explore.scenario.name) {
            Worker::Idle => return explore.report(BTreeMap::new(), began),
            Worker::Share { index, of } => workers::work(&explore, index, of),
            Worker::None => {
                match std::env::var_os(workers::REPLAY) {
                    Some(path) => {
                        explore.replay_one(&PathBuf::from(path));
                        return explore.report(BTreeMap::new(), began);
                    }
                    None => {
                        if let Some(variable) = replay::where_to_stop() {
                            let replay = workers::REPLAY;
                            panic!(
                                "`{variable}` is set and `{replay}` is not: it stops a run that is replayed"
                            );
                        }
                        explore.replay_pinned();
                    }
                }
                let jobs = explore.processes();
                let program = explore
                    .program
                    .as_ref()
                    .map(|program| program.command.clone());
                match program.or_else(workers::command).filter(|_| jobs > 1) {
                    Some(command) => workers::share_out(&explore, &command, jobs, until),
                    None => explore.here(until),
                }
            }
        };
        let mut report = explore.report(lines, began);
        // No run at all says nothing, whoever decided it.
        let none = (report.runs == 0).then_some(1);
        report.wanted = explore.wanted().max(none);
        report
    }

    /// Returns how many runs there have to be, unless one fails; `None` if that is not known before.
    fn wanted(&self) -> Option<u64> {
        let is_known = self.budget.is_none() && !matches!(self.strategy, Strategy::Dfs { .. });
        is_known.then(|| self.runs.end.saturating_sub(self.runs.start))
    }

    /// Runs each seed twice, and compares everything that happens. The second time other runs come before it in its
    /// process, so that what one run leaves to the next is seen: runs are dealt to another number of processes, if this
    /// program can be started again. Runs that fail are compared as others are.
    ///
    /// # Errors
    ///
    /// Where the first two runs part that are not the same: what they have in common last, and what comes then in each.
    /// Also if a run was done once only, unless time was bounded, if one ended its process, and if none was done.
    ///
    /// # Panics
    ///
    /// When processes cannot be started.
    pub fn check_determinism(&self) -> Result<Checked, String> {
        let mut explore = self.clone();
        explore.to_the_end = true;
        match workers::role(&explore.scenario.name) {
            Worker::Idle => return Ok(Checked::default()),
            Worker::Share { index, of } => workers::work(&explore, index, of),
            Worker::None => {}
        }
        let program = explore
            .program
            .as_ref()
            .map(|program| program.command.clone());
        let command = program.or_else(workers::command);
        let processes = command.as_ref().map(|_| explore.two_deals());
        let pass = |which: usize| {
            // Each has half of the time.
            let until = self.budget.map(|budget| Instant::now() + budget / 2);
            match (&command, processes) {
                (Some(command), Some(deals)) => {
                    workers::share_out(&explore, command, deals[which], until)
                }
                _ => explore.here(until),
            }
        };
        let runs = explore.compare(&pass(0), &pass(1), command.as_deref())?;
        Ok(Checked { runs, processes })
    }

    /// Returns to how many processes runs are dealt at first, and then: to others, so that some run has others before
    /// it in its process.
    fn two_deals(&self) -> [usize; 2] {
        let runs = self.runs.end.saturating_sub(self.runs.start);
        let first = self.processes().max(1);
        match first > 1 && first as u64 >= runs {
            true => [first, first - 1],
            false => [first, first + 1],
        }
    }

    /// Compares runs that were done twice. Returns how many are the same.
    fn compare(
        &self,
        first: &BTreeMap<u64, Line>,
        second: &BTreeMap<u64, Line>,
        command: Option<&[OsString]>,
    ) -> Result<u64, String> {
        let scenario = &self.scenario.name;
        let (mut same, mut stuck) = (0, None);
        let runs: BTreeSet<_> = first.keys().chain(second.keys()).collect();
        for run in runs {
            let (Some(one), Some(other)) = (first.get(run), second.get(run)) else {
                match self.budget {
                    // There was no time for it.
                    Some(_) => continue,
                    None => return Err(format!("run {run} of `{scenario}` was done once only\n")),
                }
            };
            let ended = |property: &str| {
                let mut failures = [one, other].into_iter().filter_map(|it| it.failure.clone());
                failures.find(|it| it.property == property)
            };
            if let Some(failure) = ended(SURVIVES).or_else(|| ended(NAMES)) {
                return Err(format!(
                    "run {run} of `{scenario}` cannot be compared: {failure}\n"
                ));
            }
            if one != other {
                return Err(self.parts(*run, command));
            }
            same += 1;
            if let Some(failure) = ended(GIVES_BACK) {
                stuck = Some((*run, failure));
                break;
            }
        }
        let why = stuck.map_or_else(String::new, |(run, failure)| {
            format!(": run {run} ended its process ({failure})")
        });
        match self.wanted() {
            Some(wanted) if same < wanted => {
                let missing = wanted - same;
                Err(format!(
                    "{missing} runs of `{scenario}` were not done{why}\n"
                ))
            }
            None if !why.is_empty() => Err(format!(
                "what comes after {same} runs of `{scenario}` was not done{why}\n"
            )),
            _ if same == 0 => Err(format!("no run of `{scenario}` was done twice\n")),
            _ => Ok(same),
        }
    }

    fn parts(&self, run: u64, command: Option<&[OsString]>) -> String {
        let records = || match command {
            Some(command) => workers::records(self, command, run),
            None => self.records(run),
        };
        // What differs once may be the same the next time.
        let difference = (0..10).find_map(|_| difference_of(&records(), &records()));
        let difference = difference.unwrap_or_else(|| {
            let how = match command {
                Some(_) => "each time in a new process",
                None => "in this process",
            };
            format!(
                "run alone, {how}, it was the same in ten more pairs: either something is left of the runs before it, as \
                 in a static, or it is rare\n"
            )
        });
        let scenario = &self.scenario.name;
        format!("run {run} of `{scenario}` is not the same twice\n{difference}")
    }

    /// Does one of its runs, and keeps the last `records` of what happens in it, and what they are not understood
    /// without.
    #[must_use]
    pub fn recorded(&self, run: u64, records: usize) -> Ran {
        let keep = Keep {
            records,
            ..Keep::default()
        };
        self.scenario.run(&self.case(run), keep)
    }

    /// Returns what happens in a run, line by line.
    pub(crate) fn records(&self, run: u64) -> Lines {
        Lines::of(&self.recorded(run, RECORDS))
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
        let mut share = self.share(0, 1);
        while let Some(run) = share.next() {
            if until.is_some_and(|until| Instant::now() >= until) {
                break;
            }
            let line = self.line(run);
            let failed = line.failure.is_some();
            share.ran(&line);
            lines.insert(run, line);
            if failed && !self.to_the_end {
                break;
            }
        }
        lines
    }

    /// Returns the runs that one of some processes does, in the order of their numbers.
    pub(crate) fn share(&self, index: u64, of: u64) -> Share {
        let first = self.runs.start.saturating_add(index);
        let as_size = |number| usize::try_from(number).unwrap_or(usize::MAX);
        Share {
            runs: self.runs.clone(),
            next: (first < self.runs.end).then_some(first),
            step: of,
            tree: matches!(self.strategy, Strategy::Dfs { .. })
                .then(|| Tree::new(as_size(index), as_size(of))),
        }
    }

    /// Tells whether all orders were tried, if the strategy has an end.
    fn is_exhausted(&self, lines: &BTreeMap<u64, Line>) -> Option<bool> {
        matches!(self.strategy, Strategy::Dfs { .. }).then(|| {
            let first = self.runs.start;
            let is_known = |number: Option<u64>| {
                let run = number.and_then(|number| first.checked_add(number));
                run.is_some_and(|run| lines.contains_key(&run))
            };
            let mut known = lines
                .iter()
                .flat_map(|(run, line)| tree::others(run - first, &line.choices));
            !lines.is_empty() && known.all(is_known)
        })
    }

    /// Puts together what runs said, up to the first that failed.
    fn report(&self, lines: BTreeMap<u64, Line>, began: Instant) -> Report {
        let mut report = Report {
            scenario: self.scenario.name.clone(),
            runs: 0,
            wanted: None,
            strategy: self.strategy,
            exhausted: self.is_exhausted(&lines),
            found: None,
            marks: BTreeMap::new(),
            judged: BTreeMap::new(),
            requests: 0,
            faults: self
                .scenario
                .faults
                .events
                .iter()
                .map(ToString::to_string)
                .collect(),
            hash: 0,
            simulated: Duration::ZERO,
            took: Duration::ZERO,
        };
        let mut failed = None;
        for (run, line) in lines {
            report.runs += 1;
            report.requests += line.requests;
            report.simulated += Duration::from_nanos(line.lasted_nanos);
            let hash = u128::from_str_radix(&line.hash, 16).unwrap_or(0);
            report.hash = report.hash.rotate_left(1) ^ hash;
            for (mark, reached) in line.marks {
                *report.marks.entry(mark).or_default() += u64::from(reached);
            }
            for property in line.judged {
                *report.judged.entry(property).or_default() += 1;
            }
            if let Some(failure) = line.failure {
                // Of one whose process is gone nothing else is known.
                let broken = failure.property.clone();
                report.judged.entry(broken).or_insert(1);
                failed = Some((run, failure, line.hash));
                break;
            }
        }
        report.took = began.elapsed();
        report.found = failed.map(|(run, failure, hash)| self.found(run, failure, hash));
        report
    }

    fn found(&self, run: u64, failure: Failure, hash: String) -> Found {
        let case = self.case(run);
        // A run that never ended, or ended its process, cannot be run again here to be made smaller; one that did not
        // begin is as small as it gets.
        let is_fatal = [GIVES_BACK, SURVIVES, NAMES].contains(&&*failure.property);
        if !is_fatal {
            self.keep(&self.file(run, case.clone(), failure.clone(), hash));
        }
        let shrunk = match is_fatal {
            true => Some(Shrunk::not_at_all(&case, &failure)),
            false => shrink(
                &self.scenario_to_shrink(run, &case, &failure),
                &case,
                self.shrink,
            ),
        };
        let shrunk = shrunk.unwrap_or_else(|| {
            panic!(
                "run {run} of `{}` failed ({failure}) and does not fail again: something in it is not decided by \
                 its seed",
                self.scenario.name
            )
        });
        let (reproduced, story) = match is_fatal {
            true => (None, Story::default()),
            false => {
                let keep = Keep {
                    records: RECORDS,
                    ..Keep::default()
                };
                let recording = self.scenario.run(&shrunk.case, keep).recording;
                (Some(self.reproduce(&shrunk)), Story::of(&recording))
            }
        };
        let mut found = Found {
            run,
            failure,
            reproduced,
            families: self.families(case.seed),
            shrunk,
            told: Told::default(),
            files: Vec::new(),
        };
        found.told = found.tell(&story);
        // Of faults that are a mistake there is nothing to run again.
        if found.failure.property != NAMES {
            self.write(&mut found, &story);
        }
        found
    }

    /// Returns what smaller runs are of. One of them may never end, which says nothing of the run that was found, but ends
    /// this process.
    fn scenario_to_shrink(&self, run: u64, case: &Case, failure: &Failure) -> Scenario {
        let file = self.file(run, case.clone(), failure.clone(), String::new());
        let (at, found) = (self.place(&file, "toml"), failure.clone());
        self.scenario.clone().when_stuck(move |_, stuck| {
            say(&format!(
                "run {run} failed: {found}\n  as it was found: {}\n  it is not made smaller: with less of it a handler \
                 does not return ({}), which ends this process",
                at.display(),
                stuck.text
            ));
        })
    }

    /// Runs what was found again and again; returns how often it is the same, of how many times.
    fn reproduce(&self, shrunk: &Shrunk) -> (u32, u32) {
        let same = |ran: &Ran| ran.hash == shrunk.ran.hash && ran.failure == shrunk.ran.failure;
        let again = || self.scenario.run(&shrunk.case, Keep::default());
        let times = (0..REPRODUCE).filter(|_| same(&again())).count();
        (u32::try_from(times).unwrap_or(0), REPRODUCE)
    }

    fn families(&self, seed: u64) -> Vec<String> {
        let on = self.scenario.faults.on(seed);
        on.iter().map(ToString::to_string).collect()
    }

    /// Describes a failing run as a file.
    fn file(&self, run: u64, case: Case, failure: Failure, hash: String) -> CaseFile {
        let faults = &self.scenario.faults;
        let program = self.program.as_ref();
        CaseFile {
            faults: Some(match case.plan {
                Some(_) => Faults {
                    lasts: faults.lasts,
                    ..Faults::none()
                },
                None => faults.clone(),
            }),
            scenario: self.scenario.name.clone(),
            run,
            hash,
            args: program.map_or_else(Vec::new, |it| it.args.clone()),
            layout: program.map_or_else(BTreeMap::new, |it| it.layout.clone()),
            failure,
            case,
        }
    }

    /// Returns where a file of a failing run is.
    fn place(&self, file: &CaseFile, ending: &str) -> PathBuf {
        let folder = self.folder.clone().unwrap_or_else(file::folder);
        folder.join(format!("{}.{ending}", file.name()))
    }

    /// Writes what was found as it is: whoever does not wait until it is smaller has it all the same.
    fn keep(&self, file: &CaseFile) {
        let at = self.place(file, "toml");
        // If it cannot be written, that is said of the smaller one.
        if file.write(&at).is_ok() && self.program.is_some() && !self.shrink.is_zero() {
            say(&format!(
                "run {} failed, and is made smaller now for {:?} at most; as it is: {}",
                file.run,
                self.shrink,
                at.display()
            ));
        }
    }

    /// Writes what was found, and notes what to do with it.
    fn write(&self, found: &mut Found, story: &Story) {
        let shrunk = &found.shrunk;
        let failure = shrunk.ran.failure.as_ref().unwrap_or(&found.failure);
        let hash = shrunk.ran.hash.to_string();
        let file = self.file(found.run, shrunk.case.clone(), failure.clone(), hash);
        let at = |ending: &str| self.place(&file, ending);
        let page = page_of(&file, story);
        let has_story = !story.moments.is_empty();
        let mut written = file.write(&at("toml"));
        if has_story {
            written = written
                .and_then(|()| file::write(&at("html"), &page))
                .and_then(|()| file::write(&at("trace.json"), &perfetto::trace(story)));
        }
        let commands = &mut found.told.commands;
        if let Err(error) = written {
            commands.push(("not written".to_owned(), error.to_string()));
            return;
        }
        let all = ["toml", "html", "trace.json"];
        let endings = if has_story { &all[..] } else { &all[..1] };
        found.files = endings.iter().map(|ending| at(ending)).collect();
        let path = at("toml").display().to_string();
        match &self.program {
            Some(program) => {
                commands.push((
                    "replay".to_owned(),
                    format!("{} replay {path}", program.called),
                ));
                commands.push(("pin".to_owned(), format!("{} pin {path}", program.called)));
            }
            None => {
                let test =
                    workers::test().map_or_else(String::new, |it| format!(" -- --exact {it}"));
                // Cargo tells a test whose it is.
                let package = std::env::var("CARGO_PKG_NAME");
                let package = package.map_or_else(|_| String::new(), |it| format!(" -p {it}"));
                commands.push((
                    "replay".to_owned(),
                    format!("{}={path} cargo test{package}{test}", workers::REPLAY),
                ));
                let folder = self.pinned.clone().unwrap_or_else(|| "tests/pinned".into());
                let folder = std::path::absolute(&folder).unwrap_or(folder);
                let folder = folder.display();
                let pin = format!("mkdir -p {folder} && cp {path} {folder}/");
                commands.push(("pin".to_owned(), pin));
            }
        }
        for (name, file) in ["view", "trace"].into_iter().zip(&found.files[1..]) {
            commands.push((name.to_owned(), file.display().to_string()));
        }
    }

    /// Runs the file that was asked for instead of an exploration, and says what came of it.
    fn replay_one(&self, path: &Path) {
        let at = path.display();
        let stop = StopAt::asked(|name| std::env::var(name).ok());
        if self.stops(path, &stop.unwrap_or_else(|error| panic!("{error}"))) {
            return;
        }
        say(&match self.replay(path) {
            Ok(true) => format!("{at} does not fail, and is the run that was written down"),
            Ok(false) => format!("{at} does not fail, and is {ANOTHER_RUN}"),
            Err(other) => format!(
                "nothing was replayed: {at} is of the scenario `{other}`, and this is `{}`",
                self.scenario.name
            ),
        });
    }

    /// Runs a file up to where it is to stop, and says what waits where then. Returns false if it does not come there.
    fn stops(&self, path: &Path, stop: &StopAt) -> bool {
        let file = CaseFile::read(path).unwrap_or_else(|error| panic!("{error}"));
        if *stop == StopAt::default() || file.scenario != self.scenario.name {
            return false;
        }
        let stopped = file.scenario(&self.scenario).replay(&file.case, stop);
        match stopped.why {
            Some(why) => say(&format!("stopped: {why}\n{}", stopped.ran.stacks)),
            None => {
                say(&format!("never reached: {}", stopped.missed.join(", ")));
                return false;
            }
        }
        true
    }

    /// Runs the files of the folder of pinned runs that are of this scenario.
    fn replay_pinned(&self) {
        let Some(folder) = &self.pinned else {
            return;
        };
        let files = toml_files(folder).unwrap_or_else(|error| {
            let at = folder.display();
            panic!("{at}, which is to have pinned runs, cannot be read: {error}; make it, or leave `.pinned(..)` out")
        });
        let mut own = 0;
        for path in files {
            let same = self.replay(&path);
            own += usize::from(same.is_ok());
            if same == Ok(false) {
                say(&format!(
                    "{} does not fail, and is {ANOTHER_RUN}",
                    path.display()
                ));
            }
        }
        if own == 0 {
            let (at, name) = (folder.display(), &self.scenario.name);
            say(&format!(
                "no run of the scenario `{name}` is pinned in {at}"
            ));
        }
    }

    /// Runs the case of a file, which must not fail. Returns whether it is the run that was written down, by its hash; of
    /// a file of another scenario its name.
    fn replay(&self, path: &Path) -> Result<bool, String> {
        let file = CaseFile::read(path).unwrap_or_else(|error| panic!("{error}"));
        if file.scenario != self.scenario.name {
            return Err(file.scenario);
        }
        let keep = Keep {
            records: RECORDS,
            ..Keep::default()
        };
        let ran = file.scenario(&self.scenario).run(&file.case, keep);
        let is_same = ran.hash.to_string() == file.hash;
        if let Some(mut told) = Told::of(&ran, file.case.seed) {
            let at = self.place(&file, "html");
            let page = page_of(&file, &Story::of(&ran.recording));
            told.commands.push(match file::write(&at, &page) {
                Ok(()) => ("view".to_owned(), at.display().to_string()),
                Err(error) => ("not written".to_owned(), error.to_string()),
            });
            let text = told.text(&Style::default());
            let note = match is_same {
                true => String::new(),
                false => format!("it is {ANOTHER_RUN}\n"),
            };
            panic!("{} fails\n{text}{note}", path.display());
        }
        Ok(is_same)
    }
}

/// Draws the run of a file.
fn page_of(file: &CaseFile, story: &Story) -> String {
    let about = [
        ("property", file.failure.property.clone()),
        ("seed", file.case.seed.to_string()),
    ];
    let title = format!("{}: {}", file.scenario, file.failure.property);
    view::page(story, &title, &about)
}

/// What is said of a file whose run has not the hash that it had.
const ANOTHER_RUN: &str = "another run than the one that was written down: the program has changed since, or not all \
                           is decided by the seed";

/// Says something to whoever runs a test, also if the test is well: what it writes otherwise is shown only if it fails.
fn say(text: &str) {
    // Nobody to tell it to is no reason to fail.
    let _ = writeln!(io::stderr(), "{text}");
}

fn toml_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|it| it == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The runs that one process does.
pub(crate) struct Share {
    runs: Range<u64>,
    /// Without a tree: the next run, and how far it is to the one after it.
    next: Option<u64>,
    step: u64,
    tree: Option<Tree>,
}

impl Share {
    pub(crate) fn next(&mut self) -> Option<u64> {
        let run = match &mut self.tree {
            Some(tree) => self.runs.start.checked_add(tree.next()?)?,
            None => {
                let next = self.next?;
                self.next = next.checked_add(self.step);
                next
            }
        };
        self.runs.contains(&run).then_some(run)
    }

    /// Notes what a run said: it may know of others.
    pub(crate) fn ran(&mut self, line: &Line) {
        if let Some(tree) = &mut self.tree {
            tree.met(line.run - self.runs.start, &line.choices);
        }
    }
}

/// How many records of what happened are kept of a run that is looked at.
pub(crate) const RECORDS: usize = 200_000;

impl Explore {
    /// Runs the exploration, and fails a test if a run failed, or if a mark was never reached.
    ///
    /// # Panics
    ///
    /// Then, with the whole report.
    #[track_caller]
    pub fn check(&self) {
        self.run().check();
    }
}
