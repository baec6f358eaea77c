//! Containers in a world.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::{Rc, Weak};

use monofil_container::{
    ComponentKind, Container, ContainerConfig, Directory, Name, StaticDirectory, Subscription,
};
use monofil_inproc::{
    AddNodeError, LinkModel, NodeKey, NodeSpec, NodeStart, World, WorldConfig, application_endpoint,
};
use monofil_transport::{Endpoint, EndpointError, Io, Next, Node};

use crate::Plan;
use crate::patience::Published;

type Configure = Rc<dyn Fn(&NodeStart) -> ContainerConfig>;
type BeforeTurn = Rc<dyn Fn(&mut Container)>;

/// A node to put into a cluster: what its container is made of each time it starts, and what others may call there.
#[derive(Clone)]
pub struct NodeDef {
    pub(crate) name: String,
    pub(crate) reachable: bool,
    pub(crate) places: Vec<(Name, ComponentKind, Vec<Subscription>)>,
    /// For frames, on each plane; made from its name if nobody says.
    listens: Option<[Endpoint; 2]>,
    machine: Option<String>,
    /// All that it ever calls, if not all is known to it.
    knows: Option<Vec<Name>>,
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
            listens: None,
            machine: None,
            knows: None,
            configure: Rc::new(configure),
            before_turn: None,
        }
    }

    /// Says that a component (`app/name`) runs here, and what it is subscribed to.
    #[must_use]
    pub fn place(self, component: impl Into<Name>, subscriptions: &[Subscription]) -> Self {
        self.place_one_of(component, ComponentKind::default(), subscriptions)
    }

    /// Says that a component of a kind of which there may be several runs here; those that are placed later say of which
    /// kind it is.
    #[must_use]
    pub fn place_one_of(
        mut self,
        component: impl Into<Name>,
        kind: ComponentKind,
        subscriptions: &[Subscription],
    ) -> Self {
        let place = (component.into(), kind, subscriptions.to_vec());
        self.places.push(place);
        self
    }

    /// Says where it listens, on the application plane and on the control plane, as in production: what others know of
    /// how far away it is they know from that. Without this it is called after its name, and far from everybody.
    #[must_use]
    pub fn listening(mut self, application: Endpoint, control: Endpoint) -> Self {
        self.listens = Some([application, control]);
        self
    }

    /// Says on which machine it runs. Nodes of one machine are near each other: nothing is wrong with links between them,
    /// nothing comes between them, and they are gone together. Without this it has a machine of its own.
    #[must_use]
    pub fn on_machine(mut self, machine: impl Into<String>) -> Self {
        self.machine = Some(machine.into());
        self
    }

    /// Says which components (`app/name`) it knows of; without this all that there are when it starts. A node connects to
    /// all whom it knows: so much that of thousands each must know a few only.
    #[must_use]
    pub fn knows<N: Into<Name>>(mut self, components: impl IntoIterator<Item = N>) -> Self {
        self.knows = Some(components.into_iter().map(Into::into).collect());
        self
    }

    /// Returns where others find it.
    fn endpoint(&self) -> Result<Endpoint, EndpointError> {
        match &self.listens {
            Some([application, _]) => Ok(application.clone()),
            None => application_endpoint(&self.name),
        }
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
    /// Nodes have the one that there was when they started, and share it.
    directory: Rc<RefCell<Rc<StaticDirectory>>>,
    /// Those that run: the world owns them.
    containers: Rc<RefCell<BTreeMap<u32, Weak<RefCell<Container>>>>>,
    ended: Rc<Cell<bool>>,
    /// What nodes do, for another thread, if one looks.
    published: Option<Published>,
    machines: Machines,
    /// Links between machines.
    far: LinkModel,
}

/// Has links within machines behave otherwise than those between them.
fn tell_distances(world: &mut World, far: &LinkModel, machines: &Machines) {
    let near = Plan::default().within("", "").to_model();
    let (far, machines) = (far.clone(), machines.clone());
    world.set_links(move |from, to| match machines.are_one(from, to) {
        true => near.clone(),
        false => far.clone(),
    });
}

/// On which machine nodes run, by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machines(Rc<RefCell<BTreeMap<String, String>>>);

impl Machines {
    /// Tells whether two nodes run on one machine.
    #[must_use]
    pub fn are_one(&self, node: &str, other: &str) -> bool {
        let machines = self.0.borrow();
        let machine = machines.get(node);
        machine.is_some() && machine == machines.get(other)
    }

    /// Tells whether nobody said anything about them.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }
}

impl Cluster {
    /// Makes an empty cluster.
    #[must_use]
    pub fn new(config: WorldConfig) -> Self {
        Self {
            far: config.link.clone(),
            world: World::new(config),
            directory: Rc::default(),
            containers: Rc::default(),
            ended: Rc::default(),
            published: None,
            machines: Machines::default(),
        }
    }

    /// Returns on which machine nodes run, those included that are added later.
    #[must_use]
    pub fn machines(&self) -> Machines {
        self.machines.clone()
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
            let endpoint = node.endpoint()?;
            let mut directory = self.directory.borrow_mut();
            let directory = Rc::make_mut(&mut directory);
            for (component, kind, subscriptions) in &node.places {
                directory.set_kind(component.clone(), *kind);
                directory.add(component.clone(), endpoint.clone(), subscriptions);
            }
            if let Some(machine) = &node.machine {
                if self.machines.is_empty() {
                    tell_distances(&mut self.world, &self.far, &self.machines);
                }
                let mut machines = self.machines.0.borrow_mut();
                machines.insert(node.name.clone(), machine.clone());
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
        Rc::make_mut(&mut directory).add(component, endpoint, subscriptions);
        Ok(())
    }

    fn start(&mut self, node: NodeDef) -> Result<NodeKey, AddNodeError> {
        let (directory, ended) = (self.directory.clone(), self.ended.clone());
        let (containers, published) = (self.containers.clone(), self.published.clone());
        let mut spec = NodeSpec::new(&node.name);
        if let Some([application, control]) = node.listens.clone() {
            spec = spec.listening(application, control);
        }
        if !node.reachable {
            spec = spec.client();
        }
        self.world.add_node(spec, move |start| {
            let mut config = (node.configure)(start);
            let all = &*directory.borrow();
            config.directory = match &node.knows {
                Some(components) => Box::new(all.only(components)),
                None => Box::new(all.clone()),
            };
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
