//! What a process is to measure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a process is to do, as its only argument says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Whose turn it is: `ours`, or a peer's name.
    pub contender: String,
    /// What is measured.
    pub task: Task,
    /// Which of its processes this is.
    pub role: Role,
    /// How long it runs before anything counts.
    pub warm: Duration,
    /// How long it is then measured.
    pub window: Duration,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Task {
    /// Casts from one component to another of the same container.
    LocalCast,
    /// Calls, one after the other, from one component to another of the same container.
    LocalCall,
    /// The memory of instances that do nothing.
    Idle { instances: usize },
    /// Casts from one process to another.
    Cast { bytes: usize },
    /// Calls from one process to another, so many under way at once.
    Call { bytes: usize, outstanding: usize },
    /// A ring of simulated nodes, each with so many frames going to and fro to the next one.
    Frames { nodes: usize, in_flight: usize },
    /// Simulated nodes that have a timer and nothing else.
    IdleWorld { nodes: usize, period: Duration },
    /// Simulated nodes each of which tells all others now and then that it is there.
    Heartbeats { nodes: usize, period: Duration },
    /// Casts between whole containers in a simulated world.
    Containers,
    /// Whole containers in a simulated world that keep track of each other.
    Membership { nodes: usize },
}

/// Which of a measurement's processes this is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// The only one.
    Alone,
    /// Listens somewhere, and says where. It measures casts.
    Server,
    /// Speaks to a server. It measures calls.
    Client { address: String },
}

impl Job {
    /// Reads the job from the last argument of this process.
    ///
    /// # Panics
    ///
    /// When there is none, or it is no job: only the program that measures starts these processes.
    #[must_use]
    pub fn from_arguments() -> Self {
        let argument = std::env::args().next_back().unwrap_or_default();
        serde_json::from_str(&argument).expect("the last argument is a job")
    }

    /// Returns the size of the messages, in bytes.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        match self.task {
            Task::Cast { bytes } | Task::Call { bytes, .. } => bytes,
            _ => 64,
        }
    }

    /// Returns where the server is.
    ///
    /// # Panics
    ///
    /// When this is no client.
    #[must_use]
    pub fn address(&self) -> &str {
        match &self.role {
            Role::Client { address } => address,
            _ => panic!("only a client is told an address"),
        }
    }
}
