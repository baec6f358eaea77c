//! Two read the same balance, both add to it, and both write: one deposit is gone.

use std::rc::Rc;

use monofil_container::{CallError, Context};
use monofil_sim::models::{Counter, CounterOp, CounterRet};
use monofil_sim::{SharedHistory, Sim};

use crate::app::{Server, ask, linearizable, serve, unknown};
use crate::bug::{Act, App, Bug, History};

pub(crate) static BUG: Bug = Bug {
    name: "lost update",
    known_from: "",
    property: "the balance is what was deposited",
    app: |corrected| {
        Rc::new(Bank {
            corrected,
            history: SharedHistory::new(),
        })
    },
    clients: 3,
    acts: 6,
    millis: 100,
    kinds: 1,
    faults: &[],
    nodes: &["account"],
    by_hand: || History {
        acts: vec![(100, 0, 0), (100, 1, 0)],
        ..History::default()
    },
};

struct Bank {
    corrected: bool,
    history: SharedHistory<CounterOp, CounterRet>,
}

/// A balance, and how often it was written.
#[derive(Default)]
struct Account {
    balance: i64,
    version: i64,
}

impl Server for Account {
    fn handle(
        &mut self,
        _: &mut Context,
        method: &str,
        args: &[i64],
    ) -> Result<Vec<i64>, CallError> {
        match (method, args) {
            ("Get", []) => Ok(vec![self.balance, self.version]),
            ("Put", [balance]) => {
                (self.balance, self.version) = (*balance, self.version + 1);
                Ok(vec![1])
            }
            ("PutIf", [balance, version]) if *version == self.version => {
                (self.balance, self.version) = (*balance, self.version + 1);
                Ok(vec![1])
            }
            ("PutIf", _) => Ok(vec![0]),
            _ => unknown(method),
        }
    }
}

impl Bank {
    fn deposit(&self, cx: &mut Context, amount: i64) -> Result<CounterRet, CallError> {
        loop {
            let before = ask(cx, "account", "Get", &[])?;
            let balance = before[0] + amount;
            let done = match self.corrected {
                false => ask(cx, "account", "Put", &[balance])?,
                true => ask(cx, "account", "PutIf", &[balance, before[1]])?,
            };
            if done == [1] {
                return Ok(CounterRet::Added);
            }
        }
    }
}

impl App for Bank {
    fn build(&self, sim: &mut Sim) {
        serve(sim, "account", Account::default);
    }

    fn act(&self, cx: &mut Context, act: Act) {
        let amount = act.number;
        let deposit = |cx: &mut Context| self.deposit(cx, amount);
        let _ = self
            .history
            .call(cx, act.client, CounterOp::Add(amount), deposit);
    }

    fn look(&self, cx: &mut Context) {
        let get = |cx: &mut Context| Ok(CounterRet::Value(ask(cx, "account", "Get", &[])?[0]));
        let _ = self.history.call(cx, 99, CounterOp::Get, get);
    }

    fn judge(&self) -> Result<(), String> {
        linearizable(&Counter, &self.history)
    }
}
