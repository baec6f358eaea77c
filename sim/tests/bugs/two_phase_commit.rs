//! A participant votes for a transaction, dies, and knows nothing of it when it is told to commit.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use monofil_container::{CallError, Context};
use monofil_sim::Sim;

use crate::app::{Disk, Server, ask_all, ask_within, serve, unknown};
use crate::bug::{Act, App, Bug, History, Kind, crash, event};

pub(crate) static BUG: Bug = Bug {
    name: "two-phase commit that forgets",
    known_from: "",
    property: "what one participant has committed the other has, too",
    app: |corrected| {
        Rc::new(Transfers {
            corrected,
            committed: Rc::default(),
        })
    },
    clients: 3,
    acts: 20,
    millis: 500,
    kinds: 1,
    faults: &[Kind::Crash, Kind::Partition, Kind::Pause],
    nodes: &NODES,
    by_hand: || History {
        acts: vec![(100, 0, 0)],
        // Its vote is there, and what was decided is on its way.
        faults: vec![event(103_500, 100, crash(NODES[1]))],
    },
};

const NODES: [&str; 3] = ["coordinator", "bank-0", "bank-1"];
const BANKS: [&str; 2] = [NODES[1], NODES[2]];

/// Transactions that were committed, by participant.
type Committed = Rc<RefCell<BTreeMap<usize, BTreeSet<i64>>>>;

struct Transfers {
    corrected: bool,
    committed: Committed,
}

struct Coordinator;

impl Server for Coordinator {
    fn handle(&mut self, cx: &mut Context, _: &str, args: &[i64]) -> Result<Vec<i64>, CallError> {
        let votes = ask_all(cx, 500, &BANKS, "Prepare", args);
        let decision = match votes.iter().all(|vote| *vote == Ok(vec![1])) {
            true => "Commit",
            false => "Abort",
        };
        for bank in BANKS {
            // It is decided; they have to hear of it.
            while ask_within(cx, 500, bank, decision, args).is_err() {
                cx.sleep(Duration::from_millis(20))?;
            }
        }
        Ok(vec![i64::from(decision == "Commit")])
    }
}

struct Bank {
    corrected: bool,
    me: usize,
    prepared: BTreeSet<i64>,
    disk: Disk<BTreeSet<i64>>,
    committed: Committed,
}

impl Server for Bank {
    fn handle(
        &mut self,
        _: &mut Context,
        method: &str,
        args: &[i64],
    ) -> Result<Vec<i64>, CallError> {
        let transaction = args[0];
        match method {
            "Prepare" => {
                self.prepared.insert(transaction);
                if self.corrected {
                    self.disk.borrow_mut().insert(transaction);
                }
                Ok(vec![1])
            }
            // What is unknown was done before, and is asked for again because the answer was lost.
            "Commit" => {
                let was_prepared = self.prepared.remove(&transaction);
                let was_written = self.disk.borrow_mut().remove(&transaction);
                if was_prepared || was_written {
                    let mut committed = self.committed.borrow_mut();
                    committed.entry(self.me).or_default().insert(transaction);
                }
                Ok(vec![])
            }
            "Abort" => {
                self.prepared.remove(&transaction);
                self.disk.borrow_mut().remove(&transaction);
                Ok(vec![])
            }
            _ => unknown(method),
        }
    }
}

impl App for Transfers {
    fn build(&self, sim: &mut Sim) {
        serve(sim, NODES[0], || Coordinator);
        for (me, name) in BANKS.into_iter().enumerate() {
            let (corrected, committed) = (self.corrected, self.committed.clone());
            let disk: Disk<BTreeSet<i64>> = Disk::default();
            serve(sim, name, move || Bank {
                corrected,
                me,
                prepared: BTreeSet::new(),
                disk: disk.clone(),
                committed: committed.clone(),
            });
        }
    }

    fn act(&self, cx: &mut Context, act: Act) {
        // What nobody waits for any more ends, and what was decided has to be told first.
        let _ = ask_within(cx, 60_000, NODES[0], "Transfer", &[act.number]);
    }

    fn judge(&self) -> Result<(), String> {
        let committed = self.committed.borrow();
        let of = |bank: usize| committed.get(&bank).cloned().unwrap_or_default();
        let differ: Vec<_> = of(0).symmetric_difference(&of(1)).copied().collect();
        match differ.is_empty() {
            true => Ok(()),
            false => Err(format!("one of two committed {differ:?}")),
        }
    }
}
