//! Monofil: a single-threaded component container framework.
//!
//! Write a component as plain synchronous code; run it in one process, in a simulated world, or as one
//! process per component over ZeroMQ. Nothing in its code changes.

pub use monofil_container::{
    CallError, Caller, Client, Code, Component, ComponentSpec, Container, ContainerConfig, Context,
    Counter, Current, Directory, Executed, HandlerError, Health, InstanceLimits, Interface,
    LinkConfig, Message, MessageKind, Method, Name, NodeId, NodeLimits, Payload, Pending,
    RawPending, RawReplies, Rejection, Replies, Reply, ReplySource, ReplyStream, Request,
    StartReason, StaticDirectory, Status, Subscription, Trace, Undelivered, codegen, current,
};
