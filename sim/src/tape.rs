//! What a run draws besides its network: how many nodes there are, what clients do. It can be fixed, so it shrinks.
//! Everything else that is random, of links and containers too, is [written down](monofil_transport::draws) as well when
//! somebody asks; it shrinks as faults of a plan and as latencies of frames, not draw by draw.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::rc::Rc;

use monofil_transport::{Instant, Stream};
use serde::{Deserialize, Serialize};

use crate::Span;

/// Draws numbers by name and remembers them, so that a run can be repeated with smaller ones.
///
/// Each site has a stream of its own: a draw more at one shifts nothing at another. A clone draws from the same tape,
/// from inside a client's code for example. What is drawn shrinks towards the beginning of its range, so put what is
/// simplest there.
#[derive(Clone)]
pub struct Tape(Rc<RefCell<State>>);

struct State {
    seed: u64,
    sites: BTreeMap<String, Site>,
    fixed: Fixed,
    drawn: Vec<Drawn>,
    /// The virtual time.
    now: Instant,
}

struct Site {
    stream: Stream,
    next: u64,
}

/// Draws that are not left to the seed: by site, and by the number of the draw there, from 0.
pub type Fixed = BTreeMap<String, BTreeMap<u64, u64>>;

/// One draw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drawn {
    /// Where.
    pub site: String,
    /// The how-manieth there, from 0.
    pub index: u64,
    /// The least it could have been; what it shrinks towards.
    pub min: u64,
    /// The most.
    pub max: u64,
    /// What it was.
    pub value: u64,
    /// When, in virtual time: zero for what is drawn before the run begins.
    pub at: Span,
}

/// How many draws are remembered; later ones do not shrink.
const DRAWN_MAX: usize = 100_000;

impl Tape {
    pub(crate) fn new(seed: u64, fixed: Fixed) -> Self {
        Self(Rc::new(RefCell::new(State {
            seed,
            sites: BTreeMap::new(),
            fixed,
            drawn: Vec::new(),
            now: Instant::ZERO,
        })))
    }

    /// Says what time it is.
    pub(crate) fn set_now(&self, now: Instant) {
        self.0.borrow_mut().now = now;
    }

    /// Draws a number from a range, each equally likely.
    ///
    /// # Panics
    ///
    /// When the range is empty.
    pub fn draw(&self, site: &str, range: RangeInclusive<u64>) -> u64 {
        let (min, max) = range.into_inner();
        assert!(min <= max, "`{site}` draws from an empty range");
        self.enter(site, min, max, |stream| {
            min + stream.below((max - min).saturating_add(1))
        })
    }

    /// Draws one of some, each equally likely; the first is the simplest.
    ///
    /// # Panics
    ///
    /// When there are none.
    pub fn pick<'a, T>(&self, site: &str, some: &'a [T]) -> &'a T {
        let last = some.len().checked_sub(1);
        let last = last.unwrap_or_else(|| panic!("`{site}` draws from nothing"));
        &some[usize::try_from(self.draw(site, 0..=last as u64)).unwrap_or(last)]
    }

    /// Tells whether the next step of a workload is to be done. It is, unless the run is one that was shrunk: steps
    /// that a failure does not need are left out there.
    #[must_use]
    pub fn step(&self, site: &str) -> bool {
        self.enter(site, 0, 1, |_| 1) == 1
    }

    /// Returns the numbers from 0 to `count`, each for one [`step`](Self::step), without those that are left out.
    #[must_use]
    pub fn steps(&self, site: &str, count: u64) -> Vec<u64> {
        (0..count).filter(|_| self.step(site)).collect()
    }

    fn enter(&self, site: &str, min: u64, max: u64, draw: impl FnOnce(&mut Stream) -> u64) -> u64 {
        let state = &mut *self.0.borrow_mut();
        let (seed, now) = (state.seed, state.now);
        let at = state.sites.entry(site.to_owned()).or_insert_with(|| Site {
            stream: Stream::new(seed, &format!("tape/{site}")),
            next: 0,
        });
        let index = at.next;
        at.next += 1;
        // Drawn in any case: what is fixed here changes nothing after it.
        let drawn = draw(&mut at.stream);
        let fixed = state.fixed.get(site).and_then(|site| site.get(&index));
        let value = fixed.map_or(drawn, |fixed| (*fixed).clamp(min, max));
        if state.drawn.len() < DRAWN_MAX {
            state.drawn.push(Drawn {
                site: site.to_owned(),
                index,
                min,
                max,
                value,
                at: Span(now.since(Instant::ZERO)),
            });
        }
        value
    }

    pub(crate) fn drawn(&self) -> Vec<Drawn> {
        self.0.borrow().drawn.clone()
    }
}

impl std::fmt::Debug for Tape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tape")
            .field("drawn", &self.0.borrow().drawn.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_draw_changes_no_other() {
        let draws = |fixed: Fixed| {
            let tape = Tape::new(7, fixed);
            let one: Vec<_> = (0..5).map(|_| tape.draw("one", 0..=9)).collect();
            (one, tape.draw("other", 5..=6), tape.steps("steps", 4))
        };
        let (one, other, steps) = draws(Fixed::new());
        assert_eq!(steps, [0, 1, 2, 3]);
        let fixed = Fixed::from([
            ("one".to_owned(), BTreeMap::from([(2, 99)])),
            ("steps".to_owned(), BTreeMap::from([(1, 0)])),
        ]);
        let (changed, same, fewer) = draws(fixed);
        let mut expected = one;
        expected[2] = 9;
        assert_eq!((changed, same), (expected, other));
        assert_eq!(fewer, [0, 2, 3]);
    }

    #[test]
    fn draws_are_pinned() {
        let tape = Tape::new(42, Fixed::new());
        let drawn: Vec<_> = (0..6).map(|_| tape.draw("ops", 0..=999)).collect();
        assert_eq!(drawn, [182, 159, 806, 436, 134, 822]);
    }
}
