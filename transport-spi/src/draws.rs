//! What is drawn, one by one: where, from which range, and what it was.
//!
//! Somebody who looks for what two runs do otherwise, or why a run did what it did, has all random choices of a run
//! written down: those of links, faults and schedules, and those of containers and components. [`note`] has it done on
//! its thread. Nothing is noted unless somebody asked: a stream tests one `Option` at each draw.

use std::cell::RefCell;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// One random choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draw {
    /// The site that drew: see [`Stream::new`](crate::Stream::new).
    pub site: Arc<str>,
    /// The least that it could have been.
    pub min: u64,
    /// The most. Durations are nanoseconds, truths 0 and 1.
    pub max: u64,
    /// What it was.
    pub value: u64,
}

impl fmt::Display for Draw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            site,
            min,
            max,
            value,
        } = self;
        write!(f, "{site}\t{min}\t{max}\t{value}")
    }
}

thread_local! {
    /// Where streams that are opened on this thread note what they draw.
    static NOTING: RefCell<Option<Log>> = const { RefCell::new(None) };
}

/// Has streams that are opened on this thread note what they draw, until what is returned is dropped. So many draws are
/// kept, the first ones.
#[must_use]
pub fn note(draws_max: usize) -> Noting {
    let log = Log(Arc::new(Mutex::new(Kept {
        draws_max,
        draws: Vec::new(),
    })));
    let before = NOTING.replace(Some(log.clone()));
    Noting { log, before }
}

/// Notes draws as long as it lives.
#[derive(Debug)]
pub struct Noting {
    log: Log,
    before: Option<Log>,
}

impl Noting {
    /// Returns what was drawn until now.
    #[must_use]
    pub fn draws(&self) -> Vec<Draw> {
        self.log.kept(|kept| kept.draws.clone())
    }
}

impl Drop for Noting {
    fn drop(&mut self) {
        NOTING.set(self.before.take());
    }
}

#[derive(Clone, Debug)]
struct Log(Arc<Mutex<Kept>>);

#[derive(Debug)]
struct Kept {
    draws_max: usize,
    draws: Vec<Draw>,
}

impl Log {
    fn kept<R>(&self, look: impl FnOnce(&mut Kept) -> R) -> R {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Where a stream notes what it draws, if it does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes(Option<Box<(Arc<str>, Log)>>);

impl Notes {
    /// Opens the notes of a site.
    pub(crate) fn of(site: &str) -> Self {
        let log = NOTING.with_borrow(Clone::clone);
        Self(log.map(|log| Box::new((site.into(), log))))
    }

    #[inline]
    pub(crate) fn add(&self, min: u64, max: u64, value: u64) {
        if let Some(notes) = &self.0 {
            let (site, log) = &**notes;
            log.kept(|kept| {
                if kept.draws.len() < kept.draws_max {
                    let site = site.clone();
                    kept.draws.push(Draw {
                        site,
                        min,
                        max,
                        value,
                    });
                }
            });
        }
    }

    /// Notes random bytes, eight at a time, the first one lowest.
    #[inline]
    pub(crate) fn add_bytes(&self, bytes: &[u8]) {
        if self.0.is_some() {
            for eight in bytes.chunks(8) {
                let mut word = [0; 8];
                word[..eight.len()].copy_from_slice(eight);
                self.add(0, u64::MAX, u64::from_le_bytes(word));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Probability, Stream};

    fn draw() -> (u64, Duration, bool, u64) {
        let mut stream = Stream::new(7, "loss/a>b");
        let times = [1, 9].map(Duration::from_millis);
        let half = Probability::percent(50);
        let drawn = (stream.below(10), stream.between(times[0], times[1]));
        (drawn.0, drawn.1, stream.chance(half), stream.bits())
    }

    #[test]
    fn each_draw_is_noted_with_its_site_and_its_range_and_is_the_same() {
        let silent = draw();
        let noting = note(3);
        let (number, time, happens, _) = draw();
        assert_eq!(draw(), silent);
        let told: Vec<_> = noting.draws().iter().map(ToString::to_string).collect();
        let expected = [
            format!("loss/a>b\t0\t9\t{number}"),
            format!("loss/a>b\t1000000\t9000000\t{}", time.as_nanos()),
            format!("loss/a>b\t0\t1\t{}", u8::from(happens)),
        ];
        assert_eq!(told, expected);
        drop(noting);
        let again = note(100);
        assert_eq!(again.draws(), []);
    }
}
