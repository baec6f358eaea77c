//! Simulated runs: an app in a world where a seed decides what happens, and what is learned from many of them.
//!
//! A [`Sim`] is one run. It puts containers into a [`World`](monofil_inproc::World), the pseudo-network with
//! virtual time, and is driven by hand, as a test does, or by what was planned. The components in it are those that
//! run in production.
//!
//! ```
//! use monofil_container::{
//!     Caller, CallError, Component, ComponentSpec, Context, HandlerError, Message, Payload, Reply, Request,
//! };
//! use monofil_sim::Sim;
//! use std::time::Duration;
//!
//! struct Echo;
//!
//! impl Component for Echo {
//!     fn handle(&mut self, _: &mut Context, message: Message) -> Result<Reply, HandlerError> {
//!         Ok(Reply::Payload(message.payload().clone()))
//!     }
//! }
//!
//! fn ask(cx: &mut Context) -> Result<Payload, CallError> {
//!     cx.call(Request::new("echo", "Say", Payload::bytes("hello")))
//! }
//!
//! let mut sim = Sim::new("echoes", 42);
//! sim.component("echo", || ComponentSpec::new("echo", || Echo));
//! assert!(sim.run("client", ask).is_ok());
//! sim.cut("client", "echo");
//! assert!(sim.run("client", ask).is_err());
//! sim.heal("client", "echo");
//! sim.run_for(Duration::from_secs(10));
//! assert!(sim.run("client", ask).is_ok());
//! ```
//!
//! ```text
//!   linearizability  judges a History of what clients asked and were told
//!   Sim        one run: nodes, work, faults, by hand or planned
//!   Cluster    containers in a world, and a directory of who is where
//!   World      monofil_inproc: virtual time, links, connections, one seed
//! ```

mod cluster;
mod history;
mod junit;
pub mod linearizability;
pub mod models;
pub mod perfetto;
pub mod report;
mod sim;
pub mod story;
mod task;
pub mod view;

pub use cluster::{Cluster, NodeDef};
pub use history::{History, Operation, OperationId, SharedHistory};
pub use junit::{Case, junit};
pub use sim::Sim;
pub use story::Story;
pub use task::Task;
