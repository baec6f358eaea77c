//! `limits`: reading them, and changing them.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use monofil_container::control::request::Verb;
use monofil_container::control::response::Result as Answer;
use monofil_container::control::{LimitDescription, LimitTo, Limits, ReadLimits, SetLimit};
use monofil_container::{Limit, LimitError};
use rustix::process::geteuid;
use serde_json::{Value, json};

use super::args::LimitsArgs;
use super::network::{Network, Node};
use super::saved::Saved;
use super::show::{finish, left_out, short};
use crate::commands::table;
use crate::config::{parse_count, parse_size, parse_time, show_size, show_time};
use crate::exit::{EXIT_CALL, Failure};
use crate::suggest;

pub(super) fn limits(network: &mut Network, args: &LimitsArgs) -> Result<ExitCode, Failure> {
    match args {
        LimitsArgs::Get { what, all } => get(network, what.as_deref(), *all),
        LimitsArgs::Set {
            what,
            value,
            lasts,
            save,
            author,
        } => {
            let (what, limit) = split(what)?;
            let (to, value) = read_value(limit, value)?;
            let what = What::of(what)?;
            what.check(limit, to)?;
            let nodes = what.nodes(network)?;
            let mut verb = SetLimit {
                limit: limit.as_str().to_owned(),
                to: to.into(),
                value,
                for_micros: lasts.map_or(0, |it| u64::try_from(it.as_micros()).unwrap_or(u64::MAX)),
                author: author.clone().unwrap_or_else(whoever),
                ..SetLimit::default()
            };
            match what {
                What::Component(name) => verb.component = network.qualified(name),
                What::Network(name) => verb.network = network.qualified(name),
                What::Flow(name) => verb.flow = name.to_owned(),
                What::Node(_) => verb.node = true,
            }
            let saved = save.as_deref();
            let saved = saved.map(|path| what.saved(path, limit, (to, value)));
            set(network, &nodes, verb, saved.transpose()?)
        }
    }
}

/// Whose limits are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What<'a> {
    Component(&'a str),
    /// All instances of this component together.
    Network(&'a str),
    /// One of this name; `*`: every one.
    Node(&'a str),
    /// At every node.
    Flow(&'a str),
}

impl<'a> What<'a> {
    /// Reads whose limits are meant. A name that is not there, as of a shell's variable that is not set, is an error:
    /// to a node, the limit of a flow without a name would be its own.
    fn of(text: &'a str) -> Result<Self, Failure> {
        let (what, name) = match text.split_once(':') {
            Some(("node", name)) => (Self::Node(name), name),
            Some(("network", name)) => (Self::Network(name), name),
            Some(("flow", name)) => (Self::Flow(name), name),
            _ => (Self::Component(text), text),
        };
        if name.trim().is_empty() {
            return Err(
                Failure::usage(format!("`{text}` does not say whose limits are meant"))
                    .note("name a component, as in payments, or network:payments, node:host-a or flow:checkout"),
            );
        }
        Ok(what)
    }

    fn nodes(self, network: &Network) -> Result<Vec<Node>, Failure> {
        match self {
            Self::Component(name) | Self::Network(name) => network.running(name),
            Self::Node("*") | Self::Flow(_) => Ok(network
                .nodes()
                .into_iter()
                .filter(|it| it.is_there)
                .collect()),
            Self::Node(name) => network.node(name).map(|node| vec![node]),
        }
    }

    /// Refuses what no node would do, before any is asked.
    fn check(self, limit: Limit, to: LimitTo) -> Result<(), Failure> {
        let is_queue = matches!(limit, Limit::QueueMessages | Limit::QueueBytes);
        let why = match self {
            Self::Node(_) | Self::Flow(_) | Self::Network(_) if limit == Limit::QueueTime => {
                LimitError::OnlyOfComponents
            }
            Self::Component(_) | Self::Node(_) if is_queue && to == LimitTo::Unlimited => {
                LimitError::AlwaysLimited(limit)
            }
            _ => return Ok(()),
        };
        Err(Failure::usage(why.to_string()))
    }

    /// Finds where it is in a configuration file, and puts a value there.
    fn saved(self, path: &Path, limit: Limit, to: (LimitTo, u64)) -> Result<Saved, Failure> {
        // Numbers in such a file have a sign.
        let number = |value| {
            let most = i64::MAX;
            let what = format!("{value} cannot be saved: in a file there is room for {most}");
            i64::try_from(value).map_err(|_| Failure::usage(what))
        };
        let value = match to {
            (LimitTo::Value, value) => Some(match limit {
                Limit::QueueBytes | Limit::RateBytes => show_size(value).into(),
                Limit::QueueTime => show_time(Duration::from_micros(value)).into(),
                _ => number(value)?.into(),
            }),
            (LimitTo::Unlimited, _) => None,
            _ => {
                let what =
                    "`configured` is what a configuration says, and cannot be saved into one";
                return Err(Failure::usage(what));
            }
        };
        // A file is of one app.
        let own = |name: &'a str| name.rsplit_once('/').map_or(name, |(_, name)| name);
        let (tables, key) = match self {
            Self::Component(name) => (vec!["components", own(name)], limit.to_string()),
            Self::Network(name) => (vec!["components", own(name)], format!("network_{limit}")),
            Self::Node(_) => (vec!["node"], limit.to_string()),
            Self::Flow(name) => (vec!["flows", name], limit.to_string()),
        };
        Saved::prepare(path, &tables, &key, value)
    }

    fn covers(self, network: &Network, limit: &LimitDescription) -> bool {
        match self {
            Self::Component(name) => {
                limit.limit.starts_with("instance.") && limit.r#where == network.qualified(name)
            }
            Self::Network(name) => {
                limit.limit.starts_with("network.") && limit.r#where == network.qualified(name)
            }
            Self::Node(_) => limit.limit.starts_with("node."),
            Self::Flow(name) => limit.limit.starts_with("flow.") && limit.r#where == name,
        }
    }
}

/// Reads `WHAT.LIMIT`.
fn split(text: &str) -> Result<(&str, Limit), Failure> {
    let names = Limit::ALL.map(Limit::as_str);
    let all = format!("limits are {}", suggest::list(&names, "and"));
    let Some((what, name)) = text.rsplit_once('.') else {
        return Err(Failure::usage(format!("`{text}` names no limit"))
            .note("write WHAT.LIMIT, as in payments.queue_messages, network:payments.in_flight, node:host-a.in_flight or flow:checkout.rate_messages")
            .note(all));
    };
    let limit = Limit::named(name).ok_or_else(|| {
        Failure::usage(format!("there is no limit `{name}`"))
            .maybe(suggest::did_you_mean(name, names))
            .note(&all)
    })?;
    Ok((what, limit))
}

fn read_value(limit: Limit, text: &str) -> Result<(LimitTo, u64), Failure> {
    let value = match (text, limit) {
        ("unlimited", _) => return Ok((LimitTo::Unlimited, 0)),
        ("configured", _) => return Ok((LimitTo::Configured, 0)),
        (_, Limit::QueueBytes | Limit::RateBytes) => parse_size(text),
        (_, Limit::QueueTime) => parse_time(text).and_then(|it| match it.as_micros() {
            0 if !it.is_zero() => Err(format!("`{text}` is too short: 1us is the shortest")),
            micros => Ok(u64::try_from(micros).unwrap_or(u64::MAX)),
        }),
        _ => parse_count(text),
    };
    let value = value.map_err(|why| Failure::usage(why).note("or `unlimited`, or `configured`"))?;
    Ok((LimitTo::Value, value))
}

fn show_value(limit: &str, value: Option<u64>) -> String {
    match (
        limit
            .rsplit_once('.')
            .and_then(|(_, name)| Limit::named(name)),
        value,
    ) {
        (_, None) => "-".to_owned(),
        (Some(Limit::QueueBytes | Limit::RateBytes), Some(value)) => show_size(value),
        (Some(Limit::QueueTime), Some(value)) => show_time(Duration::from_micros(value)),
        (_, Some(value)) => value.to_string(),
    }
}

/// Says who changes a limit, for want of a better name.
fn whoever() -> String {
    let named = ["USER", "LOGNAME"]
        .into_iter()
        .find_map(|it| std::env::var(it).ok());
    let named = named.filter(|name| !name.is_empty());
    named.unwrap_or_else(|| format!("user {}", geteuid().as_raw()))
}

fn get(network: &mut Network, what: Option<&str>, all: bool) -> Result<ExitCode, Failure> {
    let what = what.map(What::of).transpose()?;
    let nodes = what.unwrap_or(What::Node("*")).nodes(network)?;
    let asked = network.ask(&nodes, &Verb::ReadLimits(ReadLimits {}), read);
    asked.check()?;
    let mut notes = asked.notes();
    let mut rows = Vec::new();
    for (node, limits) in asked.given {
        if limits.left_out > 0 {
            let (name, more) = (&node.name, limits.left_out);
            notes.push(format!("`{name}` has {more} limits more than it lists"));
        }
        let wanted = limits.limits.into_iter().filter(|it| {
            let covered = what.is_none_or(|what| what.covers(network, it));
            covered && (all || it.value.is_some() || it.epoch > 0)
        });
        rows.extend(wanted.map(|it| (node.name.clone(), it)));
    }
    if let (Some(What::Flow(name)), true, true) = (what, rows.is_empty(), notes.is_empty()) {
        return Err(Failure::usage(format!("no node limits a flow `{name}`"))
            .note("`monofil limits get` lists all limits that are set"));
    }
    rows.sort_by(|(a, _), (b, _)| a.cmp(b));
    show(network, rows, notes)
}

fn set(
    network: &mut Network,
    nodes: &[Node],
    verb: SetLimit,
    saved: Option<Saved>,
) -> Result<ExitCode, Failure> {
    let asked = network.ask(nodes, &Verb::SetLimit(verb), read);
    let failures = asked.notes();
    let of_node = |(node, limits): (Node, Limits)| {
        let limits = limits.limits.into_iter();
        limits.map(move |it| (node.name.clone(), it))
    };
    let undone = asked.failed.len() + asked.left_out;
    let mut rows: Vec<_> = asked.given.into_iter().flat_map(of_node).collect();
    rows.sort_by(|(a, _), (b, _)| a.cmp(b));
    // What did not reach every node it was meant for is not what they are to begin with.
    let saved = saved.filter(|_| undone == 0).map(Saved::write);
    let notes = saved.iter().flatten().cloned().collect();
    if !rows.is_empty() {
        show(network, rows, notes)?;
    }
    saved.transpose()?;
    if undone == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    let what = match nodes.len() {
        1 => "the limit was not changed".to_owned(),
        all => format!("the limit was not changed at {undone} of {all} nodes"),
    };
    Err(failures
        .into_iter()
        .fold(Failure::new(EXIT_CALL, what), Failure::note))
}

/// Says of a limit that it is reached, if it is, and how much it admits.
pub(super) fn reached(it: &LimitDescription) -> Option<(String, u64)> {
    let limit = &it.limit;
    let (scope, kind) = limit.split_once('.')?;
    let of = match (scope, it.r#where.as_str()) {
        ("flow", name) => format!("flow `{name}`"),
        (_, "") => "the node".to_owned(),
        (_, name) => name.to_owned(),
    };
    let value = it.value?;
    // Of rates nothing is there, and how long messages stand in a queue is no matter of how many there are. Of what all
    // in the network have together one does not see how much there is.
    let counts =
        matches!(kind, "queue_messages" | "queue_bytes" | "in_flight") && scope != "network";
    if value == 0 && Limit::named(kind).is_some_and(Limit::closes) {
        return Some((format!("{of} takes nothing: {limit} is 0"), 0));
    }
    (value > 0 && counts && it.observed >= value).then(|| {
        let (value, observed) = (
            show_value(limit, it.value),
            show_value(limit, Some(it.observed)),
        );
        let what = format!("{of} is full: {limit} is {value}, and {observed} is there");
        (what, it.value.unwrap_or_default())
    })
}

pub(super) fn read(answer: Answer) -> Option<Limits> {
    match answer {
        Answer::Limits(limits) => Some(limits),
        _ => None,
    }
}

fn show(
    network: &Network,
    mut rows: Vec<(String, LimitDescription)>,
    mut notes: Vec<String>,
) -> Result<ExitCode, Failure> {
    let most = network.common.most;
    notes.extend(left_out(rows.len().saturating_sub(most), "limits"));
    rows.truncate(most);
    let mut table = table(&[
        "node",
        "limit",
        "of",
        "value",
        "at the start",
        "now",
        "changed",
    ]);
    let mut values = Vec::new();
    for (node, it) in rows {
        let is_rate = it.limit.contains(".rate_");
        let now = (!is_rate).then_some(it.observed);
        let changed = match (it.epoch, it.remaining_micros) {
            (0, _) => "-".to_owned(),
            (epoch, 0) => format!("{epoch}: by {}", it.author),
            (epoch, micros) => {
                let remaining = short(Duration::from_micros(micros));
                format!("{epoch}: by {}, for {remaining} more", it.author)
            }
        };
        let of = match it.instance {
            _ if it.r#where.is_empty() => "-".to_owned(),
            0 => it.r#where.clone(),
            instance => format!("{} ({instance})", it.r#where),
        };
        table.add_row([
            node.clone(),
            it.limit.clone(),
            of,
            show_value(&it.limit, it.value),
            show_value(&it.limit, it.configured),
            show_value(&it.limit, now),
            changed,
        ]);
        values.push(as_json(&node, &it));
    }
    finish(network, &table, values, &notes)
}

fn as_json(node: &str, it: &LimitDescription) -> Value {
    json!({
        "node": node,
        "limit": it.limit,
        "where": it.r#where,
        "instance": it.instance,
        "value": it.value,
        "configured": it.configured,
        "observed": it.observed,
        "epoch": it.epoch,
        "author": it.author,
        "changed_at": it.changed_micros as f64 / 1e6,
        "remaining_seconds": it.remaining_micros as f64 / 1e6,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_meant() {
        for (text, what, limit) in [
            (
                "payments.queue_messages",
                What::Component("payments"),
                Limit::QueueMessages,
            ),
            (
                "network:payments.in_flight",
                What::Network("payments"),
                Limit::InFlight,
            ),
            (
                "shop/payments.in_flight",
                What::Component("shop/payments"),
                Limit::InFlight,
            ),
            ("node:a.b.rate_bytes", What::Node("a.b"), Limit::RateBytes),
            (
                "flow:check.out.queue_bytes",
                What::Flow("check.out"),
                Limit::QueueBytes,
            ),
        ] {
            let (got, found) = split(text).expect("a limit");
            assert_eq!((What::of(got).ok(), found), (Some(what), limit), "{text}");
        }
        for text in ["flow:", "flow: ", "node:", "network:\t", "", " "] {
            assert!(What::of(text).is_err(), "{text}");
        }
        assert!(split("payments").is_err());
        assert!(split("payments.depth").is_err());
    }

    #[test]
    fn what_no_node_would_do() {
        let (value, unlimited) = (LimitTo::Value, LimitTo::Unlimited);
        for (what, limit, to, is_right) in [
            (What::Component("a"), Limit::QueueTime, value, true),
            (What::Network("a"), Limit::QueueTime, value, false),
            (What::Node("*"), Limit::QueueTime, unlimited, false),
            (What::Flow("a"), Limit::QueueTime, value, false),
            (What::Component("a"), Limit::QueueBytes, unlimited, false),
            (What::Node("a"), Limit::QueueMessages, unlimited, false),
            (What::Flow("a"), Limit::QueueMessages, unlimited, true),
            (What::Network("a"), Limit::QueueBytes, unlimited, true),
            (What::Node("a"), Limit::InFlight, unlimited, true),
        ] {
            assert_eq!(what.check(limit, to).is_ok(), is_right, "{what:?} {limit}");
        }
    }

    #[test]
    fn values_are_in_the_unit_of_their_limit() {
        let value = |limit, text| read_value(limit, text).ok();
        assert_eq!(
            value(Limit::QueueMessages, "100"),
            Some((LimitTo::Value, 100))
        );
        assert_eq!(value(Limit::QueueMessages, "5ms"), None);
        assert_eq!(
            value(Limit::RateBytes, "2KiB"),
            Some((LimitTo::Value, 2048))
        );
        assert_eq!(value(Limit::QueueTime, "5ms"), Some((LimitTo::Value, 5000)));
        assert_eq!(value(Limit::QueueTime, "5"), None);
        assert_eq!(value(Limit::QueueTime, "500ns"), None);
        assert_eq!(value(Limit::QueueTime, "1us"), Some((LimitTo::Value, 1)));
        assert_eq!(
            value(Limit::InFlight, "unlimited"),
            Some((LimitTo::Unlimited, 0))
        );
        assert_eq!(show_value("instance.queue_time", Some(5000)), "5ms");
        assert_eq!(show_value("node.queue_bytes", Some(2048)), "2KiB");
        assert_eq!(show_value("node.in_flight", None), "-");
    }

    #[test]
    fn what_is_reached() {
        let limit = |limit: &str, place: &str, value, observed| LimitDescription {
            limit: limit.to_owned(),
            r#where: place.to_owned(),
            value,
            observed,
            ..LimitDescription::default()
        };
        for (it, expected) in [
            (limit("instance.in_flight", "shop/a", None, 7), None),
            (limit("instance.in_flight", "shop/a", Some(8), 7), None),
            (
                limit("instance.in_flight", "shop/a", Some(7), 7),
                Some("shop/a is full: instance.in_flight is 7, and 7 is there"),
            ),
            (
                limit("flow.queue_bytes", "audit", Some(1024), 2048),
                Some("flow `audit` is full: flow.queue_bytes is 1KiB, and 2KiB is there"),
            ),
            (
                limit("node.rate_messages", "", Some(0), 0),
                Some("the node takes nothing: node.rate_messages is 0"),
            ),
            // One message may wait, however few bytes may.
            (limit("instance.queue_bytes", "shop/a", Some(0), 0), None),
            // What waits for long is not what is full, and of what all have together one does not see all.
            (limit("instance.queue_time", "shop/a", Some(5), 9), None),
            (limit("network.in_flight", "shop/a", Some(5), 9), None),
        ] {
            let name = format!("{it:?}");
            let said = reached(&it).map(|(what, _)| what);
            assert_eq!(said.as_deref(), expected, "{name}");
        }
    }
}
