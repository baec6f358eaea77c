//! What all nodes of a process share.

use std::io::{self, Write};
use std::process;
use std::sync::{Mutex, Once, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::raw::exit_at_once;

/// The exit code of a process that [`exit_watchdog`] had to end.
pub const EXIT_CODE_WATCHDOG: i32 = 70;

/// Returns this process's ZeroMQ context, which the first node makes.
///
/// It is never destroyed: destroying it waits for every socket, and a process that wants to end must
/// not wait for a peer.
pub(crate) fn context(io_threads: u32) -> Result<zmq::Context, String> {
    static CONTEXT: Mutex<Option<zmq::Context>> = Mutex::new(None);
    let mut shared = CONTEXT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(context) = &*shared {
        return Ok(context.clone());
    }
    prepare();
    let context = zmq::Context::new();
    let threads = i32::try_from(io_threads).unwrap_or(1);
    // The zmq crate does not notice that a context could not be made; its first use does.
    if let Err(error) = context.set_io_threads(threads) {
        // Dropping it would try to destroy what was never made.
        std::mem::forget(context);
        return Err(error.message().to_owned());
    }
    *shared = Some(context.clone());
    Ok(context)
}

/// Raises the limit on descriptors and says what the build lacks, once.
fn prepare() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        raise_descriptor_limit();
        for feature in missing_features() {
            tracing::warn!(feature, "this build of libzmq lacks something");
        }
    });
}

/// At its limit of descriptors a libzmq listener spins, so there should be as many as allowed.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit on open descriptors stays as it is");
    }
}

/// Names what this build lacks because it was made without the patched `zmq-sys`: nothing, in a build
/// of this repository.
///
/// Each is logged as a warning when the first node starts. Whoever depends on this crate repeats the
/// `[patch.crates-io]` entry for `zmq-sys` in their own workspace to get them.
#[must_use]
pub fn missing_features() -> Vec<String> {
    let built_with: Vec<&str> = env!("MONOFIL_ZMQ_FEATURES").split(',').collect();
    let mut missing = Vec::new();
    if zmq::version() < (4, 3, 5) {
        let (major, minor, patch) = zmq::version();
        missing.push(format!(
            "the fixes of libzmq 4.3.5: this is {major}.{minor}.{patch}"
        ));
    }
    if !built_with.contains(&"keepalive") {
        missing.push("TCP keep-alive: its options are accepted and do nothing".to_owned());
    }
    if !built_with.contains(&"monotonic") {
        missing
            .push("monotonic timers: heartbeats and reconnects follow the wall clock".to_owned());
    }
    missing
}

/// Tells whether this build of libzmq can encrypt: it was made with the feature `curve` of the patched
/// `zmq-sys`.
#[must_use]
pub fn can_encrypt() -> bool {
    zmq::has("curve") == Some(true)
}

/// Returns the instant that is zero on every node's clock in this process.
pub(crate) fn epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    *EPOCH.get_or_init(Instant::now)
}

/// Ends the process with [`EXIT_CODE_WATCHDOG`] if it has not ended by itself after `patience`.
///
/// For the very end of a program: a destructor, a helper thread or a library that hangs must not keep
/// a drained node from being replaced. What it does is written to standard error.
pub fn exit_watchdog(patience: Duration) {
    let watchdog = thread::Builder::new()
        .name("monofil-exit".to_owned())
        .stack_size(64 << 10)
        .spawn(move || {
            thread::sleep(patience);
            // Not `eprintln!`: it panics when standard error is gone, and then the process would stay.
            let _ = writeln!(
                io::stderr(),
                "monofil: process {} did not end within {patience:?} of its shutdown; ended by the exit watchdog",
                process::id()
            );
            exit_at_once(EXIT_CODE_WATCHDOG);
        });
    if let Err(error) = watchdog {
        tracing::warn!(%error, "the exit watchdog could not be started");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_of_this_repository_lacks_nothing() {
        assert_eq!(missing_features(), Vec::<String>::new());
    }
}
