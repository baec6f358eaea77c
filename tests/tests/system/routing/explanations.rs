//! What `explain` says in prepared situations, and that calls go where it says.

use std::time::Duration;

use monofil_container::{
    CallError, Caller, ComponentKind, Context, Distance, Horizon, InstanceLimits, Message, Reply,
    Status,
};
use monofil_inproc::NodeKey;
use monofil_proto::control::{
    self, BreakerOrder, Breakers, Explain, Explanation, LimitTo, SetLimit, request::Verb, response,
};
use monofil_tests::{ComponentDef, Hooks, component, hooked};
use monofil_transport::Shutdown;

use super::{asked, echo, say};
use crate::village::{SECOND, Village, seeds};

fn explain(village: &mut Village, node: NodeKey, key: &[u8]) -> Explanation {
    let verb = Verb::Explain(Explain {
        component: "test/echo".to_owned(),
        caller: "test/main".to_owned(),
        key: key.to_vec(),
        flow: String::new(),
    });
    match village.ask(node, verb) {
        response::Result::Explanation(explanation) => explanation,
        other => panic!("{other:?}"),
    }
}

/// Says of each place its name and the word for what becomes of it.
fn verdicts(explanation: &Explanation) -> Vec<(&str, &str)> {
    let places = explanation.places.iter();
    places.map(|it| (&*it.name, &*it.verdict)).collect()
}

/// A node that does nothing but know, and has a `main` that may call.
fn idle() -> ComponentDef {
    hooked("main", || {
        Hooks::new(|_: &mut Context, _: Message| Ok(Reply::Empty))
    })
}

/// Nodes that run `echo`, each at a machine, and `here`, which is asked, at the machine `m0`.
fn village(kind: ComponentKind, nodes: &[(&'static str, &'static str)]) -> (Village, NodeKey) {
    let mut village = Village::new(1);
    let membership = seeds(&["here"]);
    let here = village.join_as("here", &membership, vec![idle()], |config| {
        config.host = "m0".into();
    });
    for (name, host) in nodes {
        let host = *host;
        village.join_as(name, &membership, vec![echo(kind, name)], move |config| {
            config.host = host.into();
        });
    }
    village.run(SECOND * 3);
    // A first look has everybody connected to.
    explain(&mut village, here, &[]);
    village.run(SECOND);
    (village, here)
}

#[test]
fn the_only_one() {
    let (mut village, here) = village(ComponentKind::Single, &[("a", "m1")]);
    let it = explain(&mut village, here, &[]);
    assert_eq!(verdicts(&it), [("a", "chosen")]);
    assert_eq!(it.outcome, "it goes to `a`");
    assert_eq!(it.kind(), control::ComponentKind::Single);
    assert_eq!(
        it.places[0].reason,
        "it is the nearest that can take a message"
    );
    assert_eq!(
        (it.places[0].instances, &*it.places[0].distance),
        (1, "network")
    );
}

#[test]
fn one_that_is_nearer() {
    let nodes = [("a", "m1"), ("b", "m0")];
    let (mut village, here) = village(ComponentKind::Stateless, &nodes);
    let it = explain(&mut village, here, &[]);
    assert_eq!(verdicts(&it), [("b", "chosen"), ("a", "farther")]);
    assert_eq!(it.places[1].reason, "there is one at the distance `host`");
}

#[test]
fn some_that_are_equally_near() {
    let nodes = [("a", "m1"), ("b", "m2"), ("c", "m3")];
    let (mut village, here) = village(ComponentKind::Stateless, &nodes);
    let it = explain(&mut village, here, &[]);
    assert!(it.places.iter().all(|place| place.chosen), "{it:?}");
    assert_eq!(it.outcome, "it goes to one of 3");
    assert!(it.places[0].reason.contains("two are drawn"));
}

#[test]
fn one_that_finishes() {
    let nodes = [("a", "m1"), ("b", "m2")];
    let (mut village, here) = village(ComponentKind::Stateless, &nodes);
    let a = village.world().node("a").expect("it is there");
    village.ask(a, Verb::Drain(control::Drain {}));
    village.run(SECOND * 3);
    let it = explain(&mut village, here, &[]);
    assert_eq!(verdicts(&it), [("a", "draining"), ("b", "chosen")]);
    assert_eq!(
        it.places[0].reason,
        "it finishes what it has and takes nothing new"
    );
}

#[test]
fn one_that_left_and_one_that_died() {
    let nodes = [("a", "m1"), ("b", "m2"), ("c", "m3")];
    let (mut village, here) = village(ComponentKind::Stateless, &nodes);
    let [a, b] = ["a", "b"].map(|name| village.world().node(name).expect("it is there"));
    village.world().shutdown(a, Shutdown::Drain);
    village.world().vanish(b);
    village.run(SECOND * 30);
    let it = explain(&mut village, here, &[]);
    assert_eq!(
        verdicts(&it),
        [("a", "down"), ("b", "down"), ("c", "chosen")]
    );
}

#[test]
fn one_that_is_too_far_away() {
    let mut village = Village::new(1);
    let membership = seeds(&["here"]);
    let here = village.join_as("here", &membership, vec![idle()], |config| {
        config.host = "m0".into();
        let near = Horizon::new(Distance::Host);
        config.horizons.components.insert("test/echo".into(), near);
    });
    village.join("a", &membership, vec![echo(ComponentKind::Stateless, "a")]);
    village.run(SECOND * 3);
    let it = explain(&mut village, here, &[]);
    assert_eq!(verdicts(&it), [("a", "beyond-horizon")]);
    assert!(it.outcome.contains("HORIZON_EXCEEDED"), "{}", it.outcome);
    assert!(it.places[0].reason.contains("may travel to `host`"));
}

#[test]
fn one_that_calls_are_kept_from() {
    let mut village = Village::new(1);
    let membership = seeds(&["a"]);
    let broken = component("echo", || {
        |_: &mut Context, _: Message| Err(Status::internal("broken").into())
    });
    let broken = broken.kind(ComponentKind::Stateless);
    village.join("a", &membership, vec![broken]);
    village.join("b", &membership, vec![echo(ComponentKind::Stateless, "b")]);
    village.run(SECOND * 3);
    village.perform("here", &membership, |cx| {
        cx.sleep(SECOND).expect("nobody ends it");
        let failed = (0..50).filter(|_| cx.call(say()).is_err()).count();
        assert_eq!(failed, 5);
    });
    let here = village.world().node("here").expect("it is there");
    let it = explain(&mut village, here, &[]);
    assert_eq!(verdicts(&it), [("a", "ejected"), ("b", "chosen")]);
    let reason = &it.places[0].reason;
    assert!(
        reason.contains("5 calls of it failed one after the other"),
        "{reason}"
    );
    // Others know nothing of that.
    let b = village.world().node("b").expect("it is there");
    let it = explain(&mut village, b, &[]);
    assert!(
        it.places.iter().all(|place| place.verdict != "ejected"),
        "{it:?}"
    );
}

#[test]
fn one_that_is_full() {
    let mut village = Village::new(1);
    let membership = seeds(&["here"]);
    let slow = component("echo", || {
        |cx: &mut Context, _: Message| {
            cx.sleep(SECOND * 600)?;
            Ok(Reply::Empty)
        }
    });
    let limits = InstanceLimits {
        queue_messages: 1,
        ..InstanceLimits::default()
    };
    let slow = slow.kind(ComponentKind::Stateless).limits(limits);
    let main = hooked("main", || {
        Hooks::new(|_: &mut Context, _: Message| Ok(Reply::Empty)).start(|cx, _| {
            let request = || say().with_deadline(SECOND * 600);
            for _ in 0..2 {
                cx.cast(request()).expect("room");
                cx.sleep(Duration::from_millis(10))?;
            }
            cx.sleep(SECOND * 600)?;
            Ok(())
        })
    });
    let here = village.join("here", &membership, vec![slow, main]);
    village.join("a", &membership, vec![echo(ComponentKind::Stateless, "a")]);
    village.run(SECOND * 3);
    explain(&mut village, here, &[]);
    village.run(SECOND);
    let it = explain(&mut village, here, &[]);
    assert_eq!(verdicts(&it), [("here", "full"), ("a", "chosen")]);
    assert_eq!(&*it.places[0].distance, "process");
    assert_eq!(
        it.places[0].reason,
        "it is full: `instance.queue_messages` of `test/echo` is 1, and 1 was observed"
    );
}

/// Sets a limit at a node, of `echo` or of the node itself, and lets the others hear of it.
fn close(village: &mut Village, name: &str, component: &str) {
    let node = village.world().node(name).expect("it is there");
    let set = SetLimit {
        component: component.to_owned(),
        node: component.is_empty(),
        limit: "in_flight".to_owned(),
        to: LimitTo::Value.into(),
        value: 0,
        author: "ada".to_owned(),
        ..SetLimit::default()
    };
    let response::Result::Limits(_) = village.ask(node, Verb::SetLimit(set)) else {
        panic!("it may be set");
    };
    village.run(SECOND * 3);
}

#[test]
fn one_elsewhere_that_takes_nothing() {
    for (component, reason) in [
        (
            "test/echo",
            "it takes nothing: `instance.in_flight` of `test/echo` is 0",
        ),
        ("", "it takes nothing: `node.in_flight` of `a` is 0"),
    ] {
        let nodes = [("a", "m1"), ("b", "m2")];
        let (mut village, here) = village(ComponentKind::Stateless, &nodes);
        close(&mut village, "a", component);
        let it = explain(&mut village, here, &[]);
        assert_eq!(verdicts(&it), [("a", "closed"), ("b", "chosen")]);
        assert_eq!(it.places[0].reason, reason);
        let full = it.places[0].full.as_ref().expect("it is full");
        assert_eq!(full.value, 0);
        let told = village.perform("caller", &seeds(&["here"]), |cx| {
            cx.sleep(SECOND * 3).expect("nobody ends it");
            (0..50).map(|_| asked(cx, say())).collect::<Vec<_>>()
        });
        assert!(told.iter().all(|it| it == "b"), "{told:?}");
        // Where nobody takes anything it is said of the one that it goes to.
        close(&mut village, "b", "test/echo");
        let it = explain(&mut village, here, &[]);
        assert!(it.places.iter().all(|place| place.chosen), "{it:?}");
        assert!(it.outcome.contains("it takes nothing"), "{}", it.outcome);
    }
}

/// The nearest is in the caller's own node, whose own limit it is.
#[test]
fn one_here_whose_node_takes_nothing() {
    let mut village = Village::new(1);
    let membership = seeds(&["here"]);
    let kind = ComponentKind::Stateless;
    let here = village.join("here", &membership, vec![idle(), echo(kind, "here")]);
    village.join("b", &membership, vec![echo(kind, "b")]);
    village.run(SECOND * 3);
    close(&mut village, "here", "");
    let it = explain(&mut village, here, &[]);
    assert_eq!(verdicts(&it), [("here", "closed"), ("b", "chosen")]);
    let full = it.places[0].full.as_ref().expect("it is full");
    assert_eq!(
        (&*full.limit, full.value, &*full.r#where),
        ("node.in_flight", 0, "here")
    );
    let told = village.perform("caller", &seeds(&["here"]), |cx| {
        cx.sleep(SECOND * 3).expect("nobody ends it");
        (0..50).map(|_| asked(cx, say())).collect::<Vec<_>>()
    });
    assert!(told.iter().all(|it| it == "b"), "{told:?}");
}

/// One at `a` that takes one call at a time, and has one.
fn busy() -> (Village, NodeKey) {
    let mut village = Village::new(1);
    let membership = seeds(&["here"]);
    let here = village.join("here", &membership, vec![idle()]);
    let limits = InstanceLimits {
        in_flight: Some(1),
        ..InstanceLimits::default()
    };
    let slow = component("echo", || {
        |cx: &mut Context, _: Message| {
            cx.sleep(SECOND * 600)?;
            Ok(Reply::Empty)
        }
    });
    let slow = slow.kind(ComponentKind::Stateless).limits(limits);
    village.join("a", &membership, vec![slow]);
    village.run(SECOND * 3);
    (village, here)
}

#[test]
fn one_elsewhere_that_is_full() {
    let (mut village, _) = busy();
    village.perform("caller", &seeds(&["here"]), |cx| {
        cx.sleep(SECOND * 3).expect("nobody ends it");
        cx.cast(say().with_deadline(SECOND * 600)).expect("room");
        cx.sleep(SECOND).expect("nobody ends it");
        let refused = cx.call(say()).expect_err("it is full");
        assert!(matches!(refused, CallError::Rejected(_)), "{refused}");
    });
    let caller = village.world().node("caller").expect("it is there");
    let it = explain(&mut village, caller, &[]);
    // It has room again sooner or later, and nobody says when: the next call goes there.
    assert_eq!(verdicts(&it), [("a", "chosen")]);
    let (reason, full) = (&it.places[0].reason, it.places[0].full.as_ref());
    let said = "`instance.in_flight` of `test/echo` is 1, and 1 was observed";
    assert!(reason.contains("it turned a call away"), "{reason}");
    assert!(reason.contains(said), "{reason}");
    assert!(it.outcome.contains(said), "{}", it.outcome);
    let full = full.expect("it is full");
    assert_eq!(
        (&*full.limit, full.value, full.observed, &*full.r#where),
        ("instance.in_flight", 1, 1, "test/echo")
    );
    assert!(full.retry_after_micros > 0);
}

#[test]
fn a_caller_that_is_throttled() {
    let (mut village, _) = busy();
    village.perform("caller", &seeds(&["here"]), |cx| {
        cx.sleep(SECOND * 3).expect("nobody ends it");
        cx.cast(say().with_deadline(SECOND * 600)).expect("room");
        for _ in 0..1000 {
            cx.sleep(SECOND / 10).expect("nobody ends it");
            cx.call(say()).expect_err("it is full");
        }
    });
    let caller = village.world().node("caller").expect("it is there");
    let it = explain(&mut village, caller, &[]);
    assert!(
        it.outcome.starts_with("of 100 calls ")
            && it.outcome.contains("`caller.throttle_ppm`")
            && it.outcome.contains("it goes to `a`"),
        "{}",
        it.outcome
    );
}

#[test]
fn the_owner_of_a_key() {
    let nodes = [("a", "m1"), ("b", "m2"), ("c", "m0")];
    let (mut village, here) = village(ComponentKind::Keyed, &nodes);
    let mut owners = Vec::new();
    for number in 0..20_u8 {
        let it = explain(&mut village, here, &[number]);
        let owner: Vec<_> = it.places.iter().filter(|place| place.chosen).collect();
        let [owner] = owner[..] else {
            panic!("{it:?}");
        };
        assert!(
            owner.reason.starts_with("the key is its own"),
            "{}",
            owner.reason
        );
        assert_eq!(
            verdicts(&it)
                .iter()
                .filter(|it| it.1 == "other-key")
                .count(),
            2
        );
        owners.push(owner.name.clone());
    }
    let told = village.perform("caller", &seeds(&["here"]), |cx| {
        cx.sleep(SECOND).expect("nobody ends it");
        let ask = |number: u8| asked(cx, say().with_key(vec![number]));
        (0..20).map(ask).collect::<Vec<_>>()
    });
    assert_eq!(owners, told);
}

#[test]
fn a_second_one_where_there_should_be_one() {
    let (mut village, here) = village(ComponentKind::Single, &[("a", "m1"), ("b", "m2")]);
    let it = explain(&mut village, here, &[]);
    let mut words: Vec<_> = it.places.iter().map(|place| &*place.verdict).collect();
    words.sort_unstable();
    assert_eq!(words, ["chosen", "second"]);
}

#[test]
fn a_breaker_that_is_open() {
    let (mut village, here) = village(ComponentKind::Single, &[("a", "m1")]);
    village.ask(
        here,
        Verb::Breakers(Breakers {
            caller: "test/main".to_owned(),
            callee: "test/echo".to_owned(),
            order: BreakerOrder::ForceOpen.into(),
        }),
    );
    let it = explain(&mut village, here, &[]);
    assert_eq!(
        it.outcome,
        "it ends with OPEN: the breaker was opened by hand"
    );
}

#[test]
fn a_component_that_nobody_runs() {
    let (mut village, here) = village(ComponentKind::Single, &[]);
    let it = explain(&mut village, here, &[]);
    assert!(it.places.is_empty());
    assert!(it.outcome.contains("nobody is known to"), "{}", it.outcome);
}

#[test]
fn a_release_is_shown() {
    let mut village = Village::new(1);
    let membership = seeds(&["here"]);
    let here = village.join("here", &membership, vec![idle()]);
    for (name, version) in [("a", "1.4.0"), ("b", "1.5.0")] {
        let echo = echo(ComponentKind::Stateless, name).version(version);
        village.join(name, &membership, vec![echo]);
    }
    village.run(SECOND * 3);
    let it = explain(&mut village, here, &[]);
    let shown: Vec<_> = it
        .places
        .iter()
        .map(|place| (&*place.name, &*place.version))
        .collect();
    assert!(
        shown.contains(&("a", "1.4.0")) && shown.contains(&("b", "1.5.0")),
        "{shown:?}"
    );
}
