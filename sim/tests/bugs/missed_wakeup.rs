//! A worker finds its queue empty and asks to be woken. What is put in between wakes nobody.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

use monofil_container::{CallError, Context};
use monofil_sim::Sim;

use crate::app::{Server, ask, serve, tell, unknown};
use crate::bug::{Act, App, Bug, History};

pub(crate) static BUG: Bug = Bug {
    name: "missed wake-up",
    known_from: "",
    property: "what was put in is worked on in the end",
    app: |corrected| {
        Rc::new(Jobs {
            corrected,
            put: Rc::default(),
            done: Rc::default(),
        })
    },
    clients: 2,
    acts: 6,
    millis: 100,
    kinds: 1,
    faults: &[],
    nodes: &["queue", "worker"],
    by_hand: || History {
        // The worker took the first and was told that there is no other.
        acts: vec![(100, 0, 0), (105, 1, 0)],
        ..History::default()
    },
};

type Seen = Rc<RefCell<BTreeSet<i64>>>;

struct Jobs {
    corrected: bool,
    put: Seen,
    done: Seen,
}

#[derive(Default)]
struct Queue {
    corrected: bool,
    jobs: VecDeque<i64>,
    wake: bool,
}

impl Server for Queue {
    fn handle(
        &mut self,
        cx: &mut Context,
        method: &str,
        args: &[i64],
    ) -> Result<Vec<i64>, CallError> {
        match (method, args) {
            ("Put", [job]) => {
                self.jobs.push_back(*job);
                if std::mem::take(&mut self.wake) {
                    tell(cx, "worker", "Work", &[]);
                }
                Ok(vec![])
            }
            ("Take", []) => Ok(self.jobs.pop_front().into_iter().collect()),
            ("WakeMe", []) => {
                self.wake = true;
                if self.corrected && !self.jobs.is_empty() {
                    self.wake = false;
                    tell(cx, "worker", "Work", &[]);
                }
                Ok(vec![])
            }
            _ => unknown(method),
        }
    }
}

struct Worker {
    done: Seen,
}

impl Worker {
    fn work(&self, cx: &mut Context) -> Result<(), CallError> {
        while let Some(job) = ask(cx, "queue", "Take", &[])?.first() {
            self.done.borrow_mut().insert(*job);
        }
        ask(cx, "queue", "WakeMe", &[]).map(drop)
    }
}

impl Server for Worker {
    fn start(&mut self, cx: &mut Context) {
        tell(cx, "worker", "Work", &[]);
    }

    fn handle(&mut self, cx: &mut Context, _: &str, _: &[i64]) -> Result<Vec<i64>, CallError> {
        self.work(cx)?;
        Ok(vec![])
    }
}

impl App for Jobs {
    fn build(&self, sim: &mut Sim) {
        let corrected = self.corrected;
        serve(sim, "queue", move || Queue {
            corrected,
            ..Queue::default()
        });
        let done = self.done.clone();
        serve(sim, "worker", move || Worker { done: done.clone() });
    }

    fn act(&self, cx: &mut Context, act: Act) {
        if ask(cx, "queue", "Put", &[act.number]).is_ok() {
            self.put.borrow_mut().insert(act.number);
        }
    }

    fn judge(&self) -> Result<(), String> {
        let (put, done) = (self.put.borrow(), self.done.borrow());
        match put.difference(&done).next() {
            None => Ok(()),
            Some(job) => Err(format!("job {job} lies there, and the worker sleeps")),
        }
    }
}
