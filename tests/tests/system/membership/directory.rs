//! Who runs what: found soon after it comes, and not sent to after it went.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use monofil_container::{CallError, Caller, MemberState, Payload, Reply};
use monofil_proto::control::{self, Accepted, Describe, Drain, request::Verb, response};
use monofil_tests::{ComponentDef, Hooks, component, hooked, seeds as test_seeds, text};
use monofil_transport::{Instant, Shutdown};

use crate::village::{SECOND, Village, seeds};

type Answers = Rc<RefCell<Vec<(Instant, Result<String, CallError>)>>>;

/// A component that says where it is.
fn named(name: &'static str, says: &'static str) -> ComponentDef {
    component(name, move || {
        move |_, _| Ok(Reply::Payload(Payload::bytes(says)))
    })
}

/// A component that calls another every 20 ms and writes down what comes of it.
fn asker(target: &'static str) -> (ComponentDef, Answers) {
    let answers: Answers = Rc::default();
    let written = answers.clone();
    let asker = hooked("asker", move || {
        let written = written.clone();
        let first = |cx: &mut monofil_container::Context, _| {
            cx.cast(text("test/asker", "Go", ""))
                .map(drop)
                .map_err(|error| monofil_container::Status::internal(error.to_string()))
        };
        Hooks::new(move |cx, _| {
            let request = text(target, "Say", "").with_deadline(Duration::from_millis(200));
            let answer = cx.call(request);
            let answer =
                answer.map(|payload| String::from_utf8_lossy(&payload.to_bytes()).into_owned());
            written.borrow_mut().push((cx.now(), answer));
            cx.after(Duration::from_millis(20), text("test/asker", "Go", ""))
                .expect("room for one");
            Ok(Reply::Payload(Payload::default()))
        })
        .start(first)
    });
    (asker, answers)
}

#[test]
fn a_component_that_comes_is_callable_within_a_second() {
    for seed in test_seeds(20) {
        let mut village = Village::new(seed);
        let (asker, answers) = asker("test/echo");
        village.join("n0", &seeds(&["n0"]), Vec::new());
        village.join("n1", &seeds(&["n0"]), vec![asker]);
        for number in 2..10 {
            village.join(&format!("n{number}"), &seeds(&["n0"]), Vec::new());
        }
        village.run(SECOND * 5);
        assert!(answers.borrow().iter().all(|(_, answer)| answer.is_err()));
        let since = village.now();
        village.join("n10", &seeds(&["n0"]), vec![named("echo", "here")]);
        village.run(SECOND * 2);
        let answers = answers.borrow();
        let first = answers.iter().find(|(_, answer)| answer.is_ok());
        let (at, _) = first.unwrap_or_else(|| panic!("seed {seed}: nobody answers"));
        let took = at.since(since);
        assert!(took < SECOND, "seed {seed}: {took:?}");
    }
}

#[test]
fn one_that_is_dead_is_not_chosen_after_it_was_noticed() {
    for seed in test_seeds(10) {
        let mut village = Village::new(seed);
        let (asker, answers) = asker("test/echo");
        let n0 = village.join("n0", &seeds(&["n0"]), vec![asker]);
        let mut nodes = vec![n0];
        for (name, says) in [("n1", "n1"), ("n2", "n2"), ("n3", "n3")] {
            nodes.push(village.join(name, &seeds(&["n0"]), vec![named("echo", says)]));
        }
        village.run(SECOND * 5);
        let (_, last) = answers.borrow().last().cloned().expect("it asks");
        let chosen = last.expect("it is answered");
        let dead = village.world().node(&chosen).expect("it is a node");
        village.world().vanish(dead);
        nodes.retain(|node| *node != dead);
        village.wait_until(
            SECOND * 30,
            &format!("it is gone, seed {seed}"),
            |village| !village.up(n0).contains(&crate::village::id(&chosen)),
        );
        // What was under way has had its time.
        village.run(Duration::from_millis(250));
        answers.borrow_mut().clear();
        village.run(SECOND * 20);
        let answers = answers.borrow();
        assert!(answers.len() > 100, "seed {seed}");
        for (_, answer) in answers.iter() {
            assert_ne!(
                *answer.as_ref().expect("somebody answers"),
                chosen,
                "seed {seed}"
            );
        }
    }
}

#[test]
fn nobody_is_sent_to_a_node_that_drains() {
    let mut village = Village::new(3);
    let (asker, answers) = asker("test/echo");
    village.join("n0", &seeds(&["n0"]), vec![asker]);
    for (name, says) in [("n1", "n1"), ("n2", "n2")] {
        village.join(name, &seeds(&["n0"]), vec![named("echo", says)]);
    }
    village.run(SECOND * 5);
    let (_, last) = answers.borrow().last().cloned().expect("it asks");
    let chosen = village
        .world()
        .node(&last.expect("it is answered"))
        .expect("it is a node");
    village.world().shutdown(chosen, Shutdown::Drain);
    village.run(SECOND * 2);
    answers.borrow_mut().clear();
    village.run(SECOND * 5);
    assert!(answers.borrow().iter().all(|(_, answer)| answer.is_ok()));
}

#[test]
fn who_drains_is_seen_to_by_everybody() {
    let mut village = Village::new(1);
    let membership = seeds(&["n0"]);
    let nodes = [
        village.join("n0", &membership, Vec::new()),
        village.join("n1", &membership, vec![named("echo", "n1")]),
        // It runs nothing that could be missed.
        village.join("n2", &membership, Vec::new()),
    ];
    village.wait_until(SECOND * 5, "all are there", |village| {
        village.is_whole(&nodes)
    });
    for name in ["n1", "n2"] {
        let node = village.world().node(name).expect("it is there");
        assert_eq!(village.state(nodes[0], name), Some(MemberState::Up));
        let told = village.ask(node, Verb::Drain(Drain {}));
        assert_eq!(told, response::Result::Accepted(Accepted {}));
        village.wait_until(SECOND, &format!("{name} is seen to drain"), |village| {
            village.state(nodes[0], name) == Some(MemberState::Draining)
        });
        // An operator is told so by any node, and who drains is there.
        let asked = village.ask(nodes[0], Verb::Describe(Describe::default()));
        let response::Result::Description(description) = asked else {
            panic!("{asked:?}");
        };
        let mut members = description.members.iter();
        let member = members.find(|it| it.name == name).expect("it is there");
        assert_eq!(member.state(), control::MemberState::Drains);
    }
    village.run(SECOND * 30);
    assert!(village.is_whole(&nodes));
}

#[test]
fn a_publication_reaches_who_subscribed_somewhere() {
    let mut village = Village::new(1);
    let heard: Rc<RefCell<Vec<&str>>> = Rc::default();
    let listener = |says: &'static str| {
        let heard = heard.clone();
        component(says, move || {
            let heard = heard.clone();
            move |_, _| {
                heard.borrow_mut().push(says);
                Ok(Reply::Payload(Payload::default()))
            }
        })
        .subscribe("news", "Hear")
    };
    let (one, other) = (listener("one"), listener("other"));
    village.join("n0", &seeds(&["n0"]), vec![one]);
    village.join("n1", &seeds(&["n0"]), vec![other]);
    let speaker = hooked("speaker", || {
        Hooks::new(|_, _| Ok(Reply::Payload(Payload::default()))).start(|cx, _| {
            cx.sleep(SECOND * 3).expect("nobody ends it");
            let count = cx.publish("news", Payload::bytes("hello"));
            assert_eq!(count, Ok(2));
            Ok(())
        })
    });
    village.join("n2", &seeds(&["n0"]), vec![speaker]);
    village.run(SECOND * 6);
    let mut heard = heard.borrow().clone();
    heard.sort_unstable();
    assert_eq!(heard, ["one", "other"]);
}

/// Many nodes with two seeds, one of which is a stranger to all.
#[test]
fn everybody_knows_what_everybody_runs() {
    for seed in test_seeds(3) {
        let mut village = Village::new(seed);
        let nodes: Vec<_> = (0..40)
            .map(|number| {
                let echo = named("echo", "here");
                village.join(&format!("n{number}"), &seeds(&["n0", "nobody"]), vec![echo])
            })
            .collect();
        // Whoever gossip missed is found when knowledge is compared, every five to fifteen seconds.
        village.wait_until(
            SECOND * 20,
            &format!("all is known, seed {seed}"),
            |village| {
                nodes.iter().all(|node| {
                    let members = village.look(*node, |container| container.members());
                    members.len() == 39 && members.iter().all(|it| it.components.len() == 1)
                })
            },
        );
    }
}

#[test]
fn a_call_waits_for_a_component_that_is_yet_to_come() {
    let mut village = Village::new(1);
    let answer: Rc<RefCell<Option<Result<String, CallError>>>> = Rc::default();
    let written = answer.clone();
    let caller = hooked("caller", move || {
        let written = written.clone();
        Hooks::new(|_, _| Ok(Reply::Payload(Payload::default()))).start(move |cx, _| {
            let request = text("test/echo", "Say", "").with_deadline(SECOND * 20);
            let said = cx.call(request);
            let said =
                said.map(|payload| String::from_utf8_lossy(&payload.to_bytes()).into_owned());
            *written.borrow_mut() = Some(said);
            let request = text("test/nobody", "Say", "").with_deadline(SECOND);
            let error = cx.call(request).expect_err("it runs nowhere");
            assert!(error.to_string().contains("no member"), "{error}");
            Ok(())
        })
    });
    village.join("n0", &seeds(&["n1"]), vec![caller]);
    village.run(SECOND * 5);
    assert!(answer.borrow().is_none());
    village.join("n1", &seeds(&["n1"]), vec![named("echo", "here")]);
    village.run(SECOND * 2);
    assert_eq!(*answer.borrow(), Some(Ok("here".to_owned())));
    village.run(SECOND * 2);
}

#[test]
fn a_call_waits_until_its_deadline_however_long_that_is() {
    let mut village = Village::new(1);
    let answers: Answers = Rc::default();
    let written = answers.clone();
    let caller = hooked("caller", move || {
        let written = written.clone();
        Hooks::new(|_, _| Ok(Reply::Empty)).start(move |cx, _| {
            let call = |name| cx.start_call(text(name, "Say", "").with_deadline(SECOND * 150));
            let calls = ["test/echo", "test/nobody"].map(call);
            for call in calls {
                let said = cx.wait(call);
                let said =
                    said.map(|payload| String::from_utf8_lossy(&payload.to_bytes()).into_owned());
                written.borrow_mut().push((cx.now(), said));
            }
            Ok(())
        })
    });
    village.join("n0", &seeds(&["n0"]), vec![caller]);
    village.run(SECOND * 100);
    assert!(answers.borrow().is_empty(), "both wait");
    village.join("n1", &seeds(&["n0"]), vec![named("echo", "here")]);
    village.run(SECOND * 60);
    let answers = answers.borrow();
    assert_eq!(answers[0].1, Ok("here".to_owned()));
    let (at, nobody) = &answers[1];
    assert!(at.since(Instant::ZERO) >= SECOND * 150, "{at:?}");
    let text = nobody.as_ref().expect_err("it runs nowhere").to_string();
    assert!(text.contains("no member"), "{text}");
}
