//! What is written of a simulated run: a page, a trace, a result for CI.

use std::path::Path;
use std::time::Instant;

use monofil_inproc::World;
use monofil_sim::{Story, junit, perfetto, view};
use monofil_transport::record::What;

use super::Run;
use crate::cli::PictureArgs;
use crate::exit::{EXIT_FAILED, Failure, tell};

/// Returns how much of a run is to be recorded.
pub(super) const fn records_max(args: &PictureArgs) -> usize {
    if args.is_drawn() { args.records } else { 0 }
}

/// Writes what was asked for, of a run that is over.
pub(super) fn write(
    run: &Run,
    args: &PictureArgs,
    world: &World,
    failure: Option<&Failure>,
    began: Instant,
) -> Result<(), Failure> {
    let took = began.elapsed();
    let job = run.job.as_ref().map_or("the run", |job| job.name());
    if let (Some(recorder), Some(failure)) = (world.recorder(), failure) {
        let property = recorder.name(&format!("{job} ends well"));
        let text = failure.what().into();
        recorder.add(
            world.now(),
            What::Broken {
                property,
                text,
                message: 0,
            },
        );
    }
    if args.is_drawn() {
        let about = [
            ("seed", run.seed.to_string()),
            ("virtual time", world.now().to_string()),
            ("trace hash", world.trace_hash().to_string()),
        ];
        draw(
            args,
            &Story::of(&world.recording()),
            run.app.as_str(),
            &about,
        )?;
    }
    if let Some(file) = &args.junit {
        let case = junit::Case {
            name: format!("{job}, seed {}", run.seed),
            took,
            failure: failure.map(|failure| (failure.what().to_owned(), failure.to_string())),
            output: String::new(),
        };
        write_to(file, &junit::xml(&format!("{} sim", run.app), &[case]))?;
    }
    Ok(())
}

/// Writes the page and the trace of a run, those that were asked for.
pub(super) fn draw(
    args: &PictureArgs,
    story: &Story,
    title: &str,
    about: &[(&str, String)],
) -> Result<(), Failure> {
    if let Some(file) = &args.view {
        write_to(file, &view::page(story, title, about))?;
        tell(format_args!(
            "a picture of the run is in {}",
            file.display()
        ));
    }
    if let Some(file) = &args.perfetto {
        write_to(file, &perfetto::trace(story))?;
        tell(format_args!(
            "a trace for https://ui.perfetto.dev is in {}",
            file.display()
        ));
    }
    Ok(())
}

pub(super) fn write_to(file: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(file, text).map_err(|error| {
        let what = format!("{} cannot be written: {error}", file.display());
        Failure::new(EXIT_FAILED, what)
    })
}
