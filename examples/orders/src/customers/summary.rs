//! Says how a run went.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write as _};
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use monofil::prelude::*;
use serde::Serialize;
use serde_json::{Map, Value};

use super::Args;
use super::books::{Books, Check};
use super::reports::Reports;
use super::tally::Tally;
use crate::ledger::{Account, Sales};

/// Everything there is to say about a run.
#[derive(Serialize)]
pub(crate) struct Summary {
    layout: String,
    seed: u64,
    orders: u64,
    wrong_lines: u64,
    repeated: u64,
    outcomes: BTreeMap<&'static str, u64>,
    books: Books,
    latency_us: Latency,
    elapsed_us: u64,
    components: Map<String, Value>,
    #[serde(skip)]
    concurrency: u16,
    #[serde(skip)]
    missing: Vec<(&'static str, CallError)>,
    #[serde(skip)]
    reasons: BTreeMap<&'static str, String>,
    /// Where some parcels have been.
    #[serde(skip)]
    ways: Vec<String>,
}

#[derive(Serialize)]
struct Latency {
    p50: u64,
    p99: u64,
}

impl Summary {
    /// Sums up.
    pub(crate) fn new(
        job: &Job<Args>,
        tally: Tally,
        confirmed: Sales,
        reports: Reports,
        ways: Vec<String>,
        took: Duration,
    ) -> Self {
        Self {
            layout: job.layout().to_string(),
            seed: job.seed(),
            orders: tally.orders,
            wrong_lines: tally.wrong_lines,
            repeated: tally.repeated,
            outcomes: tally.outcomes,
            books: Books::new(confirmed, &reports),
            latency_us: Latency {
                p50: tally.latency.value_at_quantile(0.5),
                p99: tally.latency.value_at_quantile(0.99),
            },
            elapsed_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            components: reports.to_json(),
            concurrency: job.args().concurrency,
            missing: reports.missing,
            reasons: tally.reasons,
            ways,
        }
    }

    /// Writes to standard output: one JSON object, or tables for people.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub(crate) fn print(&self, json: bool) -> Result<(), Status> {
        let text = if json {
            serde_json::to_string(self).map_err(|error| Status::internal(error.to_string()))?
        } else {
            self.to_string()
        };
        match writeln!(io::stdout(), "{text}") {
            // Whoever read it has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written
                .map_err(|error| Status::unavailable(format!("cannot write the summary: {error}"))),
        }
    }

    /// Says how the run ends, if some accounts must balance.
    ///
    /// # Errors
    ///
    /// They do not, or what was read is something else than orders.
    pub(crate) fn verdict(&self, exact: &[Account]) -> Result<(), Status> {
        if self.orders == 0 && self.wrong_lines > 0 {
            return Err(Status::invalid_argument("no line of the input is an order"));
        }
        let missing = self
            .missing
            .iter()
            .map(|(name, error)| format!("`{name}` does not answer: {error}"));
        let wrong = self.books.wrong(exact);
        let all: Vec<_> = missing.chain(wrong.iter().map(Check::to_string)).collect();
        if all.is_empty() {
            return Ok(());
        }
        Err(Status::internal(format!(
            "the books do not balance ({}); components keep them in memory, so was a process ended \
             meanwhile?",
            all.join("; ")
        )))
    }

    fn outcome_table(&self) -> Table {
        let mut table = table(["outcome", "orders", "%", "for example"]);
        for (outcome, orders) in &self.outcomes {
            let example = self.reasons.get(outcome).cloned().unwrap_or_default();
            let percent = 100.0 * *orders as f64 / self.orders.max(1) as f64;
            table.add_row([
                outcome.replace('_', " "),
                grouped(*orders),
                format!("{percent:.1}"),
                example,
            ]);
        }
        if let Some(examples) = table.column_mut(3) {
            examples.set_cell_alignment(CellAlignment::Left);
        }
        table
    }

    fn book_table(&self) -> Table {
        let mut table = table(["the books", "found", "expected", ""]);
        for check in self.books.checks() {
            let verdict = if check.holds() { "ok" } else { "WRONG" };
            table.add_row([
                check.what,
                &grouped(check.found),
                &grouped(check.expected),
                verdict,
            ]);
        }
        table
    }

    fn component_table(&self) -> Table {
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING)
            .set_header(["component", "counts"]);
        for (name, counts) in &self.components {
            let counts = counts.as_object().into_iter().flatten();
            let counts: Vec<_> = counts
                .map(|(count, value)| {
                    let value = value.as_u64().map_or_else(|| value.to_string(), grouped);
                    format!("{} {value}", count.replace('_', " "))
                })
                .collect();
            table.add_row([name, &counts.join(", ")]);
        }
        table
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.elapsed_us as f64 / 1e6;
        let rate = self.orders as f64 / seconds.max(1e-6);
        writeln!(
            f,
            "{} orders in {seconds:.3} s ({}/s), {} at a time, layout {}, seed {}",
            grouped(self.orders),
            grouped(rate as u64),
            self.concurrency,
            self.layout,
            self.seed
        )?;
        writeln!(
            f,
            "latency: half within {} µs, 99 % within {} µs\n",
            grouped(self.latency_us.p50),
            grouped(self.latency_us.p99)
        )?;
        if self.wrong_lines > 0 {
            let lines = match self.wrong_lines {
                1 => "1 line was no order".to_owned(),
                more => format!("{} lines were no orders", grouped(more)),
            };
            writeln!(f, "{lines}\n")?;
        }
        if self.repeated > 0 {
            let repeated = grouped(self.repeated);
            writeln!(
                f,
                "{repeated} had been placed before: nothing was done again\n"
            )?;
        }
        writeln!(f, "{}\n\n{}\n", self.outcome_table(), self.book_table())?;
        write!(f, "{}", self.component_table())?;
        if !self.ways.is_empty() {
            write!(f, "\n\nthe last parcels\n  {}", self.ways.join("\n  "))?;
        }
        Ok(())
    }
}

/// Makes a table whose columns are figures, but for the first.
fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Writes a number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
