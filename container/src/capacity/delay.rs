//! Time in a queue: controlled delay (Nichols and Jacobson, *Controlling Queue Delay*, 2012), in the form that suits
//! requests (Maurer, *Fail at Scale*, 2015).
//!
//! A queue that is ever empty within an interval takes up bursts, which is what it is for. One in which even the
//! luckiest waits longer than the target is too long for good: then whatever has waited for twice the target ends when
//! its turn comes, so that the thread goes to those whose senders still wait. The order stays first come, first served.

use std::time::Duration;

use monofil_transport::Instant;

/// How long the luckiest may wait too long before the queue is overloaded.
pub(crate) const INTERVAL: Duration = Duration::from_millis(100);

/// What is known of the time that messages spend in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Delay {
    target: Duration,
    /// When the interval ends; `None`: none has begun.
    ends: Option<Instant>,
    /// The shortest wait within it.
    least: Duration,
    overloaded: bool,
}

impl Delay {
    pub(crate) const fn new(target: Duration) -> Self {
        Self {
            target,
            ends: None,
            least: Duration::MAX,
            overloaded: false,
        }
    }

    pub(crate) const fn target(&self) -> Duration {
        self.target
    }

    /// Sets another target. What was observed stays so.
    pub(crate) const fn set(&mut self, target: Duration) {
        self.target = target;
    }

    /// Tells whether messages stand in the queue for too long, as far as came out lately.
    pub(crate) fn is_overloaded(&self, now: Instant) -> bool {
        self.overloaded && self.ends.is_some_and(|ends| now < ends + INTERVAL)
    }

    /// A message comes out of the queue after so long. Tells whether it has waited too long to be handled.
    pub(crate) fn dequeued(&mut self, now: Instant, waited: Duration) -> bool {
        match self.ends {
            Some(ends) if now < ends => self.least = self.least.min(waited),
            ends => {
                // Of an interval in which nothing came out nothing is known, nor of one that was over long ago.
                let fresh = ends.is_some_and(|ends| now.since(ends) < INTERVAL);
                self.overloaded = fresh && self.least > self.target && self.least < Duration::MAX;
                self.ends = Some(now + INTERVAL);
                self.least = waited;
            }
        }
        self.overloaded && waited > self.target * 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn at(time: u64) -> Instant {
        Instant::ZERO + millis(time)
    }

    /// When something comes out, how long it has waited, whether that was too long; in milliseconds.
    type Row = (u64, u64, bool);

    #[test]
    fn when_a_message_has_waited_too_long() {
        let target = millis(5);
        let tables: [(&str, &[Row]); 6] = [
            (
                "a queue that is always short",
                &[
                    (0, 1, false),
                    (50, 2, false),
                    (100, 1, false),
                    (200, 4, false),
                ],
            ),
            (
                "a burst that is gone within the interval",
                &[
                    (0, 60, false),
                    (20, 40, false),
                    (60, 1, false),
                    (100, 60, false),
                    (150, 60, false),
                ],
            ),
            (
                "standing for an interval: the old ones go, what is not twice the target stays",
                &[
                    (0, 30, false),
                    (50, 30, false),
                    (100, 30, true),
                    (110, 10, false),
                    (120, 11, true),
                ],
            ),
            (
                "it recovers after an interval with one short wait",
                &[
                    (0, 30, false),
                    (99, 30, false),
                    (101, 30, true),
                    (150, 4, false),
                    (201, 30, false),
                ],
            ),
            (
                "one message alone tells nothing",
                &[(0, 500, false), (5000, 500, false), (10_000, 500, false)],
            ),
            (
                "at the target is not over it",
                &[(0, 5, false), (50, 5, false), (100, 50, false)],
            ),
        ];
        for (what, rows) in tables {
            let mut delay = Delay::new(target);
            for (time, waited, expected) in rows {
                let late = delay.dequeued(at(*time), millis(*waited));
                assert_eq!(late, *expected, "{what}: at {time} ms, after {waited} ms");
            }
        }
    }

    #[test]
    fn another_target_counts_at_once() {
        let mut delay = Delay::new(millis(5));
        delay.dequeued(at(0), millis(30));
        assert!(delay.dequeued(at(100), millis(30)));
        delay.set(millis(50));
        assert!(!delay.dequeued(at(110), millis(30)));
        assert_eq!(delay.target(), millis(50));
    }
}
