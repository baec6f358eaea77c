//! Which handler is on this thread, for log lines.
//!
//! A log line should say which component and message it belongs to, and a span for each message would cost
//! more than most messages. So the container notes here what it runs, and a log formatter asks.

use std::cell::RefCell;

use crate::core::Shared;
use crate::{Name, Trace};

/// The handler on this thread.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Current {
    /// The node's name.
    pub node: Name,
    /// `app/name`
    pub component: Name,
    /// Which of the component's instances on this node, from 0.
    pub instance: u32,
    /// `package.Service/Method`
    pub method: Name,
    /// The id of the message being handled, which is unique among those of the incarnation of the node that
    /// sent it. `None` where no message is handled: in `start` and `stop`, for example.
    pub message_id: Option<u64>,
    /// The business flow; empty when there is none.
    pub flow: Name,
    /// The trace it belongs to.
    pub trace: Trace,
}

thread_local! {
    /// The container whose handlers run.
    static CURRENT: RefCell<Option<Shared>> = const { RefCell::new(None) };
}

/// Returns the handler that runs on this thread, if one does. `None` as well for what the container itself
/// says while it does something for a handler.
#[must_use]
pub fn current() -> Option<Current> {
    let noted = |current: &RefCell<Option<Shared>>| current.try_borrow().ok()?.clone();
    let core = CURRENT.try_with(noted).ok().flatten()?;
    let core = core.try_borrow().ok()?;
    let task = core.running.as_ref()?;
    // An item of a stream is made on behalf of the instance that began it.
    let instance = task.instance.or(task.sender.instance);
    Some(Current {
        node: core.name.clone(),
        component: task.sender.component.clone(),
        instance: instance.map_or(0, |index| core.instances[index].number),
        method: task.method.clone(),
        message_id: task.sender.message,
        flow: task.sender.flow.clone(),
        trace: task.sender.trace,
    })
}

/// Says whose handlers run on this thread from now on; returns whose did before.
pub(crate) fn enter(core: &Shared) -> Option<Shared> {
    CURRENT.replace(Some(core.clone()))
}

/// Says that it is these again.
pub(crate) fn leave(before: Option<Shared>) {
    CURRENT.set(before);
}
