//! The shop's program, and what it says of a run.

use std::collections::BTreeMap;
use std::path::Path;

use monofil_tests::{Ended, Place, command_line, find_processes};
use rustix::process::Pid;
use serde::Deserialize;

/// The components in the order of their declaration: what others call comes before those that call it.
pub(crate) const COMPONENTS: [&str; 5] =
    ["analytics", "shipping", "payments", "inventory", "orders"];

/// Makes a place for the shop's processes.
pub(crate) fn shop() -> Place {
    Place::new(Path::new(env!("CARGO_BIN_EXE_orders")), "orders")
}

/// Returns the seed of this run of the tests.
pub(crate) fn seed() -> u64 {
    let seed = std::env::var("SEED").map_or(7, |seed| seed.parse().expect("SEED is a number"));
    println!("SEED={seed}");
    seed
}

/// What the program says of a run with `--json`.
#[derive(Debug, Deserialize)]
pub(crate) struct Summary {
    pub(crate) layout: String,
    pub(crate) orders: u64,
    pub(crate) repeated: u64,
    pub(crate) wrong_lines: u64,
    pub(crate) outcomes: BTreeMap<String, u64>,
    pub(crate) books: Books,
    pub(crate) components: BTreeMap<String, BTreeMap<String, u64>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Books {
    pub(crate) balanced: bool,
    pub(crate) confirmed: Confirmed,
    pub(crate) stock: Stock,
    pub(crate) charged: Charged,
    pub(crate) shipped: u64,
    pub(crate) published: u64,
    pub(crate) seen: u64,
}

/// As the customers were told.
#[derive(Debug, Deserialize)]
pub(crate) struct Confirmed {
    pub(crate) orders: u64,
    pub(crate) cents: u64,
    pub(crate) pieces: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Stock {
    pub(crate) initial: u64,
    pub(crate) sold: u64,
    pub(crate) left: u64,
    pub(crate) reserved: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Charged {
    pub(crate) orders: u64,
    pub(crate) cents: u64,
}

impl Summary {
    /// Reads what the program wrote: one object, and nothing else.
    pub(crate) fn of(ended: &Ended) -> Self {
        serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
    }

    /// Returns how many orders ended so.
    pub(crate) fn ended(&self, outcome: &str) -> u64 {
        self.outcomes.get(outcome).copied().unwrap_or_default()
    }
}

/// How single orders ended: what `--outcomes outcomes.tsv` wrote.
pub(crate) fn outcomes(place: &Place) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(place.path().join("outcomes.tsv")).expect("it was written");
    let pair = |line: &str| {
        let (id, outcome) = line.split_once('\t').expect("a tab");
        (id.to_owned(), outcome.to_owned())
    };
    text.lines().map(pair).collect()
}

/// Finds the processes that an `up` started, by the components they run.
pub(crate) fn processes_of(up: Pid) -> Vec<(&'static str, Pid)> {
    let parent = format!("--parent={}", up.as_raw_nonzero());
    let all = find_processes(|line| line.contains(&parent));
    let name = |process: &Pid| {
        let line = command_line(*process);
        COMPONENTS
            .into_iter()
            .find(|it| line.get(2).is_some_and(|word| word == it))
    };
    all.into_iter()
        .filter_map(|process| Some((name(&process)?, process)))
        .collect()
}

/// Returns the process of a component, if it is there.
pub(crate) fn process_of(up: Pid, component: &str) -> Option<Pid> {
    let mut all = processes_of(up).into_iter();
    all.find(|(name, _)| *name == component)
        .map(|(_, process)| process)
}
