//! A counter, and clients that lose updates: they read it and write back one more.

use monofil_container::{
    CallError, Caller, Component, ComponentSpec, Context, HandlerError, Message, Payload, Reply,
    Request,
};
use monofil_sim::Sim;

/// Holds a number: `Get`, `Set`, and `Add`, which is one step.
#[derive(Default)]
pub(crate) struct Counter {
    value: u64,
    /// Called with each value that is set.
    look: Option<fn(u64)>,
}

impl Counter {
    /// Makes one that has a function look at what it is set to.
    pub(crate) fn that(look: fn(u64)) -> Self {
        Self {
            value: 0,
            look: Some(look),
        }
    }
}

pub(crate) fn number(payload: &Payload) -> u64 {
    payload.to_json().unwrap_or_default()
}

impl Component for Counter {
    fn handle(&mut self, _: &mut Context, message: Message) -> Result<Reply, HandlerError> {
        let given = number(message.payload());
        match message.method().as_str() {
            "Get" => {}
            "Set" => {
                self.look.inspect(|look| look(given));
                self.value = given;
            }
            "Add" => self.value += given,
            other => return Err(HandlerError::Unimplemented(other.to_owned())),
        }
        Ok(Reply::Payload(
            Payload::json(&self.value).expect("a number"),
        ))
    }
}

pub(crate) fn counter(sim: &mut Sim) {
    sim.component("counter", || {
        ComponentSpec::new("counter", Counter::default)
    });
}

pub(crate) fn ask(cx: &mut Context, method: &'static str, value: u64) -> Result<u64, CallError> {
    let payload = Payload::json(&value).expect("a number");
    let reply = cx.call(Request::new("counter", method, payload))?;
    Ok(number(&reply))
}
