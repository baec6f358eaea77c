//! Each of two accounts asks the other to take money while it waits for nothing else. Both wait for each other.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use monofil_container::{CallError, Context};
use monofil_sim::Sim;

use crate::app::{Server, ask, serve, unknown};
use crate::bug::{Act, App, Bug, History};

pub(crate) static BUG: Bug = Bug {
    name: "deadlock of calls",
    known_from: "",
    property: "each transfer ends within a second",
    app: |corrected| {
        Rc::new(Accounts {
            corrected,
            slow: Rc::default(),
        })
    },
    clients: 2,
    acts: 8,
    millis: 100,
    kinds: 2,
    faults: &[],
    nodes: &NODES,
    by_hand: || History {
        acts: vec![(100, 0, 0), (100, 1, 1)],
        ..History::default()
    },
};

const NODES: [&str; 2] = ["account-0", "account-1"];

struct Accounts {
    corrected: bool,
    slow: Rc<RefCell<Vec<String>>>,
}

struct Account {
    corrected: bool,
    me: i64,
    balance: i64,
}

impl Server for Account {
    fn handle(
        &mut self,
        cx: &mut Context,
        method: &str,
        args: &[i64],
    ) -> Result<Vec<i64>, CallError> {
        match (method, args) {
            ("Add", [amount]) => {
                self.balance += amount;
                Ok(vec![])
            }
            // The first account is in charge of what concerns both, and calls nobody who calls it.
            ("Transfer", [from, to]) => {
                let (other, mine) = if *from == self.me {
                    (*to, -1)
                } else {
                    (*from, 1)
                };
                let is_in_charge = !self.corrected || self.me < other;
                let other = NODES[other as usize];
                match is_in_charge {
                    true => ask(cx, other, "Add", &[-mine])?,
                    false => return ask(cx, other, method, args),
                };
                self.balance += mine;
                Ok(vec![])
            }
            _ => unknown(method),
        }
    }
}

impl App for Accounts {
    fn build(&self, sim: &mut Sim) {
        for (me, name) in NODES.into_iter().enumerate() {
            let (corrected, me) = (self.corrected, me as i64);
            serve(sim, name, move || Account {
                corrected,
                me,
                balance: 0,
            });
        }
    }

    fn act(&self, cx: &mut Context, act: Act) {
        let from = act.kind as i64;
        let target = match self.corrected {
            true => NODES[0],
            false => NODES[from as usize],
        };
        let began = cx.now();
        let answer = ask(cx, target, "Transfer", &[from, 1 - from]);
        let took = cx.now().since(began);
        if took > Duration::from_secs(1) {
            let text = format!(
                "client {} waited {took:?} from {began}: {answer:?}",
                act.client
            );
            self.slow.borrow_mut().push(text);
        }
    }

    fn judge(&self) -> Result<(), String> {
        self.slow
            .borrow()
            .first()
            .map_or(Ok(()), |it| Err(it.clone()))
    }
}
