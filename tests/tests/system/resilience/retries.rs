use std::cell::{Cell, RefCell};
use std::rc::Rc;

use monofil_container::{CallError, Caller, ComponentKind, Counter, Reply};
use monofil_inproc::NodeKey;
use monofil_tests::{Hooks, hooked, seeds as test_seeds};
use monofil_transport::Shutdown;

use super::{MILLISECOND, Mood, Patient, is_open, request};
use crate::village::{SECOND, Village, seeds};

/// Nodes with a patient each, of which any will do.
fn ward(seed: u64, moods: &[Mood]) -> (Village, Vec<NodeKey>, Vec<Patient>) {
    let mut village = Village::new(seed);
    let patients: Vec<_> = moods.iter().map(|mood| Patient::new(*mood)).collect();
    let join = |(number, patient): (usize, &Patient)| {
        let patient = patient.component("patient").kind(ComponentKind::Stateless);
        village.join(&format!("n{number}"), &seeds(&["n0"]), vec![patient])
    };
    let nodes = patients.iter().enumerate().map(join).collect();
    village.run(SECOND * 2);
    (village, nodes, patients)
}

#[test]
fn what_may_be_run_twice_is_tried_elsewhere() {
    for seed in test_seeds(10) {
        for mood in [Mood::Unavailable, Mood::Panics] {
            let (mut village, _, patients) = ward(seed, &[Mood::Works, mood]);
            village.perform("caller", &seeds(&["n0"]), |cx| {
                cx.sleep(SECOND).expect("nobody ends it");
                for _ in 0..50 {
                    cx.call(request().idempotent(true))
                        .expect("one of them works");
                }
            });
            let caller = village.world().node("caller").expect("it was added");
            let retried = village.counter(caller, Counter::CallsRetried);
            assert_eq!(retried, patients[1].asked.get(), "seed {seed}");
            assert!(retried > 0, "seed {seed}");
            assert_eq!(patients[0].asked.get(), 50, "seed {seed}");
        }
    }
}

#[test]
fn what_may_not_is_not() {
    let (mut village, _, patients) = ward(1, &[Mood::Works, Mood::Unavailable]);
    let failed = village.perform("caller", &seeds(&["n0"]), |cx| {
        cx.sleep(SECOND).expect("nobody ends it");
        (0..50).filter(|_| cx.call(request()).is_err()).count()
    });
    assert_eq!(failed, 5);
    assert_eq!(patients[0].asked.get() + patients[1].asked.get(), 50);
}

#[test]
fn retries_never_multiply_what_fails() {
    let (mut village, _, patients) = ward(1, &[Mood::Unavailable; 4]);
    const CALLS: u64 = 200;
    let answered = Rc::new(Cell::new(0));
    let main = hooked("main", move || {
        let answered = answered.clone();
        Hooks::new(|_, _| Ok(Reply::Empty)).start(move |cx, _| {
            cx.sleep(SECOND * 3)?;
            let calls = || request().idempotent(true).with_deadline(SECOND * 10);
            let pending: Vec<_> = (0..CALLS).map(|_| cx.start_call(calls())).collect();
            for pending in pending {
                cx.wait(pending).expect_err("it fails");
                answered.set(answered.get() + 1);
            }
            Ok(())
        })
    });
    village.join("caller", &seeds(&["n0"]), vec![main]);
    village.run(SECOND * 10);
    let asked: u64 = patients.iter().map(|it| it.asked.get()).sum();
    // Each call under way may be tried three times, but only a fifth of them at once; as they end there are fewer.
    assert!(asked <= CALLS + CALLS / 5 * 2, "{asked}");
    assert!(asked > CALLS, "{asked}");
}

#[test]
fn a_node_that_drains_loses_no_call() {
    let mut lost = 0;
    for seed in test_seeds(20) {
        let (mut village, nodes, _) = ward(seed, &[Mood::Slow(3), Mood::Slow(3), Mood::Slow(3)]);
        let failed: Rc<RefCell<Option<Vec<CallError>>>> = Rc::default();
        let seen = failed.clone();
        let main = hooked("main", move || {
            let seen = seen.clone();
            Hooks::new(|_, _| Ok(Reply::Empty)).start(move |cx, _| {
                cx.sleep(SECOND * 2)?;
                let mut failed = Vec::new();
                for _ in 0..400 {
                    let pending: Vec<_> = (0..5).map(|_| cx.start_call(request())).collect();
                    for pending in pending {
                        failed.extend(cx.wait(pending).err());
                    }
                }
                *seen.borrow_mut() = Some(failed);
                Ok(())
            })
        });
        village.join("caller", &seeds(&["n0"]), vec![main]);
        village.run(SECOND * 3);
        village.world().shutdown(nodes[1], Shutdown::Drain);
        village.run(SECOND);
        village.world().shutdown(nodes[2], Shutdown::Drain);
        village.run(SECOND * 20);
        let failed = failed.borrow_mut().take().expect("it has ended");
        // Its last word may be lost with its connection: nobody knows then what became of what was on its way.
        let in_doubt = |error: &CallError| matches!(error, CallError::Timeout(_));
        assert!(
            failed.iter().all(in_doubt) && failed.len() <= 5,
            "seed {seed}: {failed:?}"
        );
        lost += failed.len();
    }
    assert!(lost <= 10, "{lost} of 40,000");
}

#[test]
fn an_open_breaker_is_not_tried_again_and_again() {
    let (mut village, _, patients) = ward(1, &[Mood::Panics]);
    let open = village.perform("caller", &seeds(&["n0"]), |cx| {
        cx.sleep(SECOND).expect("nobody ends it");
        let mut open = 0;
        for _ in 0..100 {
            let result = cx.call(request().idempotent(true));
            open += u32::from(is_open(&result));
            assert!(matches!(
                result,
                Err(CallError::Open { .. } | CallError::Panicked(_) | CallError::Rejected(_))
            ));
            cx.sleep(MILLISECOND).expect("nobody ends it");
        }
        open
    });
    // Of one instance there is no other.
    assert_eq!(patients[0].asked.get(), 5);
    assert_eq!(open, 95);
}
