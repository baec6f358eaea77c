//! Letting time pass.

use std::time::Duration;

use monofil_transport::Instant;

use crate::{NodeKey, World};

/// Why a run stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The time it was given is over.
    Time,
    /// What it was waiting for is there: mail, or the end of all nodes.
    Reached,
    /// Nothing will ever happen again by itself.
    Idle,
    /// The world does not get past a time: nodes keep each other, or one keeps itself, busy without
    /// letting any time pass.
    Stuck,
}

impl World {
    /// Does the next thing, letting time pass until then. Returns false if nothing will ever happen.
    ///
    /// This is the world as a debugger would drive it: one event, or one node's turn, at a time.
    pub fn step(&mut self) -> bool {
        if self.step_due() {
            return true;
        }
        match self.fabric.next_time() {
            Some(time) => {
                self.fabric.now = time;
                self.step_due()
            }
            None => false,
        }
    }

    /// Returns when the next thing happens: now, if something is due; `None` if nothing ever will.
    pub fn next_time(&mut self) -> Option<Instant> {
        if self.turn_due() || self.fabric.agenda.is_due(self.fabric.now) {
            return Some(self.now());
        }
        self.fabric.next_time().map(Instant::from_nanos)
    }

    /// Runs until `time`, which is the time then, whether anything happened or not.
    pub fn run_until(&mut self, time: Instant) -> Stop {
        match self.run(time, |_| false) {
            Stop::Idle => {
                self.pass_until(time);
                Stop::Time
            }
            stop => stop,
        }
    }

    /// Runs for a while.
    pub fn run_for(&mut self, duration: Duration) -> Stop {
        self.run_until(self.now() + duration)
    }

    /// Runs until nothing will happen any more, or until `limit`. A node with a periodic timer is never
    /// idle.
    pub fn run_until_idle(&mut self, limit: Instant) -> Stop {
        self.run(limit, |_| false)
    }

    /// Runs until all programs have ended, or until `limit`.
    pub fn run_until_ended(&mut self, limit: Instant) -> Stop {
        self.run(limit, |world| world.unfinished == 0)
    }

    /// Runs until a node has something to receive, or until `limit`.
    pub fn run_until_mail(&mut self, node: NodeKey, limit: Instant) -> Stop {
        match self.run(limit, |world| world.has_mail(node)) {
            Stop::Idle => {
                self.pass_until(limit);
                Stop::Time
            }
            stop => stop,
        }
    }

    /// Runs until `done`, which is asked between any two steps.
    fn run(&mut self, limit: Instant, mut done: impl FnMut(&Self) -> bool) -> Stop {
        let mut steps = 0;
        loop {
            if done(self) {
                return Stop::Reached;
            }
            if self.step_due() {
                steps += 1;
                if steps >= self.fabric.config.steps_per_instant_max {
                    return Stop::Stuck;
                }
                continue;
            }
            steps = 0;
            match self.fabric.next_time() {
                Some(time) if time <= limit.as_nanos() => self.fabric.now = time,
                Some(_) => {
                    self.pass_until(limit);
                    return Stop::Time;
                }
                None => return Stop::Idle,
            }
        }
    }

    fn pass_until(&mut self, time: Instant) {
        if time != Instant::FAR_FUTURE {
            self.fabric.now = self.fabric.now.max(time.as_nanos());
        }
    }
}
