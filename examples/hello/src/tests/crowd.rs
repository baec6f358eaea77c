//! What ten thousand greeters take in one world, while each of them is being greeted.

use std::cell::Cell;
use std::fs;
use std::rc::Rc;
use std::time::Duration;

use monofil::prelude::*;
use monofil::sim::{Latency, LinkModel, NodeDef, Sim};
use monofil::{ComponentSpec, ContainerConfig};
use monofil_inproc::{NodeStart, WorldConfig};

use crate::Hello;
use crate::proto::hello::{GreeterClient, GreeterServer, HelloRequest};

const NODES: usize = 10_000;

/// All of it together takes less, handlers' stacks included.
const RESIDENT_MAX: usize = 4 << 30;

/// Greets its neighbour once, at its start.
struct Visitor {
    neighbour: String,
    counts: Rc<Counts>,
}

#[derive(Default)]
struct Counts {
    called: Cell<usize>,
    answered: Cell<usize>,
}

impl Component for Visitor {
    fn start(&mut self, cx: &mut Context, _: StartReason) -> Result<(), Status> {
        let name = "Ada".to_owned();
        self.counts.called.set(self.counts.called.get() + 1);
        let reply =
            GreeterClient::new(self.neighbour.as_str()).say_hello(cx, HelloRequest { name })?;
        assert_eq!(reply.text, "Hello, Ada!");
        self.counts.answered.set(self.counts.answered.get() + 1);
        Ok(())
    }

    fn handle(&mut self, _: &mut Context, message: Message) -> Result<Reply, HandlerError> {
        Err(HandlerError::Unimplemented(message.method().to_string()))
    }
}

/// Describes a node with a greeter and a visitor, which knows of its neighbour alone.
fn node(number: usize, counts: &Rc<Counts>) -> NodeDef {
    let [here, neighbour] = [number, number + 1].map(|it| format!("greeter-{}", it % NODES));
    let known = format!("hello/{neighbour}");
    let (name, counts) = (here.clone(), counts.clone());
    let configure = move |start: &NodeStart| {
        let (neighbour, counts) = (neighbour.clone(), counts.clone());
        let visitor = move || Visitor {
            neighbour: neighbour.clone(),
            counts: counts.clone(),
        };
        let mut config = ContainerConfig::new("hello", &*here);
        config.incarnation = start.incarnation;
        config.components = vec![
            ComponentSpec::new(&*here, || GreeterServer::new(Hello)),
            ComponentSpec::new("visitor", visitor),
        ];
        config
    };
    NodeDef::new(name.as_str(), configure)
        .place(format!("hello/{name}"), &[])
        .knows([known])
}

/// Returns the bytes of memory that this process has just now. That which is there for stacks is among it.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:"));
    let kib = line.and_then(|it| it.trim().strip_suffix(" kB")?.parse::<usize>().ok());
    kib.expect("a number of KiB") << 10
}

#[test]
fn ten_thousand_greeters_that_are_called_take_less_than_four_gigabytes() {
    let before = resident();
    let counts = Rc::new(Counts::default());
    let mut sim = Sim::with(
        "hello",
        WorldConfig {
            link: LinkModel::with_latency(Latency::Constant(Duration::from_millis(100))),
            ..WorldConfig::with_seed(1)
        },
    );
    for number in 0..NODES {
        sim.node(node(number, &counts));
    }
    let mut taken = None;
    for _ in 0..100 {
        sim.run_for(Duration::from_millis(20));
        // Each has a handler that waits, and so a stack.
        if (counts.called.get(), counts.answered.get()) == (NODES, 0) {
            let now = resident().saturating_sub(before);
            taken = taken.max(Some(now));
        }
    }
    assert_eq!(counts.answered.get(), NODES);
    let taken = taken.expect("all are called at the same time");
    println!(
        "{NODES} greeters and as many calls under way: {} MiB, {} bytes each",
        taken >> 20,
        taken / NODES
    );
    assert!(taken < RESIDENT_MAX, "{taken} bytes");
}
