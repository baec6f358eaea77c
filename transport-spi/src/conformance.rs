//! The suite that every backend runs.
//!
//! A backend's test implements [`Fixture`] in some tens of lines and asserts what [`run`] reports:
//!
//! ```no_run
//! use monofil_transport::conformance::{self, Fixture};
//!
//! fn passes(backend: &mut dyn Fixture) {
//!     let report = conformance::run(backend);
//!     assert!(report.is_pass(), "{report}");
//! }
//! ```
//!
//! Each case names one clause of the contracts in this crate: what [`Transport`](crate::Transport),
//! [`Datagrams`](crate::Datagrams), [`Clock`](crate::Clock), [`Entropy`](crate::Entropy),
//! [`Offload`](crate::Offload) and [`Driver`](crate::Driver) promise. A suite that cannot fail proves
//! nothing, so a backend's tests also run it over [`Faulty`](crate::decorator::Faulty) and assert which case
//! fails.
//!
//! The whole suite runs on one thread. It drives each node in turn, for a short slice of time, so that
//! a backend with real sockets and a simulated world look the same to it. A node whose events are not
//! received is simply one that the suite does not look at for a while.

mod delivery;
mod faults;
mod net;
mod planes;
mod pressure;
mod report;
mod services;
mod waking;

use std::time::Duration;

use crate::{Io, Next};

use net::Net;
pub use report::{CaseReport, Failure, Report, Verdict};

/// Whether a node can be reached, or only ever speaks first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Both planes are bound and it has a datagram address; nobody else has the same.
    Bound,
    /// It has no endpoint at all, as a client.
    Client,
}

/// Nodes of one backend, as the suite needs them. Nodes go by name; a name is one node's for the
/// length of a case.
pub trait Fixture {
    /// Ends all nodes and forgets them. Called before each case.
    fn reset(&mut self);

    /// Opens a node that is not there yet.
    fn open(&mut self, name: &str, reach: Reach);

    /// Ends a node as a killed process ends: what it held is lost, its sockets are closed by the
    /// operating system, and nobody is told in any other way.
    fn crash(&mut self, name: &str);

    /// Opens a crashed or vanished node again, with new entropy, on the endpoints that it had.
    fn restart(&mut self, name: &str);

    /// Takes a node away as a pulled plug does: its peers hear nothing, not even that its connections
    /// were closed, until [`Fixture::restart`].
    ///
    /// Returns false where this cannot be arranged; the cases that need it are skipped then.
    fn vanish(&mut self, name: &str) -> bool {
        let _ = name;
        false
    }

    /// Returns a place, `host:port`, that stands for where a node receives datagrams and is no address: one that has
    /// to be looked up. `None` where there are no names for it; that names are found is not tried then.
    fn named(&mut self, name: &str) -> Option<String> {
        let _ = name;
        None
    }

    /// Calls `act` with a node's handle, once.
    fn with(&mut self, name: &str, act: &mut dyn FnMut(&mut dyn Io));

    /// Lets time pass until the node has something to receive, or until `next`, as
    /// [`Driver::wait`](crate::Driver::wait) does. Other nodes' peers, timers and sockets go on
    /// meanwhile as far as they need no thread of their node's.
    fn wait(&mut self, name: &str, next: Next);

    /// How long to wait for what must come, by a node's clock, before a case fails. Longer than the
    /// backend needs to notice a vanished peer and to connect again.
    fn patience(&self) -> Duration {
        Duration::from_secs(15)
    }

    /// How late a wake-up may be and still be called prompt. A machine that is busy with other things
    /// is forgiven a few late ones.
    fn slack(&self) -> Duration {
        Duration::from_millis(100)
    }
}

/// One clause of the contract, as something that can be tried.
#[derive(Clone, Copy)]
pub struct Case {
    name: &'static str,
    attempt: fn(&mut Net<'_>) -> Result<Verdict, Failure>,
}

impl Case {
    /// Returns its name: what a backend does that passes it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Tries it on fresh nodes.
    pub fn run(&self, fixture: &mut dyn Fixture) -> CaseReport {
        fixture.reset();
        let verdict = match (self.attempt)(&mut Net::new(fixture)) {
            Ok(verdict) => verdict,
            Err(failure) => Verdict::Failed(failure),
        };
        CaseReport {
            name: self.name,
            verdict,
        }
    }
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Case").field(&self.name).finish()
    }
}

/// All cases, in the order in which [`run`] tries them: the simplest first.
pub const CASES: &[Case] = &[
    case("nodes_start_in_any_order", delivery::start_in_any_order),
    case("nodes_that_connect_to_each_other_all_talk", delivery::mesh),
    case("frames_arrive_whole_and_in_order", delivery::ordering),
    case("frames_up_to_the_limit_pass", delivery::size_limits),
    case("a_full_connection_hands_the_frame_back", pressure::full),
    case(
        "no_accepted_frame_is_swallowed",
        pressure::nothing_swallowed,
    ),
    case("a_full_connection_is_writable_again", pressure::writable),
    case("planes_are_apart", planes::apart),
    case("a_full_plane_does_not_hold_up_the_other", planes::full),
    case("a_node_without_endpoints_is_answered", planes::return_path),
    case(
        "each_return_path_leads_to_its_own_node",
        planes::return_paths,
    ),
    case("a_return_path_ends_with_its_node", faults::return_path_ends),
    case("a_disconnected_connection_is_gone", faults::disconnect),
    case("a_restarted_peer_is_met_again", faults::restart),
    case("a_vanished_peer_is_noticed", faults::vanished_peer),
    case("a_vanished_client_is_noticed", faults::vanished_client),
    case("waiting_ends_in_time", waking::in_time),
    case("an_arrival_wakes", waking::arrival),
    case("nothing_is_left_when_a_node_sleeps", waking::leftovers),
    case("no_wake_up_is_lost", waking::ping_pong),
    case("time_never_goes_back", services::clock),
    case("entropy_differs", services::entropy),
    case("datagrams_arrive_whole", services::datagrams),
    case("datagrams_are_bounded", services::datagram_bounds),
    case("places_are_looked_up", services::lookup),
    case("offloaded_jobs_report_back", services::offload),
    case("an_offloaded_panic_is_reported", services::offload_panic),
];

const fn case(name: &'static str, attempt: fn(&mut Net<'_>) -> Result<Verdict, Failure>) -> Case {
    Case { name, attempt }
}

/// Tries every case and reports on each; a failed one does not end the run.
pub fn run(fixture: &mut dyn Fixture) -> Report {
    run_where(fixture, |_| true)
}

/// Tries the cases whose name `wanted` accepts.
pub fn run_where(fixture: &mut dyn Fixture, wanted: impl Fn(&str) -> bool) -> Report {
    let cases = CASES
        .iter()
        .filter(|case| wanted(case.name))
        .map(|case| case.run(fixture))
        .collect();
    fixture.reset();
    Report { cases }
}
