//! What happened in the shop, as somebody outside of it sees it, whom no crash makes forget.
//!
//! In a simulated run components forget what they did when they die, and customers do not always hear how an order
//! ended. Their own books cannot balance then. The ledger is kept beside them, on the thread that runs the world, and
//! what it says must fit together whatever goes wrong:
//!
//! ```text
//! orders charged:  those confirmed  <=  charged  <=  those confirmed, and those whose end nobody knows
//! orders sold:     likewise, if neither who sells nor who decides forgot, and nothing that was sent came back
//! ```
//!
//! Nobody keeps one unless [`open`] is called, and it is in simulated runs only.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use monofil::prelude::*;

use crate::proto::orders::{Confirmation, Outcome};

thread_local! {
    static LEDGER: RefCell<Option<Ledger>> = const { RefCell::new(None) };
}

#[derive(Debug, Default)]
struct Ledger {
    /// What was charged and not given back, in cents, each time that it was.
    charged: BTreeMap<String, Vec<u64>>,
    sold: BTreeSet<String>,
    told: BTreeMap<String, Told>,
    /// Components that began with an empty memory since it is kept.
    forgot: BTreeSet<&'static str>,
    /// Casts that came back to who decides.
    returned: u64,
}

/// What a customer was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// Confirmed, for so many cents.
    Confirmed(u64),
    /// Nothing was charged for it.
    No,
    /// Perhaps.
    Unknown,
}

/// Begins to keep one.
pub(crate) fn open() {
    LEDGER.set(Some(Ledger::default()));
}

fn note(write: impl FnOnce(&mut Ledger)) {
    LEDGER.with_borrow_mut(|ledger| ledger.as_mut().map(write));
}

/// A component begins with an empty memory.
pub(crate) fn begins(component: &'static str) {
    note(|ledger| {
        ledger.forgot.insert(component);
    });
}

pub(crate) fn charged(order: &str, cents: u64) {
    note(|ledger| {
        let charged = ledger.charged.entry(order.to_owned()).or_default();
        charged.push(cents);
    });
}

pub(crate) fn refunded(order: &str) {
    note(|ledger| {
        if let Some(charged) = ledger.charged.get_mut(order) {
            charged.pop();
        }
    });
}

pub(crate) fn sold(order: &str) {
    note(|ledger| {
        ledger.sold.insert(order.to_owned());
    });
}

/// A cast of whoever decides orders came back.
pub(crate) fn returned() {
    note(|ledger| ledger.returned += 1);
}

/// A customer hears how an order ended, or that nobody knows.
pub(crate) fn told(order: &str, answer: &Result<Confirmation, CallError>) {
    note(|ledger| {
        let told = match answer {
            Ok(confirmation) => match confirmation.outcome() {
                Outcome::Confirmed => Told::Confirmed(confirmation.total_cents),
                // The money may have been taken, and then it may not have come back.
                Outcome::PaymentFailed => Told::Unknown,
                _ => Told::No,
            },
            // So it was decided: nothing was charged.
            Err(CallError::Remote(_)) => Told::No,
            Err(error) if error.executed() == Executed::No => Told::No,
            Err(_) => Told::Unknown,
        };
        ledger.told.insert(order.to_owned(), told);
    });
}

/// What is known of the books of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Judged {
    /// Nobody forgot anything, nothing came back and nobody is in doubt: all books must balance.
    Exact,
    /// What must hold holds.
    Holds,
}

/// Judges what is there.
///
/// # Errors
///
/// What does not fit together.
pub(crate) fn judge() -> Result<Judged, String> {
    LEDGER.with_borrow(|ledger| ledger.as_ref().map_or(Ok(Judged::Exact), Ledger::judge))
}

impl Ledger {
    fn judge(&self) -> Result<Judged, String> {
        for (order, charged) in self.charged.iter().filter(|(_, it)| !it.is_empty()) {
            match (self.told.get(order), &charged[..]) {
                (_, [_, _, ..]) => return Err(format!("{order} was charged {charged:?}")),
                (Some(Told::Unknown), _) => {}
                (Some(Told::Confirmed(cents)), [charged]) if cents == charged => {}
                (told, _) => return Err(format!("{order}: charged {charged:?}, told {told:?}")),
            }
        }
        for order in &self.sold {
            let told = self.told.get(order);
            if !matches!(told, Some(Told::Confirmed(_) | Told::Unknown)) {
                return Err(format!(
                    "{order} was sold, and its customer was told {told:?}"
                ));
            }
        }
        let confirmed = self.told.iter();
        let confirmed = confirmed.filter(|(_, told)| matches!(told, Told::Confirmed(_)));
        let confirmed: Vec<_> = confirmed.map(|(order, _)| order).collect();
        let is_charged =
            |order: &&&String| self.charged.get(**order).is_some_and(|it| !it.is_empty());
        if let Some(order) = confirmed.iter().find(|order| !is_charged(order)) {
            return Err(format!("{order} was confirmed, and nothing was charged"));
        }
        let forgot = |component| self.forgot.contains(component);
        let unsold = confirmed
            .iter()
            .filter(|order| !self.sold.contains(**order));
        let unsold: Vec<_> = unsold.collect();
        if !forgot("inventory") && !forgot("orders") && unsold.len() as u64 > self.returned {
            return Err(format!("confirmed, and never sold: {unsold:?}"));
        }
        let is_in_doubt = self.told.values().any(|told| *told == Told::Unknown);
        match self.forgot.is_empty() && self.returned == 0 && !is_in_doubt {
            true => Ok(Judged::Exact),
            false => Ok(Judged::Holds),
        }
    }
}
