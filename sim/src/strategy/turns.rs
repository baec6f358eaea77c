//! One frame at a time: of those that are there, a strategy says which arrives.
//!
//! Time is divided into beats. With one beat each frame that could arrive is noted, and waits; with the next one of them
//! arrives, and nothing else does. What its handler sends is there with the beat after that, so the next choice is made
//! when all is known that the last one caused. A frame that is lost meanwhile, or whose link is cut, is not there any
//! more and holds up nobody.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use monofil_inproc::{Arrivals, FrameOnTheWay};
use monofil_transport::{Instant, Plane};

use super::Noted;
use super::naming::Naming;

/// Says which of some frames arrives.
pub(super) trait Choose {
    /// A frame leaves.
    fn leaves(&mut self, frame: &FrameOnTheWay);

    /// Chooses one of these frames, which are there, in the order in which they left.
    fn choose(&mut self, there: &[u64]) -> u64;

    /// A frame arrives.
    fn arrives(&mut self, now: Instant, number: u64);
}

/// Has one frame arrive at a time.
pub(super) struct Turns<C> {
    choose: C,
    /// Nanoseconds.
    beat: u64,
    /// All is healed: frames arrive as their links have it.
    calm: Rc<Cell<bool>>,
    /// The beat in which frames were noted last, and which.
    noting: u64,
    there: Vec<u64>,
    /// What was chosen of them.
    chosen: Option<u64>,
    naming: Naming,
    noted: Rc<RefCell<Noted>>,
    /// Frames on the way: what they are called, and when they left. Those that are lost stay here.
    left: BTreeMap<u64, (String, Instant)>,
}

/// So many frames on the way are chosen from; others arrive as their links have it.
const LEFT_MAX: usize = 100_000;

impl<C: Choose> Turns<C> {
    pub(super) fn new(
        choose: C,
        beat: Duration,
        calm: Rc<Cell<bool>>,
        naming: Naming,
        noted: Rc<RefCell<Noted>>,
    ) -> Self {
        Self {
            choose,
            beat: u64::try_from(beat.as_nanos()).unwrap_or(u64::MAX).max(1),
            calm,
            noting: 0,
            there: Vec::new(),
            chosen: None,
            naming,
            noted,
            left: BTreeMap::new(),
        }
    }

    /// Returns how long it is until the next beat in which frames are noted, from now on.
    fn until_noting(&self, now: u64) -> u64 {
        let both = self.beat * 2;
        both - now % both
    }

    fn let_in(&mut self, now: Instant, number: u64) {
        if let Some((called, left)) = self.left.remove(&number) {
            self.noted.borrow_mut().latency(called, now.since(left));
        }
        self.choose.arrives(now, number);
    }
}

impl<C: Choose> Arrivals for Turns<C> {
    fn leaves(&mut self, frame: &FrameOnTheWay) -> Duration {
        let called = self.naming.name(frame);
        let is_ours = frame.plane == Plane::Application && self.left.len() < LEFT_MAX;
        if self.calm.get() || !is_ours {
            self.noted.borrow_mut().latency(called, frame.latency);
            return frame.latency;
        }
        self.left.insert(frame.number, (called, frame.at));
        self.choose.leaves(frame);
        let there = frame.at + frame.clogged;
        frame.clogged + Duration::from_nanos(self.until_noting(there.as_nanos()))
    }

    fn arrives(&mut self, now: Instant, number: u64) -> Option<Duration> {
        if self.calm.get() || !self.left.contains_key(&number) {
            self.let_in(now, number);
            return None;
        }
        let nanos = now.as_nanos();
        let (beat, rest) = (nanos / self.beat, nanos % self.beat);
        if rest > 0 {
            // The one before it on its connection arrived in between.
            return Some(Duration::from_nanos(self.until_noting(nanos)));
        }
        if beat.is_multiple_of(2) {
            if self.noting != beat {
                (self.noting, self.chosen) = (beat, None);
                self.there.clear();
            }
            self.there.push(number);
            return Some(Duration::from_nanos(self.beat));
        }
        if self.chosen.is_none() && beat == self.noting + 1 {
            self.there.sort_unstable();
            self.chosen = Some(self.choose.choose(&self.there));
        }
        if self.chosen == Some(number) && beat == self.noting + 1 {
            // Nobody else does in this beat.
            self.noting = 0;
            self.let_in(now, number);
            return None;
        }
        Some(Duration::from_nanos(self.beat))
    }
}
