//! What whoever runs a test may say from outside.

use std::env;
use std::ops::RangeInclusive;

/// Returns a number from the environment.
///
/// # Panics
///
/// It is something else.
#[must_use]
pub fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{name} is a number, not `{text}`")))
}

/// Returns the seeds to run: the one that `SEED` says, or as many as `SEEDS` says, or else as many as usual.
///
/// # Panics
///
/// One of them is no number.
#[must_use]
pub fn seeds(usually: u64) -> RangeInclusive<u64> {
    match (number("SEED"), number("SEEDS")) {
        (Some(seed), _) => seed..=seed,
        (None, count) => 1..=count.unwrap_or(usually),
    }
}
