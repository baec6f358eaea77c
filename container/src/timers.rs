//! All timers of a container: one heap, exact next deadline, cancellation that leaves nothing behind.

use monofil_transport::Instant;

/// Names a timer that was set. Never used again: a place that is given to another timer has another turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TimerKey {
    slot: u32,
    turn: u32,
}

/// Timers ordered by `(deadline, order in which they were set)`.
///
/// A heap with four children to a node, in which each timer knows its place. Most timers are set for later
/// than those before them and cancelled long before they are due: setting such a one compares it with its
/// parent and stays, and cancelling moves the last one into its place.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    /// Invariant: no entry is before its parent, at `(place - 1) / 4`.
    heap: Vec<Entry>,
    slots: Vec<Slot<K>>,
    free: Vec<u32>,
    set: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    at: Instant,
    order: u64,
    slot: u32,
}

#[derive(Debug)]
struct Slot<K> {
    turn: u32,
    /// Where its entry is in the heap.
    place: u32,
    /// `None`: free.
    kind: Option<K>,
}

impl Entry {
    fn is_before(&self, other: &Self) -> bool {
        (self.at, self.order) < (other.at, other.order)
    }
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self {
            heap: Vec::new(),
            slots: Vec::new(),
            free: Vec::new(),
            set: 0,
        }
    }
}

impl<K> Timers<K> {
    pub(crate) fn set(&mut self, at: Instant, kind: K) -> TimerKey {
        let slot = self.free.pop().unwrap_or_else(|| {
            let fresh = u32::try_from(self.slots.len()).expect("invariant: timers are bounded");
            self.slots.push(Slot {
                turn: 0,
                place: 0,
                kind: None,
            });
            fresh
        });
        self.set += 1;
        self.heap.push(Entry {
            at,
            order: self.set,
            slot,
        });
        let state = &mut self.slots[slot as usize];
        state.kind = Some(kind);
        let turn = state.turn;
        self.rise(self.heap.len() - 1);
        TimerKey { slot, turn }
    }

    /// Sets a timer of which there is one at most: the earlier of the two stays.
    pub(crate) fn hasten(&mut self, only: &mut Option<(Instant, TimerKey)>, at: Instant, kind: K) {
        if let Some((set, key)) = *only {
            if set <= at {
                return;
            }
            self.cancel(key);
        }
        *only = Some((at, self.set(at, kind)));
    }

    pub(crate) fn cancel(&mut self, key: TimerKey) -> Option<K> {
        let slot = self.slots.get(key.slot as usize)?;
        if slot.turn != key.turn || slot.kind.is_none() {
            return None;
        }
        Some(self.take(slot.place as usize))
    }

    /// Returns how many are set.
    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    /// Takes the next timer that is due.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<K> {
        let first = self.heap.first()?;
        (first.at <= now).then(|| self.take(0))
    }

    /// Returns when the next timer is due.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.heap.first().map(|first| first.at)
    }

    /// Takes the timer at a place of the heap.
    fn take(&mut self, place: usize) -> K {
        let entry = self.heap.swap_remove(place);
        if place < self.heap.len() {
            self.sink(place);
            self.rise(place);
        }
        let slot = &mut self.slots[entry.slot as usize];
        slot.turn = slot.turn.wrapping_add(1);
        self.free.push(entry.slot);
        slot.kind
            .take()
            .expect("invariant: what is in the heap has a slot that is not free")
    }

    fn rise(&mut self, mut place: usize) {
        let entry = self.heap[place];
        while place > 0 {
            let parent = (place - 1) / 4;
            if !entry.is_before(&self.heap[parent]) {
                break;
            }
            self.put(place, self.heap[parent]);
            place = parent;
        }
        self.put(place, entry);
    }

    fn sink(&mut self, mut place: usize) {
        let entry = self.heap[place];
        loop {
            let first = 4 * place + 1;
            let children = first..(first + 4).min(self.heap.len());
            let least = children.reduce(|least, child| {
                if self.heap[child].is_before(&self.heap[least]) {
                    child
                } else {
                    least
                }
            });
            let Some(least) = least.filter(|least| self.heap[*least].is_before(&entry)) else {
                break;
            };
            self.put(place, self.heap[least]);
            place = least;
        }
        self.put(place, entry);
    }

    fn put(&mut self, place: usize, entry: Entry) {
        self.heap[place] = entry;
        self.slots[entry.slot as usize].place =
            u32::try_from(place).expect("invariant: timers are bounded");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use monofil_transport::Stream;

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
    fn of_a_timer_that_there_is_once_the_earlier_stays() {
        let mut timers = Timers::default();
        let mut only = None;
        for (nanos, name) in [(30, "first"), (40, "later"), (10, "sooner"), (10, "same")] {
            timers.hasten(&mut only, at(nanos), name);
        }
        assert_eq!(timers.len(), 1);
        assert_eq!(timers.pop_due(at(10)), Some("sooner"));
    }

    #[test]
    fn a_cancelled_timer_neither_fires_nor_stays_in_memory() {
        let mut timers = Timers::default();
        let keep = timers.set(at(5), 0);
        for n in 1..10_000 {
            let key = timers.set(at(n), n);
            assert_eq!(timers.cancel(key), Some(n));
            assert_eq!(timers.cancel(key), None);
        }
        assert_eq!((timers.heap.len(), timers.slots.len()), (1, 2));
        assert_eq!(timers.next_deadline(), Some(at(5)));
        assert_eq!(timers.pop_due(at(10_000)), Some(0));
        assert_eq!(timers.cancel(keep), None);
    }

    #[test]
    fn timers_do_what_an_ordered_map_does() {
        for seed in 0..50 {
            let mut random = Stream::new(seed, "timers");
            let mut timers = Timers::default();
            let mut model: BTreeMap<(Instant, u64), TimerKey> = BTreeMap::new();
            for order in 0..2000 {
                let now = at(order * 3);
                match random.below(8) {
                    0..4 => {
                        let due = at(order * 3 + random.below(300));
                        model.insert((due, order), timers.set(due, order));
                    }
                    4..6 if !model.is_empty() => {
                        let nth = usize::try_from(random.below(model.len() as u64));
                        let (&place, &key) =
                            model.iter().nth(nth.expect("small")).expect("in range");
                        model.remove(&place);
                        assert_eq!(timers.cancel(key), Some(place.1), "seed {seed}");
                    }
                    _ => {
                        let first = model.first_key_value().map(|(place, _)| *place);
                        let due = first.filter(|(due, _)| *due <= now);
                        assert_eq!(timers.pop_due(now), due.map(|(_, n)| n), "seed {seed}");
                        due.map(|place| model.remove(&place));
                    }
                }
                let first = model.first_key_value().map(|(place, _)| place.0);
                assert_eq!(timers.next_deadline(), first, "seed {seed}");
            }
        }
    }
}
