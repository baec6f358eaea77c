//! The operator's client: one program for any running network.
//!
//! ```text
//!   monofil ──▶ a seed that is alive: who is there? ──▶ the control planes of those a command is about
//! ```
//!
//! It is no member and offers nothing: it opens connections, asks, and is gone. What a node answers is what that node
//! knows; the seed that answered first is the one whose view of the network is shown.

mod args;
mod breakers;
mod call;
mod doctor;
mod explain;
mod lifecycle;
mod limits;
mod network;
mod saved;
mod show;

use std::process::ExitCode;

use clap::Parser;

pub(crate) use self::args::SEED_VARIABLE;
use self::args::{Cli, Command};
use self::network::Network;
use crate::exit::Failure;

/// Reads the command line, does what it says, and says how that went.
#[must_use]
pub fn main() -> ExitCode {
    let done = Cli::try_parse().map_err(|error| args::mistake(&error));
    match done.and_then(|cli| run(&cli)) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

fn run(cli: &Cli) -> Result<ExitCode, Failure> {
    crate::logging::start(&cli.common.log_level, crate::config::LogFormat::Auto)?;
    let mut network = Network::enter(&cli.common)?;
    let network = &mut network;
    match &cli.command {
        Command::Nodes => show::nodes(network),
        Command::Components => show::components(network),
        Command::Info(args) => show::info(network, args),
        Command::Call(args) => call::call(network, args),
        Command::Limits(args) => limits::limits(network, args),
        Command::Breakers(args) => breakers::breakers(network, args),
        Command::Explain(args) => explain::explain(network, args),
        Command::Drain(args) => lifecycle::drain(network, args),
        Command::Stop(args) => lifecycle::stop(network, args),
        Command::Doctor => doctor::doctor(network),
    }
}
