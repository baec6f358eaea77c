//! What happened in the shop, as somebody outside of it sees it, whom no crash makes forget.
//!
//! In a simulated run components forget what they did when they die, and customers do not always hear how an order
//! ended. Their own books cannot balance then. The ledger is kept beside them, on the thread that runs the world, and
//! what it says must fit together whatever goes wrong:
//!
//! ```text
//! of each order: charged and sold  <=  confirmed, or nobody knows how it ended; and each once
//! of each order that was confirmed: charged, for just what its customer was told
//! of those:      all sold, in the end, if neither who sells nor who decides forgot, and nothing that was sent came back
//! ```
//!
//! The first two are looked at whenever something is written down, because what goes wrong may be put right before
//! anybody looks: money that was taken twice, and given back. The third has to wait for what is on its way.
//!
//! Nobody keeps one unless [`open`] is called, and it is in simulated runs only.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use monofil::prelude::*;
use monofil::sim::{always, sometimes};

use crate::proto::orders::{Confirmation, Outcome};

/// What must hold whenever something is written down.
const FITS: &str = "each order is charged and sold as its customer is told, and once";

thread_local! {
    static LEDGER: RefCell<Option<Ledger>> = const { RefCell::new(None) };
}

#[derive(Debug, Default)]
struct Ledger {
    orders: BTreeMap<String, Entry>,
    /// What did not fit together first.
    wrong: Option<String>,
    /// Components that began with an empty memory since it is kept.
    forgot: BTreeSet<&'static str>,
    /// Casts that came back to who decides.
    returned: u64,
}

/// What is known of one order.
#[derive(Debug, Default)]
struct Entry {
    /// What was charged and not given back, in cents, each time that it was.
    charged: Vec<u64>,
    /// How many pieces were sold, each time that any were.
    sold: Vec<u64>,
    told: Option<Told>,
    /// The bank did not answer, as it never does for this order.
    failed: bool,
}

/// What a customer was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// Confirmed, so many pieces for so many cents.
    Confirmed { pieces: u64, cents: u64 },
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
    note(|ledger| ledger.write(order, |entry| entry.charged.push(cents)));
}

pub(crate) fn refunded(order: &str) {
    note(|ledger| {
        ledger.write(order, |entry| {
            entry.charged.pop();
        });
    });
}

pub(crate) fn sold(order: &str, pieces: u64) {
    note(|ledger| ledger.write(order, |entry| entry.sold.push(pieces)));
}

/// The bank does not answer, and charges nothing.
pub(crate) fn failed(order: &str) {
    note(|ledger| ledger.write(order, |entry| entry.failed = true));
}

/// A cast of whoever decides orders came back.
pub(crate) fn returned() {
    note(|ledger| ledger.returned += 1);
}

/// A customer hears how an order of so many pieces ended, or that nobody knows.
pub(crate) fn told(order: &str, pieces: u64, answer: &Result<Confirmation, CallError>) {
    let told = match answer {
        Ok(confirmation) => match confirmation.outcome() {
            Outcome::Confirmed => Told::Confirmed {
                pieces,
                cents: confirmation.total_cents,
            },
            // The money may have been taken, and then it may not have come back.
            Outcome::PaymentFailed => Told::Unknown,
            _ => Told::No,
        },
        // So it was decided: nothing was charged.
        Err(CallError::Remote(_)) => Told::No,
        Err(error) if error.executed() == Executed::No => Told::No,
        Err(_) => Told::Unknown,
    };
    note(|ledger| {
        ledger.write(order, |entry| {
            let told = match told {
                Told::Unknown if entry.failed => Told::No,
                told => told,
            };
            entry.told = Some(told);
        });
    });
}

/// What is known of the books of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Judged {
    /// Nobody forgot anything, nothing came back and nobody is in doubt: all books must balance.
    Exact,
    /// What must hold holds.
    Holds,
    /// It does not yet: something that was confirmed is not sold. What has to happen may be on its way.
    Waits(String),
}

/// Judges what is there, once no order is under way.
///
/// # Errors
///
/// What does not fit together, and never will.
pub(crate) fn judge() -> Result<Judged, String> {
    LEDGER.with_borrow(|ledger| ledger.as_ref().map_or(Ok(Judged::Exact), Ledger::judge))
}

/// Says in simulated runs which cases this one was. A mark that is named and never reached fails an exploration, and
/// which faults there are decides what can be reached: so a run names those that it reached.
pub(crate) fn mark(judged: &Judged) {
    note(|ledger| {
        let marks = [
            (*judged == Judged::Exact, "the books are judged exactly"),
            (!ledger.forgot.is_empty(), "a component forgot"),
            (ledger.is_in_doubt(), "a customer is in doubt"),
        ];
        for (_, mark) in marks.iter().filter(|(is_reached, _)| *is_reached) {
            sometimes(true, mark);
        }
    });
}

impl Ledger {
    fn write(&mut self, order: &str, write: impl FnOnce(&mut Entry)) {
        let entry = self.orders.entry(order.to_owned()).or_default();
        write(entry);
        // Of many runs one that fails ends here, where it is seen who did it.
        always(entry.mistake().is_none(), FITS);
        if let Some(wrong) = entry.mistake() {
            self.wrong
                .get_or_insert_with(|| format!("{order} {wrong}: {entry:?}"));
        }
    }

    fn is_in_doubt(&self) -> bool {
        let mut entries = self.orders.values();
        entries.any(|entry| entry.told == Some(Told::Unknown))
    }

    fn judge(&self) -> Result<Judged, String> {
        if let Some(wrong) = &self.wrong {
            return Err(wrong.clone());
        }
        if let Some((order, entry)) = self.orders.iter().find(|(_, it)| it.told.is_none()) {
            return Err(format!("nobody placed {order}: {entry:?}"));
        }
        let unsold = self.orders.iter().filter(|(_, entry)| entry.is_unsold());
        let unsold: Vec<_> = unsold.map(|(order, _)| order).collect();
        let forgot = |component| self.forgot.contains(component);
        if !forgot("inventory") && !forgot("orders") && unsold.len() as u64 > self.returned {
            let text = format!("confirmed, and never sold: {unsold:?}");
            return Ok(Judged::Waits(text));
        }
        match self.forgot.is_empty() && self.returned == 0 && !self.is_in_doubt() {
            true => Ok(Judged::Exact),
            false => Ok(Judged::Holds),
        }
    }
}

impl Entry {
    fn is_unsold(&self) -> bool {
        matches!(self.told, Some(Told::Confirmed { .. })) && self.sold.is_empty()
    }

    /// Says what nothing that comes later can put right.
    fn mistake(&self) -> Option<&'static str> {
        match (&self.charged[..], &self.sold[..], self.told) {
            ([_, _, ..], ..) => Some("was charged twice"),
            (_, [_, _, ..], _) => Some("was sold twice"),
            ([], [], Some(Told::No)) => None,
            (.., Some(Told::No)) => Some("was refused"),
            ([charged], sold, Some(Told::Confirmed { pieces, cents })) => {
                let fits = *charged == cents && sold.iter().all(|sold| *sold == pieces);
                (!fits).then_some("was confirmed otherwise")
            }
            ([], _, Some(Told::Confirmed { .. })) => Some("was confirmed and not paid"),
            (.., Some(Told::Unknown) | None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECES: u64 = 2;
    const CENTS: u64 = 700;

    fn answer(outcome: Outcome) -> Result<Confirmation, CallError> {
        Ok(Confirmation {
            outcome: outcome.into(),
            total_cents: CENTS,
            ..Confirmation::default()
        })
    }

    fn confirmed() {
        told("a", PIECES, &answer(Outcome::Confirmed));
    }

    /// What is judged when so much happened to the order `a`.
    fn judged(happened: &[fn()]) -> Result<Judged, String> {
        open();
        happened.iter().for_each(|happen| happen());
        judge()
    }

    fn wrong(happened: &[fn()]) -> String {
        judged(happened).expect_err("it does not fit together")
    }

    #[test]
    fn an_order_that_is_paid_and_sold_is_judged_exactly() {
        let sold: fn() = || sold("a", PIECES);
        assert_eq!(
            judged(&[|| charged("a", CENTS), sold, confirmed]),
            Ok(Judged::Exact)
        );
    }

    #[test]
    fn a_double_charge_is_wrong_even_if_one_is_given_back() {
        let twice: [fn(); 2] = [|| charged("a", CENTS), || charged("a", CENTS)];
        let [once, again] = twice;
        assert!(wrong(&[once, again]).starts_with("a was charged twice"));
        let put_right = wrong(&[
            once,
            again,
            || refunded("a"),
            || sold("a", PIECES),
            confirmed,
        ]);
        assert!(put_right.starts_with("a was charged twice"), "{put_right}");
    }

    #[test]
    fn a_confirmation_that_is_not_paid_is_wrong_even_if_it_is_later() {
        let said = wrong(&[confirmed]);
        assert!(said.starts_with("a was confirmed and not paid"), "{said}");
        let later = wrong(&[confirmed, || charged("a", CENTS), || sold("a", PIECES)]);
        assert_eq!(later, said);
        let otherwise = wrong(&[|| charged("a", CENTS + 1), confirmed]);
        assert!(otherwise.starts_with("a was confirmed otherwise"));
    }

    #[test]
    fn a_double_sale_or_one_of_other_pieces_is_wrong() {
        let once: fn() = || sold("a", PIECES);
        let said = wrong(&[|| charged("a", CENTS), once, once, confirmed]);
        assert!(said.starts_with("a was sold twice"), "{said}");
        let said = wrong(&[|| charged("a", CENTS), || sold("a", PIECES + 1), confirmed]);
        assert!(said.starts_with("a was confirmed otherwise"), "{said}");
    }

    #[test]
    fn nothing_is_taken_for_what_was_refused() {
        let refused: fn() = || told("a", PIECES, &answer(Outcome::OutOfStock));
        assert_eq!(judged(&[refused]), Ok(Judged::Exact));
        for taken in [|| charged("a", CENTS), || sold("a", PIECES)] {
            assert!(wrong(&[taken, refused]).starts_with("a was refused"));
            assert!(wrong(&[refused, taken]).starts_with("a was refused"));
        }
        assert!(wrong(&[|| sold("a", PIECES)]).starts_with("nobody placed a"));
    }

    #[test]
    fn who_is_in_doubt_may_have_been_charged_or_not() {
        let in_doubt: fn() = || told("a", PIECES, &answer(Outcome::PaymentFailed));
        for happened in [&[in_doubt][..], &[|| charged("a", CENTS), in_doubt]] {
            assert_eq!(judged(happened), Ok(Judged::Holds));
        }
        assert_eq!(judged(&[|| failed("a"), in_doubt]), Ok(Judged::Exact));
    }

    #[test]
    fn what_is_not_sold_is_waited_for_unless_somebody_forgot() {
        let paid: [fn(); 2] = [|| charged("a", CENTS), confirmed];
        let [charged, confirmed] = paid;
        assert!(matches!(judged(&paid), Ok(Judged::Waits(_))));
        for excuse in [|| begins("inventory"), || begins("orders"), returned] {
            assert_eq!(judged(&[charged, excuse, confirmed]), Ok(Judged::Holds));
        }
        let other = judged(&[charged, || begins("payments"), confirmed]);
        assert!(matches!(other, Ok(Judged::Waits(_))), "{other:?}");
    }
}
