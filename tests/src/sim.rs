//! Containers in a simulated world.

use std::time::Duration;

use monofil_container::{Container, NodeId, StaticDirectory};
use monofil_inproc::{Latency, LinkModel, NodeKey, NodeSpec as WorldNode, World, WorldConfig};
use monofil_sim::{Cluster, NodeDef};
use monofil_transport::{Instant, Node, Shutdown};

use crate::Foreign;
use crate::net::{Net, NodeSpec, Test};

/// A simulated world with a latency of one to two milliseconds.
pub struct SimNet {
    cluster: Cluster,
    tests: usize,
}

impl SimNet {
    /// Makes an empty world.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let (least, most) = (Duration::from_millis(1), Duration::from_millis(2));
        let link = LinkModel::with_latency(Latency::Uniform {
            min: least,
            max: most,
        });
        Self::with(WorldConfig {
            link,
            ..WorldConfig::with_seed(seed)
        })
    }

    /// Makes an empty world that is otherwise.
    #[must_use]
    pub fn with(config: WorldConfig) -> Self {
        Self {
            cluster: Cluster::new(config),
            tests: 0,
        }
    }

    /// Returns the world, to do things to it.
    pub const fn world(&mut self) -> &mut World {
        self.cluster.world_mut()
    }

    /// Adds a node that is no container, and says which components it runs. Before [`Net::start`].
    pub fn foreign(
        &mut self,
        name: &'static str,
        components: &[&'static str],
        make: impl Fn() -> Foreign + 'static,
    ) {
        for component in components {
            let component = format!("test/{component}");
            let placed = self.cluster.place(component, name, &[]);
            placed.expect("a short name");
        }
        let factory = move |_: &monofil_inproc::NodeStart| Box::new(make()) as Box<dyn Node>;
        self.world()
            .add_node(WorldNode::new(name), factory)
            .expect("a new name");
    }

    fn key(&self, name: &str) -> NodeKey {
        let key = self.cluster.world().node(name);
        key.expect("a node of this test")
    }

    fn now(&self) -> Instant {
        self.cluster.world().now()
    }
}

/// Describes a node to a cluster, under this name and without what others may call.
fn described(name: &str, spec: NodeSpec) -> NodeDef {
    NodeDef::new(name, move |start| {
        spec.config(start.incarnation, StaticDirectory::new())
    })
}

impl Net for SimNet {
    fn label(&self) -> &'static str {
        "sim"
    }

    fn start(&mut self, nodes: Vec<NodeSpec>) {
        let placed = |node: NodeSpec| {
            let components = node.components.clone();
            let named = described(node.name, node);
            components.iter().fold(named, |named, component| {
                let name = format!("test/{}", component.name);
                named.place(name, &component.subscriptions())
            })
        };
        let added = self.cluster.add(nodes.into_iter().map(placed).collect());
        added.expect("new names");
    }

    fn kill(&mut self, name: &str) {
        let key = self.key(name);
        self.world().crash(key);
    }

    fn restart(&mut self, name: &str) {
        let key = self.key(name);
        self.world().restart(key);
    }

    fn end(&mut self, name: &str, how: Shutdown) {
        let key = self.key(name);
        self.world().shutdown(key, how);
        let limit = self.now() + Duration::from_secs(60);
        while !self.world().has_ended(key) && self.now() < limit {
            self.world().run_for(Duration::from_millis(1));
        }
        assert!(self.world().has_ended(key), "{name} did not end");
    }

    fn look(&self, name: &str, look: &mut dyn FnMut(&Container)) {
        let looked = self.cluster.container(self.key(name), look);
        looked.expect("a running node");
    }

    fn run_dyn(&mut self, test: Test) {
        self.tests += 1;
        let name = format!("test-{}", self.tests);
        let id = NodeId::derived(&["test", &name]);
        let node = NodeSpec::new("test", vec![test.component]);
        let node = described(&name, node.configure(move |config| config.node = id));
        let added = self.cluster.add(vec![node]);
        added.expect("a new name");
        let limit = self.now() + Duration::from_secs(600);
        while !(test.done)() && self.now() < limit {
            if !self.world().step() {
                break;
            }
        }
    }
}
