//! Flags of `sim` that would do nothing beside others: whoever gives one believes that it does something.

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::{Common, SimArgs};
use crate::app::App;
use crate::exit::Failure;

fn is_given(matches: &ArgMatches, id: &str) -> bool {
    matches!(matches.try_contains_id(id), Ok(true))
        && matches.value_source(id) == Some(ValueSource::CommandLine)
}

/// Refuses what runs would not heed, be they one or many.
pub(super) fn check(
    app: &App,
    common: &Common,
    args: &SimArgs,
    matches: &ArgMatches,
) -> Result<(), Failure> {
    let given = |id| is_given(matches, id);
    let explore = &args.explore;
    if given("records") && !args.pictures.is_drawn() {
        let what = "--records is of what is drawn, and nothing is";
        return Err(Failure::usage(what).note("add --view FILE.html or --perfetto FILE.json"));
    }
    if !explore.is_meant() {
        let of_many = ["jobs", "shrink"].into_iter().find(|id| given(id));
        return of_many.map_or(Ok(()), |flag| {
            let what = format!("--{flag} is of many runs, and this is one");
            Err(Failure::usage(what).note("add --seeds A..B, or --faults FAULTS"))
        });
    }
    let is_one = explore.seeds.is_none() && explore.only(common.seed).is_some();
    if given("jobs") && is_one && !explore.check {
        let what = "--jobs is of many runs, and this is one";
        return Err(Failure::usage(what).note("say which there are: --seeds A..B"));
    }
    if given("seed") && explore.seeds.is_some() {
        let what = "--seed is one, and --seeds are several: give one of the two";
        return Err(Failure::usage(what));
    }
    if common.json {
        let what =
            "--json is of what the job writes, and of runs that are judged that is not shown";
        return Err(Failure::usage(what).note("for CI there is --junit FILE.xml"));
    }
    match stream(app, matches) {
        Some(flag) => {
            let what = format!(
                "{flag} stands for a stream of this process, and runs that are judged have none"
            );
            Err(Failure::usage(what)
                .note("give the name of a file: each run begins at its beginning"))
        }
        None => Ok(()),
    }
}

/// Returns an argument of the job that is `-`: standard input, or output.
fn stream(app: &App, matches: &ArgMatches) -> Option<String> {
    let own = (app.job.as_ref()?.augment)(clap::Command::new("job"));
    own.get_arguments().find_map(|arg| {
        let id = arg.get_id().as_str();
        let mut values = matches
            .try_get_raw(id)
            .ok()??
            .filter(|_| is_given(matches, id));
        values
            .any(|value| value == "-")
            .then(|| match arg.get_long() {
                Some(long) => format!("`--{long} -`"),
                None => format!("`-` for {}", arg.get_id()),
            })
    })
}

/// Refuses what a run that was written down does not heed: the file says how it was found.
pub(super) fn check_file(common: &Common, matches: &ArgMatches) -> Result<(), Failure> {
    let given = ["seed", "peer", "join", "transport"];
    let given = given.into_iter().find(|id| is_given(matches, id));
    match given.or(common.json.then_some("json")) {
        Some(flag) => Err(Failure::usage(format!(
            "--{flag} does nothing to a run that was written down: its file says how it was found"
        ))
        .note("leave it out; settings may be given by --set KEY=VALUE and --config FILE")),
        None => Ok(()),
    }
}
