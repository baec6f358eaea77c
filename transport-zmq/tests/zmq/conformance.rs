//! The suite that every backend runs, over TCP and over UNIX sockets.

use std::collections::HashMap;
use std::time::Duration;

use monofil_transport::conformance::{self, Fixture, Reach};
use monofil_transport::decorator::{Defect, Defects, Faulty};
use monofil_transport::{Driver, Io, LocalEndpoints, Next, Transport};
use monofil_zmq::{Listen, Options, ZmqIo};

use crate::support::{quick, tcp};

/// Nodes on this thread, each with sockets of its own.
struct Nodes {
    directory: Option<tempfile::TempDir>,
    open: HashMap<String, ZmqIo>,
    /// Where crashed nodes were.
    past: HashMap<String, LocalEndpoints>,
    /// What is wrong with every node's backend.
    plan: Vec<Defect>,
    /// How far each one got.
    defects: HashMap<String, Defects>,
}

impl Nodes {
    fn over_tcp() -> Self {
        Self {
            directory: None,
            open: HashMap::new(),
            past: HashMap::new(),
            plan: Vec::new(),
            defects: HashMap::new(),
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
        self.defects.clear();
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

    fn named(&mut self, name: &str) -> Option<String> {
        let address = self.node(name).local().datagram;
        Some(format!("localhost:{}", address?.port()))
    }

    fn with(&mut self, name: &str, act: &mut dyn FnMut(&mut dyn Io)) {
        if self.plan.is_empty() {
            return act(self.node(name));
        }
        let defects = self.defects.remove(name);
        let defects = defects.unwrap_or_else(|| Defects::new(self.plan.clone()));
        let mut io = Faulty::resume(self.node(name), defects);
        act(&mut io);
        let defects = io.into_defects();
        self.defects.insert(name.to_owned(), defects);
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

/// Tries one case over sockets with one defect and returns what the failure says.
fn failure(case: &str, defect: Defect) -> String {
    let mut nodes = Nodes::over_tcp();
    nodes.plan = vec![defect];
    let report = conformance::run_where(&mut nodes, |name| name == case);
    assert_eq!(report.cases.len(), 1, "there is no case {case}");
    report.failed().map(|(_, why)| why.to_string()).collect()
}

/// The suite can fail over sockets, too. Defects that only patience finds are tried in a simulated world,
/// where it costs nothing.
#[test]
fn each_defect_fails_in_its_case() {
    let in_order = "frames_arrive_whole_and_in_order";
    let handed_back = "a_full_connection_hands_the_frame_back";
    let late = "frame 7 was due and frame 8 arrived";
    for (defect, case, says) in [
        (Defect::Swap(7), in_order, late),
        (Defect::Drop(7), in_order, late),
        (
            Defect::Duplicate(7),
            in_order,
            "frame 8 was due and frame 7",
        ),
        (
            Defect::Corrupt(7),
            in_order,
            "bytes arrived that nobody sent",
        ),
        (
            Defect::SwallowTooLarge(0),
            "frames_up_to_the_limit_pass",
            "over it was accepted",
        ),
        (Defect::SwallowFull(0), handed_back, "were accepted with"),
        (Defect::MangleFull, handed_back, "another frame"),
        (
            Defect::Drop(3),
            "no_accepted_frame_is_swallowed",
            "frame 3 was due and 4 arrived",
        ),
        (
            Defect::ConfusePlanes,
            "planes_are_apart",
            "arrived through the control plane",
        ),
        (
            Defect::CutDatagrams,
            "datagrams_arrive_whole",
            "it came changed",
        ),
    ] {
        let said = failure(case, defect);
        assert!(said.contains(says), "{defect:?} in {case}: {said:?}");
    }
}

#[test]
fn a_decorator_without_defects_changes_nothing() {
    assert_eq!(
        failure("frames_arrive_whole_and_in_order", Defect::Drop(u64::MAX)),
        ""
    );
}
