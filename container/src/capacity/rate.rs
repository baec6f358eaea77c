//! So much for each second: the generic cell rate algorithm (ITU-T I.371, annex A), as a virtual schedule.
//!
//! ```text
//!   debt    what was admitted and would not have passed yet, had it come at exactly the rate; it shrinks by itself
//!   burst   how much debt there may be: what the rate lets pass in a tenth of a second, or one if that is more
//! ```

use std::time::Duration;

use monofil_transport::Instant;

/// What may come at once, as time at the rate.
const BURST_NANOS: u64 = 100_000_000;
const SECOND_NANOS: u64 = 1_000_000_000;

/// A rate, and what is owed to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    per_second: u64,
    /// When nothing is owed any more.
    clear_at: Instant,
}

/// Why an amount does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Excess {
    /// What there would have been for each second, over the time of a burst.
    pub(crate) observed: u64,
    /// By then it passes, if nothing else does before.
    pub(crate) retry_after: Duration,
}

impl Rate {
    pub(crate) const fn new(per_second: u64) -> Self {
        Self {
            per_second,
            clear_at: Instant::ZERO,
        }
    }

    pub(crate) const fn per_second(&self) -> u64 {
        self.per_second
    }

    /// Tells whether an amount passes now, and takes nothing. One that is larger than a burst passes when nothing is
    /// owed: it would never pass otherwise.
    pub(crate) fn check(&self, now: Instant, amount: u64) -> Result<(), Excess> {
        if self.per_second == 0 {
            return Err(Excess {
                observed: amount,
                retry_after: Duration::MAX,
            });
        }
        let (debt, burst) = (self.debt(now), self.burst());
        let after = debt.saturating_add(self.cost(amount));
        if debt == 0 || after <= burst {
            return Ok(());
        }
        let observed = u128::from(self.per_second) * u128::from(after);
        let observed = observed.div_ceil(u128::from(burst));
        Err(Excess {
            observed: u64::try_from(observed).unwrap_or(u64::MAX),
            retry_after: Duration::from_nanos(debt.min(after - burst)),
        })
    }

    /// Takes an amount that passed.
    pub(crate) fn take(&mut self, now: Instant, amount: u64) {
        let from = self.clear_at.max(now).as_nanos();
        self.clear_at = Instant::from_nanos(from.saturating_add(self.cost(amount)));
    }

    /// Sets another rate. What is owed stays the same share of a burst: a change forgives nothing, and nobody pays
    /// at a low rate for what a high one let pass.
    pub(crate) fn set(&mut self, now: Instant, per_second: u64) {
        let (debt, before) = (self.debt(now), self.burst());
        self.per_second = per_second;
        let debt = u128::from(debt) * u128::from(self.burst()) / u128::from(before);
        let debt = u64::try_from(debt).unwrap_or(u64::MAX);
        self.clear_at = Instant::from_nanos(now.as_nanos().saturating_add(debt));
    }

    fn debt(&self, now: Instant) -> u64 {
        self.clear_at.as_nanos().saturating_sub(now.as_nanos())
    }

    fn burst(&self) -> u64 {
        match self.per_second {
            0 => BURST_NANOS,
            _ => self.cost(1).max(BURST_NANOS),
        }
    }

    /// Returns how long an amount takes at the rate, rounded down, so that a burst holds as many as it should.
    fn cost(&self, amount: u64) -> u64 {
        if self.per_second == 0 {
            return 0;
        }
        let nanos = u128::from(amount) * u128::from(SECOND_NANOS);
        u64::try_from(nanos / u128::from(self.per_second)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    /// Offers one each `step` for `millis`, and returns how many passed.
    fn passed(rate: &mut Rate, from: u64, millis: u64, step: u64) -> usize {
        let times = (from..from + millis).step_by(usize::try_from(step).expect("a small step"));
        times
            .filter(|millis| {
                let passes = rate.check(at(*millis), 1).is_ok();
                if passes {
                    rate.take(at(*millis), 1);
                }
                passes
            })
            .count()
    }

    /// Rate, taken at 0, asked at, amount; whether it passes, or what is observed and how long to wait, in
    /// milliseconds.
    type Row = (u64, u64, u64, u64, Result<(), (u64, u64)>);

    #[test]
    fn what_passes_and_when() {
        let table: &[Row] = &[
            (100, 0, 0, 1, Ok(())),
            (100, 9, 0, 1, Ok(())),
            (100, 10, 0, 1, Err((110, 10))),
            (100, 10, 9, 1, Err((101, 1))),
            (100, 10, 10, 1, Ok(())),
            // One at a time where a burst would be less than one.
            (1, 0, 0, 1, Ok(())),
            (1, 1, 999, 1, Err((2, 1))),
            (1, 1, 1000, 1, Ok(())),
            // Larger than a burst: alone, and paid for afterwards.
            (1000, 0, 0, 5000, Ok(())),
            (1000, 5000, 0, 1, Err((50_010, 4901))),
            (1000, 1, 0, 5000, Err((50_010, 1))),
            // Nothing at all.
            (0, 0, 0, 1, Err((1, u64::MAX))),
        ];
        for (number, (per_second, taken, asked, amount, expected)) in table.iter().enumerate() {
            let mut rate = Rate::new(*per_second);
            if *taken > 0 {
                rate.take(at(0), *taken);
            }
            let got = rate.check(at(*asked), *amount).map_err(|excess| {
                let millis = excess.retry_after.as_millis();
                (excess.observed, u64::try_from(millis).unwrap_or(u64::MAX))
            });
            assert_eq!(got, *expected, "row {number}");
        }
    }

    #[test]
    fn in_the_long_run_the_rate_passes_and_a_burst_more_at_most() {
        for per_second in [1, 7, 100, 999] {
            let mut rate = Rate::new(per_second);
            let passed = passed(&mut rate, 0, 10_000, 1);
            let rate = usize::try_from(per_second).expect("small");
            let most = 10 * rate + (rate / 10).max(1);
            assert!((10 * rate - 1..=most).contains(&passed), "{rate}: {passed}");
        }
    }

    #[test]
    fn a_change_keeps_the_share_of_a_burst_that_is_owed() {
        for (before, after) in [
            (100, 1000),
            (1000, 100),
            (1_000_000, 1),
            (1, 1_000_000),
            (7, 7),
        ] {
            let mut rate = Rate::new(before);
            while rate.check(at(0), 1).is_ok() {
                rate.take(at(0), 1);
            }
            rate.set(at(0), after);
            assert!(
                rate.check(at(0), 1).is_err(),
                "{before} to {after}: full stays full"
            );
            let wait = rate.check(at(0), 1).expect_err("full").retry_after;
            let one = Duration::from_nanos(rate.cost(1));
            assert!(
                wait <= one,
                "{before} to {after}: {wait:?} for one of {one:?}"
            );

            let mut rate = Rate::new(before);
            rate.set(at(5), after);
            assert!(
                rate.check(at(5), 1).is_ok(),
                "{before} to {after}: empty stays empty"
            );
        }
    }

    #[test]
    fn a_rate_of_nothing_lets_nothing_pass_and_another_one_does_again() {
        let mut rate = Rate::new(100);
        rate.set(at(0), 0);
        assert_eq!(passed(&mut rate, 0, 1000, 1), 0);
        rate.set(at(1000), 100);
        assert_eq!(passed(&mut rate, 1000, 1000, 1), 109);
    }

    #[test]
    fn no_number_is_too_large() {
        let mut rate = Rate::new(1);
        rate.take(at(1), u64::MAX);
        assert!(rate.check(at(2), u64::MAX).is_err());
        rate.set(at(2), u64::MAX);
        assert!(rate.check(at(2), 1).is_err());
        let mut fast = Rate::new(u64::MAX);
        fast.take(at(1), 1);
        assert!(fast.check(at(1), 1).is_ok());
    }
}
