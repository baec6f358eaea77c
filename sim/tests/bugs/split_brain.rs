//! Nodes elect a master among those they see, if they see a majority. Two that do not see each other, and both see
//! the third, are both master.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use monofil_container::{CallError, Context};
use monofil_sim::Sim;
use monofil_transport::Instant;

use crate::app::{Disk, Server, ask_all, request, serve_both, unknown};
use crate::bug::{Act, App, Bug, History, Kind, event, partition};

pub(crate) static BUG: Bug = Bug {
    name: "split brain",
    known_from: "Elasticsearch issue 2488",
    property: "no two nodes are master at once for longer than a second",
    app: |corrected| {
        Rc::new(Cluster {
            corrected,
            reigns: Rc::default(),
        })
    },
    clients: 1,
    acts: 0,
    millis: 5_000,
    kinds: 1,
    faults: &[Kind::Partition, Kind::Pause],
    nodes: &NODES,
    by_hand: || History {
        faults: vec![event(1_000_000, 3_000, partition(NODES[0], &[NODES[1]]))],
        ..History::default()
    },
};

const NODES: [&str; 3] = ["node-0", "node-1", "node-2"];
const TICKERS: [&str; 3] = ["ticker-0", "ticker-1", "ticker-2"];

/// Who was master, as (since, until), by node.
type Reigns = Rc<RefCell<BTreeMap<i64, Vec<(Instant, Instant)>>>>;

struct Cluster {
    corrected: bool,
    reigns: Reigns,
}

/// What a node has promised: it follows this master in this term, and none of an earlier one.
#[derive(Default)]
struct Promise {
    term: i64,
    master: i64,
    heard: Instant,
}

/// The part of a node that answers.
struct Voter {
    me: i64,
    promise: Disk<Promise>,
}

impl Server for Voter {
    fn handle(
        &mut self,
        cx: &mut Context,
        method: &str,
        args: &[i64],
    ) -> Result<Vec<i64>, CallError> {
        let mut promise = self.promise.borrow_mut();
        match (method, args) {
            ("Ping", []) => Ok(vec![self.me]),
            ("Follow", [term, master]) => {
                let is_new = *term > promise.term;
                if is_new || (*term, *master) == (promise.term, promise.master) {
                    *promise = Promise {
                        term: *term,
                        master: *master,
                        heard: cx.now(),
                    };
                    return Ok(vec![1]);
                }
                Ok(vec![0])
            }
            _ => unknown(method),
        }
    }
}

/// The part of a node that wants to be master.
struct Candidate {
    corrected: bool,
    me: i64,
    promise: Disk<Promise>,
    reigns: Reigns,
    is_master: bool,
    term: i64,
}

const TICK: Duration = Duration::from_millis(100);

impl Candidate {
    /// Asks the others, and returns what they answer.
    fn ask(&self, cx: &mut Context, method: &str, args: &[i64]) -> Vec<i64> {
        let others = (0..NODES.len()).filter(|it| *it as i64 != self.me);
        let others: Vec<_> = others.map(|it| NODES[it]).collect();
        let answers = ask_all(cx, 50, &others, method, args);
        answers.iter().flatten().map(|it| it[0]).collect()
    }

    /// Is master if it is the first of a majority that it sees.
    fn look_around(&mut self, cx: &mut Context) {
        let seen = self.ask(cx, "Ping", &[]);
        let is_first = seen.iter().all(|other| *other > self.me);
        self.is_master = is_first && 1 + seen.len() > NODES.len() / 2;
    }

    /// Is master if a majority promised to follow it, and none of those promised to follow another since.
    fn ask_for_promises(&mut self, cx: &mut Context) {
        if !self.is_master {
            let mut promise = self.promise.borrow_mut();
            // One waits longer than another, so that they do not prevent each other for ever.
            let patience = TICK * (4 + 2 * self.me as u32);
            if promise.term > 0 && cx.now().since(promise.heard) < patience {
                return;
            }
            *promise = Promise {
                term: promise.term + 1,
                master: self.me,
                heard: cx.now(),
            };
            self.term = promise.term;
        }
        let followers = self.ask(cx, "Follow", &[self.term, self.me]);
        let others = followers.iter().filter(|it| **it == 1).count();
        self.is_master = 1 + others > NODES.len() / 2 && self.promise.borrow().term == self.term;
    }

    fn note(&self, cx: &Context) {
        if !self.is_master {
            return;
        }
        let mut reigns = self.reigns.borrow_mut();
        let mine = reigns.entry(self.me).or_default();
        match mine.last_mut() {
            Some((_, until)) if cx.now().since(*until) < TICK * 4 => *until = cx.now(),
            _ => mine.push((cx.now(), cx.now())),
        }
    }
}

impl Server for Candidate {
    fn start(&mut self, cx: &mut Context) {
        let _ = cx.after(TICK, request(TICKERS[self.me as usize], "Tick", &[]));
    }

    fn handle(&mut self, cx: &mut Context, method: &str, _: &[i64]) -> Result<Vec<i64>, CallError> {
        if method != "Tick" {
            return unknown(method);
        }
        match self.corrected {
            false => self.look_around(cx),
            true => self.ask_for_promises(cx),
        }
        self.note(cx);
        cx.after(TICK, request(TICKERS[self.me as usize], "Tick", &[]))?;
        Ok(vec![])
    }
}

impl App for Cluster {
    fn build(&self, sim: &mut Sim) {
        for (me, name) in NODES.iter().enumerate() {
            let promise: Disk<Promise> = Disk::default();
            let (corrected, reigns) = (self.corrected, self.reigns.clone());
            let me = me as i64;
            let voter = {
                let promise = promise.clone();
                move || Voter {
                    me,
                    promise: promise.clone(),
                }
            };
            let candidate = move || Candidate {
                corrected,
                me,
                promise: promise.clone(),
                reigns: reigns.clone(),
                is_master: false,
                term: 0,
            };
            serve_both(sim, name, voter, (TICKERS[me as usize], candidate));
        }
    }

    fn act(&self, _: &mut Context, _: Act) {}

    fn judge(&self) -> Result<(), String> {
        let reigns = self.reigns.borrow();
        for (one, mine) in reigns.iter() {
            for (other, theirs) in reigns.range(one + 1..) {
                for (a, b) in mine.iter().flat_map(|a| theirs.iter().map(move |b| (a, b))) {
                    let (from, to) = (a.0.max(b.0), a.1.min(b.1));
                    if to > from + Duration::from_secs(1) {
                        return Err(format!("{one} and {other} are master from {from} to {to}"));
                    }
                }
            }
        }
        Ok(())
    }
}
