//! Work inside one container, or one actor system: a thread, and no network.
//!
//! Casts come in bursts: a source sends [`BURST`] to a sink, which says when it has had them. So every
//! queue stays within its default bound, and all contenders do the same. Calls follow one another.

pub(crate) mod actix;
pub(crate) mod idle;
pub(crate) mod kameo;
pub(crate) mod monofil;
pub(crate) mod ractor;

/// Casts between two words of the sink.
pub(crate) const BURST: u64 = 256;
