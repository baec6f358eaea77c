//! Work that takes long, away from the node's thread.

use std::any::Any;
use std::fmt;
use std::time::Duration;

/// A job handed to [`Offload::offload`]. The node chooses it and never reuses one that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

/// What a job returned.
pub enum JobOutcome {
    /// It returned this value.
    Returned(Box<dyn Any + Send>),
    /// It panicked with this message.
    Panicked(String),
}

impl fmt::Debug for JobOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Returned(_) => f.write_str("Returned(..)"),
            Self::Panicked(message) => f.debug_tuple("Panicked").field(message).finish(),
        }
    }
}

/// A piece of blocking work.
pub struct OffloadJob {
    /// What comes back with its outcome.
    pub id: JobId,
    /// Runs on a helper thread; in a simulated world on the world's thread, in no virtual time.
    pub work: Box<dyn FnOnce() -> Box<dyn Any + Send> + Send>,
    /// How long it takes in a simulated world, where its real duration must not matter.
    pub modelled: Duration,
}

impl fmt::Debug for OffloadJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OffloadJob")
            .field("id", &self.id)
            .field("modelled", &self.modelled)
            .finish_non_exhaustive()
    }
}

/// The helper threads are busy and their queue is full; the job is handed back, not run.
#[derive(Debug, thiserror::Error)]
#[error("no helper thread takes another job: {limit} are waiting")]
pub struct OffloadFull {
    /// The job.
    pub job: OffloadJob,
    /// How many jobs may wait.
    pub limit: usize,
}

/// Runs blocking work on a bounded pool of helper threads, which belong to the backend.
pub trait Offload {
    /// Starts a job; [`Event::JobDone`](crate::Event::JobDone) reports its end.
    ///
    /// # Errors
    ///
    /// [`OffloadFull`] with the job when the pool's queue is full.
    fn offload(&mut self, job: OffloadJob) -> Result<(), OffloadFull>;
}
