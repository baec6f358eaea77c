//! A program in a process of its own, which does not outlive the test.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Nothing here takes longer, on however slow a machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A running program. Dropped, it is killed.
pub(crate) struct Program {
    what: String,
    child: Child,
    lines: Receiver<Line>,
    seen: Vec<Line>,
}

#[derive(Clone)]
struct Line {
    is_error: bool,
    text: String,
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Program {
    pub(crate) fn start(command: &mut Command) -> Self {
        let what = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        let (sender, lines) = channel();
        read(child.stdout.take(), false, sender.clone());
        read(child.stderr.take(), true, sender);
        Self {
            what,
            child,
            lines,
            seen: Vec::new(),
        }
    }

    /// Waits until it writes a line from which `find` makes something.
    pub(crate) fn wait_for<T>(&mut self, find: impl Fn(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    let found = find(&line.text);
                    self.seen.push(line);
                    if let Some(found) = found {
                        return found;
                    }
                }
                Err(_) => self.give_up("did not write what was waited for"),
            }
        }
    }

    /// Waits until it ends by itself.
    pub(crate) fn finish(mut self) -> Ended {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.seen.push(line),
                // Both of its outputs are closed, so it is ending.
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => self.give_up("did not end"),
            }
        }
        let status = self.child.wait().expect("a child of this process");
        Ended {
            status,
            output: self.written(false),
            errors: self.written(true),
        }
    }

    /// Ends it at once, as `kill -9` does.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn written(&self, is_error: bool) -> String {
        let lines = self.seen.iter().filter(|line| line.is_error == is_error);
        lines.map(|line| line.text.clone() + "\n").collect()
    }

    fn give_up(&mut self, why: &str) -> ! {
        self.end();
        self.seen.extend(self.lines.iter());
        let (output, errors) = (self.written(false), self.written(true));
        panic!(
            "{}: {why}\n--- output\n{output}--- errors\n{errors}",
            self.what
        );
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.end();
    }
}

fn read(from: Option<impl Read + Send + 'static>, is_error: bool, to: Sender<Line>) {
    let from = BufReader::new(from.expect("a piped output"));
    thread::spawn(move || {
        for text in from.lines().map_while(Result::ok) {
            let line = Line { is_error, text };
            if to.send(line).is_err() {
                return;
            }
        }
    });
}

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
    Program::start(command.args(place)).finish()
}

/// Asks a node how it is.
pub(crate) fn describe(endpoint: &str) -> Value {
    let mut command = hello(["describe", "greeter", "--json", "--at", endpoint]);
    let ended = Program::start(command.args(["--deadline", "30s"])).finish();
    assert!(ended.status.success(), "{ended:?}");
    serde_json::from_str(&ended.output).expect("a description")
}
