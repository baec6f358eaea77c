//! Plain code that runs as a component: what a test does, and a workload's clients.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use monofil_container::{
    Component, ComponentSpec, Context, HandlerError, InstanceLimits, Message, Reply, StartReason,
    Status,
};

/// The stack of a task, in bytes: it is a program's main function rather than a handler.
const STACK_BYTES: usize = 1 << 20;

type Outcome<R> = Rc<RefCell<Option<Result<R, Box<dyn Any + Send>>>>>;

/// Code that runs on a node of its own, and what came of it.
pub struct Task<R> {
    name: String,
    outcome: Outcome<R>,
}

impl<R> Task<R> {
    /// Tells whether it has returned, or panicked.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.outcome.borrow().is_some()
    }

    /// Takes what it returned; `None` while it runs, and once it was taken.
    ///
    /// # Panics
    ///
    /// When the task panicked, with what it panicked with.
    #[must_use]
    pub fn take(&self) -> Option<R> {
        match self.outcome.borrow_mut().take()? {
            Ok(value) => Some(value),
            Err(panic) => resume_unwind(panic),
        }
    }

    /// Returns the node it runs on.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl<R> Clone for Task<R> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            outcome: self.outcome.clone(),
        }
    }
}

impl<R> fmt::Debug for Task<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("name", &self.name)
            .field("done", &self.is_done())
            .finish()
    }
}

/// What a client runs next.
type Next = Rc<RefCell<Option<Box<dyn FnOnce(&mut Context) -> Option<Rerun>>>>>;

/// The way a killed node's code ends: not by a panic of its own.
type Rerun = Box<dyn Any + Send>;

/// A node that runs tasks, one after the other.
#[derive(Clone, Default)]
pub(crate) struct Client {
    next: Next,
    busy: Rc<Cell<bool>>,
}

impl Client {
    pub(crate) fn is_busy(&self) -> bool {
        self.busy.get()
    }

    /// Sets what runs when the node starts next.
    pub(crate) fn give<R: 'static>(
        &self,
        name: &str,
        run: impl FnOnce(&mut Context) -> R + 'static,
    ) -> Task<R> {
        let outcome: Outcome<R> = Rc::default();
        let task = Task {
            name: name.to_owned(),
            outcome: outcome.clone(),
        };
        self.busy.set(true);
        *self.next.borrow_mut() = Some(Box::new(move |cx| {
            match catch_unwind(AssertUnwindSafe(|| run(cx))) {
                // Nothing went wrong in it: its node was killed, and it ends with it.
                Err(end) if cx.is_cancelled() => return Some(end),
                result => *outcome.borrow_mut() = Some(result),
            }
            None
        }));
        task
    }

    /// Describes the component that runs what was given: it has the client's name, so that whoever is called sees which
    /// client it was.
    pub(crate) fn spec(&self, name: &str) -> ComponentSpec {
        let client = self.clone();
        let mut spec = ComponentSpec::new(name, move || Main(client.clone()));
        spec.limits = InstanceLimits {
            stack_bytes: STACK_BYTES,
            ..InstanceLimits::default()
        };
        spec
    }
}

/// Runs the code in its `start`, which has no deadline. If its node restarts, the code does not.
struct Main(Client);

impl Component for Main {
    fn start(&mut self, cx: &mut Context, _: StartReason) -> Result<(), Status> {
        let next = self.0.next.borrow_mut().take();
        if let Some(run) = next {
            let ended = run(cx);
            self.0.busy.set(false);
            if let Some(end) = ended {
                resume_unwind(end);
            }
        }
        Ok(())
    }

    fn handle(&mut self, _: &mut Context, message: Message) -> Result<Reply, HandlerError> {
        Err(HandlerError::Unimplemented(format!(
            "a task has no methods, and so no `{}`",
            message.method()
        )))
    }
}
