//! Two whole containers in a world: link, queue and handler on both sides.

use std::time::Duration;

use bench_worker::{Job, Meter, number};
use monofil::{
    Caller, Component, ComponentSpec, Container, ContainerConfig, Context, HandlerError, Message,
    Name, NodeId, Payload, Reply, Request, StartReason, StaticDirectory, Status,
};
use monofil_inproc::{Latency, LinkModel, NodeSpec, World, WorldConfig, application_endpoint};

use crate::remote::Payloads;

/// Casts under way: what an instance queues unless it is told otherwise, less the calls among them.
const BURST: u64 = 512;
const BYTES: usize = 64;

pub(crate) fn run(job: &Job) -> ! {
    let mut world = World::new(WorldConfig {
        link: LinkModel::with_latency(Latency::Constant(Duration::from_millis(1))),
        ..WorldConfig::with_seed(1)
    });
    let (for_sink, there) = (
        job.clone(),
        application_endpoint("sink").expect("an endpoint"),
    );
    add(&mut world, "sink", StaticDirectory::new(), move || {
        let job = for_sink.clone();
        ComponentSpec::new("bench/sink", move || Sink(Meter::new(&job)))
    });
    let mut directory = StaticDirectory::new();
    directory.add("bench/sink", there, &[]);
    add(&mut world, "source", directory, || {
        ComponentSpec::new("bench/source", || Source {
            payloads: Payloads::of(BYTES),
            sink: "bench/sink".into(),
            method: "take".into(),
            next: 0,
        })
    });
    loop {
        world.run_for(Duration::from_secs(3600));
    }
}

fn add(
    world: &mut World,
    name: &'static str,
    directory: StaticDirectory,
    component: impl Fn() -> ComponentSpec + 'static,
) {
    let added = world.add_node(NodeSpec::new(name), move |start| {
        Box::new(Container::new(ContainerConfig {
            node: NodeId::derived(&["bench", name]),
            incarnation: start.incarnation,
            components: vec![component()],
            directory: Box::new(directory.clone()),
            ..ContainerConfig::new("bench", name)
        }))
    });
    added.expect("another name");
}

struct Sink(Meter);

impl Component for Sink {
    fn handle(&mut self, _: &mut Context, message: Message) -> Result<Reply, HandlerError> {
        self.0.take(number(&message.payload().to_bytes()));
        Ok(Reply::Empty)
    }
}

struct Source {
    payloads: Payloads,
    sink: Name,
    method: Name,
    next: u64,
}

impl Component for Source {
    /// Casts without an end. The last of each burst is a call, so that the sink's queue has room for the
    /// next one.
    fn start(&mut self, cx: &mut Context, _: StartReason) -> Result<(), Status> {
        loop {
            for _ in 1..BURST {
                let request = self.request();
                cx.cast(request).expect("there is room");
            }
            let last = self.request();
            cx.call(last).expect("an answer");
        }
    }

    fn handle(&mut self, _: &mut Context, _: Message) -> Result<Reply, HandlerError> {
        Ok(Reply::Empty)
    }
}

impl Source {
    fn request(&mut self) -> Request {
        let payload = Payload::bytes(self.payloads.make(self.next));
        self.next += 1;
        Request::new(&self.sink, &self.method, payload)
    }
}
