//! Containers over ZeroMQ, all on the test's thread, one turn after the other.

use std::time::{Duration, Instant as RealInstant};

use monofil_container::Container;
use monofil_transport::{
    Clock as _, Driver as _, Endpoint, Next, Node as _, Shutdown, Transport as _, Watch as _,
};
use monofil_zmq::{Listen, Options, ZmqIo};
use tempfile::TempDir;

use crate::net::{Net, NodeSpec, Test, directory};

/// How nodes reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// TCP on the loopback interface.
    Tcp,
    /// UNIX sockets in a directory of the test.
    Ipc,
}

struct Running {
    name: String,
    spec: NodeSpec,
    listen: Listen,
    io: Option<ZmqIo>,
    container: Option<Container>,
    next: Next,
    incarnation: u64,
}

/// Nodes over ZeroMQ.
pub struct ZmqNet {
    scheme: Scheme,
    directory: TempDir,
    nodes: Vec<Running>,
    tests: usize,
}

/// How long the last frames of a node that ends may take to leave.
const LINGER: Duration = Duration::from_millis(500);
/// No test takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

impl ZmqNet {
    /// Makes an empty net.
    #[must_use]
    pub fn new(scheme: Scheme) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Self {
            scheme,
            directory,
            nodes: Vec::new(),
            tests: 0,
        }
    }

    /// Returns the endpoints of a node: application and control plane, and where it takes datagrams.
    #[must_use]
    pub fn local(&self, name: &str) -> monofil_transport::LocalEndpoints {
        let node = self.nodes.iter().find(|node| node.name == name);
        let io = node.and_then(|node| node.io.as_ref());
        io.expect("a running node").local()
    }

    /// Returns a node's container.
    #[must_use]
    pub fn container(&self, name: &str) -> &Container {
        let node = self.nodes.iter().find(|node| node.name == name);
        node.and_then(|node| node.container.as_ref())
            .expect("a running node")
    }

    /// Returns how often each handler of a node was found to hold its thread.
    #[must_use]
    pub fn stalls(&self, name: &str) -> Vec<(String, u64)> {
        let node = self.nodes.iter().find(|node| node.name == name);
        let io = node
            .and_then(|node| node.io.as_ref())
            .expect("a running node");
        io.stalls()
            .into_iter()
            .map(|(handler, count)| (handler.to_string(), count))
            .collect()
    }

    fn endpoint(&self, name: &str, suffix: &str) -> Endpoint {
        let text = match self.scheme {
            Scheme::Tcp => "tcp://127.0.0.1:*".to_owned(),
            Scheme::Ipc => format!("ipc://{}/{name}{suffix}", self.directory.path().display()),
        };
        text.parse().expect("a good endpoint")
    }

    fn bind(&mut self, name: String, spec: NodeSpec) {
        let listen = Listen {
            application: Some(self.endpoint(&name, "")),
            control: Some(self.endpoint(&name, ".control")),
            datagram: Some("127.0.0.1:0".parse().expect("an address")),
            advertise: None,
        };
        let io = ZmqIo::bind(options(), listen).expect("free addresses");
        let local = io.local();
        // A restart is at the same place.
        let listen = Listen {
            application: local.application,
            control: local.control,
            datagram: local.datagram,
            advertise: None,
        };
        self.nodes.push(Running {
            name,
            spec,
            listen,
            io: Some(io),
            container: None,
            next: Next::Now,
            incarnation: 1,
        });
    }

    fn launch(&mut self, index: usize) {
        let specs: Vec<_> = self.nodes.iter().map(|node| node.spec.clone()).collect();
        let places: Vec<_> = self
            .nodes
            .iter()
            .map(|node| {
                (
                    node.spec.name,
                    node.listen.application.clone().expect("bound"),
                )
            })
            .collect();
        let at = |name: &str| {
            let place = places.iter().find(|(known, _)| *known == name);
            place.expect("a node of this test").1.clone()
        };
        let node = &mut self.nodes[index];
        let config = node.spec.config(node.incarnation, directory(&specs, at));
        node.container = Some(Container::new(config));
        node.next = Next::Now;
    }

    /// Turns every node once; sleeps a little when none has anything to do.
    pub fn turn(&mut self) {
        let mut busy = false;
        for node in &mut self.nodes {
            if let (Some(container), Some(io)) = (&mut node.container, &mut node.io) {
                node.next = container.turn(io);
                busy |= node.next == Next::Now;
            }
        }
        let up: Vec<_> = (0..self.nodes.len())
            .filter(|at| self.nodes[*at].container.is_some())
            .collect();
        let slice = Duration::from_micros(if busy { 0 } else { 300 });
        for index in up {
            let node = &mut self.nodes[index];
            if let Some(io) = &mut node.io {
                let until = io.now() + slice;
                let until = match node.next {
                    Next::At(at) => at.min(until),
                    _ => until,
                };
                io.wait(Next::At(until));
            }
        }
    }

    /// Turns until `done`, or panics when that takes too long.
    pub fn turn_until(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let start = RealInstant::now();
        while !done(self) {
            assert!(
                start.elapsed() < PATIENCE,
                "{}: waited too long for {what}",
                self.label()
            );
            self.turn();
        }
    }

    fn index(&self, name: &str) -> usize {
        self.nodes
            .iter()
            .position(|node| node.name == name)
            .expect("a node of this test")
    }
}

/// Reconnects fast, so that tests are.
fn options() -> Options {
    Options {
        reconnect_interval: Duration::from_millis(5),
        reconnect_interval_max: Duration::from_millis(50),
        ..Options::default()
    }
}

impl Net for ZmqNet {
    fn label(&self) -> &'static str {
        match self.scheme {
            Scheme::Tcp => "zmq over tcp",
            Scheme::Ipc => "zmq over ipc",
        }
    }

    fn start(&mut self, nodes: Vec<NodeSpec>) {
        for node in nodes {
            self.bind(node.name.to_owned(), node);
        }
        for index in 0..self.nodes.len() {
            self.launch(index);
        }
    }

    fn kill(&mut self, name: &str) {
        let index = self.index(name);
        self.nodes[index].container = None;
        self.nodes[index].io = None;
    }

    fn restart(&mut self, name: &str) {
        let index = self.index(name);
        let node = &mut self.nodes[index];
        node.incarnation += 1;
        let start = RealInstant::now();
        node.io = loop {
            match ZmqIo::bind(options(), node.listen.clone()) {
                Ok(io) => break Some(io),
                Err(error) => assert!(start.elapsed() < PATIENCE, "{error}"),
            }
            std::thread::yield_now();
        };
        self.launch(index);
    }

    fn end(&mut self, name: &str, how: Shutdown) {
        let index = self.index(name);
        self.nodes[index]
            .container
            .as_mut()
            .expect("a running node")
            .shut_down(how);
        self.turn_until("the node to end", |net| {
            net.nodes[index].next == Next::Ended
        });
        self.nodes[index].container = None;
        // As a process does: its last words leave.
        if let Some(io) = self.nodes[index].io.take() {
            io.close(LINGER);
        }
    }

    fn look(&self, name: &str, look: &mut dyn FnMut(&Container)) {
        look(self.container(name));
    }

    fn run_dyn(&mut self, test: Test) {
        self.tests += 1;
        let name = format!("test-{}", self.tests);
        let mut spec = NodeSpec::new("test", vec![test.component]);
        let id = name.clone();
        spec = spec.configure(move |config| {
            config.node = monofil_container::NodeId::derived(&["test", &id]);
        });
        self.bind(name, spec);
        self.launch(self.nodes.len() - 1);
        self.turn_until("the test", |_| (test.done)());
    }
}
