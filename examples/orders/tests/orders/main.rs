//! The shop as processes: the same in every layout, with processes killed, ended by signals.
//!
//! What is drawn comes from a seed, which is printed; `SEED=N` gives another one, or the same again.

mod ends;
mod feed;
mod inputs;
mod kills;
mod layouts;
mod members;
mod shop;
mod sim;
