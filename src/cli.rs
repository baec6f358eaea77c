//! The command line of an app's program.

mod args;
mod pages;
mod vain;

use std::ffi::OsString;
use std::num::{IntErrorKind, ParseIntError};
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgMatches, FromArgMatches};
use monofil_sim::{CaseFile, Faults, Scenario};

use crate::app::App;
use crate::config::Settings;
use crate::exit::{Failure, tell};
use crate::job::{JobRun, Told};
use crate::layout::{self, Run};
use crate::{Layout, commands, logging, suggest};

pub(crate) use args::{
    CallArgs, Common, DescribeArgs, Order, PictureArgs, Place, ReplayArgs, RunArgs, SimArgs, UpArgs,
};

/// Reads the command line and does what it says.
pub(crate) fn main(app: &App) -> Result<ExitCode, Failure> {
    let given: Vec<_> = std::env::args_os().collect();
    let command = if asks_for_help(&given) {
        pages::overview(app)?
    } else {
        pages::command(app)?
    };
    let given = with_command(app, &command, given)?;
    let matches = match command.try_get_matches_from(&given) {
        Ok(matches) => matches,
        Err(error) if error.use_stderr() => {
            return Err(too_early(app, &given, &error).unwrap_or_else(|| usage(&error)));
        }
        Err(text) => text.exit(),
    };
    let Some((name, matches)) = matches.subcommand() else {
        return Err(Failure::usage("no command was given"));
    };
    let common: Common = parsed(matches)?;
    let layers = common.layers(app)?;
    let invocation = Invocation {
        app,
        settings: layers.finish()?,
        common,
    };
    match name {
        "run" => invocation.run(matches),
        "up" => invocation.up(matches),
        "sim" => invocation.sim(matches),
        "call" => commands::call(&invocation, &parsed(matches)?),
        "describe" => commands::describe(&invocation, &parsed(matches)?),
        "components" => commands::components(&invocation),
        "config" => commands::config(&invocation, &layers, matches),
        _ => Err(Failure::usage(format!("there is no command `{name}`"))),
    }
}

/// Words that are no command's, but the program's own.
const HELP: [&str; 2] = ["-h", "--help"];
const VERSION: [&str; 2] = ["-V", "--version"];

fn asks_for_help(given: &[OsString]) -> bool {
    let words = given.get(1..).unwrap_or_default();
    words.first().is_some_and(|word| word == "help")
        || words.iter().any(|word| HELP.iter().any(|it| word == it))
}

/// Puts `run` before the flags of a command line that names no command.
fn with_command(
    app: &App,
    command: &clap::Command,
    mut given: Vec<OsString>,
) -> Result<Vec<OsString>, Failure> {
    let is_command = |word: &OsString| {
        let word = word.to_str();
        word == Some("help") || word.is_some_and(|word| command.find_subcommand(word).is_some())
    };
    let is_own = |word: &OsString| HELP.iter().chain(&VERSION).any(|flag| word == flag);
    let words = given.get(1..).unwrap_or_default();
    if let Some(first) = words.first()
        && !first.to_string_lossy().starts_with('-')
    {
        return match is_command(first) {
            true => Ok(given),
            false => Err(no_command(app, command, &first.to_string_lossy())),
        };
    }
    if !words.iter().any(is_command) && !words.iter().any(is_own) {
        given.insert(1.min(given.len()), "run".into());
    }
    Ok(given)
}

fn no_command(app: &App, command: &clap::Command, word: &str) -> Failure {
    let commands: Vec<_> = command.get_subcommands().map(|it| it.get_name()).collect();
    let it = &app.name;
    let runs = if app.definition(word).is_some() {
        Some(format!(
            "`{word}` is a component: `{it} run {word}` runs it"
        ))
    } else if app.job.as_ref().is_some_and(|job| job.name == word) {
        Some(format!("`{word}` is the job: `{it} run {word}` runs it"))
    } else {
        suggest::did_you_mean(word, commands.iter().copied())
    };
    Failure::usage(format!("`{it}` has no command `{word}`"))
        .maybe(runs)
        .note(format!(
            "its commands are {}",
            suggest::list(&commands, "and")
        ))
}

fn parsed<T: FromArgMatches>(matches: &ArgMatches) -> Result<T, Failure> {
    T::from_arg_matches(matches).map_err(|error| usage(&error))
}

/// Makes a failure of one of clap's.
fn usage(error: &clap::Error) -> Failure {
    let mut text = error.to_string();
    // What the standard library says of a number does not say what would be one.
    let source = std::error::Error::source(error);
    if let (Some(number), Some(ContextValue::String(value))) = (
        source.and_then(|it| it.downcast_ref::<ParseIntError>()),
        error.get(ContextKind::InvalidValue),
    ) {
        let better = match number.kind() {
            IntErrorKind::PosOverflow => format!("`{value}` is too large"),
            _ => format!("`{value}` is no whole number"),
        };
        text = text.replacen(&number.to_string(), &better, 1);
    }
    // Nobody calls a component that.
    if let Some(tip) = text.find("  tip: to pass '-") {
        let end = text[tip..]
            .find("\n\n")
            .map_or(text.len(), |it| tip + it + 2);
        text.replace_range(tip..end, "");
    }
    Failure::usage(text.trim_start_matches("error: ").trim_end())
}

/// Says that a command's own flag was given before it, if that is what is wrong.
fn too_early(app: &App, given: &[OsString], error: &clap::Error) -> Option<Failure> {
    let words = given.get(1..).unwrap_or_default();
    let begins_with_flag = words
        .first()
        .is_some_and(|word| word.to_string_lossy().starts_with('-'));
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    (begins_with_flag && error.kind() == ErrorKind::UnknownArgument).then(|| {
        Failure::usage(format!("`{flag}` is no flag of all commands"))
            .note("a command comes first, and its flags after it:")
            .note(format!("  {} COMMAND {flag} ..", app.name))
    })
}

/// One use of the program.
pub(crate) struct Invocation<'a> {
    pub(crate) app: &'a App,
    pub(crate) settings: Settings,
    pub(crate) common: Common,
}

impl Invocation<'_> {
    /// Starts to write log lines. What nobody set depends on what is done: a job's output is to be seen.
    pub(crate) fn log(&self, usual: &str) -> Result<(), Failure> {
        let level = self.settings.log_level.as_deref().unwrap_or(usual);
        logging::start(level, self.settings.log_format)
    }

    /// Returns the setup of a layout.
    pub(crate) fn setup(&self, layout: Layout, job: Option<JobRun>) -> Run {
        Run {
            app: self.app.name.clone().into(),
            components: self.app.components.clone(),
            settings: self.settings.clone(),
            seed: self.common.seed,
            layout,
            job,
        }
    }

    fn run(&self, matches: &ArgMatches) -> Result<ExitCode, Failure> {
        let args: RunArgs = parsed(matches)?;
        let chosen = self.chosen(&args.names, matches)?;
        let listen = args
            .listen
            .as_ref()
            .map(|endpoint| match endpoint.scheme() {
                monofil_transport::Scheme::Tcp => Layout::Tcp,
                _ => Layout::Ipc,
            });
        // Whoever names what is to run here has the rest elsewhere.
        let usual = if self.settings.has_seeds() {
            Layout::Tcp
        } else if args.names.is_empty() {
            Layout::Memory
        } else {
            Layout::Ipc
        };
        let layout = self.settings.transport.or(listen).unwrap_or(usual);
        self.check_seeds(layout)?;
        if listen.is_some_and(|listen| listen != layout) {
            return Err(Failure::usage(format!(
                "--listen does not go with the transport {layout}"
            ))
            .note("leave --transport out: the scheme of --listen says it"));
        }
        let job = self.bind(chosen.job, matches, layout)?;
        self.log(if job.is_some() { "warn" } else { "info" })?;
        let run = self.setup(layout, job);
        match layout {
            Layout::Memory => layout::memory(&run, &chosen.components),
            _ => layout::process(&run, &chosen.components, &args),
        }
    }

    /// Refuses seeds where nobody could be found by them.
    fn check_seeds(&self, layout: Layout) -> Result<(), Failure> {
        if !self.settings.has_seeds() || layout == Layout::Tcp {
            return Ok(());
        }
        let what = format!("`network.seeds` does not go with the transport {layout}");
        Err(Failure::usage(what).note("leave the transport out: with seeds it is tcp"))
    }

    fn up(&self, matches: &ArgMatches) -> Result<ExitCode, Failure> {
        let args: UpArgs = parsed(matches)?;
        let layout = self
            .settings
            .transport
            .unwrap_or(if self.settings.has_seeds() {
                Layout::Tcp
            } else {
                Layout::Ipc
            });
        self.check_seeds(layout)?;
        if layout == Layout::Memory {
            return Err(Failure::usage("processes share no memory")
                .note("`up` takes --transport ipc or tcp; `run` has everything in one process"));
        }
        let job = self.bind(self.app.job.is_some(), matches, layout)?;
        self.log(if job.is_some() { "warn" } else { "info" })?;
        let children = self.common.passed_on(&self.settings, job.is_some());
        layout::up(&self.setup(layout, job), &args, children)
    }

    fn sim(&self, matches: &ArgMatches) -> Result<ExitCode, Failure> {
        if let Some((name, matches)) = matches.subcommand() {
            return self.look_into(name, matches);
        }
        let args: SimArgs = parsed(matches)?;
        vain::check(self.app, &self.common, &args, matches)?;
        if let Some(transport) = self.common.transport {
            let what = format!("a simulated world has no transport, and so not {transport}");
            return Err(Failure::usage(what).note("leave --transport out, or use `run` or `up`"));
        }
        if !self.common.join.is_empty() {
            let what = "--join does not go with a simulated world: nobody is found by seeds there";
            return Err(Failure::usage(what).note("`[peers]` of a file says where components are"));
        }
        // A worker has it said by who started it.
        if self.settings.has_seeds() && std::env::var_os(monofil_sim::WORKER).is_none() {
            tell(
                "`network.seeds` is left out: members that find each other by seeds are not laid out, only what \
                 `[peers]` says",
            );
        }
        if args.explore.is_meant() {
            if self.app.job.is_none() && std::env::var_os(monofil_sim::WORKER).is_none() {
                tell(format_args!(
                    "`{}` has no job: nothing happens but what its components do by themselves",
                    self.app.name
                ));
            }
            self.log("off")?;
            let layout = layout::placed(&self.setup(Layout::Sim, None))?;
            let scenario = self.scenario(matches, None)?;
            return layout::explore(&scenario, &args, self.common.seed, layout);
        }
        if self.app.job.is_none() && args.until.is_none() {
            let what = format!("`{}` has no job that would end the run", self.app.name);
            return Err(
                Failure::usage(what).note("say how much simulated time passes: --until 60s")
            );
        }
        let has_job = self.app.job.is_some();
        self.log(if has_job { "warn" } else { "info" })?;
        layout::apart(|| {
            let job = self.bind(has_job, matches, Layout::Sim)?;
            layout::sim(&self.setup(Layout::Sim, job), &args)
        })?
    }

    /// Returns what is run again and again. What may go wrong is as the arguments say, unless somebody knows better.
    fn scenario(&self, matches: &ArgMatches, faults: Option<Faults>) -> Result<Scenario, Failure> {
        // Whether the job's arguments make sense is seen before the first run.
        self.bind(self.app.job.is_some(), matches, Layout::Sim)?;
        layout::scenario(layout::Simulated {
            app: self.app.name.clone().into(),
            components: self.app.components.clone(),
            job: self.app.job.clone(),
            settings: self.settings.clone(),
            json: self.common.json,
            matches: matches.clone(),
            args: parsed(matches)?,
            faults,
        })
    }

    /// Looks into failing runs: each file says with which arguments it was found.
    fn look_into(&self, name: &str, matches: &ArgMatches) -> Result<ExitCode, Failure> {
        vain::check_file(&self.common, matches)?;
        self.log("off")?;
        let scenario = |file: &CaseFile| -> Result<Scenario, Failure> {
            let words = std::iter::once(self.app.name.clone()).chain(file.args.iter().cloned());
            let command = pages::command(self.app)?;
            let again = command
                .try_get_matches_from(words)
                .map_err(|error| usage(&error))?;
            let again = again.subcommand_matches("sim");
            let again = again.ok_or_else(|| Failure::usage("the file is of another command"))?;
            // Settings decide a run, too: those that it was found with, and over them what is given now.
            let mut common: Common = parsed(again)?;
            common.set.extend(self.common.set.iter().cloned());
            common.config = self.common.config.clone().or(common.config);
            let settings = common.layers(self.app)?.finish()?;
            let found = Invocation {
                app: self.app,
                settings,
                common,
            };
            let layout = layout::placed(&found.setup(Layout::Sim, None))?;
            if let Some(other) = file.other_layout(&layout) {
                tell(format_args!(
                    "the layout is another than that of the run: {other}"
                ));
            }
            found.scenario(again, file.faults.clone())
        };
        match name {
            "diff" => commands::diff(matches, &scenario),
            "pin" => commands::pin(&self.app.name, matches),
            _ => commands::replay(name, &parsed(matches)?, &scenario),
        }
    }

    /// Makes the job ready, if it is to run.
    fn bind(
        &self,
        wanted: bool,
        matches: &ArgMatches,
        layout: Layout,
    ) -> Result<Option<JobRun>, Failure> {
        let job = self.app.job.as_ref().filter(|_| wanted);
        let told = Told {
            layout,
            seed: self.common.seed,
            json: self.common.json,
            tape: None,
        };
        job.map(|job| job.bind(matches, told))
            .transpose()
            .map_err(|error| usage(&error))
    }

    /// Tells what is to run here.
    fn chosen(&self, names: &[String], matches: &ArgMatches) -> Result<Chosen, Failure> {
        let job = self.app.job.as_ref();
        let mut chosen = Chosen::default();
        for name in names {
            let index = self.app.components.iter().position(|it| it.name == *name);
            match index {
                Some(index) if !chosen.components.contains(&index) => chosen.components.push(index),
                Some(_) => {}
                None if job.is_some_and(|job| job.name == *name) => chosen.job = true,
                None => return Err(self.no_component(name)),
            }
        }
        if names.is_empty() {
            chosen.components = (0..self.app.components.len()).collect();
        }
        chosen.job |= job.is_some_and(|job| names.is_empty() || job.is_meant(matches));
        Ok(chosen)
    }

    /// Finds a component by its name, with or without the app's.
    pub(crate) fn component(&self, name: &str) -> Result<&crate::app::Definition, Failure> {
        let prefix = format!("{}/", self.app.name);
        let short = name.strip_prefix(&prefix).unwrap_or(name);
        self.app
            .definition(short)
            .ok_or_else(|| self.no_component(name))
    }

    fn no_component(&self, name: &str) -> Failure {
        let known: Vec<_> = self.app.components.iter().map(|it| &*it.name).collect();
        let job = self.app.job.as_ref().map(|job| &*job.name);
        let all = known.iter().copied().chain(job);
        Failure::usage(format!("`{}` has no component `{name}`", self.app.name))
            .maybe(suggest::did_you_mean(name, all))
            .note(format!(
                "its components are {}",
                suggest::list(&known, "and")
            ))
    }
}

/// What is to run in this process.
#[derive(Default)]
struct Chosen {
    components: Vec<usize>,
    job: bool,
}
