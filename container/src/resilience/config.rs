//! What can be set of breakers and what is around them.

use std::fmt;
use std::time::Duration;

use crate::Code;

/// What stands between the components of a node and those they call.
///
/// Shares are in percent; more than 100 is never reached, which turns the rule off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResilienceConfig {
    /// When a component is no longer called.
    pub breaker: BreakerConfig,
    /// When one of several instances is no longer called.
    pub ejection: EjectionConfig,
    /// When a call is tried again.
    pub retry: RetryConfig,
    /// When calls that would be rejected are not sent.
    pub throttle: ThrottleConfig,
}

/// When the breaker between a caller and a callee opens, and how it closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerConfig {
    /// How far back calls count. Default 10 s; it moves in tenths.
    pub window: Duration,
    /// Instead of that, so many of the latest calls count, however long ago they were; that, too, moves in tenths.
    /// Default 0: time counts.
    pub window_calls: u32,
    /// With fewer calls in the window no share opens it. Default 20.
    pub calls_min: u32,
    /// The codes with which a component says that something is wrong with itself, and not with what it was asked. A
    /// timeout, a lost node and a panic are failures in any case, a rejection never is.
    pub failure_codes: FailureCodes,
    /// It opens when so many percent of them failed. Default 50.
    pub failure_percent: u32,
    /// It opens when so many failed one after the other, however few there were. Default 5; 0: never.
    pub failures_in_a_row: u32,
    /// It opens when so many percent of them were slow. Default 80.
    pub slow_percent: u32,
    /// A call that takes more than so many percent of the time it had is slow. Default 50.
    pub slow_after_percent: u32,
    /// How long it stays open at most the first time; each time after that it did not close, twice as long. The
    /// second half of it is drawn, so that not all callers come back at once. Default 1 s.
    pub open_min: Duration,
    /// It is never open for longer. Default 60 s.
    pub open_max: Duration,
    /// Calls that may then try whether it works again. Default 5; at least 1.
    pub permits: u32,
    /// After so long it is judged by those that are back; while some are under way as many others may try as well.
    /// Default 10 s.
    pub half_open_max: Duration,
}

impl BreakerConfig {
    /// Makes a configuration with which no breaker opens by itself.
    #[must_use]
    pub fn never() -> Self {
        Self {
            failure_percent: 101,
            failures_in_a_row: 0,
            slow_percent: 101,
            ..Self::default()
        }
    }
}

/// A set of codes. The default are those that count as a server's errors elsewhere, too (OpenTelemetry, "Semantic
/// conventions for gRPC"), but for *unimplemented*, which is no sign of trouble here: *unknown*, *deadline exceeded*,
/// *internal*, *unavailable*, *data loss*.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureCodes(u32);

impl FailureCodes {
    /// Makes a set of these.
    #[must_use]
    pub const fn of(codes: &[Code]) -> Self {
        let (mut bits, mut place) = (0, 0);
        while place < codes.len() {
            bits |= 1 << codes[place].number();
            place += 1;
        }
        Self(bits)
    }

    /// Tells whether a code is among them.
    #[must_use]
    pub const fn contains(self, code: Code) -> bool {
        self.0 & (1 << code.number()) != 0
    }
}

impl Default for FailureCodes {
    fn default() -> Self {
        Self::of(&[
            Code::Unknown,
            Code::DeadlineExceeded,
            Code::Internal,
            Code::Unavailable,
            Code::DataLoss,
        ])
    }
}

/// Their names, in the order of their numbers, with commas between them.
impl fmt::Display for FailureCodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        for code in Code::ALL.into_iter().filter(|code| self.contains(*code)) {
            write!(f, "{comma}{}", code.as_str())?;
            comma = ",";
        }
        Ok(())
    }
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(10),
            window_calls: 0,
            calls_min: 20,
            failure_codes: FailureCodes::default(),
            failure_percent: 50,
            failures_in_a_row: 5,
            slow_percent: 80,
            slow_after_percent: 50,
            open_min: Duration::from_secs(1),
            open_max: Duration::from_secs(60),
            permits: 5,
            half_open_max: Duration::from_secs(10),
        }
    }
}

/// When calls are kept from one instance of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EjectionConfig {
    /// An instance is ejected when so many calls of it failed one after the other. Default 5; 0: never.
    pub failures_in_a_row: u32,
    /// Or when its share of calls that went well is so many points below that of all the others. Default 30.
    pub below_percent: u32,
    /// With fewer calls in the breaker's window, of it or of the others, shares are not compared. Default 20.
    pub calls_min: u32,
    /// How long the first time; each time again so much longer, and up to a quarter more is drawn. Default 30 s.
    pub period: Duration,
    /// Never longer than this and a quarter. After it has gone well for as long, it counts as the first time
    /// again. Default 300 s.
    pub period_max: Duration,
    /// Never more than so many percent of the instances at once, and never the last one. Default 50.
    pub share_max_percent: u32,
}

impl Default for EjectionConfig {
    fn default() -> Self {
        Self {
            failures_in_a_row: 5,
            below_percent: 30,
            calls_min: 20,
            period: Duration::from_secs(30),
            period_max: Duration::from_secs(300),
            share_max_percent: 50,
        }
    }
}

/// When a call of a method that may be run twice is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryConfig {
    /// How often one call is tried again at most. Default 2.
    pub attempts: u32,
    /// Of the calls under way so many percent may be tries after the first. Default 20.
    pub budget_percent: u32,
    /// So many may be in any case. Default 3.
    pub budget_min: u32,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            attempts: 2,
            budget_percent: 20,
            budget_min: 3,
        }
    }
}

/// When a caller spares a callee what it would reject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThrottleConfig {
    /// How far back calls count. Default 120 s; it moves in tenths.
    pub window: Duration,
    /// In so many tenths of the window something has to have been rejected: a burst is none of its business.
    /// Default 3; more than 10: never.
    pub tenths_min: u32,
}

impl Default for ThrottleConfig {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(120),
            tenths_min: 3,
        }
    }
}
