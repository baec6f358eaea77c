//! What the control plane says of guards, and does to them.

use monofil_proto::control::{
    BreakerDescription, BreakerOrder, BreakerReport, BreakerState, Breakers, EjectedInstance,
};
use monofil_transport::Instant;

use super::breaker::State;
use super::ejection::Ejected;
use super::{CandidateId, GuardKey, GuardView, Mode, Resilience};
use crate::error::micros;
use crate::{Name, NodeId};

/// Guards that are described at once.
const DESCRIBED_MAX: usize = 1024;

/// What an instance that is out is called.
pub(crate) struct Named {
    pub(crate) node: Option<NodeId>,
    pub(crate) name: Name,
    pub(crate) instance: u32,
}

impl Resilience {
    /// Does what is asked, and says how things are then. `callers` are the components of this container by their
    /// places.
    pub(crate) fn answer(
        &mut self,
        now: Instant,
        asked: &Breakers,
        callers: &[Name],
        called: impl Fn(CandidateId) -> Named,
    ) -> BreakerReport {
        let mode = match asked.order() {
            BreakerOrder::Unspecified => None,
            BreakerOrder::ForceOpen => Some(Mode::ForcedOpen),
            BreakerOrder::Disable => Some(Mode::Disabled),
            BreakerOrder::MetricsOnly => Some(Mode::MetricsOnly),
            BreakerOrder::Reset => Some(Mode::Auto),
        };
        if mode.is_some() {
            self.prepare(now, asked, callers);
        }
        let mut report = BreakerReport::default();
        for (caller, callee, key) in self.selected(asked, callers) {
            let Some((guard, random)) = self.guard(key) else {
                continue;
            };
            if let Some(mode) = mode {
                guard.set_mode(now, mode);
            }
            if report.breakers.len() == DESCRIBED_MAX {
                report.left_out += 1;
                continue;
            }
            let view = guard.view(now, random);
            report
                .breakers
                .push(describe(now, caller, callee, &view, &called));
        }
        report
    }

    /// An order to a pair that has not met yet is remembered like any other.
    fn prepare(&mut self, now: Instant, asked: &Breakers, callers: &[Name]) {
        if asked.callee.is_empty() {
            return;
        }
        let Some(callee) = self.key(now, &asked.callee.as_str().into()) else {
            return;
        };
        for caller in places(asked, callers) {
            self.guard_or_new(now, GuardKey { callee, caller });
        }
    }

    /// Returns the guards that are asked for, in the order of their names.
    fn selected(&self, asked: &Breakers, callers: &[Name]) -> Vec<(Name, Name, GuardKey)> {
        let mut selected = Vec::new();
        for (number, callee) in self.callees.iter() {
            if !asked.callee.is_empty() && *asked.callee != *callee.name.as_str() {
                continue;
            }
            for caller in places(asked, callers) {
                let name = caller
                    .checked_sub(1)
                    .map_or_else(Name::empty, |place| callers[place].clone());
                let key = GuardKey {
                    callee: number,
                    caller,
                };
                if callee.guards.get(caller).is_some_and(Option::is_some) {
                    selected.push((name, callee.name.clone(), key));
                }
            }
        }
        selected.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        selected
    }
}

/// Returns the callers that are asked for: programs that are no components, and components.
fn places(asked: &Breakers, callers: &[Name]) -> impl Iterator<Item = usize> {
    let is_asked = |place: &usize| {
        let name = place.checked_sub(1).map_or("", |it| callers[it].as_str());
        asked.caller.is_empty() || *asked.caller == *name
    };
    let asked: Vec<_> = (0..=callers.len()).filter(is_asked).collect();
    asked.into_iter()
}

fn describe(
    now: Instant,
    caller: Name,
    callee: Name,
    view: &GuardView,
    called: impl Fn(CandidateId) -> Named,
) -> BreakerDescription {
    let breaker = &view.breaker;
    let state = match (breaker.mode, breaker.state) {
        (Mode::ForcedOpen, _) => BreakerState::ForcedOpen,
        (Mode::Disabled, _) => BreakerState::Disabled,
        (Mode::MetricsOnly, _) => BreakerState::MetricsOnly,
        (Mode::Auto, State::Closed) => BreakerState::Closed,
        (Mode::Auto, State::Open) => BreakerState::Open,
        (Mode::Auto, State::HalfOpen) => BreakerState::HalfOpen,
    };
    let mut would = match (breaker.mode, breaker.state) {
        (Mode::MetricsOnly, State::Open) => "; it would be open".to_owned(),
        (Mode::MetricsOnly, State::HalfOpen) => "; it would be half open".to_owned(),
        _ => String::new(),
    };
    if breaker.mode == Mode::MetricsOnly && view.would_throttle_ppm > 0 {
        let percent = view.would_throttle_ppm.div_ceil(10_000);
        would.push_str(&format!("; of 100 calls {percent} would not be sent"));
    }
    let ejected = view.ejected.iter().map(|it| ejected(now, it, &called));
    BreakerDescription {
        caller: caller.as_str().to_owned(),
        callee: callee.as_str().to_owned(),
        state: state.into(),
        reason: format!("{}{would}", breaker.reason),
        since_micros: micros(now.since(breaker.since)),
        calls: breaker.calls.into(),
        failures: breaker.failures.into(),
        slow: breaker.slow.into(),
        failures_in_a_row: breaker.failures_in_a_row.into(),
        rejected: view.rejected,
        throttled: view.throttled,
        permits_left: breaker.permits_left,
        next_probe_micros: micros(breaker.next_probe),
        retries_left: view.retries_left.into(),
        retries: view.retries,
        throttle_ppm: view.throttle_ppm,
        ejected: ejected.collect(),
    }
}

fn ejected(
    now: Instant,
    ejected: &Ejected,
    called: impl Fn(CandidateId) -> Named,
) -> EjectedInstance {
    let Named {
        node,
        name,
        instance,
    } = called(ejected.id);
    EjectedInstance {
        node: node.map_or_else(Vec::new, |node| node.0.to_vec()),
        name: name.as_str().to_owned(),
        instance,
        reason: ejected.cause.to_string(),
        returns_micros: micros(now.until(ejected.until)),
    }
}
