//! All orders, one after the other.
//!
//! A run meets choices: between two frames, three, and so on; which ones it meets depends on how it chose before. So
//! runs make a tree. A run has a number, from which each choice takes its share: the remainder by the number of ways is
//! the way, and the quotient is left for the choices after it. 0 is the usual order, each run has one number, and the
//! numbers of those that differ from a run in one choice more are greater than its own. So all are found by trying the
//! least that is known and not tried.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The runs of a tree that are known and were not tried.
#[derive(Debug)]
pub(crate) struct Tree {
    known: BinaryHeap<Reverse<u64>>,
    /// Whose share it is, of how many; runs beside the first one are given out by the choice in which they differ from
    /// it first.
    index: usize,
    of: usize,
}

impl Tree {
    /// Makes one that begins with the usual order.
    pub(crate) fn new(index: usize, of: usize) -> Self {
        Self {
            known: BinaryHeap::from([Reverse(0)]),
            index,
            of,
        }
    }

    /// Returns the number of the run to try next.
    pub(crate) fn next(&mut self) -> Option<u64> {
        self.known.pop().map(|Reverse(number)| number)
    }

    /// Notes what choices a run met: between how many ways each.
    pub(crate) fn met(&mut self, number: u64, ways: &[u32]) {
        for (place, other) in others(number, ways).enumerate() {
            if number > 0 || place % self.of == self.index {
                self.known.extend(other.map(Reverse));
            }
        }
    }
}

/// Returns the numbers of runs that differ from one in one choice more, after all in which that one differs from the
/// usual order; `None` for one that is too great.
pub(crate) fn others(number: u64, ways: &[u32]) -> impl Iterator<Item = Option<u64>> + '_ {
    let mut unit = Some(1_u64);
    ways.iter().flat_map(move |ways| {
        let this = unit;
        unit = unit.and_then(|unit| unit.checked_mul(u64::from(*ways)));
        // Below a choice that was made otherwise there is something left of the number.
        let is_free = this.is_none_or(|unit| unit > number);
        let other = move |way| this?.checked_mul(way)?.checked_add(number);
        (1..u64::from(*ways)).filter(move |_| is_free).map(other)
    })
}

/// Takes the way of the next choice from what is left of a run's number.
pub(super) fn choose(left: &mut u64, ways: u32) -> u32 {
    let ways = u64::from(ways.max(1));
    let way = *left % ways;
    *left /= ways;
    u32::try_from(way).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// A run that meets other choices according to how it chose: returns what it chose, and between how many ways.
    fn run(number: u64) -> (Vec<u32>, Vec<u32>) {
        let (mut left, mut chosen, mut ways) = (number, Vec::new(), Vec::new());
        let mut state = 7;
        for _ in 0..5 {
            let among = 1 + state % 4;
            if among > 1 {
                let way = choose(&mut left, among);
                chosen.push(way);
                ways.push(among);
                state = state * 5 + way + 1;
            } else {
                state += 3;
            }
        }
        (chosen, ways)
    }

    /// What can be chosen at all, found without numbers.
    fn all() -> BTreeSet<Vec<u32>> {
        fn go(state: u32, depth: u32, chosen: &mut Vec<u32>, all: &mut BTreeSet<Vec<u32>>) {
            let among = 1 + state % 4;
            if depth == 5 {
                all.insert(chosen.clone());
            } else if among == 1 {
                go(state + 3, depth + 1, chosen, all);
            } else {
                for way in 0..among {
                    chosen.push(way);
                    go(state * 5 + way + 1, depth + 1, chosen, all);
                    chosen.pop();
                }
            }
        }
        let mut found = BTreeSet::new();
        go(7, 0, &mut Vec::new(), &mut found);
        found
    }

    #[test]
    fn every_order_is_tried_once_whoever_tries_it() {
        for of in 1..4 {
            let (mut tried, mut runs) = (BTreeSet::new(), 0);
            for index in 0..of {
                let mut tree = Tree::new(index, of);
                let mut before = None;
                while let Some(number) = tree.next() {
                    assert!(before < Some(number), "they are tried by their numbers");
                    before = Some(number);
                    let (chosen, ways) = run(number);
                    tree.met(number, &ways);
                    // All begin with the usual order, which is the first one's.
                    if number > 0 || index == 0 {
                        runs += 1;
                        tried.insert(chosen);
                    }
                }
            }
            assert_eq!((&tried, runs), (&all(), tried.len()), "{of} processes");
            assert!(runs > 50, "{runs}");
        }
    }

    #[test]
    fn numbers_that_are_too_great_are_known_as_such() {
        let ways = [u32::MAX; 3];
        assert!(
            others(0, &ways)
                .take(usize::MAX)
                .any(|other| other.is_some())
        );
        let last = others(u64::MAX, &[2; 65]).last();
        assert_eq!(last, Some(None));
    }
}
