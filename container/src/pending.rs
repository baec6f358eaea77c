//! Handles to calls that are under way.

use std::fmt;

use crate::core::Shared;

/// The answer to a call that is under way. Dropping it cancels the call.
#[must_use = "dropping it cancels the call"]
pub struct RawPending {
    pub(crate) core: Shared,
    pub(crate) id: u64,
}

/// A streamed answer. Dropping it cancels the stream.
#[must_use = "dropping it cancels the stream"]
pub struct RawReplies {
    pub(crate) pending: RawPending,
}

impl RawPending {
    /// Tells whether waiting for it would return at once.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let core = self.core.borrow();
        core.dead
            || core
                .calls
                .get(self.id)
                .is_none_or(crate::calls::OutgoingCall::is_ready)
    }
}

impl Drop for RawPending {
    fn drop(&mut self) {
        self.core.borrow_mut().drop_call(self.id);
    }
}

impl fmt::Debug for RawPending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawPending")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RawReplies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawReplies")
            .field("id", &self.pending.id)
            .finish_non_exhaustive()
    }
}
