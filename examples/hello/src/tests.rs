//! The greeter in a simulated network.

#[cfg(target_os = "linux")]
mod crowd;

use std::time::Duration;

use monofil::prelude::*;
use monofil::sim::{Faults, Scenario, Sim, always, sometimes, stacks};

use crate::app;
use crate::proto::hello::{GreeterClient, HelloRequest};

fn greet(cx: &mut Context) -> Result<String, CallError> {
    let name = "Ada".to_owned();
    let reply = GreeterClient::new("greeter").say_hello(cx, HelloRequest { name })?;
    Ok(reply.text)
}

#[test]
fn a_partition_ends_calls_until_it_heals() {
    let mut sim = Sim::of(&app(), 7);
    assert_eq!(sim.run("ada", greet), Ok("Hello, Ada!".to_owned()));
    sim.cut("ada", "greeter");
    assert!(sim.run("ada", greet).is_err());
    sim.heal("ada", "greeter");
    assert_eq!(sim.run("ada", greet), Ok("Hello, Ada!".to_owned()));
    assert_eq!(sim.received("greeter").len(), 2);
}

#[test]
fn a_greeter_that_starts_again_answers() {
    let mut sim = Sim::of(&app(), 7);
    sim.at(Duration::from_secs(3), |sim| sim.crash("greeter"));
    sim.at(Duration::from_secs(20), |sim| sim.restart("greeter"));
    sim.run_for(Duration::from_secs(4));
    // Within five seconds, its deadline, nobody answers.
    assert!(sim.run("ada", greet).is_err());
    sim.run_for(Duration::from_secs(20));
    assert_eq!(sim.run("ada", greet), Ok("Hello, Ada!".to_owned()));
}

#[test]
fn whoever_waits_is_seen() {
    let mut sim = Sim::of(&app(), 7);
    let recorder = sim.world().recorder().expect("a test records").clone();
    recorder.keep_stacks();
    sim.pause("greeter");
    sim.spawn("ada", greet);
    sim.run_for(Duration::from_secs(3));
    let text = stacks::text(&recorder);
    assert!(text.starts_with("hello/ada start on ada"), "{text}");
}

#[test]
fn whatever_goes_wrong_greetings_are_right() {
    Scenario::of("greetings", app, |sim| {
        let tape = sim.tape();
        sim.spawn("ada", move |cx| {
            for _ in tape.steps("greetings", 20) {
                let greeting = greet(cx);
                sometimes(greeting.is_err(), "a call fails");
                always(
                    greeting.is_err() || greeting == Ok("Hello, Ada!".into()),
                    "greetings are right",
                );
                if cx.sleep(Duration::from_millis(500)).is_err() {
                    return;
                }
            }
        });
    })
    .faults(Faults::all())
    .explore(0..40)
    .check();
}
