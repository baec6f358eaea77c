use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use monofil_container::{CallError, Caller, ComponentKind, Context, Message, Payload, Reply};
use monofil_tests::{ComponentDef, NodeSpec, component, on_both, seeds as test_seeds, text};
use monofil_transport::Shutdown;

use super::{Tally, asked, echo, say};
use crate::village::{SECOND, Village, seeds};

const MILLISECOND: Duration = Duration::from_millis(1);

/// A component that does one thing after the other, each taking so long, and counts them.
fn worker(tally: &Tally, says: &'static str, takes: Duration) -> ComponentDef {
    let tally = tally.clone();
    component("worker", move || {
        let tally = tally.clone();
        move |cx: &mut Context, _: Message| {
            cx.sleep(takes)?;
            *tally.borrow_mut().entry(says).or_default() += 1;
            Ok(Reply::Payload(Payload::bytes(says)))
        }
    })
    .kind(ComponentKind::Stateless)
}

#[test]
fn the_nearest_is_chosen() {
    // Who is there, and who is asked.
    for (there, expected) in [
        (vec!["far", "near", "own"], "own"),
        (vec!["far", "near"], "near"),
        (vec!["far"], "far"),
    ] {
        let mut village = Village::new(1);
        let (tally, membership) = (Tally::default(), seeds(&["far", "near", "own"]));
        for says in ["far", "near"] {
            if there.contains(&says) {
                let host = if says == "far" { "there" } else { "here" };
                let echo = vec![echo(ComponentKind::Stateless, says)];
                village.join_as(says, &membership, echo, move |config| {
                    config.host = host.into()
                });
            }
        }
        let written = tally.clone();
        let caller = component("caller", move || {
            let tally = written.clone();
            move |cx: &mut Context, _: Message| {
                for _ in 0..50 {
                    let who = asked(cx, say());
                    let who = ["far", "near", "own"].into_iter().find(|it| *it == who);
                    *tally.borrow_mut().entry(who.expect("of them")).or_default() += 1;
                }
                Ok(Reply::Empty)
            }
        });
        let mut components = vec![caller];
        if there.contains(&"own") {
            components.push(echo(ComponentKind::Stateless, "own"));
        }
        village.join_as("own", &membership, components, |config| {
            config.host = "here".into()
        });
        village.run(SECOND * 4);
        village.perform("starter", &membership, |cx| {
            cx.sleep(SECOND).expect("nobody ends it");
            cx.call(text("caller", "Go", "")).expect("it goes well");
        });
        assert_eq!(*tally.borrow(), BTreeMap::from([(expected, 50)]));
    }
}

#[test]
fn instances_share_the_work_and_a_slow_one_gets_less() {
    for seed in test_seeds(10) {
        let mut village = Village::new(seed);
        let (tally, membership) = (Tally::default(), seeds(&["n0"]));
        let workers = [("n0", 2), ("n1", 2), ("n2", 2), ("n3", 20)];
        for (name, millis) in workers {
            let takes = MILLISECOND * millis;
            village.join(name, &membership, vec![worker(&tally, name, takes)]);
        }
        village.run(SECOND * 3);
        village.perform("caller", &membership, |cx| {
            cx.sleep(SECOND).expect("nobody ends it");
            let mut pending = Vec::new();
            for _ in 0..800 {
                pending.push(cx.start_call(text("worker", "Go", "")));
                cx.sleep(MILLISECOND).expect("nobody ends it");
            }
            for pending in pending {
                cx.wait(pending).expect("an answer");
            }
        });
        let tally = tally.borrow();
        let slow = tally.get("n3").copied().unwrap_or_default();
        for name in ["n0", "n1", "n2"] {
            let got = tally[name];
            assert!((180..320).contains(&got), "seed {seed}: {tally:?}");
            assert!(slow * 2 < got, "seed {seed}: {tally:?}");
        }
    }
}

#[test]
fn who_drains_or_dies_is_chosen_no_more() {
    for seed in test_seeds(10) {
        let mut village = Village::new(seed);
        let membership = seeds(&["n0"]);
        for name in ["n0", "n1", "n2", "n3"] {
            village.join(
                name,
                &membership,
                vec![echo(ComponentKind::Stateless, name)],
            );
        }
        village.run(SECOND * 3);
        let [n1, n2] = ["n1", "n2"].map(|name| village.world().node(name).expect("it is there"));
        village.world().shutdown(n1, Shutdown::Drain);
        village.world().vanish(n2);
        let n0 = village.world().node("n0").expect("it is there");
        village.wait_until(SECOND * 30, "they are gone", |village| {
            let up = village.up(n0);
            let gone = ["n1", "n2"].map(crate::village::id);
            !gone.iter().any(|node| up.contains(node))
        });
        let who = village.perform("caller", &membership, |cx| {
            cx.sleep(SECOND).expect("nobody ends it");
            let mut who: Vec<_> = (0..50).map(|_| asked(cx, say())).collect();
            who.sort();
            who.dedup();
            who
        });
        assert_eq!(who, ["n0", "n3"], "seed {seed}");
    }
}

/// `front` calls `back`, which calls `front` again: that one waits, but it may not be the only one.
#[test]
fn a_circle_is_one_when_nobody_else_is_left() {
    for fronts in [1, 2] {
        let mut village = Village::new(1);
        let membership = seeds(&["back"]);
        let front = |name: &'static str| {
            component("front", move || {
                move |cx: &mut Context, message: Message| {
                    if message.method() == "Last" {
                        return Ok(Reply::Payload(Payload::bytes(name)));
                    }
                    Ok(Reply::Payload(cx.call(text("back", "Go", ""))?))
                }
            })
            .kind(ComponentKind::Stateless)
        };
        let back = component("back", || {
            |cx: &mut Context, _: Message| Ok(Reply::Payload(cx.call(text("front", "Last", ""))?))
        });
        village.join("back", &membership, vec![back]);
        for name in ["front0", "front1"].into_iter().take(fronts) {
            village.join(name, &membership, vec![front(name)]);
        }
        village.run(SECOND * 3);
        village.perform("caller", &membership, move |cx| {
            cx.sleep(SECOND).expect("nobody ends it");
            for _ in 0..20 {
                let answer = cx.call(text("front", "First", ""));
                match fronts {
                    1 => assert!(answer.is_err_and(|it| it.to_string().contains("cycle"))),
                    _ => drop(answer.expect("the other answers")),
                }
            }
        });
    }
}

#[test]
fn instances_of_one_container_share_the_work() {
    on_both(|net| {
        let tally = Tally::default();
        let both = vec![
            worker(&tally, "one", MILLISECOND * 20),
            worker(&tally, "other", MILLISECOND * 20),
        ];
        net.start(vec![NodeSpec::new("node", both)]);
        net.run(|cx| {
            let pending: Vec<_> = (0..10)
                .map(|_| cx.start_call(text("worker", "Go", "")))
                .collect();
            for pending in pending {
                cx.wait(pending).expect("an answer");
            }
        });
        let tally = Rc::clone(&tally);
        assert_eq!(*tally.borrow(), BTreeMap::from([("one", 5), ("other", 5)]));
    });
}

#[test]
fn everybody_asks_the_same_single_one_wherever_more_are() {
    let mut village = Village::new(5);
    let membership = seeds(&["n0"]);
    for name in ["n0", "n1", "n2"] {
        village.join(name, &membership, vec![echo(ComponentKind::Single, name)]);
    }
    village.run(SECOND * 3);
    let mut answers = Vec::new();
    for caller in ["c0", "c1", "c2", "c3"] {
        answers.push(village.perform(caller, &membership, |cx| {
            cx.sleep(SECOND).expect("nobody ends it");
            asked(cx, say())
        }));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
}

#[test]
fn a_call_that_nobody_is_left_for_ends_by_its_deadline() {
    let mut village = Village::new(1);
    let membership = seeds(&["n0"]);
    village.join(
        "n0",
        &membership,
        vec![echo(ComponentKind::Stateless, "n0")],
    );
    village.run(SECOND * 3);
    let error = village.perform("caller", &membership, |cx| {
        cx.sleep(SECOND).expect("nobody ends it");
        cx.call(text("nobody", "Say", "").with_deadline(SECOND))
    });
    assert!(matches!(error, Err(CallError::Unreachable(_))), "{error:?}");
}
