//! Everything that can go wrong, at random: the contract holds, and after it all things work again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use monofil_inproc::{
    Fault, Latency, LinkModel, NodeKey, NodeSpec, World, WorldConfig, application_endpoint,
};
use monofil_transport::{ConnectionId, Event, Inbox, Plane, Route, SendError, Stream, Transport};

const NODES: usize = 4;
const FRAMES_MAX: u32 = 4;

fn name(node: usize) -> String {
    format!("node {node}")
}

/// What a sender writes into a frame.
fn frame(node: usize, incarnation: u64, lane: u64, number: u64) -> Bytes {
    Bytes::from(format!("{node}/{incarnation}/{lane} {number}"))
}

/// Four bare nodes, what each opened, and what each heard.
struct Storm {
    world: World,
    stream: Stream,
    keys: Vec<NodeKey>,
    /// For each node, its connections: where to, and whether it believes it is up.
    opened: Vec<BTreeMap<ConnectionId, bool>>,
    /// For each node, its connections that met `Full` and were not told yet that there is room.
    full: Vec<BTreeSet<ConnectionId>>,
    /// For each node, the ways back that it knows.
    ways: Vec<Vec<Route>>,
    /// The last number heard, for each listener and sender's lane.
    heard: BTreeMap<(usize, String), u64>,
    /// The last number sent.
    number: u64,
}

impl Storm {
    fn new(seed: u64) -> Self {
        let mut world = World::new(WorldConfig {
            link: LinkModel {
                frames_max: FRAMES_MAX,
                ..LinkModel::with_latency(Latency::Uniform {
                    min: Duration::ZERO,
                    max: Duration::from_millis(20),
                })
            },
            silence_max: Duration::from_millis(300),
            reconnect_max: Duration::from_millis(400),
            ..WorldConfig::with_seed(seed)
        });
        let keys = (0..NODES)
            .map(|node| world.add_bare_node(NodeSpec::new(name(node))).unwrap())
            .collect();
        Self {
            world,
            stream: Stream::new(seed, "storm"),
            keys,
            opened: vec![BTreeMap::new(); NODES],
            full: vec![BTreeSet::new(); NODES],
            ways: vec![Vec::new(); NODES],
            heard: BTreeMap::new(),
            number: 0,
        }
    }

    fn pick(&mut self) -> usize {
        self.stream.below(NODES as u64) as usize
    }

    fn forget(&mut self, node: usize) {
        self.opened[node].clear();
        self.full[node].clear();
        self.ways[node].clear();
    }

    /// Does one thing that an application or fate may do.
    fn act(&mut self) {
        let (one, other) = (self.pick(), self.pick());
        let (key, peer) = (self.keys[one], self.keys[other]);
        match self.stream.below(200) {
            0 => {
                self.world.crash(key);
                self.forget(one);
            }
            1 => {
                self.world.vanish(key);
                self.forget(one);
            }
            2..=8 if !self.world.is_up(key) => {
                self.world.restart(key);
                self.forget(one);
            }
            9..=12 => self.world.disconnect(key, peer),
            13 => self.world.apply(Fault::Cut {
                from: key,
                to: peer,
            }),
            14..=17 => self.world.apply(Fault::Heal {
                from: key,
                to: peer,
            }),
            18..=30 => self.connect(one, other),
            31 => {
                if let Some(id) = self.opened[one].keys().next().copied() {
                    self.world.io(key).disconnect(id);
                    self.opened[one].remove(&id);
                    self.full[one].remove(&id);
                }
            }
            32..=119 => self.send(one),
            120..=169 => self.receive(one),
            _ => {
                let pause = Duration::from_millis(self.stream.below(60));
                self.world.run_for(pause);
            }
        }
    }

    fn connect(&mut self, from: usize, to: usize) {
        if self.world.is_up(self.keys[from]) && self.opened[from].len() < 6 {
            let endpoint = application_endpoint(&name(to)).unwrap();
            let mut io = self.world.io(self.keys[from]);
            let id = io.connect(Plane::Application, &endpoint).unwrap();
            assert!(
                self.opened[from].insert(id, false).is_none(),
                "an id came twice"
            );
        }
    }

    /// Sends on all connections and ways back of a node.
    fn send(&mut self, from: usize) {
        let key = self.keys[from];
        let incarnation = self.world.incarnation(key);
        let connections: Vec<ConnectionId> = self.opened[from].keys().copied().collect();
        for id in connections {
            self.number += 1;
            let frame = frame(from, incarnation, id.0, self.number);
            let sent = self
                .world
                .io(key)
                .send(&Route::Connection(id), frame.clone());
            match sent {
                Ok(()) => {}
                Err(SendError::Full(back)) => {
                    assert_eq!(back, frame);
                    self.full[from].insert(id);
                }
                Err(error) => panic!("on an open connection: {error}"),
            }
        }
        for (lane, route) in self.ways[from].clone().into_iter().enumerate() {
            self.number += 1;
            let frame = frame(from, incarnation, lane as u64 + (1 << 63), self.number);
            if let Err(error) = self.world.io(key).send(&route, frame.clone()) {
                assert_eq!(error.into_frame(), frame);
            }
        }
    }

    /// Lets a node receive, and checks what it hears.
    fn receive(&mut self, node: usize) {
        let mut inbox = Inbox::new();
        self.world.io(self.keys[node]).receive(&mut inbox);
        while let Some(event) = inbox.pop() {
            match event {
                Event::Frame { from, frame, .. } => {
                    let text = std::str::from_utf8(&frame).unwrap();
                    let (lane, number) = text.split_once(' ').unwrap();
                    let number: u64 = number.parse().unwrap();
                    let last = self.heard.insert((node, lane.to_owned()), number);
                    assert!(last < Some(number), "after {last:?} came {text}");
                    let ways = &mut self.ways[node];
                    if !ways.contains(&from) && ways.len() < 6 && matches!(from, Route::Return(..))
                    {
                        ways.push(from);
                    }
                }
                Event::PeerConnected(id) => {
                    let was = self.opened[node].insert(id, true);
                    assert_eq!(was, Some(false), "connected only when it was not");
                }
                Event::PeerGone(id) => {
                    let was = self.opened[node].insert(id, false);
                    assert_eq!(was, Some(true), "gone only when it was connected");
                }
                // One that was on its way when the connection filled again says nothing new.
                Event::Writable(id) => {
                    assert!(self.opened[node].contains_key(&id));
                    self.full[node].remove(&id);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// Ends all faults; in the end every connection carries frames again.
    fn calm(&mut self) {
        for one in 0..NODES {
            for other in 0..NODES {
                self.world.heal(self.keys[one], self.keys[other]);
            }
            if !self.world.is_up(self.keys[one]) {
                self.world.restart(self.keys[one]);
                self.forget(one);
            }
        }
        for _ in 0..20 {
            self.world.run_for(Duration::from_millis(100));
            (0..NODES).for_each(|node| self.receive(node));
        }
        for node in 0..NODES {
            self.ways[node].clear();
            let up = &self.opened[node];
            assert!(up.values().all(|up| *up), "{node}: {up:?}");
            assert!(self.full[node].is_empty(), "{node} was never told of room");
        }
        // All of every connection's room is there again.
        for _ in 0..FRAMES_MAX {
            (0..NODES).for_each(|node| self.send(node));
        }
        assert!(self.full.iter().all(BTreeSet::is_empty), "{:?}", self.full);
        let last = self.number - self.opened.iter().map(BTreeMap::len).sum::<usize>() as u64;
        self.world.run_for(Duration::from_millis(100));
        (0..NODES).for_each(|node| self.receive(node));
        let arrived = self.heard.values().filter(|number| **number > last).count();
        assert_eq!(arrived as u64, self.number - last);
    }
}

#[test]
fn the_contract_holds_in_a_storm_and_all_is_well_after_it() {
    for seed in 0..300 {
        let outcome = std::panic::catch_unwind(|| {
            let mut storm = Storm::new(seed);
            for _ in 0..1_000 {
                storm.act();
            }
            storm.calm();
            storm.world.trace_hash()
        });
        assert!(outcome.is_ok(), "seed {seed}");
    }
}
