//! Two desks sell the seats of a hall, in turns. A turn ends when nobody has prolonged it for a while.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use monofil_container::{CallError, Context};
use monofil_sim::Sim;
use monofil_transport::Instant;

use crate::app::{Disk, Server, ask, refuse, serve, unknown};
use crate::bug::{Act, App, Bug, History, Kind, event, pause};

pub(crate) static BUG: Bug = Bug {
    name: "seat map",
    known_from: "",
    property: "when a desk has sold in its turn, none sells in an earlier one",
    app: |corrected| {
        Rc::new(Seats {
            corrected,
            sold: Rc::default(),
        })
    },
    clients: 3,
    acts: 30,
    millis: 2_000,
    kinds: 2,
    faults: &[Kind::Crash, Kind::Pause, Kind::Partition, Kind::Disconnect],
    nodes: &NODES,
    by_hand: || History {
        acts: vec![(100, 0, 0), (350, 1, 1)],
        faults: vec![event(101_500, 400, pause(DESKS[0]))],
    },
};

const NODES: [&str; 3] = ["hall", DESKS[0], DESKS[1]];
const DESKS: [&str; 2] = ["desk-0", "desk-1"];

/// A turn lasts so long, if it is not prolonged.
const TURN: Duration = Duration::from_millis(200);

/// A desk relies on less, because messages take a while.
const SURE: Duration = Duration::from_millis(180);

/// When less than this is left of its turn a desk asks for more.
const EARLY: Duration = Duration::from_millis(90);

/// The turns that seats were sold in, one after the other.
type Sold = Rc<RefCell<Vec<i64>>>;

struct Seats {
    corrected: bool,
    sold: Sold,
}

/// Which turn it is, whose, and until when.
#[derive(Default)]
struct Turn {
    number: i64,
    desk: i64,
    until: Instant,
}

/// Says whose turn it is.
struct Hall(Disk<Turn>);

impl Server for Hall {
    fn handle(
        &mut self,
        cx: &mut Context,
        method: &str,
        args: &[i64],
    ) -> Result<Vec<i64>, CallError> {
        let ("Claim", [desk]) = (method, args) else {
            return unknown(method);
        };
        let mut turn = self.0.borrow_mut();
        let is_over = turn.until <= cx.now();
        if is_over {
            turn.number += 1;
            turn.desk = *desk;
        }
        if turn.desk != *desk {
            return refuse("it is the other's turn");
        }
        turn.until = cx.now() + TURN;
        Ok(vec![turn.number])
    }
}

struct Desk {
    corrected: bool,
    me: i64,
    /// Its turn, and until when it relies on that.
    turn: i64,
    until: Instant,
    sold: Sold,
}

impl Desk {
    /// Begins a turn, or prolongs it.
    fn claim(&mut self, cx: &mut Context) -> Result<(), CallError> {
        let asked = cx.now();
        let turn = ask(cx, NODES[0], "Claim", &[self.me])?;
        let began = match self.corrected {
            true => asked,
            false => cx.now(),
        };
        (self.turn, self.until) = (turn[0], began + SURE);
        Ok(())
    }
}

impl Server for Desk {
    fn handle(
        &mut self,
        cx: &mut Context,
        method: &str,
        args: &[i64],
    ) -> Result<Vec<i64>, CallError> {
        let ("Sell", []) = (method, args) else {
            return unknown(method);
        };
        if cx.now() + EARLY >= self.until {
            self.claim(cx)?;
        }
        if cx.now() >= self.until {
            return refuse("the turn is over");
        }
        self.sold.borrow_mut().push(self.turn);
        Ok(vec![self.turn])
    }
}

impl App for Seats {
    fn build(&self, sim: &mut Sim) {
        let turn: Disk<Turn> = Disk::default();
        serve(sim, NODES[0], move || Hall(turn.clone()));
        for (me, name) in (0..).zip(DESKS) {
            let (corrected, sold) = (self.corrected, self.sold.clone());
            serve(sim, name, move || Desk {
                corrected,
                me,
                turn: 0,
                until: Instant::ZERO,
                sold: sold.clone(),
            });
        }
    }

    fn act(&self, cx: &mut Context, act: Act) {
        let _ = ask(cx, DESKS[act.kind as usize], "Sell", &[]);
    }

    fn judge(&self) -> Result<(), String> {
        let sold = self.sold.borrow();
        match sold.windows(2).find(|it| it[0] > it[1]) {
            None => Ok(()),
            Some(it) => Err(format!("sold in turn {}, then in turn {}", it[0], it[1])),
        }
    }
}
