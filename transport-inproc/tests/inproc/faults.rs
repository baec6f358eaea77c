//! Crashes, restarts, cuts, pauses.

use std::time::Duration;

use monofil_inproc::{Fault, Latency, LinkModel, NodeKey, NodeSpec, Stop, World, WorldConfig};
use monofil_transport::{Instant, Shutdown};

use crate::nodes::{Listener, Log, Talker, lines};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn at(millis: u64) -> Instant {
    Instant::ZERO + ms(millis)
}

/// A talker that sends a number each 10 ms to a listener, 1 ms away.
struct Pair {
    world: World,
    talker: NodeKey,
    listener: NodeKey,
    said: Log,
    heard: Log,
}

fn pair() -> Pair {
    let mut world = World::new(WorldConfig {
        link: LinkModel::with_latency(Latency::Constant(ms(1))),
        ..WorldConfig::with_seed(5)
    });
    let (said, heard) = (Log::default(), Log::default());
    let log = heard.clone();
    let listener = world
        .add_node(NodeSpec::new("listener"), move |_| {
            Box::new(Listener::new(&log))
        })
        .unwrap();
    let log = said.clone();
    let talker = world
        .add_node(NodeSpec::new("talker"), move |_| {
            Box::new(Talker::new("listener", &log, ms(10), u32::MAX))
        })
        .unwrap();
    Pair {
        world,
        talker,
        listener,
        said,
        heard,
    }
}

#[test]
fn a_crashed_node_starts_again_with_a_higher_incarnation_and_is_met_again() {
    let mut pair = pair();
    pair.world.run_until(at(105));
    assert_eq!(pair.heard.borrow().len(), 11);
    pair.world.crash(pair.listener);
    assert!(!pair.world.is_up(pair.listener));
    pair.world.run_until(at(305));
    assert_eq!(lines(&pair.said), ["connected", "gone"]);
    assert_eq!(pair.said.borrow()[1].0, at(106), "its system tells at once");
    assert_eq!(pair.heard.borrow().len(), 11);
    pair.world.restart(pair.listener);
    assert_eq!(pair.world.incarnation(pair.listener), 2);
    pair.world.run_until(at(2_000));
    assert_eq!(lines(&pair.said), ["connected", "gone", "connected"]);
    let numbers: Vec<u32> = lines(&pair.heard)
        .iter()
        .map(|line| line.parse().unwrap())
        .collect();
    assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
    assert!(numbers.len() > 150, "{}", numbers.len());
}

#[test]
fn a_disconnect_loses_what_is_on_the_way_and_heals_by_itself() {
    let mut pair = pair();
    // Frame 5 leaves at 50 ms and is on the way.
    let (talker, listener) = (pair.talker, pair.listener);
    pair.world.apply_at(
        at(50) + Duration::from_micros(500),
        Fault::Disconnect(talker, listener),
    );
    pair.world.run_until(at(1_000));
    assert_eq!(lines(&pair.said), ["connected", "gone", "connected"]);
    let heard = lines(&pair.heard);
    assert_eq!(heard[..6], ["0", "1", "2", "3", "4", "6"]);
    assert_eq!(heard.len() as u64 + pair.world.stats().frames_lost, 100);
}

#[test]
fn who_is_connected_is_so_until_the_connection_breaks() {
    let mut pair = pair();
    let (talker, listener) = (pair.talker, pair.listener);
    assert!(!pair.world.are_connected(talker, listener));
    pair.world.run_until(at(50));
    assert!(pair.world.are_connected(talker, listener));
    assert!(pair.world.are_connected(listener, talker));
    pair.world.disconnect(talker, listener);
    assert!(!pair.world.are_connected(talker, listener));
}

#[test]
fn a_short_cut_only_delays_frames_and_a_long_one_breaks_the_connection() {
    let mut pair = pair();
    pair.world.run_until(at(95));
    pair.world.apply(Fault::Cut {
        from: pair.talker,
        to: pair.listener,
    });
    pair.world.run_until(at(195));
    assert_eq!(pair.heard.borrow().len(), 10);
    pair.world.apply(Fault::Heal {
        from: pair.talker,
        to: pair.listener,
    });
    pair.world.run_until(at(205));
    assert_eq!(pair.heard.borrow().len(), 21, "nothing was lost");
    assert_eq!(lines(&pair.said), ["connected"]);

    pair.world.apply(Fault::Cut {
        from: pair.listener,
        to: pair.talker,
    });
    pair.world.run_until(at(6_204));
    assert_eq!(lines(&pair.said), ["connected"]);
    pair.world.run_until(at(6_206));
    assert_eq!(lines(&pair.said), ["connected", "gone"]);
    pair.world.run_until(at(9_000));
    assert_eq!(lines(&pair.said), ["connected", "gone"]);
    pair.world.heal(pair.talker, pair.listener);
    pair.world.run_until(at(15_000));
    let said = lines(&pair.said);
    assert_eq!(said[..2], ["connected", "gone"]);
    assert!(said[2..].contains(&"connected".to_owned()), "{said:?}");
}

#[test]
fn full_connections_push_back_and_nothing_is_lost() {
    let mut pair = pair();
    pair.world.run_until(at(5));
    pair.world.pause(pair.listener);
    pair.world.run_until(at(2_000));
    // One was heard, 32 wait, and the talker stopped there.
    assert_eq!(pair.heard.borrow().len(), 1);
    assert_eq!(pair.world.stats().frames_sent, 33);
    pair.world.resume(pair.listener);
    pair.world.run_until(at(3_000));
    let said = lines(&pair.said);
    assert!(
        said.len() > 1 && said[1..].iter().all(|line| line == "writable"),
        "{said:?}"
    );
    let numbers: Vec<String> = (0..pair.heard.borrow().len())
        .map(|n| n.to_string())
        .collect();
    assert_eq!(lines(&pair.heard), numbers);
    assert_eq!(pair.world.stats().frames_lost, 0);
}

#[test]
fn of_what_a_killed_node_sent_only_the_first_few_arrive() {
    let mut counts = std::collections::BTreeSet::new();
    for seed in 0..40 {
        let mut world = World::new(WorldConfig {
            link: LinkModel::with_latency(Latency::Constant(ms(10))),
            ..WorldConfig::with_seed(seed)
        });
        let (said, heard) = (Log::default(), Log::default());
        let log = heard.clone();
        world
            .add_node(NodeSpec::new("listener"), move |_| {
                Box::new(Listener::new(&log))
            })
            .unwrap();
        let talker = world
            .add_node(NodeSpec::new("talker"), move |_| {
                Box::new(Talker::new("listener", &said, Duration::ZERO, 9))
            })
            .unwrap();
        // The handshake took 20 ms; all nine are on the way.
        world.apply_at(at(25), Fault::Crash(talker));
        world.run_until(at(100));
        let heard = lines(&heard);
        let first: Vec<String> = (0..heard.len()).map(|number| number.to_string()).collect();
        assert_eq!(heard, first);
        counts.insert(heard.len());
    }
    assert_eq!(counts.first(), Some(&0));
    assert_eq!(counts.last(), Some(&9));
}

#[test]
fn the_vanished_are_missed_only_after_silence() {
    let mut pair = pair();
    pair.world.run_until(at(100));
    pair.world.vanish(pair.listener);
    pair.world.run_until(at(6_099));
    assert_eq!(lines(&pair.said)[..1], ["connected"]);
    assert!(!lines(&pair.said).contains(&"gone".to_owned()));
    pair.world.run_until(at(6_101));
    assert!(lines(&pair.said).contains(&"gone".to_owned()));
}

#[test]
fn a_node_that_ends_delivers_what_it_sent() {
    let mut pair = pair();
    pair.world.run_until(at(50));
    pair.world.shutdown(pair.talker, Shutdown::Drain);
    pair.world.run_until(at(60));
    assert!(pair.world.has_ended(pair.talker));
    assert_eq!(lines(&pair.heard), ["0", "1", "2", "3", "4", "5"]);
    assert_eq!(pair.world.stats().frames_lost, 0);
    pair.world.shutdown_all(Shutdown::Now);
    assert_eq!(pair.world.run_until_ended(at(100)), Stop::Reached);
}

#[test]
fn connecting_to_a_node_that_comes_later_costs_nothing_meanwhile() {
    let mut world = World::new(WorldConfig::with_seed(1));
    let (said, heard) = (Log::default(), Log::default());
    let log = said.clone();
    world
        .add_node(NodeSpec::new("talker"), move |_| {
            Box::new(Talker::new("listener", &log, Duration::ZERO, 3))
        })
        .unwrap();
    assert_eq!(world.run_until_idle(at(1_000_000)), Stop::Idle);
    assert_eq!(world.now(), at(0));
    world.run_until(at(60_000));
    let log = heard.clone();
    world
        .add_node(NodeSpec::new("listener"), move |_| {
            Box::new(Listener::new(&log))
        })
        .unwrap();
    world.run_until(at(70_000));
    assert_eq!(lines(&heard), ["0", "1", "2"]);
}
