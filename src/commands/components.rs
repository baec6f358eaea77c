//! `components`: what the app is made of.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::{print, print_json, table};
use crate::app::Definition;
use crate::cli::Invocation;

/// Prints the components with their services, methods and topics.
pub(crate) fn components(invocation: &Invocation<'_>) -> Result<ExitCode, crate::exit::Failure> {
    let all = &invocation.app.components;
    if invocation.common.json {
        return print_json(&Value::from(all.iter().map(as_json).collect::<Vec<_>>()));
    }
    let mut table = table(&["component", "service", "methods", "topics"]);
    for definition in all.iter() {
        let topics = topics(definition).join("\n");
        if definition.interfaces.is_empty() {
            table.add_row([definition.name.as_str(), "-", "any", &topics]);
        }
        for (index, interface) in definition.interfaces.iter().enumerate() {
            let methods: Vec<_> = interface
                .methods
                .iter()
                .map(|method| {
                    let short = method.short_name();
                    let stream = if method.streaming { " (stream)" } else { "" };
                    format!("{short}{stream}")
                })
                .collect();
            let first = index == 0;
            let name = if first { definition.name.as_str() } else { "" };
            let topics = if first { topics.as_str() } else { "" };
            table.add_row([name, interface.service, &methods.join("\n"), topics]);
        }
    }
    let job = invocation.app.job.as_ref();
    let job = job.map_or_else(String::new, |job| format!("\n\nand the job {}", job.name));
    print(&format!("{}{job}", table.trim_fmt()))
}

fn topics(definition: &Definition) -> Vec<&str> {
    let all = definition.subscriptions.iter();
    all.map(|subscription| subscription.topic.as_str())
        .collect()
}

fn as_json(definition: &Definition) -> Value {
    let services: Vec<_> = definition
        .interfaces
        .iter()
        .map(|interface| {
            let methods: Vec<_> = interface
                .methods
                .iter()
                .map(|method| {
                    json!({
                        "name": method.name.as_str(),
                        "streaming": method.streaming,
                        "idempotent": method.idempotent,
                        "topic": method.topic.as_ref().map(monofil_container::Name::as_str),
                    })
                })
                .collect();
            json!({ "name": interface.service, "methods": methods })
        })
        .collect();
    json!({
        "name": definition.name,
        "services": services,
        "topics": topics(definition),
    })
}
