//! The pseudo-network, through its public surface.

#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod conformance;
mod determinism;
mod faults;
mod models;
mod nodes;
mod paced;
mod scale;
mod storm;
mod time;
