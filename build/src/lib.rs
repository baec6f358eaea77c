//! Generates Monofil components and clients from protobuf services, without `protoc`.
//!
//! A `build.rs` is three lines:
//!
//! ```no_run
//! fn main() -> Result<(), monofil_build::Error> {
//!     monofil_build::compile(&["proto/hello.proto"])
//! }
//! ```
//!
//! and `monofil::include_proto!()` puts what comes out of it where it is called, with a module for each
//! package. (`monofil::include_proto!("hello")` puts the items of one package there, without the module;
//! that does for a package which refers to no other.) For each service `Greeter` there are, beside the
//! messages:
//!
//! - the trait `Greeter`, with a method for each of the service's and hooks that do nothing by default:
//!   `on_start`, `on_stop`, `on_undelivered`;
//! - `GreeterServer`, which makes a component of whatever implements the trait;
//! - `GreeterClient`, which calls one, from a handler or from a plain program;
//! - `GREETER`, which describes the service, descriptors included.
//!
//! A method may say more about itself with `option (monofil.method)`, from `monofil/options.proto`. That
//! file ([`OPTIONS_PROTO`]) can be imported without being there.
//!
//! Messages are [`prost`](https://docs.rs/prost)'s. It is reached through the `monofil` crate, so an app
//! need not depend on it.

mod builder;
mod comments;
mod descriptors;
mod error;
mod generator;
mod lints;
mod options;
mod resolver;
mod service;
mod text;

use std::path::Path;

pub use builder::Builder;
pub use error::{Error, Problem, Reason};
pub use prost_build;
pub use resolver::OPTIONS_PROTO;

/// Generates code for files, into the `OUT_DIR` of a build script.
///
/// Their imports are looked up in `proto` when they are in it, otherwise in their own folders; use a
/// [`Builder`] for anything else.
///
/// # Errors
///
/// See [`Error`]. Returned from a build script's `main` it reads well.
pub fn compile(files: &[impl AsRef<Path>]) -> Result<(), Error> {
    Builder::new().compile(files)
}
