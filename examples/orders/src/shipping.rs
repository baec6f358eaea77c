//! Sends parcels, and tells where they are.

use std::time::Duration;

use monofil::prelude::*;

use crate::chance::Chance;
use crate::proto::orders::{OrderId, Parcel, Shipping, ShippingReport, TrackingUpdate};
use crate::recent::Recent;

/// Parcels remembered, to be tracked.
const REMEMBERED: usize = 10_000;

/// How long a parcel takes from one station to the next; a shop in a hurry.
const LEG: Duration = Duration::from_millis(5);

/// Where parcels are handled on their way.
const HUBS: [&str; 5] = ["Hannover", "Liège", "Leipzig", "Poznań", "Verona"];

/// A table, tape and a van.
pub(crate) struct PackingTable {
    parcels: Recent<Parcel>,
    counts: ShippingReport,
}

impl PackingTable {
    pub(crate) const fn new() -> Self {
        Self {
            parcels: Recent::new(REMEMBERED),
            counts: ShippingReport {
                dispatched: 0,
                pieces: 0,
                tracked: 0,
            },
        }
    }
}

impl Shipping for PackingTable {
    fn dispatch(&mut self, _: &mut Context, parcel: Parcel) -> Result<(), Status> {
        self.counts.dispatched += 1;
        self.counts.pieces += parcel.pieces;
        let order = parcel.order.clone().unwrap_or_default();
        self.parcels.insert(&order, parcel);
        Ok(())
    }

    fn track(
        &mut self,
        _: &mut Context,
        order: OrderId,
    ) -> Result<Replies<TrackingUpdate>, Status> {
        let Some(parcel) = self.parcels.get(&order) else {
            let text = format!("no parcel was sent for order `{}`", order.id);
            return Err(Status::not_found(text));
        };
        self.counts.tracked += 1;
        let mut stations = route(&order.id, parcel).into_iter();
        // Runs beside this instance's other messages, each time the reader has room for one more.
        Ok(Replies::from_fn(move |cx| {
            let station = stations.next()?;
            Some(cx.sleep(LEG).map(|()| station).map_err(Status::from))
        }))
    }

    fn report(&mut self, _: &mut Context, (): ()) -> Result<ShippingReport, Status> {
        Ok(self.counts)
    }
}

/// The way of a parcel.
fn route(order: &str, parcel: &Parcel) -> [TrackingUpdate; 4] {
    let hub = Chance::new(0, order).one_of(&HUBS);
    let update = |status: &str, place: &str| TrackingUpdate {
        status: status.into(),
        place: place.into(),
    };
    [
        update("packed", "warehouse"),
        update("handed over", "warehouse"),
        update("in transit", hub),
        update("delivered", &parcel.city),
    ]
}
