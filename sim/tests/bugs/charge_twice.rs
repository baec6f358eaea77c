//! A shop hears nothing of a payment and tries again. The first had been made.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use monofil_container::{CallError, Context};
use monofil_sim::Sim;

use crate::app::{Disk, Server, ask, ask_within, serve};
use crate::bug::{Act, App, Bug, History, Kind, crash, event};

pub(crate) static BUG: Bug = Bug {
    name: "retry that charges twice",
    known_from: "",
    property: "no order is charged twice",
    app: |corrected| {
        Rc::new(Payments {
            corrected,
            charged: Rc::default(),
        })
    },
    clients: 3,
    acts: 10,
    millis: 500,
    kinds: 1,
    faults: &[Kind::Crash, Kind::Partition, Kind::Pause],
    nodes: &NODES,
    by_hand: || History {
        acts: vec![(100, 0, 0)],
        // The card is being charged.
        faults: vec![event(105_000, 50, crash(NODES[1]))],
    },
};

const NODES: [&str; 2] = ["shop", "payments"];

/// How often each order was charged.
type Charged = Rc<RefCell<BTreeMap<i64, u32>>>;

struct Payments {
    corrected: bool,
    charged: Charged,
}

struct Shop;

impl Server for Shop {
    fn handle(&mut self, cx: &mut Context, _: &str, args: &[i64]) -> Result<Vec<i64>, CallError> {
        let mut tries = 5;
        loop {
            tries -= 1;
            match ask_within(cx, 100, NODES[1], "Charge", args) {
                Err(_) if tries > 0 => cx.sleep(Duration::from_millis(50))?,
                answer => return answer,
            }
        }
    }
}

struct Card {
    corrected: bool,
    disk: Disk<BTreeSet<i64>>,
    charged: Charged,
}

impl Server for Card {
    fn handle(&mut self, cx: &mut Context, _: &str, args: &[i64]) -> Result<Vec<i64>, CallError> {
        let order = args[0];
        let is_new = self.disk.borrow_mut().insert(order);
        if is_new || !self.corrected {
            *self.charged.borrow_mut().entry(order).or_default() += 1;
            // The bank takes its time to say so.
            cx.sleep(Duration::from_millis(10))?;
        }
        Ok(vec![])
    }
}

impl App for Payments {
    fn build(&self, sim: &mut Sim) {
        serve(sim, NODES[0], || Shop);
        let (corrected, charged) = (self.corrected, self.charged.clone());
        let disk: Disk<BTreeSet<i64>> = Disk::default();
        serve(sim, NODES[1], move || Card {
            corrected,
            disk: disk.clone(),
            charged: charged.clone(),
        });
    }

    fn act(&self, cx: &mut Context, act: Act) {
        let _ = ask(cx, NODES[0], "Order", &[act.number]);
    }

    fn judge(&self) -> Result<(), String> {
        let charged = self.charged.borrow();
        match charged.iter().find(|(_, times)| **times > 1) {
            None => Ok(()),
            Some((order, times)) => Err(format!("order {order} was charged {times} times")),
        }
    }
}
