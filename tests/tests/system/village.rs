//! Containers of a simulated world that know nothing of each other but seeds.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::Duration;

use monofil_container::{
    Container, ContainerConfig, Context, Counter, HandlerError, MemberInfo, MemberState,
    MembershipConfig, NodeId,
};
use monofil_inproc::{Latency, LinkModel, NodeKey, NodeSpec, World, WorldConfig};
use monofil_proto::control::{
    ControlFrame, Request, Response, control_frame::Body, request::Verb, response,
};
use monofil_proto::{Bounds, VERSION, decode_control, encode};
use monofil_sim::{Cluster, NodeDef};
use monofil_tests::{ComponentDef, Hooks, hooked};
use monofil_transport::{Event, Inbox, Instant, Plane, Route, Transport};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// A network of nodes, each called by a name and found under it by others.
pub(crate) struct Village {
    cluster: Cluster,
    nodes: Vec<NodeKey>,
}

/// Returns the identity of the node with a name.
pub(crate) fn id(name: &str) -> NodeId {
    NodeId::derived(&["village", name])
}

/// Returns a configuration with these nodes as seeds.
pub(crate) fn seeds(names: &[&str]) -> MembershipConfig {
    let seeds = names.iter().map(|name| format!("{name}:7700"));
    MembershipConfig::new(seeds.collect())
}

impl Village {
    /// Makes an empty world with a latency of half a millisecond to two.
    pub(crate) fn new(seed: u64) -> Self {
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
    pub(crate) fn join(
        &mut self,
        name: &str,
        membership: &MembershipConfig,
        components: Vec<ComponentDef>,
    ) -> NodeKey {
        self.join_as(name, membership, components, |_| {})
    }

    /// Starts a node that is configured otherwise.
    pub(crate) fn join_as(
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

    /// Starts a node whose component `main` does something, and waits until it is done. A panic in it is a panic here.
    pub(crate) fn perform<R: 'static>(
        &mut self,
        name: &str,
        membership: &MembershipConfig,
        test: impl FnOnce(&mut Context) -> R + 'static,
    ) -> R {
        type Outcome<R> = Rc<RefCell<Option<Result<R, Box<dyn Any + Send>>>>>;
        let outcome: Outcome<R> = Rc::default();
        let slot = outcome.clone();
        let test = Rc::new(RefCell::new(Some(test)));
        let main = hooked("main", move || {
            let (slot, test) = (slot.clone(), test.clone());
            let idle = Hooks::new(|_, _| Err(HandlerError::Unimplemented("main".into())));
            idle.start(move |cx, _| {
                if let Some(test) = test.take() {
                    *slot.borrow_mut() = Some(catch_unwind(AssertUnwindSafe(|| test(cx))));
                }
                Ok(())
            })
        });
        self.join(name, membership, vec![main]);
        let limit = self.now() + SECOND * 3600;
        while outcome.borrow().is_none() && self.now() < limit {
            self.run(Duration::from_millis(10));
        }
        let done = outcome.borrow_mut().take();
        match done.expect("it is done within an hour") {
            Ok(result) => result,
            Err(panic) => resume_unwind(panic),
        }
    }

    /// Sends a command to a node, as an operator would, and returns the answer.
    pub(crate) fn ask(&mut self, node: NodeKey, verb: Verb) -> response::Result {
        let world = self.cluster.world_mut();
        let operator = world.node("operator").unwrap_or_else(|| {
            let spec = NodeSpec::new("operator").client();
            world.add_bare_node(spec).expect("a new name")
        });
        let endpoint = format!("inproc://{}#control", world.name(node));
        let endpoint = endpoint.parse().expect("an endpoint");
        let connection = world.io(operator).connect(Plane::Control, &endpoint);
        let route = Route::Connection(connection.expect("it is there"));
        let frame = ControlFrame {
            version: VERSION,
            sender: vec![9; 16],
            sender_incarnation: 1,
            request_id: 7,
            body: Some(Body::Request(Request { verb: Some(verb) })),
            ..ControlFrame::default()
        };
        let sent = world.io(operator).send(&route, encode(&frame));
        sent.expect("room");
        let mut inbox = Inbox::new();
        loop {
            let limit = world.now() + SECOND * 10;
            world.run_until_mail(operator, limit);
            world.io(operator).receive(&mut inbox);
            while let Some(event) = inbox.pop() {
                let Event::Frame { frame, .. } = event else {
                    continue;
                };
                let answer = decode_control(&frame, &Bounds::DEFAULT).expect("a frame");
                if let Some(Body::Response(Response {
                    result: Some(result),
                })) = answer.body
                {
                    return result;
                }
            }
            assert!(world.now() < limit, "no answer");
        }
    }

    /// Starts as many nodes, `n0`, `n1`, ..., with `n0` for a seed.
    pub(crate) fn settle(&mut self, count: usize) -> Vec<NodeKey> {
        for number in 0..count {
            self.join(&format!("n{number}"), &seeds(&["n0"]), Vec::new());
        }
        let nodes = self.nodes.clone();
        let soon = SECOND * 60;
        self.wait_until(soon, "all are there", |village| village.is_whole(&nodes));
        nodes
    }

    /// Waits until there is no more to say of those who have just come, and returns when that was.
    pub(crate) fn rest(&mut self, nodes: &[NodeKey]) -> Duration {
        for _ in 0..30 {
            if self.load(nodes) < 3000 {
                break;
            }
        }
        self.now().since(Instant::ZERO)
    }

    /// Returns how many thousandths of a packet each of these nodes sends in a second, on average of the next ten.
    pub(crate) fn load(&mut self, nodes: &[NodeKey]) -> u64 {
        let sent = |village: &Self| -> u64 {
            let sent = |it: &NodeKey| village.counter(*it, Counter::MembershipSent);
            nodes.iter().map(sent).sum()
        };
        let before = sent(self);
        self.run(SECOND * 10);
        (sent(self) - before) * 1000 / 10 / nodes.len() as u64
    }

    pub(crate) const fn world(&mut self) -> &mut World {
        self.cluster.world_mut()
    }

    pub(crate) fn now(&self) -> Instant {
        self.cluster.world().now()
    }

    pub(crate) fn run(&mut self, duration: Duration) {
        self.world().run_for(duration);
    }

    /// Calls a function with a node's container.
    pub(crate) fn look<R>(&self, node: NodeKey, look: impl FnOnce(&Container) -> R) -> R {
        self.cluster.container(node, look).expect("a running node")
    }

    pub(crate) fn counter(&self, node: NodeKey, counter: Counter) -> u64 {
        self.look(node, |container| container.counter(counter))
    }

    /// Returns what a node sees of another.
    pub(crate) fn view(&self, of: NodeKey, name: &str) -> Option<MemberInfo> {
        self.look(of, |container| container.member(&id(name)))
    }

    pub(crate) fn state(&self, of: NodeKey, name: &str) -> Option<MemberState> {
        self.view(of, name).map(|member| member.state)
    }

    /// Returns who is up, as a node sees it.
    pub(crate) fn up(&self, of: NodeKey) -> BTreeSet<NodeId> {
        let members = self.look(of, Container::members);
        let up = members.into_iter().filter(|member| member.state.is_up());
        up.map(|member| member.node).collect()
    }

    /// Tells whether each of these nodes sees all others of them, and nobody else.
    pub(crate) fn is_whole(&self, nodes: &[NodeKey]) -> bool {
        let name = |node: &NodeKey| id(self.cluster.world().name(*node));
        let all: BTreeSet<NodeId> = nodes.iter().map(name).collect();
        nodes.iter().all(|node| {
            let mut seen = self.up(*node);
            seen.insert(name(node)) && seen == all
        })
    }

    /// Lets time pass until something is so, and returns how long that took.
    pub(crate) fn wait_until(
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
