//! `explain`: where a call would go, and why not elsewhere.

use std::process::ExitCode;

use monofil_container::control::request::Verb;
use monofil_container::control::response::Result as Answer;
use monofil_container::control::{ComponentKind, Explain, FullPlace};
use serde_json::{Value, json};

use super::args::ExplainArgs;
use super::network::Network;
use crate::commands::{print, print_json, table};
use crate::exit::Failure;

pub(super) fn explain(network: &mut Network, args: &ExplainArgs) -> Result<ExitCode, Failure> {
    let node = match &args.from {
        Some(name) => network.node(name)?,
        None => network.nodes().swap_remove(0),
    };
    let verb = Verb::Explain(Explain {
        component: network.qualified(&args.component),
        caller: args
            .caller
            .as_deref()
            .map_or_else(String::new, |it| network.qualified(it)),
        key: args.key.clone().unwrap_or_default().into_bytes(),
        flow: args.flow.clone().unwrap_or_default(),
    });
    if let Some(caller) = &args.caller {
        network.running(caller)?;
    }
    let it = network.ask_one(&node, &verb, |answer| match answer {
        Answer::Explanation(it) => Some(it),
        _ => None,
    })?;
    // What nobody runs or ran is a slip of the pen.
    if it.places.is_empty() {
        network.running(&args.component)?;
    }
    let kind = match it.kind() {
        ComponentKind::Single => "single",
        ComponentKind::Keyed => "keyed",
        ComponentKind::Stateless => "stateless",
        ComponentKind::Unspecified => "of unknown kind",
    };
    let mut places = table(&[
        "node", "instance", "distance", "load", "version", "chosen", "verdict", "why",
    ]);
    let mut values = Vec::new();
    for place in it.places.iter().take(network.common.most) {
        let instance = match (place.distance.as_str(), place.instances) {
            ("process", _) => place.instance.to_string(),
            (_, 0) => "-".to_owned(),
            (_, several) => format!("{several} there"),
        };
        let chosen = if place.chosen { "yes" } else { "-" };
        places.add_row([
            place.name.clone(),
            instance,
            place.distance.clone(),
            place.load.to_string(),
            place.version.clone(),
            chosen.to_owned(),
            place.verdict.clone(),
            place.reason.clone(),
        ]);
        values.push(json!({
            "node": place.name,
            "instance": place.instance,
            "instances": place.instances,
            "distance": place.distance,
            "load": place.load,
            "version": place.version,
            "chosen": place.chosen,
            "verdict": place.verdict,
            "reason": place.reason,
            "full": place.full.as_ref().map(as_json),
        }));
    }
    let shown = values.len() as u64;
    let left_out = it.left_out + it.places.len() as u64 - shown;
    if network.common.json {
        return print_json(&json!({
            "component": it.component,
            "kind": kind,
            "from": node.name,
            "outcome": it.outcome,
            "places": values,
            "left_out": left_out,
        }));
    }
    let head = format!(
        "a call to {} ({kind}) from node `{}`: {}",
        it.component, node.name, it.outcome
    );
    let mut parts = vec![head];
    if shown > 0 {
        parts.push(places.trim_fmt());
    }
    if left_out > 0 {
        parts.push(format!(
            "{left_out} more places are left out; --most shows more"
        ));
    }
    print(&parts.join("\n\n"))
}

fn as_json(full: &FullPlace) -> Value {
    json!({
        "limit": full.limit,
        "value": full.value,
        "observed": full.observed,
        "where": full.r#where,
        "seconds_ago": full.since_micros as f64 / 1e6,
        "retry_after_seconds": full.retry_after_micros as f64 / 1e6,
    })
}
