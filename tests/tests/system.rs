//! Whole-system tests: containers on both backends.

#[path = "system/calls.rs"]
mod calls;
#[path = "system/faults.rs"]
mod faults;
