//! Draws a shop in which something goes wrong: `cargo run -p monofil-sim --example picture -- ORDERS SHOPS > run.html`.
//!
//! The payment of an order is tried again when it was not confirmed, and so some are charged twice. The first
//! request to the stock is handled twice, and its answer is delayed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use monofil_container::{
    CallError, Caller, Component, ComponentSpec, Context, HandlerError, Message, Payload, Reply,
    Request,
};
use monofil_inproc::{Latency, LinkModel, WorldConfig};
use monofil_sim::{Deed, Injection, Sim, Span, Story, view};
use monofil_transport::record::What;

/// A component made of a function.
struct Handling<F>(F);

impl<F> Component for Handling<F>
where
    F: FnMut(&mut Context, &str) -> Result<String, CallError> + 'static,
{
    fn handle(&mut self, cx: &mut Context, message: Message) -> Result<Reply, HandlerError> {
        let text = String::from_utf8_lossy(&message.payload().to_bytes()).into_owned();
        let answer = (self.0)(cx, &text)?;
        Ok(Reply::Payload(plain(&answer)))
    }
}

fn plain(text: &str) -> Payload {
    Payload::new("text/plain", text.to_owned())
}

#[track_caller]
fn request(target: &str, method: &str, text: &str) -> Request {
    Request::new(target, method, plain(text)).with_deadline(Duration::from_millis(40))
}

type Charged = Rc<RefCell<BTreeMap<String, u32>>>;

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .map(|argument| argument.parse().expect("a number"));
    let orders = arguments.next().unwrap_or(3);
    let shops: usize = arguments.next().unwrap_or(1);
    let charged = Charged::default();
    let mut sim = world();
    for shop in 0..shops {
        open(&mut sim, shop, &charged);
    }
    let time = Span::millis(4);
    sim.inject(
        Injection::reply("stock-0")
            .nth(1)
            .does(Deed::Delay { time }),
    );
    sim.inject(Injection::request("stock-0").nth(1).does(Deed::Duplicate));
    let each = orders.div_ceil(shops);
    for shop in 0..shops {
        let customer = format!("customers-{shop}");
        sim.spawn(&customer, move |cx| {
            for order in 0..each {
                let text = format!("order {shop}-{order}");
                let orders = request(&format!("orders-{shop}"), "Place", &text)
                    .with_deadline(Duration::from_secs(1))
                    .with_flow(if order % 3 == 0 {
                        "checkout"
                    } else {
                        "reorder"
                    });
                drop(cx.call(orders));
                let pause = cx.rng().between(Duration::ZERO, Duration::from_millis(5));
                cx.sleep(pause).expect("nobody gives up");
            }
        });
    }
    if orders > 100 {
        for round in 0..(orders / 150) as u64 {
            trouble(&mut sim, round, shops);
        }
    } else {
        sim.at(Duration::from_millis(24), |sim| {
            sim.cut("payments-0", "orders-0")
        });
        sim.at(Duration::from_millis(75), |sim| {
            sim.heal("payments-0", "orders-0");
        });
    }
    let mut is_broken = false;
    let limit = Duration::from_secs(if orders > 100 { 600 } else { 2 });
    let first = if orders > 100 {
        orders as usize * 9 / 10
    } else {
        0
    };
    while !is_broken && sim.now().as_nanos() < limit.as_nanos() as u64 && sim.step() {
        let charged = charged.borrow();
        let twice = charged.iter().find(|(_, times)| **times > 1);
        if let Some((order, times)) = twice.filter(|_| charged.len() >= first) {
            let recorder = sim.world().recorder().expect("there is one");
            let text = format!("{order} was charged {times} times");
            let property = recorder.name("an order is charged once");
            let text = recorder.name(&text);
            recorder.add(
                sim.now(),
                What::Broken {
                    property,
                    text,
                    message: 0,
                },
            );
            is_broken = true;
        }
    }
    let story = Story::of(&sim.world().recording());
    let about = [
        ("seed", "7".to_owned()),
        ("time", sim.now().to_string()),
        ("records", story.moments.len().to_string()),
    ];
    println!("{}", view::page(&story, "shop", &about));
}

fn world() -> Sim {
    let link = LinkModel::with_latency(Latency::Exponential {
        min: Duration::from_micros(800),
        mean: Duration::from_millis(1),
    });
    Sim::with(
        "shop",
        WorldConfig {
            link,
            records_max: 1_000_000,
            ..WorldConfig::with_seed(7)
        },
    )
}

fn open(sim: &mut Sim, shop: usize, charged: &Charged) {
    sim.component(&format!("orders-{shop}"), move || {
        ComponentSpec::new(format!("orders-{shop}"), move || {
            Handling(move |cx: &mut Context, order: &str| {
                let stock = format!("stock-{shop}");
                cx.call(request(&stock, "Reserve", order))?;
                let payments = format!("payments-{shop}");
                let paid = (0..3).find_map(|_| {
                    let charge = request(&payments, "Charge", order);
                    cx.call(charge).ok()
                });
                if paid.is_none() {
                    cx.call(request(&stock, "Release", order))?;
                    return Err(CallError::Timeout("not paid".into()));
                }
                cx.cast(request(&format!("mail-{shop}"), "Thank", order))?;
                Ok(format!("{order} is placed"))
            })
        })
    });
    let all = charged.clone();
    sim.component(&format!("payments-{shop}"), move || {
        let all = all.clone();
        ComponentSpec::new(format!("payments-{shop}"), move || {
            let all = all.clone();
            Handling(move |cx: &mut Context, order: &str| {
                *all.borrow_mut().entry(order.to_owned()).or_default() += 1;
                cx.sleep(Duration::from_millis(3))?;
                Ok("charged".to_owned())
            })
        })
    });
    for name in ["stock", "mail"] {
        let name = format!("{name}-{shop}");
        sim.component(&name.clone(), move || {
            ComponentSpec::new(name.clone(), || {
                Handling(|_: &mut Context, order: &str| Ok(format!("{order}: done")))
            })
        });
    }
}

fn trouble(sim: &mut Sim, round: u64, shops: usize) {
    let shop = round as usize % shops;
    let at = Duration::from_millis(300 * round + 100);
    let (payments, orders, stock) = (
        format!("payments-{shop}"),
        format!("orders-{shop}"),
        format!("stock-{shop}"),
    );
    match round % 3 {
        0 => {
            let (one, other) = (payments.clone(), orders.clone());
            sim.at(at, move |sim| sim.cut(&payments, &orders));
            sim.at(at + Duration::from_millis(90), move |sim| {
                sim.heal(&one, &other);
            });
        }
        1 => {
            let again = stock.clone();
            sim.at(at, move |sim| sim.crash(&stock));
            sim.at(at + Duration::from_millis(120), move |sim| {
                sim.restart(&again);
            });
        }
        _ => {
            let again = stock.clone();
            sim.at(at, move |sim| sim.pause(&stock));
            sim.at(at + Duration::from_millis(60), move |sim| {
                sim.resume(&again);
            });
        }
    }
}
