//! Hash tables that are fast for short keys, and the same in every run.
//!
//! Nothing in the container depends on the order in which a table is walked. Where strangers choose the keys the
//! table is seeded with the backend's entropy, so that nobody can choose keys that collide.

use std::collections::HashMap;
use std::hash::Hash;

use foldhash::fast::FixedState;

/// A table whose hashes are not those of the standard library, which cost more than the lookup.
pub(crate) type Table<K, V> = HashMap<K, V, FixedState>;

/// Makes an empty table for keys that strangers choose.
pub(crate) fn seeded<K: Eq + Hash, V>(seed: u64) -> Table<K, V> {
    Table::with_hasher(FixedState::with_seed(seed))
}
