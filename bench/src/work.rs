//! This program as one of the processes that measure.

use bench_worker::{Job, Task, fail, listen_for_the_end};

use crate::rows::OURS;
use crate::{local, remote, sim};

/// Does the job of the last argument, and ends the process.
pub(crate) fn run() -> ! {
    listen_for_the_end();
    // Some frameworks go on after a panic, and then measure something else.
    std::panic::set_hook(Box::new(|panic| fail(panic.to_string())));
    let job = Job::from_arguments();
    let run = program(job.task, &job.contender);
    match run {
        Some(run) => run(&job),
        None => fail(format!("`{}` has no such row", job.contender)),
    }
}

fn program(task: Task, contender: &str) -> Option<fn(&Job) -> !> {
    let program: fn(&Job) -> ! = match (task, contender) {
        (Task::LocalCast | Task::LocalCall, OURS) => local::monofil::run,
        (Task::LocalCast | Task::LocalCall, "actix") => local::actix::run,
        (Task::LocalCast | Task::LocalCall, "ractor") => local::ractor::run,
        (Task::LocalCast | Task::LocalCall, "kameo") => local::kameo::run,
        (Task::Idle { .. }, OURS) => local::idle::monofil,
        (Task::Idle { .. }, "actix") => local::idle::actix,
        (Task::Idle { .. }, "ractor") => local::idle::ractor,
        (Task::Idle { .. }, "kameo") => local::idle::kameo,
        (Task::Cast { .. } | Task::Call { .. }, OURS) => remote::monofil::run,
        (Task::Cast { .. } | Task::Call { .. }, "raw") => remote::raw::run,
        (Task::Cast { .. } | Task::Call { .. }, "tonic" | "tonic stream") => remote::tonic::run,
        (Task::Cast { .. } | Task::Call { .. }, "zenoh") => remote::zenoh::run,
        (Task::Cast { .. } | Task::Call { .. }, "nats") => remote::nats::run,
        (Task::Frames { .. } | Task::IdleWorld { .. }, OURS) => sim::monofil::run,
        (Task::Frames { .. } | Task::IdleWorld { .. }, "turmoil") => sim::turmoil::run,
        (Task::Heartbeats { .. }, OURS) => sim::monofil::run,
        (Task::Heartbeats { .. }, "containers") => sim::heartbeats::run,
        (Task::Heartbeats { .. }, "turmoil") => sim::turmoil::run,
        (Task::Containers, OURS) => sim::containers::run,
        (Task::Membership { .. }, OURS) => sim::membership::run,
        _ => return None,
    };
    Some(program)
}
