//! An app in many simulated worlds.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::ArgMatches;
use monofil_sim::{Faults, NodeDef, Program, Scenario, Shape, SpanRange, Story, junit};

use super::{Run, pictures, world};
use crate::app::{App, Definition};
use crate::cli::SimArgs;
use crate::config::Settings;
use crate::exit::{EXIT_FAILED, Failure, tell};
use crate::job::{JobDefinition, JobRun, Told};
use crate::{Layout, Name, logging};

/// What a scenario of an app is made of.
pub(crate) struct Simulated {
    pub(crate) app: Name,
    pub(crate) components: Arc<[Definition]>,
    pub(crate) job: Option<JobDefinition>,
    pub(crate) settings: Settings,
    pub(crate) json: bool,
    /// What was given on the command line, for the job.
    pub(crate) matches: ArgMatches,
    pub(crate) args: SimArgs,
    /// What may go wrong, if that is not to be as the arguments say.
    pub(crate) faults: Option<Faults>,
}

impl Simulated {
    fn run(&self, seed: u64, job: Option<JobRun>) -> Run {
        Run {
            app: self.app.clone(),
            components: self.components.clone(),
            settings: self.settings.clone(),
            seed,
            layout: Layout::Sim,
            job,
        }
    }

    fn all(&self) -> Vec<usize> {
        (0..self.components.len()).collect()
    }
}

/// Describes the nodes of an app without its job, as a layout has them.
pub(crate) fn laid_out(app: &App, settings: &Settings, seed: u64) -> Result<Vec<NodeDef>, Failure> {
    let run = Run {
        app: app.name.as_str().into(),
        components: app.components.clone(),
        settings: settings.clone(),
        seed,
        layout: Layout::Sim,
        job: None,
    };
    let all: Vec<usize> = (0..run.components.len()).collect();
    world::nodes(&run, &all, 0)
}

/// How long it may take, once all is healed, until the job is done, unless `--until` says when.
const LIVENESS: Duration = Duration::from_secs(600);

/// Makes a scenario: all components, and the job, which has to succeed.
pub(crate) fn scenario(mut it: Simulated) -> Result<Scenario, Failure> {
    let mut faults = match it.faults.take() {
        Some(faults) => faults,
        None => faults(&it.args)?,
    };
    let mut liveness = LIVENESS;
    if let Some(until) = it.args.until {
        match it.job {
            Some(_) => {
                faults.lasts = faults.lasts.min(until.into());
                liveness = until.saturating_sub(faults.lasts.0);
            }
            None => faults.lasts = until.into(),
        }
    }
    let (app, patience) = (it.app.to_string(), it.args.patience);
    // What is wrong with a layout is seen before the first run.
    world::nodes(&it.run(1, None), &it.all(), 0)?;
    let scenario = Scenario::new(&app, &app, move |sim| {
        let told = Told {
            layout: Layout::Sim,
            seed: sim.seed(),
            json: it.json,
            tape: Some(sim.tape()),
        };
        let job = it.job.as_ref().map(|job| job.bind(&it.matches, told));
        let job = job.map(|job| job.expect("invariant: it could be bound before"));
        let nodes = world::nodes(&it.run(sim.seed(), job.clone()), &it.all(), 0);
        for node in nodes.expect("invariant: they could be described before") {
            sim.node(node);
        }
        for mark in &it.args.explore.expect {
            sim.expects(mark);
        }
        if let Some(job) = job {
            let over = job.clone();
            sim.must_end(job.name(), move || over.is_over());
            sim.at_end(&format!("the job {} succeeds", job.name()), move |_| {
                job.verdict().map_err(|failure| failure.what().to_owned())
            });
        }
    });
    Ok(scenario.faults(faults).within(liveness).patience(patience))
}

/// Reads what may go wrong. Without faults messages take as long as `--latency` says.
fn faults(args: &SimArgs) -> Result<Faults, Failure> {
    let Some(given) = &args.explore.faults else {
        let (min, max) = args.latency;
        let range = SpanRange {
            min: min.into(),
            max: max.into(),
        };
        return Ok(Faults {
            swarm: false,
            latency: Some(vec![Shape::Uniform { range }]),
            ..Faults::none()
        });
    };
    match given.as_str() {
        "none" => Ok(Faults::none()),
        "network" => Ok(Faults::network()),
        "all" => Ok(Faults::all()),
        path => {
            let text = fs::read_to_string(path).map_err(|error| {
                Failure::usage(format!("--faults {path}: {error}"))
                    .note("it is none, network, all, or a file")
            })?;
            toml::from_str(&text)
                .map_err(|error| Failure::usage(format!("{path} has no faults in it:\n{error}")))
        }
    }
}

/// Runs the app once for each seed, and says what came of it.
pub(crate) fn explore(
    scenario: &Scenario,
    args: &SimArgs,
    seed: u64,
    layout: BTreeMap<String, String>,
) -> Result<ExitCode, Failure> {
    let given: Vec<_> = std::env::args_os().collect();
    let program = Program {
        called: format!("{} sim", called(&given[0])),
        args: given[1..]
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect(),
        command: std::env::current_exe()
            .map(std::path::PathBuf::into_os_string)
            .into_iter()
            .chain(given[1..].iter().cloned())
            .collect(),
        layout,
    };
    let explore = &args.explore;
    let mut exploration = scenario
        .clone()
        .explore(explore.runs(seed))
        .strategy(explore.strategy)
        .shrink_for(explore.shrink)
        .of_program(program);
    if let Some(jobs) = explore.jobs {
        exploration = exploration.jobs(jobs.get());
    }
    if let Some(budget) = explore.budget {
        exploration = exploration.for_time(budget);
    }
    let only = explore.only(seed);
    if args.pictures.is_drawn() && only.is_none() {
        let what = "--view and --perfetto draw one run, and these are many";
        return Err(Failure::usage(what).note(
            "say which: --seed N; of a run that fails there are both without being asked for",
        ));
    }
    if explore.check {
        return checked(&exploration);
    }
    let report = quietly(|| exploration.run())?;
    if let Some(mistake) = report.mistake() {
        return Err(Failure::usage(mistake));
    }
    say(&report.text(&logging::report_style()))?;
    if args.trace_hash {
        tell(format_args!("trace hash {:032x}", report.hash));
    }
    if let Some(file) = &args.pictures.junit {
        let text = junit::xml(&format!("{} sim", report.scenario), &report.cases());
        pictures::write_to(file, &text)?;
    }
    if let Some(run) = only {
        draw(&exploration, args, run, &report)?;
    }
    match report.is_good() {
        true => Ok(ExitCode::SUCCESS),
        false => Ok(ExitCode::from(EXIT_FAILED)),
    }
}

/// Draws the run as its seed has it, if that was asked for: what is left of it when it was made smaller has pages of its
/// own.
fn draw(
    exploration: &monofil_sim::Explore,
    args: &SimArgs,
    run: u64,
    report: &monofil_sim::Report,
) -> Result<(), Failure> {
    if !args.pictures.is_drawn() {
        return Ok(());
    }
    let found = report.found.as_ref();
    if let Some(found) = found.filter(|found| found.reproduced.is_none()) {
        let what = "the run cannot be drawn: it did not begin, never ends, or ends its process";
        return Err(Failure::new(EXIT_FAILED, what).note(found.failure.to_string()));
    }
    let ran = quietly(|| exploration.recorded(run, args.pictures.records))?;
    let about = [
        ("seed", run.to_string()),
        ("virtual time", ran.lasted.to_string()),
        ("trace hash", ran.hash.to_string()),
    ];
    let story = Story::of(&ran.recording);
    pictures::draw(&args.pictures, &story, &report.scenario, &about)
}

fn checked(exploration: &monofil_sim::Explore) -> Result<ExitCode, Failure> {
    match quietly(|| exploration.check_determinism())? {
        Ok(checked) => {
            say(&format!("{checked}\n"))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(difference) => Err(Failure::new(EXIT_FAILED, difference)),
    }
}

fn called(program: &std::ffi::OsStr) -> String {
    program.to_string_lossy().into_owned()
}

fn say(text: &str) -> Result<(), Failure> {
    let said = io::stdout().write_all(text.as_bytes());
    said.map_err(|error| Failure::new(EXIT_FAILED, format!("standard output is gone: {error}")))
}

/// Does something without what jobs write to standard output: it would be there once for each run.
pub(crate) fn quietly<R>(run: impl FnOnce() -> R) -> Result<R, Failure> {
    // A worker says on its standard output what came of its runs.
    if std::env::var_os(monofil_sim::WORKER).is_some() {
        return Ok(run());
    }
    let redirected = || -> io::Result<_> {
        let kept = rustix::io::dup(rustix::stdio::stdout())?;
        let nowhere = OpenOptions::new().write(true).open("/dev/null")?;
        io::stdout().flush()?;
        rustix::stdio::dup2_stdout(&nowhere)?;
        Ok(kept)
    };
    let failed = |error: io::Error| {
        Failure::new(
            EXIT_FAILED,
            format!("standard output cannot be redirected: {error}"),
        )
    };
    let kept = redirected().map_err(failed)?;
    let result = run();
    let restored = io::stdout()
        .flush()
        .and_then(|()| Ok(rustix::stdio::dup2_stdout(&kept)?));
    restored.map_err(failed)?;
    Ok(result)
}
