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
//! A [`Scenario`] is run many times: [`Faults`] are drawn from a seed, properties are judged, what fails is made
//! smaller and can be run again.
//!
//! ```text
//!   Explore    many runs: seeds, strategies, processes            Shrunk  what fails, made smaller
//!   Scenario   what is run: nodes, work, faults, properties        Case    all that decides one run
//!   Faults ──▶ Plan   what may go wrong, and what does
//!   linearizability  judges a History of what clients asked and were told
//!   Sim        one run: nodes, work, faults, by hand or planned
//!   Cluster    containers in a world, and a directory of who is where
//!   World      monofil_inproc: virtual time, links, connections, one seed
//! ```

mod cluster;
mod explore;
mod farewell;
mod faults;
mod file;
mod frames;
mod gatekeeper;
pub mod guard;
mod history;
mod injection;
pub mod junit;
pub mod linearizability;
mod listening;
mod mentioned;
pub mod models;
mod outcome;
mod panics;
mod patience;
pub mod perfetto;
mod plan;
mod property;
mod replay;
pub mod report;
mod scenario;
mod service;
mod shrink;
mod sim;
mod span;
pub mod stacks;
pub mod story;
mod strategy;
mod tape;
mod task;
mod vain;
pub mod view;
mod weather;
mod workers;

pub use cluster::{Cluster, Machines, NodeDef};
pub use explore::{Explore, Program};
pub use faults::{Episodes, Family, Faults, Nodes};
pub use file::{CaseFile, CaseFileError};
pub use gatekeeper::Received;
pub use history::{History, Operation, OperationId, SharedHistory};
pub use injection::{Deed, Injection, Leg};
pub use listening::Listening;
pub use outcome::{Checked, Found, Report};
pub use plan::{
    BandwidthPlan, BurstPlan, Event, Happening, LinkPlan, Plan, ServiceTime, Shape, StallPlan, Way,
};
pub use property::{Failure, Verdict, always, sometimes};
pub use replay::{StopAt, Stopped, difference};
pub use scenario::{Case, EXIT_STUCK, Keep, Ran, Scenario};
pub use shrink::{Shrunk, Size};
pub use sim::{Sim, Simulate};
pub use span::{Chance, Span, SpanError, SpanRange};
pub use story::Story;
pub use strategy::{Schedule, Strategy, StrategyError};
pub use tape::{Drawn, Fixed, Tape};
pub use task::Task;
pub use workers::WORKER;

pub use monofil_inproc::{Fault, Latency, LinkModel};
