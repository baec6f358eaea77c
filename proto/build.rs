//! Compiles the `.proto` files with `protox`, so that nobody needs `protoc`.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let files = ["proto/monofil/wire.proto", "proto/monofil/control.proto"];
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(files, ["proto"])?;
    prost_build::Config::new()
        // A payload is a slice of the frame that carried it, not a copy.
        .bytes([
            ".monofil.wire.v1.Record.payload",
            ".monofil.wire.v1.Record.key",
            ".monofil.wire.v1.Status.details",
        ])
        .btree_map(["."])
        // Several fields of these are boxed so that the common record stays small.
        .boxed(".monofil.wire.v1.Record.outcome")
        .boxed(".monofil.wire.v1.Record.horizon")
        .boxed(".monofil.wire.v1.Frame.hello")
        .compile_fds(descriptors)?;
    Ok(())
}
