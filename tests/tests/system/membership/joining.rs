//! Coming, leaving, and coming again.

use std::time::Duration;

use monofil_container::{Counter, MemberState};
use monofil_tests::seeds as test_seeds;
use monofil_transport::Shutdown;
use monofil_transport::Stream;

use crate::village::{SECOND, Village, id, seeds};

#[test]
fn nodes_join_in_any_order_through_one_seed() {
    for seed in test_seeds(20) {
        let mut random = Stream::new(seed, "order");
        let mut village = Village::new(seed);
        let mut order: Vec<usize> = (0..12).collect();
        random.shuffle(&mut order);
        let mut nodes = Vec::new();
        for number in order {
            // The seed may be the last to come.
            nodes.push(village.join(&format!("n{number}"), &seeds(&["n0"]), Vec::new()));
            village.run(random.between(Duration::ZERO, Duration::from_millis(700)));
        }
        let soon = SECOND * 3;
        village.wait_until(soon, &format!("all are there, seed {seed}"), |village| {
            village.is_whole(&nodes)
        });
    }
}

#[test]
fn a_seed_need_not_stay() {
    let mut village = Village::new(1);
    let both = seeds(&["n0", "n1"]);
    let mut nodes: Vec<_> = (0..5)
        .map(|number| village.join(&format!("n{number}"), &both, Vec::new()))
        .collect();
    village.wait_until(SECOND * 5, "five are there", |village| {
        village.is_whole(&nodes)
    });
    village.world().crash(nodes[0]);
    nodes.remove(0);
    nodes.push(village.join("n5", &both, Vec::new()));
    village.wait_until(
        SECOND * 15,
        "the sixth is there, the first gone",
        |village| village.is_whole(&nodes),
    );
}

#[test]
fn who_leaves_is_gone_at_once() {
    let mut village = Village::new(1);
    let nodes = village.settle(8);
    village.world().shutdown(nodes[3], Shutdown::Drain);
    let rest: Vec<_> = nodes.iter().copied().filter(|it| *it != nodes[3]).collect();
    let took = village.wait_until(SECOND * 3, "it is gone", |village| village.is_whole(&rest));
    assert!(took < SECOND * 2, "{took:?}");
}

#[test]
fn a_node_that_begins_anew_takes_the_place_of_its_earlier_life() {
    for seed in test_seeds(20) {
        let mut village = Village::new(seed);
        let nodes = village.settle(6);
        // Before anybody notices, and after everybody has.
        for pause in [Duration::from_millis(200), SECOND * 20] {
            let before = village
                .view(nodes[0], "n4")
                .expect("it was there")
                .incarnation;
            village.world().crash(nodes[4]);
            village.run(pause);
            village.world().restart(nodes[4]);
            village.wait_until(SECOND * 5, &format!("it is back, seed {seed}"), |village| {
                village.is_whole(&nodes)
                    && nodes.iter().filter(|it| **it != nodes[4]).all(|it| {
                        village.view(*it, "n4").expect("it was there").incarnation == before + 1
                    })
            });
        }
    }
}

#[test]
fn a_seed_may_begin_anew_when_nobody_else_is_its_seed() {
    let mut village = Village::new(1);
    let nodes = village.settle(4);
    // It knows of nobody, and its only seed is itself: the others find it.
    village.world().crash(nodes[0]);
    village.run(SECOND * 20);
    village.world().restart(nodes[0]);
    village.wait_until(SECOND * 130, "the seed is back", |village| {
        village.is_whole(&nodes)
    });
}

#[test]
fn two_networks_with_one_seed_address_stay_two() {
    for (ours, theirs) in [("blue", "red"), ("blue", ""), ("", "red")] {
        let mut village = Village::new(1);
        let mut join = |name: &str, network: &'static str| {
            village.join_as(name, &seeds(&["b0"]), Vec::new(), move |config| {
                network.clone_into(&mut config.network);
            })
        };
        let blue: Vec<_> = ["b0", "b1", "b2"].map(|name| join(name, ours)).into();
        let red: Vec<_> = ["r0", "r1"].map(|name| join(name, theirs)).into();
        village.wait_until(SECOND * 3, "blue is whole", |village| {
            village.is_whole(&blue)
        });
        village.run(SECOND * 120);
        assert!(village.is_whole(&blue), "{ours:?} {theirs:?}");
        for node in red {
            assert!(village.up(node).is_empty(), "{ours:?} {theirs:?}");
        }
    }
}

#[test]
fn a_node_held_to_be_down_that_is_heard_is_said_to_be_unreachable() {
    let mut village = Village::new(1);
    let nodes = village.settle(5);
    for other in &nodes[..4] {
        village.world().apply(monofil_inproc::Fault::Cut {
            from: *other,
            to: nodes[4],
        });
    }
    village.wait_until(SECOND * 30, "that is seen", |village| {
        village.state(nodes[0], "n4") == Some(MemberState::Unreachable)
    });
}

#[test]
fn an_earlier_life_that_still_runs_is_not_heard() {
    let mut village = Village::new(1);
    let nodes = village.settle(3);
    // Two nodes with one identity, of which one began later.
    let twin = village.join_as("twin", &seeds(&["n0"]), Vec::new(), |config| {
        config.node = id("n2");
        config.incarnation = 7;
    });
    village.run(SECOND * 30);
    let seen = village.view(nodes[0], "n2").expect("it is there");
    assert_eq!((seen.incarnation, seen.state), (7, MemberState::Up));
    let sent = village.counter(nodes[2], Counter::MembershipSent);
    village.run(SECOND * 30);
    // The earlier one has understood, and is quiet.
    assert_eq!(village.counter(nodes[2], Counter::MembershipSent), sent);
    assert!(village.up(twin).contains(&id("n0")));
}
