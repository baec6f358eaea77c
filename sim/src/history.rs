//! What clients asked of a system and what they were told, and when.

use std::cell::{Ref, RefCell};
use std::rc::Rc;

use monofil_container::{CallError, Context, Executed};
use monofil_transport::Instant;

/// A call that a client made, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation<Op, Ret> {
    /// Who made it.
    pub client: u64,
    /// What was asked.
    pub op: Op,
    /// When it was made.
    pub invoked: Instant,
    /// When it returned, and what; `None` when it is under way or its outcome is unknown. It may then take effect
    /// at any time, or never.
    pub returned: Option<(Instant, Ret)>,
    /// Places in the order in which everything was noted. Two events of one virtual time have an order, too.
    pub(crate) begin: u64,
    pub(crate) end: u64,
}

/// Which operation of its history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OperationId(usize);

/// Operations on one system, in the order in which they were invoked.
///
/// An operation precedes another if its return was noted before the other's invocation, even at the same virtual
/// time: a simulated world does one thing after the other, and a handler may have seen the first end before the
/// second began.
#[derive(Clone, Debug)]
pub struct History<Op, Ret> {
    /// `None`: had no effect, and was taken out.
    operations: Vec<Option<Operation<Op, Ret>>>,
    noted: u64,
}

impl<Op, Ret> Default for History<Op, Ret> {
    fn default() -> Self {
        Self {
            operations: Vec::new(),
            noted: 0,
        }
    }
}

impl<Op, Ret> History<Op, Ret> {
    /// Begins an empty history.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes that a client makes a call. Until it returns its outcome is unknown.
    pub fn invoke(&mut self, client: u64, op: Op, now: Instant) -> OperationId {
        let begin = self.next();
        self.operations.push(Some(Operation {
            client,
            op,
            invoked: now,
            returned: None,
            begin,
            end: u64::MAX,
        }));
        OperationId(self.operations.len() - 1)
    }

    /// Notes what a call returned. One that has returned before, or was taken out, keeps its first outcome.
    pub fn returned(&mut self, id: OperationId, ret: Ret, now: Instant) {
        let end = self.next();
        let operation = self.operations[id.0].as_mut();
        if let Some(operation) = operation.filter(|it| it.returned.is_none()) {
            operation.returned = Some((now, ret));
            operation.end = end;
        }
    }

    /// Takes out a call that certainly had no effect and returned nothing: it was refused before it was run.
    pub fn had_no_effect(&mut self, id: OperationId) {
        self.operations[id.0].take_if(|it| it.returned.is_none());
    }

    /// Returns all operations.
    pub fn operations(&self) -> impl Iterator<Item = &Operation<Op, Ret>> {
        self.operations.iter().flatten()
    }

    /// Returns how many operations there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.operations().count()
    }

    /// Tells whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    const fn next(&mut self) -> u64 {
        self.noted += 1;
        self.noted
    }
}

/// A history that is being written by several clients of one world. Clones write the same one.
#[derive(Debug)]
pub struct SharedHistory<Op, Ret>(Rc<RefCell<History<Op, Ret>>>);

impl<Op, Ret> Clone for SharedHistory<Op, Ret> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<Op, Ret> Default for SharedHistory<Op, Ret> {
    fn default() -> Self {
        Self(Rc::default())
    }
}

impl<Op, Ret: Clone> SharedHistory<Op, Ret> {
    /// Begins an empty history.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a call and notes it: as returned if it did, not at all if it failed and did not run, and otherwise as
    /// one whose outcome is unknown. So it is, too, if the client's node dies meanwhile.
    ///
    /// # Errors
    ///
    /// Those of `call`. A component's own error counts as unknown; where it says that nothing was done, let `call`
    /// make it a return value.
    pub fn call(
        &self,
        cx: &mut Context,
        client: u64,
        op: Op,
        call: impl FnOnce(&mut Context) -> Result<Ret, CallError>,
    ) -> Result<Ret, CallError> {
        let id = self.0.borrow_mut().invoke(client, op, cx.now());
        let result = call(cx);
        let mut history = self.0.borrow_mut();
        match &result {
            Ok(ret) => history.returned(id, ret.clone(), cx.now()),
            Err(error) if error.executed() == Executed::No => history.had_no_effect(id),
            Err(_) => {}
        }
        result
    }
}

impl<Op, Ret> SharedHistory<Op, Ret> {
    /// Returns what was noted until now.
    #[must_use]
    pub fn get(&self) -> Ref<'_, History<Op, Ret>> {
        self.0.borrow()
    }

    /// Changes what was noted, for clients that are not handlers.
    pub fn with<R>(&self, change: impl FnOnce(&mut History<Op, Ret>) -> R) -> R {
        change(&mut self.0.borrow_mut())
    }
}
