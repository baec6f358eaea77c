//! Who does not work is left alone, whoever calls it hears so at once, and both end when it works again.

mod breakers;
mod ejections;
mod retries;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use monofil_container::{CallError, Caller, Context, Message, Payload, Reply, Request, Status};
use monofil_inproc::NodeKey;
use monofil_proto::control::{
    BreakerDescription, BreakerOrder, BreakerState, Breakers, request::Verb, response,
};
use monofil_tests::{ComponentDef, component, text};

use crate::village::Village;

const MILLISECOND: Duration = Duration::from_millis(1);

/// What a component does with a message; a test may change it as it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Works,
    /// Answers with an error of its own.
    Fails,
    /// The same, with one that says to try again.
    Unavailable,
    /// Does not answer before anybody's deadline.
    Hangs,
    Panics,
    Slow(u64),
}

/// A component that does what a test says, and counts how often it was asked.
#[derive(Clone)]
struct Patient {
    mood: Rc<Cell<Mood>>,
    asked: Rc<Cell<u64>>,
}

impl Patient {
    fn new(mood: Mood) -> Self {
        Self {
            mood: Rc::new(Cell::new(mood)),
            asked: Rc::default(),
        }
    }

    fn component(&self, name: &'static str) -> ComponentDef {
        let patient = self.clone();
        component(name, move || {
            let patient = patient.clone();
            move |cx: &mut Context, _: Message| {
                patient.asked.set(patient.asked.get() + 1);
                match patient.mood.get() {
                    Mood::Works => {}
                    Mood::Fails => return Err(Status::internal("it is broken").into()),
                    Mood::Unavailable => return Err(Status::unavailable("later").into()),
                    Mood::Hangs => cx.sleep(Duration::from_secs(3600))?,
                    Mood::Panics => panic!("it panics"),
                    Mood::Slow(millis) => {
                        cx.sleep(MILLISECOND * u32::try_from(millis).unwrap_or(1))?
                    }
                }
                Ok(Reply::Payload(Payload::default()))
            }
        })
    }
}

fn request() -> Request {
    text("patient", "Go", "").with_deadline(MILLISECOND * 200)
}

/// Calls until it is as the test wants it, with a pause after each; panics after a number of calls.
fn call_until(
    cx: &mut Context,
    pause: Duration,
    most: u32,
    mut done: impl FnMut(&Result<Payload, CallError>) -> bool,
) -> u32 {
    for count in 1..=most {
        let result = cx.call(request());
        if done(&result) {
            return count;
        }
        cx.sleep(pause).expect("nobody ends it");
    }
    panic!("not after {most} calls");
}

const fn is_open(result: &Result<Payload, CallError>) -> bool {
    matches!(result, Err(CallError::Open { .. }))
}

/// Asks a node about the breaker between its `main` and `patient`.
fn breaker(village: &mut Village, node: NodeKey, order: BreakerOrder) -> BreakerDescription {
    let verb = Verb::Breakers(Breakers {
        caller: "test/main".to_owned(),
        callee: "test/patient".to_owned(),
        order: order.into(),
    });
    match village.ask(node, verb) {
        response::Result::Breakers(report) => {
            assert_eq!(report.left_out, 0);
            report.breakers.first().cloned().expect("one breaker")
        }
        other => panic!("{other:?}"),
    }
}

fn state(village: &mut Village, node: NodeKey) -> BreakerState {
    breaker(village, node, BreakerOrder::Unspecified).state()
}
