//! Limits of all instances of a component in the network together.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use monofil_container::control::{LimitTo, SetLimit};
use monofil_container::{
    CallError, Caller, ComponentKind, Context, GroupLimits, InstanceLimits, Limit, LimitScope,
    Message, Overflow, Reply,
};
use monofil_inproc::NodeKey;
use monofil_proto::control::{request::Verb, response};
use monofil_tests::{ComponentDef, Hooks, component, hooked, seeds, text};
use monofil_transport::{Instant, Shutdown};

use super::{change, said};
use crate::village::{self, SECOND, Village};

const WHOLE: u64 = 10;
const MS: Duration = Duration::from_millis(1);

/// What was handled when, and which limits refused something.
#[derive(Default)]
struct Book {
    handled: Vec<Instant>,
    refused: BTreeSet<(String, u64, String)>,
}

type Books = Rc<RefCell<Book>>;

fn worker(takes: Duration, network: GroupLimits, books: &Books) -> ComponentDef {
    let books = books.clone();
    let worker = component("worker", move || {
        let books = books.clone();
        move |cx: &mut Context, _: Message| {
            books.borrow_mut().handled.push(cx.now());
            cx.sleep(takes)?;
            Ok(Reply::Empty)
        }
    });
    let worker = worker.limits(InstanceLimits {
        network,
        ..InstanceLimits::default()
    });
    worker.kind(ComponentKind::Stateless)
}

/// Calls the worker every few milliseconds.
fn source(books: &Books) -> ComponentDef {
    let books = books.clone();
    hooked("source", move || {
        let books = books.clone();
        Hooks::new(|_, _| Ok(Reply::Empty)).start(move |cx, _| {
            let mut under_way = VecDeque::new();
            loop {
                cx.sleep(4 * MS)?;
                under_way.push_back(cx.start_call(text("worker", "Do", "")));
                while under_way.len() > 500 {
                    let call = under_way.pop_front().expect("there are some");
                    if let Err(error @ CallError::Rejected(_)) = cx.wait(call) {
                        let (limit, value, _, place, says_when) = said(&error);
                        assert!(says_when, "{error}");
                        books.borrow_mut().refused.insert((limit, value, place));
                    }
                }
            }
        })
    })
}

fn join(village: &mut Village, name: &str, components: Vec<ComponentDef>) -> NodeKey {
    village.join_as(name, &village::seeds(&["n0"]), components, |config| {
        // Neither has anything to do with what is tried here.
        config.resilience.throttle.tenths_min = 11;
        config.resilience.breaker.slow_percent = 101;
    })
}

/// Lets time pass, and returns how much of what is limited these nodes together had at most.
fn most(village: &mut Village, nodes: &[NodeKey], limit: Limit, time: Duration) -> u64 {
    let end = village.now() + time;
    let mut most = 0;
    while village.now() < end {
        village.run(5 * MS);
        let there: u64 = nodes
            .iter()
            .flat_map(|node| village.look(*node, |container| container.limits()))
            .filter(|it| it.limit == limit)
            .filter(|it| it.scope == LimitScope::Component("test/worker".into()))
            .map(|it| it.observed)
            .sum();
        most = most.max(there);
    }
    most
}

#[test]
fn all_instances_together_never_have_more_than_the_limit() {
    for seed in seeds(2) {
        let books = Books::default();
        let mut village = Village::new(seed);
        let network = GroupLimits {
            in_flight: Some(WHOLE),
            ..GroupLimits::default()
        };
        // Each calls from its first moment on, whether it knows of others or not.
        let node = |village: &mut Village, name: &str, count: usize| {
            let mut components = vec![worker(20 * MS, network, &books); count];
            components.push(source(&books));
            join(village, name, components)
        };
        let n0 = node(&mut village, "n0", 1);
        let n1 = node(&mut village, "n1", 2);
        let check = |village: &mut Village, nodes: &[NodeKey], seconds, at_least: u64, what| {
            let most = most(village, nodes, Limit::InFlight, SECOND * seconds);
            assert!(most <= WHOLE, "seed {seed}, {what}: {most}");
            assert!(most >= at_least, "seed {seed}, {what}: {most}");
        };
        check(&mut village, &[n0, n1], 9, 0, "they begin");
        check(&mut village, &[n0, n1], 3, WHOLE, "two nodes");
        let n2 = node(&mut village, "n2", 1);
        check(&mut village, &[n0, n1, n2], 9, 7, "one comes");
        check(&mut village, &[n0, n1, n2], 3, WHOLE, "three nodes");
        village.world().crash(n1);
        // It may only be cut off.
        check(&mut village, &[n0, n2], 5, 4, "one is dead");
        village.world().restart(n1);
        check(&mut village, &[n0, n1, n2], 12, WHOLE, "it is back");
        village.world().shutdown(n2, Shutdown::Drain);
        village.run(SECOND);
        check(&mut village, &[n0, n1], 75, WHOLE, "one has left");
        let refused = &books.borrow().refused;
        let expected = |(limit, value, place): &(String, u64, String)| {
            limit == "network.in_flight" && *value <= WHOLE && place == "test/worker"
        };
        assert!(
            !refused.is_empty() && refused.iter().all(expected),
            "{refused:?}"
        );
    }
}

/// What an instance has no room for waits at its node, and counts in the network all the same.
#[test]
fn what_queues_beyond_its_instance_is_within_the_limit_of_the_network() {
    let books = Books::default();
    let mut village = Village::new(1);
    let network = GroupLimits {
        queue_messages: Some(WHOLE),
        ..GroupLimits::default()
    };
    let mut nodes = Vec::new();
    for name in ["n0", "n1"] {
        let worker = worker(20 * MS, network, &books).limits(InstanceLimits {
            queue_messages: 1,
            overflow: Some(Overflow::Queue),
            network,
            ..InstanceLimits::default()
        });
        nodes.push(join(&mut village, name, vec![worker, source(&books)]));
    }
    village.run(SECOND * 9);
    let most = most(&mut village, &nodes, Limit::QueueMessages, SECOND * 5);
    assert!((3..=WHOLE).contains(&most), "{most}");
    let refused = &books.borrow().refused;
    let by_network = |(limit, ..): &(String, u64, String)| limit == "network.queue_messages";
    assert!(refused.iter().any(by_network), "{refused:?}");
}

#[test]
fn a_limit_of_the_network_is_set_live_at_each_node() {
    const RATE: u64 = 60;
    let books = Books::default();
    let mut village = Village::new(1);
    let none = GroupLimits::default();
    let nodes: Vec<_> = [("n0", 1), ("n1", 2)]
        .into_iter()
        .map(|(name, count)| {
            let components = vec![worker(Duration::ZERO, none, &books); count];
            join(&mut village, name, components)
        })
        .collect();
    join(&mut village, "source", vec![source(&books)]);
    village.run(SECOND * 10);
    let set = |village: &mut Village, to: LimitTo| {
        for node in &nodes {
            let set = SetLimit {
                component: String::new(),
                network: "worker".to_owned(),
                to: to.into(),
                ..change("", "rate_messages", RATE)
            };
            let response::Result::Limits(limits) = village.ask(*node, Verb::SetLimit(set)) else {
                panic!("it may be set");
            };
            let [it, ..] = &limits.limits[..] else {
                panic!("{limits:?}");
            };
            let what = (&*it.limit, &*it.r#where);
            assert_eq!(what, ("network.rate_messages", "test/worker"));
            let value = (to == LimitTo::Value).then_some(RATE);
            assert_eq!((it.value, it.configured), (value, None));
        }
        // Until who is new to it has its part.
        village.run(SECOND * 6);
        let begun = village.now();
        village.run(SECOND * 10);
        let handled = &books.borrow().handled;
        handled.iter().filter(|at| **at >= begun).count() as u64
    };
    let limited = set(&mut village, LimitTo::Value);
    // Each may have a burst more.
    assert!(
        (RATE * 10 - 10..=RATE * 10 + 10).contains(&limited),
        "{limited}"
    );
    let free = set(&mut village, LimitTo::Unlimited);
    assert!(free > 2000, "{free}");
    let refused = &books.borrow().refused;
    let expected = |(limit, value, _): &(String, u64, String)| {
        limit == "network.rate_messages" && [0, 20].contains(value)
    };
    assert!(
        !refused.is_empty() && refused.iter().all(expected),
        "{refused:?}"
    );
}
