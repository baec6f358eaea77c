//! The wire and the control plane of Monofil, as protobuf messages, and the bounds that are checked
//! before any of them is decoded.
//!
//! The `.proto` files beside this crate are the definition, with comments that a foreign implementer can
//! work from. [`decode_frame`] and its siblings are the only way in for bytes from a network: they walk
//! the encoded bytes first, without allocating, and refuse what is over a bound; only then does `prost`
//! build the message.

mod bounds;
mod codec;

pub use bounds::{
    Bounds, DecodeError, Reason, decode_control, decode_datagram, decode_frame, encode,
};
pub use codec::{
    FrameRef, FrameWriter, Head, HorizonRef, NameRef, RecordRef, TraceRef, WaitingRef, Waitings,
    put_waiting, read_frame, write_frame,
};

/// The application plane.
#[allow(missing_docs, clippy::all, reason = "generated code")]
pub mod wire {
    include!(concat!(env!("OUT_DIR"), "/monofil.wire.v1.rs"));
}

/// The control plane and the datagrams.
#[allow(missing_docs, clippy::all, reason = "generated code")]
pub mod control {
    include!(concat!(env!("OUT_DIR"), "/monofil.control.v1.rs"));
}

/// The version of the protocol that this crate speaks.
pub const VERSION: u32 = 1;
