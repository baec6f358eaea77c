//! Judges whether what the components say fits together.

use std::fmt;
use std::time::Duration;

use monofil::prelude::*;
use serde::Serialize;

use super::reports::Reports;
use crate::ledger::{Account, Sales};

/// How long casts and events that are still on their way are waited for.
pub(crate) const SETTLE: Duration = Duration::from_secs(5);

/// How often is looked whether they have come.
const INTERVAL: Duration = Duration::from_millis(20);

/// What different components say about the same things.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Books {
    pub(crate) balanced: bool,
    confirmed: Sales,
    stock: Stock,
    charged: Charged,
    shipped: u64,
    published: u64,
    seen: u64,
}

/// In pieces.
#[derive(Clone, Debug, Serialize)]
struct Stock {
    initial: u64,
    sold: u64,
    left: u64,
    reserved: u64,
}

#[derive(Clone, Debug, Serialize)]
struct Charged {
    orders: u64,
    cents: u64,
}

/// Two figures that should be the same.
pub(crate) struct Check {
    pub(crate) account: Account,
    pub(crate) what: &'static str,
    pub(crate) found: u64,
    pub(crate) expected: u64,
}

impl Books {
    pub(crate) fn new(confirmed: Sales, reports: &Reports) -> Self {
        let Reports {
            orders,
            inventory,
            payments,
            shipping,
            ..
        } = reports;
        let mut books = Self {
            balanced: false,
            confirmed,
            stock: Stock {
                initial: inventory.initial,
                sold: inventory.sold,
                left: inventory.left,
                reserved: inventory.reserved,
            },
            charged: Charged {
                orders: payments.charged,
                cents: payments.charged_cents,
            },
            shipped: shipping.dispatched,
            published: orders.published,
            seen: reports.seen(),
        };
        books.balanced = reports.missing.is_empty() && books.checks().iter().all(Check::holds);
        books
    }

    pub(crate) fn checks(&self) -> [Check; 6] {
        let check = |account, what, found, expected| Check {
            account,
            what,
            found,
            expected,
        };
        let there = self.stock.sold + self.stock.left;
        [
            check(
                Account::Sales,
                "pieces sold and left, of all there were",
                there,
                self.stock.initial,
            ),
            check(
                Account::Sales,
                "pieces sold, of those confirmed",
                self.stock.sold,
                self.confirmed.pieces,
            ),
            check(
                Account::Sales,
                "orders charged, of those confirmed",
                self.charged.orders,
                self.confirmed.orders,
            ),
            check(
                Account::Sales,
                "cents charged, of those confirmed",
                self.charged.cents,
                self.confirmed.cents,
            ),
            check(
                Account::Parcels,
                "parcels sent, of those confirmed",
                self.shipped,
                self.confirmed.orders,
            ),
            check(
                Account::Events,
                "events seen, of those published",
                self.seen,
                self.published,
            ),
        ]
    }

    /// Returns what is wrong with some accounts.
    pub(crate) fn wrong(&self, exact: &[Account]) -> Vec<Check> {
        let checks = self.checks().into_iter();
        let is_wrong = |check: &Check| exact.contains(&check.account) && !check.holds();
        checks.filter(is_wrong).collect()
    }
}

impl Check {
    pub(crate) const fn holds(&self) -> bool {
        self.found == self.expected
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            what,
            found,
            expected,
            ..
        } = self;
        write!(f, "{what}: {found} of {expected}")
    }
}

/// Waits until everything that was sent has arrived, as far as some accounts show; not for ever, since what is lost
/// never does.
///
/// # Errors
///
/// This run is being ended.
pub(crate) fn settled(
    cx: &mut Context,
    before: &Reports,
    confirmed: impl Fn() -> Sales,
    exact: &[Account],
    patience: Duration,
) -> Result<(), CallError> {
    let began = cx.now();
    loop {
        let reports = Reports::ask(cx).since(before);
        let wrong = Books::new(confirmed(), &reports).wrong(exact);
        let balanced = reports.missing.is_empty() && wrong.is_empty();
        if balanced || cx.now().since(began) > patience {
            return Ok(());
        }
        cx.sleep(INTERVAL)?;
    }
}
