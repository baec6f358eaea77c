//! Starting the program and looking at what it does.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use monofil_tests::Place;
use rustix::process::Pid;

/// Returns the app that is an example of this package.
pub(crate) fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| built("--example=app", "examples/app"))
}

/// Returns the shop, which is an example of its own.
pub(crate) fn orders() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| built("--bin=orders", "orders"))
}

/// Builds a program from the sources as they are: a test that is run on its own does not make cargo build it.
fn built(what: &str, program: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let profile = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
    let target = profile.parent().expect("target/PROFILE");
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        // With the whole workspace: then its dependencies are those that `cargo test --workspace` built.
        .args(["build", "--quiet", "--workspace", what])
        .arg("--target-dir")
        .arg(target);
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let built = cargo.status().expect("cargo starts");
    assert!(built.success(), "{program} does not build");
    profile.join(program)
}

/// Makes a place for the app's processes.
pub(crate) fn place() -> Place {
    Place::new(program(), "app")
}

/// Asks the worker which process it is in, once it is there.
pub(crate) fn worker_process(place: &Place) -> Pid {
    let call = place.run("call worker process --running --deadline 15s");
    assert_eq!(call.code, Some(0), "{call:?}");
    Pid::from_raw(call.out.trim().parse().expect("a process id")).expect("not zero")
}
