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

use monofil_transport::{Instant, Stream};

pub(crate) use self::breaker::Mode;
pub use self::config::{
    BreakerConfig, EjectionConfig, FailureCodes, ResilienceConfig, RetryConfig, ThrottleConfig,
};
pub(crate) use self::ejection::{CandidateId, Cause, Ejected};
pub(crate) use self::guard::{Guard, Ticket};
use self::guard::{GuardView, Refusal};
pub(crate) use self::report::Named;
use crate::hash::Table;
use crate::{CallError, Name, Rejection};

/// Components that are called from here and guarded; calls to others pass.
const CALLEES_MAX: usize = 1024;

/// Says which guard it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GuardKey {
    pub(crate) callee: u32,
    /// One more than the place of the component in the container; 0: a program that is none.
    pub(crate) caller: usize,
}

/// The guards of a container.
pub(crate) struct Resilience {
    config: ResilienceConfig,
    numbers: Table<Name, u32>,
    /// By number.
    callees: Vec<Callee>,
    random: Stream,
}

#[derive(Debug)]
struct Callee {
    name: Name,
    /// By caller; most components are called by few.
    guards: Vec<Option<Box<Guard>>>,
}

impl Resilience {
    pub(crate) fn new(config: &ResilienceConfig) -> Self {
        Self {
            config: *config,
            numbers: Table::default(),
            callees: Vec::new(),
            random: Stream::new(0, "resilience"),
        }
    }

    pub(crate) fn seed(&mut self, seed: u64) {
        self.random = Stream::new(seed, "resilience");
    }

    /// Returns the number of a component that is called; `None` when there are too many.
    pub(crate) fn number(&mut self, callee: &Name) -> Option<u32> {
        if let Some(number) = self.numbers.get(callee) {
            return Some(*number);
        }
        let number = u32::try_from(self.callees.len()).ok()?;
        if self.callees.len() >= CALLEES_MAX {
            return None;
        }
        self.callees.push(Callee {
            name: callee.clone(),
            guards: Vec::new(),
        });
        self.numbers.insert(callee.clone(), number);
        Some(number)
    }

    /// Returns how often one call is tried again at most.
    pub(crate) const fn retries_max(&self) -> u32 {
        self.config.retry.attempts
    }

    /// Returns the number of a component, if it was called.
    pub(crate) fn known(&self, callee: &Name) -> Option<u32> {
        self.numbers.get(callee).copied()
    }

    /// Returns the component that a guard is about.
    pub(crate) fn name(&self, key: GuardKey) -> &Name {
        &self.callees[key.callee as usize].name
    }

    /// Returns a guard that is there.
    pub(crate) fn guard(&mut self, key: GuardKey) -> Option<(&mut Guard, &mut Stream)> {
        let callee = self.callees.get_mut(key.callee as usize)?;
        let guard = callee.guards.get_mut(key.caller)?.as_mut()?;
        Some((guard, &mut self.random))
    }

    /// Tells whether calls are kept from a place, and why.
    pub(crate) fn is_out(&self, now: Instant, key: GuardKey, id: CandidateId) -> Option<Ejected> {
        let callee = self.callees.get(key.callee as usize)?;
        let guard = callee.guards.get(key.caller)?.as_ref()?;
        guard.is_out(now, id)
    }

    /// A node that runs a component has begun anew, or can be reached again.
    pub(crate) fn try_soon(&mut self, now: Instant, callee: &Name) {
        let number = self.numbers.get(callee).copied();
        let callee = number.and_then(|number| self.callees.get_mut(number as usize));
        let guards = callee
            .into_iter()
            .flat_map(|it| it.guards.iter_mut().flatten());
        guards.for_each(|guard| guard.try_soon(now));
    }

    fn guard_or_new(&mut self, now: Instant, key: GuardKey) -> Option<(&mut Guard, &mut Stream)> {
        let guards = &mut self.callees.get_mut(key.callee as usize)?.guards;
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
        let component = self.callees[key.callee as usize].name.clone();
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
