//! The suite that every backend runs, over TCP and over UNIX sockets.

use std::collections::HashMap;
use std::time::Duration;

use monofil_transport::conformance::{self, Fixture, Reach};
use monofil_transport::{Driver, Io, LocalEndpoints, Next, Transport};
use monofil_zmq::{Listen, Options, ZmqIo};

use crate::support::{quick, tcp};

/// Nodes on this thread, each with sockets of its own.
struct Nodes {
    directory: Option<tempfile::TempDir>,
    open: HashMap<String, ZmqIo>,
    /// Where crashed nodes were.
    past: HashMap<String, LocalEndpoints>,
}

impl Nodes {
    fn over_tcp() -> Self {
        Self {
            directory: None,
            open: HashMap::new(),
            past: HashMap::new(),
        }
    }

    fn over_ipc() -> Self {
        Self {
            directory: Some(tempfile::tempdir().expect("a directory")),
            ..Self::over_tcp()
        }
    }

    fn listen(&self, name: &str) -> Listen {
        let Some(directory) = &self.directory else {
            return tcp();
        };
        let endpoint = |plane: &str| {
            let path = directory.path().join(format!("{name}-{plane}"));
            Some(
                format!("ipc://{}", path.display())
                    .parse()
                    .expect("an endpoint"),
            )
        };
        Listen {
            application: endpoint("application"),
            control: endpoint("control"),
            ..tcp()
        }
    }

    fn bind(&mut self, name: &str, listen: Listen) {
        let options = Options {
            frame_bytes_max: 1 << 20,
            ..quick()
        };
        let node = ZmqIo::bind(options, listen).expect("it can be bound");
        self.open.insert(name.to_owned(), node);
    }

    fn node(&mut self, name: &str) -> &mut ZmqIo {
        self.open.get_mut(name).expect("the node is open")
    }
}

impl Fixture for Nodes {
    fn reset(&mut self) {
        self.open.clear();
        self.past.clear();
    }

    fn open(&mut self, name: &str, reach: Reach) {
        let listen = match reach {
            Reach::Bound => self.listen(name),
            Reach::Client => Listen::default(),
        };
        self.bind(name, listen);
    }

    fn crash(&mut self, name: &str) {
        let node = self.open.remove(name).expect("the node is open");
        self.past.insert(name.to_owned(), node.local());
    }

    fn restart(&mut self, name: &str) {
        let past = self.past.remove(name).expect("the node crashed");
        let listen = Listen {
            application: past.application,
            control: past.control,
            datagram: past.datagram,
            advertise: None,
        };
        self.bind(name, listen);
    }

    fn with(&mut self, name: &str, act: &mut dyn FnMut(&mut dyn Io)) {
        act(self.node(name));
    }

    fn wait(&mut self, name: &str, next: Next) {
        self.node(name).wait(next);
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(8)
    }
}

#[test]
fn the_contract_is_kept_over_tcp() {
    let report = conformance::run(&mut Nodes::over_tcp());
    assert!(report.is_pass(), "{report}");
    println!("{report}");
}

#[test]
fn the_contract_is_kept_over_unix_sockets() {
    let report = conformance::run(&mut Nodes::over_ipc());
    assert!(report.is_pass(), "{report}");
    println!("{report}");
}
