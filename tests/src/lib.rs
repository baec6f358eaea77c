//! Helpers of the whole-system tests: nodes with components made of closures, on either backend, and
//! programs in processes of their own.
//!
//! A test describes nodes, starts them on a [`Net`], and is itself a handler on one more node, so that it
//! uses exactly what users use:
//!
//! ```
//! use monofil_tests::{NodeSpec, component, on_both, text};
//! use monofil_container::{Caller, Reply};
//!
//! on_both(|net| {
//!     let echo = component("echo", || |_, message| Ok(Reply::Payload(message.payload().clone())));
//!     net.start(vec![NodeSpec::new("one", vec![echo])]);
//!     let answer = net.run(|cx| cx.call(text("test/echo", "Say", "hi")));
//!     assert_eq!(answer.unwrap().to_bytes(), "hi");
//! });
//! ```

mod component;
mod foreign;
mod journal;
mod load;
mod net;
mod place;
mod processes;
mod program;
mod seeds;
mod sim;
mod stranger;
mod zmq;

pub use component::{ComponentDef, Hooks, component, hooked, text};
pub use foreign::Foreign;
pub use journal::{Entry, Happened, Journal, Ledger};
pub use load::{Amount, Load, Note, sink_names, sinks};
pub use net::{Net, NodeSpec, on_both};
pub use place::Place;
pub use processes::{command_line, find_processes, free_port, is_there};
pub use program::{Ended, PATIENCE, Program, eventually};
pub use seeds::{number, seeds};
pub use sim::SimNet;
pub use stranger::Stranger;
pub use zmq::{Scheme, ZmqNet};
