//! Finds out what the libzmq underneath was built with.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=DEP_ZMQ_FEATURES");
    // Only the patched `zmq-sys` tells. The published one does not.
    let features = std::env::var("DEP_ZMQ_FEATURES").unwrap_or_default();
    println!("cargo:rustc-env=MONOFIL_ZMQ_FEATURES={features}");
}
