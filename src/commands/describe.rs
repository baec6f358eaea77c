//! `describe`: who a running node is, what it runs and how it is.

use std::process::ExitCode;
use std::time::Duration;

use comfy_table::Table;
use monofil_container::control::{
    ComponentDescription, Description, MemberDescription, MemberState, NodeState, PeerDescription,
    PeerHealth,
};
use serde_json::{Value, json};

use super::{client, looked_at, print, print_json, table};
use crate::cli::{DescribeArgs, Invocation};
use crate::exit::{EXIT_CALL, Failure};

/// Asks the node of a component and prints what it answers.
pub(crate) fn describe(
    invocation: &Invocation<'_>,
    args: &DescribeArgs,
) -> Result<ExitCode, Failure> {
    invocation.log("warn")?;
    let definition = invocation.component(&args.component)?;
    let name = definition.name.as_str();
    let mut client = client(invocation, definition, &args.place)?;
    let looked = looked_at(invocation, definition, &args.place)?;
    let description = client
        .describe(name, false, args.deadline)
        .map_err(|error| {
            Failure::new(
                EXIT_CALL,
                format!("{}/{name}: {error}", invocation.app.name),
            )
            .note(&looked)
            .note(format!(
                "if it is not running, `{} run {name}` starts it",
                invocation.app.name
            ))
        })?;
    if invocation.common.json {
        return print_json(&as_json(&description));
    }
    print(&show(&description))
}

pub(crate) fn show(description: &Description) -> String {
    let who = format!(
        "node {} of app {}, process {}, {}, up for {}",
        hex(&description.node),
        description.app,
        description.process,
        state(description),
        since(description.uptime_micros),
    );
    let mut parts = vec![who, components(&description.components).trim_fmt()];
    if !description.peers.is_empty() {
        parts.push(peers(&description.peers).trim_fmt());
    }
    if !description.members.is_empty() {
        parts.push(members(&description.members).trim_fmt());
    }
    if !description.not_joined.is_empty() {
        parts.push(format!("not joined: {}", description.not_joined));
    }
    let mut counters: Vec<_> = description.counters.iter().filter(|it| *it.1 > 0).collect();
    counters.sort();
    let mut table = table(&["counter", "value"]);
    for (name, value) in counters {
        table.add_row([name.clone(), value.to_string()]);
    }
    parts.push(table.trim_fmt());
    parts.join("\n\n")
}

fn components(all: &[ComponentDescription]) -> Table {
    let mut table = table(&[
        "component",
        "state",
        "queued",
        "handled",
        "rejected",
        "panics",
        "restarts",
        "topics",
    ]);
    for it in all {
        table.add_row([
            it.name.clone(),
            it.state.clone(),
            format!("{} of {}", it.queued_messages, it.queue_messages_max),
            it.handled.to_string(),
            it.rejected.to_string(),
            it.panics.to_string(),
            it.restarts.to_string(),
            it.topics.join(", "),
        ]);
    }
    table
}

fn peers(all: &[PeerDescription]) -> Table {
    let mut table = table(&["peer", "health", "for", "at", "unacknowledged"]);
    for peer in all {
        let health = match health(peer) {
            "busy" => format!("busy in {}", peer.handler),
            word => word.to_owned(),
        };
        table.add_row([
            peer.name.clone(),
            health,
            since(peer.since_micros),
            peer.application.clone(),
            peer.unacknowledged.to_string(),
        ]);
    }
    table
}

fn members(all: &[MemberDescription]) -> Table {
    let mut table = table(&["member", "state", "for", "at", "load", "runs"]);
    for it in all {
        let state = match member_state(it) {
            "busy" => format!("busy in {}", it.handler),
            word => word.to_owned(),
        };
        table.add_row([
            it.name.clone(),
            state,
            since(it.since_micros),
            it.datagram.clone(),
            it.load.to_string(),
            it.components.join(", "),
        ]);
    }
    table
}

pub(crate) fn as_json(description: &Description) -> Value {
    let mut counters: Vec<_> = description.counters.iter().collect();
    counters.sort();
    let counters = counters
        .into_iter()
        .map(|(name, value)| (name.clone(), Value::from(*value)));
    json!({
        "node": hex(&description.node),
        "incarnation": description.incarnation,
        "app": description.app,
        "version": description.version,
        "process": description.process,
        "state": state(description),
        "uptime_seconds": seconds(description.uptime_micros),
        "components": description.components.iter().map(component_json).collect::<Vec<_>>(),
        "peers": description.peers.iter().map(peer_json).collect::<Vec<_>>(),
        "members": description.members.iter().map(member_json).collect::<Vec<_>>(),
        "not_joined": description.not_joined,
        "counters": counters.collect::<serde_json::Map<_, _>>(),
    })
}

pub(crate) fn component_json(it: &ComponentDescription) -> Value {
    json!({
        "name": it.name,
        "instance": it.instance,
        "version": it.version,
        "state": it.state,
        "queued_messages": it.queued_messages,
        "queue_messages_max": it.queue_messages_max,
        "queued_bytes": it.queued_bytes,
        "queue_bytes_max": it.queue_bytes_max,
        "handled": it.handled,
        "rejected": it.rejected,
        "panics": it.panics,
        "restarts": it.restarts,
        "methods": it.methods,
        "topics": it.topics,
    })
}

fn peer_json(peer: &PeerDescription) -> Value {
    json!({
        "name": peer.name,
        "node": hex(&peer.node),
        "incarnation": peer.incarnation,
        "application": peer.application,
        "health": health(peer),
        "handler": peer.handler,
        "for_seconds": seconds(peer.since_micros),
        "components": peer.components,
        "unacknowledged": peer.unacknowledged,
        "unsettled": peer.unsettled,
    })
}

fn member_json(it: &MemberDescription) -> Value {
    json!({
        "name": it.name,
        "node": hex(&it.node),
        "incarnation": it.incarnation,
        "datagram": it.datagram,
        "state": member_state(it),
        "handler": it.handler,
        "for_seconds": seconds(it.since_micros),
        "load": it.load,
        "components": it.components,
    })
}

fn member_state(it: &MemberDescription) -> &'static str {
    match it.state() {
        MemberState::Up => "up",
        MemberState::Drains => "draining",
        MemberState::Suspect => "suspect",
        MemberState::Down => "down",
        MemberState::Unreachable => "unreachable",
        MemberState::Occupied => "busy",
        MemberState::Unspecified => "unknown",
    }
}

pub(crate) fn state(description: &Description) -> &'static str {
    match description.state() {
        NodeState::Starting => "starting",
        NodeState::Ready => "ready",
        NodeState::Draining => "draining",
        NodeState::Unspecified => "unknown",
    }
}

fn health(peer: &PeerDescription) -> &'static str {
    match peer.health() {
        PeerHealth::Alive => "alive",
        PeerHealth::Busy => "busy",
        PeerHealth::Silent => "silent",
        PeerHealth::Left => "left",
        PeerHealth::Unknown | PeerHealth::Unspecified => "not met yet",
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn seconds(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64()
}

fn since(micros: u64) -> String {
    format!("{:.1}s", seconds(micros))
}
