//! `call`: JSON in, JSON out, by what the component says of itself.

use std::process::ExitCode;

use monofil_container::control::Describe;
use monofil_container::control::request::Verb;
use monofil_transport::Endpoint;

use super::args::CallArgs;
use super::network::{Network, Node, client, description};
use crate::commands::call::{Call, Trouble, request_text, unanswered};
use crate::exit::{EXIT_CALL, Failure};

pub(super) fn call(network: &mut Network, args: &CallArgs) -> Result<ExitCode, Failure> {
    let Some((name, method)) = args.target.split_once('.') else {
        return Err(Failure::usage(format!("`{}` names no method", args.target))
            .note("write NAME.METHOD, as in payments.Charge; `monofil info NAME` lists methods"));
    };
    let component = network.qualified(name);
    let nodes = network.running(name)?;
    let mut reachable: Vec<&Node> = nodes.iter().filter(|it| it.is_there).collect();
    if reachable.iter().any(|it| it.state != "draining") {
        reachable.retain(|it| it.state != "draining");
    }
    let Some(first) = reachable.first() else {
        return Err(Failure::new(
            EXIT_CALL,
            format!("no node that runs `{component}` is there"),
        )
        .note("`monofil nodes` shows how they are"));
    };
    let verb = Verb::Describe(Describe { descriptors: true });
    let described = network.ask_one(first, &verb, description)?;
    let described = described
        .components
        .into_iter()
        .find(|it| it.name == component);
    let described = described.ok_or_else(|| {
        Failure::new(
            EXIT_CALL,
            format!("`{}` runs no `{component}` any more", first.name),
        )
    })?;
    let text = request_text(&args.request)?;
    let call = Call::described(&described, method, &text)?.with_deadline(network.common.within);
    let places = reachable
        .iter()
        .filter_map(|it| it.application.parse::<Endpoint>().ok());
    let mut client = client(places.map(|place| (component.as_str().into(), place)))?;
    let target = format!("{component} {}", call.method());
    match call.perform(&mut client) {
        Ok(()) | Err(Trouble::Unread) => Ok(ExitCode::SUCCESS),
        Err(Trouble::Output(failure)) => Err(failure),
        Err(Trouble::Call(error)) => Err(unanswered(&target, &error, network.common.json)),
    }
}
