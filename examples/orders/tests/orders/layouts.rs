//! The same orders end the same, and the books balance, wherever the components are.

use monofil_tests::{Place, Program};
use monofil_transport::Stream;
use rustix::process::Signal;

use crate::shop::{Summary, outcomes, seed, shop};

/// How one run went.
struct Run {
    layout: &'static str,
    summary: Summary,
    /// Of each order, in their order.
    outcomes: Vec<(String, String)>,
}

/// What the customers are told to do, in every layout.
fn customers(seed: u64, orders: u64, concurrency: u16) -> String {
    format!(
        "--generate {orders} --stock 50 --seed {seed} --concurrency {concurrency} --json \
         --outcomes outcomes.tsv"
    )
}

/// Runs a layout that is one command.
fn run(layout: &'static str, customers: &str) -> Run {
    let place = shop();
    ended(
        layout,
        &place,
        place.start(&format!("{layout} {customers}")),
    )
}

/// Runs two components in one process, three in one each, and the customers, started in any order.
fn run_mixed(seed: u64, customers: &str) -> Run {
    let place = shop();
    let mut commands = [
        "run orders payments",
        "run inventory",
        "run shipping",
        "run analytics",
        "run customers",
    ];
    Stream::new(seed, "tests/start").shuffle(&mut commands);
    println!("started in this order: {commands:?}");
    let mut components = Vec::new();
    let mut job = None;
    for command in commands {
        if command == "run customers" {
            job = Some(place.start(&format!("{command} {customers}")));
        } else {
            components.push(place.start(&format!("{command} --log-level warn")));
        }
    }
    let run = ended("mixed", &place, job.expect("it is one of them"));
    for component in &components {
        component.signal(Signal::TERM);
    }
    for component in components {
        let ended = component.wait();
        assert_eq!((ended.code, &*ended.err), (Some(0), ""), "{ended:?}");
    }
    assert_eq!(place.sockets(), Vec::<String>::new());
    run
}

/// Waits for the end of a run and looks at what it says by itself.
fn ended(layout: &'static str, place: &Place, program: Program) -> Run {
    let ended = program.wait();
    assert_eq!(
        (ended.code, &*ended.err),
        (Some(0), ""),
        "{layout}: {ended:?}"
    );
    let run = Run {
        layout,
        summary: Summary::of(&ended),
        outcomes: outcomes(place),
    };
    run.check();
    run
}

impl Run {
    /// Checks what must be so in every run in which nobody is killed.
    fn check(&self) {
        let Self {
            layout,
            summary,
            outcomes,
        } = self;
        let books = &summary.books;
        assert!(books.balanced, "{layout}: {books:?}");
        assert_eq!(
            summary.outcomes.values().sum::<u64>(),
            summary.orders,
            "{layout}"
        );
        assert_eq!((summary.repeated, summary.wrong_lines), (0, 0), "{layout}");
        assert_eq!(outcomes.len() as u64, summary.orders, "{layout}");
        for (outcome, orders) in &summary.outcomes {
            let listed = outcomes.iter().filter(|(_, it)| it == outcome).count();
            assert_eq!(listed as u64, *orders, "{layout}: {outcome}");
        }
        // Everybody was counted by everybody who had to do with it.
        let count = |component: &str, what: &str| summary.components[component][what];
        assert_eq!(count("orders", "placed"), summary.orders, "{layout}");
        assert_eq!(count("orders", "undelivered"), 0, "{layout}");
        assert_eq!(books.seen, summary.orders, "{layout}");
        assert_eq!(books.stock.reserved, 0, "{layout}: {books:?}");
        for (outcome, component, what) in [
            ("out_of_stock", "inventory", "refused"),
            ("declined", "payments", "declined"),
            ("payment_failed", "payments", "failed"),
            ("confirmed", "shipping", "dispatched"),
        ] {
            assert_eq!(
                summary.ended(outcome),
                count(component, what),
                "{layout}: {outcome}"
            );
        }
    }

    /// Checks that another run ended each order as this one.
    fn check_same(&self, other: &Self) {
        let differ = self
            .outcomes
            .iter()
            .zip(&other.outcomes)
            .find(|(one, two)| one != two);
        assert_eq!(differ, None, "{} and {}", self.layout, other.layout);
        assert_eq!(self.outcomes.len(), other.outcomes.len());
        assert_eq!(self.summary.outcomes, other.summary.outcomes);
        assert_eq!(
            self.summary.components, other.summary.components,
            "{}",
            other.layout
        );
    }
}

/// Runs every layout and compares each with the first.
fn compare(seed: u64, orders: u64, concurrency: u16) -> Run {
    let customers = customers(seed, orders, concurrency);
    let memory = run("run", &customers);
    assert_eq!(memory.summary.layout, "memory");
    for (layout, name) in [
        ("sim --latency 500us..5ms", "sim"),
        ("up --order shuffled", "ipc"),
        ("up --transport tcp --order reversed", "tcp"),
    ] {
        let other = run(layout, &customers);
        assert_eq!(other.summary.layout, name);
        memory.check_same(&other);
    }
    memory.check_same(&run_mixed(seed, &customers));
    memory
}

#[test]
fn one_order_at_a_time_ends_the_same_in_every_layout() {
    let run = compare(seed(), 500, 1);
    for outcome in ["confirmed", "out_of_stock", "declined"] {
        assert!(
            run.summary.ended(outcome) > 0,
            "no order is {outcome}: {:?}",
            run.summary
        );
    }
}

#[test]
fn many_orders_at_once_end_the_same_in_every_layout_when_stock_runs_out() {
    let run = compare(seed(), 1000, 16);
    let refused = run.summary.ended("out_of_stock");
    assert!(
        refused * 20 >= run.summary.orders,
        "only {refused} out of stock"
    );
}

#[test]
fn customers_may_come_again_while_the_components_stay() {
    let place = shop();
    let components = place.start("run analytics shipping payments inventory orders");
    for (visit, seed) in (1_u64..).zip([seed(), seed() + 1]) {
        let customers = customers(seed, 200, 4);
        let run = ended(
            "again",
            &place,
            place.start(&format!("run customers {customers}")),
        );
        assert_eq!(run.summary.orders, 200, "visit {visit}");
    }
    components.signal(Signal::TERM);
    assert_eq!(components.wait().code, Some(0));
}
