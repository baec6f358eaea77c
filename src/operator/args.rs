//! The command line of `monofil`.

use std::path::PathBuf;
use std::process::exit;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};
use monofil_transport::Endpoint;

use crate::Name;
use crate::config::parse_time;
use crate::exit::Failure;

/// Where seeds are found when no flag says.
pub(crate) const SEED_VARIABLE: &str = "MONOFIL_SEED";

/// Looks into a running network, and acts on it
#[derive(Parser, Debug)]
#[command(
    name = "monofil",
    version = concat!("(monofil ", env!("CARGO_PKG_VERSION"), ")"),
    disable_help_subcommand = true,
    after_help = "Example: monofil nodes --seed 10.0.0.5:7700\n\n\
        Exit codes: 0 well, 1 the component answered with an error or doctor found something, 2 usage,\n\
        3 no seed answered, 4 a node gave no answer or refused."
)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What every command takes.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Common options")]
pub(super) struct Common {
    /// Enter the network by the node that listens there: HOST:PORT, or an endpoint. Any one that is alive will do;
    /// several may be given. Or set MONOFIL_SEED, with commas between them
    #[arg(long, global = true, value_name = "HOST:PORT", value_parser = parse_seed)]
    pub(super) seed: Vec<Endpoint>,
    /// Write output as JSON
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// How long to wait for each answer
    #[arg(long, global = true, value_name = "DURATION", default_value = "3s", value_parser = parse_time)]
    pub(super) within: Duration,
    /// Ask so many nodes at most, and show so many lines; what is left out is counted
    #[arg(long, global = true, value_name = "NUMBER", default_value_t = 100)]
    pub(super) most: usize,
    /// What is said besides: error, warn, info, debug, trace
    #[arg(long, global = true, value_name = "LEVEL", default_value = "error")]
    pub(super) log_level: String,
}

impl Common {
    /// Returns where to enter.
    pub(super) fn seeds(&self) -> Result<Vec<Endpoint>, Failure> {
        if !self.seed.is_empty() {
            return Ok(self.seed.clone());
        }
        let text = std::env::var(SEED_VARIABLE).unwrap_or_default();
        let seeds = text.split(',').map(str::trim).filter(|it| !it.is_empty());
        let seeds: Result<Vec<_>, _> = seeds.map(parse_seed).collect();
        match seeds {
            Ok(seeds) if seeds.is_empty() => Err(Failure::usage("it is not said where the network is")
                .note(format!("give the address of any node: --seed HOST:PORT, or {SEED_VARIABLE}=HOST:PORT"))
                .note("it is what that node says after `endpoint=` when it starts, and what others `--join`")),
            Ok(seeds) => Ok(seeds),
            Err(why) => Err(Failure::usage(why).note(format!("in the environment variable {SEED_VARIABLE}"))),
        }
    }
}

/// Reads `HOST:PORT` as an endpoint, or an endpoint as it is.
fn parse_seed(text: &str) -> Result<Endpoint, String> {
    let whole = match text.contains("://") {
        true => text.to_owned(),
        false => format!("tcp://{text}"),
    };
    let endpoint: Result<Endpoint, _> = whole.parse();
    endpoint.map_err(|error| format!("{error}; write HOST:PORT, tcp://HOST:PORT or ipc:///PATH"))
}

#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// List the nodes, how they are and what they run
    #[command(after_help = "Example: monofil nodes --seed 10.0.0.5:7700")]
    Nodes,
    /// List the instances of all components, and how they do
    #[command(after_help = "Example: monofil components --json")]
    Components,
    /// Show all about a component or a node
    #[command(after_help = "Example: monofil info payments")]
    Info(InfoArgs),
    /// Call a component, with JSON in and JSON out
    #[command(after_help = "Example: monofil call payments.Charge '{\"order\": 7}'")]
    Call(CallArgs),
    /// Read and change limits
    #[command(subcommand)]
    Limits(LimitsArgs),
    /// Look at circuit breakers, and force them
    #[command(subcommand)]
    Breakers(BreakersArgs),
    /// Say where a call would go now, and why not elsewhere
    #[command(after_help = "Example: monofil explain payments --from orders")]
    Explain(ExplainArgs),
    /// Let a node finish what it has and take nothing new
    #[command(after_help = "Example: monofil drain payments")]
    Drain(DrainArgs),
    /// Let a node finish what it has and end
    #[command(after_help = "Example: monofil stop payments --patience 30s")]
    Stop(StopArgs),
    /// Look for what is wrong, and say what to do
    #[command(after_help = "Example: monofil doctor; it ends with 1 if it finds something")]
    Doctor,
}

#[derive(Args, Debug)]
pub(super) struct InfoArgs {
    /// A component, with or without its app's name, or a node; `node:NAME` where both are called the same
    pub(super) name: String,
}

#[derive(Args, Debug)]
pub(super) struct CallArgs {
    /// payments.Charge, or shop/payments.shop.Payments/Charge
    #[arg(value_name = "NAME.METHOD")]
    pub(super) target: String,
    /// The request; `-` reads it from standard input
    #[arg(value_name = "JSON", default_value = "{}")]
    pub(super) request: String,
}

#[derive(Subcommand, Debug)]
pub(super) enum LimitsArgs {
    /// Show limits, and how near they are
    #[command(after_help = "Example: monofil limits get payments")]
    Get {
        /// A component, `network:COMPONENT`, `node:NAME` or `flow:NAME`; everything if nothing is named
        #[arg(value_name = "WHAT")]
        what: Option<String>,
        /// Also those that are not set
        #[arg(long)]
        all: bool,
    },
    /// Change a limit, from the next message on
    #[command(after_help = "\
Examples: monofil limits set payments.queue_messages 100 --for 10m
          monofil limits set flow:checkout.rate_messages 500
          monofil limits set node:host-a.in_flight unlimited

Limits are queue_messages, queue_bytes, in_flight, rate_messages, rate_bytes and, of components, queue_time.
Without --for it stays until the node ends; --save FILE keeps it, for nodes that read FILE.")]
    Set {
        /// WHAT.LIMIT: a component, `network:COMPONENT`, `node:NAME` or `flow:NAME`, and the limit's name
        #[arg(value_name = "WHAT.LIMIT")]
        what: String,
        /// 100, 16MiB, 5ms, `unlimited`, or `configured` for what it was at the start
        value: String,
        /// For so long; then it is what it was before
        #[arg(long = "for", value_name = "DURATION", value_parser = parse_for)]
        lasts: Option<Duration>,
        /// Also write it into this configuration file, so that nodes which read it start with it
        #[arg(long, value_name = "FILE", conflicts_with = "lasts")]
        save: Option<PathBuf>,
        /// Who wants it, for those who look later; you, if nobody is named
        #[arg(long = "as", value_name = "NAME", value_parser = parse_author)]
        author: Option<String>,
    },
}

/// Reads a duration that is not zero.
fn parse_for(text: &str) -> Result<Duration, String> {
    let lasts = parse_time(text)?;
    match lasts.is_zero() {
        true => Err(
            "it has to last for a while; leave --for out and it stays until the node ends"
                .to_owned(),
        ),
        false => Ok(lasts),
    }
}

/// Reads a name that travels.
fn parse_author(text: &str) -> Result<String, String> {
    let most = Name::BYTES_MAX;
    match text.len() {
        _ if text.trim().is_empty() => {
            Err("somebody has to want it; leave --as out and it is you".to_owned())
        }
        bytes if bytes > most => Err(format!("a name has {most} bytes at most, and this {bytes}")),
        _ => Ok(text.to_owned()),
    }
}

#[derive(Subcommand, Debug)]
pub(super) enum BreakersArgs {
    /// List breakers and what they have seen
    #[command(after_help = "Example: monofil breakers ls payments")]
    Ls(BreakerArgs),
    /// Let no call pass, until another order
    #[command(after_help = "Example: monofil breakers force-open payments --caller orders")]
    ForceOpen(BreakerArgs),
    /// Let every call pass and note nothing, until another order
    #[command(after_help = "Example: monofil breakers disable payments")]
    Disable(BreakerArgs),
    /// Let every call pass and note what would have been done, until another order
    #[command(after_help = "Example: monofil breakers metrics-only payments")]
    MetricsOnly(BreakerArgs),
    /// Begin anew, closed
    #[command(after_help = "Example: monofil breakers reset payments")]
    Reset(BreakerArgs),
}

#[derive(Args, Debug)]
pub(super) struct BreakerArgs {
    /// The component that is called; with `ls`: all, if none is named
    #[arg(value_name = "COMPONENT")]
    pub(super) callee: Option<String>,
    /// Only of calls by this component
    #[arg(long, value_name = "COMPONENT")]
    pub(super) caller: Option<String>,
}

#[derive(Args, Debug)]
pub(super) struct ExplainArgs {
    /// The component that would be called
    pub(super) component: String,
    /// From this node; the one that answers first, if none is named
    #[arg(long, value_name = "NODE")]
    pub(super) from: Option<String>,
    /// By this component
    #[arg(long, value_name = "COMPONENT")]
    pub(super) caller: Option<String>,
    /// With this key
    #[arg(long)]
    pub(super) key: Option<String>,
    /// In this flow
    #[arg(long)]
    pub(super) flow: Option<String>,
}

#[derive(Args, Debug)]
pub(super) struct DrainArgs {
    /// The node, by its name or the beginning of its id
    pub(super) node: String,
}

#[derive(Args, Debug)]
pub(super) struct StopArgs {
    /// The node, by its name or the beginning of its id
    pub(super) node: String,
    /// How long it may take to finish; its own `deadline.drain`, if that is not said
    #[arg(long, value_name = "DURATION", value_parser = parse_time)]
    pub(super) patience: Option<Duration>,
    /// End at once: what it has is lost, and reported as such
    #[arg(long, conflicts_with = "patience")]
    pub(super) now: bool,
}

/// Makes a failure of what is wrong with the command line; prints help, if that is what was asked for.
pub(super) fn mistake(error: &clap::Error) -> Failure {
    if !error.use_stderr() {
        let _ = error.print();
        exit(0);
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Failure::usage("no command was given").note("`monofil --help` lists them");
    }
    let text = error.to_string();
    Failure::usage(text.trim_start_matches("error: ").trim_end())
}
