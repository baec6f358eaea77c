//! Counts how orders end.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::time::Duration;

use hdrhistogram::Histogram;
use monofil::prelude::*;

use super::input::unusable;
use crate::inventory;
use crate::ledger::{self, Asked, Sales};
use crate::proto::orders::{Confirmation, Order, Outcome};

/// Outcomes that are shown even when there are none.
const USUAL: [Outcome; 5] = [
    Outcome::Confirmed,
    Outcome::OutOfStock,
    Outcome::Declined,
    Outcome::PaymentFailed,
    Outcome::Invalid,
];

/// Confirmed orders that are remembered by their ids.
const LATEST: usize = 3;

/// The longest latency that is told from longer ones, in microseconds.
const LATENCY_MAX: u64 = 60_000_000;

/// How all orders ended.
pub(crate) struct Tally {
    pub(crate) orders: u64,
    pub(crate) wrong_lines: u64,
    /// By the name of the outcome. The sum is `orders`, once all have ended.
    pub(crate) outcomes: BTreeMap<&'static str, u64>,
    /// For each outcome why it was so the first time.
    pub(crate) reasons: BTreeMap<&'static str, String>,
    /// Orders that had been placed before and got the answer they got then.
    pub(crate) repeated: u64,
    /// Confirmed in this run.
    pub(crate) confirmed: Sales,
    /// The latest confirmed orders.
    pub(crate) latest: VecDeque<String>,
    /// In microseconds.
    pub(crate) latency: Histogram<u64>,
    ledger: Option<Ledger>,
}

/// What is remembered of an order on its way.
pub(crate) struct Placed {
    number: u64,
    id: String,
    asked: Asked,
}

impl Tally {
    /// Begins, with a file for the single outcomes if there is one.
    ///
    /// # Errors
    ///
    /// The file cannot be made.
    pub(crate) fn new(outcomes: Option<&Path>) -> Result<Self, Status> {
        Ok(Self {
            orders: 0,
            wrong_lines: 0,
            outcomes: USUAL.iter().map(|outcome| (name(*outcome), 0)).collect(),
            reasons: BTreeMap::new(),
            repeated: 0,
            confirmed: Sales::default(),
            latest: VecDeque::new(),
            latency: Histogram::new_with_max(LATENCY_MAX, 3)
                .map_err(|error| Status::internal(error.to_string()))?,
            ledger: outcomes.map(Ledger::create).transpose()?,
        })
    }

    /// Counts an order that is about to be placed.
    pub(crate) fn place(&mut self, order: &Order) -> Placed {
        let number = self.orders;
        self.orders += 1;
        let asked = Asked {
            pieces: order.lines.iter().map(|l| u64::from(l.quantity)).sum(),
            cents: inventory::total_cents(&order.lines).ok(),
        };
        ledger::placed(&order.id, asked);
        Placed {
            number,
            id: order.id.clone(),
            asked,
        }
    }

    /// Counts how it ended.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub(crate) fn ended(
        &mut self,
        placed: Placed,
        waited: Duration,
        answer: Result<Confirmation, CallError>,
    ) -> Result<(), Status> {
        ledger::told(&placed.id, &answer);
        let micros = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
        self.latency.saturating_record(micros);
        let (outcome, reason) = match &answer {
            Ok(confirmation) => (name(confirmation.outcome()), confirmation.reason.clone()),
            Err(error) => (error.kind(), error.to_string()),
        };
        *self.outcomes.entry(outcome).or_default() += 1;
        if !reason.is_empty() {
            self.reasons
                .entry(outcome)
                .or_insert_with(|| printable(&format!("{}: {reason}", placed.id)));
        }
        if let Some(ledger) = &mut self.ledger {
            let line = format!("{}\t{outcome}\n", printable(&placed.id));
            ledger.write(placed.number, line)?;
        }
        match answer {
            Ok(confirmation) if confirmation.repeated => self.repeated += 1,
            Ok(confirmation) if confirmation.outcome() == Outcome::Confirmed => {
                self.confirmed.orders += 1;
                self.confirmed.cents += confirmation.total_cents;
                self.confirmed.pieces += placed.asked.pieces;
                self.latest.push_back(placed.id);
                if self.latest.len() > LATEST {
                    self.latest.pop_front();
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Finishes the file.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub(crate) fn close(&mut self) -> Result<(), Status> {
        self.ledger.take().map_or(Ok(()), Ledger::close)
    }
}

/// Takes out what a terminal would obey and what would end a line: ids are what somebody wrote.
pub(crate) fn printable(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

/// The name of an outcome in reports.
const fn name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Confirmed => "confirmed",
        Outcome::OutOfStock => "out_of_stock",
        Outcome::Declined => "declined",
        Outcome::PaymentFailed => "payment_failed",
        Outcome::Invalid => "invalid",
        Outcome::Unspecified => "unspecified",
    }
}

/// A file with a line for each order, in the order in which they were placed.
struct Ledger {
    file: BufWriter<File>,
    next: u64,
    /// Ended before an earlier one has.
    early: BTreeMap<u64, String>,
}

impl Ledger {
    fn create(path: &Path) -> Result<Self, Status> {
        let file = File::create(path).map_err(|error| unusable("write", path, &error))?;
        Ok(Self {
            file: BufWriter::new(file),
            next: 0,
            early: BTreeMap::new(),
        })
    }

    fn write(&mut self, number: u64, line: String) -> Result<(), Status> {
        self.early.insert(number, line);
        while let Some(line) = self.early.remove(&self.next) {
            self.file.write_all(line.as_bytes()).map_err(unwritten)?;
            self.next += 1;
        }
        Ok(())
    }

    fn close(mut self) -> Result<(), Status> {
        self.file.flush().map_err(unwritten)
    }
}

fn unwritten(error: io::Error) -> Status {
    Status::unavailable(format!("cannot write the outcomes: {error}"))
}
