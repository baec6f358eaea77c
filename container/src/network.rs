//! Frames in, frames out: greeting other nodes, keeping links, passing records on.
//!
//! ```text
//!   connected        ── hello(answer) ─▶
//!                    ◀─ hello ──────────   this side knows the other's incarnation and epoch
//!                    ── marks ─────────▶   and now the other side knows this one's: records may leave
//!   connection lost, connected again: the same; then what is not acknowledged leaves once more
//!   another incarnation or epoch answers: the link ends, and what was under way is reported as lost
//! ```
//!
//! A link is between two incarnations, and between two *epochs*: a node that forgot another meets it again
//! with a higher one. As with the verification tag of SCTP (RFC 9260, section 3.1), a frame says both, and
//! whatever does not fit the link as it is now is not handled: it was meant for one before.

mod greeting;
mod inbound;
mod links;
mod outbound;

use std::time::Duration;

use monofil_proto::wire::Closing;
use monofil_transport::{ConnectionId, Endpoint, Io, Plane};

use crate::core::Core;
use crate::counters::Counter;

/// A node that nobody was told of and whose connection was lost is forgotten after this.
const FORGET_AFTER: Duration = Duration::from_secs(60);

impl Core {
    /// Opens connections to all nodes the directory knows.
    pub(crate) fn connect_all(&mut self, io: &mut dyn Io) {
        let local = io.local().application;
        for endpoint in self.directory.endpoints() {
            if Some(&endpoint) != local.as_ref() {
                self.connect(io, endpoint);
            }
        }
    }

    /// Opens a connection to a node the directory knows, unless there is one. Such a node is not forgotten.
    pub(crate) fn connect(&mut self, io: &mut dyn Io, endpoint: Endpoint) -> Option<usize> {
        let index = match self.peers.by_endpoint(&endpoint) {
            Some(known) => known,
            None => {
                let index = self.add_peer(io)?;
                self.peers.name_endpoint(index, endpoint);
                self.dial(io, index);
                index
            }
        };
        self.peers.get_mut(index)?.lasting = true;
        Some(index)
    }

    /// Makes an entry for another node. When there are too many, the one that loses least is forgotten.
    fn add_peer(&mut self, io: &mut dyn Io) -> Option<usize> {
        if self.peers.len() >= self.limits.peers {
            match self.peers.expendable() {
                Some(index) => self.forget(io, index, "room was needed for another node"),
                None => {
                    self.counters.add(Counter::PeersRefused);
                    return None;
                }
            }
        }
        let epoch = self.fresh_id();
        Some(self.peers.add(self.link_config, epoch, self.now))
    }

    /// Makes an entry for what nobody has spoken to yet. When there are too many, a name that nobody is known to run
    /// gives way, for a node that is there also one that something waits for.
    pub(crate) fn add_unmet(&mut self, is_there: bool) -> Option<usize> {
        if self.peers.len() >= self.limits.peers {
            let Some(index) = self.peers.expendable_name(is_there) else {
                self.counters.add(Counter::PeersRefused);
                return None;
            };
            self.abandon_requests(index, "room was needed for another node");
            self.peers.remove(index);
        }
        let epoch = self.fresh_id();
        Some(self.peers.add(self.link_config, epoch, self.now))
    }

    /// Forgets a node: what was under way is reported as lost, what never left as not sent.
    fn forget(&mut self, io: &mut dyn Io, index: usize, why: &str) {
        self.say_closing(io, index, Closing::Forgetting);
        self.end_link(index, why);
        self.abandon_requests(index, why);
        let connection = self.peers.remove(index).and_then(|peer| peer.connection);
        if let Some(connection) = connection {
            io.disconnect(connection);
        }
    }

    /// Forgets nodes that came by themselves and went for good.
    pub(crate) fn forget_gone(&mut self, io: &mut dyn Io) {
        for index in self.peers.indices() {
            let now = self.now;
            let gone = self.peers.get(index).is_some_and(|peer| {
                let quiet = now.since(peer.heard) >= FORGET_AFTER;
                !peer.connected && !peer.lasting && !peer.is_waited_for() && quiet
            });
            if gone {
                self.forget(io, index, "it went away");
            }
        }
    }

    /// Opens a connection to a node that said where it is.
    fn dial(&mut self, io: &mut dyn Io, index: usize) {
        let Some(peer) = self.peers.get_mut(index) else {
            return;
        };
        peer.undialed = false;
        let Some(endpoint) = peer.application.clone() else {
            return;
        };
        match io.connect(Plane::Application, &endpoint) {
            Ok(connection) => self.peers.name_connection(index, connection),
            Err(error) => tracing::warn!(node = %self.name, %endpoint, %error, "cannot connect"),
        }
    }

    pub(crate) fn peer_connected(&mut self, io: &mut dyn Io, connection: ConnectionId) {
        if let Some(index) = self.peers.by_connection(connection) {
            if let Some(peer) = self.peers.get_mut(index) {
                peer.connected = true;
                peer.introduced = false;
                peer.dormant = false;
                peer.greetings = 0;
            }
            self.watch_requests(index);
            self.greet(io, index);
        }
    }

    pub(crate) fn peer_gone(&mut self, connection: ConnectionId) {
        let Some(index) = self.peers.by_connection(connection) else {
            return;
        };
        if let Some(peer) = self.peers.get_mut(index) {
            peer.connected = false;
            peer.introduced = false;
            // What the transport still held is sent again by the link.
            peer.unsent = None;
        }
        self.watch_requests(index);
    }

    pub(crate) fn writable(&mut self, connection: ConnectionId) {
        if let Some(index) = self.peers.by_connection(connection) {
            self.peers.mark_dirty(index);
        }
    }
}
