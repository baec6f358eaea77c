//! Handlers on stacks of their own.
//!
//! A handler runs inside a stackful coroutine, so that a call which must wait can suspend it in the middle
//! of plain synchronous code. Most handlers never wait. So a coroutine is not made for a handler: a *worker*
//! is one that runs handler after handler as plain calls, and only when one waits does the container go on
//! with another worker. Workers that are free are kept by the size of their stacks; the pool gives back
//! what it has not needed for a while.
//!
//! ```text
//!   container          worker
//!      │   resume        │
//!      ├────────────────▶│  handler runs, returns
//!      │                 │  handler runs, returns
//!      │                 │  handler runs: cx.call(..)
//!      │◀── it waits ────┤
//!      │     ...         ┊   (others go on, on another worker)
//!      ├────────────────▶│  the answer is there; the handler returns
//!      │◀── it is free ──┤
//! ```

pub(crate) mod overflow;
mod spans;

use std::any::Any;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use corosensei::stack::{DefaultStack, Stack};
use corosensei::{Coroutine, CoroutineResult, Yielder};

use crate::Name;

pub(crate) use spans::{Suspended as SuspendedSpans, current as current_span};

/// What a worker does when it is resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Go {
    On,
    /// Ends. Only told to one that is free.
    Quit,
}

/// Why a worker gave the thread back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pause {
    /// Its handler waits for something.
    Waits,
    /// It has nothing to do.
    Free,
}

/// What a handler suspends itself with.
pub(crate) struct Suspender<'a> {
    yielder: &'a Yielder<Go, Pause>,
    given_up: &'a Cell<bool>,
}

impl Suspender<'_> {
    /// Gives the thread back until the container resumes the worker.
    pub(crate) fn suspend(&self) {
        self.yielder.suspend(Pause::Waits);
    }

    /// Runs code of a handler's own; returns the text of its panic.
    pub(crate) fn caught<R>(&self, run: impl FnOnce() -> R) -> Result<R, String> {
        catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
            if self.given_up.get() {
                // The worker itself is being unwound, and that goes on.
                resume_unwind(panic);
            }
            panic_message(&*panic)
        })
    }
}

/// A stack, and what runs on it.
pub(crate) struct Worker {
    coroutine: Coroutine<Go, Pause, (), DefaultStack>,
    /// Those of the handler that waits.
    spans: SuspendedSpans,
    size: usize,
    guard: usize,
    given_up: Rc<Cell<bool>>,
}

impl Worker {
    /// Makes a worker that does `serve` each time it is resumed while free.
    ///
    /// # Errors
    ///
    /// The operating system's, when it has no more memory or mappings for a stack of `size` bytes.
    fn new(size: usize, serve: impl Fn(&Suspender<'_>) + 'static) -> std::io::Result<Self> {
        let stack = DefaultStack::new(size)?;
        let guard = stack.limit().get();
        let given_up: Rc<Cell<bool>> = Rc::default();
        let flag = given_up.clone();
        let coroutine =
            Coroutine::with_stack(stack, move |yielder: &Yielder<Go, Pause>, mut go: Go| {
                let suspender = Suspender {
                    yielder,
                    given_up: &flag,
                };
                while go == Go::On {
                    serve(&suspender);
                    go = yielder.suspend(Pause::Free);
                }
            });
        Ok(Self {
            coroutine,
            spans: SuspendedSpans::default(),
            size,
            guard,
            given_up,
        })
    }

    /// Lets it go on. `waiting` is the component whose handler waits on it, if one does; `base` the span the
    /// container is in.
    pub(crate) fn resume(&mut self, waiting: Option<&Name>, base: Option<&tracing::Span>) -> Pause {
        self.spans.enter();
        let step = overflow::guarded(self.size, self.guard, || {
            overflow::name(waiting.map(Name::as_str));
            self.coroutine.resume(Go::On)
        });
        match step {
            CoroutineResult::Yield(Pause::Waits) => {
                self.spans = SuspendedSpans::leave(base);
                Pause::Waits
            }
            CoroutineResult::Yield(Pause::Free) => Pause::Free,
            CoroutineResult::Return(()) => unreachable!("a worker ends only when told to"),
        }
    }

    /// Lets a free worker end without unwinding it.
    fn quit(mut self) {
        self.coroutine.resume(Go::Quit);
    }
}

impl Drop for Worker {
    /// Unwinds a handler that waits: its destructors run, inside the spans it had entered.
    fn drop(&mut self) {
        if self.coroutine.done() {
            return;
        }
        let base = spans::current();
        self.spans.enter();
        self.given_up.set(true);
        // Code of the handler's own runs now, and may panic; dropping the coroutine would abort then.
        let unwound = catch_unwind(AssertUnwindSafe(|| self.coroutine.force_unwind()));
        if let Err(panic) = unwound {
            let panic = panic_message(&*panic);
            tracing::error!(%panic, "a handler panicked as it was given up");
        }
        SuspendedSpans::leave(base.as_ref());
    }
}

/// Returns the text of a panic.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

/// The workers of a container that are free, by the size of their stacks.
#[derive(Default)]
pub(crate) struct WorkerPool {
    /// The one that became free last; most often it is taken next.
    last: Option<Worker>,
    free: BTreeMap<usize, Vec<Worker>>,
    /// Workers whose handlers are under way.
    used: usize,
    /// The most that were in use since the pool was last trimmed.
    used_max: usize,
}

impl WorkerPool {
    /// Takes a worker with a stack of `size` bytes.
    ///
    /// # Errors
    ///
    /// The operating system's, when it has no more memory or mappings.
    pub(crate) fn take<S: Fn(&Suspender<'_>) + 'static>(
        &mut self,
        size: usize,
        serve: impl FnOnce() -> S,
    ) -> std::io::Result<Worker> {
        let worker = match self.last.take_if(|worker| worker.size == size) {
            Some(worker) => worker,
            None => match self.free.get_mut(&size).and_then(Vec::pop) {
                Some(worker) => worker,
                None => Worker::new(size, serve())?,
            },
        };
        self.used += 1;
        self.used_max = self.used_max.max(self.used);
        Ok(worker)
    }

    pub(crate) fn give_back(&mut self, worker: Worker) {
        self.used -= 1;
        if let Some(worker) = self.last.replace(worker) {
            self.free.entry(worker.size).or_default().push(worker);
        }
    }

    pub(crate) const fn used(&self) -> usize {
        self.used
    }

    /// Gives back to the operating system what was not needed since the last time, but for a few.
    pub(crate) fn trim(&mut self) {
        const KEEP: usize = 4;
        let spare = self.used_max.saturating_sub(self.used) + KEEP;
        for workers in self.free.values_mut() {
            let keep = workers.len().min(spare);
            workers.drain(keep..).for_each(Worker::quit);
        }
        self.used_max = self.used;
    }
}

impl Drop for WorkerPool {
    fn drop(&mut self) {
        let free = std::mem::take(&mut self.free);
        let free = free.into_values().flatten();
        free.chain(self.last.take()).for_each(Worker::quit);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn worker(serve: impl Fn(&Suspender<'_>) + 'static) -> Worker {
        Worker::new(64 << 10, serve).expect("memory for a stack")
    }

    #[test]
    fn a_worker_waits_goes_on_where_it_was_and_serves_again() {
        let steps: Rc<RefCell<Vec<u32>>> = Rc::default();
        let seen = steps.clone();
        let mut worker = worker(move |suspender| {
            for step in 0..2 {
                seen.borrow_mut().push(step);
                suspender.suspend();
            }
        });
        for _ in 0..2 {
            assert_eq!(worker.resume(None, None), Pause::Waits);
            assert_eq!(worker.resume(None, None), Pause::Waits);
            assert_eq!(worker.resume(None, None), Pause::Free);
        }
        assert_eq!(*steps.borrow(), [0, 1, 0, 1]);
    }

    #[test]
    fn a_panic_ends_the_handler_and_not_the_worker() {
        let texts: Rc<RefCell<Vec<String>>> = Rc::default();
        let seen = texts.clone();
        let mut worker = worker(move |suspender| {
            let panic = suspender.caught(|| resume_unwind(Box::new("oh")));
            let never: Result<(), String> = panic;
            seen.borrow_mut().extend(never.err());
        });
        assert_eq!(worker.resume(None, None), Pause::Free);
        assert_eq!(worker.resume(None, None), Pause::Free);
        assert_eq!(*texts.borrow(), ["oh", "oh"]);
    }

    #[test]
    fn a_handler_that_swallows_the_end_of_its_worker_and_panics_harms_nobody() {
        let mut worker = worker(|suspender| {
            let unwound = catch_unwind(AssertUnwindSafe(|| suspender.suspend()));
            assert!(unwound.is_err());
            resume_unwind(Box::new("and now this"));
        });
        assert_eq!(worker.resume(None, None), Pause::Waits);
        drop(worker);
    }

    #[test]
    fn dropping_a_worker_whose_handler_waits_runs_its_destructors() {
        struct Flag(Rc<Cell<bool>>);
        impl Drop for Flag {
            fn drop(&mut self) {
                self.0.set(true);
            }
        }
        let dropped = Rc::new(Cell::new(false));
        let flag = dropped.clone();
        let mut worker = worker(move |suspender| {
            let _flag = Flag(flag.clone());
            let _ = suspender.caught(|| suspender.suspend());
        });
        assert_eq!(worker.resume(None, None), Pause::Waits);
        assert!(!dropped.get());
        drop(worker);
        assert!(dropped.get());
    }

    #[test]
    fn free_workers_are_used_again_and_given_back_when_not_needed() {
        let mut pool = WorkerPool::default();
        let all: Vec<_> = (0..10)
            .map(|_| pool.take(64 << 10, || |_: &Suspender<'_>| {}))
            .map(|worker| worker.expect("memory for a stack"))
            .collect();
        assert_eq!(pool.used(), 10);
        all.into_iter().for_each(|worker| pool.give_back(worker));
        pool.trim();
        pool.trim();
        assert!(pool.last.is_some());
        assert_eq!((pool.used(), pool.free[&(64 << 10)].len()), (0, 4));
    }
}
