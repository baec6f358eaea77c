//! Virtual time, latency, turns.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use monofil_inproc::{Latency, LinkModel, NodeSpec, Stop, World, WorldConfig};
use monofil_transport::{Datagrams, Instant, JobId, Next, OffloadJob, Probability, Shutdown};

use crate::nodes::{Answering, Listener, Log, Talker, Worker, lines};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn at(millis: u64) -> Instant {
    Instant::ZERO + ms(millis)
}

fn world_with(link: LinkModel) -> World {
    World::new(WorldConfig {
        link,
        ..WorldConfig::with_seed(3)
    })
}

#[test]
fn messages_in_flight_overlap() {
    let mut world = world_with(LinkModel {
        frames_max: 1_000,
        ..LinkModel::with_latency(Latency::Constant(ms(10)))
    });
    let log = Log::default();
    let listener = log.clone();
    world
        .add_node(NodeSpec::new("listener"), move |_| {
            Box::new(Listener::new(&listener))
        })
        .unwrap();
    let quiet = Log::default();
    world
        .add_node(NodeSpec::new("talker"), move |_| {
            Box::new(Talker::new("listener", &quiet, Duration::ZERO, 1_000))
        })
        .unwrap();
    assert_eq!(world.run_until_idle(at(1_000)), Stop::Idle);
    assert_eq!(log.borrow().len(), 1_000);
    // A round trip for the handshake and 10 ms for all of them, not 10 ms for each.
    assert_eq!(world.elapsed(), ms(30));
}

#[test]
fn frames_of_a_connection_keep_their_order_whatever_their_latency() {
    let mut world = world_with(LinkModel::with_latency(Latency::Uniform {
        min: Duration::ZERO,
        max: ms(20),
    }));
    let log = Log::default();
    let listener = log.clone();
    world
        .add_node(NodeSpec::new("listener"), move |_| {
            Box::new(Listener::new(&listener))
        })
        .unwrap();
    let quiet = Log::default();
    world
        .add_node(NodeSpec::new("talker"), move |_| {
            Box::new(Talker::new("listener", &quiet, ms(1), 500))
        })
        .unwrap();
    world.run_until(at(2_000));
    let numbers: Vec<String> = (0..500).map(|number| number.to_string()).collect();
    assert_eq!(lines(&log), numbers);
}

#[test]
fn datagrams_overtake_each_other_get_lost_and_come_twice() {
    let mut world = world_with(LinkModel {
        datagram_latency: Latency::Exponential {
            min: ms(1),
            mean: ms(5),
        },
        datagram_loss: Probability::percent(20),
        datagram_duplication: Probability::percent(10),
        ..LinkModel::default()
    });
    let log = Log::default();
    let listener = log.clone();
    let there = world
        .add_node(NodeSpec::new("listener"), move |_| {
            Box::new(Listener::new(&listener))
        })
        .unwrap();
    let here = world.add_bare_node(NodeSpec::new("sender")).unwrap();
    let address = monofil_transport::Transport::local(&world.io(there))
        .datagram
        .unwrap();
    for number in 0..1_000 {
        let payload = format!("{number:04}");
        world
            .io(here)
            .send_datagram(address, payload.as_bytes())
            .unwrap();
    }
    world.run_until(at(10_000));
    let arrived = lines(&log);
    let mut distinct = arrived.clone();
    assert!(!arrived.is_sorted());
    distinct.sort();
    distinct.dedup();
    assert!((740..860).contains(&distinct.len()), "{}", distinct.len());
    let twice = arrived.len() - distinct.len();
    assert!((50..130).contains(&twice), "{twice}");
    let stats = world.stats();
    assert_eq!(stats.datagrams_sent, 1_000);
    assert_eq!(stats.datagrams_lost as usize + distinct.len(), 1_000);
}

#[test]
fn a_node_turns_when_it_asked_to_and_stale_wake_ups_cost_no_time() {
    let mut world = World::new(WorldConfig::default());
    let turns = Rc::new(RefCell::new(Vec::new()));
    let seen = turns.clone();
    world
        .add_node(NodeSpec::new("sleeper"), move |_| {
            let seen = seen.clone();
            let mut wanted = [at(50), at(20), at(30)].into_iter();
            Box::new(Answering(move |io: &mut dyn monofil_transport::Io| {
                seen.borrow_mut().push(io.now());
                wanted.next().map_or(Next::Idle, Next::At)
            }))
        })
        .unwrap();
    let key = world.node("sleeper").unwrap();
    // Changes its mind at 10 ms: 20 ms instead of 50.
    world.at(at(10), move |world| world.shutdown(key, Shutdown::Drain));
    assert_eq!(world.run_until_idle(at(1_000)), Stop::Idle);
    assert_eq!(*turns.borrow(), [at(0), at(10), at(20), at(30)]);
    assert_eq!(world.now(), at(30));
}

#[test]
fn a_busy_node_lets_others_turn_at_the_same_time() {
    let mut world = World::new(WorldConfig {
        steps_per_instant_max: 1_000,
        ..WorldConfig::default()
    });
    let counts = [0; 3].map(|_| Rc::new(Cell::new(0)));
    for (index, count) in counts.iter().enumerate() {
        let count = count.clone();
        world
            .add_node(NodeSpec::new(index.to_string()), move |_| {
                let count = count.clone();
                Box::new(Answering(move |_: &mut dyn monofil_transport::Io| {
                    count.set(count.get() + 1);
                    Next::Now
                }))
            })
            .unwrap();
    }
    assert_eq!(world.run_until(at(1)), Stop::Stuck);
    assert_eq!(world.now(), at(0));
    for count in counts {
        assert!((332..=334).contains(&count.get()), "{}", count.get());
    }
}

#[test]
fn offloaded_jobs_take_their_modelled_time() {
    let mut world = World::new(WorldConfig::default());
    let log = Log::default();
    let written = log.clone();
    let worker = world
        .add_node(NodeSpec::new("worker"), move |_| {
            Box::new(Worker {
                log: written.clone(),
                jobs: vec![job(1, 5), job(2, 7)],
                inbox: Default::default(),
            })
        })
        .unwrap();
    assert_eq!(world.run_until_ended(at(1_000)), Stop::Reached);
    assert!(world.has_ended(worker));
    let log = log.borrow();
    let expected = [(at(7), "2: Some(\"done\")"), (at(12), "1: Some(\"done\")")];
    assert_eq!(*log, expected.map(|(at, line)| (at, line.to_owned())));
}

pub(crate) fn job(id: u64, millis: u64) -> OffloadJob {
    OffloadJob {
        id: JobId(id),
        work: Box::new(|| Box::new("done")),
        modelled: ms(millis),
    }
}

#[test]
fn hooks_run_at_their_time_in_order() {
    let mut world = World::new(WorldConfig::default());
    let order = Rc::new(RefCell::new(Vec::new()));
    for (name, millis) in [("c", 30), ("a", 10), ("b", 10)] {
        let order = order.clone();
        world.at(at(millis), move |world| {
            order.borrow_mut().push((name, world.now()))
        });
    }
    assert_eq!(world.run_for(ms(20)), Stop::Time);
    assert_eq!(world.now(), at(20));
    assert_eq!(*order.borrow(), [("a", at(10)), ("b", at(10))]);
    assert!(world.step());
    assert_eq!(world.now(), at(30));
    assert!(!world.step());
}
