//! The ZeroMQ backend of Monofil: frames over TCP and UNIX sockets, datagrams over UDP.
//!
//! [`ZmqIo`] is everything one node does to the world outside, for a node that has a thread of its
//! own. It implements every trait of [`monofil_transport::Io`], and [`Driver`]:
//!
//! ```
//! use monofil_transport::{Driver, Endpoint, Event, Inbox, Next, Plane, Route, Transport};
//! use monofil_zmq::{Listen, Options, ZmqIo};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listen = Listen {
//!     application: Some("tcp://127.0.0.1:*".parse()?),
//!     ..Listen::default()
//! };
//! let mut server = ZmqIo::bind(Options::default(), listen)?;
//! let mut client = ZmqIo::bind(Options::default(), Listen::default())?;
//!
//! let endpoint = server.local().application.expect("it was bound");
//! let connection = client.connect(Plane::Application, &endpoint)?;
//! client.send(&Route::Connection(connection), "hello".into())?;
//!
//! let mut inbox = Inbox::new();
//! let answer_to = loop {
//!     server.wait(Next::Idle);
//!     server.receive(&mut inbox);
//!     if let Some(Event::Frame { from, frame, .. }) = inbox.pop() {
//!         assert_eq!(frame, "hello");
//!         break from;
//!     }
//! };
//! server.send(&answer_to, "good day".into())?;
//! # Ok(())
//! # }
//! ```
//!
//! # Sockets
//!
//! ```text
//!              one ROUTER per plane, bound            one DEALER per connection, connected
//!   node A     receives from everybody,      ◄──────  sends to one endpoint of one peer,     node B
//!              answers along a Route::Return ──────►  reads what comes back
//! ```
//!
//! Each connection has its own small buffer, so that a slow peer is seen as
//! [`SendError::Full`](monofil_transport::SendError::Full) on its connection and nowhere else. Node
//! identities are not ZeroMQ's business: they are in the frames. Nothing blocks; one `mio` loop waits
//! for sockets, signals, finished jobs and time.
//!
//! Three kinds of thread stand beside the node's: libzmq's, which move bytes; helpers, which do
//! [blocking work](monofil_transport::Offload) and start when they are needed; and the sentinel, which
//! notices when a handler holds the node's thread, says so in the log, and meanwhile answers liveness
//! probes in the node's place.
//!
//! # What libzmq does not do by itself
//!
//! - **It gives up** on a peer that violated the protocol, silently. Here such a connection is opened
//!   anew, with a growing pause (`connections_renewed`).
//! - **It lets a second socket take an `ipc` path** and its traffic. Here a file lock beside it decides.
//! - **It takes messages of any number of parts.** Here a frame is one part; others are dropped and
//!   counted.
//! - **Its descriptor signals only some arrivals.** The loop follows rules that do not rely on it, and
//!   counts what they miss (`wakeups_rescued`, which stays zero).
//! - **Options that the build lacks are accepted and do nothing.** [`missing_features`] names them.
//!
//! # Limits
//!
//! Times are kept in milliseconds by the kernel's poll: a wait may end up to one late, never early for
//! no reason. IPv6 works for endpoints that spell the address in brackets.
//!
//! [`Driver`]: monofil_transport::Driver

mod advertise;
mod alarm;
mod bind;
mod connection;
mod counters;
mod datagram;
mod io;
mod ipc;
mod listener;
mod monitor;
mod options;
mod pool;
mod port;
mod process;
mod raw;
mod receive;
mod resolver;
mod sentinel;
mod sockets;
mod wait;

pub use alarm::Alarm;
pub use bind::BindError;
pub use io::ZmqIo;
pub use options::{Listen, OptionError, Options};
pub use process::{EXIT_CODE_WATCHDOG, can_encrypt, exit_watchdog, missing_features};
