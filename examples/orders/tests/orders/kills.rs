//! `kill -9` under load: the others go on, every order has an outcome, and nothing hangs.
//!
//! `KILLS=10` kills each component ten times; `SEED=N` chooses other moments, and who dies together.

use std::time::Duration;

use monofil_tests::{Ended, PATIENCE, Place, Program, command_line, eventually, is_there};
use monofil_transport::Stream;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::feed::{self, Feed, delivery};
use crate::shop::{COMPONENTS, Summary, process_of, processes_of, seed, shop};

/// Orders that come between two kills, at least and at most.
const BETWEEN: (u64, u64) = (200, 800);

/// How much later the second of two dies, in microseconds, at most: the first is dead still, or just starting.
const APART_MICROS: u64 = 5_000;

/// Orders that come after the last kill.
const AFTER: u64 = 500;

/// How often each component is killed.
fn kills() -> usize {
    std::env::var("KILLS").map_or(1, |kills| kills.parse().expect("KILLS is a number"))
}

/// A shop in processes, with customers who keep coming.
struct Busy {
    place: Place,
    up: Program,
    feed: Feed,
    draws: Stream,
    victims: Vec<&'static str>,
}

impl Busy {
    fn start(transport: &str, seed: u64) -> Self {
        let place = shop();
        let mut up = place.start(&format!(
            "up --transport {transport} --seed {seed} --set up.restarts=1000 --log-level info \
             --input - --concurrency 16 --json --outcomes outcomes.tsv"
        ));
        let input = up.input();
        eventually("everybody is there", || {
            processes_of(up.process()).len() == COMPONENTS.len()
        });
        deliver(&place, up.process());
        Self {
            place,
            up,
            feed: Feed::start(input),
            draws: Stream::new(seed, "tests/kills"),
            victims: Vec::new(),
        }
    }

    /// Kills components at once after some more orders, and waits until all run again.
    fn kill(&mut self, together: &[&'static str]) {
        let (least, most) = BETWEEN;
        self.feed.wait_for(least + self.draws.below(most - least));
        let up = self.up.process();
        let others = |all: Vec<(&'static str, Pid)>| {
            let mut all: Vec<_> = all
                .into_iter()
                .filter(|(name, _)| !together.contains(name))
                .collect();
            all.sort_unstable_by_key(|(name, _)| *name);
            all
        };
        let before = others(processes_of(up));
        let find = |victim: &&str| process_of(up, victim).expect("it was started again");
        let processes: Vec<_> = together.iter().map(find).collect();
        for (number, process) in processes.iter().enumerate() {
            if number > 0 {
                let apart = self.draws.below(APART_MICROS);
                std::thread::sleep(Duration::from_micros(apart));
            }
            kill_process(*process, Signal::KILL).expect("it is there");
        }
        eventually("they are dead", || {
            !processes.iter().any(|it| is_there(*it))
        });
        eventually("they are started again", || {
            together.iter().all(|it| process_of(up, it).is_some())
        });
        assert_eq!(
            others(processes_of(up)),
            before,
            "others than {together:?} ended"
        );
        self.victims.extend(together);
        if together.contains(&"inventory") {
            // It begins with what the catalogue says, and that is soon sold.
            deliver(&self.place, up);
        }
    }

    /// Lets the last customers come, and judges what became of all.
    fn end(self) {
        self.feed.wait_for(AFTER);
        let (fed, input) = self.feed.stop();
        let up = self.up.process();
        for component in COMPONENTS {
            check_counters(&self.place, up, component);
        }
        drop(input);
        let ended = self.up.wait_within(PATIENCE * 2);
        println!("{:?}: {}{}", self.victims, ended.err, ended.out);
        feed::check(&self.place, &ended, fed);
        check_books(&Summary::of(&ended), &self.victims, &ended);
        check_log(&self.victims, &ended);
        assert_eq!(processes_of(up), []);
        assert_eq!(self.place.sockets(), Vec::<String>::new());
    }
}

/// Asks the node of a component that an `up` started.
fn ask(place: &Place, up: Pid, component: &str, args: &[&str]) -> Ended {
    let process = process_of(up, component).expect("it is there");
    let line = command_line(process);
    let listens = line.iter().find_map(|word| word.strip_prefix("--listen="));
    let mut ask = place.command("");
    ask.args(args).args(["--deadline", "30s"]);
    match listens {
        Some(endpoint) => ask.args(["--at", endpoint]),
        None => ask.arg("--running"),
    };
    let ended = Program::start(&mut ask).wait();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended
}

fn deliver(place: &Place, up: Pid) {
    ask(
        place,
        up,
        "inventory",
        &["call", "inventory", "Deliver", &delivery()],
    );
}

/// Once all is quiet, each call that a component made has ended, once, and nothing was heard that makes no
/// sense.
fn check_counters(place: &Place, up: Pid, component: &str) {
    let described = || -> Value {
        let ended = ask(place, up, component, &["describe", component, "--json"]);
        serde_json::from_str(&ended.out).expect("a description")
    };
    let count = |described: &Value, name: &str| {
        described["counters"][format!("monofil_{name}_total")]
            .as_u64()
            .unwrap_or_default()
    };
    let mut last = described();
    eventually("every call has ended", || {
        last = described();
        let ended = count(&last, "calls_replied") + count(&last, "calls_failed");
        count(&last, "calls_started") == ended
    });
    for none in [
        "handlers_panicked",
        "replies_late",
        "records_invalid",
        "peers_refused",
    ] {
        assert_eq!(count(&last, none), 0, "{component}: {none}: {last}");
    }
    let counters = last["counters"].as_object().expect("counters");
    let malformed = counters
        .iter()
        .find(|(name, count)| name.contains("malformed") && **count != 0);
    assert_eq!(malformed, None, "{component}: {last}");
}

/// What must be so whoever lost its memory: nothing is in the books of those who did not that nobody did.
fn check_books(summary: &Summary, victims: &[&str], ended: &Ended) {
    let books = &summary.books;
    let kept = |component: &str| !victims.contains(&component);
    let confirmed = &books.confirmed;
    assert!(
        summary.ended("confirmed") <= confirmed.orders + summary.repeated,
        "{summary:?}"
    );
    if kept("inventory") {
        let stock = &books.stock;
        assert_eq!(
            stock.sold + stock.left + stock.reserved,
            stock.initial,
            "{books:?}"
        );
        // What a killed `orders` had not said is sold stays put aside.
        assert!(stock.sold + stock.reserved >= confirmed.pieces, "{books:?}");
        assert!(stock.reserved == 0 || !kept("orders"), "{books:?}");
    }
    if kept("payments") {
        assert!(books.charged.orders >= confirmed.orders, "{books:?}");
        assert!(books.charged.cents >= confirmed.cents, "{books:?}");
    }
    if kept("shipping") && kept("orders") {
        assert!(books.shipped >= confirmed.orders, "{books:?}");
    }
    if kept("orders") {
        assert!(books.seen <= books.published, "{books:?}");
        assert_eq!(
            books.seen == books.published,
            kept("analytics"),
            "{books:?}"
        );
    }
    if kept("orders") && kept("inventory") && kept("payments") {
        // Who only hears of what was decided cannot change it.
        assert_eq!(books.stock.sold, confirmed.pieces, "{books:?}");
        assert_eq!(books.charged.orders, confirmed.orders, "{books:?}");
        assert_eq!(books.charged.cents, confirmed.cents, "{books:?}");
    }
    assert_eq!(ended.code == Some(0), books.balanced, "{ended:?}");
}

/// Everybody who died was killed here, and nobody was taken for dead or for somebody else.
fn check_log(victims: &[&str], ended: &Ended) {
    let count = |text: &str| ended.err.matches(text).count();
    assert_eq!(
        count("died: killed by SIGKILL; restarting it"),
        victims.len(),
        "{}",
        ended.err
    );
    for strange in [
        "panicked",
        "peer is silent",
        "peer is busy",
        "in its place",
        "ended badly",
        "is killed",
    ] {
        assert_eq!(count(strange), 0, "{strange}: {}", ended.err);
    }
}

/// Kills one component and no other.
fn kill_one(victim: &'static str, transport: &str) {
    let mut busy = Busy::start(transport, seed());
    for _ in 0..kills() {
        busy.kill(&[victim]);
    }
    busy.end();
}

/// Kills all components, each as often, in an order that is drawn, and some of them two at a time.
fn kill_all(transport: &str) {
    let mut busy = Busy::start(transport, seed());
    let mut victims = COMPONENTS.repeat(kills());
    busy.draws.shuffle(&mut victims);
    let mut pairs = Vec::new();
    while let Some(first) = victims.pop() {
        // The first never dies alone: whatever the seed, two die together.
        let together = busy.victims.is_empty() || busy.draws.below(2) == 0;
        let second = victims
            .iter()
            .rposition(|it| together && *it != first)
            .map(|at| victims.remove(at));
        match second {
            Some(second) => {
                pairs.push([first, second]);
                busy.kill(&[first, second]);
            }
            None => busy.kill(&[first]),
        }
    }
    println!("together died {pairs:?}");
    busy.end();
}

#[test]
fn orders_is_killed() {
    kill_one("orders", "ipc");
}

#[test]
fn inventory_is_killed() {
    kill_one("inventory", "tcp");
}

#[test]
fn payments_is_killed() {
    kill_one("payments", "ipc");
}

#[test]
fn shipping_is_killed() {
    kill_one("shipping", "tcp");
}

#[test]
fn analytics_is_killed() {
    kill_one("analytics", "ipc");
}

#[test]
fn all_are_killed_in_any_order_and_two_at_once_over_unix_sockets() {
    kill_all("ipc");
}

#[test]
fn all_are_killed_in_any_order_and_two_at_once_over_tcp() {
    kill_all("tcp");
}
