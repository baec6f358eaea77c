//! The commands that ask rather than run.

pub(crate) mod call;
mod components;
pub(crate) mod describe;
mod replay;
mod show;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

use crate::app::Definition;
use crate::cli::{Invocation, Place};
use crate::exit::{EXIT_FAILED, Failure};
use crate::layout::{self, Run};
use crate::{Client, Endpoint, Layout};

pub(crate) use call::call;
pub(crate) use components::components;
pub(crate) use describe::describe;
pub(crate) use replay::{diff, pin, replay};
pub(crate) use show::config;

/// Makes a client that knows one component: at its well-known address, or where it was said to be.
fn client(
    invocation: &Invocation<'_>,
    definition: &Definition,
    place: &Place,
) -> Result<Client, Failure> {
    layout::client(&setup(invocation), definition, place.at.as_ref())
}

/// Says where a component was looked for.
fn looked_at(
    invocation: &Invocation<'_>,
    definition: &Definition,
    place: &Place,
) -> Result<String, Failure> {
    let places = layout::places(&setup(invocation), definition, place.at.as_ref())?;
    let places: Vec<_> = places.iter().map(Endpoint::as_str).collect();
    Ok(format!("it was looked for at {}", places.join(", ")))
}

fn setup(invocation: &Invocation<'_>) -> Run {
    let layout = match invocation.settings.transport {
        Some(Layout::Tcp) => Layout::Tcp,
        None if invocation.settings.has_seeds() => Layout::Tcp,
        _ => Layout::Ipc,
    };
    invocation.setup(layout, None)
}

/// Makes a table that fits the terminal.
pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header);
    if std::io::stdout().is_terminal() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    table
}

/// Writes to standard output; that nobody reads it any more is no failure.
pub(crate) fn print(text: &str) -> Result<ExitCode, Failure> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::new(
            EXIT_FAILED,
            format!("standard output: {error}"),
        )),
        _ => Ok(ExitCode::SUCCESS),
    }
}

pub(crate) fn print_json(value: &Value) -> Result<ExitCode, Failure> {
    print(&format!("{value:#}"))
}
