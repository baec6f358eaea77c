//! Handlers that take long, seen from other processes.

use monofil_tests::{Place, Program, eventually};
use rustix::process::Signal;
use serde_json::Value;

use crate::support::place;

/// Probes are answered by who is alive, so a few of them are soon over.
const WATCH: &str = "--log-level info --set node.probe_interval=50ms --set node.silent_after=1s";

/// Asks the node of a component how it is.
fn describe(place: &Place, component: &str) -> Value {
    let described = place.run(&format!("describe {component} --json --deadline 30s"));
    assert_eq!(described.code, Some(0), "{described:?}");
    serde_json::from_str(&described.out).expect("a description")
}

/// Returns what the relay's node says of the worker's.
fn health(relay: &Value) -> (&str, &str) {
    let mut peers = relay["peers"].as_array().expect("peers").iter();
    let worker = peers
        .find(|peer| peer["name"] == "worker")
        .expect("they have met");
    (
        worker["health"].as_str().expect("a text"),
        worker["handler"].as_str().expect("a text"),
    )
}

fn datagrams(described: &Value) -> u64 {
    let count = &described["counters"]["monofil_datagrams_received_total"];
    count.as_u64().expect("a number")
}

/// Lets the relay and the worker meet.
fn introduce(place: &Place) {
    let call = place.run("call relay echo 1 --running --deadline 30s");
    assert_eq!(call.code, Some(0), "{call:?}");
}

#[test]
fn a_process_whose_handler_spins_is_busy_to_others_and_says_so_itself() {
    let place = place();
    let mut worker = place.start(&format!(
        "run worker {WATCH} --set zmq.stall_threshold=100ms"
    ));
    let mut relay = place.start(&format!("run relay {WATCH}"));
    introduce(&place);
    let _caller = place.start("call worker spin --running --deadline 1h");

    let says = |line: &str, what: &str| {
        (line.contains(what) && line.contains("app/worker/spin")).then_some(())
    };
    worker.wait_for(|line| says(line, "a handler holds the thread"));
    relay.wait_for(|line| says(line, "peer is busy"));
    let first = describe(&place, "relay");
    assert_eq!(health(&first), ("busy", "app/worker/spin"));
    // The worker's node is asked again and again, and is not silent however long it takes.
    let mut last = first.clone();
    eventually("more probes are answered", || {
        last = describe(&place, "relay");
        datagrams(&last) >= datagrams(&first) + 40
    });
    assert_eq!(health(&last), ("busy", "app/worker/spin"));

    worker.kill();
    relay.signal(Signal::TERM);
    let relay = relay.wait();
    let before_the_kill = relay.err.split("link ended").next().expect("a text");
    assert!(!before_the_kill.contains("silent"), "{relay:?}");
}

#[test]
fn a_process_whose_handler_spins_for_too_long_is_silent_to_others() {
    let place = place();
    let worker = place.start(&format!(
        "run worker {WATCH} --set zmq.stall_threshold=100ms --set node.busy_max=1s"
    ));
    let mut relay = place.start(&format!("run relay {WATCH}"));
    introduce(&place);
    let _caller = place.start("call worker spin --running --deadline 1h");

    relay.wait_for(|line| line.contains("peer is busy").then_some(()));
    relay.wait_for(|line| line.contains("peer is silent").then_some(()));
    let described = describe(&place, "relay");
    assert_eq!(health(&described), ("silent", ""));
    worker.kill();
}

#[test]
fn a_stall_that_is_over_is_counted_by_its_handler_and_calls_nobody_silent() {
    let place = place();
    let worker = place.start(&format!(
        "run worker {WATCH} --set zmq.stall_threshold=100ms"
    ));
    let _relay = place.start("run relay");
    introduce(&place);
    // Longer than another node may be silent.
    let call = place.run("call worker spin 2 --running --deadline 30s");
    assert_eq!(call.code, Some(0), "{call:?}");
    let first = describe(&place, "worker");
    let stalls = &first["counters"]["monofil_loop_stalls_total{handler=\"app/worker/spin\"}"];
    assert_eq!(*stalls, 1, "{first}");
    eventually("it has asked again", || {
        datagrams(&describe(&place, "worker")) >= datagrams(&first) + 4
    });
    worker.signal(Signal::TERM);
    let worker = worker.wait();
    assert!(!worker.err.contains("silent"), "{worker:?}");
}

#[test]
fn a_handler_that_blocks_or_sleeps_is_nothing_to_its_neighbours() {
    for method in ["block", "sleep"] {
        let place = place();
        let both = place.start(&format!("run worker relay {WATCH}"));
        // For longer than anything here takes.
        let mut caller: Program =
            place.start(&format!("call worker {method} 600 --running --deadline 1h"));
        eventually("the worker is at it", || {
            let described = describe(&place, "worker");
            described["counters"]["monofil_handlers_started_total"] == 1
        });
        for _ in 0..5 {
            let call = place.run("call relay here --running --deadline 30s");
            assert_eq!(call.code, Some(0), "{method}: {call:?}");
        }
        assert!(!caller.has_ended(), "{method}: {:?}", caller.wait());
        // Two of the same could be taken as one.
        both.signal(Signal::TERM);
        both.signal(Signal::INT);
        let both = both.wait();
        for wrong in ["holds the thread", "silent", "busy"] {
            assert!(!both.err.contains(wrong), "{method}: {both:?}");
        }
    }
}
