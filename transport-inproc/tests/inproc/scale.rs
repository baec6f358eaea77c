//! Many nodes, many frames.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use monofil_inproc::{Latency, LinkModel, NodeSpec, World, WorldConfig, application_endpoint};
use monofil_transport::{ConnectionId, Event, Inbox, Instant, Io, Next, Node, Plane, Route};

/// Keeps a number of frames on their way to its neighbour, which sends each back.
pub(crate) struct Bouncer {
    neighbour: String,
    in_flight: u32,
    connection: Option<ConnectionId>,
    inbox: Inbox,
    received: Rc<Cell<u64>>,
}

impl Node for Bouncer {
    fn turn(&mut self, io: &mut dyn Io) -> Next {
        if self.connection.is_none() {
            let endpoint = application_endpoint(&self.neighbour).unwrap();
            let connection = io.connect(Plane::Application, &endpoint).unwrap();
            self.connection = Some(connection);
            for _ in 0..self.in_flight {
                let frame = Bytes::from_static(&[7; 64]);
                io.send(&Route::Connection(connection), frame).unwrap();
            }
        }
        io.receive(&mut self.inbox);
        while let Some(event) = self.inbox.pop() {
            if let Event::Frame { from, frame, .. } = event {
                self.received.set(self.received.get() + 1);
                io.send(&from, frame).unwrap();
            }
        }
        Next::Idle
    }
}

/// A ring of nodes, each with so many frames going to and fro to the next one.
fn ring(nodes: usize, in_flight: u32, latency: Latency) -> (World, Rc<Cell<u64>>) {
    let mut world = World::new(WorldConfig {
        link: LinkModel {
            frames_max: in_flight,
            ..LinkModel::with_latency(latency)
        },
        ..WorldConfig::with_seed(1)
    });
    let received = Rc::new(Cell::new(0));
    for number in 0..nodes {
        let count = received.clone();
        world
            .add_node(NodeSpec::new(number.to_string()), move |_| {
                Box::new(Bouncer {
                    neighbour: ((number + 1) % nodes).to_string(),
                    in_flight,
                    connection: None,
                    inbox: Inbox::new(),
                    received: count.clone(),
                })
            })
            .unwrap();
    }
    (world, received)
}

#[test]
fn ten_thousand_nodes_talk() {
    let (mut world, received) = ring(10_000, 2, Latency::Constant(Duration::from_millis(1)));
    world.run_until(Instant::ZERO + Duration::from_millis(12));
    // The handshake takes two of them; 20,000 frames arrive each millisecond after that.
    assert_eq!(received.get(), 20_000 * 10);
    for node in 0..10_000 {
        let key = world.node(&node.to_string()).unwrap();
        assert_eq!(key.index(), node);
        assert!(world.is_up(key));
    }
}

#[test]
#[ignore = "a measurement: run it alone, in release mode, with --nocapture"]
#[expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "it measures real time"
)]
fn frames_per_second() {
    let ms = Duration::from_millis;
    let models = [
        ("constant 1 ms", Latency::Constant(ms(1))),
        (
            "uniform 1..2 ms",
            Latency::Uniform {
                min: ms(1),
                max: ms(2),
            },
        ),
        (
            "exponential 1+1 ms",
            Latency::Exponential {
                min: ms(1),
                mean: ms(1),
            },
        ),
        ("none", Latency::ZERO),
    ];
    for (nodes, in_flight) in [(5, 64), (100, 8), (1_000, 8), (10_000, 8)] {
        for (name, latency) in &models {
            let (mut world, received) = ring(nodes, in_flight, latency.clone());
            let start = std::time::Instant::now();
            while received.get() < 5_000_000 && world.step() {}
            let seconds = start.elapsed().as_secs_f64();
            let rate = received.get() as f64 / seconds / 1e6;
            println!("{nodes:>6} nodes x {in_flight:>2}, {name:<18} {rate:>6.2} M frames/s");
        }
    }
}
