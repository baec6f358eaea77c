//! What is generated: that it stays the same, that it compiles, that it does what it says, and what is
//! said about services that cannot be served.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod clients;
mod golden;
mod refusals;
mod served;

// The generated code reaches everything through `::monofil`.
extern crate self as monofil;

pub use monofil_container::*;
pub use {prost, prost_types};

/// What `tests/proto` becomes.
#[expect(
    missing_docs,
    reason = "of messages, prost documents what the .proto does"
)]
pub mod generated {
    include!("../generated/mod.rs");
}

/// What the generated code calls.
pub mod codegen {
    pub use monofil_container::codegen::*;

    /// Stands in for what logs it.
    pub fn undelivered(cx: &mut crate::Context, undelivered: crate::Undelivered) {
        _ = (cx, undelivered);
    }
}
