//! All that stands between the components of one name here and one that they call.

use std::time::Duration;

use monofil_transport::{Instant, Stream};

use super::ResilienceConfig;
use super::breaker::{Breaker, BreakerView, Mode, Permit, Reason, State, Verdict};
use super::budget::Budget;
use super::ejection::{CandidateId, Cause, Effect, Ejected, Ejection};
use super::throttle::Throttle;
use crate::{CallError, Name};

/// What a call brings back when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    permit: Permit,
    /// From then on it is slow.
    slow_at: Instant,
    /// The instance it went to, if that is one of several.
    candidate: Option<(CandidateId, u32)>,
    /// It is not the first try.
    retrying: bool,
}

/// Why a call is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// By the breaker, for so long.
    Open(Duration),
    /// By the throttle, which lets through so many of a million.
    Throttled { after: Duration, passes_ppm: u32 },
}

/// What an end means to a guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Said(Verdict),
    /// Its node is gone, and with it all that was under way there.
    Lost(Verdict),
    /// There was no room where it should have gone.
    Rejected,
}

#[derive(Clone, Debug)]
pub(crate) struct Guard {
    config: ResilienceConfig,
    breaker: Breaker,
    ejection: Ejection,
    budget: Budget,
    throttle: Throttle,
    /// Calls that were tried again, each time.
    retries: u64,
    /// When calls were lost last.
    lost_at: Option<Instant>,
}

/// What is to be seen of a guard.
#[derive(Clone, Debug)]
pub(crate) struct GuardView {
    pub(crate) breaker: BreakerView,
    pub(crate) rejected: u64,
    pub(crate) throttled: u64,
    pub(crate) throttle_ppm: u32,
    /// What it would be without an order.
    pub(crate) would_throttle_ppm: u32,
    pub(crate) retries_left: u32,
    pub(crate) retries: u64,
    pub(crate) ejected: Vec<Ejected>,
}

impl Guard {
    pub(crate) fn new(config: &ResilienceConfig, now: Instant) -> Self {
        Self {
            config: *config,
            breaker: Breaker::new(&config.breaker, now),
            ejection: Ejection::new(&config.ejection, &config.breaker),
            budget: Budget::default(),
            throttle: Throttle::new(&config.throttle),
            retries: 0,
            lost_at: None,
        }
    }

    /// Lets a call begin, or says why not.
    pub(crate) fn admit(
        &mut self,
        now: Instant,
        deadline: Instant,
        random: &mut Stream,
    ) -> Result<Ticket, Refusal> {
        let permit = self.pass(now, deadline, random)?;
        self.budget.began();
        let time = deadline.as_nanos().saturating_sub(now.as_nanos());
        let percent = u64::from(self.config.breaker.slow_after_percent);
        let slow_after = time / 100 * percent;
        Ok(Ticket {
            permit,
            slow_at: Instant::from_nanos(now.as_nanos().saturating_add(slow_after)),
            candidate: None,
            retrying: false,
        })
    }

    /// Whoever is called has begun anew.
    pub(crate) fn try_soon(&mut self, now: Instant) {
        self.breaker.try_soon(now);
        self.throttle.clear();
    }

    fn pass(
        &mut self,
        now: Instant,
        deadline: Instant,
        random: &mut Stream,
    ) -> Result<Permit, Refusal> {
        let permit = self.breaker.admit(now, deadline, random);
        let permit = permit.map_err(Refusal::Open)?;
        let throttled = match self.breaker.mode() {
            Mode::Auto | Mode::ForcedOpen => self.throttle.admit(now, random),
            Mode::MetricsOnly => {
                self.throttle.observe(now);
                Ok(())
            }
            Mode::Disabled => Ok(()),
        };
        if let Err(after) = throttled {
            self.breaker.ended(now, permit, Verdict::Nothing, random);
            let passes_ppm = 1_000_000 - self.throttle.probability().as_ppm();
            return Err(Refusal::Throttled { after, passes_ppm });
        }
        Ok(permit)
    }

    /// Notes to which of several instances a call goes.
    pub(crate) fn goes_to(&mut self, now: Instant, ticket: &mut Ticket, id: CandidateId) {
        ticket.candidate = Some((id, self.ejection.era(now, id)));
    }

    /// One try of a call has ended. Returns why the instance it went to should be out, if it should:
    /// [`Guard::eject`] is to be asked then.
    pub(crate) fn tried(
        &mut self,
        now: Instant,
        ticket: &Ticket,
        end: End,
        random: &mut Stream,
    ) -> Option<(CandidateId, Cause)> {
        let mut verdict = match end {
            End::Said(verdict) => verdict,
            // Calls that are lost together have one cause: a node that was killed under load, and is there again by
            // then, has failed once.
            End::Lost(_) if self.lost_at == Some(now) => Verdict::Nothing,
            End::Lost(verdict) => {
                self.lost_at = Some(now);
                verdict
            }
            End::Rejected => {
                if self.breaker.mode() != Mode::Disabled {
                    self.throttle.rejected(now);
                }
                Verdict::Nothing
            }
        };
        if let Some((id, era)) = ticket.candidate {
            match self.ejection.ended(now, id, era, verdict) {
                Effect::Counts => {}
                Effect::DoesNotCount => verdict = Verdict::Nothing,
                Effect::Eject(cause) => return Some((id, cause)),
            }
        }
        self.breaker.ended(now, ticket.permit, verdict, random);
        None
    }

    /// A call is over, with its last try.
    pub(crate) const fn over(&mut self, ticket: &Ticket) {
        self.budget.ended(ticket.retrying);
    }

    /// Takes an instance out whose call has just failed, if that leaves enough of those that are there. What it did
    /// is nothing that the breaker counts, then. Tells whether it is out.
    pub(crate) fn eject(
        &mut self,
        now: Instant,
        ticket: &Ticket,
        (id, cause): (CandidateId, Cause),
        there: &[CandidateId],
        random: &mut Stream,
    ) -> bool {
        let ejected = self.ejection.eject(now, id, cause, there, random);
        let slow = now >= ticket.slow_at;
        let verdict = match ejected {
            Some(mut part) => {
                self.breaker.forget(now, &mut part);
                Verdict::Nothing
            }
            None => {
                self.ejection.keep(now, id, slow);
                Verdict::Failed { slow }
            }
        };
        self.breaker.ended(now, ticket.permit, verdict, random);
        verdict == Verdict::Nothing
    }

    /// Lets a call be tried again whose last try has ended, if it need not pay for that, or the budget has something
    /// left. It has to pass once more: throttle and breaker are inside.
    pub(crate) fn try_again(
        &mut self,
        now: Instant,
        deadline: Instant,
        ticket: &mut Ticket,
        pays: bool,
        random: &mut Stream,
    ) -> bool {
        if pays && !ticket.retrying && !self.budget.spend(&self.config.retry) {
            return false;
        }
        ticket.retrying |= pays;
        let Ok(permit) = self.pass(now, deadline, random) else {
            return false;
        };
        ticket.permit = permit;
        ticket.candidate = None;
        self.retries += 1;
        true
    }

    /// Says why a call would not pass now, if it would not; nothing changes by that.
    pub(crate) fn refuses(&mut self, now: Instant, random: &mut Stream) -> Option<String> {
        let view = self.breaker.view(now, random);
        match (view.mode, view.state) {
            (Mode::ForcedOpen, _) => {
                Some("it ends with OPEN: the breaker was opened by hand".to_owned())
            }
            (Mode::Auto, State::Open) => Some(format!(
                "it ends with OPEN: {}; it is tried again in {} ms",
                view.reason,
                view.next_probe.as_millis()
            )),
            (Mode::Auto, State::HalfOpen) if view.permits_left == 0 => {
                Some("it ends with OPEN: others try just now whether it works again".to_owned())
            }
            _ => None,
        }
    }

    /// Tells whether nothing would be lost with it: no call is under way, nobody gave an order, and nothing of what has
    /// happened keeps a call from being sent. `is_old`: nobody has called for long.
    pub(crate) fn may_be_forgotten(&self, now: Instant, is_old: bool) -> bool {
        self.budget.is_idle()
            && self.breaker.may_be_forgotten(now, is_old)
            && self.ejection.all_out(now).next().is_none()
            && (is_old || self.throttle.probability().as_ppm() == 0)
    }

    /// Returns how many of a million calls are not sent now.
    pub(crate) fn throttle_ppm(&mut self, now: Instant) -> u32 {
        match self.breaker.mode() {
            Mode::Auto | Mode::ForcedOpen => self.would_throttle_ppm(now),
            Mode::Disabled | Mode::MetricsOnly => 0,
        }
    }

    /// The same, whatever somebody ordered.
    fn would_throttle_ppm(&mut self, now: Instant) -> u32 {
        self.throttle.advance(now);
        self.throttle.probability().as_ppm()
    }

    /// Returns the breaker's state and the reason for it, once after each change.
    pub(crate) const fn take_news(&mut self) -> Option<(State, Reason)> {
        self.breaker.take_news()
    }

    pub(crate) fn is_out(&self, now: Instant, id: CandidateId) -> Option<Ejected> {
        self.ejection.is_out(now, id)
    }

    /// Does what somebody says.
    pub(crate) fn set_mode(&mut self, now: Instant, mode: Mode) {
        self.breaker.set_mode(now, mode);
        if mode == Mode::Auto {
            self.ejection.clear();
            self.throttle.clear();
        }
    }

    pub(crate) fn view(&mut self, now: Instant, random: &mut Stream) -> GuardView {
        let throttle_ppm = self.throttle_ppm(now);
        let would_throttle_ppm = self.would_throttle_ppm(now);
        GuardView {
            breaker: self.breaker.view(now, random),
            rejected: self.breaker.rejected,
            throttled: self.throttle.refused,
            throttle_ppm,
            would_throttle_ppm,
            retries_left: self.budget.left(&self.config.retry),
            retries: self.retries,
            ejected: self.ejection.all_out(now).collect(),
        }
    }

    /// Says what the end of a call means.
    pub(crate) fn end(&self, now: Instant, ticket: &Ticket, error: Option<&CallError>) -> End {
        let slow = now >= ticket.slow_at;
        let failed = match error {
            None => false,
            Some(CallError::Rejected(it)) if is_of_callee(&it.limit) => return End::Rejected,
            Some(CallError::PeerLost(_)) => return End::Lost(Verdict::Failed { slow }),
            Some(CallError::Remote(status)) => {
                self.config.breaker.failure_codes.contains(status.code())
            }
            Some(CallError::Timeout(_) | CallError::Panicked(_) | CallError::Incomplete(_)) => true,
            // It was not run, or nobody cares any more: that says nothing of whoever would have.
            Some(_) => return End::Said(Verdict::Nothing),
        };
        End::Said(if failed {
            Verdict::Failed { slow }
        } else {
            Verdict::Well { slow }
        })
    }
}

/// Tells whether a limit that rejected a call is one of whom it was for, so that others would be rejected as well: of
/// the instance, of all instances, or of what its node admits. Those of the caller's own links and tables are not, and
/// those of a flow say nothing of other flows.
pub(crate) fn is_of_callee(limit: &Name) -> bool {
    match limit.as_str().split_once('.') {
        Some(("instance" | "network", _)) => true,
        // How many nodes the caller's may have links to.
        Some(("node", what)) => what != "peers",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resilience::{BreakerConfig, FailureCodes};
    use crate::{Code, Rejection, Status};

    /// What an end says: that the component works, that it does not, that its node is gone, that there was no room, or
    /// nothing.
    fn said(guard: &Guard, error: Option<&CallError>) -> &'static str {
        let ticket = Ticket {
            permit: Breaker::new(&BreakerConfig::default(), Instant::ZERO)
                .admit(
                    Instant::ZERO,
                    Instant::from_nanos(1),
                    &mut Stream::new(1, "guard"),
                )
                .expect("it is closed"),
            slow_at: Instant::from_nanos(1),
            candidate: None,
            retrying: false,
        };
        match guard.end(Instant::ZERO, &ticket, error) {
            End::Said(Verdict::Well { .. }) => "well",
            End::Said(Verdict::Failed { .. }) => "failed",
            End::Said(Verdict::Nothing) => "nothing",
            End::Lost(_) => "lost",
            End::Rejected => "rejected",
        }
    }

    #[test]
    fn what_is_a_failure_is_as_configured() {
        let usual = Guard::new(&ResilienceConfig::default(), Instant::ZERO);
        let strict = FailureCodes::of(&[Code::NotFound, Code::Internal]);
        let breaker = BreakerConfig {
            failure_codes: strict,
            ..BreakerConfig::default()
        };
        let config = ResilienceConfig {
            breaker,
            ..ResilienceConfig::default()
        };
        let other = Guard::new(&config, Instant::ZERO);
        for code in Code::ALL {
            let error = CallError::Remote(Status::new(code, ""));
            let default = matches!(
                code,
                Code::Unknown
                    | Code::DeadlineExceeded
                    | Code::Internal
                    | Code::Unavailable
                    | Code::DataLoss
            );
            let expected = |failed| if failed { "failed" } else { "well" };
            assert_eq!(said(&usual, Some(&error)), expected(default), "{code}");
            let strict = matches!(code, Code::NotFound | Code::Internal);
            assert_eq!(said(&other, Some(&error)), expected(strict), "{code}");
        }
        let rejected = CallError::Rejected(Box::new(Rejection {
            limit: "instance.in_flight".into(),
            value: 1,
            observed: 1,
            place: "c".into(),
            retry_after: None,
        }));
        // Whatever codes are configured.
        for (error, expected) in [
            (None, "well"),
            (Some(CallError::PeerLost("it died".into())), "lost"),
            (Some(CallError::Panicked("it panicked".into())), "failed"),
            (Some(rejected), "rejected"),
        ] {
            assert_eq!(said(&usual, error.as_ref()), expected, "{error:?}");
            assert_eq!(said(&other, error.as_ref()), expected, "{error:?}");
        }
    }

    #[test]
    fn only_limits_of_the_callee_throttle() {
        let guard = Guard::new(&ResilienceConfig::default(), Instant::ZERO);
        for (limit, expected) in [
            ("instance.queue_messages", "rejected"),
            ("instance.restarts", "rejected"),
            ("network.in_flight", "rejected"),
            ("node.in_flight", "rejected"),
            ("node.rate_bytes", "rejected"),
            ("flow.in_flight", "nothing"),
            ("flow.rate_messages", "nothing"),
            ("link.records", "nothing"),
            ("link.bytes", "nothing"),
            ("node.peers", "nothing"),
            ("call.depth", "nothing"),
            ("caller.throttle_ppm", "nothing"),
        ] {
            let place = "somewhere".into();
            let error = CallError::rejected(limit, (1, 1), &place, None);
            assert_eq!(said(&guard, Some(&error)), expected, "{limit}");
        }
    }

    #[test]
    fn who_has_begun_anew_is_not_throttled() {
        let at = |seconds: u64| Instant::from_nanos(seconds * 1_000_000_000);
        let mut guard = Guard::new(&ResilienceConfig::default(), at(0));
        let mut random = Stream::new(1, "guard");
        for call in 0..600 {
            let now = at(call / 5);
            if let Ok(ticket) = guard.admit(now, at(1000), &mut random) {
                guard.tried(now, &ticket, End::Rejected, &mut random);
            }
        }
        assert!(guard.view(at(120), &mut random).throttle_ppm > 0);
        guard.try_soon(at(120));
        assert_eq!(guard.view(at(120), &mut random).throttle_ppm, 0);
    }

    #[test]
    fn an_order_to_let_calls_pass_is_obeyed_by_the_throttle_too() {
        let at = |seconds: u64| Instant::from_nanos(seconds * 1_000_000_000);
        // How many of the last calls of an overload pass, and how many of a million would not.
        for (mode, all_pass, would) in [
            (Mode::Auto, false, true),
            (Mode::MetricsOnly, true, true),
            (Mode::Disabled, true, false),
        ] {
            let mut guard = Guard::new(&ResilienceConfig::default(), at(0));
            let mut random = Stream::new(1, "guard");
            guard.set_mode(at(0), mode);
            let mut passed = 0;
            for call in 0..600 {
                let now = at(call / 5);
                if let Ok(ticket) = guard.admit(now, at(1000), &mut random) {
                    guard.tried(now, &ticket, End::Rejected, &mut random);
                    guard.over(&ticket);
                    passed += 1;
                }
            }
            let view = guard.view(at(120), &mut random);
            assert_eq!(passed == 600, all_pass, "{mode:?}: {passed}");
            assert_eq!(view.would_throttle_ppm > 0, would, "{mode:?}");
            assert_eq!(view.throttle_ppm > 0, !all_pass, "{mode:?}");
        }
    }

    #[test]
    fn calls_that_are_lost_together_are_one_failure() {
        let at = |millis: u64| Instant::from_nanos(millis * 1_000_000);
        let mut guard = Guard::new(&ResilienceConfig::default(), at(0));
        let mut random = Stream::new(1, "guard");
        let lost = CallError::PeerLost("it was killed".into());
        let mut lose = |guard: &mut Guard, millis: u64| {
            let tickets: Vec<_> = (0..50)
                .map(|_| guard.admit(at(millis), at(millis + 5000), &mut random))
                .collect();
            for ticket in tickets {
                let ticket = ticket.expect("it is closed");
                let end = guard.end(at(millis), &ticket, Some(&lost));
                assert_eq!(guard.tried(at(millis), &ticket, end, &mut random), None);
                guard.over(&ticket);
            }
            guard.breaker.view(at(millis), &mut random).state
        };
        // A node that is killed again and again is left alone nevertheless.
        for kill in 1..5 {
            assert_eq!(lose(&mut guard, kill), State::Closed);
        }
        assert_eq!(lose(&mut guard, 5), State::Open);
    }
}
