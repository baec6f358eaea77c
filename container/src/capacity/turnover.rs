//! When something that is full may have room again, by how fast it has been emptied.
//!
//! A table whose entries come and go says nothing of when the next one goes. While it is full, and refuses, it is seen
//! how many have gone since; what is full for the first time has been seen for no time at all, and then the least is
//! said. It is looked at when something is refused, and costs nothing otherwise.

use std::time::Duration;

use monofil_transport::Instant;

use crate::instance::Instance;

/// How far back is looked, and twice that at most; whoever refuses nothing for so long is not full any more.
const WINDOW: Duration = Duration::from_secs(1);

/// What is known of one table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Turnover {
    /// How many had gone by when: at the beginning of the last window, and of this one.
    before: (Instant, u64),
    since: (Instant, u64),
    /// When it refused something last.
    last: Instant,
    /// How often it has.
    refused: u64,
}

impl Turnover {
    /// Returns how often something was refused.
    pub(crate) const fn refused(&self) -> u64 {
        self.refused
    }

    /// Something is refused, and so many have `gone` since the beginning: returns when there may be room.
    pub(crate) fn refuses(&mut self, now: Instant, gone: u64) -> Duration {
        if self.refused == 0 || now.since(self.last) > WINDOW {
            (self.before, self.since) = ((now, gone), (now, gone));
        } else if now.since(self.since.0) >= WINDOW {
            (self.before, self.since) = (self.since, (now, gone));
        }
        self.last = now;
        self.refused += 1;
        let (begun, gone_then) = self.before;
        // If none has gone: as long again.
        let gone = gone.saturating_sub(gone_then).max(1);
        let gone = u32::try_from(gone).unwrap_or(u32::MAX);
        let each = now.since(begun) / gone;
        each.clamp(Instance::RETRY_LEAST, Instance::RETRY_MOST)
    }
}

/// Those of a node.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Turnovers {
    pub(crate) calls: Turnover,
    pub(crate) streams: Turnover,
    pub(crate) delayed: Turnover,
    pub(crate) jobs: Turnover,
    pub(crate) stacks: Turnover,
    /// Streams and delayed messages that there were, those that there are among them.
    pub(crate) streams_begun: u64,
    pub(crate) delayed_begun: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    /// When something is refused, how many have gone by then, and what is said, in milliseconds.
    type Row = (u64, u64, u64);

    #[test]
    fn when_there_may_be_room() {
        let tables: [(&str, &[Row]); 4] = [
            (
                "ten gone in a hundred milliseconds",
                &[(5000, 70, 1), (5100, 80, 10), (5200, 90, 10)],
            ),
            (
                "nothing goes: each time twice as late, up to the most",
                &[
                    (0, 0, 1),
                    (10, 0, 10),
                    (20, 0, 20),
                    (900, 0, 900),
                    (1900, 0, 1900),
                ],
            ),
            (
                "what was long ago counts no more",
                &[
                    (0, 0, 1),
                    (500, 0, 500),
                    (1000, 0, 1000),
                    (1500, 500, 3),
                    (2000, 1000, 1),
                ],
            ),
            (
                "it was not full meanwhile",
                &[(0, 0, 1), (100, 10, 10), (60_000, 11, 1), (60_200, 15, 50)],
            ),
        ];
        for (what, rows) in tables {
            let mut turnover = Turnover::default();
            for (number, (millis, gone, expected)) in rows.iter().enumerate() {
                let said = turnover.refuses(at(*millis), *gone);
                let said = u64::try_from(said.as_millis()).expect("short");
                assert_eq!(said, *expected, "{what}, row {number}");
                assert_eq!(turnover.refused(), number as u64 + 1);
            }
        }
    }
}
