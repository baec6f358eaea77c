//! How many messages are handled in a while.

use std::time::Duration;

use crate::{Job, Order, Sample, Stopwatch, finish, wall};

/// So many messages are counted between two looks at the clock, unless they are rare.
const LOOK_EVERY: u32 = 256;

/// Counts messages where they are handled, first to warm up, then for as long as the job says.
///
/// The time begins with the first message. When it is over the process hands its sample over and ends.
#[derive(Debug)]
pub struct Meter {
    warm: Duration,
    window: Duration,
    every: u32,
    until_look: u32,
    count: u64,
    order: Order,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Waiting,
    Warming {
        until: Duration,
    },
    Measuring {
        since: Stopwatch,
        from: u64,
        lost: u64,
    },
}

impl Meter {
    /// Makes a meter for messages that are frequent.
    #[must_use]
    pub const fn new(job: &Job) -> Self {
        Self::looking_every(job, LOOK_EVERY)
    }

    /// Makes a meter that looks at the clock once in so many messages.
    #[must_use]
    pub const fn looking_every(job: &Job, every: u32) -> Self {
        Self {
            warm: job.warm,
            window: job.window,
            every,
            until_look: 1,
            count: 0,
            order: Order::new(),
            phase: Phase::Waiting,
        }
    }

    /// Counts a message that carries a number, which is checked.
    #[inline]
    pub fn take(&mut self, number: u64) {
        self.order.take(number);
        self.count();
    }

    /// Counts a message that was checked already.
    #[inline]
    pub fn count(&mut self) {
        self.count += 1;
        self.until_look -= 1;
        if self.until_look == 0 {
            self.look();
        }
    }

    #[cold]
    fn look(&mut self) {
        self.until_look = self.every;
        match self.phase {
            Phase::Waiting => {
                let until = wall() + self.warm;
                self.phase = Phase::Warming { until };
            }
            Phase::Warming { until } if wall() >= until => {
                self.phase = Phase::Measuring {
                    since: Stopwatch::start(),
                    from: self.count,
                    lost: self.order.lost(),
                };
            }
            Phase::Measuring { since, from, lost }
                if since.seconds() >= self.window.as_secs_f64() =>
            {
                finish(Sample {
                    amount: (self.count - from) as f64,
                    seconds: since.seconds(),
                    processor_seconds: since.processor_seconds(),
                    lost: self.order.lost() - lost,
                    ..Sample::default()
                });
            }
            _ => {}
        }
    }
}
