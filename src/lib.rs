//! Monofil: a single-threaded component container framework.
//!
//! Write a component as plain synchronous code; run it in one process, in a simulated world, or as one
//! process per component over ZeroMQ. Nothing in its code changes.
//!
//! ```no_run
//! use monofil::prelude::*;
//!
//! /// Answers every call with its own payload.
//! struct Echo;
//!
//! impl Component for Echo {
//!     fn handle(&mut self, _: &mut Context, message: Message) -> Result<Reply, HandlerError> {
//!         Ok(Reply::Payload(message.payload().clone()))
//!     }
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     App::new("echoes").component("echo", || Echo).main()
//! }
//! ```
//!
//! The program that comes of it has the commands `run`, `up`, `sim`, `call`, `components`, `describe` and
//! `config`; each says more with `--help`. Most components implement a trait that `monofil-build` makes
//! of a protobuf service; [`include_proto!`] puts it where it is called.
//!
//! # Panics
//!
//! A handler that panics is caught at its edge, so the crate does not compile with `panic = "abort"`.

#[cfg(panic = "abort")]
compile_error!(
    "monofil catches a handler's panic and rebuilds its instance: remove `panic = \"abort\"` from the profile"
);

mod app;
mod cli;
mod commands;
mod config;
mod exit;
mod job;
mod layout;
mod logging;
mod operator;
mod suggest;

pub use app::{App, LaidOut};
pub use exit::{
    EXIT_CALL, EXIT_CANNOT_START, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, EXIT_STUCK, EXIT_USAGE,
    EXIT_WATCHDOG,
};
pub use job::{Job, Layout};
/// Runs the operator's client, `monofil`, which is a program of its own.
#[doc(hidden)]
pub use operator::main as operator;

pub use monofil_container::{
    Bounds, BreakerConfig, CallError, Caller, Client, Code, Component, ComponentKind,
    ComponentSpec, Container, ContainerConfig, Context, Counter, Current, Directory, Distance,
    EjectionConfig, Executed, FailureCodes, GroupLimits, HandlerError, Health, Horizon, Horizons,
    InstanceLimits, Interface, Limit, LimitChange, LimitChanged, LimitError, LimitInfo, LimitScope,
    LimitValue, LinkConfig, MemberInfo, MemberState, MembershipConfig, Message, MessageKind,
    Method, Name, NodeId, NodeLimits, Overflow, OverflowConfig, Payload, Pending, RawPending,
    RawReplies, Rejection, Replies, Reply, ReplySource, ReplyStream, Request, ResilienceConfig,
    RetryConfig, StartReason, StaticDirectory, Status, Subscription, ThrottleConfig, Trace,
    Undelivered, codegen, control, current, name,
};
/// Simulated runs: worlds where a seed decides what happens, faults, properties, exploration.
pub use monofil_sim as sim;
pub use monofil_transport::{
    Driver, Endpoint, EndpointError, Instant, Probability, Stream as RandomStream,
};
pub use prost::bytes::Bytes;
pub use {prost, prost_types};

/// What components, jobs and `main` are written with.
pub mod prelude {
    pub use std::process::ExitCode;

    pub use crate::{
        App, CallError, Caller, Code, Component, Context, Executed, HandlerError, InstanceLimits,
        Job, Layout, Message, MessageKind, Name, Payload, Pending, Rejection, Replies, Reply,
        ReplyStream, Request, StartReason, Status, Undelivered,
    };
}

/// Puts what `monofil-build` generated where it is called: all packages, each as a module, or the items
/// of one package without its module.
///
/// ```text
/// mod proto {
///     monofil::include_proto!();           // proto::shop::orders::..
/// }
/// mod hello {
///     monofil::include_proto!("hello");    // hello::..
/// }
/// ```
#[macro_export]
macro_rules! include_proto {
    () => {
        ::core::include!(::core::concat!(::core::env!("OUT_DIR"), "/mod.rs"));
    };
    ($package:literal) => {
        ::core::include!(::core::concat!(
            ::core::env!("OUT_DIR"),
            "/",
            $package,
            ".rs"
        ));
    };
}
