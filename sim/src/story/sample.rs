//! A run in which an order is charged twice, as it would be recorded.

use std::panic::Location;
use std::time::Duration;

use monofil_transport::Instant;
use monofil_transport::record::{Manner, Recorder, Sent, What};

use crate::Story;

const CLIENT: u32 = 0;
const ORDERS: u32 = 1;
const PAYMENTS: u32 = 2;
const STOCK: u32 = 3;

struct Writer(Recorder);

impl Writer {
    fn add(&self, millis: u64, node: u32, what: What) -> u64 {
        let at = Instant::ZERO + Duration::from_millis(millis);
        self.0.of(node).add(at, what)
    }

    fn sent(&self, millis: u64, node: u32, (message, cause): (u64, u64), names: [&str; 3]) {
        let [from, to, method] = names.map(Into::into);
        let sent = Sent {
            message,
            cause,
            call: message,
            manner: Manner::Call,
            from,
            to,
            method,
            flow: "checkout".into(),
            payload: "1: \"A-17\"".into(),
            bytes: 6,
            place: Some(Location::caller()),
        };
        self.add(millis, node, What::Sent(Box::new(sent)));
    }

    fn began(&self, millis: u64, node: u32, task: u64, message: u64, method: &str) {
        let names = ["app/client", "shop/orders", "shop/payments", "shop/stock"];
        let component = names[node as usize].into();
        if message > 0 {
            let (component, instance) = (self.0.name(names[node as usize]), 0);
            self.add(
                millis,
                node,
                What::Queued {
                    message,
                    component,
                    instance,
                },
            );
        }
        let (method, instance) = (method.into(), 0);
        self.add(
            millis,
            node,
            What::Began {
                task,
                message,
                component,
                instance,
                method,
            },
        );
    }

    fn waits(&self, millis: u64, node: u32, task: u64) {
        let place = Location::caller();
        self.add(millis, node, What::Suspended { task, place });
    }

    fn goes_on(&self, millis: u64, node: u32, task: u64) {
        self.add(millis, node, What::Resumed { task });
    }

    fn ended(&self, millis: u64, node: u32, task: u64) {
        self.add(millis, node, What::Ended { task, error: None });
    }
}

/// The story of that run.
pub(crate) fn failing() -> Story {
    let recorder = Recorder::new(1_000);
    for name in ["client", "orders", "payments", "stock"] {
        recorder.add_node(name);
    }
    let run = Writer(recorder);
    for node in [CLIENT, ORDERS, PAYMENTS, STOCK] {
        run.add(0, node, What::NodeStarted { incarnation: 1 });
    }
    let place = ["app/client", "shop/orders", "shop.Orders/Place"];
    let charge = ["shop/orders", "shop/payments", "shop.Payments/Charge"];
    run.began(1, CLIENT, 1, 0, "start");
    run.sent(1, CLIENT, (11, 0), place);
    run.waits(1, CLIENT, 1);
    run.began(3, ORDERS, 1, 11, "shop.Orders/Place");
    run.sent(3, ORDERS, (12, 11), charge);
    let (to, bytes) = (Some(PAYMENTS), 40);
    let sent = run.add(3, ORDERS, What::FrameSent { to, bytes });
    run.waits(3, ORDERS, 1);
    let from = ORDERS;
    run.add(4, PAYMENTS, What::FrameArrived { from, sent });
    run.began(4, PAYMENTS, 1, 12, "shop.Payments/Charge");
    run.waits(4, PAYMENTS, 1);
    run.add(5, ORDERS, What::Cut { to: PAYMENTS });
    run.add(5, PAYMENTS, What::Cut { to: ORDERS });
    run.goes_on(7, PAYMENTS, 1);
    run.ended(7, PAYMENTS, 1);
    let outcome = Err("timed out".into());
    run.add(43, ORDERS, What::CallEnded { call: 12, outcome });
    run.goes_on(43, ORDERS, 1);
    run.sent(43, ORDERS, (13, 11), charge);
    let reserve = ["shop/orders", "shop/stock", "shop.Stock/Reserve"];
    run.sent(43, ORDERS, (14, 11), reserve);
    run.waits(43, ORDERS, 1);
    run.add(44, ORDERS, What::Healed { to: PAYMENTS });
    run.add(44, PAYMENTS, What::Healed { to: ORDERS });
    run.add(45, ORDERS, What::AnswerLate { call: 12 });
    run.began(45, STOCK, 1, 0, "start");
    run.waits(45, STOCK, 1);
    run.add(46, STOCK, What::NodeCrashed);
    run.began(47, PAYMENTS, 2, 13, "shop.Payments/Charge");
    let (property, text) = ("an order is charged once", "A-17 was charged 2 times");
    let (property, text) = (property.into(), text.into());
    run.add(
        47,
        PAYMENTS,
        What::Broken {
            property,
            text,
            message: 0,
        },
    );
    Story::of(&run.0.recording())
}
