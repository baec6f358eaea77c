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

/// More than one packet can name.
const MANY: usize = 40;

#[test]
fn who_was_alone_takes_nobody_out_when_it_comes_back() {
    for seed in test_seeds(2) {
        let mut village = Village::new(seed);
        let nodes = village.settle(MANY);
        let (rest, away) = (&nodes[..MANY - 1], nodes[MANY - 1]);
        part(&mut village, rest, &[away], true);
        village.wait_until(
            SECOND * 120,
            &format!("it is alone, seed {seed}"),
            |village| village.is_whole(rest) && village.is_whole(&[away]),
        );
        part(&mut village, rest, &[away], false);
        village.wait_until(
            SECOND * 20,
            &format!("it is back, seed {seed}"),
            |village| {
                for one in rest {
                    let there = village.up(*one).len();
                    assert!(there >= MANY - 2, "seed {seed}: one sees {there}");
                }
                village.is_whole(&nodes)
            },
        );
    }
}

#[test]
fn who_heard_nothing_for_a_while_takes_nobody_out() {
    for seed in test_seeds(20) {
        let mut village = Village::new(seed);
        let nodes = village.settle(20);
        let (deaf, rest) = (nodes[0], &nodes[1..]);
        // It suspects those who do not answer. They hear that, and what they say has been passed on often enough when
        // it hears again.
        let all_ways = |village: &mut Village, cut: bool| {
            for other in rest {
                let (from, to) = (*other, deaf);
                let fault = match cut {
                    true => Fault::Cut { from, to },
                    false => Fault::Heal { from, to },
                };
                village.world().apply(fault);
            }
        };
        all_ways(&mut village, true);
        village.run(SECOND * 4);
        all_ways(&mut village, false);
        for _ in 0..150 {
            village.run(Duration::from_millis(100));
            assert!(village.is_whole(&nodes), "seed {seed}");
        }
    }
}

/// How the ways between nodes are cut.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// Parts that do not reach each other.
    Parts(usize),
    /// Two parts, one of which does not reach the other, and is reached by it.
    OneWay,
    /// Two parts, and one node that is in both.
    Bridge,
    /// Each reaches its neighbours in a circle only.
    Circle,
    /// A third of all ways, each by itself.
    Holes,
}

impl Shape {
    const ALL: [Self; 7] = [
        Self::Parts(2),
        Self::Parts(3),
        Self::Parts(10),
        Self::OneWay,
        Self::Bridge,
        Self::Circle,
        Self::Holes,
    ];

    /// Tells whether the way between two of ten nodes is cut. The first `at` are the first part of two.
    fn cuts(self, from: usize, to: usize, at: usize, random: &mut Stream) -> bool {
        match self {
            Self::Parts(2) => (from < at) != (to < at),
            Self::Parts(parts) => from % parts != to % parts,
            Self::OneWay => from < at && to >= at,
            Self::Bridge => from != at && to != at && (from < at) != (to < at),
            Self::Circle => !matches!(from.abs_diff(to), 1 | 9),
            Self::Holes => random.below(3) == 0,
        }
    }
}

/// One after the other; `SEEDS=1000` tries so many of them in each shape.
#[test]
fn parts_of_a_network_find_together() {
    for seed in test_seeds(4) {
        for shape in Shape::ALL {
            let mut random = Stream::new(seed, "partition");
            let mut village = Village::new(seed);
            let mut nodes = village.settle(10);
            random.shuffle(&mut nodes);
            let at = 1 + usize::try_from(random.below(9)).expect("small");
            for (a, from) in nodes.iter().enumerate() {
                for (b, to) in nodes.iter().enumerate() {
                    if a != b && shape.cuts(a, b, at, &mut random) {
                        let (from, to) = (*from, *to);
                        village.world().apply(Fault::Cut { from, to });
                    }
                }
            }
            let what = |what: &str| format!("{what}: {shape:?} at {at}, seed {seed}");
            if let Shape::Parts(parts) = shape {
                let part = |number: usize| -> Vec<NodeKey> {
                    let all = nodes.iter().enumerate();
                    let of_it = all.filter(|(place, _)| match parts {
                        2 => usize::from(*place >= at) == number,
                        _ => place % parts == number,
                    });
                    of_it.map(|(_, node)| *node).collect()
                };
                let parts: Vec<_> = (0..parts).map(part).collect();
                village.wait_until(SECOND * 60, &what("there are parts"), |village| {
                    parts.iter().all(|part| village.is_whole(part))
                });
            }
            village.run(random.between(Duration::ZERO, SECOND * 90));
            village.world().heal_everything();
            // Twice the interval at which members that are down are tried.
            village.wait_until(SECOND * 130, &what("there is one network"), |village| {
                village.is_whole(&nodes)
            });
        }
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
