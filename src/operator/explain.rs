//! `explain`: where a call would go, and why not elsewhere.

use std::collections::BTreeMap;
use std::process::ExitCode;

use monofil_container::control::request::Verb;
use monofil_container::control::response::Result as Answer;
use monofil_container::control::{
    ComponentKind, Explain, Explanation, FullPlace, LimitDescription, ReadLimits,
};
use serde_json::{Value, json};

use super::args::ExplainArgs;
use super::network::{Network, hex};
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
    let full = full_now(network, &it);
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
        let now = full.get(&hex(&place.node));
        let reason = match now {
            Some(now) => format!("{}; it says itself: {now}", place.reason),
            None => place.reason.clone(),
        };
        places.add_row([
            place.name.clone(),
            instance,
            place.distance.clone(),
            place.load.to_string(),
            place.version.clone(),
            chosen.to_owned(),
            place.verdict.clone(),
            reason,
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
            "full_now": now,
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

/// Asks the places themselves whether they have room. Whoever explains knows only what it was told.
fn full_now(network: &mut Network, it: &Explanation) -> BTreeMap<String, String> {
    let places = it.places.iter().take(network.common.most);
    let elsewhere = places.filter(|place| place.distance != "process");
    let ids: Vec<_> = elsewhere.map(|place| hex(&place.node)).collect();
    let nodes: Vec<_> = network
        .nodes()
        .into_iter()
        .filter(|node| node.is_there && ids.contains(&node.id))
        .collect();
    let verb = Verb::ReadLimits(ReadLimits {});
    let asked = network.ask(&nodes, &verb, super::limits::read);
    let given = asked.given.into_iter();
    given
        .filter_map(|(node, limits)| Some((node.id, full_by(&limits.limits, &it.component)?)))
        .collect()
}

/// Says why a node has no room for a component: because of a limit of its own, or because no instance has any.
fn full_by(limits: &[LimitDescription], component: &str) -> Option<String> {
    let mut instances: BTreeMap<u32, Option<String>> = BTreeMap::new();
    for limit in limits {
        let reached = super::limits::reached(limit).map(|(what, _)| what);
        if limit.limit.starts_with("node.") && reached.is_some() {
            return reached;
        }
        if limit.r#where == component && !limit.limit.starts_with("flow.") {
            let known = instances.entry(limit.instance).or_default();
            *known = known.take().or(reached);
        }
    }
    let all: Option<Vec<_>> = instances.into_values().collect();
    all?.into_iter().next()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(
        limit: &str,
        place: &str,
        instance: u32,
        (value, observed): (u64, u64),
    ) -> LimitDescription {
        LimitDescription {
            limit: limit.to_owned(),
            r#where: place.to_owned(),
            instance,
            value: Some(value),
            observed,
            ..LimitDescription::default()
        }
    }

    #[test]
    fn a_place_is_full_when_all_its_instances_are() {
        let of = |instance, values| limit("instance.in_flight", "shop/a", instance, values);
        let other = limit("instance.in_flight", "shop/b", 0, (1, 1));
        let node = |values| limit("node.in_flight", "", 0, values);
        let full = Some("shop/a is full: instance.in_flight is 1, and 1 is there");
        let table: [(&[LimitDescription], Option<&str>); 7] = [
            (&[], None),
            (&[of(0, (1, 0)), other.clone()], None),
            (&[of(0, (1, 1))], full),
            (&[of(0, (1, 1)), of(1, (1, 0))], None),
            (&[of(0, (1, 1)), of(1, (2, 2))], full),
            (
                &[of(0, (1, 0)), node((5, 6))],
                Some("the node is full: node.in_flight is 5, and 6 is there"),
            ),
            (
                &[limit("network.rate_messages", "shop/a", 0, (0, 0))],
                Some("shop/a takes nothing: network.rate_messages is 0"),
            ),
        ];
        for (number, (limits, expected)) in table.into_iter().enumerate() {
            let got = full_by(limits, "shop/a");
            assert_eq!(got.as_deref(), expected, "row {number}");
        }
    }
}
