//! Asking other nodes whether they live, and answering.
//!
//! Probes are datagrams, so that they are answered even when a handler holds the node's thread: the
//! backend's sentinel answers in its place, with `busy` and the handler's name, for as long as there is hope
//! that the handler ends. A node that is busy is not silent, and silence is only a hint: no link ends because
//! of it.

use std::net::SocketAddr;
use std::time::Duration;

use monofil_proto::control::{Alive, Busy, Datagram, Probe, datagram::Body};
use monofil_proto::{Bounds, VERSION, decode_datagram, encode};
use monofil_transport::{Io, Running, WatchAnswer};

use crate::core::{Core, Timer};
use crate::counters::Counter;
use crate::error::micros;
use crate::membership::answer_alive;
use crate::peers::{Health, Peer, Watch};
use crate::{Name, NodeId};

impl Core {
    /// Sends this turn's probes, if it is time for them.
    pub(crate) fn probe(&mut self, io: &mut dyn Io) {
        if !self.peers.probe_due {
            return;
        }
        self.peers.probe_due = false;
        self.timers
            .set(self.now + self.probe_interval, Timer::Probe);
        self.forget_gone(io);
        self.asks = io.local().datagram.is_some();
        for index in self.peers.indices() {
            self.watch_requests(index);
        }
        if !self.asks {
            // Nobody can be asked from here, so nobody is silent for not answering.
            return;
        }
        // While a handler held the thread nobody was asked or heard: that is nobody else's silence.
        let before = std::mem::replace(&mut self.peers.probed, self.now);
        let listened = self.now.since(before) < self.probe_interval * 2;
        for index in self.peers.indices() {
            let now = self.now;
            let (interval, silent_after) = (self.probe_interval, self.silent_after);
            let Some(peer) = self.peers.get_mut(index) else {
                continue;
            };
            let quiet = now.since(peer.heard);
            let left = peer.has_left();
            let Some(address) = peer.datagram.filter(|_| quiet >= interval / 2 && !left) else {
                continue;
            };
            if listened && quiet >= silent_after && peer.health != Health::Silent {
                peer.health = Health::Silent;
                peer.health_since = now;
                tracing::warn!(node = %self.name, peer = %peer.place(), ?quiet, "peer is silent");
                self.watch_requests(index);
            }
            let probe = self.datagram(Body::Probe(Probe {
                nonce: index as u64,
            }));
            // A probe that is not sent is like one that is lost.
            let _ = io.send_datagram(address, &encode(&probe));
        }
    }

    pub(crate) const fn watch(&self) -> Watch {
        Watch {
            silent_after: self.silent_after,
            asks: self.asks,
        }
    }

    pub(crate) fn datagram(&self, body: Body) -> Datagram {
        Datagram {
            version: VERSION,
            network: self.network,
            sender: self.node.0.to_vec(),
            sender_incarnation: self.incarnation,
            body: Some(body),
        }
    }

    pub(crate) fn handle_datagram(&mut self, io: &mut dyn Io, from: SocketAddr, payload: &[u8]) {
        self.counters.add(Counter::DatagramsReceived);
        let datagram = match decode_datagram(payload, &self.bounds) {
            Ok(datagram) => datagram,
            Err(error) => {
                self.counters.malformed(error.reason);
                return;
            }
        };
        if self.membership.is_some() && matches!(datagram.body, Some(Body::Alive(_))) {
            self.seed_answers(io, from, &datagram);
        }
        if self.network != 0 && datagram.network != 0 && datagram.network != self.network {
            self.counters.add(Counter::FramesForeignNetwork);
            return;
        }
        self.hear_of_member(from, &datagram);
        if let Some(Body::Probe(Probe { nonce })) = datagram.body {
            let alive = self.datagram(Body::Alive(Alive { nonce }));
            let _ = io.send_datagram(from, &encode(&alive));
            return;
        }
        match &datagram.body {
            Some(Body::Membership(carried)) => {
                self.handle_packet(io, &datagram, &carried.packet, None);
                return;
            }
            Some(Body::Busy(busy)) if !busy.packet.is_empty() => {
                self.handle_packet(io, &datagram, &busy.packet, Some(&busy.handler));
            }
            _ => {}
        }
        let known = NodeId::from_wire(&datagram.sender).and_then(|node| self.peers.by_node(&node));
        // An answer for an earlier incarnation says nothing of this one.
        let Some(index) = known
            .filter(|index| self.peers.incarnation(*index) == Some(datagram.sender_incarnation))
            .filter(|index| !self.peers.get(*index).is_some_and(Peer::has_left))
        else {
            return;
        };
        match datagram.body {
            Some(Body::Alive(_)) => self.heard_of(index),
            Some(Body::Busy(busy)) => self.peer_busy(index, &busy),
            Some(Body::Probe(_) | Body::Membership(_)) | None => {}
        }
    }

    /// Notes that a node is there.
    pub(crate) fn heard_of(&mut self, index: usize) {
        let now = self.now;
        if let Some(peer) = self.peers.get_mut(index) {
            peer.heard = now;
            if peer.health != Health::Alive {
                if !matches!(peer.health, Health::Unknown) {
                    tracing::info!(node = %self.name, peer = %peer.place(), "peer answers again");
                }
                peer.health = Health::Alive;
                peer.health_since = now;
            }
        }
    }

    fn peer_busy(&mut self, index: usize, busy: &Busy) {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(index) else {
            return;
        };
        peer.heard = now;
        let health = Health::Busy {
            handler: busy.handler.as_str().into(),
        };
        if peer.health != health {
            let since = Duration::from_micros(busy.since_micros);
            tracing::warn!(
                node = %self.name,
                peer = %peer.place(),
                handler = %busy.handler,
                ?since,
                "peer is busy: a handler holds its thread"
            );
            peer.health = health;
            peer.health_since = now - since;
        }
    }
}

/// Answers probes while a handler holds the thread; runs on the backend's sentinel.
pub(crate) struct BusyAnswer {
    pub(crate) node: NodeId,
    pub(crate) incarnation: u64,
    pub(crate) network: u64,
    pub(crate) busy_max: Duration,
}

impl WatchAnswer for BusyAnswer {
    fn busy(
        &mut self,
        _from: SocketAddr,
        datagram: &[u8],
        running: &Running,
        since: Duration,
    ) -> Option<Vec<u8>> {
        if since > self.busy_max {
            // It may never end.
            return None;
        }
        let probe = decode_datagram(datagram, &Bounds::DEFAULT).ok()?;
        let (nonce, packet) = match probe.body? {
            Body::Probe(Probe { nonce }) => (nonce, Vec::new()),
            Body::Membership(carried) if probe.network == self.network => {
                let answer = answer_alive(&carried.packet, self.node, self.incarnation);
                (0, answer?)
            }
            _ => return None,
        };
        let handler = Name::from(&*running.handler)
            .as_str()
            .chars()
            .take(256)
            .collect();
        let busy = Datagram {
            version: VERSION,
            network: self.network,
            sender: self.node.0.to_vec(),
            sender_incarnation: self.incarnation,
            body: Some(Body::Busy(Busy {
                nonce,
                handler,
                since_micros: micros(since),
                packet,
            })),
        };
        Some(encode(&busy).to_vec())
    }
}
