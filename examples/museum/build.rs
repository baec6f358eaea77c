//! Makes Rust of `proto/museum.proto`.

fn main() -> Result<(), monofil_build::Error> {
    monofil_build::compile(&["proto/museum.proto"])
}
