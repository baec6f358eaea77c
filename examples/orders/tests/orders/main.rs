//! The shop as processes: the same in every layout, and with processes killed.
//!
//! What is drawn comes from a seed, which is printed; `SEED=N` gives another one, or the same again.

mod feed;
mod kills;
mod layouts;
mod shop;
mod sim;
