//! Requests are numbered, so that one that comes twice is done once. Who starts anew counts from one again, and what
//! it asks for then seems to have been done.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use monofil_container::{CallError, Context};
use monofil_sim::models::{Counter, CounterOp, CounterRet};
use monofil_sim::{SharedHistory, Sim};

use crate::app::{Disk, Server, ask, ask_within, linearizable, serve, unknown};
use crate::bug::{Act, App, Bug, History, Kind, crash, event};

pub(crate) static BUG: Bug = Bug {
    name: "ABA of incarnations",
    known_from: "",
    property: "what was confirmed was counted",
    app: |corrected| {
        Rc::new(Counting {
            corrected,
            history: SharedHistory::new(),
        })
    },
    clients: 2,
    acts: 10,
    millis: 1_000,
    kinds: 1,
    faults: &[Kind::Crash, Kind::Pause, Kind::Disconnect],
    nodes: &["agent", "counter"],
    by_hand: || History {
        acts: vec![(100, 0, 0), (1_000, 0, 0)],
        faults: vec![event(200_000, 100, crash("agent"))],
    },
};

struct Counting {
    corrected: bool,
    history: SharedHistory<CounterOp, CounterRet>,
}

/// Numbers requests and repeats them until they are answered.
struct Agent {
    corrected: bool,
    /// How often it has started.
    starts: Disk<i64>,
    incarnation: i64,
    number: i64,
}

impl Server for Agent {
    fn start(&mut self, _: &mut Context) {
        *self.starts.borrow_mut() += 1;
        if self.corrected {
            self.incarnation = *self.starts.borrow();
        }
    }

    fn handle(&mut self, cx: &mut Context, _: &str, args: &[i64]) -> Result<Vec<i64>, CallError> {
        self.number += 1;
        let request = [self.incarnation, self.number, args[0]];
        loop {
            match ask_within(cx, 100, "counter", "Add", &request) {
                Ok(_) => return Ok(vec![]),
                Err(_) => cx.sleep(Duration::from_millis(50))?,
            }
        }
    }
}

#[derive(Default)]
struct Total {
    total: i64,
    done: BTreeSet<(i64, i64)>,
}

struct CounterServer(Disk<Total>);

impl Server for CounterServer {
    fn handle(
        &mut self,
        _: &mut Context,
        method: &str,
        args: &[i64],
    ) -> Result<Vec<i64>, CallError> {
        let mut total = self.0.borrow_mut();
        match (method, args) {
            ("Add", [incarnation, number, amount]) => {
                if total.done.insert((*incarnation, *number)) {
                    total.total += amount;
                }
                Ok(vec![])
            }
            ("Get", []) => Ok(vec![total.total]),
            _ => unknown(method),
        }
    }
}

impl App for Counting {
    fn build(&self, sim: &mut Sim) {
        let (corrected, starts) = (self.corrected, Disk::default());
        serve(sim, "agent", move || Agent {
            corrected,
            starts: starts.clone(),
            incarnation: 0,
            number: 0,
        });
        let disk: Disk<Total> = Disk::default();
        serve(sim, "counter", move || CounterServer(disk.clone()));
    }

    fn act(&self, cx: &mut Context, act: Act) {
        let add = |cx: &mut Context| {
            ask_within(cx, 1_000, "agent", "Add", &[act.number]).map(|_| CounterRet::Added)
        };
        let _ = self
            .history
            .call(cx, act.client, CounterOp::Add(act.number), add);
    }

    fn look(&self, cx: &mut Context) {
        let get = |cx: &mut Context| Ok(CounterRet::Value(ask(cx, "counter", "Get", &[])?[0]));
        let _ = self.history.call(cx, 99, CounterOp::Get, get);
    }

    fn judge(&self) -> Result<(), String> {
        linearizable(&Counter, &self.history)
    }
}
