//! Work in simulated worlds. Madsim's is a program of its own, in `madsim/`.

pub(crate) mod containers;
pub(crate) mod monofil;
pub(crate) mod turmoil;
