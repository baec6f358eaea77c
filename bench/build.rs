//! Makes Rust of the `.proto` files, each as its framework's users do. Neither needs `protoc`.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    monofil_build::compile(&["proto/bench.proto"])?;
    println!("cargo::rerun-if-changed=proto/peer.proto");
    let peer = protox::compile(["proto/peer.proto"], ["proto"])?;
    tonic_prost_build::configure()
        .bytes(".")
        .compile_fds(peer)?;
    Ok(())
}
