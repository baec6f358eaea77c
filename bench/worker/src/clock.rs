//! The real clocks, also inside a simulator that answers `clock_gettime` itself.

use std::time::Duration;

/// Returns the monotonic clock.
#[must_use]
pub fn wall() -> Duration {
    read(libc::CLOCK_MONOTONIC)
}

/// Returns the processor time that this process has used, in all its threads.
#[must_use]
pub(crate) fn processor() -> Duration {
    read(libc::CLOCK_PROCESS_CPUTIME_ID)
}

/// Asks the kernel directly: one of the simulators takes the C library's function over.
#[expect(
    unsafe_code,
    reason = "there is no safe way around the C library's function"
)]
fn read(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the kernel writes a timespec to a place that holds one.
    let result = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, &raw mut time) };
    assert_eq!(result, 0, "invariant: these clocks exist");
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// Wall and processor time since it was started.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch {
    wall: Duration,
    processor: Duration,
}

impl Stopwatch {
    /// Starts.
    #[must_use]
    pub fn start() -> Self {
        Self {
            wall: wall(),
            processor: processor(),
        }
    }

    /// Returns the seconds that have passed.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        (wall() - self.wall).as_secs_f64()
    }

    /// Returns the processor seconds that this process has used.
    #[must_use]
    pub fn processor_seconds(&self) -> f64 {
        (processor() - self.processor).as_secs_f64()
    }
}
