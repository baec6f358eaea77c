//! A producer tries again, after a while, what was not confirmed. What it is given meanwhile overtakes.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use monofil_container::{CallError, Context};
use monofil_sim::Sim;

use crate::app::{Disk, Server, ask, ask_within, request, serve, unknown};
use crate::bug::{Act, App, Bug, History, Kind, event, pause};

pub(crate) static BUG: Bug = Bug {
    name: "queue that reorders on reconnect",
    known_from: "Kafka issue KAFKA-3197",
    property: "the log has messages in the order in which they were given to the producer",
    app: |corrected| {
        Rc::new(Stream {
            corrected,
            given: RefCell::default(),
            log: Disk::default(),
        })
    },
    clients: 1,
    acts: 20,
    millis: 500,
    kinds: 1,
    faults: &[Kind::Crash, Kind::Pause, Kind::Partition, Kind::Disconnect],
    nodes: &NODES,
    by_hand: || History {
        acts: vec![(101, 0, 0), (130, 0, 0)],
        faults: vec![event(100_000, 60, pause(NODES[1]))],
    },
};

const NODES: [&str; 2] = ["producer", "log"];

struct Stream {
    corrected: bool,
    given: RefCell<i64>,
    log: Disk<Vec<i64>>,
}

struct Producer {
    corrected: bool,
    /// What failed, to be sent again.
    waiting: VecDeque<i64>,
}

impl Producer {
    /// Sends one message, and has it sent again if that fails.
    fn send(&mut self, cx: &mut Context, message: i64) -> Result<(), CallError> {
        if ask_within(cx, 50, NODES[1], "Append", &[message]).is_err() {
            self.waiting.push_front(message);
            cx.after(Duration::from_millis(50), request(NODES[0], "Retry", &[]))?;
        }
        Ok(())
    }
}

impl Server for Producer {
    fn handle(
        &mut self,
        cx: &mut Context,
        method: &str,
        args: &[i64],
    ) -> Result<Vec<i64>, CallError> {
        match (method, args) {
            ("Send", [message]) if self.corrected && !self.waiting.is_empty() => {
                self.waiting.push_back(*message);
            }
            ("Send", [message]) => self.send(cx, *message)?,
            ("Retry", []) => {
                if let Some(message) = self.waiting.pop_front() {
                    self.send(cx, message)?;
                }
                if self.corrected && !self.waiting.is_empty() {
                    cx.after(Duration::from_millis(5), request(NODES[0], "Retry", &[]))?;
                }
            }
            _ => return unknown(method),
        }
        Ok(vec![])
    }
}

struct Log(Disk<Vec<i64>>);

impl Server for Log {
    fn handle(&mut self, _: &mut Context, _: &str, args: &[i64]) -> Result<Vec<i64>, CallError> {
        self.0.borrow_mut().push(args[0]);
        Ok(vec![])
    }
}

impl App for Stream {
    fn build(&self, sim: &mut Sim) {
        let corrected = self.corrected;
        serve(sim, NODES[0], move || Producer {
            corrected,
            waiting: VecDeque::new(),
        });
        let log = self.log.clone();
        serve(sim, NODES[1], move || Log(log.clone()));
    }

    fn act(&self, cx: &mut Context, _: Act) {
        let message = *self.given.borrow();
        *self.given.borrow_mut() += 1;
        let _ = ask(cx, NODES[0], "Send", &[message]);
    }

    fn judge(&self) -> Result<(), String> {
        let mut log = self.log.borrow().clone();
        // A message may be there twice: it was not confirmed the first time.
        let mut seen = Vec::new();
        log.retain(|message| {
            let is_new = !seen.contains(message);
            seen.push(*message);
            is_new
        });
        match log.is_sorted() {
            true => Ok(()),
            false => Err(format!("the log has {log:?}")),
        }
    }
}
