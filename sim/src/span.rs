//! Times and chances as people write them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use monofil_transport::{Probability, Stream};
use serde::{Deserialize, Serialize};

/// A duration that is written as `250ms`: a whole number and `ns`, `us`, `ms`, `s`, `min` (or `m`) or `h`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct Span(pub Duration);

/// A span between two, both included, that is written as `1ms..20ms`; one span stands for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SpanRange {
    /// The shortest.
    pub min: Span,
    /// The longest.
    pub max: Span,
}

/// A probability that is written as `2.5%`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Chance(pub Probability);

/// Why a text is no [`Span`], [`SpanRange`] or [`Chance`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {expected}")]
pub struct SpanError {
    text: String,
    expected: &'static str,
}

/// By length; of two names of one unit the first is the one that is written.
const UNITS: [(&str, u64); 7] = [
    ("h", 3_600_000_000_000),
    ("min", 60_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

impl Span {
    /// Makes a span of milliseconds.
    #[must_use]
    pub const fn millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// Makes a span of seconds.
    #[must_use]
    pub const fn secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    pub(crate) fn nanos(self) -> u64 {
        u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX)
    }

    pub(crate) const fn is_zero(self) -> bool {
        self.0.is_zero()
    }

    pub(crate) const fn of_nanos(nanos: u64) -> Self {
        Self(Duration::from_nanos(nanos))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.nanos();
        let unit = UNITS
            .iter()
            .find(|(_, unit)| nanos >= *unit && nanos.is_multiple_of(*unit));
        match unit {
            Some((name, unit)) => write!(f, "{}{name}", nanos / unit),
            None => f.write_str("0s"),
        }
    }
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let wrong = || SpanError {
            text: text.to_owned(),
            expected: "duration: write 250ms, with ns, us, ms, s, min (or m) or h",
        };
        let digits = text.find(|c: char| !c.is_ascii_digit());
        let (number, unit) = text.split_at(digits.ok_or_else(wrong)?);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let unit = UNITS.iter().find(|(name, _)| *name == unit);
        let nanos = number.checked_mul(unit.ok_or_else(wrong)?.1);
        Ok(Self::of_nanos(nanos.ok_or_else(wrong)?))
    }
}

impl From<Duration> for Span {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl SpanRange {
    /// Makes a range of milliseconds.
    #[must_use]
    pub const fn millis(min: u64, max: u64) -> Self {
        Self {
            min: Span::millis(min),
            max: Span::millis(max),
        }
    }

    pub(crate) fn draw(self, stream: &mut Stream) -> Span {
        Span(stream.between(self.min.0, self.max.0))
    }
}

impl fmt::Display for SpanRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.min == self.max {
            true => self.min.fmt(f),
            false => write!(f, "{}..{}", self.min, self.max),
        }
    }
}

impl FromStr for SpanRange {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let (min, max) = text.split_once("..").unwrap_or((text, text));
        let range = Self {
            min: min.parse()?,
            max: max.parse()?,
        };
        match range.min <= range.max {
            true => Ok(range),
            false => Err(SpanError {
                text: text.to_owned(),
                expected: "range: it begins later than it ends",
            }),
        }
    }
}

impl Chance {
    /// Makes a chance of percents.
    #[must_use]
    pub const fn percent(percents: u32) -> Self {
        Self(Probability::percent(percents))
    }

    /// Makes a chance of parts per million.
    #[must_use]
    pub const fn ppm(parts: u32) -> Self {
        Self(Probability::ppm(parts))
    }
}

impl fmt::Display for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.0.as_ppm();
        let fraction = format!("{:04}", parts % 10_000);
        let fraction = fraction.trim_end_matches('0');
        match fraction {
            "" => write!(f, "{}%", parts / 10_000),
            fraction => write!(f, "{}.{fraction}%", parts / 10_000),
        }
    }
}

impl FromStr for Chance {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let parts = || {
            let (whole, fraction) = match text.strip_suffix('%')?.split_once('.') {
                Some((whole, fraction)) if (1..=4).contains(&fraction.len()) => (whole, fraction),
                Some(_) => return None,
                None => (text.strip_suffix('%')?, "0"),
            };
            if !(whole.to_owned() + fraction)
                .bytes()
                .all(|c| c.is_ascii_digit())
            {
                return None;
            }
            let parts = whole.parse::<u32>().ok()?.checked_mul(10_000)?
                + format!("{fraction:0<4}").parse::<u32>().ok()?;
            (parts <= 1_000_000).then_some(parts)
        };
        parts().map(Self::ppm).ok_or_else(|| SpanError {
            text: text.to_owned(),
            expected: "chance: write 2.5%, from 0% to 100%",
        })
    }
}

macro_rules! as_text {
    ($type:ty) => {
        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }

        impl TryFrom<String> for $type {
            type Error = SpanError;

            fn try_from(text: String) -> Result<Self, SpanError> {
                text.parse()
            }
        }
    };
}

as_text!(Span);
as_text!(SpanRange);
as_text!(Chance);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for text in ["0s", "1ns", "250ms", "90s", "2min", "1h", "1500us"] {
            let span: Span = text.parse().expect("it can be read");
            assert_eq!(span.to_string().parse(), Ok(span), "{text}");
        }
        assert_eq!(
            "5m".parse::<Span>().map(|it| it.to_string()),
            Ok("5min".to_owned())
        );
        for text in ["1ms..20ms", "5s"] {
            let range: SpanRange = text.parse().expect("it can be read");
            assert_eq!(range.to_string(), text);
        }
        for text in ["0%", "2.5%", "100%", "0.0001%", "33.3333%"] {
            let chance: Chance = text.parse().expect("it can be read");
            assert_eq!(chance.to_string(), text);
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in ["", "5", "ms", "5 ms", "-5ms", "99999999999h", "1d"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
        assert!("2s..1s".parse::<SpanRange>().is_err());
        for text in [
            "", "5", "101%", "100.1%", "1.00001%", "-1%", "%", "+1%", "1.+1%",
        ] {
            assert!(text.parse::<Chance>().is_err(), "{text}");
        }
    }
}
