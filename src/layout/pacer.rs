//! The outside of a paced world: the real clock, helper threads, signals.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Instant as Clock;

use monofil_inproc::{HelperDone, HelperJob, Outside, Pacer};
use monofil_transport::Instant;

use super::signals;
use crate::exit::Failure;

/// What the other threads send to the one that runs the world.
enum News {
    JobDone(HelperDone),
    Signal,
}

/// Paces a world by the real clock.
pub(super) struct RealPacer {
    began: Clock,
    news: Receiver<News>,
    helpers: Helpers,
    /// Do not sleep: a node has ended.
    nudge: Rc<Cell<bool>>,
    /// How often the process was asked to end.
    asked: usize,
}

impl RealPacer {
    /// Starts to listen to signals.
    pub(super) fn start(
        helpers_max: usize,
        drain: std::time::Duration,
        nudge: Rc<Cell<bool>>,
    ) -> Result<Self, Failure> {
        let (sender, news) = mpsc::channel();
        let to = sender.clone();
        signals::listen(drain, &[], move |_| {
            // Nobody listens any more: the world has ended.
            let _ = to.send(News::Signal);
        })?;
        Ok(Self {
            began: Clock::now(),
            news,
            helpers: Helpers::new(helpers_max, sender),
            nudge,
            asked: 0,
        })
    }

    /// Returns how often the process was asked to end.
    pub(super) const fn asked(&self) -> usize {
        self.asked
    }
}

impl Pacer for RealPacer {
    fn now(&mut self) -> Instant {
        let nanos = self.began.elapsed().as_nanos();
        Instant::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn wait(&mut self, until: Instant) -> Option<Outside> {
        let left = self.now().until(until);
        let news = if left.is_zero() || self.nudge.take() {
            self.news.try_recv().ok()
        } else {
            self.news.recv_timeout(left).ok()
        };
        match news? {
            News::JobDone(done) => Some(Outside::JobDone(done)),
            News::Signal => {
                self.asked += 1;
                None
            }
        }
    }

    fn start(&mut self, job: HelperJob) {
        self.helpers.start(job);
    }
}

/// Threads for blocking work, started when they are needed.
struct Helpers {
    shared: Arc<Shared>,
    most: usize,
    started: usize,
    done: Sender<News>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<HelperJob>,
    idle: usize,
    ended: bool,
}

impl Helpers {
    fn new(most: usize, done: Sender<News>) -> Self {
        Self {
            shared: Arc::default(),
            most,
            started: 0,
            done,
        }
    }

    fn start(&mut self, job: HelperJob) {
        let mut queue = lock(&self.shared.queue);
        queue.jobs.push_back(job);
        let short = queue.jobs.len() > queue.idle && self.started < self.most;
        drop(queue);
        self.shared.changed.notify_one();
        if short {
            self.hire();
        }
    }

    fn hire(&mut self) {
        let (shared, done) = (self.shared.clone(), self.done.clone());
        let helper = thread::Builder::new().name(format!("monofil-help-{}", self.started));
        match helper.spawn(move || shared.help(&done)) {
            Ok(_) => self.started += 1,
            // Those that run will come to it.
            Err(error) if self.started > 0 => {
                tracing::warn!(%error, "another helper thread cannot be started");
            }
            Err(error) => {
                tracing::error!(%error, "no helper thread can be started; blocking work holds up the rest");
                let job = lock(&self.shared.queue).jobs.pop_front();
                if let Some(job) = job {
                    let _ = self.done.send(News::JobDone(job.run()));
                }
            }
        }
    }
}

impl Drop for Helpers {
    /// Lets idle helpers end. What one is at cannot be stopped, and nobody waits for it.
    fn drop(&mut self) {
        lock(&self.shared.queue).ended = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn help(&self, done: &Sender<News>) {
        while let Some(job) = self.next() {
            if done.send(News::JobDone(job.run())).is_err() {
                return;
            }
        }
    }

    fn next(&self) -> Option<HelperJob> {
        let mut queue = lock(&self.queue);
        loop {
            if queue.ended {
                return None;
            }
            if let Some(job) = queue.jobs.pop_front() {
                return Some(job);
            }
            queue.idle += 1;
            queue = self
                .changed
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
            queue.idle -= 1;
        }
    }
}

/// Locks what no panic can have left half done.
fn lock(queue: &Mutex<Queue>) -> std::sync::MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}
