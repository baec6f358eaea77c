//! Rounds in which everybody is measured once, so that all see the same weather.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use bench_worker::{Job, Role, Sample};

use crate::args::Args;
use crate::outcome::Outcome;
use crate::outside::Outside;
use crate::process::Starter;
use crate::remote::nats;
use crate::rows::Row;

/// Measures rows.
pub(crate) struct Rounds<'a> {
    args: &'a Args,
    /// Where this program was built, and others are.
    target: PathBuf,
    starters: HashMap<Option<&'static str>, Result<Starter, String>>,
}

impl<'a> Rounds<'a> {
    pub(crate) fn new(args: &'a Args) -> Result<Self, String> {
        let own = std::env::current_exe();
        let own = own.map_err(|error| format!("this program cannot be found: {error}"))?;
        let target = own
            .ancestors()
            .nth(2)
            .unwrap_or(Path::new("target"))
            .to_owned();
        let log = target.join("bench-workers.log");
        // Only what this run logs is of interest. If it stays, it is longer.
        let _ = std::fs::remove_file(&log);
        let starter = Starter::new(own, vec!["work"], &log);
        Ok(Self {
            args,
            target,
            starters: HashMap::from([(None, Ok(starter))]),
        })
    }

    /// Returns how a contender is started, or why it cannot be.
    fn starter(&mut self, contender: &'static str) -> Result<Starter, String> {
        if contender == "nats" && nats::broker().is_none() {
            return Err("there is no `nats-server` on the PATH".to_owned());
        }
        let outside = Outside::of(contender);
        let target = self.target.clone();
        let build = || {
            let outside = outside.expect("invariant: this program's own starter is there");
            eprintln!("building {contender}, unless it is built");
            let program = outside.build(&target)?;
            let log = target.join("bench-workers.log");
            Ok(Starter::new(program, Vec::new(), &log))
        };
        let key = outside.map(|_| contender);
        self.starters.entry(key).or_insert_with(build).clone()
    }

    /// Measures everybody of a row, round after round.
    pub(crate) fn measure(&mut self, row: &'static Row) -> Outcome {
        let (warm, window) = self.args.windows();
        let mut outcome = Outcome::new(row);
        let contenders: Vec<_> = row.contenders().collect();
        let starters: Vec<_> = contenders.iter().map(|it| self.starter(it)).collect();
        for round in 0..self.args.rounds() {
            for turn in 0..contenders.len() {
                // Nobody always goes first, or after the same one.
                let index = (turn + round) % contenders.len();
                let job = Job {
                    contender: contenders[index].to_owned(),
                    task: row.task,
                    role: Role::Alone,
                    warm,
                    window,
                };
                let sample = starters[index].clone().and_then(|it| it.measure(&job));
                self.tell(row, contenders[index], round, &sample);
                outcome.add(contenders[index], sample);
            }
        }
        outcome
    }

    /// Shows whoever waits that it goes on.
    fn tell(&self, row: &Row, contender: &str, round: usize, sample: &Result<Sample, String>) {
        let value = match sample {
            Ok(sample) => {
                let value = crate::figure::short(row.measure.value(sample));
                format!("{value} {}", row.measure.unit())
            }
            Err(why) => why.clone(),
        };
        let (round, rounds) = (round + 1, self.args.rounds());
        eprintln!("{} {round}/{rounds} {contender}: {value}", row.name);
    }
}
