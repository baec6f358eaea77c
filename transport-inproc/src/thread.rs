//! What a node's thread and its clocks are like.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use monofil_transport::Instant;

use crate::link::nanos;

/// Time that the node which turns just now has spent computing.
///
/// In virtual time handlers take none, so a node could do any number of things at once. What is spent here keeps the
/// node's thread busy: its clock goes on, what it sends leaves later, and it does not turn again before it is over.
/// One handle serves a whole world, in which one node turns at a time.
#[derive(Clone, Default)]
pub struct ThreadTime(Rc<Cell<u64>>);

impl ThreadTime {
    /// Adds to what the node's present turn takes.
    pub fn spend(&self, time: Duration) {
        self.0.set(self.0.get().saturating_add(nanos(time)));
    }

    #[inline]
    pub(crate) fn spent(&self) -> u64 {
        self.0.get()
    }

    #[inline]
    pub(crate) fn begin(&self, nanos: u64) {
        self.0.set(nanos);
    }

    #[inline]
    pub(crate) fn take(&self) -> u64 {
        self.0.take()
    }
}

impl fmt::Debug for ThreadTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ThreadTime").field(&self.0.get()).finish()
    }
}

/// Millionths.
const MILLION: i128 = 1_000_000;

/// Clocks that do not go as the world does.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clocks {
    drift_ppm: i32,
    /// A time of the world and of the node's monotonic clock, since when it has drifted like this.
    world: u64,
    local: u64,
    wall_step_micros: i64,
}

impl Clocks {
    /// Returns what the monotonic clock shows at a time of the world, which is not before the drift was set.
    pub(crate) fn local(&self, world: u64) -> u64 {
        let passed = i128::from(world.saturating_sub(self.world));
        let passed = passed * (MILLION + i128::from(self.drift_ppm)) / MILLION;
        self.local.saturating_add(clamped(passed))
    }

    /// Returns the first time of the world at which the monotonic clock shows `local`.
    pub(crate) fn world(&self, local: u64) -> u64 {
        if local == Instant::FAR_FUTURE.as_nanos() {
            return local;
        }
        let pace = (MILLION + i128::from(self.drift_ppm)).max(1);
        let passed = i128::from(local.saturating_sub(self.local)) * MILLION;
        self.world
            .saturating_add(clamped((passed + pace - 1) / pace))
    }

    pub(crate) fn drift(&mut self, now: u64, ppm: i32) {
        *self = Self {
            local: self.local(now),
            world: now,
            // A clock that stands, or goes back, is no monotonic clock.
            drift_ppm: ppm.max(-999_999),
            wall_step_micros: self.wall_step_micros,
        };
    }

    pub(crate) fn step_wall(&mut self, micros: i64) {
        self.wall_step_micros = self.wall_step_micros.saturating_add(micros);
    }

    /// Returns what the wall clock shows that showed `start` at the beginning.
    pub(crate) fn wall_micros(&self, start: u64, world: u64) -> u64 {
        (start + self.local(world) / 1_000).saturating_add_signed(self.wall_step_micros)
    }
}

fn clamped(nanos: i128) -> u64 {
    u64::try_from(nanos.max(0)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_drifts_never_jumps_and_is_read_both_ways() {
        let mut clocks = Clocks::default();
        assert_eq!(clocks.local(5_000_000), 5_000_000);
        clocks.drift(5_000_000, 500_000);
        assert_eq!(clocks.local(5_000_000), 5_000_000);
        assert_eq!(clocks.local(7_000_000), 8_000_000);
        clocks.drift(7_000_000, -999_999);
        assert_eq!(clocks.local(8_000_000), 8_000_001);
        clocks.drift(8_000_000, i32::MIN);
        assert!(clocks.local(9_000_000) > clocks.local(8_000_000));
        for ppm in [-500_000, -3, 0, 7, 1_000_000] {
            clocks.drift(10_000_000, ppm);
            for local in (9_000_000..20_000_000).step_by(99_991) {
                let world = clocks.world(local);
                assert!(clocks.local(world) >= local, "{ppm} {local}");
                assert!(
                    world <= 10_000_000 || clocks.local(world - 1) < local,
                    "{ppm} {local}"
                );
            }
        }
        assert_eq!(clocks.world(u64::MAX), u64::MAX);
    }

    #[test]
    fn the_wall_clock_jumps() {
        let mut clocks = Clocks::default();
        clocks.step_wall(-3);
        assert_eq!(clocks.wall_micros(10, 2_000), 9);
        clocks.step_wall(-100);
        assert_eq!(clocks.wall_micros(10, 2_000), 0);
    }
}
