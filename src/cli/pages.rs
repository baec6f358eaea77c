//! The commands, what they are for, and examples of each.

use clap::{Arg, ArgAction, Args, Command};

use super::args::{CallArgs, Common, DescribeArgs, ReplayArgs, RunArgs, SimArgs, UpArgs};
use crate::app::App;
use crate::exit::Failure;
use monofil_container::Method;

/// The whole command line of an app.
pub(crate) fn command(app: &App) -> Result<Command, Failure> {
    whole(app, Command::new(app.name.clone()))
}

/// The same for people: with what can be given when no command is.
pub(crate) fn overview(app: &App) -> Result<Command, Failure> {
    let command = with_job(app, Command::new(app.name.clone()))?;
    whole(app, command.args_conflicts_with_subcommands(true))
}

fn whole(app: &App, command: Command) -> Result<Command, Failure> {
    let it = app.name.as_str();
    let about = app.about.clone().unwrap_or_else(|| format!("The app {it}"));
    let job = app
        .job
        .as_ref()
        .map_or_else(String::new, |job| format!(", the job {} as well", job.name));
    // Adding arguments also adds what their struct's documentation says, so texts come after them.
    let mut command = Common::augment_args(command)
        .about(about)
        .long_about(None)
        .version(concat!("(monofil ", env!("CARGO_PKG_VERSION"), ")"))
        .after_help(format!(
            "Without a command everything runs in this process{job}, as with `{it} run`.\n\
             `{it} COMMAND --help` says more about a command, with examples.\n\n\
             Exit codes: 0 well, 1 failed, 2 usage, 3 cannot start, 4 a call was not answered,\n\
             5 a simulated run is stuck, 70 ended by its watchdog, 130 interrupted."
        ));
    for page in pages(app) {
        command = command.subcommand(page?);
    }
    Ok(command)
}

fn pages(app: &App) -> Vec<Result<Command, Failure>> {
    let it = app.name.as_str();
    let first = app.components.first().map_or("NAME", |it| &*it.name);
    let method = app
        .components
        .first()
        .and_then(|it| it.interfaces.first()?.methods.first())
        .map(Method::short_name)
        .unwrap_or("METHOD");
    let run = page(
        with_job(app, RunArgs::augment_args(Command::new("run"))),
        "Run components in this process: all of them in memory, or some over ZeroMQ",
        format!(
            "  {it} run\n  {it} run {first}\n  \
             {it} run {first} --transport tcp --listen tcp://127.0.0.1:7001\n\n\
             With names, the other components are looked for at their well-known addresses, or where\n\
             [peers] says they are."
        ),
    );
    let up = page(
        with_job(app, UpArgs::augment_args(Command::new("up"))),
        "Run one process for each component, and the job",
        format!(
            "  {it} up\n  {it} up --transport tcp --order shuffled --seed 7\n\n\
             Standard output is the job's. What the processes say is on standard error, after their names."
        ),
    );
    let sim = page(
        with_job(app, SimArgs::augment_args(Command::new("sim"))).map(|page| {
            let looking = looking().into_iter();
            looking.fold(
                page.args_conflicts_with_subcommands(true),
                Command::subcommand,
            )
        }),
        "Run everything in a simulated world with virtual time",
        format!(
            "  {it} sim --seed 7 --trace-hash\n  {it} sim --latency 1ms..50ms\n  {it} sim --view run.html\n  \
             {it} sim --seeds 0..1000 --faults all\n  {it} sim --faults all --for 5min --jobs 2\n  \
             {it} sim replay FILE --until 3s"
        ),
    );
    let call = page(
        Ok(CallArgs::augment_args(Command::new("call"))),
        "Call a component, with JSON in and JSON out",
        format!(
            "  {it} call {first} {method} '{{}}'\n  \
             {it} call {first} {method} - --running < request.json\n\n\
             Without --at or --running the app runs in this process, in memory, for this one call.\n\
             A stream is printed with one object a line."
        ),
    );
    let describe = page(
        Ok(DescribeArgs::augment_args(Command::new("describe"))),
        "Ask a running node what it runs and how it is",
        format!(
            "  {it} describe {first}\n  {it} describe {first} --at tcp://127.0.0.1:7001 --json"
        ),
    );
    let components = page(
        Ok(Command::new("components")),
        "List the components, their services, methods and topics",
        format!("  {it} components\n  {it} components --json"),
    );
    let config = page(
        Ok(Command::new("config")
            .subcommand_required(true)
            .subcommand(show())),
        "Show settings",
        format!(
            "  {it} config show --origin\n\n\
             Settings come from monofil.toml, the environment (MONOFIL_NETWORK__BASE_PORT=7800) and flags\n\
             (--set network.base_port=7800); each goes over the ones before."
        ),
    );
    vec![run, up, sim, call, describe, components, config]
}

/// Adds the texts of a command, over what the documentation of its arguments' struct put there.
fn page(
    command: Result<Command, Failure>,
    about: &'static str,
    examples: String,
) -> Result<Command, Failure> {
    Ok(command?
        .about(about)
        .long_about(None)
        .after_help(format!("Examples:\n{examples}")))
}

/// The commands that look into a failing run.
fn looking() -> [Command; 5] {
    let replay = |name: &'static str| ReplayArgs::augment_args(Command::new(name)).long_about(None);
    let file = |name: &'static str| {
        let path = clap::value_parser!(std::path::PathBuf);
        Arg::new(name)
            .required(true)
            .value_name("FILE")
            .value_parser(path)
    };
    [
        replay("replay")
            .about("Run a failing run again, and stop where asked")
            .after_help(
                "Exit codes: 1 if it fails again; 0 if it does not, or was stopped before.",
            ),
        replay("step")
            .about("Run it step by step: Enter goes on, `stacks` shows what waits, `quit` ends")
            .after_help(
                "Exit codes: 1 if it came to its failure; 0 if it did not, or was left before.",
            ),
        replay("stacks")
            .about("Show every handler that is under way where it stops, and where it waits"),
        Command::new("diff")
            .about("Show where two runs part")
            .after_help("Exit codes: 0 if they are the same, 1 if they part.")
            .arg(file("one"))
            .arg(file("other")),
        Command::new("pin")
            .about("Make a test of a failing run: tests/pinned.rs, which runs all of tests/pinned")
            .arg(file("file")),
    ]
}

fn show() -> Command {
    let origin = Arg::new("origin")
        .long("origin")
        .action(ArgAction::SetTrue)
        .help("Also say where each value came from");
    Command::new("show")
        .about("Show every setting and its value")
        .arg(origin)
}

/// Adds the job's own arguments, unless one is called like one of ours.
fn with_job(app: &App, page: Command) -> Result<Command, Failure> {
    let Some(job) = &app.job else {
        return Ok(page);
    };
    let ours = Common::augment_args(page.clone());
    let is_ours = |name: &str| {
        name == "help"
            || ours
                .get_arguments()
                .any(|arg| arg.get_id().as_str() == name || arg.get_long() == Some(name))
    };
    let own = (job.augment)(Command::new("job"));
    let clash = own
        .get_arguments()
        .find(|arg| is_ours(arg.get_id().as_str()) || arg.get_long().is_some_and(is_ours));
    if let Some(clash) = clash {
        let (job, id, page) = (&job.name, clash.get_id(), page.get_name());
        let what =
            format!("the job `{job}` has an argument `{id}`, and so has the command `{page}`");
        return Err(Failure::usage(what).note("call the job's argument something else"));
    }
    let heading = format!("Options of the job {}", job.name);
    let takes_values = own
        .get_arguments()
        .filter(|arg| !arg.is_positional() && arg.get_action().takes_values());
    let page = (job.augment)(page.next_help_heading(heading));
    // `-1` is a value that may be wrong, and no flag.
    Ok(takes_values.fold(page, |page, arg| {
        page.mut_arg(arg.get_id(), |arg| arg.allow_negative_numbers(true))
    }))
}
