//! Log lines on standard error.

mod human;
mod json;
mod time;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::IsTerminal;
use std::panic::PanicHookInfo;
use std::str::FromStr;

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

/// Writes log lines from now on, of a level or of `target=level,..`.
pub(crate) fn start(level: &str, format: LogFormat) -> Result<(), Failure> {
    let filter = Targets::from_str(level).ok().filter(|_| is_level(level));
    let Some(filter) = filter else {
        let what = format!("`{level}` is no log level");
        return Err(Failure::usage(what)
            .note("use error, warn, info, debug or trace, or per target: info,monofil_zmq=debug"));
    };
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
        let ansi = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        registry
            .with(lines.with_ansi(ansi).event_format(human::Human))
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

/// A bare word is a level, or else it would silently be a target that everything of is logged.
fn is_level(directives: &str) -> bool {
    directives.split(',').all(|directive| {
        directive.contains('=') || tracing::level_filters::LevelFilter::from_str(directive).is_ok()
    })
}
