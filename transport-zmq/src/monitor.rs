//! What libzmq tells about a socket's connections.

use std::time::{Duration, Instant};

use mio::{Registry, Token};
use zmq::SocketType;

use crate::port::{Port, private_endpoint};
use crate::raw::{Message, Socket, SocketError};

/// Notices that wait to be read. libzmq's own thread stands still while a monitor is full, which must
/// not happen because a handler holds the node's thread: hence so many.
const NOTICES_MAX: i32 = 100_000;
/// How long one wait for a closing socket may last, so that it never hinges on one wake-up.
const STEP_MAX: Duration = Duration::from_millis(20);

/// What happened to one of a socket's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// An attempt to connect was begun, put off, or led to the greeting: libzmq has it in hand.
    Underway,
    /// Both sides have greeted each other.
    Ready,
    /// The greeting failed.
    HandshakeFailed,
    /// The connection ended. When [`Notice::Underway`] does not follow, libzmq has given up.
    Disconnected,
    /// A peer's connection was accepted.
    Accepted,
    /// A peer's connection could not be accepted.
    AcceptFailed,
}

const EVENTS: u32 = zmq_sys::ZMQ_EVENT_CONNECTED
    | zmq_sys::ZMQ_EVENT_CONNECT_DELAYED
    | zmq_sys::ZMQ_EVENT_CONNECT_RETRIED
    | zmq_sys::ZMQ_EVENT_ACCEPTED
    | zmq_sys::ZMQ_EVENT_ACCEPT_FAILED
    | zmq_sys::ZMQ_EVENT_DISCONNECTED
    | zmq_sys::ZMQ_EVENT_HANDSHAKE_SUCCEEDED
    | zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;

/// The reading end of a socket's monitor.
///
/// To be dropped after its socket: libzmq's own thread, having something to say, waits for a reader.
pub(crate) struct Monitor {
    pub(crate) port: Port,
}

impl Monitor {
    /// Attaches a monitor to a socket that is neither bound nor connected yet.
    pub(crate) fn attach(
        context: &zmq::Context,
        watched: &mut Socket,
        token: Token,
        registry: &Registry,
    ) -> Result<Self, SocketError> {
        let reader = reader(context, watched, EVENTS)?;
        let port = Port::new(reader, token, registry).inspect_err(|_| watched.unmonitor())?;
        Ok(Self { port })
    }

    /// Takes the next notice, if there is one. When there is none, every earlier signal was seen.
    pub(crate) fn next(&mut self) -> Option<Notice> {
        while let Some(head) = take_head(&mut self.port.socket) {
            if let Some(notice) = parse(&head) {
                return Some(notice);
            }
        }
        None
    }
}

/// Tells when a socket that is being closed is gone, with all it held.
pub(crate) struct Farewell {
    reader: Socket,
}

impl Farewell {
    /// Closes a socket, which then has as long as its linger option says to pass on what it holds.
    pub(crate) fn close(context: &zmq::Context, mut socket: Socket) -> Result<Self, SocketError> {
        let reader = reader(context, &mut socket, zmq_sys::ZMQ_EVENT_MONITOR_STOPPED)?;
        socket.close_reporting();
        Ok(Self { reader })
    }

    /// Waits until the socket is gone. Returns false when it is not by then.
    pub(crate) fn wait(mut self, deadline: Instant) -> bool {
        loop {
            // There is only one thing it could say.
            if take_head(&mut self.reader).is_some() {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                // libzmq will still have its say, and waits for ever for a reader that is gone.
                std::mem::forget(self.reader);
                return false;
            }
            let step = i64::try_from(left.min(STEP_MAX).as_millis()).unwrap_or(1);
            // An error is a signal that came between, which changes nothing.
            let _ = self.reader.options().poll(zmq::POLLIN, step.max(1));
        }
    }
}

/// Makes the end that reads what is reported about `watched`.
fn reader(
    context: &zmq::Context,
    watched: &mut Socket,
    events: u32,
) -> Result<Socket, SocketError> {
    let reader = context.socket(SocketType::PAIR)?;
    reader.set_linger(0)?;
    reader.set_rcvhwm(NOTICES_MAX)?;
    let mut reader = Socket::new(reader)?;
    let endpoint = private_endpoint();
    watched.monitor(&endpoint, events)?;
    // At once: until somebody reads, the one who has something to say waits.
    if let Err(error) = reader.connect(&endpoint) {
        watched.unmonitor();
        return Err(error);
    }
    Ok(reader)
}

/// Takes the first part of the next notice. The second is the endpoint, and of no interest.
fn take_head(reader: &mut Socket) -> Option<Message> {
    let head = reader.receive()?;
    let mut more = head.has_more();
    while more {
        more = reader.receive().is_some_and(|part| part.has_more());
    }
    Some(head)
}

/// Reads the first part of a notice: its kind, in 16 bits, and a value that is of no interest either.
fn parse(head: &Message) -> Option<Notice> {
    let kind = u16::from_ne_bytes(head.payload().get(..2)?.try_into().ok()?);
    Some(match u32::from(kind) {
        zmq_sys::ZMQ_EVENT_CONNECTED
        | zmq_sys::ZMQ_EVENT_CONNECT_DELAYED
        | zmq_sys::ZMQ_EVENT_CONNECT_RETRIED => Notice::Underway,
        zmq_sys::ZMQ_EVENT_HANDSHAKE_SUCCEEDED => Notice::Ready,
        zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL
        | zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL
        | zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_AUTH => Notice::HandshakeFailed,
        zmq_sys::ZMQ_EVENT_DISCONNECTED => Notice::Disconnected,
        zmq_sys::ZMQ_EVENT_ACCEPTED => Notice::Accepted,
        zmq_sys::ZMQ_EVENT_ACCEPT_FAILED => Notice::AcceptFailed,
        _ => return None,
    })
}
