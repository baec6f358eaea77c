//! Log lines on standard error.

mod human;
mod json;
mod time;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::ffi::OsString;
use std::io::IsTerminal;
use std::panic::PanicHookInfo;
use std::str::FromStr;

use monofil_sim::report::Style;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::LogFormat;
use crate::exit::Failure;

pub(crate) use time::set_virtual_time;

/// Tells whether lines are JSON: for people on a terminal they are not.
pub(crate) fn is_json(format: LogFormat) -> bool {
    match format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Human => false,
        LogFormat::Json => true,
    }
}

/// Tells whether what is written on standard error has colours: for people on a terminal that shows them
/// and who did not ask otherwise (<https://no-color.org>).
pub(crate) fn is_coloured() -> bool {
    std::io::stderr().is_terminal() && shows_colours(|name| std::env::var_os(name))
}

/// Returns how a report is written on standard output.
pub(crate) fn report_style() -> Style {
    let coloured = std::io::stdout().is_terminal();
    Style {
        color: coloured && shows_colours(|name| std::env::var_os(name)),
        ..Style::default()
    }
}

fn shows_colours(variable: impl Fn(&str) -> Option<OsString>) -> bool {
    let unwanted = variable("NO_COLOR").is_some_and(|value| !value.is_empty());
    !unwanted && variable("TERM").is_none_or(|term| term != "dumb")
}

/// Writes log lines from now on, of a level or of `target=level,..`.
pub(crate) fn start(level: &str, format: LogFormat) -> Result<(), Failure> {
    let filter = parse_level(level).map_err(Failure::usage)?;
    // A line that cannot be written is lost. To report that would be to write to the same place, and a
    // panic in whatever handler had something to say.
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    let registry = tracing_subscriber::registry().with(filter);
    std::panic::set_hook(Box::new(panicked));
    let started = if is_json(format) {
        registry.with(lines.event_format(json::Json)).try_init()
    } else {
        registry
            .with(lines.with_ansi(is_coloured()).event_format(human::Human))
            .try_init()
    };
    started.map_err(|error| Failure::cannot_start(format!("logging cannot be set up: {error}")))
}

/// Logs a panic as a line like any other, and its backtrace after it if the environment asks for one.
fn panicked(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let payload = info.payload();
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let message = text.or_else(|| payload.downcast_ref::<&str>().copied());
    let message = message.unwrap_or("a panic without a message");
    let trace = Backtrace::capture();
    match trace.status() {
        BacktraceStatus::Captured => {
            tracing::error!(place, panic = message, %trace, "panicked");
        }
        _ => tracing::error!(place, panic = message, "panicked"),
    }
}

/// Reads a level, or levels of targets.
pub(crate) fn parse_level(text: &str) -> Result<Targets, String> {
    let targets = Targets::from_str(text).ok().filter(|_| is_level(text));
    targets.ok_or_else(|| {
        format!(
            "`{text}` is no log level: error, warn, info, debug or trace, or per target: \
             info,monofil_zmq=debug"
        )
    })
}

/// A bare word is a level, or else it would silently be a target that everything of is logged.
fn is_level(directives: &str) -> bool {
    directives.split(',').all(|directive| {
        directive.contains('=') || tracing::level_filters::LevelFilter::from_str(directive).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_that_show_them_and_people_who_want_them() {
        for (no_color, term, expected) in [
            (None, None, true),
            (None, Some("xterm"), true),
            (None, Some("dumb"), false),
            (Some(""), Some("xterm"), true),
            (Some("1"), Some("xterm"), false),
            (Some("0"), None, false),
        ] {
            let shows = shows_colours(|name| {
                let value = if name == "TERM" { term } else { no_color };
                value.map(OsString::from)
            });
            assert_eq!(shows, expected, "{no_color:?} {term:?}");
        }
    }
}
