//! Pauses, cuts and partitions.

use std::time::Duration;

use monofil_container::{Counter, MemberState};
use monofil_inproc::{Fault, NodeKey};
use monofil_tests::seeds as test_seeds;
use monofil_transport::Stream;

use crate::village::{SECOND, Village};

#[test]
fn a_node_that_was_stopped_comes_back_by_itself() {
    for seed in test_seeds(20) {
        let mut village = Village::new(seed);
        let nodes = village.settle(6);
        village.world().pause(nodes[5]);
        village.wait_until(
            SECOND * 20,
            &format!("it is down, seed {seed}"),
            |village| village.is_whole(&nodes[..5]),
        );
        village.world().resume(nodes[5]);
        let all = nodes.clone();
        village.wait_until(
            SECOND * 20,
            &format!("it is back, seed {seed}"),
            |village| village.is_whole(&all),
        );
        // A second is long enough to be suspect, and too short to be down.
        village.world().pause(nodes[4]);
        village.run(SECOND * 3);
        village.world().resume(nodes[4]);
        for _ in 0..100 {
            village.run(Duration::from_millis(100));
            assert!(village.is_whole(&all), "seed {seed}");
        }
        let ended = nodes
            .iter()
            .map(|it| village.counter(*it, Counter::LinksEnded));
        assert_eq!(ended.sum::<u64>(), 0, "seed {seed}");
    }
}

#[test]
fn who_was_cut_off_and_comes_back_is_never_said_to_be_unreachable() {
    for seed in test_seeds(10) {
        let mut village = Village::new(seed);
        let nodes = village.settle(5);
        let (rest, away) = (&nodes[..4], nodes[4]);
        part(&mut village, rest, &[away], true);
        village.run(SECOND * 20);
        part(&mut village, rest, &[away], false);
        village.wait_until(
            SECOND * 30,
            &format!("it is back, seed {seed}"),
            |village| {
                for (one, name) in rest.iter().map(|it| (*it, "n4")).chain([(away, "n0")]) {
                    let state = village.state(one, name);
                    assert_ne!(state, Some(MemberState::Unreachable), "seed {seed}");
                }
                village.is_whole(&nodes)
            },
        );
    }
}

#[test]
fn a_way_that_is_cut_takes_nobody_out() {
    for seed in test_seeds(10) {
        let mut village = Village::new(seed);
        let nodes = village.settle(6);
        village.world().apply(Fault::Cut {
            from: nodes[0],
            to: nodes[1],
        });
        for _ in 0..600 {
            village.run(Duration::from_millis(100));
            assert!(village.is_whole(&nodes), "seed {seed}");
        }
    }
}

/// Cuts every way between two groups, or heals it.
fn part(village: &mut Village, one: &[NodeKey], other: &[NodeKey], cut: bool) {
    for a in one {
        for b in other {
            if cut {
                village.world().cut(*a, *b);
            } else {
                village.world().heal(*a, *b);
            }
        }
    }
}

#[test]
fn parts_of_a_network_find_together() {
    for seed in test_seeds(20) {
        let mut random = Stream::new(seed, "partition");
        let mut village = Village::new(seed);
        let mut nodes = village.settle(10);
        random.shuffle(&mut nodes);
        let at = 1 + usize::try_from(random.below(9)).expect("small");
        let (one, other) = nodes.split_at(at);
        part(&mut village, one, other, true);
        village.wait_until(
            SECOND * 60,
            &format!("there are two parts, seed {seed}"),
            |village| village.is_whole(one) && village.is_whole(other),
        );
        village.run(random.between(Duration::ZERO, SECOND * 90));
        part(&mut village, one, other, false);
        // Twice the interval at which members that are down are tried.
        village.wait_until(
            SECOND * 130,
            &format!("there is one, seed {seed}"),
            |village| village.is_whole(&nodes),
        );
    }
}

#[test]
fn lost_datagrams_take_nobody_out() {
    for seed in test_seeds(5) {
        let mut village = Village::new(seed);
        let nodes = village.settle(10);
        for a in &nodes {
            for b in &nodes {
                if a != b {
                    let mut model = monofil_inproc::LinkModel::with_latency(
                        monofil_inproc::Latency::Constant(Duration::from_millis(1)),
                    );
                    model.datagram_loss = monofil_transport::Probability::percent(20);
                    let (from, to) = (*a, *b);
                    village.world().apply(Fault::SetLink { from, to, model });
                }
            }
        }
        for _ in 0..600 {
            village.run(Duration::from_millis(200));
            for node in &nodes {
                let down = village.look(*node, |it| it.members());
                let down = down.iter().filter(|it| it.state == MemberState::Down);
                assert_eq!(down.count(), 0, "seed {seed}");
            }
        }
    }
}
