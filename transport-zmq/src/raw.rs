//! Everything that needs unsafe code: libzmq's messages and sockets, the list of network interfaces,
//! and the end of the process. The rest of the crate sees safe types only.

mod exit;
mod interfaces;
mod message;
mod socket;

pub(crate) use exit::exit_at_once;
pub(crate) use interfaces::{Interface, interfaces};
pub(crate) use message::Message;
pub(crate) use socket::{Readiness, Refusal, Socket, SocketError};
