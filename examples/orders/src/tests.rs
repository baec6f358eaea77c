//! The shop as its customers see it, in a simulated world.

use std::time::Duration;

use monofil::prelude::*;
use monofil::sim::{Event, Happening, Plan, ServiceTime, Shape, Sim, Span};

use crate::proto::orders::{
    ChargeRequest, InventoryClient, Line, Order, OrderId, OrdersClient, Outcome, PaymentsClient,
    ShippingClient, Visit,
};
use crate::shop;

const fn visit(number: u64) -> Visit {
    Visit { number, seed: 7 }
}

fn id(number: u64) -> OrderId {
    OrderId {
        id: "A".into(),
        visit: Some(visit(number)),
    }
}

#[test]
fn a_refund_is_of_one_visit_only() {
    let mut sim = Sim::of(&shop(), 1);
    let report = sim.run("someone", |cx| {
        let bank = PaymentsClient::new("payments");
        for number in [1, 2] {
            let request = ChargeRequest {
                order: Some(id(number)),
                cents: number * 100,
            };
            let reply = bank.charge(cx, request)?;
            assert!(reply.accepted);
        }
        // What was charged in the first visit stays, and what never was is not given back.
        bank.refund(cx, id(2))?;
        bank.refund(cx, id(3))?;
        bank.report(cx, ())
    });
    let report = report.expect("the bank answers");
    assert_eq!(
        (report.charged, report.charged_cents, report.refunded),
        (1, 100, 1)
    );
}

#[test]
fn two_visits_with_one_id_are_two_orders() {
    let mut sim = Sim::of(&shop(), 1);
    sim.run("someone", |cx| {
        let desk = OrdersClient::new("orders");
        let place = |cx: &mut Context, number: u64, quantity: u32| {
            let order = Order {
                id: "A".into(),
                lines: vec![Line {
                    sku: "CARE-BRUSH".into(),
                    quantity,
                }],
                city: format!("city {number}"),
                visit: Some(visit(number)),
                ..Order::default()
            };
            desk.place(cx, order)
        };
        let mut told = Vec::new();
        // Each is placed twice, with the other in between.
        for number in [1, 2, 1, 2] {
            let confirmation = place(cx, number, 1)?;
            assert_eq!(confirmation.outcome(), Outcome::Confirmed);
            told.push(confirmation.repeated);
        }
        assert_eq!(told, [false, false, true, true]);
        // Within a visit an id is of one order.
        assert_eq!(place(cx, 1, 2)?.outcome(), Outcome::Invalid);
        assert_eq!(PaymentsClient::new("payments").report(cx, ())?.charged, 2);
        for number in [1, 2] {
            let mut updates = ShippingClient::new("shipping").track(cx, id(number));
            let mut last = None;
            while let Some(update) = updates.next(cx) {
                last = Some(update?.place);
            }
            assert_eq!(last, Some(format!("city {number}")));
        }
        Ok::<_, CallError>(())
    })
    .expect("the shop answers");
}

/// Who sells is out of reach from when the bank is asked until long after it had to be told.
#[test]
fn what_was_paid_is_sold_even_if_nobody_hears_of_it_at_first() {
    let mut sim = Sim::of(&shop(), 1);
    let plan = Plan {
        service: vec![ServiceTime {
            component: "payments".into(),
            method: "Charge".into(),
            takes: Shape::constant(Span::millis(500)),
        }],
        events: vec![Event {
            at: Span::millis(300),
            lasts: Some(Span::secs(8)),
            what: Happening::Partition {
                from: vec!["orders".into()],
                to: vec!["inventory".into()],
                one_way: false,
                flaps: None,
            },
        }],
        ..Plan::default()
    };
    sim.follow(&plan);
    let reports = sim.run("someone", |cx| {
        let order = Order {
            id: "A".into(),
            lines: vec![Line {
                sku: "CARE-BRUSH".into(),
                quantity: 2,
            }],
            visit: Some(visit(1)),
            ..Order::default()
        };
        let desk = OrdersClient::new("orders");
        let confirmation = desk.place(cx, order)?;
        assert_eq!(confirmation.outcome(), Outcome::Confirmed);
        let came_back = loop {
            cx.sleep(Duration::from_millis(100))?;
            match desk.report(cx, ())?.undelivered {
                0 => {}
                came_back => break came_back,
            }
        };
        cx.sleep(Duration::from_secs(10))?;
        let inventory = InventoryClient::new("inventory").report(cx, ())?;
        Ok::<_, CallError>((came_back, inventory))
    });
    let (came_back, inventory) = reports.expect("the shop answers");
    assert_eq!((came_back, inventory.sold, inventory.reserved), (1, 2, 0));
}
