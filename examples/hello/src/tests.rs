//! The greeter in a simulated network.

use std::time::Duration;

use monofil::prelude::*;
use monofil::sim::{Faults, Scenario, Sim, Simulate, always, sometimes};

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
fn whatever_goes_wrong_greetings_are_right() {
    Scenario::new("greetings", "hello", |sim| {
        app().join(sim);
        sim.spawn("ada", |cx| {
            for _ in 0..20 {
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
