//! What is remembered of orders for a while.

use std::collections::{BTreeMap, VecDeque};

/// Remembers something for each of the latest orders. The oldest make room, so it never grows beyond its
/// limit: whoever asks again later than that is a stranger.
pub(crate) struct Recent<T> {
    limit: usize,
    by_id: BTreeMap<String, T>,
    /// Invariant: the keys of `by_id`, the oldest first.
    ids: VecDeque<String>,
}

impl<T> Recent<T> {
    /// Remembers at most so many.
    pub(crate) const fn new(limit: usize) -> Self {
        Self {
            limit,
            by_id: BTreeMap::new(),
            ids: VecDeque::new(),
        }
    }

    pub(crate) fn get(&self, id: &str) -> Option<&T> {
        self.by_id.get(id)
    }

    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut T> {
        self.by_id.get_mut(id)
    }

    pub(crate) fn insert(&mut self, id: String, value: T) {
        if self.by_id.insert(id.clone(), value).is_none() {
            self.ids.push_back(id);
        }
        if self.ids.len() > self.limit
            && let Some(oldest) = self.ids.pop_front()
        {
            self.by_id.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_make_room() {
        let mut recent = Recent::new(2);
        for id in ["a", "b", "a", "c"] {
            recent.insert(id.into(), id.to_uppercase());
        }
        assert_eq!(recent.get("a"), None);
        assert_eq!(recent.get("b"), Some(&"B".into()));
        assert_eq!(recent.get("c"), Some(&"C".into()));
    }
}
