//! Ended by signals: in order, within the deadline, with nobody and nothing left that is in the way later.

use monofil_tests::{Place, Program, eventually, is_there};
use rustix::process::{Pid, Signal, kill_process};

use crate::feed::{self, Feed, delivery};
use crate::shop::{COMPONENTS, Summary, process_of, processes_of, shop};

/// More than are ever placed here.
const ENDLESS: &str = "--generate 10000000 --concurrency 16 --outcomes outcomes.tsv";

/// Starts a process for each component, and customers who never end.
fn busy(place: &Place, args: &str) -> Program {
    let mut up = place.start(&format!("up {ENDLESS} --log-level info {args}"));
    let mut given_up = false;
    eventually("orders are placed, or never will be", || {
        let written = std::fs::metadata(place.path().join("outcomes.tsv"));
        given_up = up.has_ended();
        given_up || written.is_ok_and(|file| file.len() > 0)
    });
    assert!(!given_up, "{:?}", up.wait());
    assert_eq!(processes_of(up.process()).len(), COMPONENTS.len());
    up
}

/// Checks that nobody is left, and that the same place can be used again.
fn check_over(place: &Place, up: Pid) {
    eventually("nobody is left", || processes_of(up).is_empty());
    let again = place.run("up --generate 50 --json");
    assert_eq!((again.code, &*again.err), (Some(0), ""), "{again:?}");
    assert!(Summary::of(&again).books.balanced, "{again:?}");
    assert_eq!(place.sockets(), Vec::<String>::new());
}

fn kill(process: Pid, signal: Signal) {
    kill_process(process, signal).expect("it is there");
}

/// Tells whether a signal was sent to a process that has not taken it yet.
fn is_pending(process: Pid, signal: Signal) -> bool {
    let path = format!("/proc/{}/status", process.as_raw_nonzero());
    let status = std::fs::read_to_string(path).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal.as_raw() - 1) & 1 == 1)
}

#[test]
fn a_signal_ends_the_components_in_order_those_that_call_first() {
    for transport in ["ipc", "tcp"] {
        let place = shop();
        let up = busy(
            &place,
            &format!("--transport {transport} --set deadline.drain=20s"),
        );
        let id = up.process();
        let processes = COMPONENTS.map(|name| process_of(id, name).expect("it runs"));
        up.signal(Signal::TERM);
        // Looked at in the order of declaration: whoever is found dead was so when those after it are
        // looked at, and those are to be dead by then.
        eventually("all have ended", || {
            let there = processes.map(is_there);
            assert!(
                there.is_sorted_by(|before, after| before >= after),
                "{there:?}"
            );
            !there[0]
        });
        let ended = up.wait();
        assert_eq!(ended.code, Some(130), "{ended:?}");
        assert!(
            ended.err.ends_with("error: customers was interrupted\n"),
            "{ended:?}"
        );
        for wrong in ["drain deadline", "in time", "badly", "died", "panicked"] {
            assert!(!ended.err.contains(wrong), "{wrong}: {ended:?}");
        }
        assert_eq!(place.sockets(), Vec::<String>::new());
        check_over(&place, id);
    }
}

#[test]
fn who_does_not_end_by_the_deadline_is_killed() {
    let place = shop();
    let up = busy(&place, "--set deadline.drain=300ms");
    let id = up.process();
    kill(process_of(id, "payments").expect("it runs"), Signal::STOP);
    up.signal(Signal::TERM);
    let ended = up.wait();
    assert_eq!(ended.code, Some(130), "{ended:?}");
    assert!(
        ended.err.contains("did not end in time and is killed"),
        "{ended:?}"
    );
    assert_eq!(processes_of(id), []);
    check_over(&place, id);
}

#[test]
fn a_second_signal_ends_everything_at_once() {
    let place = shop();
    let up = busy(&place, "--set deadline.drain=1h");
    let id = up.process();
    let stopped = process_of(id, "orders").expect("it runs");
    kill(stopped, Signal::STOP);
    up.signal(Signal::TERM);
    eventually("the first has been passed on", || {
        is_pending(stopped, Signal::TERM)
    });
    up.signal(Signal::TERM);
    let ended = up.wait();
    assert_eq!(ended.code, Some(130), "{ended:?}");
    assert_eq!(processes_of(id), []);
    check_over(&place, id);
}

#[test]
fn components_end_when_what_started_them_is_killed() {
    for transport in ["ipc", "tcp"] {
        let place = shop();
        let up = busy(&place, &format!("--transport {transport}"));
        let id = up.process();
        up.kill();
        eventually("nobody is left", || processes_of(id).is_empty());
        assert_eq!(place.sockets(), Vec::<String>::new());
        check_over(&place, id);
    }
}

#[test]
fn what_killed_processes_leave_behind_is_in_nobodys_way() {
    let place = shop();
    let up = busy(&place, "");
    let id = up.process();
    // It notices nothing, so nobody is told of anything.
    up.signal(Signal::STOP);
    for (_, process) in processes_of(id) {
        kill(process, Signal::KILL);
    }
    up.kill();
    assert!(!place.sockets().is_empty(), "nothing was left behind");
    check_over(&place, id);
}

#[test]
fn components_may_move_to_other_processes_after_a_kill() {
    let place = shop();
    for layout in [
        [
            "run orders payments",
            "run inventory",
            "run shipping analytics",
        ],
        [
            "run payments shipping",
            "run orders inventory",
            "run analytics",
        ],
        [
            "run inventory orders",
            "run analytics payments",
            "run shipping",
        ],
    ] {
        let processes = layout.map(|command| place.start(command));
        let run = place.run("run customers --generate 50 --json");
        assert_eq!((run.code, &*run.err), (Some(0), ""), "{layout:?}: {run:?}");
        processes.into_iter().for_each(Program::kill);
        assert!(!place.sockets().is_empty(), "nothing was left behind");
    }
}

/// What a killed process left is taken away by all that start after it at once, each for its own addresses.
#[test]
fn what_others_have_half_taken_away_is_in_nobodys_way() {
    for taken in ["payments", "payments.control"] {
        let place = shop();
        let ready = |command: &str| {
            let mut program = place.start(command);
            program.wait_for(|line| line.contains("ready").then_some(()));
            program
        };
        ready("run orders payments").kill();
        std::fs::remove_file(place.path().join("orders").join(taken)).expect("a link");
        let call =
            |name: &str| place.run(&format!("call {name} Report --running --deadline 300ms"));
        let _orders = ready("run orders");
        let nobody = call("payments");
        assert!(nobody.err.contains("unreachable"), "{taken}: {nobody:?}");
        let _payments = ready("run payments");
        let answer = call("payments");
        assert_eq!(answer.code, Some(0), "{taken}: {answer:?}");
    }
}

#[test]
fn the_name_of_a_killed_component_leads_to_no_other() {
    for next in ["run payments", "run analytics payments", "run inventory"] {
        let place = shop();
        let ready = |command: &str| {
            let mut program = place.start(command);
            program.wait_for(|line| line.contains("ready").then_some(()));
            program
        };
        ready("run payments shipping").kill();
        assert!(
            place.sockets().contains(&"shipping".to_owned()),
            "nothing was left behind"
        );
        let _next = ready(next);
        let call = place.run("call shipping Report --running --deadline 300ms");
        assert!(call.err.contains("unreachable"), "{next}: {call:?}");
    }
}

/// Ends a component in order, again and again, while customers come, and starts it anew.
fn drain(component: &str) -> Summary {
    /// What a breaker refuses takes no time: hundreds of orders would be over before it lets one through.
    const PATIENT: &str = "--set breaker.failures_in_a_row=0 --set breaker.failure_percent=101";
    let place = shop();
    let start = |name: &str| place.start(&format!("run {name} --set deadline.drain=60s {PATIENT}"));
    let others = COMPONENTS.into_iter().filter(|name| *name != component);
    let others = start(&others.collect::<Vec<_>>().join(" "));
    let mut drained = start(component);
    let deliver = || {
        let mut call = place.command("call inventory Deliver --running --deadline 30s");
        let ended = Program::start(call.arg(delivery())).wait();
        assert_eq!(ended.code, Some(0), "{ended:?}");
    };
    deliver();
    let mut job = place.start(&format!(
        "run customers --input - --concurrency 16 --json --outcomes outcomes.tsv {PATIENT}"
    ));
    let feed = Feed::start(job.input());
    for _ in 0..3 {
        feed.wait_for(500);
        drained.signal(Signal::TERM);
        let ended = drained.wait();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        drained = start(component);
        if component == "inventory" {
            deliver();
        }
    }
    feed.wait_for(500);
    let (fed, input) = feed.stop();
    drop(input);
    let ended = job.wait();
    println!("{component}: {}", ended.out);
    feed::check(&place, &ended, fed);
    for process in [drained, others] {
        process.signal(Signal::TERM);
        assert_eq!(process.wait().code, Some(0));
    }
    Summary::of(&ended)
}

#[test]
fn an_orderly_end_leaves_nothing_half_done() {
    for component in ["orders", "inventory", "payments"] {
        let summary = drain(component);
        let books = &summary.books;
        if component != "payments" {
            assert_eq!(
                books.charged.orders, books.confirmed.orders,
                "{component}: {books:?}"
            );
            assert_eq!(
                books.charged.cents, books.confirmed.cents,
                "{component}: {books:?}"
            );
        }
        if component != "inventory" {
            assert_eq!(
                books.stock.sold, books.confirmed.pieces,
                "{component}: {books:?}"
            );
            assert_eq!(books.stock.reserved, 0, "{component}: {books:?}");
        }
        assert_eq!(
            books.shipped, books.confirmed.orders,
            "{component}: {books:?}"
        );
        // Sent to who had just ended.
        assert!(
            summary.ended("peer_lost") <= 3 * 16,
            "{component}: {summary:?}"
        );
    }
}
