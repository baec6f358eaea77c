//! Processes that find each other.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use monofil_tests::{Place, Program, eventually, free_port};
use monofil_transport::Stream;
use rustix::process::Signal;
use serde_json::Value;

use crate::support::place;

/// Nobody waits for long.
const COMMON: &str = "--log-level info --set zmq.stall_threshold=100ms";

/// A process, and where it listens.
struct Member {
    program: Program,
    at: String,
    runs: &'static str,
}

fn start(place: &Place, runs: &'static str, join: &str, port: Option<u16>) -> Member {
    let port = port.map_or("*".to_owned(), |port| port.to_string());
    let listen = format!("--listen tcp://127.0.0.1:{port} --control tcp://127.0.0.1:*");
    let mut program = place.start(&format!("run {runs} {join} {listen} {COMMON}"));
    let at = program.wait_for(|line| {
        let (_, rest) = line.split_once("endpoint=")?;
        Some(rest.split_whitespace().next()?.to_owned())
    });
    Member { program, at, runs }
}

/// Returns how each member is, by its place, as one of them sees it.
fn view(place: &Place, of: &Member) -> BTreeMap<String, String> {
    let args = format!("describe {} --json --at {} --deadline 30s", of.runs, of.at);
    let described = place.run(&args);
    assert_eq!(described.code, Some(0), "{described:?}");
    let described: Value = serde_json::from_str(&described.out).expect("a description");
    let members = described["members"].as_array().expect("a list").iter();
    let text = |it: &Value| it.as_str().expect("a text").to_owned();
    members
        .map(|member| {
            let state = match text(&member["handler"]) {
                none if none.is_empty() => text(&member["state"]),
                handler => format!("{} in {handler}", text(&member["state"])),
            };
            (format!("tcp://{}", text(&member["datagram"])), state)
        })
        .collect()
}

/// Tells whether everybody sees so many others that are not down.
fn all_see(place: &Place, members: &[Member], count: usize) -> bool {
    members.iter().all(|member| {
        let states = view(place, member);
        let up = states
            .values()
            .filter(|state| !["down", "unreachable"].contains(&state.as_str()));
        up.count() == count
    })
}

/// Waits until something is so, and returns how long that took.
fn timed(what: &str, is_so: impl FnMut() -> bool) -> Duration {
    let since = Instant::now();
    eventually(what, is_so);
    println!("{what} after {:?}", since.elapsed());
    since.elapsed()
}

#[test]
fn twelve_processes_find_each_other_outlive_their_seed_and_notice_who_dies() {
    let place = place();
    let mut random = Stream::new(u64::from(std::process::id()), "tests/members");
    let ports = [free_port(), free_port()];
    let join = format!(
        "--join 127.0.0.1:{} --join 127.0.0.1:{}",
        ports[0], ports[1]
    );
    let mut order: Vec<usize> = (0..12).collect();
    random.shuffle(&mut order);
    let mut members: Vec<Member> = order
        .iter()
        .map(|number| {
            let runs = if number % 2 == 0 { "worker" } else { "relay" };
            start(&place, runs, &join, ports.get(*number).copied())
        })
        .collect();
    timed("twelve are there", || all_see(&place, &members, 11));

    // A seed goes for good; another one is enough for who comes.
    let at = format!("tcp://127.0.0.1:{}", ports[0]);
    let seed = members
        .iter()
        .position(|it| it.at == at)
        .expect("it was started");
    members.remove(seed).program.kill();
    members.push(start(&place, "relay", &join, None));
    timed("the seed is gone and the thirteenth is there", || {
        all_see(&place, &members, 11)
    });

    for _ in 0..3 {
        members.pop().expect("there are more").program.kill();
    }
    // Noticed within some seconds, suspect for less than five.
    let took = timed("three are gone", || all_see(&place, &members, 8));
    assert!(took < Duration::from_secs(20), "{took:?}");

    // One that is stopped for longer than suspicion comes back by itself.
    let stopped = members.pop().expect("there are more");
    stopped.program.signal(Signal::STOP);
    timed("who is stopped is down", || all_see(&place, &members, 7));
    stopped.program.signal(Signal::CONT);
    members.push(stopped);
    timed("it is back", || all_see(&place, &members, 8));
}

/// Calls a component where it is, and returns what it answers.
fn ask(place: &Place, of: &Member, what: &str) -> String {
    let args = format!("call {} {what} --at {} --deadline 30s", of.runs, of.at);
    let answer = place.run(&args);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    answer.out.trim().to_owned()
}

#[test]
fn a_process_that_was_stopped_returns_and_no_link_of_it_was_given_up() {
    let place = place();
    let port = free_port();
    let join = format!("--join 127.0.0.1:{port} --set node.probe_interval=300ms");
    let worker = start(&place, "worker", &join, Some(port));
    let relay = start(&place, "relay", &join, None);
    let third = start(&place, "relay", &join, None);
    eventually("three see each other", || {
        [&worker, &relay, &third]
            .iter()
            .all(|it| view(&place, it).values().filter(|it| *it == "up").count() == 2)
    });
    assert_eq!(ask(&place, &relay, "count"), "1");

    worker.program.signal(Signal::STOP);
    // Into the link that there is, with more time than it will be away, and with less.
    ask(&place, &relay, "tell 60");
    ask(&place, &relay, "tell 0.2");
    let is_down = |of: &Member| {
        view(&place, of)
            .get(&worker.at)
            .is_some_and(|it| it == "down")
    };
    timed("everybody holds it to be down", || {
        is_down(&relay) && is_down(&third)
    });
    // For whoever will run it.
    ask(&place, &relay, "tell 60");
    ask(&place, &relay, "tell 0.2");
    eventually("what has no time left comes back", || {
        let returned = ask(&place, &relay, "returned");
        returned.matches("deadline").count() == 40
    });
    worker.program.signal(Signal::CONT);
    timed("it is back, by itself", || {
        [&relay, &third].iter().all(|it| {
            view(&place, it)
                .get(&worker.at)
                .is_some_and(|it| it == "up")
        })
    });

    let returned = ask(&place, &relay, "returned");
    let returned: Vec<String> = serde_json::from_str(&returned).expect("a list");
    // What was on its way may have been handled; nothing that was not even sent was.
    let may_have_been = |error: &&String| error.starts_with("timed out: ");
    let in_doubt = returned.iter().filter(may_have_been).count();
    let never_sent = |error: &&String| error.starts_with("unreachable: ");
    let not_sent = returned.iter().filter(never_sent).count();
    assert_eq!((in_doubt, not_sent), (20, 20), "{returned:?}");
    // Its own count, which is of this process and of no other; each question counts.
    let mut asked = 1;
    let mut handled = 0;
    eventually("all that had time arrives", || {
        asked += 1;
        let counted: usize = ask(&place, &relay, "count").parse().expect("a number");
        handled = counted - asked;
        handled >= 40
    });
    assert!(handled <= 40 + in_doubt, "{handled}");
    for (one, other) in [(worker, "relay"), (relay, "worker")] {
        one.program.signal(Signal::KILL);
        let said = one.program.wait().err;
        let ended = |line: &&str| line.contains("link ended") && line.contains(other);
        assert_eq!(said.lines().find(ended), None, "{said}");
    }
}

#[test]
fn a_member_whose_handler_spins_is_busy_in_everybodys_view_and_never_down() {
    let place = place();
    let port = free_port();
    let join = format!("--join 127.0.0.1:{port} --set node.probe_interval=300ms");
    let worker = start(&place, "worker", &join, Some(port));
    let others: Vec<Member> = (0..4)
        .map(|_| start(&place, "relay", &join, None))
        .collect();
    eventually("five are there", || all_see(&place, &others, 4));
    let spin = format!("call worker spin 10 --at {} --deadline 30s", worker.at);
    let since = Instant::now();
    let spinning = place.start(&spin);
    let mut seen_busy = 0;
    while since.elapsed() < Duration::from_secs(10) {
        let mut busy = 0;
        for other in &others {
            let state = view(&place, other)
                .remove(&worker.at)
                .expect("it was there");
            assert!(
                ["up", "suspect", "busy in app/worker/spin"].contains(&&*state),
                "{state} after {:?}",
                since.elapsed()
            );
            busy += usize::from(state.starts_with("busy"));
        }
        seen_busy = seen_busy.max(busy);
    }
    assert_eq!(seen_busy, 4, "everybody has seen it");
    assert_eq!(spinning.wait().code, Some(0));
    eventually("it is up again", || all_see(&place, &others, 4));
}

#[test]
fn a_node_that_is_not_where_it_says_hears_of_it_and_so_does_its_seed() {
    let place = place();
    let port = free_port();
    let join = format!("--join 127.0.0.1:{port}");
    let seed = start(&place, "worker", &join, Some(port));
    // An address of this machine, at which nobody listens.
    let astray = format!("{join} --set network.advertise=127.0.0.2");
    let mut astray = start(&place, "relay", &astray, None);
    let says = |line: &str| line.contains("nothing reaches this node at").then_some(());
    astray.program.wait_for(says);
    eventually("the seed says so", || {
        let states = view(&place, &seed);
        states.values().any(|state| state == "unreachable")
    });
}
