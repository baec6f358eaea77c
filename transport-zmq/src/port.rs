//! A socket as the poll loop sees it.

use std::sync::atomic::{AtomicU64, Ordering};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use zmq::SocketType;

use crate::Options;
use crate::raw::{Readiness, Socket, SocketError};

/// A socket with what the loop must remember about it.
///
/// libzmq's descriptor signals changes, once, and any call on the socket may swallow the signal. So
/// the descriptor alone decides nothing: after its event, and after every call, the socket is *dirty*,
/// and the loop asks each dirty socket what it can do before it sleeps.
pub(crate) struct Port {
    pub(crate) socket: Socket,
    pub(crate) token: Token,
    /// Invariant: true exactly while `token` is in the loop's list of dirty ports.
    pub(crate) dirty: bool,
    /// Invariant: true exactly while `token` is in the loop's queue of readable ports.
    pub(crate) readable: bool,
    /// Whether it was dirty since the last sweep.
    pub(crate) touched: bool,
}

impl Port {
    /// Registers a socket with the loop. It starts clean: whoever made it marks it dirty.
    pub(crate) fn new(
        socket: Socket,
        token: Token,
        registry: &Registry,
    ) -> Result<Self, SocketError> {
        registry
            .register(
                &mut SourceFd(&socket.descriptor()),
                token,
                Interest::READABLE,
            )
            .map_err(|error| SocketError {
                number: error.raw_os_error().unwrap_or_default(),
                text: error.to_string(),
            })?;
        Ok(Self {
            socket,
            token,
            dirty: false,
            readable: false,
            touched: false,
        })
    }

    pub(crate) fn readiness(&mut self) -> Readiness {
        self.socket.readiness()
    }

    /// Takes the socket off the loop. To be called before it is dropped, because libzmq closes the
    /// descriptor later, on another thread.
    pub(crate) fn deregister(&self, registry: &Registry) {
        // Nothing can be done about a failure, and nothing comes of it: the token is not used again
        // while the descriptor lives.
        let _ = registry.deregister(&mut SourceFd(&self.socket.descriptor()));
    }
}

/// Makes a socket of one of the two kinds that carry frames, with every option set but the endpoint.
pub(crate) fn data_socket(
    context: &zmq::Context,
    kind: SocketType,
    options: &Options,
    reconnect_jitter: std::time::Duration,
    ipv6: bool,
) -> Result<Socket, SocketError> {
    let socket = context.socket(kind)?;
    let frames = int(options.frames_buffered_max as usize);
    let ms =
        |duration: std::time::Duration| i32::try_from(duration.as_millis()).unwrap_or(i32::MAX);
    let whole =
        |duration: std::time::Duration| i32::try_from(duration.as_secs()).unwrap_or(i32::MAX);
    socket.set_linger(0)?;
    socket.set_sndhwm(frames)?;
    socket.set_rcvhwm(frames)?;
    socket.set_maxmsgsize(i64::try_from(options.frame_bytes_max).unwrap_or(i64::MAX))?;
    socket.set_immediate(false)?;
    socket.set_backlog(int(options.backlog as usize))?;
    let reconnect = options.reconnect_interval + reconnect_jitter;
    socket.set_reconnect_ivl(ms(reconnect))?;
    socket.set_reconnect_ivl_max(ms(options.reconnect_interval_max.max(reconnect)))?;
    socket.set_connect_timeout(ms(options.connect_timeout))?;
    socket.set_handshake_ivl(ms(options.handshake_timeout))?;
    socket.set_heartbeat_ivl(ms(options.heartbeat_interval))?;
    socket.set_heartbeat_timeout(ms(options.heartbeat_timeout))?;
    socket.set_heartbeat_ttl(ms(options.heartbeat_timeout))?;
    socket.set_tcp_keepalive(1)?;
    socket.set_tcp_keepalive_idle(whole(options.keepalive_idle))?;
    socket.set_tcp_keepalive_intvl(whole(options.keepalive_interval))?;
    socket.set_tcp_keepalive_cnt(int(options.keepalive_probes as usize))?;
    socket.set_ipv6(ipv6)?;
    if kind == SocketType::ROUTER {
        socket.set_router_mandatory(true)?;
    }
    Socket::new(socket)
}

/// Tells whether an endpoint's host is an IPv6 address, in brackets: such a socket needs an option.
pub(crate) fn is_ipv6(endpoint: &str) -> bool {
    endpoint.starts_with("tcp://[")
}

/// Returns an endpoint inside the process that nobody else has.
pub(crate) fn private_endpoint() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("inproc://monofil-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

fn int(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
