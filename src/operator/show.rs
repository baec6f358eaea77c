//! `nodes`, `components`, `info`: what there is.

use std::process::ExitCode;
use std::time::Duration;

use monofil_container::control::{ComponentDescription, Description, NodeState};
use serde_json::{Value, json};

use super::args::InfoArgs;
use super::network::{Network, Node, describe, description};
use crate::commands::{print, print_json, table};
use crate::exit::Failure;

/// Writes lines as a table or as JSON, with what is left out said after it.
pub(super) fn finish(
    network: &Network,
    table: &comfy_table::Table,
    values: Vec<Value>,
    notes: &[String],
) -> Result<ExitCode, Failure> {
    if network.common.json {
        return print_json(&json!({ "items": values, "notes": notes }));
    }
    let mut parts = vec![table.trim_fmt()];
    parts.extend(notes.iter().cloned());
    print(&parts.join("\n\n"))
}

/// Says how many are not shown.
pub(super) fn left_out(count: usize, what: &str) -> Option<String> {
    (count > 0).then(|| format!("{count} more {what} are left out; --most shows more"))
}

pub(super) fn nodes(network: &mut Network) -> Result<ExitCode, Failure> {
    let mut nodes = network.nodes();
    nodes.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    let most = network.common.most;
    let mut table = table(&["node", "state", "for", "at", "load", "runs"]);
    let mut values = Vec::new();
    for node in nodes.iter().take(most) {
        table.add_row([
            node.name.clone(),
            node.state.clone(),
            short(node.since),
            node.application.clone(),
            node.load.to_string(),
            node.components.join(", "),
        ]);
        values.push(json!({
            "name": node.name,
            "node": node.id,
            "state": node.state,
            "for_seconds": node.since.as_secs_f64(),
            "application": node.application,
            "load": node.load,
            "components": node.components,
        }));
    }
    let mut notes: Vec<String> = left_out(nodes.len().saturating_sub(most), "nodes")
        .into_iter()
        .collect();
    if network.unlisted() > 0 {
        let (name, count) = (&network.entry.name, network.unlisted());
        notes.push(format!("`{name}` knows {count} more than it lists"));
    }
    if !network.entry.not_joined.is_empty() {
        notes.push(format!(
            "`{}` is alone: {}",
            network.entry.name, network.entry.not_joined
        ));
    }
    finish(network, &table, values, &notes)
}

const COLUMNS: [&str; 10] = [
    "component",
    "node",
    "instance",
    "version",
    "state",
    "queued",
    "handled",
    "rejected",
    "panics",
    "restarts",
];

fn row(node: &Node, of: &Description, it: &ComponentDescription) -> [String; 10] {
    [
        it.name.clone(),
        node.name.clone(),
        it.instance.to_string(),
        it.version.clone(),
        match of.state() {
            NodeState::Draining => format!("{}, draining", it.state),
            _ => it.state.clone(),
        },
        format!("{} of {}", it.queued_messages, it.queue_messages_max),
        it.handled.to_string(),
        it.rejected.to_string(),
        it.panics.to_string(),
        it.restarts.to_string(),
    ]
}

fn value(node: &Node, of: &Description, it: &ComponentDescription) -> Value {
    let mut value = crate::commands::describe::component_json(it);
    value["node"] = json!(node.name);
    value["node_state"] = json!(crate::commands::describe::state(of));
    value
}

pub(super) fn components(network: &mut Network) -> Result<ExitCode, Failure> {
    let nodes = network.nodes();
    let asked = network.ask(&nodes, &describe(), description);
    asked.check()?;
    let mut notes = asked.notes();
    let mut rows: Vec<_> = asked
        .given
        .iter()
        .flat_map(|(node, of)| of.components.iter().map(move |it| (node, of, it)))
        .collect();
    rows.sort_by_key(|(node, _, it)| (it.name.clone(), node.name.clone(), it.instance));
    let most = network.common.most;
    notes.extend(left_out(rows.len().saturating_sub(most), "instances"));
    let mut table = table(&COLUMNS);
    let mut values = Vec::new();
    for (node, of, it) in rows.into_iter().take(most) {
        table.add_row(row(node, of, it));
        values.push(value(node, of, it));
    }
    finish(network, &table, values, &notes)
}

pub(super) fn info(network: &mut Network, args: &InfoArgs) -> Result<ExitCode, Failure> {
    if let Some(name) = args.name.strip_prefix("node:") {
        let node = network.node(name)?;
        return info_node(network, &node);
    }
    match network.running(&args.name) {
        Ok(nodes) => {
            let name = network.qualified(&args.name);
            info_component(network, &name, &nodes)
        }
        Err(no_component) => {
            let node = network.node(&args.name).map_err(|no_node| {
                match no_node.what().starts_with("the network") {
                    true => no_component,
                    false => no_node,
                }
            })?;
            info_node(network, &node)
        }
    }
}

fn info_node(network: &mut Network, node: &Node) -> Result<ExitCode, Failure> {
    let described = network.ask_one(node, &describe(), description)?;
    if network.common.json {
        return print_json(&crate::commands::describe::as_json(&described));
    }
    print(&crate::commands::describe::show(&described))
}

fn info_component(network: &mut Network, name: &str, nodes: &[Node]) -> Result<ExitCode, Failure> {
    let asked = network.ask(nodes, &describe(), description);
    asked.check()?;
    let mut instances = table(&COLUMNS[1..]);
    let mut values = Vec::new();
    let (mut methods, mut topics) = (Vec::new(), Vec::new());
    for (node, it) in &asked.given {
        for component in it.components.iter().filter(|it| it.name == name) {
            instances.add_row(&row(node, it, component)[1..]);
            values.push(value(node, it, component));
            methods.extend(component.methods.clone());
            topics.extend(component.topics.clone());
        }
    }
    if network.common.json {
        return print_json(
            &json!({ "component": name, "instances": values, "notes": asked.notes() }),
        );
    }
    methods.sort();
    methods.dedup();
    topics.sort();
    topics.dedup();
    let or_any = |list: &[String], none: &str| match list {
        [] => none.to_owned(),
        list => list.join("\n    "),
    };
    let mut parts = vec![
        format!("component {name}"),
        instances.trim_fmt(),
        format!(
            "  methods\n    {}",
            or_any(&methods, "any: it does not describe itself")
        ),
    ];
    if !topics.is_empty() {
        parts.push(format!("  topics\n    {}", topics.join("\n    ")));
    }
    parts.extend(asked.notes());
    print(&parts.join("\n\n"))
}

/// Writes a duration with two digits that matter.
pub(super) fn short(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{:.1}s", duration.as_secs_f64()),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}
