//! Tables of members and of peers that are full.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use monofil_container::{CallError, Caller, Context, Counter, MembershipConfig, Reply};
use monofil_inproc::NodeKey;
use monofil_tests::{Hooks, component, hooked, seeds as test_seeds, text};

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

/// Four peers fit.
#[test]
fn names_that_nobody_runs_give_way_to_members() {
    let mut village = Village::new(1);
    for (node, name) in [("n0", "one"), ("n1", "other")] {
        let component = component(name, || |_, _| Ok(Reply::Empty));
        village.join(node, &seeds(&["n0"]), vec![component]);
    }
    let done: Rc<Cell<bool>> = Rc::default();
    let slot = done.clone();
    let main = hooked("main", move || {
        let slot = slot.clone();
        Hooks::new(|_, _| Ok(Reply::Empty)).start(move |cx: &mut Context, _| {
            cx.sleep(SECOND * 3)?;
            let start = |cx: &mut Context, name: &str, seconds: u32| {
                cx.start_call(text(name, "Say", "").with_deadline(SECOND * seconds))
            };
            let is_nowhere = |ended: Result<_, CallError>| {
                matches!(ended, Err(CallError::Unreachable(text)) if text.contains("no member"))
            };
            // One after the other: each name but the last four has given way by the end.
            for number in 0..6 {
                let call = start(cx, &format!("test/nobody-{number}"), 1);
                assert!(is_nowhere(cx.wait(call).map(drop)), "{number}");
            }
            let call = start(cx, "test/one", 1);
            assert_eq!(cx.wait(call).map(drop), Ok(()));
            // Three names and a node are as many as fit.
            let mut waiting = Vec::new();
            for name in ["test/x", "test/y", "test/z"] {
                waiting.push(start(cx, name, 5));
                cx.sleep(Duration::from_millis(10))?;
            }
            let call = start(cx, "test/too-many", 1);
            let refused = cx.wait(call).map(drop);
            assert!(
                matches!(&refused, Err(CallError::Rejected(it)) if it.limit == "node.peers"),
                "{refused:?}"
            );
            let call = start(cx, "test/other", 1);
            assert_eq!(cx.wait(call).map(drop), Ok(()));
            let mut ends = waiting.into_iter().map(|call| cx.wait(call).map(drop));
            // The oldest of these.
            let x = ends.next().expect("there are three");
            let gave_way =
                |text: &str| text.contains("test/x") && text.contains("room was needed");
            assert!(
                matches!(&x, Err(CallError::Unreachable(text)) if gave_way(text)),
                "{x:?}"
            );
            let others: Vec<_> = ends.map(is_nowhere).collect();
            assert_eq!(others, [true, true]);
            slot.set(true);
            Ok(())
        })
    });
    village.join_as("caller", &seeds(&["n0"]), vec![main], |config| {
        config.limits.peers = 4;
    });
    village.run(SECOND * 20);
    assert!(done.get());
}
