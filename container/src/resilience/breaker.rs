//! The breaker between a caller and a callee.
//!
//! ```text
//!              too many failed, or were slow                    its time is over
//!   Closed ──────────────────────────────────▶ Open ◀──────┐ ─────────────────────▶ HalfOpen
//!     ▲                                                     └───── too many failed ────┘ │
//!     └───────────────────────────────── enough went well ──────────────────────────────┘
//!
//!   by hand, over all of these: ForcedOpen, Disabled, MetricsOnly
//! ```
//!
//! A value without a clock: [`Breaker::admit`] before a call, [`Breaker::ended`] after it, whatever became of it.
//! It moves on when it is asked, so that no timer belongs to it.
//!
//! Half-open, a call needs a permit, and has it on loan until its deadline, or until the trial goes on because it takes
//! longer than that. One that never ends, or ends in a way that says nothing, gives it back: nothing that may happen to
//! a call leaves the breaker half-open for good. A call that takes long and whose deadline is not over has not failed;
//! it counts when it ends. An outcome counts only in the state in which its call began.

use std::fmt;
use std::time::Duration;

use monofil_transport::{Instant, Stream};

use super::BreakerConfig;
use super::window::{Span, Window};

/// What a call says of its callee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It works.
    Well { slow: bool },
    /// It does not.
    Failed { slow: bool },
    /// Nothing.
    Nothing,
}

/// Lets one call pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Permit {
    /// The state in which it was given; 0: it counts for nothing.
    era: u32,
    /// When it comes back by itself, if it is on loan.
    ends: Instant,
}

/// What somebody told a breaker to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    #[default]
    Auto,
    ForcedOpen,
    Disabled,
    MetricsOnly,
}

/// Why a breaker is as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    New,
    Failures { failures: u32, calls: u32 },
    InARow(u32),
    Slow { slow: u32, calls: u32 },
    ProbesFailed { failures: u32, calls: u32 },
    ProbesSlow { slow: u32, calls: u32 },
    ProbesWent(u32),
    TimeToTry,
    ByHand,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New => f.write_str("nothing has happened yet"),
            Self::Failures { failures, calls } => write!(f, "{failures} of {calls} calls failed"),
            Self::InARow(count) => write!(f, "{count} calls failed one after the other"),
            Self::Slow { slow, calls } => write!(f, "{slow} of {calls} calls were slow"),
            Self::ProbesFailed { failures, calls } => {
                write!(f, "{failures} of {calls} calls that tried it failed")
            }
            Self::ProbesSlow { slow, calls } => {
                write!(f, "{slow} of {calls} calls that tried it were slow")
            }
            Self::ProbesWent(calls) => write!(f, "{calls} calls that tried it went well"),
            Self::TimeToTry => f.write_str("it is time to try it again"),
            Self::ByHand => f.write_str("somebody said so"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Closed,
    Open { until: Instant },
    HalfOpen(Trial),
}

/// Calls that try whether it works again.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Trial {
    /// By then it is judged by what is back, or goes on with new permits while calls are under way.
    until: Instant,
    /// When each permit on loan comes back by itself.
    loans: Vec<Instant>,
    calls: u32,
    failures: u32,
    slow: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Breaker {
    config: BreakerConfig,
    mode: Mode,
    phase: Phase,
    since: Instant,
    reason: Reason,
    /// Grows with each change of state. Invariant: never 0, which belongs to permits that count for nothing.
    era: u32,
    failures_in_a_row: u32,
    window: Window<3>,
    /// How often it was open since it was last closed.
    opened: u32,
    /// Calls that were turned away since the beginning.
    pub(crate) rejected: u64,
    /// Its state has changed since somebody looked.
    is_news: bool,
}

/// A state without what belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Closed,
    Open,
    HalfOpen,
}

/// What is to be seen of a breaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BreakerView {
    pub(crate) mode: Mode,
    pub(crate) state: State,
    pub(crate) reason: Reason,
    pub(crate) since: Instant,
    pub(crate) calls: u32,
    pub(crate) failures: u32,
    pub(crate) slow: u32,
    pub(crate) failures_in_a_row: u32,
    pub(crate) permits_left: u32,
    pub(crate) next_probe: Duration,
}

impl Breaker {
    pub(crate) fn new(config: &BreakerConfig, now: Instant) -> Self {
        Self {
            config: *config,
            mode: Mode::Auto,
            phase: Phase::Closed,
            since: now,
            reason: Reason::New,
            era: 1,
            failures_in_a_row: 0,
            window: Window::new(Span::of(config)),
            opened: 0,
            rejected: 0,
            is_news: false,
        }
    }

    /// Returns the state and the reason for it, once after each change.
    pub(crate) const fn take_news(&mut self) -> Option<(State, Reason)> {
        if !self.is_news {
            return None;
        }
        self.is_news = false;
        Some((self.state(), self.reason))
    }

    const fn state(&self) -> State {
        match self.phase {
            Phase::Closed => State::Closed,
            Phase::Open { .. } => State::Open,
            Phase::HalfOpen(_) => State::HalfOpen,
        }
    }

    pub(crate) const fn mode(&self) -> Mode {
        self.mode
    }

    /// Lets a call pass that ends by `deadline`, or says when it is worth trying again.
    pub(crate) fn admit(
        &mut self,
        now: Instant,
        deadline: Instant,
        random: &mut Stream,
    ) -> Result<Permit, Duration> {
        if self.mode == Mode::Auto && self.phase == Phase::Closed {
            return Ok(Permit {
                era: self.era,
                ends: deadline,
            });
        }
        let uncounted = Permit {
            era: 0,
            ends: deadline,
        };
        match self.mode {
            Mode::Disabled => Ok(uncounted),
            Mode::ForcedOpen => {
                self.rejected += 1;
                Err(self.config.open_max)
            }
            Mode::MetricsOnly => Ok(self.try_pass(now, deadline, random).unwrap_or(uncounted)),
            Mode::Auto => {
                let passed = self.try_pass(now, deadline, random);
                self.rejected += u64::from(passed.is_err());
                passed
            }
        }
    }

    /// Whoever is called has begun anew, or can be reached again: it may be tried as soon as somebody wants to.
    pub(crate) fn try_soon(&mut self, now: Instant) {
        if let Phase::Open { until } = &mut self.phase {
            *until = now.min(*until);
        }
    }

    fn try_pass(
        &mut self,
        now: Instant,
        deadline: Instant,
        random: &mut Stream,
    ) -> Result<Permit, Duration> {
        self.advance(now, random);
        let permits = self.config.permits.max(1);
        match &mut self.phase {
            Phase::Closed => {}
            Phase::Open { until } => return Err(now.until(*until)),
            Phase::HalfOpen(trial) => {
                if trial.left(permits) == 0 {
                    return Err(trial.next_permit(now));
                }
                trial.loans.push(deadline);
            }
        }
        Ok(Permit {
            era: self.era,
            ends: deadline,
        })
    }

    /// Lets time have its effect: an open breaker is tried again, permits come back, a trial ends.
    pub(crate) fn advance(&mut self, now: Instant, random: &mut Stream) {
        self.window.advance(now);
        let trial_ends = now + self.config.half_open_max;
        match &mut self.phase {
            Phase::Open { until } if *until <= now => {
                let trial = Trial::until(trial_ends);
                self.enter(now, Phase::HalfOpen(trial), Reason::TimeToTry);
            }
            Phase::HalfOpen(trial) => {
                trial.loans.retain(|ends| *ends > now);
                if trial.until > now {
                    return;
                }
                if trial.loans.is_empty() && trial.calls > 0 {
                    self.judge(now, random);
                } else {
                    // Nobody called, or those that are under way have time left: they say nothing yet, and must not
                    // keep others from trying.
                    trial.until = trial_ends;
                    trial.loans.clear();
                }
            }
            Phase::Closed | Phase::Open { .. } => {}
        }
    }

    /// A call that had passed is over, in whatever way. `random` says how long it stays open if it opens.
    pub(crate) fn ended(
        &mut self,
        now: Instant,
        permit: Permit,
        verdict: Verdict,
        random: &mut Stream,
    ) {
        if permit.era != self.era {
            return;
        }
        let (failed, slow) = match verdict {
            Verdict::Well { slow } => (false, slow),
            Verdict::Failed { slow } => (true, slow),
            Verdict::Nothing => {
                if let Phase::HalfOpen(trial) = &mut self.phase {
                    trial.give_back(permit);
                }
                return;
            }
        };
        match &mut self.phase {
            Phase::Closed => {
                self.window.add(now, [true, failed, slow]);
                self.failures_in_a_row = if failed {
                    self.failures_in_a_row.saturating_add(1)
                } else {
                    0
                };
                if (failed || slow)
                    && let Some(reason) = self.trips()
                {
                    self.open(now, reason, random);
                }
            }
            Phase::HalfOpen(trial) => {
                trial.give_back(permit);
                trial.calls += 1;
                trial.failures += u32::from(failed);
                trial.slow += u32::from(slow);
                let enough = self.config.permits.min(self.config.calls_min).max(1);
                if trial.calls >= enough {
                    self.judge(now, random);
                }
            }
            Phase::Open { .. } => {}
        }
    }

    /// Tells whether a new one in its place would do the same, or nobody has called for long (`is_old`) and nobody
    /// gave an order.
    pub(crate) fn may_be_forgotten(&self, now: Instant, is_old: bool) -> bool {
        let mut window = self.window.clone();
        window.advance(now);
        let [_, failures, slow] = window.total();
        let is_calm = self.phase == Phase::Closed && failures == 0 && slow == 0;
        self.mode == Mode::Auto && (is_calm || is_old)
    }

    /// Forgets what an instance did that is not called any more.
    pub(crate) fn forget(&mut self, now: Instant, part: &mut Window<3>) {
        self.window.subtract(now, part);
        // Whose these were is not known, and the others may well work.
        self.failures_in_a_row = 0;
    }

    /// Does what somebody says, and begins anew with it.
    pub(crate) fn set_mode(&mut self, now: Instant, mode: Mode) {
        self.enter(now, Phase::Closed, Reason::ByHand);
        self.mode = mode;
        self.opened = 0;
    }

    /// Returns how it is now.
    pub(crate) fn view(&mut self, now: Instant, random: &mut Stream) -> BreakerView {
        self.advance(now, random);
        let [calls, failures, slow] = self.window.total();
        let (permits_left, next_probe) = match &self.phase {
            Phase::HalfOpen(trial) => (trial.left(self.config.permits.max(1)), Duration::ZERO),
            Phase::Open { until } => (0, now.until(*until)),
            Phase::Closed => (0, Duration::ZERO),
        };
        BreakerView {
            mode: self.mode,
            state: self.state(),
            reason: self.reason,
            since: self.since,
            calls,
            failures,
            slow,
            failures_in_a_row: self.failures_in_a_row,
            permits_left,
            next_probe,
        }
    }

    fn trips(&self) -> Option<Reason> {
        let config = &self.config;
        let in_a_row = self.failures_in_a_row;
        if config.failures_in_a_row > 0 && in_a_row >= config.failures_in_a_row {
            return Some(Reason::InARow(in_a_row));
        }
        let [calls, failures, slow] = self.window.total();
        let enough = Span::of(config).least().unwrap_or(u32::MAX);
        if calls < config.calls_min.min(enough).max(1) {
            None
        } else if reaches(failures, calls, config.failure_percent) {
            Some(Reason::Failures { failures, calls })
        } else if reaches(slow, calls, config.slow_percent) {
            Some(Reason::Slow { slow, calls })
        } else {
            None
        }
    }

    /// Ends a trial by what is known.
    fn judge(&mut self, now: Instant, random: &mut Stream) {
        let Phase::HalfOpen(trial) = &self.phase else {
            return;
        };
        let (calls, failures, slow) = (trial.calls, trial.failures, trial.slow);
        if reaches(failures, calls, self.config.failure_percent) {
            self.open(now, Reason::ProbesFailed { failures, calls }, random);
        } else if reaches(slow, calls, self.config.slow_percent) {
            self.open(now, Reason::ProbesSlow { slow, calls }, random);
        } else {
            self.opened = 0;
            self.enter(now, Phase::Closed, Reason::ProbesWent(calls));
        }
    }

    /// Equal jitter: half of the time is fixed.
    fn open(&mut self, now: Instant, reason: Reason, random: &mut Stream) {
        let longest = self
            .config
            .open_min
            .saturating_mul(1 << self.opened.min(20));
        let half = longest.min(self.config.open_max) / 2;
        let until = now + half + random.between(Duration::ZERO, half);
        self.opened += 1;
        self.enter(now, Phase::Open { until }, reason);
    }

    fn enter(&mut self, now: Instant, phase: Phase, reason: Reason) {
        self.phase = phase;
        self.is_news = true;
        self.since = now;
        self.reason = reason;
        self.era = self.era.wrapping_add(1).max(1);
        self.failures_in_a_row = 0;
        self.window.clear();
    }
}

impl Trial {
    const fn until(until: Instant) -> Self {
        Self {
            until,
            loans: Vec::new(),
            calls: 0,
            failures: 0,
            slow: 0,
        }
    }

    /// Returns how many more may pass now.
    fn left(&self, permits: u32) -> u32 {
        let lent = u32::try_from(self.loans.len()).unwrap_or(u32::MAX);
        permits.saturating_sub(lent).saturating_sub(self.calls)
    }

    /// Says when a permit may be there again, or the trial is over.
    fn next_permit(&self, now: Instant) -> Duration {
        let first = self.loans.iter().copied().min().unwrap_or(self.until);
        now.until(first.min(self.until))
    }

    fn give_back(&mut self, permit: Permit) {
        if let Some(place) = self.loans.iter().position(|ends| *ends == permit.ends) {
            self.loans.swap_remove(place);
        }
    }
}

/// Tells whether a part is so many percent of the whole.
fn reaches(part: u32, whole: u32, percent: u32) -> bool {
    u64::from(part) * 100 >= u64::from(whole) * u64::from(percent)
}

#[cfg(test)]
mod tests;
