//! The greeter in a simulated network.

use monofil::prelude::*;
use monofil::sim::Sim;

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
