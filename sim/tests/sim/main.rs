//! Simulated runs as a test uses them.

mod counter;
mod explore;
mod farewell;
mod guard;
mod inject;
mod mentioned;
mod nodes;
mod shrink;
mod stacks;
mod story;
mod ways;
