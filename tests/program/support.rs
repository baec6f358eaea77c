//! Starting the program and looking at what it does.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tempfile::TempDir;

/// Long enough for a slow machine; nothing waits for it to pass when all is well.
const PATIENCE: Duration = Duration::from_secs(20);

/// Returns the app that is an example of this package, built from the sources as they are: a test that
/// is run on its own does not make cargo build it.
pub(crate) fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let test = std::env::current_exe().expect("a test has a path");
        let profile = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
        let target = profile.parent().expect("target/PROFILE");
        let mut cargo = Command::new(env!("CARGO"));
        cargo
            // With the whole workspace: then its dependencies are those that `cargo test --workspace` built.
            .args(["build", "--quiet", "--workspace", "--example=app"])
            .arg("--target-dir")
            .arg(target);
        if profile.ends_with("release") {
            cargo.arg("--release");
        }
        let built = cargo.status().expect("cargo starts");
        assert!(built.success(), "the app does not build");
        profile.join("examples/app")
    })
}

/// A place of its own for the sockets of a test's processes.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(
            tempfile::Builder::new()
                .prefix("mf")
                .tempdir()
                .expect("a directory"),
        )
    }

    /// Prepares the program with arguments separated by spaces.
    pub(crate) fn command(&self, args: &str) -> Command {
        let mut command = Command::new(program());
        command
            .args(args.split_whitespace())
            .current_dir(self.0.path())
            .env("MONOFIL_NETWORK__RUNTIME_DIR", self.0.path())
            .env("MONOFIL_LOG__FORMAT", "human")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, args: &str) -> Ended {
        Ended::of(self.command(args).output().expect("the program starts"))
    }

    /// Starts it and lets it run.
    pub(crate) fn start(&self, args: &str) -> Running {
        let mut command = self.command(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Running(Some(command.spawn().expect("the program starts")))
    }

    /// Asks the worker which process it is in, once it is there.
    pub(crate) fn worker_process(&self) -> Pid {
        let call = self.run("call worker process --running --deadline 15s");
        assert_eq!(call.code, Some(0), "{call:?}");
        Pid::from_raw(call.out.trim().parse().expect("a process id")).expect("not zero")
    }

    /// Returns the names of what is left of the app's sockets.
    pub(crate) fn sockets(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.0.path().join("app")) else {
            return Vec::new();
        };
        let name = |entry: std::io::Result<std::fs::DirEntry>| {
            let entry = entry.expect("an entry");
            entry.file_name().to_string_lossy().into_owned()
        };
        let mut names: Vec<_> = entries.map(name).collect();
        names.sort();
        names
    }
}

/// What a program that has ended left behind.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// A program that runs. Dropping it kills it.
pub(crate) struct Running(Option<Child>);

impl Running {
    fn process(&self) -> Pid {
        Pid::from_child(self.0.as_ref().expect("it runs"))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.process(), signal).expect("it is there");
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> Ended {
        let child = self.0.take().expect("it runs");
        Ended::of(
            child
                .wait_with_output()
                .expect("it is this process's child"),
        )
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        let child = self.0.as_mut().expect("it runs");
        child
            .try_wait()
            .expect("it is this process's child")
            .is_some()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

pub(crate) fn is_there(process: Pid) -> bool {
    test_kill_process(process).is_ok()
}

/// Waits until something is so.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
