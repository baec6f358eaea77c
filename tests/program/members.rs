//! Processes that find each other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
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
    /// For datagrams: where others begin, and what they call it.
    hears_at: String,
    runs: &'static str,
}

fn start(place: &Place, runs: &'static str, join: &str, port: Option<u16>) -> Member {
    let port = port.map_or("*".to_owned(), |port| port.to_string());
    let listen = format!("--listen tcp://127.0.0.1:{port} --control tcp://127.0.0.1:*");
    let mut program = place.start(&format!("run {runs} {join} {listen} {COMMON}"));
    let (at, hears_at) = program.wait_for(|line| {
        let field = |name| {
            let (_, rest) = line.split_once(name)?;
            Some(rest.split_whitespace().next()?.to_owned())
        };
        Some((field(" endpoint=")?, field(" datagrams=")?))
    });
    Member {
        program,
        at,
        hears_at,
        runs,
    }
}

/// Asks a node what it is and what it knows.
fn describe(place: &Place, of: &Member) -> Value {
    let args = format!("describe {} --json --at {} --deadline 30s", of.runs, of.at);
    let described = place.run(&args);
    assert_eq!(described.code, Some(0), "{described:?}");
    serde_json::from_str(&described.out).expect("a description")
}

/// Returns how each member is, by its place, as one of them sees it.
fn view(place: &Place, of: &Member) -> BTreeMap<String, String> {
    let described = describe(place, of);
    let members = described["members"].as_array().expect("a list").iter();
    let text = |it: &Value| it.as_str().expect("a text").to_owned();
    members
        .map(|member| {
            let state = match text(&member["handler"]) {
                none if none.is_empty() => text(&member["state"]),
                handler => format!("{} in {handler}", text(&member["state"])),
            };
            (text(&member["datagram"]), state)
        })
        .collect()
}

/// Tells whether everybody sees so many others that are not down.
fn all_see<'a>(place: &Place, members: impl IntoIterator<Item = &'a Member>, count: usize) -> bool {
    members.into_iter().all(|member| {
        let states = view(place, member);
        let up = states
            .values()
            .filter(|state| !["down", "unreachable"].contains(&state.as_str()));
        up.count() == count
    })
}

/// Waits until something is so, and prints how long that took.
fn timed(what: &str, is_so: impl FnMut() -> bool) {
    let since = Instant::now();
    eventually(what, is_so);
    println!("{what} after {:?}", since.elapsed());
}

/// How soon all of this is so is looked at by `.ci/checks.py`, not while other tests run.
#[test]
fn twelve_processes_find_each_other_outlive_their_seed_and_notice_who_dies() {
    let place = place();
    let mut random = Stream::new(u64::from(std::process::id()), "tests/members");
    let port = free_port();
    let join = |at: &str| format!("--join {at} --set node.probe_interval=500ms");
    let at = format!("127.0.0.1:{port}");
    let seed = usize::try_from(random.below(12)).expect("small");
    let mut relays: Vec<Member> = (0..12)
        .map(|number| {
            start(
                &place,
                "relay",
                &join(&at),
                (number == seed).then_some(port),
            )
        })
        .collect();
    timed("twelve are there", || all_see(&place, &relays, 11));

    // The seed goes for good; another one is enough for who comes.
    relays.remove(seed).program.kill();
    let worker = start(&place, "worker", &join(&relays[0].hears_at), None);
    timed("the seed is gone and the thirteenth is there", || {
        all_see(&place, &relays, 11) && all_see(&place, [&worker], 11)
    });

    for _ in 0..3 {
        relays.remove(0).program.kill();
    }
    timed("three are gone", || {
        all_see(&place, &relays, 8) && all_see(&place, [&worker], 8)
    });

    a_pause_ends_no_link(&place, &worker, &relays);
    who_spins_is_busy(&place, &worker, &relays);
    for member in relays.into_iter().chain([worker]) {
        member.program.signal(Signal::KILL);
        let said = member.program.wait().err;
        // Links of `call` end with it.
        let of_ours = |line: &str| {
            ["peer=worker", "peer=relay"]
                .iter()
                .any(|it| line.contains(it))
        };
        let ended = said
            .lines()
            .find(|it| it.contains("link ended") && of_ours(it));
        assert_eq!(ended, None, "{said}");
    }
}

/// Returns the incarnation of each process that a node has a link to, by its place.
fn links(place: &Place, of: &Member) -> BTreeMap<String, u64> {
    let described = describe(place, of);
    let peers = described["peers"].as_array().expect("a list").iter();
    let peers = peers.map(|it| (&it["application"], &it["incarnation"]));
    let peers = peers.map(|(at, life)| (at.as_str().expect("a text"), life.as_u64()));
    let peers = peers.map(|(at, life)| (at.to_owned(), life.expect("a number")));
    peers.filter(|(at, _)| !at.is_empty()).collect()
}

/// One that is stopped for longer than suspicion lasts comes back by itself, and over the links that it had.
fn a_pause_ends_no_link(place: &Place, worker: &Member, relays: &[Member]) {
    let count = |relay| ask(place, relay, "count").parse::<usize>();
    let counted: Vec<_> = relays.iter().map(count).collect();
    assert_eq!(counted, (1..=relays.len()).map(Ok).collect::<Vec<_>>());
    let all_links = || {
        let of_relays = relays.iter().map(|it| links(place, it)[&worker.at]);
        (of_relays.collect::<Vec<_>>(), links(place, worker))
    };
    let before = all_links();
    assert_eq!(before.1.len(), relays.len(), "{before:?}");

    worker.program.signal(Signal::STOP);
    timed("who is stopped is down", || all_see(place, relays, 7));
    worker.program.signal(Signal::CONT);
    timed("it is back", || {
        all_see(place, relays, 8) && all_see(place, [worker], 8)
    });

    // The same process goes on counting, and it is the same links that reach it.
    let more: Vec<_> = relays.iter().map(count).collect();
    let known = relays.len();
    assert_eq!(more, (known + 1..=2 * known).map(Ok).collect::<Vec<_>>());
    assert_eq!(all_links(), before);
}

fn who_spins_is_busy(place: &Place, worker: &Member, relays: &[Member]) {
    let spin = format!("call worker spin 10 --at {} --deadline 30s", worker.at);
    let since = Instant::now();
    let spinning = place.start(&spin);
    let mut seen_busy = BTreeSet::new();
    while since.elapsed() < Duration::from_secs(10) {
        for relay in relays {
            let state = view(place, relay).remove(&worker.hears_at);
            let state = state.expect("it was there");
            assert!(
                ["up", "suspect", "busy in app/worker/spin"].contains(&&*state),
                "{state} after {:?}",
                since.elapsed()
            );
            if state.starts_with("busy") {
                seen_busy.insert(&relay.at);
            }
        }
    }
    assert_eq!(seen_busy.len(), relays.len(), "everybody has seen it");
    assert_eq!(spinning.wait().code, Some(0));
    eventually("it is up again", || {
        let up = |relay| {
            view(place, relay)
                .get(&worker.hears_at)
                .is_some_and(|it| it == "up")
        };
        relays.iter().all(up)
    });
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
            .get(&worker.hears_at)
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
                .get(&worker.hears_at)
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

#[test]
fn who_finds_no_room_is_in_the_log_of_others_and_seen_by_doctor() {
    let place = place();
    let port = free_port();
    let join = format!("--join 127.0.0.1:{port} --set membership.members_max=1");
    let mut seed = start(&place, "worker", &join, Some(port));
    let second = start(&place, "relay", &join, None);
    eventually("two see each other", || {
        all_see(&place, [&seed, &second], 1)
    });
    let third = start(&place, "relay", &join, None);
    let says = |line: &str| {
        line.contains("there is no room for a member that comes")
            .then_some(())
    };
    seed.program.wait_for(says);
    let monofil = Place::new(Path::new(env!("CARGO_BIN_EXE_monofil")), "monofil");
    let doctor = monofil.run(&format!("doctor --seed {} --json", seed.hears_at));
    assert!(
        doctor
            .out
            .contains("there was no room for a member that came"),
        "{doctor:?}"
    );
    // The two are as they were.
    assert!(all_see(&place, [&seed, &second], 1));
    assert!(all_see(&place, [&third], 0));
}
