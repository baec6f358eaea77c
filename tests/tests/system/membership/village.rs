//! Containers of a simulated world that know nothing of each other but seeds.

use std::collections::BTreeSet;
use std::time::Duration;

use monofil_container::{
    Container, ContainerConfig, Counter, MemberInfo, MemberState, MembershipConfig, NodeId,
};
use monofil_inproc::{Latency, LinkModel, NodeKey, World, WorldConfig};
use monofil_sim::{Cluster, NodeDef};
use monofil_tests::ComponentDef;
use monofil_transport::Instant;

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// A network of nodes, each called by a name and found under it by others.
pub(super) struct Village {
    cluster: Cluster,
    nodes: Vec<NodeKey>,
}

/// Returns the identity of the node with a name.
pub(super) fn id(name: &str) -> NodeId {
    NodeId::derived(&["village", name])
}

/// Returns a configuration with these nodes as seeds.
pub(super) fn seeds(names: &[&str]) -> MembershipConfig {
    let seeds = names.iter().map(|name| format!("{name}:7700"));
    MembershipConfig::new(seeds.collect())
}

impl Village {
    /// Makes an empty world with a latency of half a millisecond to two.
    pub(super) fn new(seed: u64) -> Self {
        let link = LinkModel::with_latency(Latency::Uniform {
            min: Duration::from_micros(500),
            max: Duration::from_millis(2),
        });
        let config = WorldConfig {
            link,
            ..WorldConfig::with_seed(seed)
        };
        Self {
            cluster: Cluster::new(config),
            nodes: Vec::new(),
        }
    }

    /// Starts a node.
    pub(super) fn join(
        &mut self,
        name: &str,
        membership: &MembershipConfig,
        components: Vec<ComponentDef>,
    ) -> NodeKey {
        self.join_as(name, membership, components, |_| {})
    }

    /// Starts a node that is configured otherwise.
    pub(super) fn join_as(
        &mut self,
        name: &str,
        membership: &MembershipConfig,
        components: Vec<ComponentDef>,
        change: impl Fn(&mut ContainerConfig) + 'static,
    ) -> NodeKey {
        let (called, membership) = (name.to_owned(), membership.clone());
        let node = NodeDef::new(name, move |start| {
            let mut config = ContainerConfig::new("test", &*called);
            config.node = id(&called);
            config.incarnation = start.incarnation;
            config.membership = Some(membership.clone());
            config.components = components.iter().map(ComponentDef::spec).collect();
            change(&mut config);
            config
        });
        let added = self.cluster.add(vec![node]).expect("a new name");
        self.nodes.extend(&added);
        added[0]
    }

    /// Starts as many nodes, `n0`, `n1`, ..., with `n0` for a seed.
    pub(super) fn settle(&mut self, count: usize) -> Vec<NodeKey> {
        for number in 0..count {
            self.join(&format!("n{number}"), &seeds(&["n0"]), Vec::new());
        }
        let nodes = self.nodes.clone();
        let soon = SECOND * 60;
        self.wait_until(soon, "all are there", |village| village.is_whole(&nodes));
        nodes
    }

    pub(super) const fn world(&mut self) -> &mut World {
        self.cluster.world_mut()
    }

    pub(super) fn now(&self) -> Instant {
        self.cluster.world().now()
    }

    pub(super) fn run(&mut self, duration: Duration) {
        self.world().run_for(duration);
    }

    /// Calls a function with a node's container.
    pub(super) fn look<R>(&self, node: NodeKey, look: impl FnOnce(&Container) -> R) -> R {
        self.cluster.container(node, look).expect("a running node")
    }

    pub(super) fn counter(&self, node: NodeKey, counter: Counter) -> u64 {
        self.look(node, |container| container.counter(counter))
    }

    /// Returns what a node sees of another.
    pub(super) fn view(&self, of: NodeKey, name: &str) -> Option<MemberInfo> {
        let members = self.look(of, Container::members);
        members.into_iter().find(|member| member.node == id(name))
    }

    pub(super) fn state(&self, of: NodeKey, name: &str) -> Option<MemberState> {
        self.view(of, name).map(|member| member.state)
    }

    /// Returns who is up, as a node sees it.
    pub(super) fn up(&self, of: NodeKey) -> BTreeSet<NodeId> {
        let members = self.look(of, Container::members);
        let up = members.into_iter().filter(|member| member.state.is_up());
        up.map(|member| member.node).collect()
    }

    /// Tells whether each of these nodes sees all others of them, and nobody else.
    pub(super) fn is_whole(&self, nodes: &[NodeKey]) -> bool {
        let name = |node: &NodeKey| id(self.cluster.world().name(*node));
        let all: BTreeSet<NodeId> = nodes.iter().map(name).collect();
        nodes.iter().all(|node| {
            let mut seen = self.up(*node);
            seen.insert(name(node)) && seen == all
        })
    }

    /// Lets time pass until something is so, and returns how long that took.
    pub(super) fn wait_until(
        &mut self,
        within: Duration,
        what: &str,
        done: impl Fn(&Self) -> bool,
    ) -> Duration {
        let start = self.now();
        while !done(self) {
            let passed = self.now().since(start);
            assert!(
                passed < within,
                "after {passed:?} it is not yet so that {what}"
            );
            self.run(Duration::from_millis(20));
        }
        self.now().since(start)
    }
}
