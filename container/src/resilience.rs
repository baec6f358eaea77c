//! What stands between those who call and those they call, so that who does not work, or has too much to do, is left
//! alone, and whoever calls it hears so at once.
//!
//! ```text
//!   call ──▶ throttle ──▶ breaker ──▶ an instance that is not ejected ──▶ outcome
//!              ▲             ▲                  ▲                            │
//!              │ rejected    │ failed, slow     │ the same, of one instance  │
//!              └─────────────┴──────────────────┴────────────────────────────┘
//! ```
//!
//! There is one [`Guard`] for the components of one name here and each component they call. All of it is counting: a
//! call costs some additions and comparisons, and no memory. Overload is never a failure: a rejection by a limit of the
//! callee feeds the throttle and nothing else.

mod breaker;
mod budget;
mod config;
mod ejection;
mod guard;
mod report;
mod throttle;
mod window;

use std::time::Duration;

use monofil_transport::{Instant, Stream};

pub(crate) use self::breaker::Mode;
pub use self::config::{
    BreakerConfig, EjectionConfig, FailureCodes, ResilienceConfig, RetryConfig, ThrottleConfig,
};
pub(crate) use self::ejection::{CandidateId, Cause, Ejected};
pub(crate) use self::guard::{Guard, Ticket, is_of_callee};
use self::guard::{GuardView, Refusal};
pub(crate) use self::report::Named;
use crate::hash::Table;
use crate::slab::Slab;
use crate::{CallError, Name, Rejection};

/// Components that are called from here and guarded. When there are more, those are forgotten of which nothing is to be
/// remembered; if there are none, calls to the others pass unguarded.
const CALLEES_MAX: usize = 1024;
/// Where nobody could be forgotten it is looked again after this: a look takes as long as many calls.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Says which guard it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GuardKey {
    pub(crate) callee: u64,
    /// One more than the place of the component in the container; 0: a program that is none.
    pub(crate) caller: usize,
}

/// The guards of a container.
pub(crate) struct Resilience {
    config: ResilienceConfig,
    keys: Table<Name, u64>,
    callees: Slab<Callee>,
    /// Nobody can be forgotten until then, as far as is known.
    full_until: Instant,
    random: Stream,
}

#[derive(Debug)]
struct Callee {
    name: Name,
    /// When a call to it began last.
    used: Instant,
    /// By caller; most components are called by few.
    guards: Vec<Option<Box<Guard>>>,
}

impl Resilience {
    pub(crate) fn new(config: &ResilienceConfig) -> Self {
        Self {
            config: *config,
            keys: Table::default(),
            callees: Slab::default(),
            full_until: Instant::ZERO,
            random: Stream::new(0, "resilience"),
        }
    }

    pub(crate) fn seed(&mut self, seed: u64) {
        self.random = Stream::new(seed, "resilience");
    }

    /// Returns the key of a component that is called; `None` when there are too many.
    pub(crate) fn key(&mut self, now: Instant, callee: &Name) -> Option<u64> {
        if let Some(key) = self.keys.get(callee) {
            return Some(*key);
        }
        if self.callees.len() >= CALLEES_MAX {
            self.forget_one(now)?;
        }
        let key = self.callees.insert(Callee {
            name: callee.clone(),
            used: now,
            guards: Vec::new(),
        });
        self.keys.insert(callee.clone(), key);
        Some(key)
    }

    /// Tells whether a key is still that of the component that it was given to.
    pub(crate) fn is_known(&self, key: u64) -> bool {
        self.callees.get(key).is_some()
    }

    /// Forgets, of the components that nothing is to be remembered of, the one that was called the longest ago. What
    /// nobody runs is called, too, and must not use up the table.
    #[cold]
    fn forget_one(&mut self, now: Instant) -> Option<()> {
        if now < self.full_until {
            return None;
        }
        let long = self.config.breaker.open_max;
        let callees = self.callees.iter().filter(|(_, callee)| {
            let is_old = now.since(callee.used) >= long;
            let mut guards = callee.guards.iter().flatten();
            guards.all(|guard| guard.may_be_forgotten(now, is_old))
        });
        let oldest = callees.min_by_key(|(key, callee)| (callee.used, *key));
        let Some((key, _)) = oldest else {
            self.full_until = now + LOOK_AGAIN;
            return None;
        };
        let callee = self.callees.remove(key)?;
        self.keys.remove(&callee.name);
        Some(())
    }

    /// Returns how often one call is tried again at most.
    pub(crate) const fn retries_max(&self) -> u32 {
        self.config.retry.attempts
    }

    /// Returns the key of a component, if it was called.
    pub(crate) fn known(&self, callee: &Name) -> Option<u64> {
        self.keys.get(callee).copied()
    }

    /// Returns the component that a guard is about; nothing if that is not there any more.
    pub(crate) fn name(&self, key: GuardKey) -> Name {
        let callee = self.callees.get(key.callee);
        callee.map_or_else(Name::empty, |callee| callee.name.clone())
    }

    /// Returns a guard that is there.
    pub(crate) fn guard(&mut self, key: GuardKey) -> Option<(&mut Guard, &mut Stream)> {
        let callee = self.callees.get_mut(key.callee)?;
        let guard = callee.guards.get_mut(key.caller)?.as_mut()?;
        Some((guard, &mut self.random))
    }

    /// Tells whether calls are kept from a place, and why.
    pub(crate) fn is_out(&self, now: Instant, key: GuardKey, id: CandidateId) -> Option<Ejected> {
        let callee = self.callees.get(key.callee)?;
        let guard = callee.guards.get(key.caller)?.as_ref()?;
        guard.is_out(now, id)
    }

    /// A node that runs a component has begun anew, or can be reached again.
    pub(crate) fn try_soon(&mut self, now: Instant, callee: &Name) {
        let key = self.keys.get(callee).copied();
        let callee = key.and_then(|key| self.callees.get_mut(key));
        let guards = callee
            .into_iter()
            .flat_map(|it| it.guards.iter_mut().flatten());
        guards.for_each(|guard| guard.try_soon(now));
    }

    fn guard_or_new(&mut self, now: Instant, key: GuardKey) -> Option<(&mut Guard, &mut Stream)> {
        let callee = self.callees.get_mut(key.callee)?;
        callee.used = now;
        let guards = &mut callee.guards;
        if guards.len() <= key.caller {
            guards.resize_with(key.caller + 1, || None);
        }
        let place = guards.get_mut(key.caller)?;
        let guard = place.get_or_insert_with(|| Box::new(Guard::new(&self.config, now)));
        Some((guard, &mut self.random))
    }

    /// Lets a call begin, or says why not.
    pub(crate) fn admit(
        &mut self,
        now: Instant,
        key: GuardKey,
        deadline: Instant,
    ) -> Result<Option<Ticket>, CallError> {
        let Some((guard, random)) = self.guard_or_new(now, key) else {
            return Ok(None);
        };
        match guard.admit(now, deadline, random) {
            Ok(ticket) => Ok(Some(ticket)),
            Err(refusal) => Err(self.refusal(key, refusal)),
        }
    }

    fn refusal(&self, key: GuardKey, refusal: Refusal) -> CallError {
        let component = self.name(key);
        match refusal {
            Refusal::Open(retry_after) => CallError::Open {
                component,
                retry_after,
            },
            Refusal::Throttled { after, passes_ppm } => CallError::Rejected(Box::new(Rejection {
                limit: crate::name!("caller.throttle_ppm"),
                value: passes_ppm.into(),
                observed: 1_000_000,
                place: component,
                retry_after: Some(after),
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    fn full(names: usize, now: Instant, error: Option<&CallError>) -> Resilience {
        let mut resilience = Resilience::new(&ResilienceConfig::default());
        for number in 0..names {
            let name = format!("shop/nobody-{number}").as_str().into();
            call(&mut resilience, now, &name, error).expect("nothing is against it");
        }
        resilience
    }

    /// Begins a call; returns the key and what it brings back, if it is guarded.
    fn begin(
        resilience: &mut Resilience,
        now: Instant,
        name: &Name,
    ) -> Result<Option<(GuardKey, Ticket)>, CallError> {
        let Some(callee) = resilience.key(now, name) else {
            return Ok(None);
        };
        let key = GuardKey { callee, caller: 1 };
        let ticket = resilience.admit(now, key, now + Duration::from_secs(5))?;
        Ok(ticket.map(|ticket| (key, ticket)))
    }

    /// A call that ends at once. Tells whether it was guarded.
    fn call(
        resilience: &mut Resilience,
        now: Instant,
        name: &Name,
        error: Option<&CallError>,
    ) -> Result<bool, CallError> {
        let Some((key, ticket)) = begin(resilience, now, name)? else {
            return Ok(false);
        };
        let (guard, random) = resilience.guard(key).expect("it was just asked");
        let end = guard.end(now, &ticket, error);
        guard.tried(now, &ticket, end, random);
        guard.over(&ticket);
        Ok(true)
    }

    #[test]
    fn names_that_nobody_runs_use_up_no_room() {
        let nobody = CallError::Timeout(String::new());
        let payments = "shop/payments".into();
        let mut resilience = full(CALLEES_MAX, at(0), Some(&nobody));
        // What was called just now is remembered, since it failed; a while later it says nothing any more.
        assert_eq!(
            call(&mut resilience, at(1), &payments, None).ok(),
            Some(false)
        );
        for _ in 0..5 {
            let guarded = call(&mut resilience, at(11_000), &payments, Some(&nobody));
            assert_eq!(guarded.ok(), Some(true));
        }
        let open = call(&mut resilience, at(11_000), &payments, None);
        assert!(matches!(open, Err(CallError::Open { .. })), "{open:?}");
        // It is remembered while others come and go.
        for number in 0..3 * CALLEES_MAX {
            let name = format!("shop/other-{number}").as_str().into();
            assert_eq!(
                call(&mut resilience, at(11_001), &name, None).ok(),
                Some(true)
            );
        }
        assert_eq!(resilience.callees.len(), CALLEES_MAX);
        let open = call(&mut resilience, at(11_002), &payments, None);
        assert!(matches!(open, Err(CallError::Open { .. })), "{open:?}");
    }

    #[test]
    fn what_was_ordered_or_is_under_way_is_not_forgotten() {
        let mut resilience = full(CALLEES_MAX - 2, at(0), None);
        let [waits, closed, late] = ["waits", "closed", "late"].map(Name::from);
        let begun = begin(&mut resilience, at(0), &waits);
        let (key, ticket) = begun.ok().flatten().expect("there is room");
        let callee = resilience.key(at(0), &closed).expect("there is room");
        let ordered = GuardKey { callee, caller: 1 };
        let (guard, _) = resilience
            .guard_or_new(at(0), ordered)
            .expect("it is known");
        guard.set_mode(at(0), Mode::ForcedOpen);
        for number in 0..CALLEES_MAX as u64 {
            let name = format!("shop/other-{number}").as_str().into();
            let guarded = call(&mut resilience, at(600_000 + number), &name, None);
            assert_eq!(guarded.ok(), Some(true));
        }
        assert!(resilience.is_known(key.callee) && resilience.is_known(callee));
        // Once it is over it may be, and whoever comes after it is somebody else.
        let (guard, _) = resilience.guard(key).expect("it is known");
        guard.over(&ticket);
        assert!(call(&mut resilience, at(700_000), &late, None).is_ok());
        assert!(!resilience.is_known(key.callee));
        assert!(resilience.guard(key).is_none() && resilience.name(key).is_empty());
    }
}
