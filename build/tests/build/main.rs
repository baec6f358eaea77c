//! What is generated: that it stays the same, that it compiles, that it does what it says, and what is
//! said about services that cannot be served.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod clients;
mod golden;
mod refusals;
mod served;

/// What `tests/proto` becomes.
mod generated {
    include!("../generated/mod.rs");
}
