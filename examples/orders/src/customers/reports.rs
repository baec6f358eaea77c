//! What the components have counted.

use std::time::Duration;

use monofil::prelude::*;
use serde_json::{Map, Value, json};

use crate::proto::orders::{
    AnalyticsClient, AnalyticsReport, InventoryClient, InventoryReport, OrdersClient, OrdersReport,
    PaymentsClient, PaymentsReport, ShippingClient, ShippingReport,
};

/// How often they are asked.
const INTERVAL: Duration = Duration::from_millis(50);

/// The reports of all components.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reports {
    pub(crate) orders: OrdersReport,
    pub(crate) inventory: InventoryReport,
    pub(crate) payments: PaymentsReport,
    pub(crate) shipping: ShippingReport,
    pub(crate) analytics: AnalyticsReport,
    /// Components that do not answer, whose reports are empty.
    pub(crate) missing: Vec<(&'static str, CallError)>,
}

impl Reports {
    /// Asks everybody at once.
    pub(crate) fn ask(cx: &mut Context) -> Self {
        let orders = OrdersClient::new("orders").start_report(cx, ());
        let inventory = InventoryClient::new("inventory").start_report(cx, ());
        let payments = PaymentsClient::new("payments").start_report(cx, ());
        let shipping = ShippingClient::new("shipping").start_report(cx, ());
        let analytics = AnalyticsClient::new("analytics").start_report(cx, ());
        let mut missing = Vec::new();
        Self {
            orders: answer("orders", orders.wait(cx), &mut missing),
            inventory: answer("inventory", inventory.wait(cx), &mut missing),
            payments: answer("payments", payments.wait(cx), &mut missing),
            shipping: answer("shipping", shipping.wait(cx), &mut missing),
            analytics: answer("analytics", analytics.wait(cx), &mut missing),
            missing,
        }
    }

    /// Asks until everybody answers, for so long: processes start in any order.
    ///
    /// # Errors
    ///
    /// Somebody does not.
    pub(crate) fn when_all_answer(cx: &mut Context, patience: Duration) -> Result<Self, Status> {
        let began = cx.now();
        loop {
            let reports = Self::ask(cx);
            match reports.missing.first() {
                None => return Ok(reports),
                Some((name, error)) if cx.now().since(began) > patience => {
                    let text = format!("`{name}` does not answer: {error}");
                    return Err(Status::unavailable(text));
                }
                Some(_) => cx.sleep(INTERVAL)?,
            }
        }
    }

    /// Returns what has happened since an earlier report: components may have been running for long. What
    /// was sold before is not part of the initial stock any more.
    pub(crate) fn since(&self, before: &Self) -> Self {
        macro_rules! less {
            ($component:ident: $($count:ident)*) => {{
                let mut report = self.$component;
                $(report.$count = report.$count.saturating_sub(before.$component.$count);)*
                report
            }};
        }
        let mut inventory = less!(inventory: sold refused);
        inventory.initial = inventory.initial.saturating_sub(before.inventory.sold);
        Self {
            orders: less!(orders: placed repeated published undelivered),
            inventory,
            payments: less!(payments: charged charged_cents declined failed refunded),
            shipping: less!(shipping: dispatched pieces tracked),
            analytics: less!(analytics: confirmed out_of_stock declined payment_failed invalid),
            missing: self.missing.clone(),
        }
    }

    /// Returns how many events `analytics` saw.
    pub(crate) const fn seen(&self) -> u64 {
        let seen = &self.analytics;
        seen.confirmed + seen.out_of_stock + seen.declined + seen.payment_failed + seen.invalid
    }

    /// Returns everybody's counts by name.
    pub(crate) fn to_json(&self) -> Map<String, Value> {
        macro_rules! counts {
            ($($component:ident: $($count:ident)*;)*) => {
                Map::from_iter([$((
                    stringify!($component).to_owned(),
                    json!({$(stringify!($count): self.$component.$count),*}),
                )),*])
            };
        }
        let mut all = counts! {
            orders: placed repeated published undelivered;
            inventory: initial sold left reserved refused;
            payments: charged charged_cents declined failed refunded;
            shipping: dispatched pieces tracked;
            analytics: confirmed out_of_stock declined payment_failed invalid;
        };
        for (name, error) in &self.missing {
            all.insert((*name).to_owned(), json!({ "error": error.to_string() }));
        }
        all
    }
}

fn answer<T: Default>(
    name: &'static str,
    answer: Result<T, CallError>,
    missing: &mut Vec<(&'static str, CallError)>,
) -> T {
    answer.unwrap_or_else(|error| {
        missing.push((name, error));
        T::default()
    })
}
