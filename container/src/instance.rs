//! One running copy of a component: its queue, its state, its restarts.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ptr;
use std::rc::Rc;
use std::time::Duration;

use monofil_transport::{HandlerId, Instant};

use crate::capacity::{Guard, Share, Spill};
use crate::envelope::Envelope;
use crate::environment::Environment;
use crate::parcel::Parcel;
use crate::{
    CallError, Component, ComponentKind, ComponentSpec, InstanceLimits, Interface, Name,
    StartReason, Subscription,
};

/// How many methods of one instance the sentinel tells apart.
const HANDLER_NAMES_MAX: usize = 256;

/// Makes an instance. Shared with the handler that is running it, so that a panic does not lose it.
pub(crate) type Factory = Rc<RefCell<Box<dyn FnMut() -> Box<dyn Component>>>>;

/// What its component says of an instance. Those of one component have it in common.
pub(crate) struct Definition {
    /// As configured; an instance's guard has those that count now.
    pub(crate) limits: InstanceLimits,
    pub(crate) kind: ComponentKind,
    pub(crate) version: Name,
    pub(crate) interfaces: Box<[&'static Interface]>,
    /// Those of its methods that answer with a stream; few or none.
    streaming: Box<[Name]>,
    pub(crate) subscriptions: Box<[Subscription]>,
}

impl Definition {
    fn of(spec: &ComponentSpec) -> Self {
        let methods = spec.interfaces.iter().flat_map(|it| it.methods);
        let streaming = methods.filter(|method| method.streaming);
        Self {
            limits: spec.limits,
            kind: spec.kind,
            version: spec.version.clone(),
            interfaces: spec.interfaces.as_slice().into(),
            streaming: streaming.map(|method| method.name.clone()).collect(),
            subscriptions: spec.subscriptions.as_slice().into(),
        }
    }

    fn is_of(&self, spec: &ComponentSpec) -> bool {
        let pairs = self.interfaces.iter().zip(&spec.interfaces);
        self.limits == spec.limits
            && self.kind == spec.kind
            && self.version == spec.version
            && self.interfaces.len() == spec.interfaces.len()
            && pairs.into_iter().all(|(one, other)| ptr::eq(*one, *other))
            && *self.subscriptions == *spec.subscriptions
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Is to be built and started.
    New,
    Idle,
    /// Its handler is under way.
    Busy {
        since: Instant,
    },
    /// Crashed too often; waits before it is built again.
    BackingOff {
        until: Instant,
    },
    /// Its `stop` has run.
    Stopped,
}

/// How an instance fared that crashed.
#[derive(Debug)]
pub(crate) struct Crashes {
    /// Why it is built again, or was the last time.
    reason: StartReason,
    /// The latest, as many as its restart intensity and one more.
    latest: VecDeque<Instant>,
    /// How often it had to wait before it was built again, since it last stayed up for a whole window.
    backoffs: u32,
    /// When the last of these waits ended, or ends.
    resumes: Instant,
    /// Those that were panics.
    panics: u64,
    restarts: u64,
}

impl Default for Crashes {
    fn default() -> Self {
        Self {
            reason: StartReason::First,
            latest: VecDeque::new(),
            backoffs: 0,
            resumes: Instant::ZERO,
            panics: 0,
            restarts: 0,
        }
    }
}

pub(crate) struct Instance {
    pub(crate) name: Name,
    pub(crate) number: u32,
    /// Which group of the container it is in; see [`group`](Self::group).
    pub(crate) group: u32,
    pub(crate) definition: Rc<Definition>,
    pub(crate) guard: Guard,
    /// `None` where it shares no limits with others in the network.
    pub(crate) share: Option<Box<Share>>,
    /// `None` where nothing is spilled.
    pub(crate) spill: Option<Box<Spill>>,
    pub(crate) factory: Factory,
    /// Invariant: `Some` exactly while [`State::Idle`], or not yet stopped.
    pub(crate) component: Option<Box<dyn Component>>,
    /// `None` while a handler has it, and until one needs it.
    pub(crate) environment: Option<Box<Environment>>,
    pub(crate) state: State,
    /// Messages, and casts of its own that came back, in the order of their arrival.
    pub(crate) queue: VecDeque<Parcel>,
    /// The arrival under which it has its place in line.
    pub(crate) in_line: Option<u64>,
    pub(crate) queued_bytes: usize,
    /// Queued casts that came back; bounded apart from what others send.
    pub(crate) returned: u32,
    /// Some that came back were dropped since the last time that none was queued.
    pub(crate) returns_dropped: bool,
    /// A timer is set that looks for what has expired in the queue.
    pub(crate) swept: bool,
    /// The numbers of its methods, for the sentinel; the one that was used last in front.
    handlers: Vec<(Name, HandlerId)>,
    /// `None` until it crashes.
    crashes: Option<Box<Crashes>>,
    pub(crate) handled: u64,
    pub(crate) rejected: u64,
    /// How long a handler takes: an exponential average in nanoseconds, for `retry_after`.
    handling: u64,
}

impl Instance {
    /// Makes one of `spec`, which shares its definition with the instance that was made before it, if it can.
    pub(crate) fn new(spec: ComponentSpec, before: Option<&Self>) -> Self {
        let definition = match before {
            Some(before) if before.definition.is_of(&spec) => before.definition.clone(),
            _ => Rc::new(Definition::of(&spec)),
        };
        Self {
            name: spec.name,
            number: 0,
            group: 0,
            guard: Guard::new(|limit| limit.of_instance(&definition.limits)),
            share: None,
            spill: None,
            definition,
            factory: Rc::new(RefCell::new(spec.factory)),
            component: None,
            environment: None,
            state: State::New,
            queue: VecDeque::new(),
            in_line: None,
            queued_bytes: 0,
            returned: 0,
            returns_dropped: false,
            swept: false,
            handlers: Vec::new(),
            crashes: None,
            handled: 0,
            rejected: 0,
            handling: 0,
        }
    }

    /// Returns which group of the container it is in.
    pub(crate) const fn group(&self) -> usize {
        self.group as usize
    }

    /// Returns how long a handler takes, on average.
    pub(crate) const fn handling(&self) -> Duration {
        Duration::from_nanos(self.handling)
    }

    /// Returns why it is built, or was the last time.
    pub(crate) fn reason(&self) -> StartReason {
        let crashes = self.crashes.as_ref();
        crashes.map_or(StartReason::First, |crashes| crashes.reason.clone())
    }

    /// Returns how often it crashed lately.
    fn crashes_counted(&self) -> usize {
        let crashes = self.crashes.as_ref();
        crashes.map_or(0, |crashes| crashes.latest.len())
    }

    /// Returns how often it was built again, and how many of its handlers panicked.
    pub(crate) fn restarts_and_panics(&self) -> (u64, u64) {
        let crashes = self.crashes.as_ref();
        crashes.map_or((0, 0), |crashes| (crashes.restarts, crashes.panics))
    }

    pub(crate) fn note_panic(&mut self) {
        self.crashes.get_or_insert_default().panics += 1;
    }

    /// Returns the number of a method for the sentinel; `register` makes one for a method that has none yet.
    #[inline]
    pub(crate) fn handler_number(
        &mut self,
        method: &Name,
        register: impl FnOnce(&Name, bool) -> HandlerId,
    ) -> HandlerId {
        if let Some((last, number)) = self.handlers.first()
            && last.address() == method.address()
        {
            return *number;
        }
        self.find_handler_number(method, register)
    }

    #[cold]
    fn find_handler_number(
        &mut self,
        method: &Name,
        register: impl FnOnce(&Name, bool) -> HandlerId,
    ) -> HandlerId {
        let place = match self.handlers.iter().position(|(known, _)| known == method) {
            Some(place) => place,
            // Methods that do not exist are named by whoever calls them: no table grows from that.
            None if self.handlers.len() >= HANDLER_NAMES_MAX => return register(method, false),
            None => {
                let number = register(method, true);
                self.handlers.reserve_exact(1);
                self.handlers.push((method.clone(), number));
                self.handlers.len() - 1
            }
        };
        self.handlers.swap(0, place);
        let (name, number) = &mut self.handlers[0];
        // Where it is found at once the next time.
        name.assign(method);
        *number
    }

    /// Tells whether it says that a method answers with a stream.
    pub(crate) fn is_streaming(&self, method: &Name) -> bool {
        self.definition.streaming.contains(method)
    }

    /// Returns when the first in its queue arrived; 0 when it is empty.
    pub(crate) fn first_arrival(&self) -> u64 {
        self.queue.front().map_or(0, |record| record.arrival)
    }

    /// Tells whether it could begin its next work now.
    pub(crate) fn wants_thread(&self) -> bool {
        match self.state {
            State::New => true,
            State::Idle => !self.queue.is_empty(),
            State::Busy { .. } | State::BackingOff { .. } | State::Stopped => false,
        }
    }

    /// Tells whether a method may answer with a stream: it says so, or says nothing of any method.
    pub(crate) fn may_stream(&self, method: &Name) -> bool {
        self.definition.interfaces.is_empty() || self.is_streaming(method)
    }

    /// Returns how many messages a new one would wait for.
    pub(crate) fn load(&self) -> usize {
        self.queue.len() + usize::from(self.is_blocked())
    }

    /// Tells whether it takes nothing from its queue for as long as nothing happens.
    pub(crate) const fn is_blocked(&self) -> bool {
        matches!(self.state, State::Busy { .. } | State::BackingOff { .. })
    }

    pub(crate) const fn is_busy(&self) -> bool {
        matches!(self.state, State::Busy { .. })
    }

    /// Tells whether it would turn a message away, however short, by what is its own.
    pub(crate) fn is_full(&self, now: Instant) -> bool {
        matches!(self.state, State::BackingOff { .. } | State::Stopped)
            || self.guard.check(now, self.occupancy(), 0).is_err()
            || (self.share.as_ref()).is_some_and(|share| share.is_full(now, self.occupancy()))
    }

    /// Refuses everything while it could not handle anything.
    #[inline]
    pub(crate) fn check_state(&self, now: Instant) -> Result<(), CallError> {
        match self.state {
            State::New | State::Idle | State::Busy { .. } => Ok(()),
            State::Stopped => Err(CallError::Draining(self.name.clone())),
            State::BackingOff { .. } => {
                let limits = &self.definition.limits;
                let of = (limits.restarts as u64, self.crashes_counted() as u64);
                let after = self.retry_after(now);
                Err(CallError::rejected(
                    "instance.restarts",
                    of,
                    &self.name,
                    after,
                ))
            }
        }
    }

    pub(crate) const RETRY_LEAST: Duration = Duration::from_millis(1);
    /// Also for limits of nothing, which somebody may change at any time.
    pub(crate) const RETRY_MOST: Duration = Duration::from_secs(5);

    /// It is built again by then, or else half of what is there should be done, at the pace of late. A handler that has
    /// been under way for longer than that is believed to take as long again.
    pub(crate) fn retry_after(&self, now: Instant) -> Duration {
        if let State::BackingOff { until } = self.state {
            return now.until(until).max(Self::RETRY_LEAST);
        }
        let (busy, under_way) = match self.state {
            State::Busy { since } => (1, now.since(since)),
            _ => (0, Duration::ZERO),
        };
        let there = u32::try_from(self.queue.len() + busy).unwrap_or(u32::MAX);
        let each = self.handling().max(under_way);
        let time = each.saturating_mul(there.max(1)) / 2;
        time.clamp(Self::RETRY_LEAST, Self::RETRY_MOST)
    }

    pub(crate) fn push(&mut self, record: Parcel) {
        if record.is_request() {
            self.queued_bytes += record.payload.len();
        } else {
            self.returns_dropped &= self.returned > 0;
            self.returned += 1;
        }
        self.queue.push_back(record);
    }

    pub(crate) fn pop(&mut self) -> Option<Parcel> {
        let record = self.queue.pop_front()?;
        self.left(&record);
        Some(record)
    }

    /// Takes a queued call back whose caller no longer wants it.
    pub(crate) fn remove(&mut self, arrival: u64) -> Option<Parcel> {
        let at = self
            .queue
            .binary_search_by_key(&arrival, |record| record.arrival)
            .ok()?;
        let record = self.queue.remove(at)?;
        self.left(&record);
        Some(record)
    }

    /// Takes the queued messages whose deadline has passed.
    pub(crate) fn take_expired(&mut self, now: Instant) -> VecDeque<Parcel> {
        let expired = |record: &Parcel| record.deadline.is_some_and(|by| by <= now);
        if !self.queue.iter().any(expired) {
            return VecDeque::new();
        }
        let queue = std::mem::take(&mut self.queue).into_iter();
        let (gone, kept) = queue.partition::<VecDeque<_>, _>(expired);
        self.queue = kept;
        for record in &gone {
            self.left(record);
        }
        gone
    }

    fn left(&mut self, record: &Envelope) {
        if record.is_request() {
            self.queued_bytes -= record.payload.len();
        } else {
            self.returned -= 1;
        }
    }

    /// Notes how long a handler took.
    pub(crate) fn took(&mut self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.handling = (self.handling.saturating_mul(7)).saturating_add(nanos) / 8;
    }

    /// Notes a crash and says how long to wait at most before the instance is built again: not at all within
    /// its restart intensity, then 1 s doubling to 60 s, until it has stayed up for a whole window.
    fn crashed(&mut self, now: Instant) -> Option<Duration> {
        let (window, most) = (
            self.definition.limits.restart_window,
            self.definition.limits.restarts,
        );
        let crashes = self.crashes.get_or_insert_default();
        if now.since(crashes.resumes) > window {
            crashes.backoffs = 0;
        }
        let is_old = |at: &Instant| now.since(*at) > window;
        while crashes.latest.front().is_some_and(is_old) {
            crashes.latest.pop_front();
        }
        crashes.latest.push_back(now);
        if crashes.backoffs == 0 && crashes.latest.len() <= most {
            return None;
        }
        if crashes.latest.len() > most + 1 {
            crashes.latest.pop_front();
        }
        let delay = Duration::from_secs(1 << crashes.backoffs.min(6)).min(Duration::from_secs(60));
        crashes.backoffs += 1;
        Some(delay)
    }

    /// Lets the instance be built again, at once or, if it crashes too often, later; returns when, then.
    /// `spread` draws a share of the delay that it is given.
    pub(crate) fn begin_anew(
        &mut self,
        now: Instant,
        reason: StartReason,
        spread: impl FnOnce(Duration) -> Duration,
    ) -> Option<Instant> {
        let crashes = self.crashes.get_or_insert_default();
        crashes.restarts += 1;
        crashes.reason = reason;
        let Some(delay) = self.crashed(now) else {
            self.state = State::New;
            return None;
        };
        // Equal jitter: half of the delay is fixed.
        let half = delay / 2;
        let until = now + half + spread(half);
        self.crashes.get_or_insert_default().resumes = until;
        self.state = State::BackingOff { until };
        Some(until)
    }

    /// Ends the wait of an instance that crashed too often; tells whether it was waiting.
    pub(crate) fn resume_start(&mut self) -> bool {
        let waits = matches!(self.state, State::BackingOff { .. });
        if waits {
            self.state = State::New;
        }
        waits
    }

    pub(crate) const fn state_word(&self) -> &'static str {
        match self.state {
            State::New => "starting",
            State::Idle => "idle",
            State::Busy { .. } => "busy",
            State::BackingOff { .. } => "backing-off",
            State::Stopped => "stopped",
        }
    }
}
