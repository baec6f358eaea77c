//! Links that are not the same both ways.

use std::time::Duration;

use monofil_container::Context;
use monofil_sim::Sim;

use crate::counter::{ask, counter};

fn sim(plan: &str) -> Sim {
    let mut sim = Sim::new("counters", 7);
    counter(&mut sim);
    sim.client("ada").client("bob");
    sim.follow(&toml::from_str(plan).expect("a plan"));
    sim
}

/// Returns how long a request and its answer are on the way, in milliseconds, once there is a connection.
fn took(plan: &str) -> (u64, u64) {
    let mut sim = sim(plan);
    let (began, ended) = sim.run("ada", |cx: &mut Context| {
        ask(cx, "Add", 1).expect("an answer");
        let began = cx.now();
        ask(cx, "Add", 1).expect("an answer");
        (began, cx.now())
    });
    let arrived = sim.received("counter")[1].at;
    let millis = |time: Duration| u64::try_from(time.as_millis()).expect("a short time");
    (millis(began.until(arrived)), millis(arrived.until(ended)))
}

#[test]
fn a_way_is_as_it_is_said_and_the_way_back_is_not() {
    let slow = r#"link.latency = { shape = "constant", time = "80ms" }"#;
    for (from, to, expected) in [
        ("ada", "counter", (80, 1)),
        ("ada", "*", (80, 1)),
        ("counter", "ada", (1, 80)),
        ("*", "ada", (1, 80)),
        ("*", "*", (80, 80)),
        ("counter", "bob", (1, 1)),
    ] {
        let plan = format!("[[ways]]\nfrom = {from:?}\nto = {to:?}\n{slow}\n");
        assert_eq!(took(&plan), expected, "{plan}");
    }
}

#[test]
fn of_two_that_are_meant_the_later_counts_and_says_only_what_is_otherwise() {
    let plan = r#"
        link.latency = { shape = "constant", time = "10ms" }
        [[ways]]
        from = "ada"
        to = "*"
        link.bandwidth = { bytes_per_second = 1000000000, queue_bytes = 1000 }
        [[ways]]
        from = "*"
        to = "ada"
        link.latency = { shape = "constant", time = "20ms" }
        [[ways]]
        from = "counter"
        to = "ada"
        link.latency = { shape = "constant", time = "30ms" }
    "#;
    assert_eq!(took(plan), (10, 30));
}

#[test]
fn what_happens_to_a_way_happens_to_it_alone() {
    let ways = |from: &str, to: &str| {
        format!(
            "[[events]]\nevent = \"partition\"\nat = \"0s\"\nlasts = \"20s\"\none_way = true\n\
             from = [{from:?}]\nto = [{to:?}]\n"
        )
    };
    for (from, to, handled) in [("ada", "*", 0), ("*", "ada", 1)] {
        let mut sim = sim("");
        let plan = toml::from_str(&ways(from, to)).expect("a plan");
        let task = sim.spawn("ada", |cx: &mut Context| {
            let first = ask(cx, "Get", 0);
            cx.sleep(Duration::from_secs(1)).expect("slept");
            (first, ask(cx, "Add", 1))
        });
        // Until there is a connection.
        sim.run_for(Duration::from_millis(500));
        let before = sim.received("counter").len();
        sim.follow(&plan);
        sim.run_for(Duration::from_secs(10));
        let (first, second) = task.take().expect("it returned");
        assert!(first.is_ok() && second.is_err(), "{first:?} {second:?}");
        assert_eq!(sim.received("counter").len() - before, handled, "{from}");
    }
}
