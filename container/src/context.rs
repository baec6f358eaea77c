//! What a handler can do besides computing.

use std::any::Any;
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use monofil_transport::{Instant, JobId, JobOutcome, OffloadJob, Shutdown, Stream};

use crate::calls::TaskId;
use crate::core::{Core, Shared, Task, Timer};
use crate::counters::Counter;
use crate::environment::Environment;
use crate::fiber::Suspender;
use crate::{
    CallError, Caller, Limit, LimitError, LimitInfo, LimitValue, Name, Payload, RawPending,
    RawReplies, Request, Trace,
};

/// A handler's way to the rest of the world: calls, time, randomness, what it keeps.
///
/// Methods that wait suspend this handler; its instance handles nothing else meanwhile, the rest of the
/// container goes on. Do not hold a lock, or a borrow of something shared, across one of them.
pub struct Context<'a> {
    core: &'a Shared,
    task: &'a Rc<Task>,
    suspender: &'a Suspender<'a>,
    /// `None` until it is needed.
    environment: Option<Box<Environment>>,
}

impl<'a> Context<'a> {
    pub(crate) const fn new(
        core: &'a Shared,
        task: &'a Rc<Task>,
        suspender: &'a Suspender<'a>,
        environment: Option<Box<Environment>>,
    ) -> Self {
        Self {
            core,
            task,
            suspender,
            environment,
        }
    }

    /// Gives back what its instance keeps.
    pub(crate) const fn take_environment(&mut self) -> Option<Box<Environment>> {
        self.environment.take()
    }

    /// Returns this component's name, as `app/name`.
    #[must_use]
    pub fn component(&self) -> &Name {
        &self.task.sender.component
    }

    /// Returns the business flow of the message being handled; empty when it belongs to none.
    #[must_use]
    pub fn flow(&self) -> &Name {
        &self.task.sender.flow
    }

    /// Returns the trace of the message being handled.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        &self.task.sender.trace
    }

    /// Returns when whoever sent the message stops caring; `None` when nobody waits.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.task.sender.deadline
    }

    /// Returns the time: monotonic, virtual in a simulated world.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.core.borrow().now
    }

    /// Returns the wall clock's microseconds since 1970-01-01 UTC. It may jump; for people and records.
    #[must_use]
    pub fn wall_micros(&self) -> u64 {
        self.core.borrow().wall_micros
    }

    /// Tells whether the caller has given up: it said so, or its deadline has passed. What is returned goes
    /// nowhere.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        let core = self.core.borrow();
        core.dead || self.task.is_given_up(core.now)
    }

    /// Returns this instance's random numbers: in a simulated world a pure function of its seed.
    pub fn rng(&mut self) -> &mut Stream {
        &mut self.environment_mut().rng
    }

    /// Returns a value of this type that the instance keeps from message to message, and across its own
    /// restarts after a panic. It is made with `Default` when first asked for. The producer of a stream
    /// has an environment of its own.
    pub fn env<T: Default + 'static>(&mut self) -> &mut T {
        self.environment_mut().get()
    }

    /// Forgets everything that [`Context::env`] kept.
    pub fn clear_env(&mut self) {
        self.environment_mut().clear();
    }

    /// Suspends this handler for a while.
    ///
    /// # Errors
    ///
    /// [`CallError::Cancelled`] when the caller gives up meanwhile, or its deadline passes. (Nobody waits for
    /// the handler of a cast: its deadline is for its beginning only.)
    #[track_caller]
    pub fn sleep(&mut self, duration: Duration) -> Result<(), CallError> {
        let until = self.alive()?.now + duration;
        self.wait_until(|core| match core.now >= until {
            true => Wait::Over(()),
            false => Wait::Alarm(until),
        })
    }

    /// Runs work that blocks (a database, a disk, a long computation) on a helper thread and waits for it.
    /// In a simulated world it takes a millisecond of virtual time.
    ///
    /// # Errors
    ///
    /// [`CallError::Panicked`] when it panics, [`CallError::Rejected`] when all helper threads are busy and
    /// their queue is full, [`CallError::Cancelled`] when the caller gives up (the work itself cannot be
    /// stopped: it runs to its end, unobserved).
    #[track_caller]
    pub fn blocking<T: Send + 'static>(
        &mut self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, CallError> {
        self.blocking_for(Duration::from_millis(1), work)
    }

    /// Like [`Context::blocking`], with the time that the work takes in a simulated world.
    ///
    /// # Errors
    ///
    /// See [`Context::blocking`].
    #[track_caller]
    pub fn blocking_for<T: Send + 'static>(
        &mut self,
        modelled: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, CallError> {
        let job = {
            let mut core = self.alive()?;
            let job = JobId(core.fresh_id());
            core.counters.add(Counter::BlockingJobs);
            let owner = core.note(self.task);
            core.job_owners.insert(job, owner);
            let work = Box::new(move || Box::new(work()) as Box<dyn Any + Send>);
            core.jobs.push(OffloadJob {
                id: job,
                work,
                modelled,
            });
            job
        };
        let task = self.task;
        let outcome = self.wait_until(|_| {
            task.job
                .take()
                .map_or(Wait::Woken(Instant::FAR_FUTURE), Wait::Over)
        });
        self.core.borrow_mut().job_owners.remove(&job);
        match outcome? {
            JobOutcome::Returned(value) => match value.downcast() {
                Ok(value) => Ok(*value),
                // A refusal of the helper threads comes back the same way.
                Err(other) => Err(other.downcast().map_or_else(
                    |_| CallError::Panicked("the job's result got lost".into()),
                    |error: Box<CallError>| *error,
                )),
            },
            JobOutcome::Panicked(message) => Err(CallError::Panicked(message)),
        }
    }

    /// Casts a message after a delay. It is lost with the node.
    ///
    /// # Errors
    ///
    /// [`CallError::Rejected`] when too many are waiting already.
    pub fn after(&mut self, delay: Duration, request: Request) -> Result<(), CallError> {
        let sender = self.task.sender.clone();
        self.alive()?.send_after(sender, delay, request)
    }

    /// Waits until at least one of several calls has its answer, and returns the index of the first such.
    ///
    /// # Errors
    ///
    /// [`CallError::Cancelled`] when the caller gives up meanwhile.
    ///
    /// # Panics
    ///
    /// When there is nothing to wait for.
    #[track_caller]
    pub fn wait_any(&mut self, pending: &[&RawPending]) -> Result<usize, CallError> {
        assert!(
            !pending.is_empty(),
            "wait_any needs at least one call to wait for"
        );
        let task = self.task;
        let ids: Vec<_> = pending.iter().map(|pending| pending.id).collect();
        let first = self.wait_until(|core| {
            let mut soonest = Instant::FAR_FUTURE;
            for (index, id) in ids.iter().enumerate() {
                match core.await_call(*id, task) {
                    Wait::Woken(by) => soonest = soonest.min(by),
                    _ => return Wait::Over(index),
                }
            }
            Wait::Woken(soonest)
        });
        let mut core = self.core.borrow_mut();
        for id in ids {
            if let Some(call) = core.calls.get_mut(id) {
                call.waiter = None;
            }
        }
        first
    }

    /// Changes a limit of this instance, for a while or until the node ends. It counts from the next message on;
    /// nothing that was admitted is put out again.
    ///
    /// # Errors
    ///
    /// [`LimitError::AlwaysLimited`] when a queue would have none.
    pub fn set_limit(
        &mut self,
        limit: Limit,
        value: LimitValue,
        lasts: Option<Duration>,
    ) -> Result<(), LimitError> {
        let index = self.own_instance();
        index.map_or(Ok(()), |index| {
            let mut core = self.core.borrow_mut();
            core.set_own_limit(index, limit, value, lasts)
        })
    }

    /// Returns the limits of this instance, as they are.
    #[must_use]
    pub fn limits(&self) -> Vec<LimitInfo> {
        let index = self.own_instance();
        index.map_or_else(Vec::new, |index| {
            self.core.borrow().limits_of_instance(index)
        })
    }

    /// Finds the instance that this is a handler of. None is left of one that was killed.
    fn own_instance(&self) -> Option<usize> {
        let index = self.task.instance.or(self.task.sender.instance)?;
        (!self.core.borrow().dead).then_some(index)
    }

    /// Asks this component's node to finish what it has and end.
    pub fn shut_down(&mut self) {
        self.core.borrow_mut().request_stop(Shutdown::Drain);
    }

    fn environment_mut(&mut self) -> &mut Environment {
        self.environment
            .get_or_insert_with(|| self.core.borrow_mut().environment(self.task.instance))
    }

    /// Borrows the core, unless everything is refused: the node was killed, or this handler is unwinding
    /// from a panic and must not be suspended or heard any more.
    fn alive(&self) -> Result<std::cell::RefMut<'_, Core>, CallError> {
        let core = self.core.borrow_mut();
        if core.dead || std::thread::panicking() {
            return Err(CallError::Cancelled);
        }
        Ok(core)
    }

    /// Suspends until what is waited for is over, or nobody waits for this handler any more.
    #[track_caller]
    fn wait_until<R>(
        &mut self,
        mut look: impl FnMut(&mut Core) -> Wait<R>,
    ) -> Result<R, CallError> {
        let place = Location::caller();
        loop {
            {
                let mut core = self.alive()?;
                let (alarm, by) = match look(&mut core) {
                    Wait::Over(result) => return Ok(result),
                    Wait::Alarm(at) => (true, at),
                    Wait::Woken(by) => (false, by),
                };
                let id = core.suspend(self.task, alarm, by)?;
                core.record_suspended(id, place);
            }
            self.suspender.suspend();
        }
    }
}

/// How what a handler waits for is.
pub(crate) enum Wait<R> {
    /// Over, with this result.
    Over(R),
    /// Not over; nothing but time ends it.
    Alarm(Instant),
    /// Not over; whatever ends it wakes the handler, at the latest then.
    Woken(Instant),
}

impl Core {
    /// Notes that a handler goes to sleep, and sees to it that it is woken when its caller gives up. A timer
    /// costs as much as a small message, so none is set where another wakes it in time: most handlers wait
    /// for calls of theirs, which end no later than they do.
    fn suspend(&mut self, task: &Rc<Task>, alarm: bool, by: Instant) -> Result<TaskId, CallError> {
        if task.is_given_up(self.now) {
            return Err(CallError::Cancelled);
        }
        let id = self.note(task);
        task.asleep.set(true);
        self.suspended = Some(id);
        let until = task.awaited_until.unwrap_or(Instant::FAR_FUTURE);
        if alarm || until < by {
            let timer = self.timers.set(by.min(until), Timer::Wake(id));
            task.timer.set(Some(timer));
        }
        if let Some(instance) = task.instance {
            self.watch_queue(instance);
        }
        Ok(id)
    }
}

impl Caller for Context<'_> {
    fn start_call(&mut self, request: Request) -> RawPending {
        RawPending {
            core: self.core.clone(),
            id: self.start(request, false),
        }
    }

    #[track_caller]
    fn wait(&mut self, pending: RawPending) -> Result<Payload, CallError> {
        let (id, task) = (pending.id, self.task);
        self.wait_until(|core| core.await_call(id, task))?;
        take_answer(&pending)
    }

    fn cast(&mut self, mut request: Request) -> Result<u64, CallError> {
        let mut core = self.alive()?;
        let id = core.fresh_id();
        core.send_cast(id, &self.task.sender, &mut request)
    }

    #[track_caller]
    fn publish(&mut self, topic: &str, payload: Payload) -> Result<usize, CallError> {
        let topic = topic.into();
        self.alive()?
            .publish(&self.task.sender, &topic, &payload, Location::caller())
    }

    fn start_stream(&mut self, request: Request) -> RawReplies {
        let id = self.start(request, true);
        RawReplies {
            pending: RawPending {
                core: self.core.clone(),
                id,
            },
        }
    }

    #[track_caller]
    fn next_item(&mut self, replies: &mut RawReplies) -> Option<Result<Payload, CallError>> {
        let (id, task) = (replies.pending.id, self.task);
        let waited = self.wait_until(|core| core.await_call(id, task));
        if let Err(error) = waited {
            return Some(Err(error));
        }
        self.core.borrow_mut().take_item(id)
    }
}

impl Context<'_> {
    fn start(&self, mut request: Request, streaming: bool) -> u64 {
        match self.alive() {
            Ok(mut core) => core.start_call(&self.task.sender, &mut request, streaming),
            // No call has this number, which reads as an answer that is there: `Cancelled`.
            Err(_) => 0,
        }
    }
}

/// Takes the answer of a call that has one.
pub(crate) fn take_answer(pending: &RawPending) -> Result<Payload, CallError> {
    let call = pending.core.borrow_mut().calls.remove(pending.id);
    match call.map(|call| call.answer) {
        Some(crate::calls::Answer::Done(result)) => result,
        _ => Err(CallError::Cancelled),
    }
}

impl Drop for Context<'_> {
    /// A handler that was given up is being unwound: what its instance kept is dropped like all that is left.
    fn drop(&mut self) {
        if let Some(environment) = self.environment.take()
            && let Ok(mut core) = self.core.try_borrow_mut()
        {
            core.discard(environment);
        }
    }
}
