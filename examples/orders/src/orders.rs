//! Takes orders.
//!
//! ```text
//!   Place ──┬─▶ inventory  Reserve ─┐
//!           └─▶ inventory  Quote   ─┴─▶ payments Charge ─┬─ yes ─▶ inventory Commit, shipping Dispatch
//!                                                        └─ no ──▶ inventory Release
//!                                          and, whatever came of it, the topic orders.events
//! ```
//!
//! Calls wait for their answers. What follows from a decision are casts: the customer need not wait for
//! them. They arrive in the order in which they are sent, so what an order gave back is there for the next.
//! One that comes back is sent again, but for parcels and events: whoever hears it twice does it once.

use std::collections::BTreeMap;
use std::time::Duration;

use monofil::prelude::*;

use crate::ledger::{self, Account};
use crate::proto::orders::{
    AnalyticsClient, ChargeRequest, Confirmation, InventoryClient, Order, OrderEvent, OrderId,
    Orders, OrdersReport, Outcome, Parcel, PaymentsClient, PricingClient, QuoteRequest,
    Reservation, ShippingClient,
};
use crate::recent::Recent;

/// Decided orders remembered, to answer the same when the same is asked again.
const REMEMBERED: usize = 10_000;

/// Casts remembered, to send them again if they come back.
const SENT_MAX: usize = 10_000;

/// How often something is sent at most: for minutes, if it comes back when its deadline is over.
const TRIES_MAX: u32 = 100;

/// How long is waited before something is sent for the third time, or later: it may come back at once.
const PAUSE: Duration = Duration::from_millis(100);

/// Lines of an order.
const LINES_MAX: usize = 100;

/// Pieces in a line.
const QUANTITY_MAX: u32 = 1000;

/// Where customers place their orders.
pub(crate) struct Desk {
    inventory: InventoryClient,
    pricing: PricingClient,
    payments: PaymentsClient,
    shipping: ShippingClient,
    decided: Recent<(Order, Confirmation)>,
    /// What follows from decisions and may come back, by the ids of the casts, which grow.
    sent: BTreeMap<u64, Following>,
    counts: OrdersReport,
}

/// What follows from a decision. Others may be told it twice: each does it once.
#[derive(Clone, Copy, Debug)]
enum Step {
    Commit,
    Release,
    Refund,
}

/// A step, and whose.
struct Following {
    step: Step,
    order: OrderId,
    /// How often it was sent.
    tries: u32,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self {
            inventory: InventoryClient::new("inventory"),
            pricing: PricingClient::new("inventory"),
            payments: PaymentsClient::new("payments"),
            shipping: ShippingClient::new("shipping"),
            decided: Recent::new(REMEMBERED),
            sent: BTreeMap::new(),
            counts: OrdersReport::default(),
        }
    }
}

impl Orders for Desk {
    fn place(&mut self, cx: &mut Context, order: Order) -> Result<Confirmation, Status> {
        let confirmation = match self.decided.get(&id(&order)) {
            Some((before, confirmation)) if *before == order => {
                self.counts.repeated += 1;
                return Ok(Confirmation {
                    repeated: true,
                    ..confirmation.clone()
                });
            }
            Some(_) => refused(Outcome::Invalid, "another order has this id"),
            None => {
                let confirmation = self.check_out(cx, &order)?;
                let decided = (order.clone(), confirmation.clone());
                self.decided.insert(&id(&order), decided);
                confirmation
            }
        };
        self.counts.placed += 1;
        let event = OrderEvent {
            order_id: order.id,
            outcome: confirmation.outcome,
            total_cents: confirmation.total_cents,
        };
        // What was decided stands, whoever hears of it.
        if let Ok(told) = AnalyticsClient::publish_saw(cx, &event) {
            self.counts.published += told as u64;
        }
        Ok(confirmation)
    }

    fn report(&mut self, _: &mut Context, (): ()) -> Result<OrdersReport, Status> {
        Ok(self.counts)
    }

    fn on_undelivered(&mut self, cx: &mut Context, undelivered: Undelivered) {
        self.counts.undelivered += 1;
        let method = undelivered.method.as_str();
        match self.sent.remove(&undelivered.id) {
            Some(following) if following.tries < TRIES_MAX => self.send_again(cx, following),
            _ if method.ends_with("/Dispatch") => ledger::lost(Account::Parcels),
            _ if method.ends_with("/Saw") => ledger::lost(Account::Events),
            _ => ledger::lost(Account::Sales),
        }
    }
}

impl Desk {
    /// Decides an order.
    ///
    /// # Errors
    ///
    /// It could not be decided; nothing is reserved for it and nothing was charged.
    fn check_out(&mut self, cx: &mut Context, order: &Order) -> Result<Confirmation, Status> {
        if let Err(reason) = check(order) {
            return Ok(refused(Outcome::Invalid, reason));
        }
        let cents = match self.reserve_and_quote(cx, order) {
            Ok(cents) => cents,
            Err(error) => return refusal(error),
        };
        if let Err(refused) = self.charge(cx, order, cents) {
            self.follow(cx, Step::Release, order);
            return Ok(refused);
        }
        // The money is here: there is no way back.
        self.follow(cx, Step::Commit, order);
        if self.shipping.cast_dispatch(cx, parcel(order)).is_err() {
            self.counts.undelivered += 1;
            ledger::lost(Account::Parcels);
        }
        Ok(Confirmation {
            outcome: Outcome::Confirmed.into(),
            total_cents: cents,
            ..Confirmation::default()
        })
    }

    /// Puts the goods aside and asks for their price, both at once.
    fn reserve_and_quote(&mut self, cx: &mut Context, order: &Order) -> Result<u64, CallError> {
        let reservation = Reservation {
            order: Some(id(order)),
            lines: order.lines.clone(),
        };
        let goods = QuoteRequest {
            lines: order.lines.clone(),
        };
        let reserving = self.inventory.start_reserve(cx, reservation);
        let quoting = self.pricing.start_quote(cx, goods);
        match (reserving.wait(cx), quoting.wait(cx)) {
            (Ok(()), Ok(price)) => Ok(price.total_cents),
            (Err(error), _) | (Ok(()), Err(error)) => {
                // They may be put aside even so: an answer can be lost.
                self.follow(cx, Step::Release, order);
                Err(error)
            }
        }
    }

    /// Takes the money, or says how the order ends instead.
    fn charge(&mut self, cx: &mut Context, order: &Order, cents: u64) -> Result<(), Confirmation> {
        let request = ChargeRequest {
            order: Some(id(order)),
            cents,
        };
        match self.payments.charge(cx, request) {
            Ok(reply) if reply.accepted => Ok(()),
            Ok(_) => Err(refused(Outcome::Declined, "the bank declined")),
            Err(error) => {
                // It may have been taken even so.
                if error.executed() != Executed::No {
                    self.follow(cx, Step::Refund, order);
                }
                Err(refused(Outcome::PaymentFailed, error.to_string()))
            }
        }
    }

    fn follow(&mut self, cx: &mut Context, step: Step, order: &Order) {
        let (order, tries) = (id(order), 0);
        self.send(cx, Following { step, order, tries });
    }

    /// Sends a step that came back. It has until its own deadline then, not until that of who placed the order. No
    /// order is decided meanwhile: were the same placed again, what is given back here could be what it just got.
    fn send_again(&mut self, cx: &mut Context, following: Following) {
        let decided = self.decided.get(&following.order);
        let is_sold = decided.is_some_and(|(_, decided)| decided.outcome() == Outcome::Confirmed);
        if is_sold && matches!(following.step, Step::Release) {
            // It could not be decided at first, and was placed again.
            return;
        }
        if following.tries > 1 && cx.sleep(PAUSE).is_err() {
            return ledger::lost(Account::Sales);
        }
        self.send(cx, following);
    }

    fn send(&mut self, cx: &mut Context, mut following: Following) {
        let order = following.order.clone();
        let sent = match following.step {
            Step::Commit => self.inventory.cast_commit(cx, order),
            Step::Release => self.inventory.cast_release(cx, order),
            Step::Refund => self.payments.cast_refund(cx, order),
        };
        match sent {
            Ok(cast) => {
                following.tries += 1;
                self.sent.insert(cast, following);
                if self.sent.len() > SENT_MAX {
                    self.sent.pop_first();
                }
            }
            Err(_) => {
                self.counts.undelivered += 1;
                ledger::lost(Account::Sales);
            }
        }
    }
}

/// Says what is wrong with an order, as far as can be told without the catalogue.
fn check(order: &Order) -> Result<(), String> {
    if order.id.is_empty() {
        return Err("it has no id".into());
    }
    if order.lines.is_empty() {
        return Err("nothing is ordered".into());
    }
    if order.lines.len() > LINES_MAX {
        return Err(format!("it has more than {LINES_MAX} lines"));
    }
    match order.lines.iter().find(|line| line.quantity > QUANTITY_MAX) {
        Some(line) => Err(format!("more than {QUANTITY_MAX} of `{}`", line.sku)),
        None => Ok(()),
    }
}

/// Tells a customer's mistake, or bad luck, from a fault of ours.
fn refusal(error: CallError) -> Result<Confirmation, Status> {
    match &error {
        CallError::Remote(status) if status.code() == Code::FailedPrecondition => {
            Ok(refused(Outcome::OutOfStock, status.message()))
        }
        CallError::Remote(status)
            if matches!(status.code(), Code::InvalidArgument | Code::NotFound) =>
        {
            Ok(refused(Outcome::Invalid, status.message()))
        }
        _ => Err(error.into()),
    }
}

fn refused(outcome: Outcome, reason: impl Into<String>) -> Confirmation {
    Confirmation {
        outcome: outcome.into(),
        reason: reason.into(),
        ..Confirmation::default()
    }
}

fn id(order: &Order) -> OrderId {
    OrderId {
        id: order.id.clone(),
        visit: order.visit,
    }
}

fn parcel(order: &Order) -> Parcel {
    Parcel {
        order: Some(id(order)),
        customer: order.customer.clone(),
        city: order.city.clone(),
        pieces: order.lines.iter().map(|l| u64::from(l.quantity)).sum(),
    }
}
