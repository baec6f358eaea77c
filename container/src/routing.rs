//! Where a message goes: to the nearest place that can take it.
//!
//! ```text
//!   directory, members ──▶ candidates ──▶ narrow ──▶ pick ──▶ one place
//!                             ▲              │
//!   health, load, ejection ───┘              └──▶ explain: why each is chosen or not
//! ```
//!
//! A *candidate* is an instance here, or another node that runs the component: that node chooses among its own.
//! Loads of other nodes are hearsay: what a node said with its last frame, and what was sent to it since.

mod choice;
mod explain;
mod gather;
mod horizon;
mod key;

use std::fmt;

use monofil_transport::{Endpoint, Scheme, Stream};

pub(crate) use self::choice::Standing;
use self::choice::{Ask, Candidate, Verdict, narrow, pick};
pub(crate) use self::gather::{Choice, Sought, Where};
pub(crate) use self::horizon::Reach;
pub use self::horizon::{Horizon, Horizons};
pub(crate) use self::key::token;
use crate::Name;

/// How many instances a component may have, and which of them a message goes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ComponentKind {
    /// One. Where more are found all callers that are equally far from them use the same.
    #[default]
    Single,
    /// Any number. A [key](crate::Request::with_key) belongs to one of them, always the same while it is there; when
    /// one comes or goes, only the keys move that are its own. A message without a key goes to any.
    Keyed,
    /// Any number, and any will do.
    Stateless,
}

impl fmt::Display for ComponentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Single => "single",
            Self::Keyed => "keyed",
            Self::Stateless => "stateless",
        })
    }
}

/// How far away something is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Distance {
    /// In the same container.
    Process,
    /// On the same machine.
    Host,
    /// In the same network.
    Network,
    /// In another network.
    #[default]
    Remote,
}

impl fmt::Display for Distance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Process => "process",
            Self::Host => "host",
            Self::Network => "network",
            Self::Remote => "remote",
        })
    }
}

/// What a container needs to choose.
pub(crate) struct Routing {
    /// The machine it runs on; empty: not known.
    pub(crate) host: Name,
    /// Made from where it is.
    pub(crate) own_token: u64,
    pub(crate) horizons: Horizons,
    /// None of them bounds anything.
    pub(crate) is_endless: bool,
    /// Used again for each message.
    candidates: Vec<Candidate<Where>>,
    random: Stream,
}

impl Routing {
    pub(crate) fn new(host: Name, horizons: Horizons) -> Self {
        Self {
            host,
            own_token: 0,
            is_endless: horizons.is_endless(),
            horizons,
            candidates: Vec::new(),
            random: Stream::new(0, "routing"),
        }
    }

    pub(crate) fn seed(&mut self, seed: u64) {
        self.random = Stream::new(seed, "routing");
    }

    /// Returns how far away a node is that says that it runs on a machine, or says nothing.
    pub(crate) fn distance(&self, host: &Name, endpoint: &Endpoint) -> Distance {
        let same = !host.is_empty() && *host == self.host;
        if same || is_here(endpoint) {
            Distance::Host
        } else {
            Distance::Network
        }
    }
}

/// Tells whether nobody but the nodes of one machine can reach an endpoint.
fn is_here(endpoint: &Endpoint) -> bool {
    let text = endpoint.as_str();
    match endpoint.scheme() {
        Scheme::Ipc => true,
        Scheme::Tcp => ["tcp://127.", "tcp://localhost:", "tcp://[::1]:"]
            .iter()
            .any(|it| text.starts_with(it)),
        // Nodes of one world may be on as many machines as the world likes.
        _ => false,
    }
}
