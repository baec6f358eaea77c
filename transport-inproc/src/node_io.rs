//! A node's view of the world.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use monofil_transport::record::Recorder;
use monofil_transport::{
    Clock, ConnectError, ConnectionId, DatagramError, Datagrams, Endpoint, Entropy, Inbox, Instant,
    Limits, LocalEndpoints, Offload, OffloadFull, OffloadJob, Plane, Progress, Route, SendError,
    Transport, Watch, WatchAnswer,
};

use crate::fabric::Fabric;

/// Everything a node may do to its world: an [`Io`](monofil_transport::Io).
///
/// Programs get one each turn; [`World::io`](crate::World::io) gives one to tests.
pub struct NodeIo<'w> {
    pub(crate) fabric: &'w mut Fabric,
    pub(crate) node: u32,
}

impl std::fmt::Debug for NodeIo<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeIo")
            .field("node", &self.fabric.nodes[self.node as usize].name)
            .finish_non_exhaustive()
    }
}

impl NodeIo<'_> {
    /// Returns the world's time at this point of the node's turn.
    fn world_time(&self) -> u64 {
        self.fabric.now.saturating_add(self.fabric.thread.spent())
    }
}

impl Transport for NodeIo<'_> {
    fn limits(&self) -> Limits {
        self.fabric.config.limits
    }

    fn local(&self) -> LocalEndpoints {
        self.fabric.nodes[self.node as usize].local.clone()
    }

    /// Never fails: a world takes any endpoint as the name that some node may have, so that a layout
    /// written for a real network can be simulated as it stands.
    fn connect(&mut self, plane: Plane, endpoint: &Endpoint) -> Result<ConnectionId, ConnectError> {
        Ok(self.fabric.connect(self.node, plane, endpoint))
    }

    fn disconnect(&mut self, connection: ConnectionId) {
        self.fabric.disconnect(self.node, connection);
    }

    fn send(&mut self, to: &Route, frame: Bytes) -> Result<(), SendError> {
        self.fabric.send(self.node, to, frame)
    }

    /// Moves everything at once: the bounds of connections bound it.
    fn receive(&mut self, inbox: &mut Inbox) {
        self.fabric.receive(self.node, inbox);
    }
}

impl Datagrams for NodeIo<'_> {
    fn send_datagram(&mut self, to: SocketAddr, payload: &[u8]) -> Result<(), DatagramError> {
        self.fabric.send_datagram(self.node, to, payload)
    }

    /// Knows the names of nodes: whatever the port, `NAME:PORT` is where that node receives datagrams.
    fn lookup(&mut self, place: &str) -> Vec<SocketAddr> {
        if let Ok(address) = place.parse() {
            return vec![address];
        }
        let name = place.rsplit_once(':').map_or(place, |(name, _)| name);
        let named = self.fabric.nodes.iter().find(|node| *node.name == *name);
        named
            .and_then(|node| node.local.datagram)
            .into_iter()
            .collect()
    }
}

impl Clock for NodeIo<'_> {
    fn now(&self) -> Instant {
        let now = self.world_time();
        let clocks = &self.fabric.nodes[self.node as usize].clocks;
        Instant::from_nanos(clocks.as_ref().map_or(now, |clocks| clocks.local(now)))
    }

    fn wall_micros(&self) -> u64 {
        let (start, now) = (self.fabric.config.wall_start_micros, self.world_time());
        let clocks = &self.fabric.nodes[self.node as usize].clocks;
        match clocks {
            Some(clocks) => clocks.wall_micros(start, now),
            None => start + now / 1_000,
        }
    }
}

impl Entropy for NodeIo<'_> {
    fn fill(&mut self, bytes: &mut [u8]) {
        self.fabric.entropy(self.node).fill(bytes);
    }
}

impl Offload for NodeIo<'_> {
    fn offload(&mut self, job: OffloadJob) -> Result<(), OffloadFull> {
        self.fabric.offload(self.node, job)
    }
}

impl Watch for NodeIo<'_> {
    fn progress(&self) -> Arc<Progress> {
        self.fabric.nodes[self.node as usize]
            .progress
            .get_or_init(Arc::default)
            .clone()
    }

    /// Drops it: in virtual time no handler holds the thread for any time at all.
    fn install_answer(&mut self, answer: Box<dyn WatchAnswer>) {
        drop(answer);
    }

    fn stalls(&self) -> Vec<(Arc<str>, u64)> {
        Vec::new()
    }

    fn recorder(&self) -> Option<Recorder> {
        let recorder = self.fabric.trace.recorder()?;
        Some(recorder.of(self.node))
    }
}
