//! Tables of members that are full.

use std::collections::BTreeSet;
use std::time::Duration;

use monofil_container::{Counter, MembershipConfig};
use monofil_inproc::NodeKey;
use monofil_tests::seeds as test_seeds;

use crate::village::{SECOND, Village, id, seeds};

/// Nine nodes fit.
fn of_eight_others() -> MembershipConfig {
    MembershipConfig {
        members_max: 8,
        ..seeds(&["n0"])
    }
}

fn join(village: &mut Village, numbers: impl IntoIterator<Item = usize>) -> Vec<NodeKey> {
    let numbers = numbers.into_iter();
    let join = |number| village.join(&format!("n{number}"), &of_eight_others(), Vec::new());
    numbers.map(join).collect()
}

fn without_room(village: &Village, nodes: &[NodeKey]) -> u64 {
    let counters = nodes
        .iter()
        .map(|it| village.counter(*it, Counter::MembersWithoutRoom));
    counters.sum()
}

#[test]
fn the_dead_give_way_to_the_living() {
    for seed in test_seeds(10) {
        let mut village = Village::new(seed);
        let mut nodes = join(&mut village, 0..9);
        village.wait_until(SECOND * 5, &format!("nine, seed {seed}"), |village| {
            village.is_whole(&nodes)
        });
        // Other nodes take their places, twice.
        for round in 0..2 {
            let gone = nodes.split_off(5);
            gone.iter().for_each(|it| village.world().vanish(*it));
            village.wait_until(SECOND * 30, &format!("five, seed {seed}"), |village| {
                village.is_whole(&nodes)
            });
            nodes.extend(join(&mut village, 9 + round * 4..13 + round * 4));
            village.wait_until(
                SECOND * 90,
                &format!("nine again, seed {seed}"),
                |village| village.is_whole(&nodes),
            );
        }
    }
}

#[test]
fn who_finds_no_room_does_no_harm_to_those_who_have_some() {
    for seed in test_seeds(10) {
        let mut village = Village::new(seed);
        let nodes = join(&mut village, 0..8);
        // The ninth has more room than the others, and lets two in of whom they hear by it.
        let more = MembershipConfig {
            members_max: 16,
            ..seeds(&["n0", "n8"])
        };
        let hosts = village.join("n8", &more, Vec::new());
        let whole = |village: &Village| {
            let all = (0..9).map(|number| id(&format!("n{number}")));
            let all: BTreeSet<_> = all.collect();
            nodes.iter().enumerate().all(|(number, node)| {
                let mut seen = village.up(*node);
                seen.insert(id(&format!("n{number}"))) && seen == all
            })
        };
        village.wait_until(SECOND * 5, &format!("nine, seed {seed}"), whole);
        assert_eq!(without_room(&village, &nodes), 0, "seed {seed}");
        let late = [9, 10].map(|number| village.join(&format!("n{number}"), &more, Vec::new()));
        village.wait_until(SECOND * 5, &format!("two more, seed {seed}"), |village| {
            village.up(hosts).len() == 10
        });
        for _ in 0..900 {
            village.run(Duration::from_millis(100));
            assert!(whole(&village), "seed {seed}");
            assert_eq!(village.up(hosts).len(), 10, "seed {seed}");
        }
        assert!(without_room(&village, &nodes) > 0, "seed {seed}");
        // Nor do they think that those who gave them no room are down.
        late.iter()
            .for_each(|it| assert_eq!(village.up(*it).len(), 10, "seed {seed}"));
    }
}
