//! How long a process that died stays down.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::config::Supervision;

/// What the pause grows to.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Within the intensity a process is restarted at once, beyond it after 1 s, 2 s, and so on up to a minute, until it
/// has stayed up for a whole window.
pub(super) struct BackOff {
    supervision: Supervision,
    /// Those within the last window.
    deaths: VecDeque<Instant>,
    /// Since it last stayed up.
    pauses: u32,
}

impl BackOff {
    pub(super) const fn new(supervision: Supervision) -> Self {
        Self {
            supervision,
            deaths: VecDeque::new(),
            pauses: 0,
        }
    }

    /// Notes that a process that was started then died now, and returns the pause before it is restarted.
    pub(super) fn died(&mut self, started: Instant, now: Instant) -> Duration {
        let window = self.supervision.window;
        if now.duration_since(started) >= window {
            self.pauses = 0;
        }
        self.deaths.push_back(now);
        self.deaths
            .retain(|death| now.duration_since(*death) < window);
        // Pauses make deaths rarer than the intensity. That alone is no sign that the process is well.
        if self.pauses == 0 && self.deaths.len() <= self.supervision.restarts {
            return Duration::ZERO;
        }
        let pause = Duration::from_secs(1 << self.pauses.min(6)).min(PAUSE_MAX);
        self.pauses = self.pauses.saturating_add(1);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A process in time that passes as it is said.
    struct Run {
        back_off: BackOff,
        now: Instant,
    }

    impl Run {
        fn new(restarts: usize) -> Self {
            let window = 60 * SECOND;
            Self {
                back_off: BackOff::new(Supervision { restarts, window }),
                now: Instant::now(),
            }
        }

        /// Lets the process die so long after each start, and returns the pauses that follow, in seconds.
        fn pauses(&mut self, lives: impl IntoIterator<Item = Duration>) -> Vec<u64> {
            let pause = |life| {
                let started = self.now;
                self.now += life;
                let pause = self.back_off.died(started, self.now);
                self.now += pause;
                pause.as_secs()
            };
            lives.into_iter().map(pause).collect()
        }
    }

    #[test]
    fn pauses_double_to_a_minute_while_a_process_dies_at_once() {
        let mut run = Run::new(5);
        let pauses = run.pauses([Duration::ZERO; 5 + 10]);
        assert_eq!(pauses, [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60]);
    }

    #[test]
    fn a_process_that_dies_at_once_is_started_twenty_times_in_ten_minutes() {
        let mut run = Run::new(5);
        let began = run.now;
        let mut starts = 1;
        while run.now.duration_since(began) < 600 * SECOND {
            run.pauses([SECOND / 10]);
            starts += usize::from(run.now.duration_since(began) < 600 * SECOND);
        }
        // Six at once, six with pauses of up to 32 s, and one a minute.
        assert_eq!(starts, 6 + 6 + 8);
    }

    #[test]
    fn pauses_begin_anew_only_after_a_whole_window_up() {
        let mut run = Run::new(2);
        assert_eq!(run.pauses([Duration::ZERO; 5]), [0, 0, 1, 2, 4]);
        assert_eq!(run.pauses([59 * SECOND; 3]), [8, 16, 32]);
        assert_eq!(run.pauses([60 * SECOND]), [0]);
        assert_eq!(run.pauses([Duration::ZERO; 3]), [0, 1, 2]);
    }

    #[test]
    fn deaths_within_the_intensity_never_pause() {
        let mut run = Run::new(2);
        assert_eq!(run.pauses([31 * SECOND; 100]), [0; 100]);
    }

    #[test]
    fn without_restarts_at_once_the_first_death_pauses() {
        let mut run = Run::new(0);
        assert_eq!(run.pauses([3600 * SECOND, SECOND]), [1, 2]);
        assert_eq!(run.pauses([3600 * SECOND, SECOND]), [1, 2]);
    }
}
