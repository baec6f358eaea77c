//! Who was leader goes on answering reads from what it knows, while another is leader and is written to.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use monofil_container::{BreakerConfig, CallError, Context};
use monofil_sim::models::{Register, RegisterOp, RegisterRet};
use monofil_sim::{SharedHistory, Sim};
use monofil_transport::Instant;

use crate::app::{
    Disk, Server, ask_all, ask_within, linearizable, refuse, request, serve_both, unknown,
};
use crate::bug::{Act, App, Bug, History, Kind, event, partition};

pub(crate) static BUG: Bug = Bug {
    name: "stale read after failover",
    known_from: "etcd issue 741",
    property: "reads and writes are linearizable",
    app: |corrected| {
        Rc::new(Store {
            corrected,
            history: SharedHistory::new(),
        })
    },
    clients: 3,
    acts: 30,
    millis: 3_000,
    kinds: 6,
    faults: &[Kind::Partition, Kind::Crash, Kind::Pause],
    nodes: &NODES,
    by_hand: || History {
        acts: vec![(2_000, 0, 1 + 3), (2_500, 1, 0)],
        faults: vec![event(1_000_000, 2_000, partition(NODES[0], &NODES[1..]))],
    },
};

const NODES: [&str; 3] = ["replica-0", "replica-1", "replica-2"];
const TICKERS: [&str; 3] = ["ticker-0", "ticker-1", "ticker-2"];
const TICK: Duration = Duration::from_millis(50);

struct Store {
    corrected: bool,
    history: SharedHistory<RegisterOp<i64>, RegisterRet<i64>>,
}

/// What a replica keeps.
#[derive(Default)]
struct Kept {
    /// It takes part in this term, and in no earlier one.
    term: i64,
    /// A value, and the write that it is of: the later one wins.
    written: (i64, i64),
    value: i64,
}

/// What the two parts of a replica know together; lost with the node.
#[derive(Default)]
struct Role {
    /// The term that it leads.
    leads: Option<i64>,
    heard: Instant,
}

/// Asks the others whether they still take part in a term, and counts itself.
fn has_majority(cx: &mut Context, me: i64, method: &str, args: &[i64]) -> bool {
    let answers = ask_all(cx, 40, &others(me), method, args);
    answers.iter().flatten().filter(|it| it[0] == 1).count() + 1 > NODES.len() / 2
}

fn others(me: i64) -> Vec<&'static str> {
    let others = (0..NODES.len()).filter(|it| *it as i64 != me);
    others.map(|it| NODES[it]).collect()
}

struct Replica {
    kept: Disk<Kept>,
    role: Rc<RefCell<Role>>,
}

impl Server for Replica {
    fn handle(
        &mut self,
        cx: &mut Context,
        method: &str,
        args: &[i64],
    ) -> Result<Vec<i64>, CallError> {
        let mut kept = self.kept.borrow_mut();
        let mut role = self.role.borrow_mut();
        if args[0] < kept.term {
            return Ok(vec![0]);
        }
        if args[0] > kept.term {
            kept.term = args[0];
            role.leads = None;
        }
        role.heard = cx.now();
        match (method, args) {
            ("Vote", [_]) => Ok(vec![1, kept.written.0, kept.written.1, kept.value]),
            ("Accept", [_, term, sequence, value]) => {
                if (*term, *sequence) > kept.written {
                    kept.written = (*term, *sequence);
                    kept.value = *value;
                }
                Ok(vec![1])
            }
            _ => unknown(method),
        }
    }
}

/// The part of a replica that leads, and that clients talk to.
struct Leader {
    corrected: bool,
    me: i64,
    kept: Disk<Kept>,
    role: Rc<RefCell<Role>>,
}

impl Leader {
    /// Gives a majority what it has.
    fn replicate(&self, cx: &mut Context, term: i64) -> bool {
        let args = {
            let kept = self.kept.borrow();
            [term, kept.written.0, kept.written.1, kept.value]
        };
        has_majority(cx, self.me, "Accept", &args)
    }

    fn stand(&self, cx: &mut Context) {
        let term = {
            let mut kept = self.kept.borrow_mut();
            // Terms of its own: no two candidates have the same.
            kept.term = (kept.term / 3 + 1) * 3 + self.me;
            kept.term
        };
        let votes = ask_all(cx, 40, &others(self.me), "Vote", &[term]);
        let votes: Vec<_> = votes
            .into_iter()
            .flatten()
            .filter(|it| it[0] == 1)
            .collect();
        if self.kept.borrow().term != term || votes.len() < NODES.len() / 2 {
            return;
        }
        {
            let mut kept = self.kept.borrow_mut();
            let mine = (kept.written, kept.value);
            let theirs = votes.iter().map(|it| ((it[1], it[2]), it[3]));
            let (_, value) = theirs.fold(mine, |latest, one| latest.max(one));
            // It becomes its own, so that it wins over whatever an earlier leader still has.
            (kept.written, kept.value) = ((term, 0), value);
        }
        if self.replicate(cx, term) && self.kept.borrow().term == term {
            self.role.borrow_mut().leads = Some(term);
        }
    }

    fn tick(&self, cx: &mut Context) {
        let leads = self.role.borrow().leads;
        if let Some(term) = leads {
            // The others shall know that it is there.
            self.replicate(cx, term);
            self.role.borrow_mut().heard = cx.now();
            return;
        }
        let patience = TICK * (5 + 3 * self.me as u32);
        if cx.now().since(self.role.borrow().heard) >= patience {
            self.stand(cx);
        }
    }
}

impl Server for Leader {
    fn start(&mut self, cx: &mut Context) {
        self.role.replace(Role::default());
        self.role.borrow_mut().heard = cx.now();
        let _ = cx.after(TICK, request(TICKERS[self.me as usize], "Tick", &[]));
    }

    fn handle(
        &mut self,
        cx: &mut Context,
        method: &str,
        args: &[i64],
    ) -> Result<Vec<i64>, CallError> {
        if method == "Tick" {
            self.tick(cx);
            cx.after(TICK, request(TICKERS[self.me as usize], "Tick", &[]))?;
            return Ok(vec![]);
        }
        let Some(term) = self.role.borrow().leads else {
            return Err(CallError::Unimplemented("is not the leader".into()));
        };
        match (method, args) {
            ("Read", []) => {
                let value = self.kept.borrow().value;
                if self.corrected && !self.replicate(cx, term) {
                    return refuse("is perhaps not the leader any more");
                }
                Ok(vec![value])
            }
            ("Write", [value]) => {
                {
                    let mut kept = self.kept.borrow_mut();
                    kept.written = (term, kept.written.1 + 1);
                    kept.value = *value;
                }
                match self.replicate(cx, term) {
                    true => Ok(vec![]),
                    false => refuse("perhaps it was written"),
                }
            }
            _ => unknown(method),
        }
    }
}

impl App for Store {
    fn build(&self, sim: &mut Sim) {
        // Members of the published system call each other however often that was in vain.
        sim.configure(|config| config.resilience.breaker = BreakerConfig::never());
        for (me, name) in NODES.iter().enumerate() {
            let me = me as i64;
            let corrected = self.corrected;
            let (kept, role): (Disk<Kept>, Rc<RefCell<Role>>) = Default::default();
            let replica = {
                let (kept, role) = (kept.clone(), role.clone());
                move || Replica {
                    kept: kept.clone(),
                    role: role.clone(),
                }
            };
            let leader = move || Leader {
                corrected,
                me,
                kept: kept.clone(),
                role: role.clone(),
            };
            serve_both(sim, name, replica, (TICKERS[me as usize], leader));
        }
    }

    fn act(&self, cx: &mut Context, act: Act) {
        let target = TICKERS[act.kind as usize % 3];
        let _ = match act.kind {
            // A read of each replica, and a write.
            0..3 => self.history.call(cx, act.client, RegisterOp::Read, |cx| {
                ask_within(cx, 1_000, target, "Read", &[]).map(|it| RegisterRet::Value(it[0]))
            }),
            _ => {
                let value = act.number;
                self.history
                    .call(cx, act.client, RegisterOp::Write(value), |cx| {
                        ask_within(cx, 1_000, target, "Write", &[value])
                            .map(|_| RegisterRet::Written)
                    })
            }
        };
    }

    fn judge(&self) -> Result<(), String> {
        linearizable(&Register::new(0), &self.history)
    }
}
