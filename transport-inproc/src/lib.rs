//! The pseudo-network: a deterministic world of nodes in one thread.
//!
//! A [`World`] holds nodes, which are the programs that also run in production, and gives each its view
//! of the outside ([`NodeIo`]). Time is virtual and jumps to the next thing that happens; all randomness
//! comes from one seed. The same seed gives the same run, on every machine and in every build, and
//! [`World::trace_hash`] tells whether it did.
//!
//! ```
//! use monofil_inproc::{Latency, LinkModel, NodeSpec, World, WorldConfig};
//! use monofil_transport::{Inbox, Instant, Io, Next, Node, Plane, Route};
//! use std::time::Duration;
//!
//! struct Hello;
//!
//! impl Node for Hello {
//!     fn turn(&mut self, io: &mut dyn Io) -> Next {
//!         let there = "inproc://world".parse().expect("an endpoint");
//!         let connection = io.connect(Plane::Application, &there).expect("connects");
//!         io.send(&Route::Connection(connection), "hello".into()).expect("room");
//!         Next::Idle
//!     }
//! }
//!
//! let mut world = World::new(WorldConfig {
//!     link: LinkModel::with_latency(Latency::Constant(Duration::from_millis(1))),
//!     ..WorldConfig::with_seed(42)
//! });
//! world.add_node(NodeSpec::new("hello"), |_| Box::new(Hello))?;
//! // A bare node has no program; the test is its program.
//! let listener = world.add_bare_node(NodeSpec::new("world"))?;
//! world.run_until_mail(listener, Instant::FAR_FUTURE);
//! // A round trip for the handshake, and one way for the frame.
//! assert_eq!(world.elapsed(), Duration::from_millis(3));
//! # Ok::<(), monofil_inproc::AddNodeError>(())
//! ```
//!
//! ```text
//!   World     nodes' programs, hooks, faults            run: lets time pass
//!     │                                                 Paced: the same, by a real clock
//!   Fabric    agenda ── (time, sequence) ──▶ what happens next
//!             links ──▶ connections ──▶ each node's mail ──▶ NodeIo::receive
//! ```
//!
//! What is done to a world is a value ([`Fault`], [`LinkModel`]), so that scenarios can hold, shrink and
//! print it. Every choice draws from the stream of its own site ([`Stream`](monofil_transport::Stream)), so adding one shifts
//! nothing elsewhere.

mod agenda;
mod config;
mod connection;
mod fabric;
mod fault;
mod frames;
mod jobs;
mod link;
mod node;
mod node_io;
mod paced;
mod run;
mod sessions;
mod slab;
mod stats;
mod thread;
mod trace;
mod world;

pub use config::WorldConfig;
pub use fabric::{Arrivals, FrameOnTheWay};
pub use fault::Fault;
pub use link::{Bandwidth, Bursts, Latency, LinkModel, Stalls};
pub use node::{AddNodeError, Factory, NodeKey, NodeSpec, NodeStart, application_endpoint};
pub use node_io::NodeIo;
pub use paced::{HelperDone, HelperJob, Outside, Paced, Pacer};
pub use run::Stop;
pub use stats::Stats;
pub use thread::ThreadTime;
pub use trace::{TraceHash, TraceKind, TraceRecord};
pub use world::World;
