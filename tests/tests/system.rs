//! Whole-system tests: containers on both backends.

#[path = "system/calls.rs"]
mod calls;
#[path = "system/capacity/mod.rs"]
mod capacity;
#[path = "system/deadlines.rs"]
mod deadlines;
#[path = "system/endings.rs"]
mod endings;
#[path = "system/faults.rs"]
mod faults;
#[path = "system/greedy.rs"]
mod greedy;
#[path = "system/handlers.rs"]
mod handlers;
#[path = "system/hostile.rs"]
mod hostile;
#[path = "system/leavings.rs"]
mod leavings;
#[path = "system/limits.rs"]
mod limits;
#[path = "system/links.rs"]
mod links;
#[path = "system/lives.rs"]
mod lives;
#[path = "system/manners.rs"]
mod manners;
#[path = "system/membership/mod.rs"]
mod membership;
#[path = "system/outcomes.rs"]
mod outcomes;
#[path = "system/promises.rs"]
mod promises;
#[path = "system/records.rs"]
mod records;
#[path = "system/refusals.rs"]
mod refusals;
#[path = "system/resilience/mod.rs"]
mod resilience;
#[path = "system/restarts/mod.rs"]
mod restarts;
#[path = "system/routing/mod.rs"]
mod routing;
#[path = "system/storm/mod.rs"]
mod storm;
#[path = "system/strangers.rs"]
mod strangers;
#[path = "system/traffic.rs"]
mod traffic;
#[path = "system/village.rs"]
mod village;
