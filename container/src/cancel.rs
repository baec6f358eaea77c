//! Giving up what a component is at, from outside.

use crate::Container;
use crate::calls::TaskId;

impl Container {
    /// Tells the handlers of a component (`app/name`) that nobody waits for them any more: whatever they
    /// wait for ends with [`CallError::Cancelled`](crate::CallError::Cancelled), at once and from then on.
    pub fn cancel(&mut self, component: &str) {
        let mut core = self.shared().borrow_mut();
        let tasks = core.tasks.iter();
        let of_it: Vec<_> = tasks
            .filter(|(_, task)| task.sender.component == *component)
            .map(|(id, _)| TaskId(id))
            .collect();
        for task in of_it {
            core.cancel_task(task);
        }
    }
}
