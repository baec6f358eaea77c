//! One connection that this node opened.

use std::time::Duration;

use bytes::Bytes;
use mio::{Registry, Token};
use monofil_transport::{ConnectionId, Endpoint, Event, Instant, Plane, SendError};
use zmq::SocketType;

use crate::Options;
use crate::counters::Counters;
use crate::monitor::{Monitor, Notice};
use crate::port::{Port, data_socket, is_ipv6};
use crate::raw::{Message, Refusal, SocketError};

/// How long libzmq may take, after a connection ended, to say that it will try again.
const GIVEN_UP_AFTER: Duration = Duration::from_millis(500);
/// What the pause before connecting anew grows to.
const RENEWAL_PAUSE_MAX: Duration = Duration::from_secs(30);

/// A DEALER socket, its monitor, and what is known about its other end.
///
/// libzmq connects again by itself when a connection breaks, but not when its peer violated the
/// protocol: then it gives up, without a word. So a connection that ended and about which nothing
/// more is heard is taken down and opened anew, with a growing pause.
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    pub(crate) plane: Plane,
    pub(crate) port: Port,
    pub(crate) monitor: Monitor,
    endpoint: Endpoint,
    /// Whether both sides have greeted each other.
    up: bool,
    /// Whether the node waits for [`Event::Writable`].
    wants_writable: bool,
    /// When to open it anew unless something is heard. Invariant: `None` exactly while it is up.
    renew_at: Option<Instant>,
    /// How often it was opened anew since it was last up.
    renewals: u32,
    /// The longest that libzmq is silent while it tries to connect.
    silence_max: Duration,
}

impl Connection {
    pub(crate) fn open(
        context: &zmq::Context,
        options: &Options,
        jitter: Duration,
        registry: &Registry,
        tokens: (Token, Token),
        (id, plane, endpoint): (ConnectionId, Plane, &Endpoint),
        now: Instant,
    ) -> Result<Self, SocketError> {
        let ipv6 = is_ipv6(endpoint.as_str());
        let mut socket = data_socket(context, SocketType::DEALER, options, jitter, ipv6)?;
        let monitor = Monitor::attach(context, &mut socket, tokens.1, registry)?;
        let connected = socket
            .connect(endpoint.as_str())
            .and_then(|()| Port::new(socket, tokens.0, registry));
        let port = match connected {
            Ok(port) => port,
            Err(error) => {
                monitor.port.deregister(registry);
                return Err(error);
            }
        };
        let silence_max = options
            .reconnect_interval_max
            .max(options.reconnect_interval * 2)
            + options.connect_timeout
            + options.handshake_timeout
            + GIVEN_UP_AFTER;
        Ok(Self {
            id,
            plane,
            port,
            monitor,
            endpoint: endpoint.clone(),
            up: false,
            wants_writable: false,
            renew_at: Some(now + silence_max),
            renewals: 0,
            silence_max,
        })
    }

    /// Hands a frame to the socket.
    pub(crate) fn send(&mut self, frame: Bytes) -> Result<(), SendError> {
        let mut message = Message::carrying(&frame);
        match self.port.socket.send(&mut message, false) {
            Ok(()) => return Ok(()),
            Err(Refusal::Full) => {}
            Err(_) => return Err(SendError::Gone(frame)),
        }
        // The socket may not have looked whether there is room again.
        if self.port.readiness().writable && self.port.socket.send(&mut message, false).is_ok() {
            return Ok(());
        }
        self.wants_writable = true;
        Err(SendError::Full(frame))
    }

    /// Tells whether the node waits for [`Event::Writable`].
    pub(crate) fn waits_for_room(&self) -> bool {
        self.wants_writable
    }

    /// Returns the event that a node waits for which was refused, once there is room.
    pub(crate) fn take_writable(&mut self, writable: bool) -> Option<Event> {
        if !(writable && self.wants_writable) {
            return None;
        }
        self.wants_writable = false;
        Some(Event::Writable(self.id))
    }

    /// Takes note of what the monitor said.
    pub(crate) fn handle_notice(
        &mut self,
        now: Instant,
        notice: Notice,
        counters: &mut Counters,
    ) -> Option<Event> {
        match notice {
            Notice::Underway if !self.up => {
                self.renew_at = Some(now + self.silence_max);
                None
            }
            Notice::Ready => {
                let again = std::mem::replace(&mut self.up, true);
                self.renew_at = None;
                self.renewals = 0;
                (!again).then_some(Event::PeerConnected(self.id))
            }
            Notice::HandshakeFailed => {
                counters.handshakes_failed += 1;
                None
            }
            Notice::Disconnected => {
                let pause = GIVEN_UP_AFTER * 2_u32.saturating_pow(self.renewals.min(16));
                self.renew_at = Some(now + pause.min(RENEWAL_PAUSE_MAX));
                let was_up = std::mem::replace(&mut self.up, false);
                counters.connections_lost += u64::from(was_up);
                was_up.then_some(Event::PeerGone(self.id))
            }
            _ => None,
        }
    }

    /// Returns when [`Connection::renew`] is due.
    pub(crate) fn renew_at(&self) -> Option<Instant> {
        self.renew_at
    }

    /// Opens the connection anew, because libzmq has given it up or does not get on with it.
    pub(crate) fn renew(&mut self, now: Instant) {
        if self.renewals == 0 {
            tracing::warn!(endpoint = %self.endpoint, plane = %self.plane,
                "a peer does not speak our protocol, or has broken it: connecting anew");
        }
        self.renewals = self.renewals.saturating_add(1);
        self.renew_at = Some(now + self.silence_max);
        // The old one may be gone already, which is as good.
        let _ = self.port.socket.disconnect(self.endpoint.as_str());
        if let Err(error) = self.port.socket.connect(self.endpoint.as_str()) {
            tracing::warn!(endpoint = %self.endpoint, %error, "connecting anew failed, and is tried again");
        }
    }
}
