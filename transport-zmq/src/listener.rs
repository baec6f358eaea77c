//! The socket that one plane of a node is reached at.

use std::time::Duration;

use bytes::Bytes;
use mio::{Registry, Token};
use monofil_transport::{Endpoint, Plane, ReturnPath, Scheme, SendError};
use zmq::SocketType;

use crate::bind::BindError;
use crate::counters::Counters;
use crate::ipc::IpcLock;
use crate::monitor::{Monitor, Notice};
use crate::port::{Port, data_socket, is_ipv6};
use crate::raw::{Message, Refusal};
use crate::{Options, advertise};

/// How many return paths are kept ready to share.
const PATHS_KEPT: usize = 64;

/// A bound ROUTER socket: it receives from everybody, and answers along the way a frame came.
pub(crate) struct Listener {
    pub(crate) port: Port,
    pub(crate) monitor: Monitor,
    /// As others reach it.
    pub(crate) endpoint: Endpoint,
    plane: Plane,
    /// Return paths seen lately, by the last byte of the identity, so that a frame need not allocate
    /// its own.
    paths: Vec<Bytes>,
    connections: usize,
    connections_max: usize,
    crowded: bool,
    /// Held as long as the socket lives, and given back when it is gone.
    pub(crate) lock: Option<IpcLock>,
}

impl Listener {
    pub(crate) fn bind(
        context: &zmq::Context,
        options: &Options,
        registry: &Registry,
        tokens: (Token, Token),
        (plane, endpoint): (Plane, &Endpoint),
        advertised_host: Option<&str>,
    ) -> Result<Self, BindError> {
        let refused = |reason: String| BindError::Refused {
            endpoint: endpoint.clone(),
            reason,
        };
        let lock = match endpoint.scheme() {
            Scheme::Tcp => None,
            Scheme::Ipc => Some(IpcLock::take(endpoint)?),
            _ => return Err(BindError::Unsupported(endpoint.clone())),
        };
        let ipv6 = is_ipv6(endpoint.as_str());
        let mut socket = data_socket(context, SocketType::ROUTER, options, Duration::ZERO, ipv6)
            .map_err(|error| refused(error.text))?;
        let monitor = Monitor::attach(context, &mut socket, tokens.1, registry)
            .map_err(|error| refused(error.text))?;
        let bound = socket
            .bind(&bindable(endpoint))
            .map_err(|error| refused(error.text))
            .and_then(|()| advertise::endpoint(&socket, endpoint, advertised_host))
            .and_then(|reached_at| {
                let port = Port::new(socket, tokens.0, registry);
                Ok((port.map_err(|error| refused(error.text))?, reached_at))
            });
        let (port, reached_at) = match bound {
            Ok(bound) => bound,
            Err(error) => {
                monitor.port.deregister(registry);
                return Err(error);
            }
        };
        Ok(Self {
            port,
            monitor,
            endpoint: reached_at,
            plane,
            paths: vec![Bytes::new(); PATHS_KEPT],
            connections: 0,
            connections_max: options.connections_max,
            crowded: false,
            lock,
        })
    }

    /// Hands a frame back along the way another came.
    pub(crate) fn send(
        &mut self,
        path: &ReturnPath,
        frame: Bytes,
        counters: &mut Counters,
    ) -> Result<(), SendError> {
        let socket = &mut self.port.socket;
        let mut address = Message::copy_of(&path.0);
        let mut addressed = socket.send(&mut address, true);
        if addressed == Err(Refusal::Full) {
            // The socket may not have looked whether there is room again.
            socket.readiness();
            addressed = socket.send(&mut address, true);
        }
        match addressed {
            Ok(()) => {}
            Err(Refusal::Full) => return Err(SendError::Full(frame)),
            Err(_) => return Err(SendError::Gone(frame)),
        }
        // Having taken the address the socket takes the payload too; if the peer vanished in between,
        // it is lost like any frame that was under way.
        if socket.send(&mut Message::carrying(&frame), false).is_err() {
            counters.frames_lost_in_socket += 1;
        }
        Ok(())
    }

    /// Returns the way back to the peer of this identity.
    pub(crate) fn path(&mut self, identity: &Message) -> ReturnPath {
        let identity = identity.payload();
        let place = identity
            .last()
            .map_or(0, |byte| usize::from(*byte) % PATHS_KEPT);
        let kept = &mut self.paths[place];
        if kept != identity {
            *kept = Bytes::copy_from_slice(identity);
        }
        ReturnPath(kept.clone())
    }

    /// Takes note of what the monitor said.
    pub(crate) fn handle_notice(&mut self, notice: Notice, counters: &mut Counters) {
        match notice {
            Notice::Accepted => {
                counters.connections_accepted += 1;
                self.connections += 1;
            }
            Notice::AcceptFailed => {
                counters.connections_accept_failed += 1;
                if counters.connections_accept_failed.is_power_of_two() {
                    tracing::error!(plane = %self.plane, failures = counters.connections_accept_failed,
                        "a connection could not be accepted: is the limit on open descriptors reached?");
                }
            }
            Notice::HandshakeFailed => counters.handshakes_failed += 1,
            Notice::Disconnected => {
                counters.connections_lost += 1;
                self.connections = self.connections.saturating_sub(1);
            }
            _ => {}
        }
        self.warn_when_crowded();
    }

    fn warn_when_crowded(&mut self) {
        if !self.crowded && self.connections > self.connections_max {
            self.crowded = true;
            tracing::warn!(plane = %self.plane, connections = self.connections,
                connections_max = self.connections_max,
                "more peers are connected to this node than it expects");
        } else if self.connections < self.connections_max / 10 * 9 {
            self.crowded = false;
        }
    }
}

/// Spells an endpoint as libzmq wants it: it knows port `*`, and not 0.
fn bindable(endpoint: &Endpoint) -> String {
    match endpoint.as_str().strip_suffix(":0") {
        Some(rest) if endpoint.scheme() == Scheme::Tcp => format!("{rest}:*"),
        _ => endpoint.as_str().to_owned(),
    }
}
