//! A primary confirms a write and gives it to its replica a little later. A sentinel that cannot reach it makes the
//! replica the primary, and the write is gone.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use monofil_container::{CallError, Context};
use monofil_sim::Sim;

use crate::app::{Disk, Server, ask_within, refuse, request, serve, serve_both, unknown};
use crate::bug::{Act, App, Bug, History, Kind, event, partition};

pub(crate) static BUG: Bug = Bug {
    name: "failover that forgets",
    known_from: "Jepsen, Redis with Sentinel (2013)",
    property: "what was confirmed is there in the end",
    app: |corrected| {
        Rc::new(Pair {
            corrected,
            confirmed: Rc::default(),
            found: RefCell::default(),
        })
    },
    clients: 2,
    acts: 20,
    millis: 3_000,
    kinds: 2,
    faults: &[Kind::Crash, Kind::Pause, Kind::Partition],
    nodes: &NODES,
    by_hand: || History {
        acts: vec![(1_100, 0, 0)],
        faults: vec![event(1_000_000, 2_000, partition(NODES[0], &NODES[1..]))],
    },
};

const NODES: [&str; 3] = ["store-0", "store-1", "sentinel"];
const STORES: [&str; 2] = [NODES[0], NODES[1]];
const COPIERS: [&str; 2] = ["copier-0", "copier-1"];
const TICK: Duration = Duration::from_millis(100);

type Set = BTreeSet<i64>;

struct Pair {
    corrected: bool,
    confirmed: Rc<RefCell<Set>>,
    found: RefCell<Option<Set>>,
}

/// What a store keeps.
#[derive(Default)]
struct Kept {
    set: Set,
    /// In this epoch, and whether it is the primary of it. Store 0 is that of epoch 0.
    epoch: i64,
    is_primary: bool,
}

struct Store {
    corrected: bool,
    me: usize,
    kept: Disk<Kept>,
}

/// Gives the replica all there is, if it is not in a later epoch.
fn copy(cx: &mut Context, me: usize, kept: &Disk<Kept>) -> Result<Vec<i64>, CallError> {
    let mut args = vec![kept.borrow().epoch];
    args.extend(&kept.borrow().set);
    ask_within(cx, 50, STORES[1 - me], "Copy", &args)
}

impl Server for Store {
    fn handle(
        &mut self,
        cx: &mut Context,
        method: &str,
        args: &[i64],
    ) -> Result<Vec<i64>, CallError> {
        match (method, args) {
            ("Add", [one]) if self.kept.borrow().is_primary => {
                self.kept.borrow_mut().set.insert(*one);
                match self.corrected {
                    true => copy(cx, self.me, &self.kept),
                    false => Ok(vec![]),
                }
            }
            ("List", []) if self.kept.borrow().is_primary => {
                Ok(self.kept.borrow().set.iter().copied().collect())
            }
            ("Copy", [epoch, set @ ..]) if *epoch >= self.kept.borrow().epoch => {
                let mut kept = self.kept.borrow_mut();
                kept.epoch = *epoch;
                kept.is_primary = false;
                kept.set = set.iter().copied().collect();
                Ok(vec![])
            }
            ("Promote", [epoch]) => {
                let mut kept = self.kept.borrow_mut();
                (kept.epoch, kept.is_primary) = (*epoch, true);
                Ok(vec![])
            }
            ("Ping", []) => Ok(vec![]),
            ("Add" | "List" | "Copy", _) => refuse("not the primary"),
            _ => unknown(method),
        }
    }
}

/// The part of a store that copies what there is to the other, now and then.
struct Copier {
    me: usize,
    kept: Disk<Kept>,
}

impl Server for Copier {
    fn start(&mut self, cx: &mut Context) {
        let _ = cx.after(TICK, request(COPIERS[self.me], "Tick", &[]));
    }

    fn handle(&mut self, cx: &mut Context, _: &str, _: &[i64]) -> Result<Vec<i64>, CallError> {
        if self.kept.borrow().is_primary {
            let _ = copy(cx, self.me, &self.kept);
        }
        cx.after(TICK, request(COPIERS[self.me], "Tick", &[]))?;
        Ok(vec![])
    }
}

/// Sees to it that there is a primary.
struct Sentinel(Disk<i64>);

impl Server for Sentinel {
    fn start(&mut self, cx: &mut Context) {
        let _ = cx.after(TICK, request(NODES[2], "Tick", &[]));
    }

    fn handle(&mut self, cx: &mut Context, _: &str, _: &[i64]) -> Result<Vec<i64>, CallError> {
        let epoch = *self.0.borrow();
        let primary = STORES[epoch as usize % 2];
        let is_there = (0..3).any(|_| ask_within(cx, 50, primary, "Ping", &[]).is_ok());
        if !is_there {
            *self.0.borrow_mut() += 1;
        }
        // It may have missed what it was told before.
        let epoch = *self.0.borrow();
        let _ = ask_within(cx, 50, STORES[epoch as usize % 2], "Promote", &[epoch]);
        cx.after(TICK, request(NODES[2], "Tick", &[]))?;
        Ok(vec![])
    }
}

impl App for Pair {
    fn build(&self, sim: &mut Sim) {
        for (me, name) in STORES.into_iter().enumerate() {
            let corrected = self.corrected;
            let kept = Disk::new(RefCell::new(Kept {
                is_primary: me == 0,
                ..Kept::default()
            }));
            let store = {
                let kept = kept.clone();
                move || Store {
                    corrected,
                    me,
                    kept: kept.clone(),
                }
            };
            let copier = move || Copier {
                me,
                kept: kept.clone(),
            };
            serve_both(sim, name, store, (COPIERS[me], copier));
        }
        let epoch: Disk<i64> = Disk::default();
        serve(sim, NODES[2], move || Sentinel(epoch.clone()));
    }

    fn act(&self, cx: &mut Context, act: Act) {
        let (store, one) = (act.kind, act.number);
        if ask_within(cx, 500, STORES[store as usize], "Add", &[one]).is_ok() {
            self.confirmed.borrow_mut().insert(one);
        }
    }

    fn look(&self, cx: &mut Context) {
        let answers = STORES.map(|it| ask_within(cx, 500, it, "List", &[]));
        let list = answers.into_iter().flatten().next();
        self.found.replace(list.map(|it| it.into_iter().collect()));
    }

    fn judge(&self) -> Result<(), String> {
        let Some(found) = &*self.found.borrow() else {
            return Err("nobody is primary".into());
        };
        let confirmed = self.confirmed.borrow();
        match confirmed.difference(found).next() {
            None => Ok(()),
            Some(one) => Err(format!("{one} was confirmed and is gone")),
        }
    }
}
