//! Who holds a lock is paused until its lease is over, and goes on as if it held it still.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use monofil_container::{CallError, Context};
use monofil_sim::Sim;
use monofil_transport::Instant;

use crate::app::{Disk, Server, ask, ask_within, refuse, serve, unknown};
use crate::bug::{Act, App, Bug, History, Kind, event, pause};

pub(crate) static BUG: Bug = Bug {
    name: "lock without a fence",
    known_from: "Jepsen, etcd 3.4.3 (2020)",
    property: "no update under the lock is lost",
    app: |corrected| {
        Rc::new(Locked {
            corrected,
            done: Rc::default(),
            total: Disk::default(),
        })
    },
    clients: 2,
    acts: 30,
    millis: 2_000,
    kinds: 2,
    faults: &[Kind::Crash, Kind::Pause, Kind::Partition],
    nodes: &NODES,
    by_hand: || History {
        acts: vec![(100, 0, 0), (350, 1, 1)],
        // It holds the lock and has read.
        faults: vec![event(110_000, 300, pause(WORKERS[0]))],
    },
};

const NODES: [&str; 4] = ["lock", "store", WORKERS[0], WORKERS[1]];
const WORKERS: [&str; 2] = ["worker-0", "worker-1"];
const LEASE: Duration = Duration::from_millis(200);

struct Locked {
    corrected: bool,
    /// What was added, as those know that did it.
    done: Rc<RefCell<i64>>,
    total: Disk<Total>,
}

/// Whose lease it is, and until when; leases are numbered.
#[derive(Default)]
struct Lease {
    number: i64,
    until: Instant,
}

struct Lock(Disk<Lease>);

impl Server for Lock {
    fn handle(
        &mut self,
        cx: &mut Context,
        method: &str,
        args: &[i64],
    ) -> Result<Vec<i64>, CallError> {
        let mut lease = self.0.borrow_mut();
        match (method, args) {
            ("Acquire", []) if lease.until <= cx.now() => {
                *lease = Lease {
                    number: lease.number + 1,
                    until: cx.now() + LEASE,
                };
                Ok(vec![lease.number])
            }
            ("Acquire", []) => refuse("somebody has it"),
            ("Release", [number]) => {
                if *number == lease.number {
                    lease.until = cx.now();
                }
                Ok(vec![])
            }
            _ => unknown(method),
        }
    }
}

#[derive(Default)]
struct Total {
    total: i64,
    /// The last lease that anything was read or written under.
    lease: i64,
}

struct Store {
    corrected: bool,
    total: Disk<Total>,
}

impl Server for Store {
    fn handle(
        &mut self,
        _: &mut Context,
        method: &str,
        args: &[i64],
    ) -> Result<Vec<i64>, CallError> {
        let mut total = self.total.borrow_mut();
        if self.corrected && args[0] < total.lease {
            return refuse("that lease is over");
        }
        total.lease = args[0];
        match (method, args) {
            ("Get", [_]) => Ok(vec![total.total]),
            ("Put", [_, value]) => {
                total.total = *value;
                Ok(vec![])
            }
            _ => unknown(method),
        }
    }
}

struct Worker {
    done: Rc<RefCell<i64>>,
}

impl Server for Worker {
    fn handle(&mut self, cx: &mut Context, _: &str, _: &[i64]) -> Result<Vec<i64>, CallError> {
        let lease = ask_within(cx, 100, "lock", "Acquire", &[])?[0];
        let total = ask_within(cx, 100, "store", "Get", &[lease])?[0];
        // It takes a while to find out what to write.
        cx.sleep(Duration::from_millis(20))?;
        ask_within(cx, 100, "store", "Put", &[lease, total + 1])?;
        *self.done.borrow_mut() += 1;
        ask_within(cx, 100, "lock", "Release", &[lease])
    }
}

impl App for Locked {
    fn build(&self, sim: &mut Sim) {
        let lease: Disk<Lease> = Disk::default();
        serve(sim, "lock", move || Lock(lease.clone()));
        let (corrected, total) = (self.corrected, self.total.clone());
        serve(sim, "store", move || Store {
            corrected,
            total: total.clone(),
        });
        for name in WORKERS {
            let done = self.done.clone();
            serve(sim, name, move || Worker { done: done.clone() });
        }
    }

    fn act(&self, cx: &mut Context, act: Act) {
        let _ = ask(cx, WORKERS[act.kind as usize], "Work", &[]);
    }

    fn judge(&self) -> Result<(), String> {
        let (total, done) = (self.total.borrow().total, *self.done.borrow());
        match total >= done {
            true => Ok(()),
            false => Err(format!("{done} were added, and there are {total}")),
        }
    }
}
