//! A breaker that is half open lets one call through, and waits for how it ends. Of an error that is the caller's own
//! mistake it takes no notice, and so waits for ever.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use monofil_container::{CallError, Context, Status};
use monofil_sim::Sim;
use monofil_transport::Instant;

use crate::app::{Server, ask, ask_within, refuse, serve};
use crate::bug::{Act, App, Bug, History, Kind, crash, event};

pub(crate) static BUG: Bug = Bug {
    name: "breaker that wedges",
    known_from: "resilience4j issue 544",
    property: "when all is well again, calls are let through",
    app: |corrected| {
        Rc::new(Guarded {
            corrected,
            answer: RefCell::new(Ok(vec![])),
        })
    },
    clients: 2,
    acts: 20,
    millis: 1_000,
    kinds: 4,
    faults: &[Kind::Crash, Kind::Pause, Kind::Partition],
    nodes: &NODES,
    by_hand: || History {
        acts: vec![(200, 0, 0), (600, 0, 3)],
        faults: vec![event(100_000, 400, crash(NODES[1]))],
    },
};

const NODES: [&str; 2] = ["gateway", "backend"];

/// An open breaker is half open after this.
const PAUSE: Duration = Duration::from_millis(200);

struct Guarded {
    corrected: bool,
    answer: RefCell<Result<Vec<i64>, CallError>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Breaker {
    Closed,
    Open(Instant),
    /// One call is being tried.
    HalfOpen,
}

struct Gateway {
    corrected: bool,
    breaker: Breaker,
}

impl Server for Gateway {
    fn handle(
        &mut self,
        cx: &mut Context,
        method: &str,
        args: &[i64],
    ) -> Result<Vec<i64>, CallError> {
        match self.breaker {
            Breaker::Open(since) if cx.now().since(since) >= PAUSE => {
                self.breaker = Breaker::HalfOpen;
            }
            Breaker::Closed => {}
            Breaker::Open(_) | Breaker::HalfOpen => return refuse("the breaker is open"),
        }
        let answer = ask_within(cx, 100, NODES[1], method, args);
        match &answer {
            Ok(_) => self.breaker = Breaker::Closed,
            Err(CallError::Remote(_)) if !self.corrected => {}
            Err(CallError::Remote(_)) => self.breaker = Breaker::Closed,
            Err(_) => self.breaker = Breaker::Open(cx.now()),
        }
        answer
    }
}

struct Backend;

impl Server for Backend {
    fn handle(&mut self, _: &mut Context, _: &str, args: &[i64]) -> Result<Vec<i64>, CallError> {
        match args[0] {
            -1 => Err(CallError::Remote(Status::not_found(
                "there is no such thing",
            ))),
            it => Ok(vec![it]),
        }
    }
}

impl App for Guarded {
    fn build(&self, sim: &mut Sim) {
        let corrected = self.corrected;
        serve(sim, NODES[0], move || Gateway {
            corrected,
            breaker: Breaker::Closed,
        });
        serve(sim, NODES[1], || Backend);
    }

    fn act(&self, cx: &mut Context, act: Act) {
        let _ = ask(cx, NODES[0], "Get", &[if act.kind == 3 { -1 } else { 1 }]);
    }

    fn look(&self, cx: &mut Context) {
        for _ in 0..10 {
            *self.answer.borrow_mut() = ask(cx, NODES[0], "Get", &[1]);
            if cx.sleep(PAUSE).is_err() {
                return;
            }
        }
    }

    fn judge(&self) -> Result<(), String> {
        match &*self.answer.borrow() {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("for ever: {error}")),
        }
    }
}
