//! All timers of a container: one heap, exact next deadline, cancellation.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use monofil_transport::Instant;

/// Names a timer that was set. Never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TimerKey(u64);

/// Timers ordered by `(deadline, order in which they were set)`.
///
/// A cancelled timer leaves its place in the heap behind; once more than half of the heap is such places it
/// is rebuilt, so cancelling costs O(log n) on average and memory stays within twice what is set.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    heap: BinaryHeap<Reverse<(Instant, TimerKey)>>,
    set: HashMap<TimerKey, K>,
    next: u64,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self {
            heap: BinaryHeap::new(),
            set: HashMap::new(),
            next: 0,
        }
    }
}

impl<K> Timers<K> {
    pub(crate) fn set(&mut self, at: Instant, kind: K) -> TimerKey {
        let key = TimerKey(self.next);
        self.next += 1;
        self.heap.push(Reverse((at, key)));
        self.set.insert(key, kind);
        key
    }

    pub(crate) fn cancel(&mut self, key: TimerKey) -> Option<K> {
        let kind = self.set.remove(&key)?;
        if self.heap.len() > 64 && self.heap.len() > 2 * self.set.len() {
            let set = &self.set;
            self.heap.retain(|Reverse((_, key))| set.contains_key(key));
        }
        Some(kind)
    }

    /// Returns how many are set.
    pub(crate) fn len(&self) -> usize {
        self.set.len()
    }

    /// Takes the next timer that is due.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<K> {
        loop {
            let Reverse((at, key)) = *self.heap.peek()?;
            if at > now && self.set.contains_key(&key) {
                return None;
            }
            self.heap.pop();
            if let Some(kind) = self.set.remove(&key) {
                return Some(kind);
            }
        }
    }

    /// Returns when the next timer is due.
    pub(crate) fn next_deadline(&mut self) -> Option<Instant> {
        loop {
            let Reverse((at, key)) = *self.heap.peek()?;
            if self.set.contains_key(&key) {
                return Some(at);
            }
            self.heap.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    #[test]
    fn timers_fire_in_order_of_time_then_of_setting() {
        let mut timers = Timers::default();
        timers.set(at(2), "c");
        timers.set(at(1), "a");
        timers.set(at(1), "b");
        assert_eq!(timers.next_deadline(), Some(at(1)));
        assert_eq!(timers.pop_due(at(0)), None);
        let fired: Vec<_> = std::iter::from_fn(|| timers.pop_due(at(2))).collect();
        assert_eq!(fired, ["a", "b", "c"]);
        assert_eq!(timers.next_deadline(), None);
    }

    #[test]
    fn a_cancelled_timer_neither_fires_nor_stays_in_memory() {
        let mut timers = Timers::default();
        let keep = timers.set(at(5), 0);
        for n in 1..10_000 {
            let key = timers.set(at(n), n);
            assert_eq!(timers.cancel(key), Some(n));
        }
        assert!(timers.heap.len() <= 66, "{}", timers.heap.len());
        assert_eq!(timers.next_deadline(), Some(at(5)));
        assert_eq!(timers.pop_due(at(10_000)), Some(0));
        assert_eq!(timers.cancel(keep), None);
    }
}
