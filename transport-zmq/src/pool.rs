//! Helper threads for blocking work.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use mio::Waker;
use monofil_transport::{Event, Inbox, JobId, JobOutcome, OffloadFull, OffloadJob};

/// A bounded pool whose threads start when they are first needed, and stay.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    helpers_max: usize,
    jobs_max: usize,
}

struct Shared {
    state: Mutex<State>,
    /// Signalled for each job, and once when the pool ends.
    job: Condvar,
    /// Whether `state.done` may hold something: saves the node the lock.
    any_done: AtomicBool,
    waker: Arc<Waker>,
}

#[derive(Default)]
struct State {
    /// Invariant: at most `jobs_max` long.
    jobs: VecDeque<OffloadJob>,
    /// Invariant: never longer than the jobs that were accepted and not yet reported.
    done: Vec<(JobId, JobOutcome)>,
    helpers: usize,
    idle: usize,
    ended: bool,
}

impl Pool {
    pub(crate) fn new(helpers_max: usize, jobs_max: usize, waker: Arc<Waker>) -> Self {
        Self {
            shared: Arc::new(Shared {
                state: Mutex::default(),
                job: Condvar::new(),
                any_done: AtomicBool::new(false),
                waker,
            }),
            helpers_max,
            jobs_max,
        }
    }

    pub(crate) fn submit(&self, job: OffloadJob) -> Result<(), OffloadFull> {
        let mut state = self.shared.lock();
        let full = |job| OffloadFull {
            job,
            limit: self.jobs_max,
        };
        // Jobs that an idle helper is about to take do not wait.
        if state.jobs.len() >= self.jobs_max.saturating_add(state.idle) {
            return Err(full(job));
        }
        if state.idle <= state.jobs.len() && state.helpers < self.helpers_max {
            let number = state.helpers;
            match start_helper(Arc::clone(&self.shared), number) {
                Ok(()) => state.helpers += 1,
                Err(error) if state.helpers == 0 => {
                    tracing::error!(%error, "no helper thread can be started");
                    return Err(full(job));
                }
                // Those that run will come to it.
                Err(error) => tracing::warn!(%error, "another helper thread cannot be started"),
            }
        }
        state.jobs.push_back(job);
        drop(state);
        self.shared.job.notify_one();
        Ok(())
    }

    /// Hands over the outcomes of jobs that have ended.
    pub(crate) fn receive(&self, inbox: &mut Inbox) {
        if !self.has_done() {
            return;
        }
        let mut state = self.shared.lock();
        self.shared.any_done.store(false, Ordering::Relaxed);
        for (id, outcome) in state.done.drain(..) {
            inbox.push(Event::JobDone(id, outcome));
        }
    }

    /// Tells whether [`Pool::receive`] would find something.
    pub(crate) fn has_done(&self) -> bool {
        self.shared.any_done.load(Ordering::Acquire)
    }
}

impl Drop for Pool {
    /// Lets idle helpers end. One that is busy ends after its job, which nobody waits for: it may be
    /// stuck in a database.
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.ended = true;
        state.jobs.clear();
        drop(state);
        self.shared.job.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Jobs run outside the lock, so nothing can have been left half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_job(&self) -> Option<OffloadJob> {
        let mut state = self.lock();
        loop {
            if state.ended {
                return None;
            }
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            state.idle += 1;
            state = self.job.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }

    fn report(&self, id: JobId, outcome: JobOutcome) {
        self.lock().done.push((id, outcome));
        self.any_done.store(true, Ordering::Release);
        if let Err(error) = self.waker.wake() {
            tracing::error!(%error, "a finished job could not wake its node");
        }
    }
}

fn start_helper(shared: Arc<Shared>, number: usize) -> std::io::Result<()> {
    thread::Builder::new()
        .name(format!("monofil-help-{number}"))
        .spawn(move || {
            while let Some(job) = shared.next_job() {
                let outcome = run(job.work);
                shared.report(job.id, outcome);
            }
        })
        .map(drop)
}

fn run(work: Box<dyn FnOnce() -> Box<dyn Any + Send> + Send>) -> JobOutcome {
    // The closure is gone afterwards, and what it shared with others is behind their own locks.
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(value) => JobOutcome::Returned(value),
        Err(panic) => JobOutcome::Panicked(panic_text(&*panic)),
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a text".to_owned())
}
