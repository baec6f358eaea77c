//! Counts what happens.

use monofil::prelude::*;

use crate::proto::orders::{Analytics, AnalyticsReport, OrderEvent, Outcome};

/// A sheet of tally marks.
#[derive(Default)]
pub(crate) struct Tally(AnalyticsReport);

impl Analytics for Tally {
    fn saw(&mut self, _: &mut Context, event: OrderEvent) -> Result<(), Status> {
        let count = match event.outcome() {
            Outcome::Confirmed => &mut self.0.confirmed,
            Outcome::OutOfStock => &mut self.0.out_of_stock,
            Outcome::Declined => &mut self.0.declined,
            Outcome::PaymentFailed => &mut self.0.payment_failed,
            Outcome::Invalid => &mut self.0.invalid,
            Outcome::Unspecified => {
                let text = format!("order `{}` has no outcome", event.order_id);
                return Err(Status::invalid_argument(text));
            }
        };
        *count += 1;
        Ok(())
    }

    fn report(&mut self, _: &mut Context, (): ()) -> Result<AnalyticsReport, Status> {
        Ok(self.0)
    }
}
