//! The app's own program.

use std::ffi::OsStr;
use std::process::Command;

use monofil_tests::{Ended, Program};
use serde_json::Value;

/// Returns the app's own program, ready to be given arguments. Nobody's settings reach it.
pub(crate) fn hello<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hello"));
    command
        .args(arguments)
        .current_dir(env!("CARGO_TARGET_TMPDIR"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MONOFIL_") {
            command.env_remove(name);
        }
    }
    command
}

/// Starts a node with the greeter on a free port; returns it and where it listens.
pub(crate) fn node() -> (Program, String) {
    let mut node = Program::start(&mut hello([
        "run",
        "greeter",
        "--listen",
        "tcp://127.0.0.1:0",
        "--log-format",
        "json",
        "--log-level",
        "info",
    ]));
    let endpoint = node.wait_for(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        let is_it = line["body"] == "listening";
        is_it.then(|| line["attributes"]["endpoint"].as_str().map(str::to_owned))?
    });
    (node, endpoint)
}

/// Calls a greeter somewhere from the command line and returns what is printed.
pub(crate) fn call(name: &str, place: &[&str]) -> Ended {
    let request = serde_json::json!({ "name": name }).to_string();
    let mut command = hello(["call", "greeter", "SayHello", &request, "--deadline", "30s"]);
    Program::start(command.args(place)).wait()
}

/// Asks a node how it is.
pub(crate) fn describe(endpoint: &str) -> Value {
    let mut command = hello(["describe", "greeter", "--json", "--at", endpoint]);
    let ended = Program::start(command.args(["--deadline", "30s"])).wait();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    serde_json::from_str(&ended.out).expect("a description")
}
