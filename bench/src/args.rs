//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::rows::{ROWS, Row};

/// Measures the framework beside its peers, in interleaved rounds, and prints how they compare.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Args {
    /// Fewer and shorter rounds: less than two minutes for all rows.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Only these rows, separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "ROW")]
    pub(crate) rows: Vec<String>,
    /// How many rounds. Default 7, with `--quick` 3.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// End with an error that names the rows whose goal is not reached, once all are measured.
    #[arg(long)]
    pub(crate) require: bool,
    /// One JSON object a line instead of tables.
    #[arg(long)]
    pub(crate) json: bool,
    /// Where the page with charts goes. Default `target/report.html` in this package's folder.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

impl Args {
    /// Returns the rows to measure, in the order of the tables.
    pub(crate) fn chosen(&self) -> Result<Vec<&'static Row>, String> {
        let known = |name: &&String| !ROWS.iter().any(|row| row.name == **name);
        if let Some(unknown) = self.rows.iter().find(known) {
            let all: Vec<_> = ROWS.iter().map(|row| row.name).collect();
            return Err(format!(
                "there is no row `{unknown}`; there are {}",
                all.join(", ")
            ));
        }
        let wanted = |row: &&Row| self.rows.is_empty() || self.rows.iter().any(|it| it == row.name);
        Ok(ROWS.iter().filter(wanted).collect())
    }

    pub(crate) fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 3 } else { 7 }) as usize
    }

    /// Returns how long a contender warms up, and how long it is then measured, in each round.
    pub(crate) const fn windows(&self) -> (Duration, Duration) {
        if self.quick {
            (Duration::from_millis(100), Duration::from_millis(300))
        } else {
            (Duration::from_millis(300), Duration::from_millis(600))
        }
    }

    pub(crate) fn report(&self) -> PathBuf {
        let usual = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target/report.html"));
        self.report.clone().unwrap_or_else(usual)
    }
}
