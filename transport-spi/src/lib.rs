//! What a Monofil backend implements, and the [conformance] suite it must pass.
//!
//! A *node* is a single-threaded program: something hands it what arrived, lets it [turn](Node::turn)
//! once, and asks when it needs to turn again. Everything a node may do to the world outside goes
//! through one object-safe trait, [`Io`], which a backend implements:
//!
//! ```text
//!   node (a container)          never reads a clock, opens a socket or spawns a thread
//!   ──────────────────────────────────────────────────────────────────────────────────
//!   Io = Transport + Datagrams + Clock + Entropy + Offload + Watch
//!   ──────────────────────────────────────────────────────────────────────────────────
//!   backend                     sockets and a poll loop, or a simulated world
//! ```
//!
//! A backend that also owns its node's thread implements [`Driver`] (wait until something happens);
//! a simulated world does not, because it decides itself who turns next.
//!
//! The traits are split by concern so that a decorator (a fault injector, a tracer) says which one it
//! changes; a node only ever sees the sum of them.

pub mod conformance;
mod datagram;
pub mod decorator;
pub mod draws;
mod endpoint;
mod inbox;
mod io;
mod node;
mod offload;
pub mod record;
mod sampling;
mod time;
mod watch;

pub use datagram::{DatagramError, Datagrams};
pub use endpoint::{Endpoint, EndpointError, LocalEndpoints, Plane, Scheme};
pub use inbox::{Event, Inbox, Shutdown};
pub use io::{
    Clock, ConnectError, ConnectionId, Driver, Entropy, Io, Limits, ReturnPath, Route, SendError,
    Transport,
};
pub use node::{Next, Node};
pub use offload::{JobId, JobOutcome, Offload, OffloadFull, OffloadJob};
pub use sampling::{Probability, Stream};
pub use time::Instant;
pub use watch::{HandlerId, Progress, Running, Watch, WatchAnswer};
