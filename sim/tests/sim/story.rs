//! What is told of a run: faults that were done by hand, and the message that a failure is about.

use std::time::Duration;

use monofil_container::{CallError, Caller, ComponentSpec, Context, Payload, Request};
use monofil_inproc::Fault;
use monofil_sim::{Case, Keep, Scenario, Sim, Story, always};

use crate::counter::{Counter, ask, counter, number};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn faults_by_hand_are_told_from_their_beginning_to_their_end() {
    let mut sim = Sim::new("counters", 1);
    counter(&mut sim);
    sim.client("ada");
    let _ = sim.spawn("bob", |cx| while cx.sleep(SECOND / 10).is_ok() {});
    sim.run_for(SECOND);
    let [counter, ada] = ["counter", "ada"].map(|name| sim.key(name));
    let [from, to] = [ada, counter];
    let during = [
        Fault::Clog {
            from,
            to,
            duration: SECOND,
        },
        Fault::Slow(counter, Duration::from_millis(3)),
        Fault::Drift(ada, -200),
        Fault::StepWallClock(ada, 5_000),
    ];
    for fault in during {
        sim.world_mut().apply(fault);
    }
    sim.run_for(2 * SECOND);
    sim.world_mut().apply(Fault::Slow(counter, Duration::ZERO));
    sim.world_mut().apply(Fault::Drift(ada, 0));
    sim.run_for(SECOND);
    let story = Story::of(&sim.world().recording());
    let seconds = |moment| story.at(moment).as_nanos() as f64 / 1e9;
    let told: Vec<_> = story
        .faults
        .iter()
        .map(|fault| (&*fault.name, seconds(fault.at), fault.until.map(seconds)))
        .collect();
    let expected = [
        ("clog ada → counter", 1.0, Some(2.0)),
        ("slow, 3ms a turn", 1.0, Some(3.0)),
        ("clocks drift, -200 ppm", 1.0, Some(3.0)),
    ];
    assert_eq!(told, expected);
    let jump = |event: &&monofil_sim::story::Event| event.text.contains("wall clock jumps by 5 ms");
    assert_eq!(story.events.iter().filter(jump).count(), 1);
}

fn story_of(scenario: &Scenario) -> Story {
    let keep = Keep {
        records: 10_000,
        ..Keep::default()
    };
    let ran = scenario.run(&Case::of_seed(1), keep);
    assert!(ran.failure.is_some());
    Story::of(&ran.recording)
}

/// Of several messages that are handled in one turn, the one whose handler did it.
#[test]
fn a_failure_is_about_the_message_whose_handler_broke_the_property() {
    let broken_by = |handle: fn(u64)| {
        let scenario = Scenario::new("third", "counters", move |sim| {
            sim.component("counter", move || {
                ComponentSpec::new("counter", move || Counter::that(handle))
            });
            sim.spawn("ada", |cx| {
                let cast = |cx: &mut Context, value: u64| {
                    let payload = Payload::json(&value).expect("a number");
                    cx.cast(Request::new("counter", "Set", payload))
                };
                (1..=5).try_for_each(|value| cast(cx, value).map(drop))?;
                cx.sleep(SECOND)?;
                Ok::<(), CallError>(())
            });
        });
        let story = story_of(&scenario);
        let failure = &story.failures[0];
        let message = failure.message.expect("a message");
        story.messages[message].sent.payload.to_string()
    };
    assert_eq!(
        broken_by(|value| always(value != 3, "nobody sets it to 3")),
        "3"
    );
    assert_eq!(broken_by(|value| assert_ne!(value, 2)), "2");
}

#[test]
fn what_is_seen_from_outside_is_about_the_last_message_before() {
    let scenario = Scenario::new("two", "counters", |sim| {
        counter(sim);
        sim.spawn("ada", |cx| {
            (1..=5).try_for_each(|value| ask(cx, "Set", value).map(drop))
        });
        sim.always("nobody sets it to 2", |sim| {
            let received = sim.received("counter");
            received.iter().all(|it| number(&it.payload) != 2)
        });
    });
    let story = story_of(&scenario);
    let message = story.failures[0].message.expect("a message");
    assert_eq!(&*story.messages[message].sent.payload, "2");
}
