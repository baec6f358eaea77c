//! Looking into failing runs that were written down.

use std::fs;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ArgMatches;
use monofil_sim::report::FailureReport;
use monofil_sim::{CaseFile, Scenario, StopAt, difference, stacks};

use super::print;
use crate::cli::ReplayArgs;
use crate::exit::{EXIT_FAILED, Failure};
use crate::layout::quietly;
use crate::logging;

/// Makes the scenario that a file is of.
type Again<'a> = dyn Fn(&CaseFile) -> Result<Scenario, Failure> + 'a;

fn read(path: &Path) -> Result<CaseFile, Failure> {
    CaseFile::read(path).map_err(|error| Failure::usage(error.to_string()))
}

/// Runs a failing run again, to its end or to where it is to stop.
pub(crate) fn replay(how: &str, args: &ReplayArgs, again: &Again<'_>) -> Result<ExitCode, Failure> {
    let file = read(&args.file)?;
    let scenario = again(&file)?;
    if how == "step" {
        return step(&file, &scenario);
    }
    let stop = StopAt {
        time: args.until.map(Into::into),
        requests: args.requests.clone(),
    };
    let stopped = quietly(|| scenario.replay(&file.case, &stop))?;
    if let Some(path) = &args.draws {
        let text: String = stopped
            .ran
            .draws
            .iter()
            .map(|draw| format!("{draw}\n"))
            .collect();
        fs::write(path, text).map_err(|error| {
            let what = format!("{} cannot be written: {error}", path.display());
            Failure::new(EXIT_FAILED, what)
        })?;
    }
    if let Some(why) = &stopped.why {
        print(&format!("stopped: {why}"))?;
    }
    if !stopped.missed.is_empty() {
        // Nobody to tell it to is no reason to fail.
        let _ = writeln!(io::stderr(), "never reached: {}", stopped.missed.join(", "));
    }
    if how == "stacks" || stopped.why.is_some() {
        print(stopped.ran.stacks.trim_end())?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(mistake) = stopped.ran.mistake() {
        return Err(Failure::usage(mistake));
    }
    let code = match FailureReport::of(&stopped.ran, file.case.seed) {
        Some(told) => {
            print(&told.text(&logging::report_style()))?;
            ExitCode::from(EXIT_FAILED)
        }
        None => {
            print("it does not fail any more")?;
            ExitCode::SUCCESS
        }
    };
    if stopped.ran.hash.to_string() != file.hash {
        print("another run than the one that was found: the program has changed")?;
    }
    Ok(code)
}

/// Shows a run step by step.
fn step(file: &CaseFile, scenario: &Scenario) -> Result<ExitCode, Failure> {
    let mut broken = None;
    let ran = scenario.step(&file.case, |sim, text| {
        let mut out = io::stdout().lock();
        let shown = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        if let Err(error) = shown {
            broken = Some(error);
            return false;
        }
        for word in io::stdin().lock().lines() {
            match word.as_deref().map(str::trim) {
                Ok("") => return true,
                Ok("stacks") => {
                    // Nobody to tell is seen at the next step.
                    let text = sim.world().recorder().map(stacks::text);
                    let _ = out.write_all(text.unwrap_or_default().as_bytes());
                }
                _ => return false,
            }
        }
        false
    });
    if let Some(error) = broken {
        return Err(Failure::new(
            EXIT_FAILED,
            format!("standard output is gone: {error}"),
        ));
    }
    let Some(failure) = ran.failure else {
        return Ok(ExitCode::SUCCESS);
    };
    print(&failure.to_string())?;
    Ok(ExitCode::from(EXIT_FAILED))
}

/// Says where two runs part.
pub(crate) fn diff(matches: &ArgMatches, again: &Again<'_>) -> Result<ExitCode, Failure> {
    let path = |name: &str| {
        matches
            .get_one::<PathBuf>(name)
            .cloned()
            .unwrap_or_default()
    };
    let run = |name: &str| {
        let file = read(&path(name))?;
        let scenario = again(&file)?;
        quietly(|| scenario.replay(&file.case, &StopAt::default()))
    };
    let (one, other) = (run("one")?, run("other")?);
    let (text, code) = match difference(&one.ran, &other.ran) {
        Some(text) => (text, ExitCode::from(EXIT_FAILED)),
        None => ("they are the same".to_owned(), ExitCode::SUCCESS),
    };
    print(text.trim_end())?;
    Ok(code)
}

/// Makes a test of a failing run.
pub(crate) fn pin(app: &str, matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let path = matches
        .get_one::<PathBuf>("file")
        .cloned()
        .unwrap_or_default();
    let file = read(&path)?;
    check_package()?;
    let cannot = |path: &Path, error: io::Error| {
        Failure::new(EXIT_FAILED, format!("{}: {error}", path.display()))
    };
    let folder = Path::new("tests/pinned");
    fs::create_dir_all(folder).map_err(|error| cannot(folder, error))?;
    let pinned = folder.join(format!("{}.toml", file.name()));
    fs::copy(&path, &pinned).map_err(|error| cannot(&pinned, error))?;
    let test = Path::new("tests/pinned.rs");
    let mut said = format!("{} is run by the tests from now on\n", pinned.display());
    if !test.exists() {
        fs::write(test, test_of(app)).map_err(|error| cannot(test, error))?;
        said += &format!("{} runs all that is there\n", test.display());
    }
    print(said.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

/// Refuses a folder whose `tests` nobody compiles, as that of a workspace without a package of its own.
fn check_package() -> Result<(), Failure> {
    let manifest = fs::read_to_string("Cargo.toml").unwrap_or_default();
    let manifest = toml::from_str::<toml::Table>(&manifest);
    match manifest.is_ok_and(|it| it.contains_key("package")) {
        true => Ok(()),
        false => Err(Failure::usage(
            "no package is in this folder, and nobody would run a test of it",
        )
        .note("run this where the Cargo.toml of the app's package is")),
    }
}

fn test_of(app: &str) -> String {
    format!(
        r#"//! Simulated runs that failed once, and must not fail again.

use std::path::Path;
use std::process::Command;

#[test]
fn what_failed_once_does_not_fail_again() {{
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pinned");
    for entry in folder.read_dir().expect("the folder of pinned runs") {{
        let file = entry.expect("an entry of it").path();
        let program = env!("CARGO_BIN_EXE_{app}");
        let ran = Command::new(program).args(["sim", "replay"]).arg(&file).output();
        let ran = ran.expect("the app's program can be started");
        let said = String::from_utf8_lossy(&ran.stdout);
        assert!(ran.status.success(), "{{}} fails again:\n{{said}}", file.display());
    }}
}}
"#
    )
}
