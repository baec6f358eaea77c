//! What is done to single messages.

use std::time::Duration;

use monofil_container::{CallError, Caller, Payload, Request};
use monofil_sim::story::FaultKind;
use monofil_sim::{Chance, Deed, Injection, Sim, Span, Story, perfetto, report, view};
use monofil_transport::Instant;

use crate::counter::{ask, counter, number};

fn sim(injection: Injection) -> Sim {
    let mut sim = Sim::new("counters", 7);
    counter(&mut sim);
    sim.client("ada");
    sim.inject(injection);
    sim
}

/// Adds one a few times, and returns what came of each and how long it took.
fn additions(sim: &mut Sim, times: u64) -> Vec<(Result<u64, CallError>, Duration)> {
    sim.run("ada", move |cx| {
        let mut ended = Vec::new();
        for _ in 0..times {
            let began = cx.now();
            let answer = ask(cx, "Add", 1);
            ended.push((answer, began.until(cx.now())));
        }
        ended
    })
}

#[test]
fn the_third_reply_is_delayed() {
    let delay = Deed::Delay {
        time: Span::millis(300),
    };
    let third = Injection::reply("counter").of_method("Add").nth(3);
    let mut sim = sim(third.does(delay));
    let ended = additions(&mut sim, 4);
    let slow: Vec<_> = ended
        .iter()
        .map(|(_, took)| took.as_millis() >= 300)
        .collect();
    assert_eq!(slow, [false, false, true, false]);
    assert!(
        ended
            .iter()
            .zip(1..)
            .all(|((answer, _), number)| *answer == Ok(number))
    );
}

#[test]
fn a_dropped_request_is_never_handled_and_a_dropped_reply_was() {
    let mut lost = sim(Injection::request("counter").nth(2));
    let ended = additions(&mut lost, 3);
    assert!(
        matches!(ended[1].0, Err(CallError::Timeout(_))),
        "{ended:?}"
    );
    assert_eq!(ended[2].0, Ok(2));
    let mut lost = sim(Injection::reply("counter").nth(2));
    let ended = additions(&mut lost, 3);
    assert!(
        matches!(ended[1].0, Err(CallError::Timeout(_))),
        "{ended:?}"
    );
    assert_eq!(ended[2].0, Ok(3));
}

#[test]
fn a_duplicated_request_is_handled_twice() {
    let mut sim = sim(Injection::request("counter").nth(2).does(Deed::Duplicate));
    let answers: Vec<_> = additions(&mut sim, 3).into_iter().map(|it| it.0).collect();
    assert_eq!(answers, [Ok(1), Ok(2), Ok(4)]);
}

#[test]
fn a_duplicated_reply_is_not_noticed() {
    let mut sim = sim(Injection::reply("counter").does(Deed::Duplicate));
    let answers: Vec<_> = additions(&mut sim, 3).into_iter().map(|it| it.0).collect();
    assert_eq!(answers, [Ok(1), Ok(2), Ok(3)]);
}

#[test]
fn what_is_held_passes_when_it_is_released() {
    let mut sim = sim(Injection::request("counter").does(Deed::Hold));
    let task = sim.spawn("ada", |cx| ask(cx, "Add", 1));
    sim.run_for(Duration::from_secs(3));
    assert!(!task.is_done());
    assert_eq!(sim.received("counter").len(), 1);
    sim.release();
    sim.run_for(Duration::from_millis(20));
    assert_eq!(task.take(), Some(Ok(1)));
}

#[test]
fn a_failed_request_is_not_handled() {
    let error = "no such luck".to_owned();
    let mut sim = sim(Injection::request("").nth(1).does(Deed::Fail { error }));
    let answers: Vec<_> = additions(&mut sim, 2).into_iter().map(|it| it.0).collect();
    let text = answers[0].as_ref().map_err(ToString::to_string);
    assert!(text.is_err_and(|text| text.contains("no such luck")));
    assert_eq!(answers[1], Ok(1));
}

#[test]
fn only_what_is_meant_is_touched() {
    let call = |flow: &'static str, value: u64| {
        let payload = Payload::json(&value).expect("a number");
        Request::new("counter", "Add", payload)
            .with_flow(flow)
            .with_deadline(Duration::from_millis(100))
    };
    for (injection, lost) in [
        (
            Injection::request("counter").on_flow("checkout"),
            [true, true, false],
        ),
        (
            Injection::request("counter").containing("77"),
            [false, true, true],
        ),
        (
            Injection::request("counter").of_method("Get"),
            [false, false, false],
        ),
        (Injection::request("ada"), [false, false, false]),
        (
            Injection::reply("counters/counter").on_flow("returns"),
            [false, false, true],
        ),
    ] {
        let mut sim = sim(injection.clone());
        let answers = sim.run("ada", move |cx| {
            [("checkout", 1), ("checkout", 77), ("returns", 77)]
                .map(|(flow, value)| cx.call(call(flow, value)).map(|it| number(&it)))
        });
        let missing: Vec<_> = answers.iter().map(Result::is_err).collect();
        assert_eq!(missing, lost, "{injection:?}");
    }
}

#[test]
fn messages_are_selected_by_what_they_say() {
    let mut sim = Sim::new("counters", 7);
    counter(&mut sim);
    let is_big = |payload: &Payload| number(payload) > 10;
    sim.inject_where(Injection::request("counter").nth(2), is_big);
    sim.inject_where(Injection::reply("counter").nth(1), |payload| {
        number(payload) == 3
    });
    let answers = sim.run("ada", |cx| [1, 20, 2, 30, 40].map(|by| ask(cx, "Set", by)));
    // The second of the big ones.
    let lost = answers.map(|answer| answer.is_err());
    assert_eq!(lost, [false, false, false, true, false]);
    // The first answer that is 3.
    let answers = sim.run("ada", |cx| [1, 3, 3].map(|to| ask(cx, "Set", to).is_err()));
    assert_eq!(answers, [false, true, false]);
}

/// Returns what was done to messages of a run: what it is called, and how many milliseconds it lasted.
fn told(sim: &Sim) -> Vec<(String, Option<u64>)> {
    let story = Story::of(&sim.world().recording());
    let page = view::page(&story, "a run", &[]);
    let trace = perfetto::trace(&story);
    let lines = report::events(&story, 1_000);
    let faults = story.faults.iter();
    let done = faults.filter(|fault| fault.kind == FaultKind::Message);
    done.map(|fault| {
        let name = fault.name.to_string();
        assert_eq!(fault.nodes.len(), 1);
        assert_eq!(story.name(fault.nodes[0]), "counter");
        let message = &story.messages[fault.message.expect("a message that was sent")];
        assert_eq!(&*message.sent.method, "Add");
        assert!(page.contains(&name), "{name}");
        assert!(trace.contains(&format!("counter: {name}")), "{name}");
        assert!(lines.iter().any(|it| it.what.starts_with(&name)), "{name}");
        let lasted = |until| {
            let nanos = story.at(until).as_nanos() - story.at(fault.at).as_nanos();
            nanos / 1_000_000
        };
        (name, fault.until.map(lasted))
    })
    .collect()
}

#[test]
fn what_is_done_to_messages_is_seen_as_other_faults_are() {
    let time = Span::millis(300);
    let error = "no luck".to_owned();
    for (injection, name, lasted) in [
        (
            Injection::reply("counter").does(Deed::Delay { time }),
            "delay reply to Add of counter by 300ms",
            300,
        ),
        (
            Injection::request("counter").does(Deed::Delay { time }),
            "delay request Add to counter by 300ms",
            300,
        ),
        (
            Injection::request("counter"),
            "drop request Add to counter",
            0,
        ),
        (
            Injection::reply("counter").does(Deed::Duplicate),
            "duplicate reply to Add of counter",
            0,
        ),
        (
            Injection::request("counter").does(Deed::Fail { error }),
            "fail request Add to counter: ",
            0,
        ),
    ] {
        let mut sim = sim(injection.nth(2));
        additions(&mut sim, 3);
        let told = told(&sim);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].0.starts_with(name), "{told:?}");
        assert_eq!(told[0].1, Some(lasted), "{told:?}");
    }
    let mut sim = sim(Injection::request("counter").nth(1).does(Deed::Hold));
    sim.spawn("ada", |cx| ask(cx, "Add", 1));
    sim.run_for(Duration::from_secs(1));
    let name = "hold request Add to counter".to_owned();
    assert_eq!(told(&sim), [(name.clone(), None)]);
    sim.release();
    sim.run_for(Duration::from_secs(1));
    let told = told(&sim);
    let is_over = |lasted: &u64| (900..1_000).contains(lasted);
    assert!(
        told[0].0 == name && told[0].1.as_ref().is_some_and(is_over),
        "{told:?}"
    );
}

#[test]
fn chance_follows_the_seed() {
    let half = || Injection::request("counter").with_chance(Chance::percent(50));
    let delay = || Deed::Delay {
        time: Span::millis(50),
    };
    let slow = |seed| {
        let mut sim = Sim::new("counters", seed);
        counter(&mut sim);
        sim.inject(half().does(delay()));
        let ended = additions(&mut sim, 32);
        ended
            .iter()
            .map(|it| it.1.as_millis() >= 50)
            .collect::<Vec<_>>()
    };
    assert_eq!(slow(1), slow(1));
    assert_ne!(slow(1), slow(2));
    let touched = slow(1).iter().filter(|slow| **slow).count();
    assert!((8..24).contains(&touched), "{touched}");
}

#[test]
fn what_was_received_can_be_looked_at() {
    let mut sim = sim(Injection::request("ada"));
    additions(&mut sim, 2);
    let received = sim.received("counter");
    assert_eq!(received.len(), 2);
    let first = &received[0];
    assert_eq!(first.from.as_str(), "counters/ada");
    assert_eq!(first.component.as_str(), "counters/counter");
    assert_eq!(first.method.as_str(), "Add");
    assert_eq!(number(&first.payload), 1);
    assert!(first.at > Instant::ZERO);
}

#[test]
fn each_client_is_known_by_its_name() {
    let mut sim = Sim::new("counters", 7);
    counter(&mut sim);
    for client in ["ada", "bob", "ada"] {
        assert!(sim.run(client, |cx| ask(cx, "Add", 1)).is_ok());
    }
    let received = sim.received("counter");
    let from: Vec<_> = received.iter().map(|it| it.from.as_str()).collect();
    assert_eq!(from, ["counters/ada", "counters/bob", "counters/ada"]);
}

#[test]
#[should_panic(expected = "no client can be called `counter`: a component is")]
fn no_client_is_called_as_a_component_is() {
    let mut sim = Sim::new("counters", 7);
    counter(&mut sim);
    sim.client("counter");
}

#[test]
#[should_panic(expected = "no component can be called `counters/counter`: a client is")]
fn no_component_is_called_as_a_client_is() {
    let mut sim = Sim::new("counters", 7);
    sim.client("counter");
    counter(&mut sim);
}
