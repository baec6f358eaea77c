//! Makes Rust of `proto/orders.proto`.

fn main() -> Result<(), monofil_build::Error> {
    monofil_build::compile(&["proto/orders.proto"])
}
