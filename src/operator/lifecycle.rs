//! `drain` and `stop`.

use std::process::ExitCode;

use monofil_container::control::request::Verb;
use monofil_container::control::response::Result as Answer;
use monofil_container::control::{Drain, Stop};
use serde_json::json;

use super::args::{DrainArgs, StopArgs};
use super::network::Network;
use crate::commands::{print, print_json};
use crate::exit::Failure;

pub(super) fn drain(network: &mut Network, args: &DrainArgs) -> Result<ExitCode, Failure> {
    order(
        network,
        &args.node,
        &Verb::Drain(Drain {}),
        "drains: it takes nothing new, and stays",
    )
}

pub(super) fn stop(network: &mut Network, args: &StopArgs) -> Result<ExitCode, Failure> {
    let micros = args
        .patience
        .map_or(0, |it| u64::try_from(it.as_micros()).unwrap_or(u64::MAX));
    let verb = Verb::Stop(Stop {
        within_micros: micros,
        now: args.now,
    });
    let what = match args.now {
        true => "ends at once",
        false => "drains, and ends then",
    };
    order(network, &args.node, &verb, what)
}

fn order(network: &mut Network, name: &str, verb: &Verb, what: &str) -> Result<ExitCode, Failure> {
    let node = network.node(name)?;
    network.ask_one(&node, verb, |answer| match answer {
        Answer::Accepted(_) => Some(()),
        _ => None,
    })?;
    if network.common.json {
        return print_json(&json!({ "node": node.name, "accepted": true }));
    }
    print(&format!("`{}` {what}", node.name))
}
