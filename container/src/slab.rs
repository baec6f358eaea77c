//! Values in places that are used again, under keys that are not.

/// A table whose keys are never used twice.
///
/// A key is the number of a place and how often that place had been used before, so that looking up costs
/// an index and a comparison.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Place<T> {
    uses: u64,
    value: Option<T>,
}

/// A key's low bits are the place.
const PLACE_BITS: u32 = 20;

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Slab<T> {
    /// More do not fit.
    pub(crate) const LEN_MAX: usize = 1 << PLACE_BITS;

    /// # Panics
    ///
    /// Above [`Slab::LEN_MAX`] values.
    pub(crate) fn insert(&mut self, value: T) -> u64 {
        let place = match self.free.pop() {
            Some(place) => place as usize,
            None => {
                assert!(self.places.len() < Self::LEN_MAX, "too many in one table");
                self.places.push(Place {
                    uses: 0,
                    value: None,
                });
                self.places.len() - 1
            }
        };
        let state = &mut self.places[place];
        state.value = Some(value);
        state.uses << PLACE_BITS | place as u64
    }

    /// Returns the place of a key, below [`Slab::LEN_MAX`].
    pub(crate) const fn place(key: u64) -> usize {
        (key & (Self::LEN_MAX as u64 - 1)) as usize
    }

    pub(crate) fn get(&self, key: u64) -> Option<&T> {
        let place = self.places.get(Self::place(key))?;
        place
            .value
            .as_ref()
            .filter(|_| place.uses == key >> PLACE_BITS)
    }

    pub(crate) fn get_mut(&mut self, key: u64) -> Option<&mut T> {
        let place = self.places.get_mut(Self::place(key))?;
        place
            .value
            .as_mut()
            .filter(|_| place.uses == key >> PLACE_BITS)
    }

    pub(crate) fn remove(&mut self, key: u64) -> Option<T> {
        self.get(key)?;
        let at = Self::place(key);
        let place = &mut self.places[at];
        place.uses += 1;
        self.free
            .push(u32::try_from(at).expect("invariant: places are below LEN_MAX"));
        place.value.take()
    }

    pub(crate) const fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// In the order of their places.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        self.places.iter().enumerate().filter_map(|(at, place)| {
            let value = place.value.as_ref()?;
            Some((place.uses << PLACE_BITS | at as u64, value))
        })
    }

    /// In the order of their places.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.places
            .iter_mut()
            .filter_map(|place| place.value.as_mut())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_finds_its_value_and_no_later_one_in_its_place() {
        let mut slab = Slab::default();
        let first = slab.insert("first");
        let second = slab.insert("second");
        assert_eq!(slab.remove(first), Some("first"));
        let third = slab.insert("third");
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get(third), Some(&"third"));
        assert_eq!((slab.len(), slab.places.len()), (2, 2));
        assert_eq!(
            slab.iter().collect::<Vec<_>>(),
            [(third, &"third"), (second, &"second")]
        );
    }
}
