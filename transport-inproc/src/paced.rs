//! The same world, paced by a real clock.

use std::any::Any;
use std::time::Duration;

use monofil_transport::{Instant, JobOutcome, Shutdown};

use crate::World;
use crate::jobs::run_work;

/// The outside of a paced world: a clock, a way to sleep, helper threads and signals. The crate itself
/// has none of them.
///
/// A pacer needs one channel: helper threads send [`HelperJob::run`]'s result through it, a signal
/// handler sends a [`Shutdown`], and [`Pacer::wait`] receives from it with a time-out.
pub trait Pacer {
    /// Returns the monotonic time now. Its epoch is the pacer's own.
    fn now(&mut self) -> Instant;

    /// Returns the next thing that came from outside, sleeping for it at most until `until` (which may
    /// have passed: then it only looks). Returning nothing early is allowed; sleeping on while something
    /// is there is not.
    fn wait(&mut self, until: Instant) -> Option<Outside>;

    /// Has a helper thread call [`HelperJob::run`] and send back what it returns, as
    /// [`Outside::JobDone`]. The world bounds how many are under way; a pacer with fewer threads queues
    /// them.
    fn start(&mut self, job: HelperJob);
}

/// Something that comes into a paced world from outside.
#[derive(Debug)]
pub enum Outside {
    /// A helper thread ended a job.
    JobDone(HelperDone),
    /// All nodes are asked to end.
    Shutdown(Shutdown),
}

/// A job on its way to a helper thread.
pub struct HelperJob {
    index: u32,
    work: Box<dyn FnOnce() -> Box<dyn Any + Send> + Send>,
}

impl HelperJob {
    pub(crate) fn new(index: u32, work: Box<dyn FnOnce() -> Box<dyn Any + Send> + Send>) -> Self {
        Self { index, work }
    }

    /// Runs it, on the thread that calls this, and catches its panic.
    #[must_use]
    pub fn run(self) -> HelperDone {
        HelperDone {
            index: self.index,
            outcome: run_work(self.work),
        }
    }
}

impl std::fmt::Debug for HelperJob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("HelperJob").field(&self.index).finish()
    }
}

/// What came of a [`HelperJob`].
#[derive(Debug)]
pub struct HelperDone {
    index: u32,
    outcome: JobOutcome,
}

/// The most that virtual time advances between two looks at the clock, however long the thread was stopped.
const ADVANCE_MAX: Duration = Duration::from_millis(100);
/// The longest sleep. Shorter than what time may advance, so that a late wake-up costs no time.
const SLEEP_MAX: Duration = Duration::from_millis(50);
/// How many steps are taken before the pacer is asked for what came from outside.
const STEPS_PER_TURN: usize = 128;

/// Runs a world by a real clock.
///
/// Virtual time follows the pacer's clock, which is looked at before each turn of a node: what one node's
/// turn took has passed for the next one, so latencies measured in the world are real. From one look to
/// the next it advances at most 100 ms. A thread that stood at a breakpoint for a minute finds 100 ms
/// gone, not every deadline passed. Nothing is slept while work is due.
pub struct Paced<P> {
    world: World,
    pacer: P,
    /// The pacer's time at the last look.
    looked: Instant,
}

impl<P: std::fmt::Debug> std::fmt::Debug for Paced<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Paced")
            .field("world", &self.world)
            .field("pacer", &self.pacer)
            .finish_non_exhaustive()
    }
}

impl<P: Pacer> Paced<P> {
    /// Paces a world from now on. Jobs that its nodes offload go to the pacer's helper threads.
    pub fn new(mut world: World, mut pacer: P) -> Self {
        world.fabric.helper_jobs = Some(Vec::new());
        let looked = pacer.now();
        Self {
            world,
            pacer,
            looked,
        }
    }

    /// Runs until all programs have ended.
    pub fn run(&mut self) {
        while self.world.unfinished > 0 {
            self.turn();
        }
    }

    /// Turns the loop once: does some of what is due by the clock, and sleeps if nothing more is.
    pub fn turn(&mut self) {
        self.look();
        let mut steps = 0;
        while steps < STEPS_PER_TURN && self.step() {
            steps += 1;
        }
        for job in self
            .world
            .fabric
            .helper_jobs
            .iter_mut()
            .flat_map(|jobs| jobs.drain(..))
        {
            self.pacer.start(job);
        }
        let until = if steps < STEPS_PER_TURN {
            self.sleep_until()
        } else {
            self.looked
        };
        let mut next = self.pacer.wait(until);
        while let Some(outside) = next {
            self.take(outside);
            next = self.pacer.wait(Instant::ZERO);
        }
    }

    /// Does one thing that is due; returns false if there is none.
    fn step(&mut self) -> bool {
        if self.world.event_due() {
            return true;
        }
        // Between two events hardly any time passes; a node's turn runs handlers.
        if self.world.turn_due() {
            self.look();
        }
        self.world.step_due()
    }

    /// Lets virtual time follow the clock.
    fn look(&mut self) {
        let now = self.pacer.now();
        let passed = now.since(self.looked).min(ADVANCE_MAX);
        self.looked = now;
        let target = self.world.now() + passed;
        self.world.fabric.now = target.as_nanos();
    }

    /// Returns the pacer's time at which the next thing is due, or when to look at the clock at the
    /// latest.
    fn sleep_until(&mut self) -> Instant {
        if self.world.unfinished == 0 {
            return self.looked;
        }
        let now = self.world.now();
        let sleep = match self.world.fabric.next_time() {
            Some(time) => now.until(Instant::from_nanos(time)).min(SLEEP_MAX),
            None => SLEEP_MAX,
        };
        self.looked + sleep
    }

    fn take(&mut self, outside: Outside) {
        match outside {
            Outside::JobDone(done) => self.world.fabric.helped(done.index, done.outcome),
            Outside::Shutdown(how) => self.world.shutdown_all(how),
        }
    }

    /// Returns the world.
    pub fn world(&mut self) -> &mut World {
        &mut self.world
    }

    /// Returns the pacer.
    pub fn pacer(&mut self) -> &mut P {
        &mut self.pacer
    }
}
