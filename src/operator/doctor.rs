//! `doctor`: what is wrong, and what to do.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use monofil_container::control::request::Verb;
use monofil_container::control::{
    BreakerState, Breakers, Description, MemberState, NodeState, ReadLimits,
};
use serde_json::json;

use super::network::{Network, Node, describe, description, hex};
use crate::commands::{print, print_json, table};
use crate::exit::{EXIT_FAILED, Failure};

/// How long counters are watched that are not zero: what grows meanwhile is wrong now.
const WATCHES: Duration = Duration::from_secs(1);

/// What is counted that should not happen: the counter, what that is, and what to do.
const COUNTED: [(&str, &str, &str); 5] = [
    (
        "monofil_loop_stalls_total",
        "handlers held its thread too long",
        "its log names them; move the work to `Context::blocking`",
    ),
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
];

/// Something that is wrong, or was.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    node: String,
    what: String,
    advice: &'static str,
}

/// What is wrong now, and what was since nodes began, and is not any more as far as can be seen.
#[derive(Debug, Default)]
struct Findings {
    now: Vec<Finding>,
    once: Vec<Finding>,
}

pub(super) fn doctor(network: &mut Network) -> Result<ExitCode, Failure> {
    let nodes = network.nodes();
    let mut asked = network.ask(&nodes, &describe(), description);
    let mut found = Findings::default();
    let departed = departed(&network.entry, asked.given.iter().map(|(_, it)| it));
    asked
        .failed
        .retain(|(node, _)| node.state != "left" && !departed.contains(&node.id));
    let count = asked.given.len() + asked.failed.len();
    let absent = asked.failed.iter().map(|(node, why)| absent(node, why));
    found.now.extend(absent);
    for (node, it) in &asked.given {
        examine(node, it, &mut found.now);
    }
    compare(&asked.given, &mut found.now);
    examine_limits(network, &nodes, &mut found.now);
    examine_breakers(network, &nodes, &mut found.now);
    examine_counters(network, &asked.given, &mut found);
    report(network, count, asked.left_out, &found)
}

/// Finds the members that are down and told any of the others, before they ended, that they would: as jobs do that are
/// done, and nodes that are stopped.
fn departed<'a>(
    entry: &Description,
    described: impl Iterator<Item = &'a Description>,
) -> BTreeSet<String> {
    let members = described.flat_map(|it| &it.members);
    let said: BTreeSet<_> = members
        .filter(|it| it.left)
        .map(|it| (&it.node, it.incarnation))
        .collect();
    let members = entry
        .members
        .iter()
        .filter(|it| it.state() == MemberState::Down && said.contains(&(&it.node, it.incarnation)));
    members.map(|it| hex(&it.node)).collect()
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
}

/// Counts what should not happen.
fn counted(it: &Description) -> [u64; COUNTED.len()] {
    COUNTED.map(|(name, ..)| {
        let counters = it.counters.iter().filter(|it| it.0.starts_with(name));
        counters.map(|(_, count)| count).sum()
    })
}

/// Looks twice at what should not happen: what did once may be long over.
fn examine_counters(
    network: &mut Network,
    described: &[(Node, Description)],
    found: &mut Findings,
) {
    let not_zero = described
        .iter()
        .map(|(node, it)| (node, counted(it)))
        .filter(|(_, counts)| counts.iter().any(|it| *it > 0));
    let (nodes, before): (Vec<Node>, Vec<_>) = not_zero
        .map(|(node, counts)| (node.clone(), counts))
        .unzip();
    if nodes.is_empty() {
        return;
    }
    thread::sleep(WATCHES);
    let again = network.ask(&nodes, &describe(), description).given;
    for (node, before) in nodes.iter().zip(before) {
        let after = again.iter().find(|(other, _)| other.id == node.id);
        let after = after.map_or(before, |(_, it)| counted(it));
        grown(&node.name, before, after, found);
    }
}

/// Says what has happened, and whether that was while somebody looked.
fn grown(
    node: &str,
    before: [u64; COUNTED.len()],
    after: [u64; COUNTED.len()],
    found: &mut Findings,
) {
    for ((_, what, advice), (before, after)) in COUNTED.iter().zip(before.into_iter().zip(after)) {
        let times = match after {
            1 => "once".to_owned(),
            _ => format!("{after} times"),
        };
        if after > before {
            let what = format!("{what}, {times}, and that goes on");
            found.now.push(finding(node, what, advice));
        } else if after > 0 {
            let what = format!("{what}, {times}");
            found.once.push(finding(node, what, advice));
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
    found: &Findings,
) -> Result<ExitCode, Failure> {
    let unlisted = network.unlisted();
    let Findings { now, once } = found;
    if network.common.json {
        let list = |found: &[Finding]| -> Vec<_> {
            let each = found.iter();
            each.map(|it| json!({ "node": it.node, "what": it.what, "advice": it.advice }))
                .collect()
        };
        print_json(&json!({
            "nodes_asked": asked,
            "nodes_left_out": not_asked as u64 + unlisted,
            "findings": list(now),
            "once": list(once),
        }))?;
        return Ok(code(now.is_empty()));
    }
    let mut parts = vec![match now.len() {
        0 => format!("{asked} nodes were asked, and nothing is wrong"),
        1 => format!("{asked} nodes were asked, and one thing is worth a look"),
        several => format!("{asked} nodes were asked, and {several} things are worth a look"),
    }];
    let most = network.common.most;
    parts.extend(listed(now, most));
    if !once.is_empty() {
        parts.push("since they began, but not while this looked:".to_owned());
        parts.extend(listed(once, most));
    }
    let more = now.len().saturating_sub(most) + once.len().saturating_sub(most);
    parts.extend(super::show::left_out(more, "findings"));
    parts.extend(super::show::left_out(
        not_asked + usize::try_from(unlisted).unwrap_or(usize::MAX),
        "nodes",
    ));
    print(&parts.join("\n\n"))?;
    Ok(code(now.is_empty()))
}

fn listed(found: &[Finding], most: usize) -> Option<String> {
    let mut table = table(&["node", "what", "what to do"]);
    for it in found.iter().take(most) {
        table.add_row([it.node.as_str(), it.what.as_str(), it.advice]);
    }
    (!found.is_empty()).then(|| table.trim_fmt())
}

fn code(ok: bool) -> ExitCode {
    match ok {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(EXIT_FAILED),
    }
}

#[cfg(test)]
mod tests {
    use monofil_container::control::MemberDescription;

    use super::*;

    #[test]
    fn what_goes_on_is_wrong_and_what_was_is_told() {
        let mut found = Findings::default();
        grown("a", [0, 2, 1, 0, 3], [0, 2, 1, 1, 5], &mut found);
        let said = |it: &[Finding]| it.iter().map(|it| it.what.clone()).collect::<Vec<_>>();
        assert_eq!(
            said(&found.now),
            [
                "there was no room for a member that came, once, and that goes on",
                "frames came that make no sense, 5 times, and that goes on"
            ]
        );
        assert_eq!(
            said(&found.once),
            [
                "handlers panicked, 2 times",
                "frames of another network came, once"
            ]
        );
    }

    #[test]
    fn who_said_that_it_leaves_is_not_missed() {
        let member = |node: u8, incarnation, state: MemberState, left| MemberDescription {
            node: vec![node],
            incarnation,
            state: state.into(),
            left,
            ..MemberDescription::default()
        };
        let seen_by = |members| Description {
            members,
            ..Description::default()
        };
        let entry = seen_by(vec![
            member(1, 7, MemberState::Down, false),
            member(2, 7, MemberState::Down, false),
            member(3, 8, MemberState::Down, false),
            member(4, 8, MemberState::Up, false),
            member(5, 7, MemberState::Down, true),
        ]);
        let other = seen_by(vec![
            member(1, 7, MemberState::Down, true),
            member(2, 7, MemberState::Down, false),
            // An earlier life of it did.
            member(3, 7, MemberState::Down, true),
            member(4, 7, MemberState::Down, true),
        ]);
        let left = departed(&entry, [&entry, &other].into_iter());
        assert_eq!(left.into_iter().collect::<Vec<_>>(), ["01", "05"]);
    }
}
