//! The component container.
//!
//! ```text
//!   components      plain structs with handlers              [Component], [Context], [Caller]
//!   ─────────────────────────────────────────────────────────────────────────────────────────
//!   instances       queue, state, restarts; handlers on pooled stacks (fibers)
//!   calls           deadlines, cancellation, streams, cycles: one outcome for every message
//!   links           each record once, in order, or reported as lost
//!   peers           greeting, health, the control plane
//!   ─────────────────────────────────────────────────────────────────────────────────────────
//!   monofil_transport::Io
//! ```
//!
//! A [`Container`] is sans-IO: it never reads a clock, a random source, the environment or a file, never
//! sleeps and never spawns. Driven by the same events it does the same things.

#[doc(hidden)]
pub use arcstr;

mod caller;
mod calls;
mod cancel;
mod capacity;
mod client;
mod commands;
mod component;
mod config;
mod container;
mod context;
mod core;
mod counters;
mod current;
mod descriptors;
mod directory;
mod envelope;
mod environment;
mod error;
mod farewell;
mod fiber;
mod gate;
mod guarded;
mod hash;
mod heading;
mod identity;
mod instance;
mod link;
mod liveness;
mod membership;
mod message;
mod name;
mod names;
mod network;
mod parcel;
mod peers;
mod pending;
mod recording;
mod resilience;
mod route;
mod routing;
mod send;
mod serve;
mod slab;
mod status;
mod streams;
mod timers;
mod trace;
mod work;

pub use caller::{Caller, Pending, ReplyStream, codegen};
pub use capacity::{
    GroupLimits, Limit, LimitChange, LimitChanged, LimitError, LimitInfo, LimitScope, LimitValue,
    Overflow, OverflowConfig,
};
pub use client::Client;
pub use component::{
    Component, ComponentSpec, InstanceLimits, Interface, Method, Replies, Reply, ReplySource,
    StartReason, Subscription,
};
pub use config::{ContainerConfig, NodeLimits};
pub use container::Container;
pub use context::Context;
pub use counters::Counter;
pub use current::{Current, current};
pub use directory::{Directory, StaticDirectory};
pub use error::{CallError, Executed, HandlerError, Rejection};
pub use gate::{Answered, Gate, Passage};
pub use identity::NodeId;
pub use link::LinkConfig;
pub use membership::{MemberInfo, MemberState, MembershipConfig};
pub use message::{Message, MessageKind, Payload, Request, Undelivered};
pub use name::Name;
pub use peers::Health;
pub use pending::{RawPending, RawReplies};
pub use resilience::{
    BreakerConfig, EjectionConfig, FailureCodes, ResilienceConfig, RetryConfig, ThrottleConfig,
};
pub use routing::{ComponentKind, Distance, Horizon, Horizons};
pub use status::{Code, Status};
pub use trace::Trace;

/// What a container decodes at most; part of [`ContainerConfig`].
pub use monofil_proto::Bounds;
/// The control plane's messages, as [`Client::describe`] returns them.
pub use monofil_proto::control;

#[cfg(test)]
#[path = "../../proto/tests/memory/counting.rs"]
mod counting;

/// Reads bytes as a membership packet, for the fuzzer.
#[cfg(fuzzing)]
#[doc(hidden)]
pub fn fuzz_membership_packet(bytes: &[u8]) {
    membership::fuzz(bytes);
}
