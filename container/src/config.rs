//! What a container is told when it is made.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use monofil_proto::Bounds;

use crate::{
    ComponentSpec, Directory, Gate, GroupLimits, Horizons, LinkConfig, MembershipConfig, Name,
    NodeId, OverflowConfig, ResilienceConfig, StaticDirectory,
};

/// The bounds of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeLimits {
    /// Messages queued for all instances together. Default 16,384.
    pub queue_messages: usize,
    /// Their payloads, in bytes. Default 128 MiB.
    pub queue_bytes: usize,
    /// Messages queued and handlers under way, of all instances together. Default none.
    pub in_flight: Option<u64>,
    /// Messages admitted each second; see [`Limit::RateMessages`](crate::Limit::RateMessages). Default none.
    pub rate_messages: Option<u64>,
    /// Their payloads, in bytes for each second. Default none.
    pub rate_bytes: Option<u64>,
    /// Messages that each instance may queue even when its neighbours fill the rest. Default 64.
    pub guaranteed_messages: usize,
    /// Handlers under way at once, each on a stack. Default 8192.
    pub handlers: usize,
    /// Calls under way at once that were started here. Default 65,536.
    pub calls: usize,
    /// Streams being served at once. Default 4096.
    pub streams: usize,
    /// Delayed messages ([`Context::after`](crate::Context::after)). Default 16,384.
    pub delayed: usize,
    /// Other nodes remembered. Default 1024.
    pub peers: usize,
}

impl Default for NodeLimits {
    fn default() -> Self {
        Self {
            queue_messages: 16_384,
            queue_bytes: 128 << 20,
            in_flight: None,
            rate_messages: None,
            rate_bytes: None,
            guaranteed_messages: 64,
            handlers: 8192,
            calls: 65_536,
            streams: 4096,
            delayed: 16_384,
            peers: 1024,
        }
    }
}

/// Everything a [`Container`](crate::Container) is made of. All of it is data, so that the same
/// configuration gives the same behaviour.
pub struct ContainerConfig {
    /// The app whose components this runs; completes names without a `/`.
    pub app: Name,
    /// What the node is called in logs.
    pub name: Name,
    /// Its identity; see [`NodeId::derived`].
    pub node: NodeId,
    /// Grows each time the node starts anew; never 0. A wall clock's microseconds will do.
    pub incarnation: u64,
    /// What the operating system calls its process, for people; 0 where there is none.
    pub process: u32,
    /// The network it belongs to; frames of another are dropped. Empty: any.
    pub network: String,
    /// What it runs.
    pub components: Vec<ComponentSpec>,
    /// Who else runs what.
    pub directory: Box<dyn Directory>,
    /// How it finds the other members of its network by itself; `None`: it only knows those that `directory` knows.
    pub membership: Option<MembershipConfig>,
    /// Its bounds.
    pub limits: NodeLimits,
    /// Those of single flows.
    pub flows: BTreeMap<Name, GroupLimits>,
    /// What becomes of messages that there is no room for.
    pub overflow: OverflowConfig,
    /// The bounds of what it decodes.
    pub bounds: Bounds,
    /// The bounds of its links.
    pub link: LinkConfig,
    /// How long a message lives when nobody says. Default 5 s.
    pub default_deadline: Duration,
    /// How long an orderly end may take. Default 10 s.
    pub drain_deadline: Duration,
    /// How often other nodes are asked whether they live. Default 1 s.
    pub probe_interval: Duration,
    /// A node that has said nothing for so long is reported as silent. Default 5 s.
    pub silent_after: Duration,
    /// A handler that has held the thread for longer than this is taken to be stuck: the node no longer
    /// answers that it is busy, and others report it as silent. Default 30 s.
    pub busy_max: Duration,
    /// Handlers started or resumed in one turn. Default 256.
    pub turn_budget: usize,
    /// The machine that this node runs on, in whatever words: the same at two nodes that share one. At most 256 bytes;
    /// empty: not known.
    pub host: Name,
    /// How far messages may travel. Default as far as there is a way.
    pub horizons: Horizons,
    /// What stands between callers here and whom they call.
    pub resilience: ResilienceConfig,
    /// What stands between messages and handlers in a simulation. Default none.
    pub gate: Option<Box<dyn Gate>>,
}

impl ContainerConfig {
    /// Describes a node that runs nothing yet, with default limits.
    pub fn new(app: impl Into<Name>, name: impl Into<Name>) -> Self {
        let (app, name) = (app.into(), name.into());
        let node = NodeId::derived(&[app.as_str(), name.as_str()]);
        Self {
            app,
            name,
            node,
            incarnation: 1,
            process: 0,
            network: String::new(),
            components: Vec::new(),
            directory: Box::new(StaticDirectory::new()),
            membership: None,
            limits: NodeLimits::default(),
            flows: BTreeMap::new(),
            overflow: OverflowConfig::default(),
            bounds: Bounds::DEFAULT,
            link: LinkConfig::default(),
            default_deadline: Duration::from_secs(5),
            drain_deadline: Duration::from_secs(10),
            probe_interval: Duration::from_secs(1),
            silent_after: Duration::from_secs(5),
            busy_max: Duration::from_secs(30),
            turn_budget: 256,
            host: Name::empty(),
            horizons: Horizons::default(),
            resilience: ResilienceConfig::default(),
            gate: None,
        }
    }
}

impl fmt::Debug for ContainerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContainerConfig")
            .field("app", &self.app)
            .field("name", &self.name)
            .field("node", &self.node)
            .field("incarnation", &self.incarnation)
            .field("components", &self.components)
            .finish_non_exhaustive()
    }
}
