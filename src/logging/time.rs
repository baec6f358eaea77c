//! When something was logged: the wall clock, or a simulated world's.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Microseconds of a simulated wall clock; 0 while there is none.
static VIRTUAL: AtomicU64 = AtomicU64::new(0);

/// Lets log lines carry a simulated time from now on, in microseconds since 1970.
pub(crate) fn set_virtual_time(micros: u64) {
    VIRTUAL.store(micros, Ordering::Relaxed);
}

/// A point in time, for people and programs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timestamp(u64);

impl Timestamp {
    pub(super) fn now() -> Self {
        match VIRTUAL.load(Ordering::Relaxed) {
            0 => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH);
                let since = since.unwrap_or(Duration::ZERO);
                Self(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
            }
            micros => Self(micros),
        }
    }

    const fn seconds(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Writes the time of day.
    pub(super) fn clock(self) -> String {
        let of_day = self.seconds() % 86_400;
        let (hours, minutes, seconds) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        let micros = self.0 % 1_000_000;
        format!("{hours:02}:{minutes:02}:{seconds:02}.{micros:06}")
    }
}

impl fmt::Display for Timestamp {
    /// Writes it as RFC 3339 has it, in UTC.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(self.seconds() / 86_400);
        write!(f, "{year:04}-{month:02}-{day:02}T{}Z", self.clock())
    }
}

/// Returns the date of a day since 1970. Howard Hinnant's `civil_from_days`,
/// <https://howardhinnant.github.io/date_algorithms.html>.
const fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_rfc_3339() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_399, "2000-02-28T23:59:59.000000Z"),
            (951_782_400, "2000-02-29T00:00:00.000000Z"),
            (1_767_225_600, "2026-01-01T00:00:00.000000Z"),
        ] {
            assert_eq!(Timestamp(seconds * 1_000_000).to_string(), text);
        }
    }
}
