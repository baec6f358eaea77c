//! Containers in a world.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::{Rc, Weak};

use monofil_container::{
    Container, ContainerConfig, Directory, Name, StaticDirectory, Subscription,
};
use monofil_inproc::{
    AddNodeError, NodeKey, NodeSpec, NodeStart, World, WorldConfig, application_endpoint,
};
use monofil_transport::{EndpointError, Io, Next, Node};

use crate::patience::Published;

type Configure = Rc<dyn Fn(&NodeStart) -> ContainerConfig>;
type BeforeTurn = Rc<dyn Fn(&mut Container)>;

/// A node to put into a cluster: what its container is made of each time it starts, and what others may call there.
#[derive(Clone)]
pub struct NodeDef {
    pub(crate) name: String,
    pub(crate) reachable: bool,
    pub(crate) places: Vec<(Name, Vec<Subscription>)>,
    pub(crate) configure: Configure,
    before_turn: Option<BeforeTurn>,
}

impl NodeDef {
    /// Describes a node. `configure` is asked at each start; its directory is replaced by the cluster's.
    pub fn new(
        name: impl Into<String>,
        configure: impl Fn(&NodeStart) -> ContainerConfig + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            reachable: true,
            places: Vec::new(),
            configure: Rc::new(configure),
            before_turn: None,
        }
    }

    /// Says that a component (`app/name`) runs here, and what it is subscribed to.
    #[must_use]
    pub fn place(mut self, component: impl Into<Name>, subscriptions: &[Subscription]) -> Self {
        self.places.push((component.into(), subscriptions.to_vec()));
        self
    }

    /// Takes its endpoints away: it only ever speaks first, as a client does.
    #[must_use]
    pub fn client(mut self) -> Self {
        self.reachable = false;
        self
    }

    /// Has a function look at the container before each of its turns.
    #[must_use]
    pub fn before_turn(mut self, look: impl Fn(&mut Container) + 'static) -> Self {
        self.before_turn = Some(Rc::new(look));
        self
    }
}

impl fmt::Debug for NodeDef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeDef")
            .field("name", &self.name)
            .field("reachable", &self.reachable)
            .field("places", &self.places)
            .finish_non_exhaustive()
    }
}

/// A world of containers that know where the others are.
pub struct Cluster {
    world: World,
    directory: Rc<RefCell<StaticDirectory>>,
    /// Those that run: the world owns them.
    containers: Rc<RefCell<BTreeMap<u32, Weak<RefCell<Container>>>>>,
    ended: Rc<Cell<bool>>,
    /// What nodes do, for another thread, if one looks.
    published: Option<Published>,
}

impl Cluster {
    /// Makes an empty cluster.
    #[must_use]
    pub fn new(config: WorldConfig) -> Self {
        Self {
            world: World::new(config),
            directory: Rc::default(),
            containers: Rc::default(),
            ended: Rc::default(),
            published: None,
        }
    }

    /// Has all nodes publish what they do; before they are added.
    pub(crate) fn publish(&mut self, published: &Published) {
        self.published = Some(published.clone());
    }

    /// Adds nodes and starts them, in this order. Each knows of all of them, and of those that were added before.
    ///
    /// # Errors
    ///
    /// See [`AddNodeError`]; nodes before the one that was refused are there.
    pub fn add(&mut self, nodes: Vec<NodeDef>) -> Result<Vec<NodeKey>, AddNodeError> {
        for node in &nodes {
            for (component, subscriptions) in &node.places {
                self.place(component.clone(), &node.name, subscriptions)?;
            }
        }
        nodes.into_iter().map(|node| self.start(node)).collect()
    }

    /// Says that a node runs a component, for nodes that start from now on.
    ///
    /// # Errors
    ///
    /// When the node's name makes no endpoint.
    pub fn place(
        &mut self,
        component: impl Into<Name>,
        node: &str,
        subscriptions: &[Subscription],
    ) -> Result<(), EndpointError> {
        let endpoint = application_endpoint(node)?;
        let mut directory = self.directory.borrow_mut();
        directory.add(component, endpoint, subscriptions);
        Ok(())
    }

    fn start(&mut self, node: NodeDef) -> Result<NodeKey, AddNodeError> {
        let (directory, ended) = (self.directory.clone(), self.ended.clone());
        let (containers, published) = (self.containers.clone(), self.published.clone());
        let mut spec = NodeSpec::new(&node.name);
        if !node.reachable {
            spec = spec.client();
        }
        self.world.add_node(spec, move |start| {
            let mut config = (node.configure)(start);
            config.directory = Box::new(directory.borrow().clone());
            let container = Rc::new(RefCell::new(Container::new(config)));
            let number = u32::try_from(start.key.index()).unwrap_or(u32::MAX);
            let known = Rc::downgrade(&container);
            containers.borrow_mut().insert(number, known);
            Box::new(Hosted {
                container,
                before_turn: node.before_turn.clone(),
                ended: ended.clone(),
                publishes: published.clone().map(|published| (number, published)),
            })
        })
    }

    /// Returns the components that nodes were said to run.
    pub(crate) fn components(&self) -> Vec<Name> {
        self.directory.borrow().components()
    }

    /// Returns the world, to look at.
    #[must_use]
    pub const fn world(&self) -> &World {
        &self.world
    }

    /// Returns the world, to do things to it and to let time pass.
    pub const fn world_mut(&mut self) -> &mut World {
        &mut self.world
    }

    /// Gives the world away, for a backend that paces it.
    #[must_use]
    pub fn into_world(self) -> World {
        self.world
    }

    /// Returns what is set when a node ends by itself, for a pacer that would rather sleep.
    #[must_use]
    pub fn ended(&self) -> Rc<Cell<bool>> {
        self.ended.clone()
    }

    /// Calls a function with a node's container, if the node is up.
    pub fn container<R>(&self, node: NodeKey, look: impl FnOnce(&Container) -> R) -> Option<R> {
        let number = u32::try_from(node.index()).ok()?;
        let container = self.containers.borrow().get(&number)?.upgrade()?;
        let container = container.try_borrow().ok()?;
        Some(look(&container))
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cluster").field(&self.world).finish()
    }
}

/// A container that can be looked into from outside its world, and that says when it has ended.
struct Hosted {
    container: Rc<RefCell<Container>>,
    before_turn: Option<BeforeTurn>,
    ended: Rc<Cell<bool>>,
    /// Until its first turn: where it says what it does.
    publishes: Option<(u32, Published)>,
}

impl Node for Hosted {
    fn turn(&mut self, io: &mut dyn Io) -> Next {
        if let Some((node, published)) = self.publishes.take() {
            published.publish(node, io.progress());
        }
        let mut container = self.container.borrow_mut();
        if let Some(look) = &self.before_turn {
            look(&mut container);
        }
        let next = container.turn(io);
        if next == Next::Ended {
            self.ended.set(true);
        }
        next
    }
}
