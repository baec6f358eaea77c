//! The limits of one instance, node or flow, and whether one more message is within them.

use std::time::Duration;

use monofil_transport::Instant;

use super::delay::{Delay, INTERVAL};
use super::limit::{Limit, UNLIMITED};
use super::rate::Rate;
use super::spill::{WHOLE, part_of};

/// What is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) in_flight: u64,
}

/// Why a message is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) limit: Limit,
    pub(crate) value: u64,
    pub(crate) observed: u64,
    /// Known of rates only.
    pub(crate) retry_after: Option<Duration>,
}

impl Refusal {
    /// Tells whether nothing will pass until somebody changes the limit.
    pub(crate) fn is_for_good(&self) -> bool {
        self.value == 0 && self.limit.closes()
    }
}

/// Limits, with what is known of how near they are.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    messages: u64,
    bytes: u64,
    in_flight: u64,
    /// Few have one of these.
    metered: Option<Box<Metered>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Metered {
    messages: Option<Rate>,
    bytes: Option<Rate>,
    delay: Option<Delay>,
}

impl Guard {
    /// Makes one with these values.
    pub(crate) fn new(value: impl Fn(Limit) -> u64) -> Self {
        let mut guard = Self {
            messages: UNLIMITED,
            bytes: UNLIMITED,
            in_flight: UNLIMITED,
            metered: None,
        };
        for limit in Limit::ALL {
            guard.set(Instant::ZERO, limit, value(limit));
        }
        guard
    }

    pub(crate) fn get(&self, limit: Limit) -> u64 {
        let metered = self.metered.as_deref();
        let rate = |rate: Option<&Rate>| rate.map_or(UNLIMITED, Rate::per_second);
        match limit {
            Limit::QueueMessages => self.messages,
            Limit::QueueBytes => self.bytes,
            Limit::InFlight => self.in_flight,
            Limit::RateMessages => rate(metered.and_then(|it| it.messages.as_ref())),
            Limit::RateBytes => rate(metered.and_then(|it| it.bytes.as_ref())),
            Limit::QueueTime => {
                let delay = metered.and_then(|it| it.delay.as_ref());
                delay.map_or(UNLIMITED, |delay| crate::error::micros(delay.target()))
            }
        }
    }

    pub(crate) fn set(&mut self, now: Instant, limit: Limit, value: u64) {
        match limit {
            Limit::QueueMessages => self.messages = value,
            Limit::QueueBytes => self.bytes = value,
            Limit::InFlight => self.in_flight = value,
            Limit::RateMessages | Limit::RateBytes | Limit::QueueTime => {
                self.set_metered(now, limit, value);
            }
        }
    }

    fn set_metered(&mut self, now: Instant, limit: Limit, value: u64) {
        if value == UNLIMITED && self.metered.is_none() {
            return;
        }
        let metered = self.metered.get_or_insert_default();
        let rate = match limit {
            Limit::RateMessages => Some(&mut metered.messages),
            Limit::RateBytes => Some(&mut metered.bytes),
            _ => None,
        };
        match (rate, &mut metered.delay) {
            (Some(rate), _) if value == UNLIMITED => *rate = None,
            (Some(Some(rate)), _) => rate.set(now, value),
            (Some(rate), _) => *rate = Some(Rate::new(value)),
            (None, delay) if value == UNLIMITED => *delay = None,
            (None, Some(delay)) => delay.set(Duration::from_micros(value)),
            (None, delay) => *delay = Some(Delay::new(Duration::from_micros(value))),
        }
        if **metered == Metered::default() {
            self.metered = None;
        }
    }

    /// Tells whether one more message is within the limits; takes nothing. The time is that of the turn.
    #[inline]
    pub(crate) fn check(&self, now: Instant, load: Load, bytes: u64) -> Result<(), Refusal> {
        let is_over = load.messages >= self.messages
            || (load.messages > 0 && load.bytes + bytes > self.bytes)
            || load.in_flight >= self.in_flight;
        if !is_over && self.metered.is_none() {
            return Ok(());
        }
        self.check_each(now, load, bytes)
    }

    /// Finds the limit that a message is over.
    #[cold]
    fn check_each(&self, now: Instant, load: Load, bytes: u64) -> Result<(), Refusal> {
        let refuse = |limit, value, observed| {
            Err(Refusal {
                limit,
                value,
                observed,
                retry_after: None,
            })
        };
        if load.messages >= self.messages {
            return refuse(Limit::QueueMessages, self.messages, load.messages);
        }
        if load.messages > 0 && load.bytes + bytes > self.bytes {
            return refuse(Limit::QueueBytes, self.bytes, load.bytes + bytes);
        }
        if load.in_flight >= self.in_flight {
            return refuse(Limit::InFlight, self.in_flight, load.in_flight);
        }
        let Some(metered) = &self.metered else {
            return Ok(());
        };
        let rates = [
            (Limit::RateMessages, &metered.messages, 1),
            (Limit::RateBytes, &metered.bytes, bytes),
        ];
        for (limit, rate, amount) in rates {
            if let Some(rate) = rate
                && let Err(excess) = rate.check(now, amount)
            {
                return Err(Refusal {
                    limit,
                    value: rate.per_second(),
                    observed: excess.observed,
                    retry_after: Some(excess.retry_after),
                });
            }
        }
        Ok(())
    }

    /// Returns how much of the limit that is nearest is used, in millionths; all of it where messages stand in the
    /// queue for too long.
    pub(crate) fn part(&self, now: Instant, load: Load) -> u64 {
        let delay = self.metered.as_ref().and_then(|it| it.delay.as_ref());
        if delay.is_some_and(|delay| delay.is_overloaded(now)) {
            return WHOLE;
        }
        part_of(load.messages, self.messages)
            .max(part_of(load.bytes, self.bytes))
            .max(part_of(load.in_flight, self.in_flight))
    }

    /// Notes that a message was admitted.
    #[inline]
    pub(crate) fn admitted(&mut self, now: Instant, bytes: u64) {
        if let Some(metered) = &mut self.metered {
            if let Some(rate) = &mut metered.messages {
                rate.take(now, 1);
            }
            if let Some(rate) = &mut metered.bytes {
                rate.take(now, bytes);
            }
        }
    }

    /// Notes that a message comes out of the queue after so long, and tells whether that was too long.
    #[inline]
    pub(crate) fn dequeued(&mut self, now: Instant, since: Instant) -> Option<Refusal> {
        let delay = self.metered.as_mut()?.delay.as_mut()?;
        let waited = now.since(since);
        delay.dequeued(now, waited).then(|| Refusal {
            limit: Limit::QueueTime,
            value: crate::error::micros(delay.target()),
            observed: crate::error::micros(waited),
            retry_after: Some(INTERVAL),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(values: &[(Limit, u64)]) -> Guard {
        let value = |limit| {
            let set = values.iter().find(|(it, _)| *it == limit);
            set.map_or(UNLIMITED, |(_, value)| *value)
        };
        Guard::new(value)
    }

    const fn load(messages: u64, bytes: u64, in_flight: u64) -> Load {
        Load {
            messages,
            bytes,
            in_flight,
        }
    }

    #[test]
    fn which_limit_refuses() {
        use Limit::{InFlight, QueueBytes, QueueMessages};
        let all = [(QueueMessages, 3), (QueueBytes, 100), (InFlight, 5)];
        let table = [
            (load(0, 0, 0), 10, None),
            (load(2, 90, 3), 10, None),
            (load(3, 0, 3), 0, Some((QueueMessages, 3, 3))),
            (load(2, 91, 3), 10, Some((QueueBytes, 100, 101))),
            (load(0, 0, 0), 1000, None),
            (load(0, 0, 5), 1, Some((InFlight, 5, 5))),
            // Above what is set now: somebody has lowered it.
            (load(7, 500, 9), 0, Some((QueueMessages, 3, 7))),
        ];
        for (number, (load, bytes, expected)) in table.into_iter().enumerate() {
            let refusal = guard(&all).check(Instant::ZERO, load, bytes).err();
            let got = refusal.map(|it| (it.limit, it.value, it.observed));
            assert_eq!(got, expected, "row {number}");
        }
    }

    #[test]
    fn how_near_the_nearest_limit_is() {
        use Limit::{InFlight, QueueBytes, QueueMessages, QueueTime};
        let all = [
            (QueueMessages, 10),
            (QueueBytes, 1000),
            (InFlight, 20),
            (QueueTime, 5000),
        ];
        let mut guard = guard(&all);
        let now = Instant::ZERO + Duration::from_secs(1);
        for (load, percent) in [
            (load(0, 0, 0), 0),
            (load(5, 100, 6), 50),
            (load(5, 900, 6), 90),
            (load(5, 900, 19), 95),
            (load(12, 0, 13), 120),
        ] {
            assert_eq!(guard.part(now, load), percent * 10_000, "{load:?}");
        }
        // What comes out has waited for too long, for longer than an interval.
        let mut last = now;
        for step in 0..30 {
            last = now + Duration::from_millis(10 * step);
            guard.dequeued(last, last - Duration::from_millis(8));
        }
        assert_eq!(guard.part(last, load(1, 0, 1)), WHOLE);
        // Nothing has come out for a while: nobody knows.
        let later = last + Duration::from_secs(1);
        assert_eq!(guard.part(later, load(1, 0, 1)), WHOLE / 10);
    }

    #[test]
    fn a_refused_message_costs_no_rate() {
        let mut guard = guard(&[(Limit::RateMessages, 10), (Limit::RateBytes, 1000)]);
        let now = Instant::ZERO;
        guard.check(now, Load::default(), 100).expect("the first");
        guard.admitted(now, 100);
        for _ in 0..10 {
            let refusal = guard
                .check(now, Load::default(), 1)
                .expect_err("one for a burst");
            assert_eq!(
                (refusal.limit, refusal.value, refusal.observed),
                (Limit::RateMessages, 10, 20)
            );
            assert_eq!(refusal.retry_after, Some(Duration::from_millis(100)));
        }
        let later = now + Duration::from_millis(100);
        guard
            .check(later, Load::default(), 1)
            .expect("it was not charged for what it refused");
    }

    #[test]
    fn messages_and_bytes_have_rates_of_their_own() {
        let mut guard = guard(&[(Limit::RateMessages, 1000), (Limit::RateBytes, 1000)]);
        guard.admitted(Instant::ZERO, 100);
        let refusal = guard
            .check(Instant::ZERO, Load::default(), 1)
            .expect_err("no bytes left");
        assert_eq!(
            (refusal.limit, refusal.value, refusal.observed),
            (Limit::RateBytes, 1000, 1010)
        );
        guard
            .check(Instant::ZERO, Load::default(), 0)
            .expect("no bytes wanted");
    }

    #[test]
    fn what_is_set_is_read_and_nothing_is_kept_for_what_is_not() {
        let mut guard = guard(&[]);
        for (limit, value) in Limit::ALL.into_iter().zip(1..) {
            assert_eq!(guard.get(limit), UNLIMITED);
            guard.set(Instant::ZERO, limit, value);
            assert_eq!(guard.get(limit), value);
        }
        assert!(guard.metered.is_some());
        for limit in Limit::ALL {
            guard.set(Instant::ZERO, limit, UNLIMITED);
            assert_eq!(guard.get(limit), UNLIMITED);
        }
        assert!(guard.metered.is_none());
    }
}
