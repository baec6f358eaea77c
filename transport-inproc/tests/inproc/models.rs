//! What links, threads and clocks can be like.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use monofil_inproc::{
    Bandwidth, Bursts, Fault, FrameOnTheWay, Latency, LinkModel, NodeKey, NodeSpec, Stalls, World,
    WorldConfig,
};
use monofil_transport::{Datagrams, Instant, Io, Next, Probability, Transport};

use crate::nodes::{Answering, Listener, Log, Talker, lines};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn at(millis: u64) -> Instant {
    Instant::ZERO + ms(millis)
}

/// A listener that got datagrams of ten bytes, all sent at once, along a link; and the world then.
fn datagrams(model: LinkModel, count: u32) -> (World, Log) {
    let mut world = World::new(WorldConfig {
        link: model,
        ..WorldConfig::with_seed(3)
    });
    let log = Log::default();
    let listener = log.clone();
    let there = world.add_node(NodeSpec::new("listener"), move |_| {
        Box::new(Listener::new(&listener))
    });
    let here = world.add_bare_node(NodeSpec::new("sender")).unwrap();
    let address = world.io(there.unwrap()).local().datagram.unwrap();
    for number in 0..count {
        let payload = format!("{number:010}");
        let sent = world.io(here).send_datagram(address, payload.as_bytes());
        sent.unwrap();
    }
    world.run_until(at(60_000));
    (world, log)
}

/// A talker that sends `count` frames at once to a listener, and when each arrived.
fn frames(model: LinkModel, count: u32, prepare: impl FnOnce(&mut World)) -> Vec<Instant> {
    let mut world = World::new(WorldConfig {
        link: model,
        ..WorldConfig::with_seed(3)
    });
    let log = Log::default();
    let (heard, quiet) = (log.clone(), Log::default());
    world
        .add_node(NodeSpec::new("listener"), move |_| {
            Box::new(Listener::new(&heard))
        })
        .unwrap();
    world
        .add_node(NodeSpec::new("talker"), move |_| {
            Box::new(Talker::new("listener", &quiet, Duration::ZERO, count))
        })
        .unwrap();
    prepare(&mut world);
    world.run_until(at(60_000));
    log.take().into_iter().map(|(time, _)| time).collect()
}

#[test]
fn bursts_lose_neighbours() {
    let (_, log) = datagrams(
        LinkModel {
            datagram_bursts: Some(Bursts {
                begin: Probability::percent(1),
                end: Probability::percent(10),
                loss: Probability::ALWAYS,
            }),
            ..LinkModel::default()
        },
        1_000,
    );
    let arrived: Vec<u32> = lines(&log)
        .iter()
        .map(|line| line.trim_start_matches("datagram ").parse().unwrap())
        .collect();
    let lost = 1_000 - arrived.len();
    let bursts = arrived.windows(2).filter(|two| two[1] > two[0] + 1).count();
    assert!((30..200).contains(&lost), "{lost}");
    // Lost one by one there would be nearly as many gaps as losses.
    assert!(bursts > 0 && lost > 4 * bursts, "{lost} in {bursts}");
}

#[test]
fn what_does_not_fit_a_link_s_queue_is_lost_and_the_rest_takes_its_time() {
    let (world, log) = datagrams(
        LinkModel {
            bandwidth: Some(Bandwidth {
                bytes_per_second: 1_000,
                queue_bytes: 50,
            }),
            ..LinkModel::with_latency(Latency::Constant(ms(5)))
        },
        100,
    );
    let times: Vec<_> = log.borrow().iter().map(|(time, _)| *time).collect();
    // Ten bytes are ten milliseconds.
    let expected: Vec<_> = (1..=6).map(|number| at(number * 10 + 5)).collect();
    assert_eq!(times, expected);
    assert_eq!(world.stats().datagrams_lost, 94);
}

#[test]
fn frames_share_a_link_s_bandwidth_and_none_is_lost() {
    let model = LinkModel {
        bandwidth: Some(Bandwidth {
            bytes_per_second: 100,
            queue_bytes: 0,
        }),
        ..LinkModel::default()
    };
    // One digit each.
    let expected: Vec<_> = (1..=10).map(|number| at(number * 10)).collect();
    assert_eq!(frames(model, 10, |_| {}), expected);
}

#[test]
fn a_stalled_frame_holds_up_those_behind_it() {
    let model = LinkModel {
        frame_stalls: Some(Stalls {
            probability: Probability::percent(10),
            duration: ms(200),
        }),
        ..LinkModel::default()
    };
    let times = frames(model, 30, |_| {});
    let behind = times.iter().position(|time| *time == at(200)).unwrap();
    assert!((1..30).contains(&behind), "{times:?}");
    assert!(times[..behind].iter().all(|time| *time == at(0)));
    assert_eq!(times[behind..], vec![at(200); 30 - behind]);
}

#[test]
fn held_back_datagrams_are_overtaken_and_turned_bits_are_counted() {
    let (_, log) = datagrams(
        LinkModel {
            datagram_reordering: Probability::percent(10),
            datagram_reordering_max: ms(3),
            ..LinkModel::default()
        },
        200,
    );
    let arrived = lines(&log);
    assert_eq!(arrived.len(), 200);
    assert!(!arrived.is_sorted());
    let (_, log) = datagrams(
        LinkModel {
            datagram_corruption: Probability::percent(10),
            ..LinkModel::default()
        },
        200,
    );
    let wrong = lines(&log)
        .iter()
        .enumerate()
        .filter(|(number, line)| **line != format!("datagram {number:010}"))
        .count();
    assert!((8..40).contains(&wrong), "{wrong}");
}

#[test]
fn a_clogged_link_holds_everything_up_and_loses_nothing() {
    let times = frames(
        LinkModel::with_latency(Latency::Constant(ms(1))),
        5,
        |world| {
            let [listener, talker] = ["listener", "talker"].map(|name| world.node(name).unwrap());
            world.run_until(at(1));
            world.apply(Fault::Clog {
                from: talker,
                to: listener,
                duration: ms(100),
            });
        },
    );
    assert_eq!(times, [at(101); 5]);
}

/// A world with one node that notes its own time at each of its turns, a millisecond apart by its own clock.
fn ticking(prepare: impl FnOnce(&mut World, NodeKey)) -> Vec<(u64, u64, u64)> {
    let mut world = World::new(WorldConfig::with_seed(1));
    let seen: Rc<RefCell<Vec<_>>> = Rc::default();
    let turns = seen.clone();
    let node = world.add_node(NodeSpec::new("clock"), move |_| {
        let turns = turns.clone();
        Box::new(Answering(move |io: &mut dyn Io| {
            let now = io.now();
            let wall = io.wall_micros();
            turns.borrow_mut().push((now.as_nanos(), wall));
            Next::At(now + ms(1))
        }))
    });
    prepare(&mut world, node.unwrap());
    let mut times = Vec::new();
    while times.len() < 5 {
        world.step();
        let turned = seen.borrow().len();
        if turned > times.len() {
            let (local, wall) = seen.borrow()[turned - 1];
            let start = WorldConfig::default().wall_start_micros;
            let micros = world.now().as_nanos() / 1_000;
            times.push((micros, local / 1_000, wall - start));
        }
    }
    times
}

#[test]
fn a_clock_that_runs_fast_wakes_its_node_early() {
    let times = ticking(|world, node| world.apply(Fault::Drift(node, 1_000_000)));
    assert_eq!(times[4], (2_000, 4_000, 4_000));
    let times = ticking(|world, node| world.apply(Fault::Drift(node, -500_000)));
    assert_eq!(times[4], (8_000, 4_000, 4_000));
}

#[test]
fn only_the_wall_clock_jumps() {
    let times = ticking(|world, node| {
        world.apply(Fault::StepWallClock(node, 1_000_000));
        world.apply_at(at(2), Fault::StepWallClock(node, -999_000));
    });
    assert_eq!(times[1], (1_000, 1_000, 1_001_000));
    assert_eq!(times[4], (4_000, 4_000, 5_000));
}

#[test]
fn a_slow_node_does_nothing_else_meanwhile_and_what_it_sends_leaves_late() {
    let times = ticking(|world, node| world.apply(Fault::Slow(node, ms(10))));
    // It reads its clock when it has done its work, and asks for a millisecond later, when it is still there.
    assert_eq!(times[0], (0, 10_000, 10_000));
    assert_eq!(times[1].0, 11_000);
    let model = LinkModel::with_latency(Latency::Constant(ms(1)));
    let times = frames(model, 1, |world| {
        let talker = world.node("talker").unwrap();
        world.apply(Fault::Slow(talker, ms(50)));
    });
    // Its system has shaken hands meanwhile.
    assert_eq!(times, [at(51)]);
}

#[test]
fn time_that_a_turn_spends_passes_for_its_node() {
    let times = ticking(|world, _| {
        let thread = world.thread_time();
        world.at(at(2), move |_| thread.spend(ms(7)));
    });
    // What was spent outside of a turn concerns nobody.
    assert_eq!(times[4].0, 4_000);
}

#[test]
fn a_schedule_decides_what_comes_first() {
    let model = LinkModel::with_latency(Latency::Constant(ms(1)));
    let seen: Rc<RefCell<Vec<_>>> = Rc::default();
    let frames_seen = seen.clone();
    let times = frames(model, 3, move |world| {
        world.schedule(move |frame: &FrameOnTheWay| {
            frames_seen.borrow_mut().push((frame.number, frame.latency));
            match frame.number {
                2 => ms(30),
                _ => frame.latency,
            }
        });
    });
    assert_eq!(times, [at(3), at(32), at(32)]);
    assert_eq!(seen.take(), [(1, ms(1)), (2, ms(1)), (3, ms(1))]);
}
