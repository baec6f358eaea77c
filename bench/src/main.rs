//! Measures the framework beside its peers.
//!
//! ```text
//!   main ── rounds ──▶ process ──▶ this program again, or one beside it, as workers
//!             │                      local, remote, sim: what they do
//!             ▼
//!          outcome ──▶ table, JSON, report
//! ```

mod args;
mod figure;
mod local;
mod machine;
mod memory;
mod node;
mod outcome;
mod outside;
mod port;
mod process;
mod remote;
mod report;
mod rounds;
mod rows;
mod runtime;
mod sim;
mod stats;
mod table;
mod work;

use std::process::ExitCode;

use clap::Parser;

use args::Args;
use machine::Machine;
use rounds::Rounds;

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

fn main() -> ExitCode {
    if std::env::args().nth(1).is_some_and(|first| first == "work") {
        work::run();
    }
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), String> {
    let rows = args.chosen()?;
    let machine = Machine::look();
    if !args.json {
        println!("{}", machine.text());
        if machine.is_busy() {
            println!("others are at work on this machine: ratios say something, times say little");
        }
    }
    let mut rounds = Rounds::new(args)?;
    let mut outcomes = Vec::new();
    for row in rows {
        let outcome = rounds.measure(row);
        if args.json {
            println!("{}", outcome.to_json());
        } else {
            print!("{}", table::table(&outcome));
        }
        outcomes.push(outcome);
    }
    let file = args.report();
    report::write(&file, &machine, args, &outcomes)?;
    eprintln!("charts: {}", file.display());
    match outcome::unreached(&outcomes) {
        Some(why) if args.require => Err(why),
        _ => Ok(()),
    }
}
