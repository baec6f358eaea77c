//! Customers who keep coming.

use std::io::Write as _;
use std::process::ChildStdin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use monofil_tests::{Ended, Place, eventually};
use serde_json::{Value, json};

use crate::shop::{Summary, outcomes};

/// What the orders are about.
const ORDERS: &str = include_str!("../../data/orders.jsonl");

/// How long a line is made: a pipe holds few of those, so what was written is soon placed.
const LINE_BYTES: usize = 500;

/// Writes orders for as long as they are wanted, as fast as they are taken.
pub(crate) struct Feed {
    written: Arc<AtomicU64>,
    enough: Arc<AtomicBool>,
    thread: JoinHandle<ChildStdin>,
}

impl Feed {
    pub(crate) fn start(mut to: ChildStdin) -> Self {
        let (written, enough) = (
            Arc::new(AtomicU64::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let (count, end) = (written.clone(), enough.clone());
        let thread = std::thread::spawn(move || {
            for (number, line) in ORDERS.lines().cycle().enumerate() {
                if end.load(Ordering::Acquire) {
                    break;
                }
                let mut order: Value = serde_json::from_str(line).expect("an order");
                order["id"] = id(number).into();
                let order = order.to_string();
                writeln!(to, "{order:LINE_BYTES$}").expect("the customers read");
                count.fetch_add(1, Ordering::Release);
            }
            to
        });
        Self {
            written,
            enough,
            thread,
        }
    }

    /// Waits until so many more have been written.
    pub(crate) fn wait_for(&self, more: u64) {
        let target = self.written.load(Ordering::Acquire) + more;
        let what = format!("order {target} is taken");
        eventually(&what, || self.written.load(Ordering::Acquire) >= target);
    }

    /// Writes no more; returns how many there were, and the input, which ends when it is dropped.
    pub(crate) fn stop(self) -> (u64, ChildStdin) {
        self.enough.store(true, Ordering::Release);
        let to = self.thread.join().expect("it has written all");
        (self.written.load(Ordering::Acquire), to)
    }
}

fn id(number: usize) -> String {
    format!("K-{number}")
}

/// Makes a delivery of more of everything than anybody will order.
pub(crate) fn delivery() -> String {
    let mut skus: Vec<_> = ORDERS
        .split("\"sku\":\"")
        .skip(1)
        .map(|rest| rest.split('"').next())
        .collect();
    skus.sort_unstable();
    skus.dedup();
    // One customer wants what there is not.
    skus.retain(|sku| *sku != Some("BEAN-KONA-250"));
    let lines: Vec<_> = skus
        .iter()
        .map(|sku| json!({ "sku": sku, "quantity": 1_000_000 }))
        .collect();
    json!({ "lines": lines }).to_string()
}

/// Every order that was placed has one outcome, and those after the last kill go well.
pub(crate) fn check(place: &Place, ended: &Ended, fed: u64) {
    let summary = Summary::of(ended);
    let outcomes = outcomes(place);
    assert_eq!((summary.orders, summary.wrong_lines), (fed, 0));
    assert_eq!(summary.outcomes.values().sum::<u64>(), fed);
    assert_eq!(outcomes.len() as u64, fed);
    for (number, (order, outcome)) in outcomes.iter().enumerate() {
        assert_eq!(*order, id(number));
        assert!(summary.outcomes.contains_key(outcome), "{outcome}");
    }
    let last = &outcomes[outcomes.len() - ORDERS.lines().count()..];
    let confirmed = last
        .iter()
        .filter(|(_, outcome)| outcome == "confirmed")
        .count();
    assert!(
        confirmed * 2 > last.len(),
        "at the end only {confirmed} of {} are confirmed",
        last.len()
    );
}
