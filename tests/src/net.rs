//! What a test needs of a network, whichever it is.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use monofil_container::{
    Container, ContainerConfig, Context, Counter, Directory, HandlerError, NodeId, StaticDirectory,
};
use monofil_transport::{Endpoint, Shutdown};

use crate::{ComponentDef, Hooks, Scheme, SimNet, ZmqNet, hooked};

/// A node of a test.
#[derive(Clone)]
pub struct NodeSpec {
    /// Its name.
    pub name: &'static str,
    /// What it runs.
    pub components: Vec<ComponentDef>,
    /// Changes to its configuration.
    pub configure: Rc<dyn Fn(&mut ContainerConfig)>,
}

impl NodeSpec {
    /// Describes a node with the default configuration.
    #[must_use]
    pub fn new(name: &'static str, components: Vec<ComponentDef>) -> Self {
        Self {
            name,
            components,
            configure: Rc::new(|_| {}),
        }
    }

    /// Changes its configuration.
    #[must_use]
    pub fn configure(mut self, change: impl Fn(&mut ContainerConfig) + 'static) -> Self {
        self.configure = Rc::new(change);
        self
    }

    pub(crate) fn config(&self, incarnation: u64, directory: StaticDirectory) -> ContainerConfig {
        let mut config = ContainerConfig::new("test", self.name);
        config.node = NodeId::derived(&["test", self.name]);
        config.incarnation = incarnation;
        config.components = self.components.iter().map(ComponentDef::spec).collect();
        config.directory = Box::new(directory) as Box<dyn Directory>;
        (self.configure)(&mut config);
        config
    }
}

/// Says where everything is.
pub(crate) fn directory(nodes: &[NodeSpec], at: impl Fn(&str) -> Endpoint) -> StaticDirectory {
    let mut directory = StaticDirectory::new();
    for node in nodes {
        for component in &node.components {
            let name = format!("test/{}", component.name);
            directory.set_kind(&*name, component.kind);
            directory.add(name, at(node.name), &component.subscriptions());
        }
    }
    directory
}

/// A running network of containers.
pub trait Net {
    /// What it is, for messages.
    fn label(&self) -> &'static str;

    /// Starts nodes; once for each net.
    fn start(&mut self, nodes: Vec<NodeSpec>);

    /// Kills a node: it says nothing to anybody.
    fn kill(&mut self, name: &str);

    /// Starts a killed node again, with an empty memory.
    fn restart(&mut self, name: &str);

    /// Asks a node to end and waits until it has.
    fn end(&mut self, name: &str, how: Shutdown);

    /// Asks a node to end in an orderly way and waits until it has.
    fn drain(&mut self, name: &str) {
        self.end(name, Shutdown::Drain);
    }

    /// Calls a function with a node's container; the node runs.
    fn look(&self, name: &str, look: &mut dyn FnMut(&Container));

    /// Runs a test as a component of the node `test` and waits for its end; use `run` instead, which this is for.
    fn run_dyn(&mut self, test: Test);
}

/// A test that is run as a component, until it says that it is done.
pub struct Test {
    pub(crate) component: ComponentDef,
    pub(crate) done: Rc<dyn Fn() -> bool>,
}

impl dyn Net + '_ {
    /// Returns the value of a node's counter.
    pub fn counter(&self, name: &str, counter: Counter) -> u64 {
        let mut value = 0;
        self.look(name, &mut |container| value = container.counter(counter));
        value
    }

    /// Returns what a node holds right now.
    pub fn gauges(&self, name: &str) -> BTreeMap<&'static str, u64> {
        let mut gauges = BTreeMap::new();
        self.look(name, &mut |container| gauges = container.gauges());
        gauges
    }

    /// Runs `test` with the context of a component on a node of its own. A panic in it is a panic here.
    pub fn run<R: 'static>(&mut self, test: impl FnOnce(&mut Context) -> R + 'static) -> R {
        type Outcome<R> = Rc<RefCell<Option<Result<R, Box<dyn Any + Send>>>>>;
        let outcome: Outcome<R> = Rc::default();
        let slot = outcome.clone();
        let test = Rc::new(RefCell::new(Some(test)));
        let component = hooked("main", move || {
            let (slot, test) = (slot.clone(), test.clone());
            Hooks::new(|_, _| Err(HandlerError::Unimplemented("main".into()))).start(
                move |cx, _| {
                    if let Some(test) = test.take() {
                        let result = catch_unwind(AssertUnwindSafe(|| test(cx)));
                        *slot.borrow_mut() = Some(result);
                    }
                    Ok(())
                },
            )
        });
        let watched = outcome.clone();
        let done = Rc::new(move || watched.borrow().is_some());
        self.run_dyn(Test { component, done });
        let result = outcome.borrow_mut().take();
        match result {
            Some(Ok(result)) => result,
            Some(Err(panic)) => resume_unwind(panic),
            None => panic!("{}: the test did not end", self.label()),
        }
    }
}

/// Runs a test in the simulated world, and over ZeroMQ by TCP and by UNIX sockets.
pub fn on_both(test: impl Fn(&mut dyn Net)) {
    test(&mut SimNet::new(1));
    test(&mut ZmqNet::new(Scheme::Tcp));
    test(&mut ZmqNet::new(Scheme::Ipc));
}
