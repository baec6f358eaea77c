//! An office publishes rates. Branches keep them on their cards, and a rate that two of three have is in force.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use monofil_container::{CallError, Context};
use monofil_sim::Sim;

use crate::app::{Disk, Server, ask_all, ask_within, serve, unknown};
use crate::bug::{Act, App, Bug, History, Kind, crash, event, partition};

pub(crate) static BUG: Bug = Bug {
    name: "rate card",
    known_from: "",
    property: "a rate that was confirmed is on the cards of two branches",
    app: |corrected| {
        Rc::new(Rates {
            corrected,
            cards: Default::default(),
            short: Rc::default(),
        })
    },
    clients: 3,
    acts: 30,
    millis: 2_000,
    kinds: 1,
    faults: &[Kind::Crash, Kind::Pause, Kind::Partition, Kind::Disconnect],
    nodes: &NODES,
    by_hand: || History {
        acts: vec![(100, 0, 0)],
        faults: vec![
            event(90_000, 500, partition(NODES[0], &BRANCHES[1..])),
            event(104_000, 10, crash(BRANCHES[0])),
        ],
    },
};

const NODES: [&str; 4] = ["office", BRANCHES[0], BRANCHES[1], BRANCHES[2]];
const BRANCHES: [&str; 3] = ["branch-0", "branch-1", "branch-2"];

/// So many branches have a rate that is in force.
const ENOUGH: usize = 2;

/// Branches are asked again after so many milliseconds.
const PATIENCE: u64 = 40;
const PAUSE: Duration = Duration::from_millis(10);

/// A client waits no longer, in milliseconds.
const CLIENT: u64 = 250;

struct Rates {
    corrected: bool,
    cards: [Disk<Card>; 3],
    /// Rates that were confirmed and were on fewer cards, and on how many.
    short: Rc<RefCell<Vec<(i64, usize)>>>,
}

/// What a branch keeps.
#[derive(Default)]
struct Card {
    rates: BTreeSet<i64>,
    /// What it signed with last, if it did.
    signature: Option<i64>,
}

/// Has branches sign for a rate until enough did.
struct Office;

impl Server for Office {
    fn handle(
        &mut self,
        cx: &mut Context,
        method: &str,
        args: &[i64],
    ) -> Result<Vec<i64>, CallError> {
        let ("Publish", [rate]) = (method, args) else {
            return unknown(method);
        };
        let mut signed = BTreeSet::new();
        loop {
            let answers = ask_all(cx, PATIENCE, &BRANCHES, "Post", &[*rate]);
            signed.extend(answers.into_iter().flatten().flatten());
            if signed.len() >= ENOUGH {
                return Ok(vec![]);
            }
            cx.sleep(PAUSE)?;
        }
    }
}

struct Branch {
    corrected: bool,
    signature: i64,
    card: Disk<Card>,
}

impl Server for Branch {
    fn start(&mut self, cx: &mut Context) {
        let drawn = (cx.rng().bits() >> 1).cast_signed();
        let mut card = self.card.borrow_mut();
        self.signature = match card.signature {
            Some(signature) if self.corrected => signature,
            _ => drawn,
        };
        card.signature = Some(self.signature);
    }

    fn handle(
        &mut self,
        _: &mut Context,
        method: &str,
        args: &[i64],
    ) -> Result<Vec<i64>, CallError> {
        match (method, args) {
            ("Post", [rate]) => {
                self.card.borrow_mut().rates.insert(*rate);
                Ok(vec![self.signature])
            }
            _ => unknown(method),
        }
    }
}

impl App for Rates {
    fn build(&self, sim: &mut Sim) {
        serve(sim, NODES[0], || Office);
        for (name, card) in BRANCHES.into_iter().zip(&self.cards) {
            let (corrected, card) = (self.corrected, card.clone());
            serve(sim, name, move || Branch {
                corrected,
                signature: 0,
                card: card.clone(),
            });
        }
    }

    fn act(&self, cx: &mut Context, act: Act) {
        let rate = act.number;
        if ask_within(cx, CLIENT, NODES[0], "Publish", &[rate]).is_ok() {
            let has_it = |card: &&Disk<Card>| card.borrow().rates.contains(&rate);
            let cards = self.cards.iter().filter(has_it).count();
            if cards < ENOUGH {
                self.short.borrow_mut().push((rate, cards));
            }
        }
    }

    fn judge(&self) -> Result<(), String> {
        match self.short.borrow().first() {
            None => Ok(()),
            Some((rate, cards)) => Err(format!("rate {rate} was confirmed, and is on {cards}")),
        }
    }
}
