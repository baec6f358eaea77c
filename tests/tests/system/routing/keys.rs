use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use monofil_container::{Caller, ComponentKind, Context, MembershipConfig, Reply};
use monofil_tests::{Hooks, hooked, seeds as test_seeds};
use monofil_transport::Shutdown;

use super::{asked, echo, say};
use crate::village::{SECOND, Village, seeds};

const KEYS: u32 = 120;

/// Asks for the owner of each key, from a node that has not asked before.
fn owners(
    village: &mut Village,
    caller: &str,
    membership: &MembershipConfig,
) -> BTreeMap<u32, String> {
    village.perform(caller, membership, |cx: &mut Context| {
        cx.sleep(SECOND).expect("nobody ends it");
        let owner = |key: u32| {
            let request = say().with_key(key.to_be_bytes().to_vec());
            (key, asked(cx, request))
        };
        (0..KEYS).map(owner).collect()
    })
}

#[test]
fn only_what_must_move_moves() {
    for seed in test_seeds(5) {
        let mut village = Village::new(seed);
        let membership = seeds(&["n0"]);
        let names = ["n0", "n1", "n2", "n3", "n4"];
        for name in &names[..4] {
            village.join(name, &membership, vec![echo(ComponentKind::Keyed, name)]);
        }
        village.run(SECOND * 3);
        let before = owners(&mut village, "c0", &membership);
        // Whoever asks, it is the same.
        assert_eq!(
            owners(&mut village, "c1", &membership),
            before,
            "seed {seed}"
        );
        for name in &names[..4] {
            let own = before.values().filter(|owner| *owner == name).count();
            assert!((10..60).contains(&own), "seed {seed}: {name} has {own}");
        }
        village.join("n4", &membership, vec![echo(ComponentKind::Keyed, "n4")]);
        village.run(SECOND * 3);
        let with = owners(&mut village, "c2", &membership);
        let moved: Vec<_> = (0..KEYS).filter(|key| with[key] != before[key]).collect();
        assert!(
            (5..60).contains(&moved.len()),
            "seed {seed}: {}",
            moved.len()
        );
        for key in moved {
            assert_eq!(with[&key], "n4", "seed {seed}");
        }
        // It goes, and all is as it was.
        let n4 = village.world().node("n4").expect("it was added");
        village.world().shutdown(n4, Shutdown::Drain);
        village.run(SECOND * 3);
        assert_eq!(
            owners(&mut village, "c3", &membership),
            before,
            "seed {seed}"
        );
    }
}

#[test]
fn what_waited_for_a_component_to_be_found_goes_to_the_owner_of_its_key() {
    for seed in test_seeds(3) {
        let mut village = Village::new(seed);
        let membership = seeds(&["hub"]);
        village.join("hub", &membership, Vec::new());
        let names = ["n0", "n1", "n2", "n3", "n4"];
        let join = |name| village.join(name, &membership, vec![echo(ComponentKind::Keyed, name)]);
        let owning = names.map(join);
        village.run(SECOND * 3);
        let answers: Rc<RefCell<BTreeMap<u32, String>>> = Rc::default();
        let written = answers.clone();
        let main = hooked("main", move || {
            let written = written.clone();
            Hooks::new(|_: &mut Context, _| Ok(Reply::Empty)).start(move |cx, _| {
                let start = |key: u32| {
                    let request = say().with_key(key.to_be_bytes().to_vec());
                    (key, cx.start_call(request.with_deadline(SECOND * 200)))
                };
                let calls: Vec<_> = (0..KEYS).map(start).collect();
                for (key, call) in calls {
                    let answer = cx.wait(call).expect("somebody answers").to_bytes();
                    let owner = String::from_utf8_lossy(&answer).into_owned();
                    written.borrow_mut().insert(key, owner);
                }
                Ok(())
            })
        });
        // It calls before it has heard of anybody, and hears of all who have keys at once: from somebody else.
        let early = village.join("early", &membership, vec![main]);
        for node in owning {
            village.world().cut(early, node);
        }
        village.wait_until(SECOND * 100, "all are known", |village| {
            let view = |name: &&str| village.view(early, name);
            let is_known = |name| view(name).is_some_and(|it| !it.components.is_empty());
            names.iter().all(is_known)
        });
        for node in owning {
            village.world().heal(early, node);
        }
        village.run(SECOND * 30);
        let late = owners(&mut village, "late", &membership);
        assert_eq!(*answers.borrow(), late, "seed {seed}");
    }
}

#[test]
fn a_key_is_the_owner_s_own_also_when_the_owner_asks() {
    let mut village = Village::new(1);
    let membership = seeds(&["n0"]);
    for name in ["n0", "n1"] {
        let echo = echo(ComponentKind::Keyed, name);
        let asks = monofil_tests::component("asks", move || {
            move |cx: &mut Context, message: monofil_container::Message| {
                let request = say().with_key(message.payload().to_bytes());
                Ok(monofil_container::Reply::Payload(cx.call(request)?))
            }
        });
        let asks = if name == "n0" {
            vec![echo, asks]
        } else {
            vec![echo]
        };
        village.join(name, &membership, asks);
    }
    village.run(SECOND * 3);
    let from_outside = owners(&mut village, "c0", &membership);
    let from_within = village.perform("c1", &membership, |cx| {
        cx.sleep(SECOND).expect("nobody ends it");
        let owner = |key: u32| {
            let payload = monofil_container::Payload::bytes(key.to_be_bytes().to_vec());
            let request = monofil_container::Request::new("asks", "Go", payload);
            (key, asked(cx, request))
        };
        (0..KEYS).map(owner).collect::<BTreeMap<_, _>>()
    });
    assert_eq!(from_outside, from_within);
    let owners: std::collections::BTreeSet<_> = from_outside.into_values().collect();
    assert_eq!(owners.len(), 2);
}
