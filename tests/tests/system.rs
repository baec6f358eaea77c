//! Whole-system tests: containers on both backends.

#[path = "system/calls.rs"]
mod calls;
#[path = "system/deadlines.rs"]
mod deadlines;
#[path = "system/endings.rs"]
mod endings;
#[path = "system/faults.rs"]
mod faults;
#[path = "system/handlers.rs"]
mod handlers;
#[path = "system/links.rs"]
mod links;
#[path = "system/manners.rs"]
mod manners;
#[path = "system/strangers.rs"]
mod strangers;
