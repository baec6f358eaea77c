//! A shop of five components, and customers who place orders.

mod analytics;
mod catalogue;
mod chance;
mod customers;
mod inventory;
mod ledger;
mod orders;
mod payments;
mod recent;
mod shipping;

use monofil::prelude::*;

/// What `build.rs` makes of `proto/orders.proto`.
mod proto {
    monofil::include_proto!();
}
use proto::orders::{
    AnalyticsServer, InventoryServer, OrdersServer, PaymentsServer, PricingServer, ShippingServer,
};

fn main() -> ExitCode {
    shop()
        .job::<customers::Args>("customers", customers::run)
        .main()
}

fn shop() -> App {
    App::new("orders")
        .about("A shop of five components, and customers who place orders")
        .component("analytics", || {
            ledger::begins("analytics");
            AnalyticsServer::new(analytics::Tally::default())
        })
        .component("shipping", || {
            ledger::begins("shipping");
            ShippingServer::new(shipping::PackingTable::new())
        })
        .component("payments", || {
            ledger::begins("payments");
            PaymentsServer::new(payments::Bank::new())
        })
        .component("inventory", || {
            ledger::begins("inventory");
            // Two services under one name.
            (
                InventoryServer::new(inventory::Warehouse::new()),
                PricingServer::new(inventory::PriceList),
            )
        })
        .component("orders", || {
            ledger::begins("orders");
            OrdersServer::new(orders::Desk::new())
        })
        .version(env!("CARGO_PKG_VERSION"))
}

#[cfg(test)]
mod tests;
