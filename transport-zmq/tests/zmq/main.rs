//! What the ZeroMQ backend promises, over real sockets.

mod conformance;
mod support;
