//! Containers in a simulated world.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::time::Duration;

use monofil_container::{Container, NodeId, Reply};
use monofil_inproc::{
    Latency, LinkModel, NodeKey, NodeSpec as WorldNode, World, WorldConfig, application_endpoint,
};
use monofil_transport::{Io, Next, Node, Shutdown};

use crate::net::{Net, NodeSpec, Test, directory};
use crate::{Foreign, component};

/// A simulated world with a latency of one to two milliseconds.
pub struct SimNet {
    world: World,
    /// Those that run: the world owns them.
    containers: Rc<RefCell<BTreeMap<String, Weak<RefCell<Container>>>>>,
    nodes: Vec<NodeSpec>,
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
            world: World::new(config),
            containers: Rc::default(),
            nodes: Vec::new(),
            tests: 0,
        }
    }

    /// Returns the world, to do things to it.
    pub fn world(&mut self) -> &mut World {
        &mut self.world
    }

    /// Adds a node that is no container, and says which components it runs. Before [`Net::start`].
    pub fn foreign(
        &mut self,
        name: &'static str,
        components: &[&'static str],
        make: impl Fn() -> Foreign + 'static,
    ) {
        let described = components
            .iter()
            .map(|it| component(it, || |_, _| Ok(Reply::Empty)));
        self.nodes.push(NodeSpec::new(name, described.collect()));
        let factory = move |_: &monofil_inproc::NodeStart| Box::new(make()) as Box<dyn Node>;
        self.world
            .add_node(WorldNode::new(name), factory)
            .expect("a new name");
    }

    fn add(&mut self, name: String, spec: NodeSpec) -> NodeKey {
        let (nodes, containers, id) = (self.nodes.clone(), self.containers.clone(), name.clone());
        let factory = move |start: &monofil_inproc::NodeStart| {
            let at = |node: &str| application_endpoint(node).expect("a short name");
            let config = spec.config(start.incarnation, directory(&nodes, at));
            let container = Rc::new(RefCell::new(Container::new(config)));
            containers
                .borrow_mut()
                .insert(id.clone(), Rc::downgrade(&container));
            Box::new(Visible(container)) as Box<dyn Node>
        };
        self.world
            .add_node(WorldNode::new(name), factory)
            .expect("a new name")
    }

    fn key(&self, name: &str) -> NodeKey {
        self.world.node(name).expect("a node of this test")
    }
}

/// A container that can be looked into from outside its world.
struct Visible(Rc<RefCell<Container>>);

impl Node for Visible {
    fn turn(&mut self, io: &mut dyn Io) -> Next {
        self.0.borrow_mut().turn(io)
    }
}

impl Net for SimNet {
    fn label(&self) -> &'static str {
        "sim"
    }

    fn start(&mut self, nodes: Vec<NodeSpec>) {
        self.nodes.extend(nodes.clone());
        for node in nodes {
            self.add(node.name.to_owned(), node);
        }
    }

    fn kill(&mut self, name: &str) {
        let key = self.key(name);
        self.world.crash(key);
    }

    fn restart(&mut self, name: &str) {
        let key = self.key(name);
        self.world.restart(key);
    }

    fn end(&mut self, name: &str, how: Shutdown) {
        let key = self.key(name);
        self.world.shutdown(key, how);
        let limit = self.world.now() + Duration::from_secs(60);
        while !self.world.has_ended(key) && self.world.now() < limit {
            self.world.run_for(Duration::from_millis(1));
        }
        assert!(self.world.has_ended(key), "{name} did not end");
    }

    fn look(&self, name: &str, look: &mut dyn FnMut(&Container)) {
        let containers = self.containers.borrow();
        let container = containers.get(name).and_then(Weak::upgrade);
        look(&container.expect("a running node").borrow());
    }

    fn run_dyn(&mut self, test: Test) {
        self.tests += 1;
        let name = format!("test-{}", self.tests);
        let id = NodeId::derived(&["test", &name]);
        let node = NodeSpec::new("test", vec![test.component]);
        self.add(name, node.configure(move |config| config.node = id));
        let limit = self.world.now() + Duration::from_secs(600);
        while !(test.done)() && self.world.now() < limit {
            if !self.world.step() {
                break;
            }
        }
    }
}
