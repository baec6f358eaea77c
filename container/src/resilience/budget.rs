//! How many calls may be tried again: a share of those under way, so that retries never multiply an overload.

use super::RetryConfig;

/// Counts calls under way, and those among them that are not the first try.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Budget {
    active: u32,
    retrying: u32,
}

impl Budget {
    /// A call began.
    pub(crate) const fn began(&mut self) {
        self.active += 1;
    }

    /// One ended that had been `retrying`, or not.
    pub(crate) const fn ended(&mut self, retrying: bool) {
        self.active = self.active.saturating_sub(1);
        if retrying {
            self.retrying = self.retrying.saturating_sub(1);
        }
    }

    /// Tells whether no call is under way.
    pub(crate) const fn is_idle(&self) -> bool {
        self.active == 0
    }

    /// Lets a call under way be tried again, if there is something left. One that is being tried again has paid.
    pub(crate) const fn spend(&mut self, config: &RetryConfig) -> bool {
        let has_some = self.left(config) > 0;
        if has_some {
            self.retrying += 1;
        }
        has_some
    }

    /// Returns how many more may be tried again now.
    pub(crate) const fn left(&self, config: &RetryConfig) -> u32 {
        let share = (self.active as u64 * config.budget_percent as u64 / 100) as u32;
        let most = if share > config.budget_min {
            share
        } else {
            config.budget_min
        };
        most.saturating_sub(self.retrying)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_of_the_calls_under_way_and_three_in_any_case() {
        let config = RetryConfig::default();
        for (active, most) in [(1, 3), (15, 3), (16, 3), (20, 4), (100, 20), (1000, 200)] {
            let mut budget = Budget::default();
            for _ in 0..active {
                budget.began();
            }
            let spent = (0..active).filter(|_| budget.spend(&config)).count();
            assert_eq!(spent, most.min(active), "{active}");
            // What ends gives back what it had.
            budget.ended(true);
            assert_eq!(budget.retrying as usize, spent - 1);
        }
    }

    #[test]
    fn what_is_not_under_way_any_more_pays_for_nothing() {
        // A bucket of tokens that every call fills would let a burst of retries through after a quiet hour.
        let config = RetryConfig::default();
        let mut budget = Budget::default();
        for _ in 0..1000 {
            budget.began();
            budget.ended(false);
        }
        budget.began();
        assert_eq!(budget.left(&config), 3);
    }
}
