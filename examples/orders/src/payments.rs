//! Stands for a bank.

use monofil::prelude::*;

use crate::chance::Chance;
use crate::ledger;
use crate::proto::orders::{ChargeReply, ChargeRequest, OrderId, Payments, PaymentsReport};
use crate::recent::Recent;

/// Charges remembered, to take money once when the same is asked again.
const REMEMBERED: usize = 1000;

/// Of 1000 charges, how many the bank declines.
const DECLINED: u64 = 40;

/// Of 1000 charges, how many the bank does not answer.
const FAILED: u64 = 10;

/// A bank with one account, the shop's.
pub(crate) struct Bank {
    charges: Recent<Charge>,
    counts: PaymentsReport,
}

struct Charge {
    request: ChargeRequest,
    refunded: bool,
}

/// What the bank makes of a charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Accepted,
    Declined,
    Failed,
}

impl Bank {
    pub(crate) const fn new() -> Self {
        Self {
            charges: Recent::new(REMEMBERED),
            counts: PaymentsReport {
                charged: 0,
                charged_cents: 0,
                declined: 0,
                failed: 0,
                refunded: 0,
            },
        }
    }
}

/// A pure function, so that an order ends the same in every layout.
fn verdict(seed: u64, order: &str) -> Verdict {
    match Chance::new(seed, order).below(1000) {
        drawn if drawn < DECLINED => Verdict::Declined,
        drawn if drawn < DECLINED + FAILED => Verdict::Failed,
        _ => Verdict::Accepted,
    }
}

impl Payments for Bank {
    fn charge(&mut self, _: &mut Context, request: ChargeRequest) -> Result<ChargeReply, Status> {
        let order = request.order.clone().unwrap_or_default();
        let before = self.charges.get(&order);
        if let Some(charge) = before.filter(|charge| charge.request == request) {
            let accepted = !charge.refunded;
            return Ok(ChargeReply { accepted });
        }
        let seed = order.visit.unwrap_or_default().seed;
        match verdict(seed, &order.id) {
            Verdict::Failed => {
                self.counts.failed += 1;
                ledger::failed(&order.id);
                return Err(Status::unavailable("the bank does not answer"));
            }
            Verdict::Declined => {
                self.counts.declined += 1;
                return Ok(ChargeReply { accepted: false });
            }
            Verdict::Accepted => {}
        }
        self.counts.charged += 1;
        self.counts.charged_cents += request.cents;
        ledger::charged(&order.id, request.cents);
        let refunded = false;
        self.charges.insert(&order, Charge { request, refunded });
        Ok(ChargeReply { accepted: true })
    }

    fn refund(&mut self, _: &mut Context, order: OrderId) -> Result<(), Status> {
        if let Some(charge) = self.charges.get_mut(&order)
            && !charge.refunded
        {
            charge.refunded = true;
            self.counts.charged -= 1;
            self.counts.charged_cents -= charge.request.cents;
            self.counts.refunded += 1;
            ledger::refunded(&order.id);
        }
        Ok(())
    }

    fn report(&mut self, _: &mut Context, (): ()) -> Result<PaymentsReport, Status> {
        Ok(self.counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_is_a_pure_function_of_seed_and_order() {
        let verdicts = |seed| (0..10_000).map(move |n| verdict(seed, &format!("A-{n}")));
        assert!(verdicts(7).eq(verdicts(7)));
        assert!(verdicts(7).ne(verdicts(8)));
        // Were these to change, outcomes of earlier runs could not be compared with.
        let number = |of| verdicts(7).filter(|verdict| *verdict == of).count();
        assert_eq!(number(Verdict::Declined), 419);
        assert_eq!(number(Verdict::Failed), 91);
    }
}
