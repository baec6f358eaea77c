//! `explain`: where a call would go, and why not elsewhere.

use std::process::ExitCode;

use monofil_container::control::request::Verb;
use monofil_container::control::response::Result as Answer;
use monofil_container::control::{ComponentKind, Explain};
use serde_json::json;

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
    let it = network.ask_one(&node, &verb, |answer| match answer {
        Answer::Explanation(it) => Some(it),
        _ => None,
    })?;
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
