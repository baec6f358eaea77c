//! `doctor`: what is wrong, and what to do.

use std::process::ExitCode;

use monofil_container::control::request::Verb;
use monofil_container::control::{
    BreakerState, Breakers, Description, MemberState, NodeState, ReadLimits,
};
use serde_json::json;

use super::network::{Network, Node, describe, description};
use crate::commands::{print, print_json, table};
use crate::exit::{EXIT_FAILED, Failure};

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    node: String,
    what: String,
    advice: &'static str,
}

pub(super) fn doctor(network: &mut Network) -> Result<ExitCode, Failure> {
    let nodes = network.nodes();
    let asked = network.ask(&nodes, &describe(), description);
    let count = asked.given.len() + asked.failed.len();
    let mut findings: Vec<_> = asked
        .failed
        .iter()
        .map(|(node, why)| absent(node, why))
        .collect();
    for (node, it) in &asked.given {
        examine(node, it, &mut findings);
    }
    compare(&asked.given, &mut findings);
    examine_limits(network, &nodes, &mut findings);
    examine_breakers(network, &nodes, &mut findings);
    report(network, count, asked.left_out, &findings)
}

fn finding(node: &str, what: String, advice: &'static str) -> Finding {
    Finding {
        node: node.to_owned(),
        what,
        advice,
    }
}

fn absent(node: &Node, why: &str) -> Finding {
    let advice = match node.state.as_str() {
        "down" => {
            "if it should be there, start it; if not, it is forgotten after `membership.forget_after`"
        }
        "unreachable" => "it lives: look at its `network.advertise`, and at what filters UDP",
        _ => "is its process there, and does TCP get through to its control plane?",
    };
    finding(&node.name, why.to_owned(), advice)
}

/// Looks at what a node says of itself.
fn examine(node: &Node, it: &Description, findings: &mut Vec<Finding>) {
    let mut add = |what: String, advice| findings.push(finding(&node.name, what, advice));
    match it.state() {
        NodeState::Starting => add(
            "has not started yet".to_owned(),
            "a component's `start` takes its time, or fails: read its log",
        ),
        NodeState::Draining => add(
            "drains: it takes nothing new".to_owned(),
            "start another one in its place, if that is not meant",
        ),
        NodeState::Ready | NodeState::Unspecified => {}
    }
    if node.state.starts_with("busy in") {
        add(
            format!("is {}", node.state),
            "that handler holds its thread: move the work to `Context::blocking`",
        );
    }
    if !it.not_joined.is_empty() {
        add(
            format!("is alone: {}", it.not_joined),
            "look at `network.seeds` and `network.name`",
        );
    }
    for component in &it.components {
        let name = &component.name;
        if component.state == "backing-off" {
            add(
                format!("{name} crashes again and again"),
                "read its log for the panic",
            );
        }
        // What is full is found by its limits.
        let (queued, most) = (component.queued_messages, component.queue_messages_max);
        if queued > 0 && queued < most && queued * 5 >= most * 4 {
            add(
                format!("the queue of {name} is nearly full: {queued} of {most}"),
                "it is slower than those who call it: `monofil limits get` and `monofil info` say more",
            );
        }
    }
    let stalls: u64 = it
        .counters
        .iter()
        .filter(|(name, _)| name.starts_with("monofil_loop_stalls_total"))
        .map(|(_, count)| count)
        .sum();
    if stalls > 0 {
        add(
            format!("handlers held its thread too long, {stalls} times"),
            "its log names them; move the work to `Context::blocking`",
        );
    }
    for (counter, what, advice) in [
        (
            "monofil_handlers_panicked_total",
            "handlers panicked",
            "its log has the place",
        ),
        (
            "monofil_frames_foreign_network_total",
            "frames of another network came",
            "somebody has another `network.name`",
        ),
        (
            "monofil_members_without_room_total",
            "there was no room for a member that came",
            "make `membership.members_max` more than there are nodes, on all of them",
        ),
        (
            "monofil_malformed_total",
            "frames came that make no sense",
            "who speaks to it that should not?",
        ),
    ] {
        let count: u64 = it
            .counters
            .iter()
            .filter(|(name, _)| name.starts_with(counter))
            .map(|(_, count)| count)
            .sum();
        if count > 0 {
            add(format!("{what}, {count} times"), advice);
        }
    }
}

const fn is_there(state: MemberState) -> bool {
    matches!(
        state,
        MemberState::Up | MemberState::Occupied | MemberState::Drains | MemberState::Suspect
    )
}

/// Looks at what nodes say of each other.
fn compare(described: &[(Node, Description)], findings: &mut Vec<Finding>) {
    let Some((first, by)) = described.first() else {
        return;
    };
    for (node, it) in described {
        if it.version != by.version {
            let what = format!(
                "is of release {}, `{}` of {}",
                it.version, first.name, by.version
            );
            findings.push(finding(
                &node.name,
                what,
                "finish the upgrade; neighbouring releases understand each other",
            ));
        }
        let others = |it: &Description| it.members.iter().filter(|it| is_there(it.state())).count();
        if others(it) != others(by) {
            let what = format!(
                "sees {} others, `{}` sees {}",
                others(it),
                first.name,
                others(by)
            );
            findings.push(finding(
                &node.name,
                what,
                "news takes a second or two; if it stays so, UDP does not get through everywhere",
            ));
        }
    }
}

/// Looks for what takes nothing, or nothing more.
fn examine_limits(network: &mut Network, nodes: &[Node], findings: &mut Vec<Finding>) {
    let verb = Verb::ReadLimits(ReadLimits {});
    let asked = network.ask(nodes, &verb, super::limits::read);
    for (node, limits) in asked.given {
        for it in &limits.limits {
            let Some((what, admits)) = super::limits::reached(it) else {
                continue;
            };
            let advice = match admits {
                0 => "`monofil limits set` changes it, if that is not meant",
                _ => {
                    "raise the limit, run one more, or call less: `monofil limits get` shows all of them"
                }
            };
            findings.push(finding(&node.name, what, advice));
        }
    }
}

fn examine_breakers(network: &mut Network, nodes: &[Node], findings: &mut Vec<Finding>) {
    let verb = Verb::Breakers(Breakers::default());
    // One that knows no breakers has none that are open.
    let asked = network.ask(nodes, &verb, super::breakers::read);
    for (node, report) in asked.given {
        for it in &report.breakers {
            if matches!(
                it.state(),
                BreakerState::Open | BreakerState::ForcedOpen | BreakerState::HalfOpen
            ) {
                let what = format!(
                    "the breaker from {} to {} is {}: {}",
                    it.caller,
                    it.callee,
                    super::breakers::word(it.state()),
                    it.reason
                );
                findings.push(finding(&node.name, what, "`monofil info` of the callee says how it is; `monofil breakers reset` closes it"));
            }
            if let Some(throttled) = super::breakers::throttled(it) {
                let caller = match it.caller.as_str() {
                    "" => "programs",
                    caller => caller,
                };
                let what = format!("calls from {caller} to {}: {throttled}", it.callee);
                findings.push(finding(
                    &node.name,
                    what,
                    "`monofil explain` of the callee names the limit: raise it, run one more, or call less",
                ));
            }
            for out in &it.ejected {
                let what = format!(
                    "calls of {} are kept from {} at `{}`: {}",
                    it.caller, it.callee, out.name, out.reason
                );
                findings.push(finding(&node.name, what, "look at that node"));
            }
        }
    }
}

fn report(
    network: &Network,
    asked: usize,
    not_asked: usize,
    findings: &[Finding],
) -> Result<ExitCode, Failure> {
    let unlisted = network.unlisted();
    if network.common.json {
        let findings: Vec<_> = findings
            .iter()
            .map(|it| json!({ "node": it.node, "what": it.what, "advice": it.advice }))
            .collect();
        let ok = findings.is_empty();
        print_json(
            &json!({ "nodes_asked": asked, "nodes_left_out": not_asked as u64 + unlisted, "findings": findings }),
        )?;
        return Ok(code(ok));
    }
    let mut parts = vec![match findings.len() {
        0 => format!("{asked} nodes were asked, and nothing is wrong"),
        1 => format!("{asked} nodes were asked, and one thing is worth a look"),
        several => format!("{asked} nodes were asked, and {several} things are worth a look"),
    }];
    if !findings.is_empty() {
        let mut table = table(&["node", "what", "what to do"]);
        for it in findings.iter().take(network.common.most) {
            table.add_row([it.node.as_str(), it.what.as_str(), it.advice]);
        }
        parts.push(table.trim_fmt());
    }
    let more = findings.len().saturating_sub(network.common.most);
    parts.extend(super::show::left_out(more, "findings"));
    parts.extend(super::show::left_out(
        not_asked + usize::try_from(unlisted).unwrap_or(usize::MAX),
        "nodes",
    ));
    print(&parts.join("\n\n"))?;
    Ok(code(findings.is_empty()))
}

fn code(ok: bool) -> ExitCode {
    match ok {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(EXIT_FAILED),
    }
}
