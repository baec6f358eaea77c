//! `config show`: every setting.

use std::process::ExitCode;

use clap::ArgMatches;
use serde_json::{Map, Value, json};

use super::{print, print_json, table};
use crate::cli::Invocation;
use crate::config::{Layers, known_keys, show};
use crate::exit::Failure;

/// Prints every setting with its value, and where it came from.
pub(crate) fn config(
    invocation: &Invocation<'_>,
    layers: &Layers,
    matches: &ArgMatches,
) -> Result<ExitCode, Failure> {
    let with_origin = matches
        .subcommand()
        .is_some_and(|(_, matches)| matches.get_flag("origin"));
    let settings = layers.settings();
    let keys = known_keys(settings);
    if invocation.common.json {
        let entry = |(name, about): &(String, &str)| {
            let value = show(settings, name);
            let origin = layers.origin(name).to_string();
            let value = json!({ "value": value, "origin": origin, "about": about });
            (name.clone(), value)
        };
        let all: Map<String, Value> = keys.iter().map(entry).collect();
        return print_json(&Value::from(all));
    }
    if !with_origin {
        let line = |(name, _): &(String, &str)| format!("{name} = {}", show(settings, name));
        let lines: Vec<_> = keys.iter().map(line).collect();
        return print(&lines.join("\n"));
    }
    let or_dash = |text: String| if text.is_empty() { "-".into() } else { text };
    let mut table = table(&["setting", "value", "from", "what it is"]);
    for (name, about) in keys {
        let value = or_dash(show(settings, &name));
        let origin = layers.origin(&name).to_string();
        table.add_row([name.as_str(), value.as_str(), origin.as_str(), about]);
    }
    print(&table.trim_fmt())
}
