//! `breakers`: looking at them, and forcing them.

use std::process::ExitCode;
use std::time::Duration;

use monofil_container::control::request::Verb;
use monofil_container::control::response::Result as Answer;
use monofil_container::control::{
    BreakerDescription, BreakerOrder, BreakerReport, BreakerState, Breakers,
};
use serde_json::{Value, json};

use super::args::{BreakerArgs, BreakersArgs};
use super::network::Network;
use super::show::{finish, left_out, short};
use crate::commands::table;
use crate::exit::{EXIT_CALL, Failure};

pub(super) fn breakers(network: &mut Network, args: &BreakersArgs) -> Result<ExitCode, Failure> {
    let (args, order) = match args {
        BreakersArgs::Ls(args) => (args, BreakerOrder::Unspecified),
        BreakersArgs::ForceOpen(args) => (args, BreakerOrder::ForceOpen),
        BreakersArgs::Disable(args) => (args, BreakerOrder::Disable),
        BreakersArgs::MetricsOnly(args) => (args, BreakerOrder::MetricsOnly),
        BreakersArgs::Reset(args) => (args, BreakerOrder::Reset),
    };
    let is_order = order != BreakerOrder::Unspecified;
    if is_order && args.callee.is_none() {
        return Err(Failure::usage("it is not said whose breakers")
            .note("name the component that is called; `monofil breakers ls` lists them"));
    }
    // An order about what nobody runs is a slip of the pen, and breakers are made by orders, too.
    if is_order {
        check(network, args)?;
    }
    show(network, args, order, is_order)
}

/// Fails if nobody runs what is named.
fn check(network: &Network, args: &BreakerArgs) -> Result<(), Failure> {
    let mut names = [&args.callee, &args.caller].into_iter().flatten();
    names.try_for_each(|name| network.running(name).map(|_| ()))
}

fn show(
    network: &mut Network,
    args: &BreakerArgs,
    order: BreakerOrder,
    is_order: bool,
) -> Result<ExitCode, Failure> {
    let whole = |name: &Option<String>| {
        name.as_deref()
            .map_or_else(String::new, |it| network.qualified(it))
    };
    let verb = Verb::Breakers(Breakers {
        caller: whole(&args.caller),
        callee: whole(&args.callee),
        order: order.into(),
    });
    let nodes: Vec<_> = network
        .nodes()
        .into_iter()
        .filter(|it| it.is_there)
        .collect();
    let asked = network.ask(&nodes, &verb, read);
    asked.check()?;
    let mut notes = super::show::left_out(asked.left_out, "nodes")
        .into_iter()
        .collect::<Vec<_>>();
    let failed = asked.failures();
    let mut rows = Vec::new();
    for (node, report) in asked.given {
        if report.left_out > 0 {
            let (name, more) = (&node.name, report.left_out);
            notes.push(format!("`{name}` has {more} breakers more than it lists"));
        }
        rows.extend(
            report
                .breakers
                .into_iter()
                .map(|it| (node.name.clone(), it)),
        );
    }
    if is_order && rows.is_empty() && failed.is_empty() {
        let callee = args.callee.as_deref().unwrap_or_default();
        let what = format!("nobody has called `{callee}` yet: there is no breaker");
        return Err(Failure::new(EXIT_CALL, what).note("a breaker is made by the first call"));
    }
    // Breakers outlive what is called, and programs that call run nothing: only what has none may be a slip.
    if rows.is_empty() {
        check(network, args)?;
    }
    let most = network.common.most;
    notes.extend(left_out(rows.len().saturating_sub(most), "breakers"));
    rows.truncate(most);
    let mut table = table(&[
        "node",
        "caller",
        "callee",
        "state",
        "for",
        "failed",
        "slow",
        "turned away",
        "why",
    ]);
    let mut values = Vec::new();
    for (node, it) in &rows {
        let ejected: Vec<_> = it
            .ejected
            .iter()
            .map(|it| format!("`{}` is out: {}", it.name, it.reason))
            .collect();
        let mut why = vec![it.reason.clone()];
        why.extend(ejected);
        why.extend(throttled(it));
        why.retain(|it| !it.is_empty());
        table.add_row([
            node.clone(),
            match it.caller.as_str() {
                "" => "-".to_owned(),
                caller => caller.to_owned(),
            },
            it.callee.clone(),
            word(it.state()).to_owned(),
            short(Duration::from_micros(it.since_micros)),
            format!("{} of {}", it.failures, it.calls),
            it.slow.to_string(),
            (it.rejected + it.throttled).to_string(),
            why.join("; "),
        ]);
        values.push(as_json(node, it));
    }
    if failed.is_empty() || !is_order {
        notes.extend(failed);
        return finish(network, &table, values, &notes);
    }
    finish(network, &table, values, &notes)?;
    let what = "the order did not reach every node";
    Err(failed
        .into_iter()
        .fold(Failure::new(EXIT_CALL, what), Failure::note))
}

/// Says how many calls are not sent because their callee has no room for them.
pub(super) fn throttled(it: &BreakerDescription) -> Option<String> {
    let percent = it.throttle_ppm.div_ceil(10_000);
    (percent > 0).then(|| {
        format!(
            "of 100 calls {percent} are not sent, because too many were rejected for want of room"
        )
    })
}

pub(super) fn read(answer: Answer) -> Option<BreakerReport> {
    match answer {
        Answer::Breakers(report) => Some(report),
        _ => None,
    }
}

pub(super) const fn word(state: BreakerState) -> &'static str {
    match state {
        BreakerState::Closed => "closed",
        BreakerState::Open => "open",
        BreakerState::HalfOpen => "half open",
        BreakerState::ForcedOpen => "forced open",
        BreakerState::Disabled => "disabled",
        BreakerState::MetricsOnly => "metrics only",
        BreakerState::Unspecified => "unknown",
    }
}

fn as_json(node: &str, it: &BreakerDescription) -> Value {
    let ejected = it.ejected.iter().map(|it| {
        json!({
            "name": it.name,
            "instance": it.instance,
            "reason": it.reason,
            "returns_in_seconds": it.returns_micros as f64 / 1e6,
        })
    });
    json!({
        "node": node,
        "caller": it.caller,
        "callee": it.callee,
        "state": word(it.state()),
        "reason": it.reason,
        "for_seconds": it.since_micros as f64 / 1e6,
        "calls": it.calls,
        "failures": it.failures,
        "slow": it.slow,
        "failures_in_a_row": it.failures_in_a_row,
        "rejected": it.rejected,
        "throttled": it.throttled,
        "permits_left": it.permits_left,
        "next_probe_in_seconds": it.next_probe_micros as f64 / 1e6,
        "retries_left": it.retries_left,
        "retries": it.retries,
        "throttle": f64::from(it.throttle_ppm) / 1e6,
        "ejected": ejected.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_throttle_is_told_of() {
        for (ppm, expected) in [(0, None), (1, Some("1")), (640_000, Some("64"))] {
            let described = BreakerDescription {
                throttle_ppm: ppm,
                ..BreakerDescription::default()
            };
            let said = throttled(&described);
            let expected = expected.map(|it| {
                format!("of 100 calls {it} are not sent, because too many were rejected for want of room")
            });
            assert_eq!(said, expected);
        }
    }
}
