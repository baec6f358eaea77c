//! What happened in the shop, as somebody outside of it sees it, whom no crash makes forget.
//!
//! In a simulated run components forget what they did when they die, and customers do not always hear how an order
//! ended. Their own books cannot balance then. The ledger is kept beside them, on the thread that runs the world, and
//! what it says must fit together whatever goes wrong:
//!
//! ```text
//! of each order:  charged and sold once, for the price and in the pieces of what was ordered
//!                 sold only if charged, and what is sold is not given back
//! if its customer was told  confirmed:           charged
//!                           refused:             neither charged nor sold
//!                           the payment failed:  not sold
//! in the end, whatever its customer was told:    charged and sold, or neither
//! ```
//!
//! All but the last is looked at whenever something is written down, because what goes wrong may be put right before
//! anybody looks: money that was taken twice, and given back. The last has to wait for what is on its way. It may stay
//! open for an order that was under way when somebody forgot it: who decides (`orders`); who was to sell it
//! (`inventory`), unless its payment failed; who was to give the money back (`payments`), unless it was confirmed.
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
    /// Of what casts of who decides were lost.
    lost: BTreeSet<Account>,
}

/// What is known of one order.
#[derive(Debug, Default)]
struct Entry {
    asked: Option<Asked>,
    /// What was charged and not given back, in cents, each time that it was.
    charged: Vec<u64>,
    /// How many pieces were sold, each time that any were.
    sold: Vec<u64>,
    told: Option<Told>,
    /// The bank did not answer, as it never does for this order.
    failed: bool,
    /// Who began with an empty memory while it was under way.
    forgot: BTreeSet<&'static str>,
}

/// What was ordered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) pieces: u64,
    /// Its price; none if there is no such product.
    pub(crate) cents: Option<u64>,
}

/// What a customer was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// Confirmed, for so many cents.
    Confirmed(u64),
    /// Nothing was charged for it.
    No,
    /// The bank did not answer. What it may have taken it gives back.
    Failed,
    /// Perhaps.
    Unknown,
}

/// A part of the books, which balances by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Account {
    /// Stock and money.
    Sales,
    /// What was sent.
    Parcels,
    /// What was told of orders.
    Events,
}

impl Account {
    pub(crate) const ALL: [Self; 3] = [Self::Sales, Self::Parcels, Self::Events];

    /// Returns those whose memories it needs.
    const fn keepers(self) -> &'static [&'static str] {
        match self {
            Self::Sales => &["orders", "inventory", "payments"],
            Self::Parcels => &["orders", "inventory", "payments", "shipping"],
            Self::Events => &["orders", "analytics"],
        }
    }
}

/// What some orders are about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Sales {
    pub(crate) orders: u64,
    pub(crate) cents: u64,
    pub(crate) pieces: u64,
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
        let under_way = ledger.orders.values_mut().filter(|it| it.is_under_way());
        for entry in under_way {
            entry.forgot.insert(component);
        }
    });
}

/// A customer is about to place an order.
pub(crate) fn placed(order: &str, asked: Asked) {
    note(|ledger| ledger.write(order, |entry| entry.asked = Some(asked)));
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

/// A cast of whoever decides orders came back and is not sent again.
pub(crate) fn lost(account: Account) {
    note(|ledger| {
        ledger.lost.insert(account);
    });
}

/// A customer hears how an order ended, or that nobody knows.
pub(crate) fn told(order: &str, answer: &Result<Confirmation, CallError>) {
    let told = match answer {
        Ok(confirmation) => match confirmation.outcome() {
            Outcome::Confirmed => Told::Confirmed(confirmation.total_cents),
            Outcome::PaymentFailed => Told::Failed,
            _ => Told::No,
        },
        // So it was decided: nothing was charged.
        Err(CallError::Remote(_)) => Told::No,
        Err(error) if error.executed() == Executed::No => Told::No,
        Err(_) => Told::Unknown,
    };
    note(|ledger| ledger.write(order, |entry| entry.told = Some(told)));
}

/// What is known of the books of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Judged {
    /// What must hold holds, and these accounts must balance: nobody who keeps them forgot anything.
    Holds(Vec<Account>),
    /// It does not yet: something is charged and not sold. What has to happen may be on its way.
    Waits(String),
}

/// Judges what is there, once no order is placed any more.
///
/// # Errors
///
/// What does not fit together, and never will.
pub(crate) fn judge() -> Result<Judged, String> {
    LEDGER.with_borrow(|ledger| match ledger {
        Some(ledger) => ledger.judge(),
        None => Ok(Judged::Holds(Account::ALL.to_vec())),
    })
}

/// Returns what was charged and sold, whatever customers were told of it; `None` if nobody keeps a ledger.
pub(crate) fn sales() -> Option<Sales> {
    LEDGER.with_borrow(|ledger| ledger.as_ref().map(Ledger::sales))
}

/// Says in simulated runs which cases this one was. A mark that is named and never reached fails an exploration, and
/// which faults there are decides what can be reached: so a run names those that it reached.
pub(crate) fn mark(exact: &[Account]) {
    note(|ledger| {
        let marks = [
            (
                exact.contains(&Account::Sales),
                "the books are judged exactly",
            ),
            (!ledger.forgot.is_empty(), "a component forgot"),
            (ledger.is_in_doubt(), "a customer is in doubt"),
            (ledger.is_excused(), "an order stays open"),
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
        entries.any(|entry| match entry.told {
            Some(Told::Unknown) => true,
            Some(Told::Failed) => !entry.failed,
            _ => false,
        })
    }

    fn is_excused(&self) -> bool {
        let mut entries = self.orders.values();
        entries.any(|entry| entry.is_open() && entry.may_stay_open())
    }

    fn sales(&self) -> Sales {
        let mut all = Sales::default();
        for entry in self.orders.values() {
            if let ([cents], [pieces]) = (&entry.charged[..], &entry.sold[..]) {
                all.orders += 1;
                all.cents += cents;
                all.pieces += pieces;
            }
        }
        all
    }

    fn judge(&self) -> Result<Judged, String> {
        if let Some(wrong) = &self.wrong {
            return Err(wrong.clone());
        }
        let is_unknown = |entry: &Entry| entry.told.is_none();
        if let Some((order, entry)) = self.orders.iter().find(|(_, it)| is_unknown(it)) {
            return Err(format!("nobody placed {order}: {entry:?}"));
        }
        let open = self.orders.iter().filter(|(_, entry)| entry.is_open());
        let mut open = open.filter(|(_, entry)| !entry.may_stay_open());
        if let Some((order, entry)) = open.next() {
            return Ok(Judged::Waits(format!(
                "{order} is charged and not sold: {entry:?}"
            )));
        }
        let is_kept = |account: &Account| {
            let mut keepers = account.keepers().iter();
            !self.lost.contains(account) && !keepers.any(|it| self.forgot.contains(it))
        };
        let exact = Account::ALL.into_iter().filter(is_kept);
        Ok(Judged::Holds(exact.collect()))
    }
}

impl Entry {
    /// Tells whether it must not stay as it is: it is charged, and not sold.
    fn is_open(&self) -> bool {
        !self.charged.is_empty() && self.sold.is_empty()
    }

    /// Tells whether something may still come: of one that is charged and sold, or that was refused, nothing does.
    fn is_under_way(&self) -> bool {
        match self.told {
            Some(Told::No) => false,
            _ => self.charged.is_empty() || self.sold.is_empty(),
        }
    }

    /// Tells whether somebody forgot who had to know it.
    fn may_stay_open(&self) -> bool {
        let forgot = |component| self.forgot.contains(component);
        forgot("orders")
            || forgot("inventory") && self.told != Some(Told::Failed)
            || forgot("payments") && !matches!(self.told, Some(Told::Confirmed(_)))
    }

    /// Says what nothing that comes later can put right.
    fn mistake(&self) -> Option<&'static str> {
        let wrong = |is_wrong: bool, what| is_wrong.then_some(what);
        let (asked, charged, sold) = (self.asked, self.charged.first(), self.sold.first());
        let told = match self.told {
            Some(Told::Confirmed(cents)) if charged.is_none_or(|it| *it != cents) => {
                Some("was confirmed and not paid so")
            }
            Some(Told::No) => wrong(charged.or(sold).is_some(), "was refused"),
            Some(Told::Failed) => wrong(sold.is_some(), "was not paid, as its customer knows"),
            _ => None,
        };
        wrong(self.charged.len() > 1, "was charged twice")
            .or_else(|| wrong(self.sold.len() > 1, "was sold twice"))
            .or(told)
            .or_else(|| wrong(sold.is_some() && charged.is_none(), "was sold and not paid"))
            .or_else(|| {
                let asked = asked?;
                let is_other = charged.is_some_and(|it| Some(*it) != asked.cents)
                    || sold.is_some_and(|it| *it != asked.pieces);
                wrong(is_other, "was ordered otherwise")
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECES: u64 = 2;
    const CENTS: u64 = 700;

    type Step = fn();

    const PLACED: Step = || {
        let cents = Some(CENTS);
        let pieces = PIECES;
        placed("a", Asked { pieces, cents });
    };
    const CHARGED: Step = || charged("a", CENTS);
    const REFUNDED: Step = || refunded("a");
    const SOLD: Step = || sold("a", PIECES);
    const CONFIRMED: Step = || answered(Outcome::Confirmed);
    const REFUSED: Step = || answered(Outcome::OutOfStock);
    /// The bank's answer was lost.
    const FAILED: Step = || answered(Outcome::PaymentFailed);
    /// The shop's answer was lost.
    const IN_DOUBT: Step = || told("a", &Err(CallError::Timeout(String::new())));

    fn answered(outcome: Outcome) {
        let confirmation = Confirmation {
            outcome: outcome.into(),
            total_cents: CENTS,
            ..Confirmation::default()
        };
        told("a", &Ok(confirmation));
    }

    /// What is judged when so much happened to the order `a`.
    fn judged(happened: &[Step]) -> Result<Judged, String> {
        open();
        PLACED();
        happened.iter().for_each(|happen| happen());
        judge()
    }

    fn wrong(happened: &[Step]) -> String {
        judged(happened).expect_err("it does not fit together")
    }

    fn waits(happened: &[Step]) -> bool {
        matches!(judged(happened), Ok(Judged::Waits(_)))
    }

    fn exact() -> Result<Judged, String> {
        Ok(Judged::Holds(Account::ALL.to_vec()))
    }

    #[test]
    fn an_order_that_is_paid_and_sold_is_judged_exactly_whatever_its_customer_heard() {
        for told in [CONFIRMED, IN_DOUBT] {
            assert_eq!(judged(&[CHARGED, SOLD, told]), exact());
            let (orders, cents, pieces) = (1, CENTS, PIECES);
            assert_eq!(
                sales(),
                Some(Sales {
                    orders,
                    cents,
                    pieces
                })
            );
        }
    }

    #[test]
    fn a_double_charge_is_wrong_even_if_one_is_given_back() {
        assert!(wrong(&[CHARGED, CHARGED]).starts_with("a was charged twice"));
        let put_right = wrong(&[CHARGED, CHARGED, REFUNDED, SOLD, CONFIRMED]);
        assert!(put_right.starts_with("a was charged twice"), "{put_right}");
    }

    #[test]
    fn a_confirmation_that_is_not_paid_is_wrong_even_if_it_is_later() {
        let said = wrong(&[CONFIRMED]);
        assert!(
            said.starts_with("a was confirmed and not paid so"),
            "{said}"
        );
        assert_eq!(wrong(&[CONFIRMED, CHARGED, SOLD]), said);
    }

    #[test]
    fn what_is_charged_or_sold_otherwise_than_it_was_ordered_is_wrong() {
        let twice = wrong(&[CHARGED, SOLD, SOLD, CONFIRMED]);
        assert!(twice.starts_with("a was sold twice"), "{twice}");
        let dearer: Step = || charged("a", CENTS + 1);
        let more: Step = || sold("a", PIECES + 1);
        for (happened, told) in [(&[dearer][..], IN_DOUBT), (&[CHARGED, more], CONFIRMED)] {
            let said = wrong(&[happened, &[told]].concat());
            assert!(said.starts_with("a was ordered otherwise"), "{said}");
        }
    }

    #[test]
    fn nothing_is_taken_for_what_was_refused() {
        assert_eq!(judged(&[REFUSED]), exact());
        assert!(wrong(&[CHARGED, REFUSED]).starts_with("a was refused"));
        assert!(wrong(&[REFUSED, CHARGED]).starts_with("a was refused"));
        let nobody = wrong(&[CHARGED, SOLD]);
        assert!(nobody.starts_with("nobody placed a"), "{nobody}");
    }

    /// A shop that sells although the bank's answer was lost, whether the bank has the money or gives it back.
    #[test]
    fn what_is_not_paid_is_not_sold_whatever_its_customer_heard() {
        for told in [FAILED, IN_DOUBT] {
            let never_charged = wrong(&[SOLD, told]);
            assert!(
                never_charged.starts_with("a was sold and not paid"),
                "{never_charged}"
            );
            let given_back = wrong(&[CHARGED, SOLD, REFUNDED, told]);
            assert!(
                given_back.starts_with("a was sold and not paid"),
                "{given_back}"
            );
        }
        let kept = wrong(&[CHARGED, SOLD, FAILED]);
        assert!(
            kept.starts_with("a was not paid, as its customer knows"),
            "{kept}"
        );
    }

    /// A shop that gives the goods back although they are paid.
    #[test]
    fn what_is_charged_is_sold_or_given_back_in_the_end() {
        for told in [CONFIRMED, FAILED, IN_DOUBT] {
            assert!(waits(&[CHARGED, told]));
        }
        for told in [FAILED, IN_DOUBT] {
            assert_eq!(judged(&[told]), exact());
            assert_eq!(judged(&[CHARGED, told, REFUNDED]), exact());
        }
    }

    #[test]
    fn an_order_stays_open_only_if_it_was_forgotten_by_who_had_to_know_it() {
        let forgets: [(&str, Step); 4] = [
            ("orders", || begins("orders")),
            ("inventory", || begins("inventory")),
            ("payments", || begins("payments")),
            ("shipping", || begins("shipping")),
        ];
        for (told, excuses) in [
            (CONFIRMED, &["orders", "inventory"][..]),
            (FAILED, &["orders", "payments"]),
            (IN_DOUBT, &["orders", "inventory", "payments"]),
        ] {
            for (name, begins) in forgets {
                let is_excused = excuses.contains(&name);
                assert_eq!(waits(&[CHARGED, begins, told]), !is_excused, "{name}");
            }
        }
        for begins in forgets.map(|(_, begins)| begins) {
            // Nobody forgets what comes later, or what is over.
            open();
            for happen in [begins, PLACED, CHARGED, CONFIRMED] {
                happen();
            }
            assert!(matches!(judge(), Ok(Judged::Waits(_))));
            assert!(wrong(&[CHARGED, SOLD, CONFIRMED, begins, REFUNDED]).contains("not paid"));
        }
    }

    #[test]
    fn an_account_is_judged_exactly_if_those_who_keep_it_forgot_nothing() {
        use Account::{Events, Parcels, Sales};
        let sold_and = |more: Step| judged(&[CHARGED, SOLD, CONFIRMED, more]);
        let holds = |accounts: &[Account]| Ok(Judged::Holds(accounts.to_vec()));
        assert_eq!(sold_and(|| begins("orders")), holds(&[]));
        assert_eq!(sold_and(|| begins("inventory")), holds(&[Events]));
        assert_eq!(sold_and(|| begins("payments")), holds(&[Events]));
        assert_eq!(sold_and(|| begins("shipping")), holds(&[Sales, Events]));
        assert_eq!(sold_and(|| begins("analytics")), holds(&[Sales, Parcels]));
        assert_eq!(sold_and(|| lost(Parcels)), holds(&[Sales, Events]));
    }
}
