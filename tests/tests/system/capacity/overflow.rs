//! What becomes of what an instance has no room for.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use monofil_container::{
    CallError, Caller, ComponentKind, Container, ContainerConfig, Context, Counter, InstanceLimits,
    MembershipConfig, Message, NodeId, Overflow, Reply,
};
use monofil_inproc::{Latency, LinkModel, NodeKey, WorldConfig};
use monofil_sim::{Cluster, NodeDef};
use monofil_tests::{ComponentDef, Hooks, Net, NodeSpec, SimNet, component, hooked, text};

use super::{Said, expected, said};

/// How long a handler takes; nothing else is handled meanwhile.
const SERVICE: Duration = Duration::from_millis(4);
const QUEUE: usize = 50;
const NODES: [&str; 3] = ["n0", "n1", "n2"];

/// How often each node's worker has handled something.
type Handled = Rc<RefCell<BTreeMap<&'static str, u64>>>;

fn worker(node: &'static str, kind: ComponentKind, handled: &Handled) -> ComponentDef {
    let handled = handled.clone();
    let worker = component("worker", move || {
        let handled = handled.clone();
        move |cx: &mut Context, _: Message| {
            cx.sleep(SERVICE)?;
            *handled.borrow_mut().entry(node).or_default() += 1;
            Ok(Reply::Empty)
        }
    });
    let worker = worker.limits(InstanceLimits {
        queue_messages: QUEUE,
        overflow: Some(Overflow::Spill),
        ..InstanceLimits::default()
    });
    worker.kind(kind)
}

/// How messages ended: answered, refused, otherwise.
#[derive(Default)]
struct Ends {
    sent: Cell<u64>,
    answered: Cell<u64>,
    refused: Cell<u64>,
    otherwise: RefCell<Vec<CallError>>,
}

impl Ends {
    fn note(&self, end: Result<(), CallError>) {
        let count = |cell: &Cell<u64>| cell.set(cell.get() + 1);
        match end {
            Ok(()) => count(&self.answered),
            Err(CallError::Rejected(_)) => count(&self.refused),
            Err(other) => self.otherwise.borrow_mut().push(other),
        }
    }
}

/// Three nodes that run a worker each, and know each other by membership; and one that only knows the first, and has a
/// source of messages.
struct Network {
    cluster: Cluster,
    nodes: Vec<NodeKey>,
    handled: Handled,
    ends: Rc<Ends>,
}

impl Network {
    fn new(seed: u64, kind: ComponentKind, source: &dyn Fn(&Rc<Ends>) -> ComponentDef) -> Self {
        let link = LinkModel::with_latency(Latency::Uniform {
            min: Duration::from_micros(200),
            max: Duration::from_millis(1),
        });
        let mut cluster = Cluster::new(WorldConfig {
            link,
            ..WorldConfig::with_seed(seed)
        });
        let (handled, ends) = (Handled::default(), Rc::<Ends>::default());
        let mut nodes = Vec::new();
        for name in NODES {
            let components = [worker(name, kind, &handled)];
            let node = NodeDef::new(name, move |start| {
                let mut config = ContainerConfig::new("test", name);
                config.node = NodeId::derived(&["overflow", name]);
                config.incarnation = start.incarnation;
                config.membership = Some(MembershipConfig::new(vec!["n0:7700".to_owned()]));
                config.components = components.iter().map(ComponentDef::spec).collect();
                config
            });
            nodes.extend(cluster.add(vec![node]).expect("a new name"));
        }
        cluster
            .place("test/worker", NODES[0], &[])
            .expect("a short name");
        let source = source(&ends);
        let outside = NodeDef::new("out", move |start| {
            let mut config = ContainerConfig::new("test", "out");
            config.node = NodeId::derived(&["overflow", "out"]);
            config.incarnation = start.incarnation;
            config.components = vec![source.spec()];
            config
        });
        cluster.add(vec![outside]).expect("a new name");
        Self {
            cluster,
            nodes,
            handled,
            ends,
        }
    }

    fn run(&mut self, time: Duration) {
        self.cluster.world_mut().run_for(time);
    }

    fn spilled(&self, node: usize) -> u64 {
        let count = |container: &Container| container.counter(Counter::Spilled);
        self.cluster
            .container(self.nodes[node], count)
            .expect("it runs")
    }

    fn handled_total(&self) -> u64 {
        self.handled.borrow().values().sum()
    }
}

/// Others find each other first.
const START: Duration = Duration::from_secs(5);

/// Casts in bursts.
fn bursts(ends: &Rc<Ends>) -> ComponentDef {
    let ends = ends.clone();
    hooked("source", move || {
        let (ends, back) = (ends.clone(), ends.clone());
        Hooks::new(|_, _| Ok(Reply::Empty))
            .start(move |cx, _| {
                cx.sleep(START)?;
                for _ in 0..10 {
                    for _ in 0..3 * QUEUE {
                        ends.sent.set(ends.sent.get() + 1);
                        if let Err(error) = cx.cast(text("worker", "Do", "")) {
                            ends.note(Err(error));
                        }
                    }
                    cx.sleep(Duration::from_millis(300))?;
                }
                Ok(())
            })
            .undelivered(move |_, it| back.note(Err(it.error)))
    })
}

#[test]
fn casts_that_are_passed_on_are_handled_once_or_come_back() {
    for seed in 1..=20 {
        let mut net = Network::new(seed, ComponentKind::Stateless, &bursts);
        net.run(START + Duration::from_secs(20));
        let ends = &net.ends;
        assert!(
            ends.otherwise.borrow().is_empty(),
            "seed {seed}: {:?}",
            ends.otherwise.borrow()
        );
        assert!(net.spilled(0) > 0, "seed {seed}");
        let (sent, refused) = (ends.sent.get(), ends.refused.get());
        assert_eq!(net.handled_total() + refused, sent, "seed {seed}");
    }
}

#[test]
fn a_component_of_which_there_is_to_be_one_spills_nothing() {
    let mut net = Network::new(1, ComponentKind::Single, &bursts);
    net.run(START + Duration::from_secs(20));
    assert_eq!(net.spilled(0), 0);
    assert!(net.ends.refused.get() > 0);
    assert_eq!(
        net.handled_total() + net.ends.refused.get(),
        net.ends.sent.get()
    );
    let handled = net.handled.borrow();
    assert!(handled.keys().all(|node| *node == NODES[0]), "{handled:?}");
}

#[test]
fn casts_that_are_passed_on_are_reported_when_who_has_them_dies() {
    for seed in 1..=20 {
        let mut net = Network::new(seed, ComponentKind::Stateless, &bursts);
        net.run(START + Duration::from_millis(400 + 37 * seed));
        for name in ["n1", "n2"] {
            let node = net.cluster.world().node(name).expect("it was added");
            net.cluster.world_mut().crash(node);
            // What it had is known to be lost when it is there again.
            net.run(Duration::from_millis(200));
            net.cluster.world_mut().restart(node);
        }
        net.run(Duration::from_secs(40));
        let ends = &net.ends;
        let lost = ends.otherwise.borrow().len() as u64;
        let told = ends.refused.get() + lost;
        // One that was handled, and whose node died before it said so, is told of as well.
        assert!(
            net.handled_total() + told >= ends.sent.get(),
            "seed {seed}: something is lost silently"
        );
        assert!(lost > 0, "seed {seed}: nobody had anything");
    }
}

/// Handles nothing for a second, then each message at once.
fn stuck(overflow: Option<Overflow>) -> ComponentDef {
    let stuck = component("stuck", || {
        let mut first = true;
        move |cx: &mut Context, _: Message| {
            if std::mem::take(&mut first) {
                cx.sleep(Duration::from_secs(1))?;
            }
            Ok(Reply::Empty)
        }
    });
    stuck.limits(InstanceLimits {
        queue_messages: 2,
        overflow,
        ..InstanceLimits::default()
    })
}

/// Returns how the last of five messages of a flow ended: a call, and how many of five casts came back.
fn ended(
    component: Option<Overflow>,
    configure: impl Fn(&mut ContainerConfig) + 'static,
) -> (Option<Said>, u64) {
    let outcome: Rc<RefCell<(Option<Said>, u64)>> = Rc::default();
    let slot = outcome.clone();
    let source = hooked("source", move || {
        let (slot, back) = (slot.clone(), slot.clone());
        Hooks::new(|_, _| Ok(Reply::Empty))
            .start(move |cx, _| {
                let request = || text("stuck", "Do", "").with_flow("checkout");
                let first = cx.start_call(request());
                cx.sleep(Duration::from_millis(20))?;
                for _ in 0..5 {
                    cx.cast(request())?;
                }
                cx.sleep(Duration::from_millis(20))?;
                slot.borrow_mut().0 = cx.call(request()).err().map(|error| said(&error));
                cx.wait(first).map(drop).map_err(Into::into)
            })
            .undelivered(move |_, _| back.borrow_mut().1 += 1)
    });
    let mut net = SimNet::new(1);
    net.start(vec![
        NodeSpec::new("one", vec![stuck(component)]).configure(move |config| {
            config.limits.queue_messages = 6;
            config.limits.guaranteed_messages = 1;
            configure(config);
        }),
        NodeSpec::new("two", vec![source]),
    ]);
    net.world().run_for(Duration::from_secs(10));
    outcome.take()
}

#[test]
fn flow_component_app_and_network_say_what_becomes_of_it_in_this_order() {
    use Overflow::{Bounce, Drop, Queue, Spill};
    let refused = Some(expected("instance.queue_messages", 2, 2, "test/stuck"));
    let bounced = (refused.clone(), 3);
    // Nobody else runs it: what would be spilled bounces.
    let dropped = (refused, 0);
    let queued = (None, 0);
    let table = [
        ((None, None, None, None), bounced.clone()),
        ((None, None, None, Some(Bounce)), bounced.clone()),
        ((None, None, None, Some(Drop)), dropped.clone()),
        ((None, None, Some(Queue), Some(Drop)), queued.clone()),
        ((None, Some(Drop), Some(Queue), Some(Bounce)), dropped),
        ((Some(Queue), Some(Drop), Some(Bounce), Some(Spill)), queued),
        (
            (Some(Spill), Some(Drop), Some(Queue), None),
            bounced.clone(),
        ),
        ((Some(Bounce), Some(Drop), Some(Queue), None), bounced),
    ];
    for (number, ((flow, component, app, network), expected)) in table.into_iter().enumerate() {
        let got = ended(component, move |config| {
            let overflow = &mut config.overflow;
            overflow.flows = flow.map(|it| ("checkout".into(), it)).into_iter().collect();
            (overflow.app, overflow.network) = (app, network);
        });
        assert_eq!(got, expected, "row {number}");
    }
}

#[test]
fn what_queues_beyond_its_instance_is_refused_by_its_node() {
    let got = ended(Some(Overflow::Queue), |config| {
        config.limits.queue_messages = 4
    });
    let refused = Some(expected("node.queue_messages", 4, 4, "one"));
    assert_eq!(got, (refused, 1));
}
