//! What all instances of a component in the network may have together, and one instance's part of it.
//!
//! ```text
//!   who there is ──▶ part of each ──▶ shrinks at once, grows when nothing has changed for a while ──▶ a guard
//! ```
//!
//! Nobody is asked when a message comes: each instance admits no more than its part, and the parts of all are the whole.
//! They are, as long as all see the same. While they do not, an instance that has heard of another has less already, and
//! the other has not got more yet: it waits for as long as the news may take. So at any moment the parts of those who
//! hear of each other within that time are the whole at most.

use std::time::Duration;

use monofil_transport::Instant;

use super::guard::{Guard, Load, Refusal};
use super::limit::{Limit, UNLIMITED};

/// Where one of all instances is in their line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// How many are before it.
    pub(crate) before: u64,
    /// How many there are, this one included.
    pub(crate) all: u64,
}

impl Part {
    /// Returns its part of a whole. What cannot be divided is the first ones'.
    fn of(self, whole: u64) -> u64 {
        match whole {
            UNLIMITED => UNLIMITED,
            _ => whole / self.all + u64::from(self.before < whole % self.all),
        }
    }
}

/// Returns what whoever has no part has.
const fn nothing_of(whole: u64) -> u64 {
    match whole {
        UNLIMITED => UNLIMITED,
        _ => 0,
    }
}

/// The limits that an instance shares with others.
#[derive(Clone, Debug)]
pub(crate) struct Share {
    whole: [u64; Limit::ALL.len()],
    /// With what is this instance's.
    guard: Guard,
    /// `None`: nobody has looked yet.
    part: Option<Part>,
    /// When it became this.
    since: Instant,
    /// How long it is to stay the same before the instance gets more.
    settles: Duration,
    settled: bool,
    /// What was known when somebody looked last, and when that was.
    looked: Option<(u64, Instant)>,
}

impl Share {
    pub(crate) fn new(whole: impl Fn(Limit) -> u64, settles: Duration) -> Self {
        Self {
            whole: Limit::ALL.map(&whole),
            guard: Guard::new(|limit| nothing_of(whole(limit))),
            part: None,
            since: Instant::ZERO,
            settles,
            settled: false,
            looked: None,
        }
    }

    /// Returns what all have together.
    pub(crate) const fn whole(&self, limit: Limit) -> u64 {
        self.whole[limit as usize]
    }

    /// Sets what all have together, as it is set at all of them.
    pub(crate) fn set(&mut self, now: Instant, limit: Limit, whole: u64) {
        self.settle(now);
        let before = std::mem::replace(&mut self.whole[limit as usize], whole);
        let most = match (self.settled, before) {
            (true, _) => UNLIMITED,
            // Others may not know of this instance yet.
            (false, UNLIMITED) => 0,
            (false, _) => self.guard.get(limit),
        };
        let value = match whole {
            UNLIMITED => UNLIMITED,
            _ => self.own(limit).min(most),
        };
        self.guard.set(now, limit, value);
    }

    /// Tells whether it is to be looked who there is: something is known that was not, or it is long ago.
    pub(crate) fn is_stale(&self, now: Instant, knowledge: u64) -> bool {
        const LOOK: Duration = Duration::from_secs(1);
        self.looked
            .is_none_or(|(known, at)| known != knowledge || now.since(at) >= LOOK)
    }

    /// Notes who there is.
    pub(crate) fn look(&mut self, now: Instant, knowledge: u64, part: Part) {
        self.looked = Some((knowledge, now));
        if self.part != Some(part) {
            self.settle(now);
            (self.part, self.since, self.settled) = (Some(part), now, false);
            for limit in Limit::ALL {
                let less = self.own(limit).min(self.guard.get(limit));
                self.give(now, limit, less);
            }
        }
        self.settle(now);
    }

    /// Gives it all that is its own, once nothing has changed for long enough.
    fn settle(&mut self, now: Instant) {
        if self.settled || self.part.is_none() || now < self.since + self.settles {
            return;
        }
        self.settled = true;
        for limit in Limit::ALL {
            self.give(now, limit, self.own(limit));
        }
    }

    fn give(&mut self, now: Instant, limit: Limit, value: u64) {
        if self.guard.get(limit) != value {
            self.guard.set(now, limit, value);
        }
    }

    fn own(&self, limit: Limit) -> u64 {
        let whole = self.whole(limit);
        self.part
            .map_or_else(|| nothing_of(whole), |part| part.of(whole))
    }

    /// Tells whether one more message is within its part; takes nothing.
    pub(crate) fn check(&mut self, now: Instant, load: Load, bytes: u64) -> Result<(), Refusal> {
        self.settle(now);
        self.guard.check(now, load, bytes).map_err(|mut refusal| {
            if !self.settled && refusal.value < self.own(refusal.limit) {
                refusal.retry_after = Some(now.until(self.since + self.settles));
            }
            refusal
        })
    }

    /// Tells whether any message would be refused.
    pub(crate) fn is_full(&self, now: Instant, load: Load) -> bool {
        self.refuses(now, load).is_some()
    }

    /// Says why any message would be refused, if it would.
    pub(crate) fn refuses(&self, now: Instant, load: Load) -> Option<Refusal> {
        self.guard.check(now, load, 0).err()
    }

    /// Notes that a message was admitted.
    pub(crate) fn admitted(&mut self, now: Instant, bytes: u64) {
        self.guard.admitted(now, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLES: Duration = Duration::from_secs(5);

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn share(whole: u64) -> Share {
        let of = |limit| match limit {
            Limit::InFlight => whole,
            _ => UNLIMITED,
        };
        Share::new(of, SETTLES)
    }

    #[test]
    fn all_parts_are_the_whole() {
        for (whole, all) in [(100, 3), (2, 5), (0, 4), (7, 7), (u64::MAX - 1, 3)] {
            let parts = (0..all).map(|before| Part { before, all }.of(whole));
            assert_eq!(parts.sum::<u64>(), whole, "{whole} by {all}");
        }
        assert_eq!(Part { before: 0, all: 3 }.of(UNLIMITED), UNLIMITED);
    }

    enum Step {
        /// So many are before it, of so many.
        Sees(u64, u64),
        Whole(u64),
        Time,
    }

    /// When what happens, and what it has then.
    type Row = (u64, Step, u64);

    #[test]
    fn it_has_less_at_once_and_more_later() {
        use Step::{Sees, Time, Whole};
        // Of ten.
        let tables: [(&str, &[Row]); 5] = [
            (
                "it is new: others have to hear of it first",
                &[(0, Sees(0, 2), 0), (4, Time, 0), (5, Time, 5)],
            ),
            (
                "another comes, and goes",
                &[
                    (0, Sees(0, 1), 0),
                    (5, Time, 10),
                    (20, Sees(0, 2), 5),
                    (30, Sees(0, 1), 5),
                    (34, Time, 5),
                    (35, Time, 10),
                ],
            ),
            (
                "while nothing stays as it is it has the least",
                &[
                    (0, Sees(0, 1), 0),
                    (5, Time, 10),
                    (20, Sees(0, 5), 2),
                    (23, Sees(0, 2), 2),
                    (26, Sees(0, 1), 2),
                    (29, Sees(0, 2), 2),
                    (34, Time, 5),
                ],
            ),
            (
                "another whole",
                &[
                    (0, Sees(1, 2), 0),
                    (3, Whole(20), 0),
                    (5, Time, 10),
                    (6, Whole(7), 3),
                    (7, Whole(100), 50),
                    (8, Whole(UNLIMITED), UNLIMITED),
                    (9, Whole(8), 4),
                ],
            ),
            (
                "a first limit while others have not heard of it",
                &[
                    (0, Whole(UNLIMITED), UNLIMITED),
                    (1, Sees(0, 1), UNLIMITED),
                    (2, Whole(8), 0),
                    (6, Time, 8),
                ],
            ),
        ];
        for (what, rows) in tables {
            let mut share = share(10);
            for (number, (seconds, step, expected)) in rows.iter().enumerate() {
                let now = at(*seconds);
                match step {
                    Sees(before, all) => share.look(
                        now,
                        number as u64,
                        Part {
                            before: *before,
                            all: *all,
                        },
                    ),
                    Whole(whole) => share.set(now, Limit::InFlight, *whole),
                    Time => share.settle(now),
                }
                let got = share.guard.get(Limit::InFlight);
                assert_eq!(got, *expected, "{what}, row {number}");
            }
        }
    }

    #[test]
    fn a_refusal_says_when_there_will_be_more() {
        let mut share = share(10);
        share.look(at(1), 0, Part { before: 0, all: 1 });
        let load = Load::default();
        let refusal = share.check(at(3), load, 0).expect_err("nothing yet");
        let said = (refusal.limit, refusal.value, refusal.retry_after);
        assert_eq!(said, (Limit::InFlight, 0, Some(Duration::from_secs(3))));
        share.check(at(6), load, 0).expect("all of it");
        let full = Load {
            in_flight: 10,
            ..load
        };
        let refusal = share.check(at(7), full, 0).expect_err("it is full");
        assert_eq!((refusal.value, refusal.retry_after), (10, None));
        assert!(share.is_full(at(7), full));
    }
}
