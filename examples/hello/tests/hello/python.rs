//! Programs that have nothing but ZeroMQ and protobuf.
//!
//! They need `python3` with the packages of `python/requirements.txt`. Where these are missing the tests say
//! so and pass; with `REQUIRE_PYTHON=1` they fail.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use monofil::{Client, ContainerConfig, NodeId, StaticDirectory};
use monofil_tests::{PATIENCE, Program};
use monofil_zmq::{Listen, Options, ZmqIo};
use tempfile::TempDir;

use crate::program::{call, describe, node};

mod proto {
    monofil::include_proto!();
}
use proto::hello::{GreeterClient, HelloRequest};

const HELLO: &str = env!("CARGO_MANIFEST_DIR");

/// A Python that has what it takes, and the message classes made for it.
struct Python {
    classes: TempDir,
}

impl Python {
    /// `None`, and a notice, where something is missing.
    fn find() -> Option<Self> {
        let asked = Command::new("python3")
            .args(["-c", "import zmq, google.protobuf, grpc_tools.protoc"])
            .output();
        let missing = match asked {
            Ok(asked) if asked.status.success() => return Some(Self::with_classes()),
            Ok(asked) => String::from_utf8_lossy(&asked.stderr).into_owned(),
            Err(error) => format!("python3: {error}"),
        };
        let missing = missing.lines().last().unwrap_or_default().to_owned();
        let required = std::env::var_os("REQUIRE_PYTHON").is_some_and(|it| it == "1");
        assert!(!required, "REQUIRE_PYTHON is set: {missing}");
        // Not `eprintln!`, which is not seen when a test passes.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED, a test with Python: {missing}; \
             python3 -m pip install -r examples/hello/python/requirements.txt"
        );
        None
    }

    /// Does what the README says.
    fn with_classes() -> Self {
        let classes = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let mut to = String::from("--python_out=");
        write!(to, "{}", classes.path().display()).expect("a text");
        let made = Command::new("python3")
            .args(["-m", "grpc_tools.protoc", "-I", "proto"])
            .args(["-I", "../../proto/proto", &to])
            .args(["hello.proto", "monofil/wire.proto"])
            .current_dir(HELLO)
            .output()
            .expect("it was there just now");
        assert!(made.status.success(), "{made:?}");
        Self { classes }
    }

    fn start(&self, script: &[&str], arguments: &[&str]) -> Program {
        let mut command = Command::new("python3");
        command
            .args(script)
            .args(arguments)
            .env("PYTHONPATH", self.classes.path())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .current_dir(Path::new(HELLO).join("python"));
        Program::start(&mut command)
    }

    /// Starts the component; returns it and where it listens.
    fn component(&self, endpoint: &str) -> (Program, String) {
        let mut component = self.start(&["component.py"], &[endpoint]);
        let endpoint =
            component.wait_for(|line| line.starts_with("tcp://").then(|| line.to_owned()));
        (component, endpoint)
    }
}

#[test]
fn a_python_program_calls_a_component() {
    let Some(python) = Python::find() else { return };
    let (_node, endpoint) = node();
    for name in ["Ada", "Zoë"] {
        let ended = python.start(&["client.py"], &[&endpoint, name]).wait();
        assert_eq!(ended.out, format!("Hello, {name}!\n"), "{ended:?}");
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
}

#[test]
fn a_python_component_is_called_from_the_command_line() {
    let Some(python) = Python::find() else { return };
    let (_component, endpoint) = python.component("tcp://127.0.0.1:*");
    let peer = format!("greeter={endpoint}");
    for place in [&["--at", &*endpoint][..], &["--running", "--peer", &peer]] {
        let ended = call("Ada", place);
        assert_eq!(
            ended.out, "{\"text\":\"Hello, Ada, from Python!\"}\n",
            "{ended:?}"
        );
        assert_eq!(ended.code, Some(0));
    }
}

#[test]
fn a_python_component_that_was_killed_is_found_again() {
    let Some(python) = Python::find() else { return };
    let (component, endpoint) = python.component("tcp://127.0.0.1:*");
    let mut directory = StaticDirectory::new();
    directory.add("hello/greeter", endpoint.parse().expect("an endpoint"), &[]);
    let mut config = ContainerConfig::new("hello", "test");
    config.node = NodeId::derived(&["test", &endpoint]);
    config.directory = Box::new(directory);
    config.default_deadline = PATIENCE;
    let io = ZmqIo::bind(Options::default(), Listen::default()).expect("a socket");
    let mut client = Client::new(config, Box::new(io));
    let greeter = GreeterClient::new("greeter");
    let mut greet = |name: &str| {
        let request = HelloRequest { name: name.into() };
        greeter.say_hello(&mut client, request).map(|it| it.text)
    };

    assert_eq!(greet("Ada"), Ok("Hello, Ada, from Python!".into()));
    component.kill();
    let (_component, again) = python.component(&endpoint);
    assert_eq!(again, endpoint);
    assert_eq!(greet("Bob"), Ok("Hello, Bob, from Python!".into()));
}

/// Calls as one who numbers records, keeps none of the answers, and never ends.
const MIDWAY: &str = r#"
import secrets, sys, zmq
from monofil.wire_pb2 import CALL, Frame, Hello, Record
socket = zmq.Context().socket(zmq.DEALER)
socket.connect(sys.argv[1])
who = dict(version=1, sender=secrets.token_bytes(16), sender_incarnation=1)
socket.send(Frame(**who, hello=Hello(answer=True)).SerializeToString())
greeting = Frame.FromString(socket.recv())
assert greeting.HasField("hello")
who.update(link_epoch=1, receiver_epoch=greeting.link_epoch)
calls = [Record(kind=CALL, id=id, target="greeter", method="hello.Greeter/SayHello") for id in range(1, 100)]
socket.send(Frame(**who, first_sequence=1, records=calls).SerializeToString())
while not Frame.FromString(socket.recv()).records:
    pass
print("midway", flush=True)
sys.stdin.read()
"#;

/// Sends junk of every kind, then a call on the same connection, and stays.
const JUNK: &str = r#"
import secrets, sys, zmq
from monofil.wire_pb2 import CALL, Frame, Record
socket = zmq.Context().socket(zmq.DEALER)
socket.connect(sys.argv[1])
who = dict(version=1, sender=secrets.token_bytes(16), sender_incarnation=1)
call = lambda **fields: Record(**{**dict(kind=CALL, id=1, target="greeter", method="hello.Greeter/SayHello"), **fields})
good = Frame(**who, records=[call()]).SerializeToString()
socket.send_multipart([good, good])
for junk in [
    b"\xff" * 99,                                                                # malformed
    good[:-1],                                                                   # malformed
    b"",                                                                         # version
    Frame(**{**who, "version": 2}, records=[call()]).SerializeToString(),        # version
    Frame(**{**who, "sender": b"short"}, records=[call()]).SerializeToString(),  # sender
    Frame(**who, records=[call(method="m" * 257)]).SerializeToString(),          # name_too_long
    Frame(**who, records=[call()] * 4097).SerializeToString(),                   # too_many
]:
    socket.send(junk)
socket.send(good)
(record,) = Frame.FromString(socket.recv()).records
assert record.id == 1 and not socket.poll(0), record
print("answered", flush=True)
sys.stdin.read()
"#;

#[test]
fn killed_callers_and_junk_disturb_nobody() {
    let Some(python) = Python::find() else { return };
    let (_node, endpoint) = node();
    let address = endpoint.trim_start_matches("tcp://");

    let mut midway = python.start(&["-c", MIDWAY], &[&endpoint]);
    midway.wait_for(|line| (line == "midway").then_some(()));
    midway.kill();
    let mut browser = TcpStream::connect(address).expect("a listener");
    browser.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("room");
    let mut junk = python.start(&["-c", JUNK], &[&endpoint]);
    junk.wait_for(|line| (line == "answered").then_some(()));

    let ended = call("Ada", &["--at", &endpoint]);
    assert_eq!(ended.out, "{\"text\":\"Hello, Ada!\"}\n", "{ended:?}");
    let counters = describe(&endpoint)["counters"].clone();
    for (reason, count) in [
        ("malformed", 2),
        ("version", 2),
        ("sender", 1),
        ("name_too_long", 1),
        ("too_many", 1),
    ] {
        let name = format!("monofil_malformed_total{{reason=\"{reason}\"}}");
        assert_eq!(counters[&name], count, "{reason}");
    }
    assert_eq!(counters["monofil_handlers_started_total"], 99 + 1 + 1);
}
