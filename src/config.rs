//! Settings, and the layers they come from.
//!
//! ```text
//!   default  <  monofil.toml  <  environment MONOFIL_A__B  <  flags
//! ```
//!
//! Every setting is a [`key`](keys) with a name, a text that explains it and a place in [`Settings`].
//! A layer is a list of names and texts, so that each layer is checked in the same way and every value
//! knows where it came from.

mod keys;
mod layers;
mod settings;
mod value;

pub(crate) use keys::{known_keys, show};
pub(crate) use layers::Layers;
pub(crate) use settings::{FlowSettings, LogFormat, Settings, Supervision};
pub(crate) use value::{parse_count, parse_size, parse_time, show_size, show_time};

use crate::Layout;

/// Reads the name of a layout of processes.
pub(crate) fn parse_transport(text: &str) -> Result<Layout, String> {
    match text {
        "memory" => Ok(Layout::Memory),
        "ipc" => Ok(Layout::Ipc),
        "tcp" => Ok(Layout::Tcp),
        _ => Err(format!("`{text}` is no transport: memory, ipc or tcp")),
    }
}
