//! Nodes, and waiting for something to become true.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use monofil_transport::{Driver, Endpoint, Event, Inbox, Next, Transport};
use monofil_zmq::{Listen, Options, ZmqIo};

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A node that listens on free ports of the loopback interface.
pub(crate) fn node(options: Options) -> ZmqIo {
    ZmqIo::bind(options, tcp()).expect("free ports")
}

/// A node that only ever speaks first.
pub(crate) fn client(options: Options) -> ZmqIo {
    ZmqIo::bind(options, Listen::default()).expect("a client")
}

pub(crate) fn tcp() -> Listen {
    let endpoint = || Some("tcp://127.0.0.1:0".parse().expect("an endpoint"));
    Listen {
        application: endpoint(),
        control: endpoint(),
        datagram: Some("127.0.0.1:0".parse().expect("an address")),
        advertise: None,
    }
}

/// Options that heal quickly.
pub(crate) fn quick() -> Options {
    Options {
        reconnect_interval: Duration::from_millis(20),
        reconnect_interval_max: Duration::from_millis(100),
        heartbeat_interval: Duration::from_millis(200),
        heartbeat_timeout: Duration::from_millis(600),
        connect_timeout: Duration::from_millis(500),
        handshake_timeout: Duration::from_millis(500),
        ..Options::default()
    }
}

/// Turns nodes, one after the other, until `look` has seen enough of what they receive.
pub(crate) fn drive(nodes: &mut [&mut ZmqIo], mut look: impl FnMut(usize, Event) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    let mut inbox = Inbox::new();
    loop {
        assert!(Instant::now() < deadline, "it did not happen in time");
        for (index, node) in nodes.iter_mut().enumerate() {
            let soon = monofil_transport::Clock::now(*node) + Duration::from_millis(2);
            node.wait(Next::At(soon));
            node.receive(&mut inbox);
            while let Some(event) = inbox.pop() {
                if look(index, event) {
                    return;
                }
            }
        }
    }
}

/// Turns nodes until something else has become true.
pub(crate) fn drive_until(
    nodes: &mut [&mut ZmqIo],
    mut done: impl FnMut(&mut [&mut ZmqIo]) -> bool,
) {
    let deadline = Instant::now() + PATIENCE;
    let mut inbox = Inbox::new();
    while !done(nodes) {
        assert!(Instant::now() < deadline, "it did not become true in time");
        for node in nodes.iter_mut() {
            let soon = monofil_transport::Clock::now(*node) + Duration::from_millis(2);
            node.wait(Next::At(soon));
            node.receive(&mut inbox);
            while inbox.pop().is_some() {}
        }
    }
}

/// Returns one of a node's counters.
pub(crate) fn counter(node: &ZmqIo, name: &str) -> u64 {
    let counters = node.counters();
    let found = counters.iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("no counter `{name}`")).1
}

/// A port that refuses connections for as long as this lives, and that nobody else is given.
pub(crate) struct Nobody(socket2::Socket);

impl Nobody {
    pub(crate) fn new() -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = socket.expect("a socket");
        let any_port: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        socket.bind(&any_port.into()).expect("a free port");
        Self(socket)
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        let address = self
            .0
            .local_addr()
            .ok()
            .and_then(|address| address.as_socket());
        let address = address.expect("bound");
        format!("tcp://{address}").parse().expect("an endpoint")
    }
}
