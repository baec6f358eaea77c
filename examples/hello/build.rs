//! Makes Rust of `proto/hello.proto`.

fn main() -> Result<(), monofil_build::Error> {
    monofil_build::compile(&["proto/hello.proto"])
}
