//! How much of what comes to an instance goes to others of its kind.
//!
//! The share rises while the instance is nearly full and falls while it has room; between the two it stays. It changes
//! slowly, and does not turn round at once: others need time to show what they can take, and a share that follows the
//! queue closely would throw the whole load from one instance to another and back.
//!
//! ```text
//!   of a limit   0 ────────── 70 % ─────────── 90 % ────────── 100 %
//!   the share        falls           stays            rises      what has no room goes elsewhere in any case
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use monofil_transport::Instant;

/// Parts of a limit, and of what comes, are in millionths.
const WHOLE: u64 = 1_000_000;
/// From here on the share rises.
const FROM: u64 = 900_000;
/// Below this it falls.
const BACK: u64 = 700_000;
/// How long it keeps its direction.
const DWELL: Duration = Duration::from_secs(5);
/// How much it changes in a second, at most.
const RAMP: u64 = 100_000;
/// Nodes that are remembered to have had no room.
const FULL_MAX: usize = 64;

/// Where the share goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Rises,
    Stays,
    Falls,
}

/// What one instance sends elsewhere.
#[derive(Clone, Debug)]
pub(crate) struct Spill {
    share: u64,
    /// The last direction that was none of staying, and since when.
    turned: Option<(Direction, Instant)>,
    seen: Instant,
    /// What is owed of the share: at a whole, the next goes.
    owed: u64,
    /// Nodes that had no room, and until when they are left alone.
    full: BTreeMap<usize, Instant>,
}

impl Spill {
    pub(crate) const fn new() -> Self {
        Self {
            share: 0,
            turned: None,
            seen: Instant::ZERO,
            owed: 0,
            full: BTreeMap::new(),
        }
    }

    /// Returns the share that goes elsewhere, in millionths.
    #[cfg(test)]
    pub(crate) const fn share(&self) -> u64 {
        self.share
    }

    /// Notes how full the instance is as a message comes, in parts of its limit, and tells whether that message is one
    /// of those that go elsewhere.
    pub(crate) fn goes(&mut self, now: Instant, used: u64, limit: u64) -> bool {
        let part = match limit {
            0 => WHOLE,
            _ => used.saturating_mul(WHOLE) / limit,
        };
        self.follow(now, part);
        self.owed += self.share;
        let goes = self.owed >= WHOLE;
        if goes {
            self.owed -= WHOLE;
        }
        goes
    }

    fn follow(&mut self, now: Instant, part: u64) {
        let wanted = match part {
            FROM.. => Direction::Rises,
            BACK.. => Direction::Stays,
            _ => Direction::Falls,
        };
        // After a pause nobody knows how it was meanwhile: it counts as one step.
        let passed = now.since(self.seen).min(Duration::from_secs(1));
        self.seen = now;
        let too_soon =
            |(last, since): (Direction, Instant)| last != wanted && now.since(since) < DWELL;
        // A share of nothing falls no further: that is no direction to be kept.
        let is_over = wanted == Direction::Falls && self.share == 0;
        if wanted == Direction::Stays || is_over || self.turned.is_some_and(too_soon) {
            return;
        }
        if self.turned.is_none_or(|(last, _)| last != wanted) {
            self.turned = Some((wanted, now));
        }
        let step = u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX) / (1_000_000_000 / RAMP);
        self.share = match wanted {
            Direction::Rises => (self.share + step).min(WHOLE),
            _ => self.share.saturating_sub(step),
        };
    }

    /// Notes that a node had no room; it is left alone for a while.
    pub(crate) fn was_full(&mut self, now: Instant, peer: usize, retry_after: Duration) {
        self.full.retain(|_, until| *until > now);
        if self.full.len() < FULL_MAX {
            self.full.insert(peer, now + retry_after);
        }
    }

    /// Tells whether a node may have room.
    pub(crate) fn may_take(&self, now: Instant, peer: usize) -> bool {
        self.full.get(&peer).is_none_or(|until| *until <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    /// Lets messages come each 10 ms, and returns how many go.
    fn run(spill: &mut Spill, from: u64, to: u64, percent: u64) -> usize {
        let times = (from..to).step_by(10);
        times
            .filter(|time| spill.goes(at(*time), percent, 100))
            .count()
    }

    #[test]
    fn the_share_follows_slowly() {
        let mut spill = Spill::new();
        // Each row: until when, how full in percent, and the share after that in percent.
        for (from, to, percent, share) in [
            (0, 1000, 50, 0),
            (1000, 3000, 95, 20),
            (3000, 5000, 80, 20),
            (5000, 5500, 95, 25),
            // It rose for the first time at 1000, and turns round five seconds later at the earliest.
            (5500, 6000, 60, 25),
            (6000, 8000, 60, 5),
            (8000, 10_000, 80, 5),
            (10_000, 11_000, 100, 5),
            (11_000, 21_500, 100, 100),
        ] {
            run(&mut spill, from, to, percent);
            let got = (spill.share() + 5_000) / 10_000;
            assert_eq!(got, share, "at {to} ms");
        }
    }

    #[test]
    fn as_many_go_as_the_share_says() {
        let mut spill = Spill::new();
        run(&mut spill, 0, 3000, 95);
        let share = spill.share() as f64 / WHOLE as f64;
        let went = run(&mut spill, 3000, 13_000, 80);
        assert!(
            (went as f64 - 1000.0 * share).abs() <= 1.0,
            "{went} of {share}"
        );
    }

    #[test]
    fn a_limit_of_nothing_is_full() {
        let mut spill = Spill::new();
        assert!(run(&mut spill, 0, 11_000, 0) == 0);
        let mut closed = Spill::new();
        for time in (0..11_000).step_by(10) {
            closed.goes(at(time), 0, 0);
        }
        assert_eq!(closed.share(), WHOLE);
    }

    #[test]
    fn a_node_without_room_is_left_alone_for_a_while() {
        let mut spill = Spill::new();
        spill.was_full(at(0), 7, Duration::from_millis(50));
        assert!(!spill.may_take(at(49), 7) && spill.may_take(at(49), 8));
        assert!(spill.may_take(at(50), 7));
        for peer in 0..1000 {
            spill.was_full(at(60), peer, Duration::from_secs(1));
        }
        assert!(spill.full.len() <= FULL_MAX);
    }
}
