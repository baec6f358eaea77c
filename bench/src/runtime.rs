//! The runtimes of the peers that need one.

use tokio::runtime::{Builder, Runtime};

/// Everything on this thread.
pub(crate) fn one_thread() -> Runtime {
    let built = Builder::new_current_thread().enable_all().build();
    built.expect("a runtime")
}

/// What `#[tokio::main]` makes: a thread for each processor.
pub(crate) fn all_processors() -> Runtime {
    let built = Builder::new_multi_thread().enable_all().build();
    built.expect("a runtime")
}
