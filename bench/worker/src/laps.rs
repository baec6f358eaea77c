//! How long single round trips take.

use std::time::Instant;

use crate::{Job, Sample, Stopwatch, finish};

/// Enough for a minute of round trips that take a microsecond.
const LAPS_MAX: usize = 1 << 26;

/// Measures round trips one by one, first to warm up, then for as long as the job says.
#[derive(Debug)]
pub struct Laps {
    warm: f64,
    window: f64,
    since: Stopwatch,
    warming: bool,
    began: Instant,
    nanos: Vec<u32>,
}

impl Laps {
    /// Begins to warm up.
    #[must_use]
    pub fn new(job: &Job) -> Self {
        Self {
            warm: job.warm.as_secs_f64(),
            window: job.window.as_secs_f64(),
            since: Stopwatch::start(),
            warming: true,
            began: Instant::now(),
            // Growing it would be measured.
            nanos: Vec::with_capacity(1 << 20),
        }
    }

    /// A round trip begins.
    #[inline]
    pub fn begin(&mut self) {
        self.began = Instant::now();
    }

    /// It is over. When the time is, too, the process hands its sample over and ends.
    #[inline]
    pub fn end(&mut self) {
        let nanos = self.began.elapsed().as_nanos();
        if self.nanos.len() < LAPS_MAX {
            self.nanos.push(u32::try_from(nanos).unwrap_or(u32::MAX));
        }
        let seconds = self.since.seconds();
        if self.warming && seconds >= self.warm {
            self.warming = false;
            self.since = Stopwatch::start();
            self.nanos.clear();
        } else if !self.warming && seconds >= self.window {
            self.finish();
        }
    }

    fn finish(&mut self) -> ! {
        let (seconds, processor_seconds) = (self.since.seconds(), self.since.processor_seconds());
        self.nanos.sort_unstable();
        let at = |share: f64| f64::from(self.nanos[(self.nanos.len() as f64 * share) as usize]);
        finish(Sample {
            amount: self.nanos.len() as f64,
            seconds,
            processor_seconds,
            p50_ns: Some(at(0.5)),
            lost: 0,
            note: Some(format!("p99 {:.0} µs", at(0.99) / 1e3)),
        })
    }
}
