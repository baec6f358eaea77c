//! Handlers on stacks of their own.
//!
//! A handler runs as a stackful coroutine, so that a call which must wait can suspend it in the middle of
//! plain synchronous code. A fresh stack costs a system call and page faults, so stacks are pooled by size;
//! the pool gives back what it has not needed for a while.
//!
//! ```text
//!   container          fiber
//!      │   resume        │
//!      ├────────────────▶│  handler runs
//!      │                 │  cx.call(..)
//!      │◀────────────────┤  suspend
//!      │     ...         ┊
//!      ├────────────────▶│  the answer is there
//!      │◀────────────────┤  returns, or panics
//! ```

mod overflow;
mod spans;

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use corosensei::stack::{DefaultStack, Stack};
use corosensei::{Coroutine, CoroutineResult, Yielder};

use crate::Name;

pub(crate) use spans::Suspended as SuspendedSpans;

/// What a handler uses to suspend itself.
pub(crate) type Suspender = Yielder<(), ()>;

/// A handler on its stack.
pub(crate) struct Fiber<R> {
    /// Invariant: `Some` until the fiber is dropped or its stack is taken.
    coroutine: Option<Coroutine<(), (), R, DefaultStack>>,
    spans: SuspendedSpans,
    size: usize,
    guard: usize,
}

/// What happened to a fiber that was resumed.
pub(crate) enum Step<R> {
    /// It waits for something.
    Suspended,
    /// It returned.
    Returned(R),
    /// It panicked, with this message.
    Panicked(String),
}

impl<R: 'static> Fiber<R> {
    /// Puts a function on a stack; it starts at the first [`Fiber::resume`].
    pub(crate) fn new(
        stack: DefaultStack,
        size: usize,
        run: impl FnOnce(&Suspender) -> R + 'static,
    ) -> Self {
        let guard = stack.limit().get();
        let coroutine =
            Coroutine::with_stack(stack, move |suspender: &Suspender, ()| run(suspender));
        Self {
            coroutine: Some(coroutine),
            spans: SuspendedSpans::default(),
            size,
            guard,
        }
    }

    /// Runs it until it suspends or ends. `name` is what a stack overflow is reported under.
    pub(crate) fn resume(&mut self, name: &Name) -> Step<R> {
        let Some(coroutine) = self.coroutine.as_mut() else {
            unreachable!("a fiber without a coroutine is never resumed");
        };
        let base = spans::current();
        self.spans.enter();
        let step = overflow::guarded(name.as_str(), self.size, self.guard, || {
            catch_unwind(AssertUnwindSafe(|| coroutine.resume(())))
        });
        match step {
            Ok(CoroutineResult::Yield(())) => {
                self.spans = SuspendedSpans::leave(base.as_ref());
                Step::Suspended
            }
            Ok(CoroutineResult::Return(value)) => Step::Returned(value),
            Err(panic) => Step::Panicked(panic_message(&*panic)),
        }
    }

    /// Takes the stack of a fiber that has ended.
    pub(crate) fn into_stack(mut self) -> Option<(usize, DefaultStack)> {
        let coroutine = self.coroutine.take()?;
        coroutine
            .done()
            .then(|| (self.size, coroutine.into_stack()))
    }
}

impl<R> Drop for Fiber<R> {
    /// Unwinds a suspended handler: its destructors run, inside the spans it had entered.
    fn drop(&mut self) {
        if let Some(mut coroutine) = self.coroutine.take() {
            let base = spans::current();
            self.spans.enter();
            // Code of the handler's own runs now, and may panic; dropping the coroutine would abort then.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| coroutine.force_unwind())) {
                let panic = panic_message(&*panic);
                tracing::error!(%panic, "a handler panicked as it was given up");
            }
            drop(coroutine);
            SuspendedSpans::leave(base.as_ref());
        }
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

/// The stacks of a container, by size.
#[derive(Default)]
pub(crate) struct StackPool {
    free: BTreeMap<usize, Vec<DefaultStack>>,
    /// Stacks in use.
    used: usize,
    /// The most that were in use since the pool was last trimmed.
    used_max: usize,
}

impl StackPool {
    /// Takes a stack of at least `size` bytes.
    ///
    /// # Errors
    ///
    /// The operating system's, when it has no more memory or mappings.
    pub(crate) fn take(&mut self, size: usize) -> std::io::Result<DefaultStack> {
        let stack = match self.free.get_mut(&size).and_then(Vec::pop) {
            Some(stack) => stack,
            None => DefaultStack::new(size)?,
        };
        self.used += 1;
        self.used_max = self.used_max.max(self.used);
        Ok(stack)
    }

    pub(crate) fn give_back(&mut self, stack: Option<(usize, DefaultStack)>) {
        self.used -= 1;
        if let Some((size, stack)) = stack {
            self.free.entry(size).or_default().push(stack);
        }
    }

    pub(crate) const fn used(&self) -> usize {
        self.used
    }

    /// Gives back to the operating system what was not needed since the last time, but for a few.
    pub(crate) fn trim(&mut self) {
        const KEEP: usize = 4;
        let spare = self.used_max.saturating_sub(self.used) + KEEP;
        for stacks in self.free.values_mut() {
            stacks.truncate(spare);
        }
        self.used_max = self.used;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pooled(pool: &mut StackPool) -> DefaultStack {
        pool.take(64 << 10).expect("memory for a stack")
    }

    #[test]
    fn a_fiber_suspends_and_goes_on_where_it_was() {
        let mut pool = StackPool::default();
        let name = Name::from("test");
        let mut fiber = Fiber::new(pooled(&mut pool), 64 << 10, |suspender| {
            let mut steps = 0;
            for _ in 0..3 {
                steps += 1;
                suspender.suspend(());
            }
            steps
        });
        for _ in 0..3 {
            assert!(matches!(fiber.resume(&name), Step::Suspended));
        }
        assert!(matches!(fiber.resume(&name), Step::Returned(3)));
        pool.give_back(fiber.into_stack());
        assert_eq!(pool.used(), 0);
    }

    #[test]
    fn a_panic_ends_the_fiber_and_its_stack_can_be_used_again() {
        let mut pool = StackPool::default();
        let mut fiber: Fiber<()> = Fiber::new(pooled(&mut pool), 64 << 10, |_| {
            std::panic::resume_unwind(Box::new("oh"))
        });
        assert!(matches!(fiber.resume(&"test".into()), Step::Panicked(text) if text == "oh"));
        let stack = fiber.into_stack();
        assert!(stack.is_some());
        pool.give_back(stack);
    }

    #[test]
    fn a_handler_that_swallows_the_end_of_its_fiber_and_panics_harms_nobody() {
        let mut pool = StackPool::default();
        let mut fiber: Fiber<()> = Fiber::new(pooled(&mut pool), 64 << 10, |suspender| {
            let unwound = catch_unwind(AssertUnwindSafe(|| suspender.suspend(())));
            assert!(unwound.is_err());
            std::panic::resume_unwind(Box::new("and now this"));
        });
        assert!(matches!(fiber.resume(&"test".into()), Step::Suspended));
        drop(fiber);
    }

    #[test]
    fn dropping_a_suspended_fiber_runs_its_destructors() {
        struct Flag(std::rc::Rc<std::cell::Cell<bool>>);
        impl Drop for Flag {
            fn drop(&mut self) {
                self.0.set(true);
            }
        }
        let dropped = std::rc::Rc::new(std::cell::Cell::new(false));
        let flag = Flag(dropped.clone());
        let mut pool = StackPool::default();
        let mut fiber = Fiber::new(pooled(&mut pool), 64 << 10, move |suspender| {
            let _flag = flag;
            suspender.suspend(());
        });
        assert!(matches!(fiber.resume(&"test".into()), Step::Suspended));
        assert!(!dropped.get());
        drop(fiber);
        assert!(dropped.get());
    }
}
