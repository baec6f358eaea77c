use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use monofil_container::{Caller, ComponentKind, Reply};
use monofil_proto::control::{BreakerOrder, BreakerState};
use monofil_tests::{Hooks, hooked, seeds as test_seeds};

use super::{MILLISECOND, Mood, Patient, breaker, is_open, request};
use crate::village::{SECOND, Village, seeds};

/// What became of calls, and whether one was turned away by the breaker.
#[derive(Default)]
struct Tally {
    well: u32,
    failed: u32,
    open: u32,
}

/// Nodes `n0`, `n1`, ... with a patient each, and `caller`, which calls every 10 ms from 3 s on.
fn ward(seed: u64, moods: &[Mood]) -> (Village, Vec<Patient>, Rc<RefCell<Tally>>) {
    let mut village = Village::new(seed);
    let patients: Vec<_> = moods.iter().map(|mood| Patient::new(*mood)).collect();
    for (number, patient) in patients.iter().enumerate() {
        let patient = patient.component("patient").kind(ComponentKind::Stateless);
        village.join(&format!("n{number}"), &seeds(&["n0"]), vec![patient]);
    }
    let tally = Rc::new(RefCell::new(Tally::default()));
    let shared = tally.clone();
    let main = hooked("main", move || {
        let tally = shared.clone();
        Hooks::new(|_, _| Ok(Reply::Empty)).start(move |cx, _| {
            cx.sleep(SECOND * 3)?;
            loop {
                let result = cx.call(request());
                {
                    let mut tally = tally.borrow_mut();
                    match &result {
                        Ok(_) => tally.well += 1,
                        result if is_open(result) => tally.open += 1,
                        Err(_) => tally.failed += 1,
                    }
                }
                cx.sleep(MILLISECOND * 10)?;
            }
        })
    });
    village.join("caller", &seeds(&["n0"]), vec![main]);
    (village, patients, tally)
}

#[test]
fn one_bad_instance_is_no_reason_not_to_call_the_good_ones() {
    for seed in test_seeds(20) {
        let (mut village, patients, tally) = ward(seed, &[Mood::Works, Mood::Fails, Mood::Works]);
        village.run(SECOND * 13);
        let caller = village.world().node("caller").expect("it was added");
        let seen = breaker(&mut village, caller, BreakerOrder::Unspecified);
        assert_eq!(seen.state(), BreakerState::Closed, "seed {seed}");
        let ejected: Vec<_> = seen.ejected.iter().map(|it| &*it.name).collect();
        assert_eq!(ejected, ["n1"], "seed {seed}");
        let tally = tally.borrow();
        assert_eq!((tally.failed, tally.open), (5, 0), "seed {seed}");
        assert!(tally.well > 700, "seed {seed}: {}", tally.well);
        assert_eq!(patients[1].asked.get(), 5, "seed {seed}");
    }
}

#[test]
fn who_returns_is_tried_and_goes_again_if_it_is_not_well() {
    let (mut village, patients, tally) = ward(1, &[Mood::Fails, Mood::Works]);
    village.run(SECOND * 10);
    assert_eq!(patients[0].asked.get(), 5);
    // It is out for 30 to 37.5 s, and then for 60 to 75 s.
    village.run(SECOND * 40);
    assert_eq!(patients[0].asked.get(), 10);
    patients[0].mood.set(Mood::Works);
    village.run(SECOND * 80);
    assert!(patients[0].asked.get() > 100);
    assert_eq!((tally.borrow().failed, tally.borrow().open), (10, 0));
}

#[test]
fn the_last_one_is_called_however_bad_it_is() {
    let (mut village, patients, tally) = ward(1, &[Mood::Fails, Mood::Fails]);
    village.run(SECOND * 10);
    let caller = village.world().node("caller").expect("it was added");
    let seen = breaker(&mut village, caller, BreakerOrder::Unspecified);
    // One is out; what the other does opens the breaker.
    assert_eq!(seen.ejected.len(), 1);
    assert_ne!(seen.state(), BreakerState::Closed);
    assert!(tally.borrow().open > 0);
    // It heals: one instance is enough.
    for patient in &patients {
        patient.mood.set(Mood::Works);
    }
    village.run(SECOND * 30);
    let before = tally.borrow().well;
    village.run(SECOND * 5);
    assert!(tally.borrow().well > before + 300);
}

#[test]
fn who_is_gone_without_a_word_is_left_alone_before_others_notice() {
    let (mut village, _, tally) = ward(1, &[Mood::Works, Mood::Works, Mood::Works]);
    village.run(SECOND * 6);
    let n1 = village.world().node("n1").expect("it was added");
    village.world().vanish(n1);
    village.run(SECOND * 4);
    let tally = tally.borrow();
    assert!(tally.open == 0 && tally.failed <= 5, "{}", tally.failed);
}

#[test]
fn a_slow_start_of_one_instance_shows_nowhere_else() {
    // Each of four is bad in its turn, and is the only one that is out.
    let (mut village, patients, tally) = ward(3, &[Mood::Works; 4]);
    village.run(SECOND * 4);
    let mut failed = BTreeMap::new();
    for (number, patient) in patients.iter().enumerate().take(2) {
        patient.mood.set(Mood::Fails);
        village.run(SECOND * 5);
        failed.insert(number, tally.borrow().failed);
    }
    assert_eq!(failed, BTreeMap::from([(0, 5), (1, 10)]));
    assert_eq!(tally.borrow().open, 0);
}

#[test]
fn what_went_elsewhere_before_it_left_counts_against_whoever_had_it() {
    let mut village = Village::new(1);
    let membership = seeds(&["hub"]);
    village.join("hub", &membership, Vec::new());
    let join = |village: &mut Village, name: &str, mood| {
        let patient = Patient::new(mood);
        let component = patient.component("patient").kind(ComponentKind::Stateless);
        village.join(name, &membership, vec![component]);
        patient
    };
    join(&mut village, "first", Mood::Works);
    let main = hooked("main", || {
        Hooks::new(|_, _| Ok(Reply::Empty)).start(|cx, _| {
            cx.sleep(SECOND * 3)?;
            cx.call(request()).expect("it works");
            cx.sleep(SECOND * 2)?;
            let start = |_| cx.start_call(request().with_deadline(SECOND * 100));
            let calls: Vec<_> = (0..30).map(start).collect();
            cx.sleep(SECOND)?;
            // Who came meanwhile is connected to.
            drop(cx.call(request()));
            for call in calls {
                drop(cx.wait(call));
            }
            Ok(())
        })
    });
    let caller = village.join("caller", &membership, vec![main]);
    village.run(SECOND * 4);
    let first = village.world().node("first").expect("it was added");
    village.world().crash(first);
    village.run(MILLISECOND * 1050);
    let bad = join(&mut village, "bad", Mood::Fails);
    let good = join(&mut village, "good", Mood::Works);
    village.run(SECOND * 20);
    assert!(bad.asked.get() >= 5, "{}", bad.asked.get());
    assert!(good.asked.get() >= 5, "{}", good.asked.get());
    let seen = breaker(&mut village, caller, BreakerOrder::Unspecified);
    let ejected: Vec<_> = seen.ejected.iter().map(|it| &*it.name).collect();
    assert_eq!(ejected, ["bad"]);
}
