//! What there is, and what it costs.

use std::collections::BTreeMap;

use monofil::prelude::*;

use crate::catalogue::{self, Basket, PRODUCTS};
use crate::ledger;
use crate::proto::orders::{
    Delivery, Inventory, InventoryReport, Line, OrderId, Price, Pricing, QuoteRequest, Reservation,
};
use crate::recent::{Key, key};

/// Orders for which goods are put aside at once.
const ASIDE_MAX: usize = 1000;

/// Of one product, from how many on it is cheaper.
const DISCOUNT_FROM: u64 = 6;

/// The shelves, and what stands beside them for orders that are not decided yet.
pub(crate) struct Warehouse {
    shelves: Basket,
    aside: BTreeMap<Key, Basket>,
    counts: InventoryReport,
}

impl Warehouse {
    /// Opens with the stock of the catalogue.
    pub(crate) fn new() -> Self {
        let shelves: Basket = PRODUCTS.iter().map(|p| (p.sku, p.stock)).collect();
        let counts = InventoryReport {
            initial: shelves.values().sum(),
            ..InventoryReport::default()
        };
        Self {
            shelves,
            aside: BTreeMap::new(),
            counts,
        }
    }

    fn put_aside(&mut self, order: Key, wanted: Basket) -> Result<(), Status> {
        for (sku, pieces) in &wanted {
            let left = self.shelves.get(sku).copied().unwrap_or_default();
            if *pieces > left {
                let name = catalogue::find(sku).map_or(*sku, |product| product.name);
                let text = format!("{pieces} of `{name}` wanted, {left} left");
                return Err(Status::failed_precondition(text));
            }
        }
        for (sku, pieces) in &wanted {
            *self.shelves.entry(sku).or_default() -= pieces;
        }
        self.aside.insert(order, wanted);
        Ok(())
    }

    fn put_back(&mut self, order: &Key) {
        for (sku, pieces) in self.aside.remove(order).unwrap_or_default() {
            *self.shelves.entry(sku).or_default() += pieces;
        }
    }
}

impl Inventory for Warehouse {
    fn deliver(&mut self, _: &mut Context, delivery: Delivery) -> Result<(), Status> {
        for (sku, pieces) in catalogue::basket(&delivery.lines)? {
            *self.shelves.entry(sku).or_default() += pieces;
            self.counts.initial += pieces;
        }
        Ok(())
    }

    fn reserve(&mut self, _: &mut Context, reservation: Reservation) -> Result<(), Status> {
        let wanted = catalogue::basket(&reservation.lines)?;
        let order = key(&reservation.order.unwrap_or_default());
        match self.aside.get(&order) {
            Some(aside) if *aside == wanted => return Ok(()),
            // Never decided, and now it is about other goods.
            Some(_) => self.put_back(&order),
            None => {}
        }
        if self.aside.len() >= ASIDE_MAX {
            let text = format!("goods are put aside for {ASIDE_MAX} orders already");
            return Err(Status::resource_exhausted(text));
        }
        self.put_aside(order, wanted)
            .inspect_err(|_| self.counts.refused += 1)
    }

    fn commit(&mut self, _: &mut Context, order: OrderId) -> Result<(), Status> {
        if let Some(sold) = self.aside.remove(&key(&order)) {
            let pieces = sold.values().sum();
            self.counts.sold += pieces;
            ledger::sold(&order.id, pieces);
        }
        Ok(())
    }

    fn release(&mut self, _: &mut Context, order: OrderId) -> Result<(), Status> {
        self.put_back(&key(&order));
        Ok(())
    }

    fn report(&mut self, _: &mut Context, (): ()) -> Result<InventoryReport, Status> {
        Ok(InventoryReport {
            left: self.shelves.values().sum(),
            reserved: self.aside.values().flat_map(Basket::values).sum(),
            ..self.counts
        })
    }
}

/// Knows prices. A second service of the component, and no business of the shelves.
pub(crate) struct PriceList;

impl Pricing for PriceList {
    fn quote(&mut self, _: &mut Context, request: QuoteRequest) -> Result<Price, Status> {
        total_cents(&request.lines).map(|total_cents| Price { total_cents })
    }
}

/// Returns the price of some lines.
///
/// # Errors
///
/// There is no such product.
pub(crate) fn total_cents(lines: &[Line]) -> Result<u64, Status> {
    let goods = catalogue::basket(lines)?;
    let prices = goods.into_iter().map(|(sku, pieces)| {
        let cents = catalogue::find(sku).map_or(0, |product| product.cents);
        price(cents, pieces)
    });
    Ok(prices.fold(0, u64::saturating_add))
}

/// A tenth off for many of the same.
const fn price(cents: u64, pieces: u64) -> u64 {
    let full = cents.saturating_mul(pieces);
    if pieces < DISCOUNT_FROM {
        full
    } else {
        full - full / 10
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_gets_all_it_wants_or_nothing() {
        let mut warehouse = Warehouse::new();
        let before = warehouse.shelves.clone();
        let wanted = Basket::from([("CARE-BRUSH", 1), ("MACHINE-DUAL", 1000)]);
        let refused = warehouse.put_aside((1, "a".into()), wanted);
        assert_eq!(
            refused.map_err(|status| status.code()),
            Err(Code::FailedPrecondition)
        );
        assert_eq!(warehouse.shelves, before);
        assert!(warehouse.aside.is_empty());
    }

    #[test]
    fn six_of_a_kind_are_a_tenth_cheaper() {
        assert_eq!(price(999, 5), 4995);
        assert_eq!(price(999, 6), 5395);
        assert_eq!(price(u64::MAX, 2), u64::MAX);
    }
}
