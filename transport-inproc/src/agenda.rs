//! What is going to happen, ordered by time and then by sequence.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};

/// One direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the node that opened it.
    Forth,
    /// Towards it.
    Back,
}

/// Something that is going to happen. Small and flat: what needs more room lies in a slab. A number
/// that went stale meanwhile (a session, a generation) makes it nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// Frames of a connection arrive.
    Arrive { slot: u32, session: u32, way: Way },
    /// A node's time has come.
    Wake { node: u32 },
    /// A node's thread has done what kept it busy.
    Free { node: u32 },
    /// A connection is tried.
    Attempt { slot: u32, generation: u32 },
    /// The opener of a connection learns that it is broken.
    NearGone { slot: u32, session: u32 },
    /// The other side learns it.
    FarGone { slot: u32, session: u32 },
    /// A connection whose link was cut may have been silent for too long.
    Silent { slot: u32, session: u32 },
    /// A datagram arrives.
    Datagram { index: u32 },
    /// A job ends.
    Job { index: u32 },
    /// The world's user does something.
    Hook { index: u32 },
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    time: u64,
    sequence: u64,
    what: What,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    /// The earliest is the greatest, as `BinaryHeap` wants it.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.time, other.sequence).cmp(&(self.time, self.sequence))
    }
}

/// Holds what is going to happen.
///
/// What is due at once goes into a queue beside the heap. Everything in the heap that is due by now was
/// put there at an earlier time, so taking the heap's first keeps the order of `(time, sequence)`.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    later: BinaryHeap<Entry>,
    at_once: VecDeque<What>,
    sequence: u64,
}

impl Agenda {
    /// Adds something due at `time`; what is due by `now` happens at once.
    #[inline]
    pub(crate) fn add(&mut self, now: u64, time: u64, what: What) {
        if time <= now {
            self.at_once.push_back(what);
            return;
        }
        self.sequence += 1;
        self.later.push(Entry {
            time,
            sequence: self.sequence,
            what,
        });
    }

    /// Takes what is due by `now`, the first first.
    #[inline]
    pub(crate) fn pop_due(&mut self, now: u64) -> Option<What> {
        match self.later.peek() {
            Some(entry) if entry.time <= now => self.later.pop().map(|entry| entry.what),
            _ => self.at_once.pop_front(),
        }
    }

    /// Tells whether something is due by `now`.
    pub(crate) fn is_due(&self, now: u64) -> bool {
        !self.at_once.is_empty() || self.later.peek().is_some_and(|entry| entry.time <= now)
    }

    /// Returns what is next in the heap, and when.
    pub(crate) fn peek(&self) -> Option<(u64, What)> {
        self.later.peek().map(|entry| (entry.time, entry.what))
    }

    /// Drops what is next in the heap.
    pub(crate) fn skip(&mut self) {
        self.later.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_by_time_then_by_sequence() {
        let mut agenda = Agenda::default();
        for (node, time) in [(0, 30), (1, 10), (2, 10), (3, 20), (4, 0)] {
            agenda.add(0, time, What::Wake { node });
        }
        assert_eq!(agenda.pop_due(0), Some(What::Wake { node: 4 }));
        assert_eq!(agenda.pop_due(0), None);
        agenda.add(10, 10, What::Wake { node: 5 });
        let order: Vec<_> = std::iter::from_fn(|| agenda.pop_due(10)).collect();
        assert_eq!(order, [1, 2, 5].map(|node| What::Wake { node }));
        let order: Vec<_> = std::iter::from_fn(|| agenda.pop_due(99)).collect();
        assert_eq!(order, [3, 0].map(|node| What::Wake { node }));
    }

    #[test]
    fn an_entry_is_small() {
        assert_eq!(size_of::<Entry>(), 32);
    }
}
