//! The app as processes: called from the command line, from Python, and calling Python.

mod command_line;
mod pages;
mod program;
mod python;
mod wire;
