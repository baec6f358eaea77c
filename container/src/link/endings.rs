//! Which of the other side's records have ended here.
//!
//! The mark `settled` says so of all up to a number, and those that take long must not hold it: behind one that waits
//! for an hour the other side would remember everything that it sent meanwhile, and in the end be refused. So such a
//! record is *excepted*: the other side is told so by a record of its own, and when it has taken that, the mark goes on.

use std::collections::{BTreeSet, VecDeque};

/// When so many have ended behind one that has not, it is excepted: few enough that the other side, which may have 65,536
/// casts unsettled by default, need not stop meanwhile.
const BEHIND_MAX: usize = 8192;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Endings {
    /// Every number up to this one has ended or is excepted.
    start: u64,
    /// Of those after it: which have ended.
    ended: VecDeque<bool>,
    /// How many of these have.
    behind: usize,
    /// The other side may not know yet that they are excepted.
    untold: BTreeSet<u64>,
    /// It knows.
    told: BTreeSet<u64>,
}

impl Endings {
    /// So many more have arrived.
    pub(super) fn arrived(&mut self, count: usize) {
        self.ended.extend(std::iter::repeat_n(false, count));
    }

    /// One has ended. Tells whether it was excepted.
    pub(super) fn end(&mut self, sequence: u64) -> bool {
        let Some(offset) = sequence.checked_sub(self.start + 1) else {
            return self.untold.remove(&sequence) || self.told.remove(&sequence);
        };
        let at = usize::try_from(offset).ok();
        if let Some(ended) = at.and_then(|at| self.ended.get_mut(at)) {
            self.behind += usize::from(!*ended);
            *ended = true;
            self.skip_ended();
        }
        false
    }

    fn skip_ended(&mut self) {
        while self.ended.front() == Some(&true) {
            self.ended.pop_front();
            self.behind -= 1;
            self.start += 1;
        }
    }

    /// Returns the mark: all up to it have ended, but those of which the other side knows that they have not.
    pub(super) fn settled(&self) -> u64 {
        self.untold.first().map_or(self.start, |held| held - 1)
    }

    /// Tells whether nothing is open.
    pub(super) fn is_empty(&self) -> bool {
        self.ended.is_empty() && self.untold.is_empty() && self.told.is_empty()
    }

    /// Tells whether one before this number is open and could be excepted.
    pub(super) const fn is_held_before(&self, sequence: u64) -> bool {
        self.start < sequence
    }

    /// Tells whether more have ended behind one that has not than may wait for it.
    pub(super) const fn is_long(&self) -> bool {
        self.behind > BEHIND_MAX
    }

    /// Excepts the first of those that are open.
    pub(super) fn except_first(&mut self) -> Option<u64> {
        self.ended.pop_front()?;
        self.start += 1;
        let excepted = self.start;
        self.untold.insert(excepted);
        self.skip_ended();
        Some(excepted)
    }

    /// The other side knows that this one is excepted.
    pub(super) fn told(&mut self, sequence: u64) {
        if self.untold.remove(&sequence) {
            self.told.insert(sequence);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_never_ends_takes_no_more_room_than_itself() {
        let mut endings = Endings::default();
        endings.arrived(1);
        let mut excepted = Vec::new();
        for sequence in 2..=1_000_000 {
            endings.arrived(1);
            assert!(!endings.end(sequence));
            while endings.is_long() {
                excepted.extend(endings.except_first());
            }
            assert!(endings.ended.len() <= BEHIND_MAX + 1);
        }
        assert_eq!((excepted, endings.settled()), (vec![1], 0));
        endings.told(1);
        assert_eq!(endings.settled(), 1_000_000);
        assert!(!endings.is_empty() && endings.end(1) && endings.is_empty());
    }

    #[test]
    fn the_mark_waits_until_an_exception_is_known() {
        let mut endings = Endings::default();
        endings.arrived(5);
        for sequence in [2, 4, 5] {
            assert!(!endings.end(sequence));
        }
        assert_eq!(
            [endings.except_first(), endings.except_first()],
            [Some(1), Some(3)]
        );
        assert_eq!(endings.settled(), 0);
        // 3 is known before 1, or has ended before that.
        endings.told(3);
        assert_eq!(endings.settled(), 0);
        assert!(endings.end(1));
        assert_eq!(endings.settled(), 5);
        assert!(endings.end(3) && !endings.end(3) && !endings.end(6));
    }
}
