//! What the ZeroMQ backend promises, over real sockets.

mod conformance;
mod ending;
mod healing;
mod ipc;
mod pressure;
mod stalls;
mod strangers;
mod support;
mod waking;
