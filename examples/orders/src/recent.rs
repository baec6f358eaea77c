//! What is remembered of orders for a while.

use std::collections::{BTreeMap, VecDeque};

use crate::proto::orders::OrderId;

/// Tells orders from each other: by the number of the visit, then by the id in it.
pub(crate) type Key = (u64, String);

/// Returns what an order is remembered by.
pub(crate) fn key(order: &OrderId) -> Key {
    (order.visit.unwrap_or_default().number, order.id.clone())
}

/// Remembers something for each of the latest orders. The oldest make room, so it never grows beyond its
/// limit: whoever asks again later than that is a stranger.
pub(crate) struct Recent<T> {
    limit: usize,
    by_key: BTreeMap<Key, T>,
    /// Invariant: the keys of `by_key`, the oldest first.
    keys: VecDeque<Key>,
}

impl<T> Recent<T> {
    /// Remembers at most so many.
    pub(crate) const fn new(limit: usize) -> Self {
        Self {
            limit,
            by_key: BTreeMap::new(),
            keys: VecDeque::new(),
        }
    }

    pub(crate) fn get(&self, order: &OrderId) -> Option<&T> {
        self.by_key.get(&key(order))
    }

    pub(crate) fn get_mut(&mut self, order: &OrderId) -> Option<&mut T> {
        self.by_key.get_mut(&key(order))
    }

    pub(crate) fn insert(&mut self, order: &OrderId, value: T) {
        let key = key(order);
        if self.by_key.insert(key.clone(), value).is_none() {
            self.keys.push_back(key);
        }
        if self.keys.len() > self.limit
            && let Some(oldest) = self.keys.pop_front()
        {
            self.by_key.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::orders::Visit;

    fn order(number: u64, id: &str) -> OrderId {
        OrderId {
            id: id.into(),
            visit: Some(Visit { number, seed: 7 }),
        }
    }

    #[test]
    fn the_oldest_make_room() {
        let mut recent = Recent::new(2);
        for id in ["a", "b", "a", "c"] {
            recent.insert(&order(1, id), id.to_uppercase());
        }
        assert_eq!(recent.get(&order(1, "a")), None);
        assert_eq!(recent.get(&order(1, "b")), Some(&"B".into()));
        assert_eq!(recent.get(&order(1, "c")), Some(&"C".into()));
    }

    #[test]
    fn an_id_is_another_order_in_another_visit() {
        let mut recent = Recent::new(2);
        recent.insert(&order(1, "a"), "one");
        recent.insert(&order(2, "a"), "other");
        assert_eq!(recent.get(&order(1, "a")), Some(&"one"));
        assert_eq!(recent.get(&order(2, "a")), Some(&"other"));
        assert_eq!(recent.get(&order(3, "a")), None);
    }
}
