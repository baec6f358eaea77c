//! Builds libzmq with what its own configure step would have found out.
//!
//! `zeromq-src` compiles libzmq without running its configure step, so that libzmq falls back to the
//! least that any platform has: timers that follow the wall clock, a socket pair where an event
//! descriptor would do, keep-alive options that are accepted and ignored. The definitions below say
//! what the target has; the C++ compiler takes them through its flags.

use std::env;

/// What every supported Unix has.
const UNIX: &[&str] = &[
    "HAVE_CLOCK_GETTIME",
    "HAVE_POSIX_MEMALIGN",
    "ZMQ_CACHELINE_SIZE=64",
    "ZMQ_HAVE_IFADDRS",
    "ZMQ_HAVE_O_CLOEXEC",
    "ZMQ_HAVE_SO_KEEPALIVE",
];

/// What only Linux has, or only Linux spells this way.
const LINUX: &[&str] = &[
    "ZMQ_HAVE_EVENTFD",
    "ZMQ_HAVE_EVENTFD_CLOEXEC",
    "ZMQ_HAVE_SOCK_CLOEXEC",
    "ZMQ_HAVE_SO_BINDTODEVICE",
    "ZMQ_HAVE_TCP_KEEPCNT",
    "ZMQ_HAVE_TCP_KEEPIDLE",
    "ZMQ_HAVE_TCP_KEEPINTVL",
];

/// Told to the crates that depend on this one, as `DEP_ZMQ_FEATURES`: the published `zmq-sys` tells
/// nothing of the kind, which is how they know what a build lacks.
const FEATURES: &str = "keepalive,monotonic";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let mut definitions = Vec::new();
    if env::var_os("CARGO_CFG_UNIX").is_some() {
        definitions.extend(UNIX);
        println!("cargo:features={FEATURES}");
    }
    if env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux" || os == "android") {
        definitions.extend(LINUX);
    }
    let encrypts = env::var_os("CARGO_FEATURE_CURVE").is_some();
    if encrypts {
        definitions.push("ZMQ_HAVE_CRYPTO_BOX_EASY_FNS");
    }
    compiler_flags(&definitions);
    zeromq_src::Build::new()
        .with_libsodium(encrypts.then(libsodium))
        .build();
}

/// Adds definitions to what the C++ compiler will be given, keeping the flags of whoever builds.
fn compiler_flags(definitions: &[&str]) {
    let target = env::var("TARGET").expect("cargo sets TARGET");
    let for_target = format!("CXXFLAGS_{}", target.replace('-', "_"));
    let given = [
        format!("CXXFLAGS_{target}"),
        for_target.clone(),
        "TARGET_CXXFLAGS".to_owned(),
        "CXXFLAGS".to_owned(),
    ];
    let mut flags = given
        .iter()
        .find_map(|name| env::var(name).ok())
        .unwrap_or_default();
    for definition in definitions {
        flags.push_str(" -D");
        flags.push_str(definition);
    }
    // SAFETY: a build script has one thread, and nothing has started another yet.
    unsafe {
        env::remove_var(format!("CXXFLAGS_{target}"));
        env::set_var(for_target, flags);
        // Nobody steps through libzmq, and its debug information takes longer to write than its code.
        env::set_var("DEBUG", "false");
    }
}

/// Where the libsodium lies that `libsodium-sys-stable` built.
fn libsodium() -> zeromq_src::LibLocation {
    let told = |name: &str| {
        env::var(name).unwrap_or_else(|_| {
            panic!("libsodium-sys-stable did not set {name}: is SODIUM_LIB_DIR set? unset it, so that it builds its own")
        })
    };
    zeromq_src::LibLocation::new(told("DEP_SODIUM_LIB"), told("DEP_SODIUM_INCLUDE"))
}
