//! Which handler is on this thread, for log lines.
//!
//! A log line should say which component and message it belongs to, and a span for each message would cost
//! more than most messages. So the container notes here what it runs, and a log formatter asks.

use std::cell::RefCell;

use crate::core::Task;
use crate::{Name, Trace};

/// The handler on this thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Current {
    /// The node's name.
    pub node: Name,
    /// `app/name`
    pub component: Name,
    /// `package.Service/Method`
    pub method: Name,
    /// The business flow; empty when there is none.
    pub flow: Name,
    /// The trace it belongs to.
    pub trace: Trace,
}

thread_local! {
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
}

/// Returns the handler that runs on this thread, if one does.
#[must_use]
pub fn current() -> Option<Current> {
    CURRENT
        .try_with(|current| current.try_borrow().ok()?.clone())
        .ok()
        .flatten()
}

pub(crate) fn enter(task: &Task, node: &Name) {
    CURRENT.with_borrow_mut(|current| {
        *current = Some(Current {
            node: node.clone(),
            component: task.component.clone(),
            method: task.method.clone(),
            flow: task.sender.flow.clone(),
            trace: task.sender.trace,
        });
    });
}

pub(crate) fn leave() {
    CURRENT.with_borrow_mut(|current| *current = None);
}
