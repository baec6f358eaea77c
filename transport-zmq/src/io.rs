//! The node's handle: every trait of the SPI but the waiting.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use mio::{Events, Poll};
use monofil_transport::{
    Clock, ConnectError, ConnectionId, DatagramError, Datagrams, Endpoint, Entropy, Event, Inbox,
    Instant, Limits, LocalEndpoints, Offload, OffloadFull, OffloadJob, Plane, Progress, Route,
    Scheme, SendError, Transport, Watch, WatchAnswer,
};
use signal_hook_mio::v1_0::Signals;

use crate::Options;
use crate::connection::Connection;
use crate::counters::Counters;
use crate::datagram::DatagramSocket;
use crate::monitor::Farewell;
use crate::pool::Pool;
use crate::resolver::Resolver;
use crate::sentinel::Sentinel;
use crate::sockets::{Ready, Sockets, plane_index};
use crate::wait::Sweep;

/// How much longer than its linger a closing socket may take.
const CLOSE_GRACE: Duration = Duration::from_millis(500);
/// How much before its time libzmq's linger may end: its clock is coarse.
const LINGER_EARLY_MAX: Duration = Duration::from_millis(5);

/// A node's sockets, timers and threads; see the [crate](crate) for what it does with them.
///
/// Dropping it closes everything without waiting for what is still to be sent; [`ZmqIo::close`] waits.
pub struct ZmqIo {
    pub(crate) context: zmq::Context,
    pub(crate) options: Options,
    pub(crate) poll: Poll,
    pub(crate) events: Events,
    pub(crate) sockets: Sockets,
    pub(crate) ready: Ready,
    pub(crate) datagrams: Option<DatagramSocket>,
    pub(crate) signals: Option<Signals>,
    pub(crate) shutdown_asked: bool,
    pub(crate) pool: Pool,
    pub(crate) resolver: Resolver,
    pub(crate) sentinel: Sentinel,
    pub(crate) alarm: crate::Alarm,
    /// Events for the next `receive`. At most a few for each connection, because a node is turned
    /// before more are read.
    pub(crate) pending: VecDeque<Event>,
    pub(crate) counters: Counters,
    pub(crate) local: LocalEndpoints,
    pub(crate) epoch: std::time::Instant,
    pub(crate) jitter: Duration,
    /// Whether the sockets were looked at since the last `receive`.
    pub(crate) looked: bool,
    /// Whether a frame along a return path was refused since the last wait, and how long the node
    /// pauses before it tries again.
    pub(crate) return_refused: bool,
    pub(crate) return_pause: Duration,
    /// No later than the first connection is to be opened anew.
    pub(crate) renew_next: Instant,
    pub(crate) sweep: Sweep,
}

impl std::fmt::Debug for ZmqIo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ZmqIo")
            .field("local", &self.local)
            .field("connections", &self.sockets.connection_count())
            .finish_non_exhaustive()
    }
}

impl ZmqIo {
    /// Returns what was carried, dropped, refused and repaired since the start, by reason; those at
    /// zero too. The names are stable.
    #[must_use]
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        let mut counters = self.counters.clone();
        let (answered, dropped) = self.sentinel.counts();
        counters.probes_answered = answered;
        counters.datagrams_dropped_stalled = dropped;
        counters.list()
    }

    /// Returns what ends a [`wait`](monofil_transport::Driver::wait) from another thread.
    #[must_use]
    pub fn alarm(&self) -> crate::Alarm {
        self.alarm.clone()
    }

    /// Closes everything, and waits up to `linger` for frames that were accepted to leave this process.
    ///
    /// Returns whether all of them did. Frames for a peer that is not there cannot, so that closing
    /// then takes the whole time.
    pub fn close(mut self, linger: Duration) -> bool {
        self.close_sockets(linger)
    }

    pub(crate) fn close_sockets(&mut self, linger: Duration) -> bool {
        let started = std::time::Instant::now();
        let linger_ms = i32::try_from(linger.as_millis()).unwrap_or(i32::MAX);
        let registry = self.poll.registry();
        let (listeners, connections) = self.sockets.take();
        // Monitors, and the locks of listeners, must outlive the sockets.
        let mut kept = (Vec::new(), Vec::new());
        let mut farewells = Vec::new();
        let mut close = |port: crate::port::Port| {
            port.deregister(registry);
            // It can only fail for a socket that is of no more use.
            let _ = port.socket.options().set_linger(linger_ms);
            match Farewell::close(&self.context, port.socket) {
                Ok(farewell) => farewells.push(farewell),
                Err(error) => tracing::debug!(%error, "a socket is closed unseen"),
            }
        };
        for connection in connections {
            connection.monitor.port.deregister(registry);
            close(connection.port);
            kept.0.push(connection.monitor);
        }
        for listener in listeners {
            listener.monitor.port.deregister(registry);
            close(listener.port);
            kept.1.push((listener.monitor, listener.lock));
        }
        let deadline = started + linger + CLOSE_GRACE;
        let mut all = true;
        for farewell in farewells {
            all &= farewell.wait(deadline);
        }
        // A socket that used up its linger has dropped something.
        all && (linger.is_zero() || started.elapsed() + LINGER_EARLY_MAX < linger)
    }

    pub(crate) fn frame_is_too_long(&self, frame: &Bytes) -> bool {
        frame.len() > self.options.frame_bytes_max
    }

    fn send_back(
        &mut self,
        plane: Plane,
        path: &monofil_transport::ReturnPath,
        frame: Bytes,
    ) -> Result<(), SendError> {
        let Some(listener) = self.sockets.listener_at(plane_index(plane)) else {
            return Err(SendError::Gone(frame));
        };
        let sent = listener.send(path, frame, &mut self.counters);
        self.ready.mark_dirty(&mut listener.port);
        match &sent {
            Ok(()) => self.return_pause = Duration::ZERO,
            Err(SendError::Full(_)) => self.return_refused = true,
            Err(_) => {}
        }
        sent
    }
}

impl Drop for ZmqIo {
    fn drop(&mut self) {
        self.close_sockets(Duration::ZERO);
    }
}

impl Transport for ZmqIo {
    fn limits(&self) -> Limits {
        Limits {
            frame_bytes_max: self.options.frame_bytes_max,
            datagram_bytes_max: self.options.datagram_bytes_max,
        }
    }

    fn local(&self) -> LocalEndpoints {
        self.local.clone()
    }

    fn connect(&mut self, plane: Plane, endpoint: &Endpoint) -> Result<ConnectionId, ConnectError> {
        let refused = |reason: String| ConnectError::Refused {
            endpoint: endpoint.clone(),
            reason,
        };
        match endpoint.scheme() {
            Scheme::Ipc => {}
            Scheme::Tcp if has_port(endpoint) => {}
            Scheme::Tcp => return Err(refused("it names no port".to_owned())),
            _ => return Err(ConnectError::Unsupported(endpoint.clone())),
        }
        let limit = self.options.connections_max;
        if self.sockets.connection_count() >= limit {
            return Err(refused(format!(
                "connections_max is {limit}, and as many are open"
            )));
        }
        let now = self.now();
        let (id, tokens) = self.sockets.next_connection();
        let mut connection = Connection::open(
            &self.context,
            &self.options,
            self.jitter,
            self.poll.registry(),
            tokens,
            (id, plane, endpoint),
            now,
        )
        .map_err(|error| refused(error.text))?;
        self.ready.mark_dirty(&mut connection.port);
        self.ready.mark_dirty(&mut connection.monitor.port);
        self.renew_next = self
            .renew_next
            .min(connection.renew_at().unwrap_or(Instant::FAR_FUTURE));
        self.sockets.insert(connection);
        Ok(id)
    }

    fn disconnect(&mut self, id: ConnectionId) {
        if let Some(connection) = self.sockets.remove(id) {
            let registry = self.poll.registry();
            connection.port.deregister(registry);
            connection.monitor.port.deregister(registry);
            self.ready
                .forget([connection.port.token, connection.monitor.port.token]);
            let of_it = |event: &Event| matches!(event, Event::PeerConnected(of) | Event::PeerGone(of) | Event::Writable(of) if *of == id);
            self.pending.retain(|event| !of_it(event));
        }
    }

    fn send(&mut self, to: &Route, frame: Bytes) -> Result<(), SendError> {
        if self.frame_is_too_long(&frame) {
            return Err(SendError::TooLarge(frame));
        }
        let sent = match to {
            Route::Connection(id) => match self.sockets.connection(*id) {
                Some(connection) => {
                    let sent = connection.send(frame);
                    self.ready.mark_dirty(&mut connection.port);
                    sent
                }
                None => Err(SendError::Gone(frame)),
            },
            Route::Return(plane, path) => self.send_back(*plane, path, frame),
        };
        match &sent {
            Ok(()) => self.counters.frames_sent += 1,
            Err(SendError::Full(_)) => self.counters.frames_refused_full += 1,
            Err(_) => {}
        }
        sent
    }

    fn receive(&mut self, inbox: &mut Inbox) {
        if !std::mem::replace(&mut self.looked, false) {
            self.look();
            self.looked = false;
        }
        for event in self.pending.drain(..) {
            inbox.push(event);
        }
        self.pool.receive(inbox);
        if self.sentinel.has_kept() {
            self.counters.datagrams_received += self.sentinel.receive(inbox);
        }
        if let Some(datagrams) = &mut self.datagrams {
            datagrams.receive(inbox, &mut self.counters);
        }
        self.read_ports(inbox);
    }
}

fn has_port(endpoint: &Endpoint) -> bool {
    let port = endpoint.address().rsplit_once(':').map(|(_, port)| port);
    port.is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

impl Datagrams for ZmqIo {
    fn send_datagram(&mut self, to: SocketAddr, payload: &[u8]) -> Result<(), DatagramError> {
        let Some(datagrams) = &self.datagrams else {
            return Err(DatagramError::Unsupported);
        };
        let sent = datagrams.send(to, payload);
        match &sent {
            Ok(()) => self.counters.datagrams_sent += 1,
            Err(_) => self.counters.datagrams_refused += 1,
        }
        sent
    }

    fn lookup(&mut self, place: &str) -> Vec<SocketAddr> {
        self.resolver.lookup(place)
    }
}

impl Clock for ZmqIo {
    fn now(&self) -> Instant {
        let nanos = self.epoch.elapsed().as_nanos();
        Instant::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn wall_micros(&self) -> u64 {
        // Before 1970 it is 1970.
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }
}

impl Entropy for ZmqIo {
    fn fill(&mut self, bytes: &mut [u8]) {
        fill(bytes);
    }
}

/// Fills `bytes` from the operating system.
pub(crate) fn fill(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system gives entropy once it has booted");
}

impl Offload for ZmqIo {
    fn offload(&mut self, job: OffloadJob) -> Result<(), OffloadFull> {
        self.pool.submit(job)
    }
}

impl Watch for ZmqIo {
    fn progress(&self) -> Arc<Progress> {
        self.sentinel.progress()
    }

    fn install_answer(&mut self, answer: Box<dyn WatchAnswer>) {
        self.sentinel.install_answer(answer);
    }

    fn stalls(&self) -> Vec<(Arc<str>, u64)> {
        self.sentinel.stalls()
    }
}
