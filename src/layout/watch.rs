//! A thread that sees when a handler does not give the thread back. It touches no component.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use monofil_transport::{Progress, Running};

/// What one node publishes, and what was found there last.
pub(super) struct Watched {
    progress: Arc<Progress>,
    held: Option<(Running, Instant)>,
}

impl Watched {
    pub(super) fn new(progress: Arc<Progress>) -> Self {
        Self {
            progress,
            held: None,
        }
    }

    /// Returns the handler that has been there since the last look, and for how long.
    fn look(&mut self) -> Option<(&Running, Duration)> {
        let running = self.progress.running();
        let same = match (&self.held, &running) {
            (Some((before, _)), Some(now)) => before.entry == now.entry,
            _ => false,
        };
        if !same {
            self.held = running.map(|running| (running, Instant::now()));
            return None;
        }
        self.held
            .as_ref()
            .map(|(running, since)| (running, since.elapsed()))
    }
}

/// The thread. Dropping it ends it.
pub(super) struct Sentinel {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Sentinel {
    /// Calls `held` with each handler that holds the thread for `threshold`, and again at twice, four
    /// times, ... as long. Without a thread nothing is watched, which is no reason not to run.
    pub(super) fn start(
        mut nodes: Vec<Watched>,
        threshold: Duration,
        mut held: impl FnMut(&Running, Duration) + Send + 'static,
    ) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let stop = ended.clone();
        let watch = move || {
            let period =
                (threshold / 4).clamp(Duration::from_millis(5), Duration::from_millis(250));
            let mut reported: Option<(u64, Duration)> = None;
            while !stop.load(Ordering::Acquire) {
                thread::park_timeout(period);
                for node in &mut nodes {
                    let Some((running, since)) = node.look() else {
                        continue;
                    };
                    let due = match reported {
                        Some((entry, at)) if entry == running.entry => at * 2,
                        _ => threshold,
                    };
                    if since >= due {
                        reported = Some((running.entry, due));
                        held(running, since);
                    }
                }
            }
        };
        let thread = thread::Builder::new()
            .name("monofil-watch".to_owned())
            .spawn(watch);
        Self {
            ended,
            thread: thread.ok(),
        }
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // Its panic, if it had one, was reported then.
            let _ = thread.join();
        }
    }
}
