//! A program in a process of its own, which does not outlive the test.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Nothing takes longer, on however slow a machine; nothing waits for it to pass when all is well.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running program. Dropped, it is killed.
#[derive(Debug)]
pub struct Program {
    what: String,
    child: Child,
    lines: Receiver<Line>,
    seen: Vec<Line>,
}

#[derive(Clone, Debug)]
struct Line {
    is_error: bool,
    text: String,
}

/// How a program ended, and what it wrote.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; none when a signal killed it.
    pub code: Option<i32>,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Program {
    /// Starts it. Its input stays open until it is taken.
    ///
    /// # Panics
    ///
    /// It cannot be started.
    pub fn start(command: &mut Command) -> Self {
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

    /// Returns its process.
    #[must_use]
    pub fn process(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Takes its standard input, to write to. Dropped, it is closed.
    pub fn input(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("nobody took it before")
    }

    /// Waits until it writes a line from which `find` makes something.
    ///
    /// # Panics
    ///
    /// It does not, or ends before.
    pub fn wait_for<T>(&mut self, find: impl Fn(&str) -> Option<T>) -> T {
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

    /// Returns what `find` makes of the last line from which it makes something, of those that were waited for.
    pub fn seen<T>(&self, find: impl Fn(&str) -> Option<T>) -> Option<T> {
        self.seen.iter().rev().find_map(|line| find(&line.text))
    }

    /// Tells whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        let status = self.child.try_wait();
        status.expect("a child of this process").is_some()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    ///
    /// It has ended.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.process(), signal).expect("it is there");
    }

    /// Waits until it ends by itself and everybody has closed its outputs.
    ///
    /// # Panics
    ///
    /// It does not.
    #[must_use]
    pub fn wait(self) -> Ended {
        self.wait_within(PATIENCE)
    }

    /// Waits as [`Program::wait`] does, for one that may take longer than others.
    ///
    /// # Panics
    ///
    /// It does not end.
    #[must_use]
    pub fn wait_within(mut self, patience: Duration) -> Ended {
        let deadline = Instant::now() + patience;
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
            code: status.code(),
            out: self.written(false),
            err: self.written(true),
        }
    }

    /// Ends it at once, as `kill -9` does.
    pub fn kill(mut self) {
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
        // Not to their end: a grandchild may have them open.
        self.seen.extend(self.lines.try_iter());
        let (out, err) = (self.written(false), self.written(true));
        panic!("{}: {why}\n--- output\n{out}--- errors\n{err}", self.what);
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

/// Waits until something is so.
///
/// # Panics
///
/// It never is.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
