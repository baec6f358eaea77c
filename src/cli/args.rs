//! The flags and arguments of each command.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use monofil_sim::Strategy;
use monofil_transport::Endpoint;

use crate::Layout;
use crate::app::App;
use crate::config::{Layers, Settings, parse_time, parse_transport};
use crate::exit::Failure;
use crate::logging;

/// What every command takes.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Common options")]
pub(crate) struct Common {
    /// Read settings from this file instead of ./monofil.toml
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Set one setting, over the file and the environment; `config show` lists them
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Write output as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Where random numbers begin
    #[arg(
        long,
        global = true,
        value_name = "N",
        default_value_t = 1,
        allow_negative_numbers = true
    )]
    pub(crate) seed: u64,
    /// error, warn, info, debug, trace, or per target: info,monofil_zmq=debug
    #[arg(long, global = true, value_name = "LEVEL")]
    pub(crate) log_level: Option<String>,
    /// auto, human or json
    #[arg(long, global = true, value_name = "FORMAT")]
    pub(crate) log_format: Option<String>,
    /// What carries messages: memory, ipc or tcp
    #[arg(long, global = true, value_name = "TRANSPORT", value_parser = parse_transport)]
    pub(crate) transport: Option<Layout>,
    /// Where a component is, if not at its well-known address
    #[arg(long, global = true, value_name = "NAME=ENDPOINT")]
    pub(crate) peer: Vec<String>,
    /// Find the network by the node there; one is enough, and it need not stay. The transport is tcp then
    #[arg(long, global = true, value_name = "HOST:PORT")]
    pub(crate) join: Vec<String>,
}

impl Common {
    /// Puts the layers of settings together.
    pub(crate) fn layers(&self, app: &App) -> Result<Layers, Failure> {
        let mut layers = Layers::of(&app.components);
        layers.file(self.config.as_deref())?;
        layers.environment(std::env::vars_os())?;
        for assignment in &self.set {
            layers.assignment(assignment)?;
        }
        let transport = self.transport.map(|layout| layout.to_string());
        for (flag, key, value) in [
            ("--log-level", "log.level", &self.log_level),
            ("--log-format", "log.format", &self.log_format),
            ("--transport", "network.transport", &transport),
        ] {
            if let Some(value) = value {
                layers.flag(flag, key, value)?;
            }
        }
        for peer in &self.peer {
            let Some((name, endpoint)) = peer.split_once('=') else {
                let what = format!("--peer {peer}: write it as --peer NAME=ENDPOINT");
                return Err(Failure::usage(what));
            };
            layers.flag("--peer", &format!("peers.{name}"), endpoint)?;
        }
        if !self.join.is_empty() {
            layers.flag("--join", "network.seeds", &self.join.join(","))?;
        }
        Ok(layers)
    }

    /// Returns what the children of `up` are told in the same words.
    pub(crate) fn passed_on(&self, settings: &Settings, quiet: bool) -> Vec<String> {
        let mut flags = vec![format!("--seed={}", self.seed)];
        if let Some(file) = &self.config {
            flags.push(format!("--config={}", file.display()));
        }
        flags.extend(self.set.iter().map(|it| format!("--set={it}")));
        flags.extend(self.peer.iter().map(|it| format!("--peer={it}")));
        flags.extend(self.join.iter().map(|it| format!("--join={it}")));
        let usual = if quiet { "warn" } else { "info" };
        let level = settings.log_level.as_deref().unwrap_or(usual);
        flags.push(format!("--log-level={level}"));
        // A child's standard error is a pipe, so it cannot see what this one is written to.
        let json = logging::is_json(settings.log_format);
        let format = if json { "json" } else { "human" };
        flags.push(format!("--log-format={format}"));
        flags
    }
}

#[derive(Args, Clone, Debug)]
pub(crate) struct RunArgs {
    /// What to run in this process: components, and perhaps the job; everything if none is named
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Listen at tcp://HOST:PORT or ipc:///PATH, not at the well-known address; the control plane takes
    /// the port after it, or PATH.control
    #[arg(long, value_name = "ENDPOINT")]
    pub(crate) listen: Option<Endpoint>,
    /// Listen for the control plane here instead
    #[arg(long, value_name = "ENDPOINT", requires = "listen")]
    pub(crate) control: Option<Endpoint>,
    /// The process that started this one and must not be outlived
    #[arg(long, hide = true, value_name = "PID")]
    pub(crate) parent: Option<u32>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct UpArgs {
    /// In which order processes start; it makes no difference
    #[arg(long, value_enum, default_value_t = Order::Declared)]
    pub(crate) order: Order,
}

/// In which order processes start.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Declared,
    Reversed,
    /// By the seed
    Shuffled,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct SimArgs {
    /// How long messages are on the way between machines: one duration, or a range to draw from
    #[arg(long, value_name = "MIN..MAX", default_value = "200us..2ms", value_parser = parse_range, conflicts_with = "faults")]
    pub(crate) latency: (Duration, Duration),
    /// End when so much simulated time has passed; for a job, fail then
    #[arg(long, value_name = "DURATION", value_parser = parse_time)]
    pub(crate) until: Option<Duration>,
    /// Print a hash of everything that happened: equal seeds give equal hashes
    #[arg(long)]
    pub(crate) trace_hash: bool,
    /// How long a handler may hold the thread, in real time, before the run is given up; 0s for ever
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_time)]
    pub(crate) patience: Duration,
    #[command(flatten)]
    pub(crate) pictures: PictureArgs,
    #[command(flatten)]
    pub(crate) explore: ExploreArgs,
}

/// Many simulated runs instead of one.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Many runs")]
pub(crate) struct ExploreArgs {
    /// Run once for each of these seeds, and stop at the first run that fails
    #[arg(long, value_name = "A..B", value_parser = parse_seeds)]
    pub(crate) seeds: Option<Range<u64>>,
    /// What goes wrong: none, network, all, or a file in TOML
    #[arg(long, value_name = "FAULTS")]
    pub(crate) faults: Option<String>,
    /// How runs differ: random, pct:d=3, dfs:depth=10
    #[arg(long, value_name = "STRATEGY", default_value_t, value_parser = Strategy::from_str)]
    pub(crate) strategy: Strategy,
    /// Begin no more runs after so long, in real time; without --seeds, run until then
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_time)]
    pub(crate) budget: Option<Duration>,
    /// In so many processes, with the same result; as many as there are cores
    #[arg(long, value_name = "NUMBER")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Make a failing run smaller for so long, in real time
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_time)]
    pub(crate) shrink: Duration,
    /// Fail if no run reaches this mark of `sometimes`; may be given several times
    #[arg(long, value_name = "MARK")]
    pub(crate) expect: Vec<String>,
    /// Run each seed twice, in processes with other runs before it, and show where they part if they do
    #[arg(long, conflicts_with_all = ["junit", "trace_hash", "view", "perfetto", "expect", "shrink"])]
    pub(crate) check: bool,
}

impl ExploreArgs {
    /// Tells whether there are to be many runs, or one with faults.
    pub(crate) fn is_meant(&self) -> bool {
        let is_random = self.strategy == Strategy::Random;
        let given = self.seeds.is_some() || self.faults.is_some() || self.budget.is_some();
        given || self.check || !is_random || !self.expect.is_empty()
    }

    /// Returns the numbers of the runs; the one of `seed` if none are given, or all from it if there is a budget, or all
    /// orders are to be tried.
    pub(crate) fn runs(&self, seed: u64) -> Range<u64> {
        // Orders come to an end by themselves.
        let all = self.budget.is_some() || matches!(self.strategy, Strategy::Dfs { .. });
        let end = if all {
            u64::MAX
        } else {
            seed.saturating_add(1)
        };
        self.seeds.clone().unwrap_or(seed..end)
    }

    /// Returns the number of the run, if there is to be one alone.
    pub(crate) fn only(&self, seed: u64) -> Option<u64> {
        let runs = self.runs(seed);
        (runs.end - runs.start == 1).then_some(runs.start)
    }
}

/// Looks into a failing run.
#[derive(Args, Clone, Debug)]
pub(crate) struct ReplayArgs {
    /// The file of a failing run
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Stop when so much simulated time has passed, and show what waits where
    #[arg(long, value_name = "DURATION", value_parser = parse_time)]
    pub(crate) until: Option<Duration>,
    /// Write each random choice of the run: its site, the least and the most it could be, and what it was
    #[arg(long, value_name = "FILE.tsv")]
    pub(crate) draws: Option<PathBuf>,
    /// Stop when a request comes to this component, or this COMPONENT/METHOD; may be given several times
    #[arg(long = "break", value_name = "COMPONENT", value_parser = parse_break)]
    pub(crate) requests: Vec<String>,
}

fn parse_break(text: &str) -> Result<String, String> {
    match text.split('/').any(str::is_empty) {
        true => Err(format!(
            "`{text}` is no component and no method: write payments or payments/Charge"
        )),
        false => Ok(text.to_owned()),
    }
}

fn parse_seeds(text: &str) -> Result<Range<u64>, String> {
    let read = |text: &str| text.replace('_', "").parse::<u64>().ok();
    match text
        .split_once("..")
        .map(|(first, end)| (read(first), read(end)))
    {
        Some((Some(first), Some(end))) if first < end => Ok(first..end),
        _ => Err(format!(
            "`{text}` is no range of seeds: write 0..1000; the last is not in it"
        )),
    }
}

/// What is written of a simulated run.
#[derive(Args, Clone, Debug)]
pub(crate) struct PictureArgs {
    /// Draw the run as a page for a browser: nodes, messages, faults
    #[arg(long, value_name = "FILE.html")]
    pub(crate) view: Option<PathBuf>,
    /// Write the run as a trace for ui.perfetto.dev
    #[arg(long, value_name = "FILE.json")]
    pub(crate) perfetto: Option<PathBuf>,
    /// Write the result for CI, as JUnit's XML
    #[arg(long, value_name = "FILE.xml")]
    pub(crate) junit: Option<PathBuf>,
    /// How much of the run pictures and traces have: its last records, and what they need of those before
    #[arg(long, value_name = "NUMBER", default_value_t = 500_000, value_parser = parse_records)]
    pub(crate) records: usize,
}

impl PictureArgs {
    /// Tells whether the run is to be drawn.
    pub(crate) const fn is_drawn(&self) -> bool {
        self.view.is_some() || self.perfetto.is_some()
    }
}

fn parse_records(text: &str) -> Result<usize, String> {
    match text.replace('_', "").parse() {
        Ok(0) | Err(_) => Err("give a whole number, 1 or more".to_owned()),
        Ok(number) => Ok(number),
    }
}

#[derive(Args, Clone, Debug)]
pub(crate) struct CallArgs {
    /// The component to call
    pub(crate) component: String,
    /// Its method: SayHello, or hello.Greeter/SayHello
    pub(crate) method: String,
    /// The request; `-` reads it from standard input
    #[arg(value_name = "JSON", default_value = "{}")]
    pub(crate) request: String,
    #[command(flatten)]
    pub(crate) place: Place,
    /// How long to wait for the answer
    #[arg(long, value_name = "DURATION", value_parser = parse_time)]
    pub(crate) deadline: Option<Duration>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct DescribeArgs {
    /// The component whose node is asked
    pub(crate) component: String,
    #[command(flatten)]
    pub(crate) place: Place,
    /// How long to wait for the answer
    #[arg(long, value_name = "DURATION", value_parser = parse_time, default_value = "3s")]
    pub(crate) deadline: Duration,
}

/// Which node is asked.
#[derive(Args, Clone, Debug)]
pub(crate) struct Place {
    /// Ask the node that listens there
    #[arg(long, value_name = "ENDPOINT", conflicts_with = "running")]
    pub(crate) at: Option<Endpoint>,
    /// Ask the node at the component's well-known address, or where `[peers]` says it is
    #[arg(long)]
    pub(crate) running: bool,
}

fn parse_range(text: &str) -> Result<(Duration, Duration), String> {
    let (min, max) = match text.split_once("..") {
        Some((min, max)) => (parse_time(min)?, parse_time(max)?),
        None => (parse_time(text)?, parse_time(text)?),
    };
    if min > max {
        return Err(format!("`{text}` begins later than it ends"));
    }
    Ok((min, max))
}
