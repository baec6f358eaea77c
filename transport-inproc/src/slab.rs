//! A table whose free places are used again.

/// Holds values by a small number. No hashing, no order, no iteration.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    places: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Slab<T> {
    /// Puts a value into a free place.
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        if let Some(index) = self.free.pop() {
            self.places[index as usize] = Some(value);
            return index;
        }
        let index =
            u32::try_from(self.places.len()).expect("a world holds fewer than 2^32 of each");
        self.places.push(Some(value));
        index
    }

    /// Takes a value out.
    pub(crate) fn take(&mut self, index: u32) -> Option<T> {
        let value = self.places.get_mut(index as usize)?.take()?;
        self.free.push(index);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_place_is_used_again() {
        let mut slab = Slab::default();
        let first = slab.insert('a');
        let second = slab.insert('b');
        assert_eq!(slab.take(first), Some('a'));
        assert_eq!(slab.take(first), None);
        assert_eq!(slab.insert('c'), first);
        assert_eq!(slab.take(second), Some('b'));
        assert_eq!(slab.take(99), None);
    }
}
