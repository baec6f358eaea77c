use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use monofil_container::{CallError, Caller, Code, InstanceLimits};
use monofil_proto::control::{BreakerOrder, BreakerState};
use monofil_tests::{NodeSpec, on_both, seeds as test_seeds, text};
use monofil_transport::{Instant, Stream};

use super::{MILLISECOND, Mood, Patient, breaker, call_until, is_open, request, state};
use crate::village::{SECOND, Village, seeds};

/// Calls a component that fails, here or at another node, until it is left alone, and then until it works again.
fn opens_and_closes(cx: &mut monofil_container::Context, patient: &Patient) {
    let first = call_until(cx, MILLISECOND, 10, is_open);
    assert_eq!(first, 6, "five in a row");
    let asked = patient.asked.get();
    let Err(CallError::Open {
        component,
        retry_after,
    }) = cx.call(request())
    else {
        panic!("it is open");
    };
    assert_eq!(component, "test/patient");
    assert!(retry_after > Duration::ZERO && retry_after <= Duration::from_secs(1));
    assert_eq!(patient.asked.get(), asked, "nobody asks it");

    patient.mood.set(Mood::Works);
    cx.sleep(retry_after).expect("nobody ends it");
    for _ in 0..20 {
        cx.call(request()).expect("it works");
    }
}

#[test]
fn a_component_that_fails_is_left_alone_and_then_tried_again() {
    on_both(|net| {
        let patient = Patient::new(Mood::Fails);
        net.start(vec![NodeSpec::new(
            "one",
            vec![patient.component("patient")],
        )]);
        net.run(move |cx| opens_and_closes(cx, &patient));
    });
}

#[test]
fn a_neighbour_that_fails_is_left_alone_as_well() {
    on_both(|net| {
        let patient = Patient::new(Mood::Fails);
        let (by, seen) = (patient.clone(), Rc::new(RefCell::new(false)));
        let done = seen.clone();
        let caller = monofil_tests::component("caller", move || {
            let (by, done) = (by.clone(), done.clone());
            move |cx: &mut monofil_container::Context, _| {
                opens_and_closes(cx, &by);
                *done.borrow_mut() = true;
                Ok(monofil_container::Reply::Empty)
            }
        });
        net.start(vec![NodeSpec::new(
            "one",
            vec![patient.component("patient"), caller],
        )]);
        net.run(|cx| cx.call(text("caller", "Go", "").with_deadline(SECOND * 60)))
            .expect("it goes well");
        assert!(*seen.borrow());
    });
}

#[test]
fn what_says_nothing_of_the_component_opens_nothing() {
    on_both(|net| {
        let patient = Patient::new(Mood::Hangs);
        let limits = InstanceLimits {
            queue_messages: 2,
            ..InstanceLimits::default()
        };
        net.start(vec![NodeSpec::new(
            "one",
            vec![patient.component("patient").limits(limits)],
        )]);
        net.run(move |cx| {
            let patiently = || text("patient", "Go", "").with_deadline(SECOND * 60);
            let mut pending = vec![cx.start_call(patiently())];
            cx.sleep(MILLISECOND * 100).expect("nobody ends it");
            pending.extend((0..2).map(|_| cx.start_call(patiently())));
            cx.sleep(MILLISECOND * 100).expect("nobody ends it");
            // Overload is no failure.
            for _ in 0..100 {
                let error = cx.call(patiently()).expect_err("it is full");
                assert!(matches!(error, CallError::Rejected(_)), "{error}");
            }
            // Nor is a caller that changes its mind.
            drop(pending);
            patient.mood.set(Mood::Slow(20));
            for _ in 0..100 {
                drop(cx.start_call(patiently()));
                cx.sleep(MILLISECOND * 5).expect("nobody ends it");
            }
            // Nor are errors in what was asked.
            patient.mood.set(Mood::Works);
            cx.sleep(MILLISECOND * 100).expect("nobody ends it");
            cx.call(request()).expect("it is not open");
        });
    });
}

#[test]
fn a_component_says_with_its_code_whether_it_is_broken() {
    let table = [
        (Code::Internal, true),
        (Code::Unavailable, true),
        (Code::DataLoss, true),
        (Code::NotFound, false),
        (Code::InvalidArgument, false),
        (Code::FailedPrecondition, false),
        (Code::ResourceExhausted, false),
        (Code::Unimplemented, false),
    ];
    for (code, opens) in table {
        let mut village = Village::new(1);
        let says = monofil_tests::component("patient", move || {
            move |_: &mut monofil_container::Context, _| {
                Err(monofil_container::Status::new(code, "so it is").into())
            }
        });
        village.join("n0", &seeds(&["n0"]), vec![says]);
        village.run(SECOND * 2);
        let opened = village.perform("n1", &seeds(&["n0"]), |cx| {
            cx.sleep(SECOND).expect("nobody ends it");
            (0..10).any(|_| is_open(&cx.call(request())))
        });
        assert_eq!(opened, opens, "{code:?}");
    }
}

#[test]
fn breakers_are_seen_and_obey() {
    let mut village = Village::new(1);
    let patient = Patient::new(Mood::Works);
    village.join("n0", &seeds(&["n0"]), vec![patient.component("patient")]);
    village.run(SECOND * 2);
    let mood = patient.mood.clone();
    village.perform("n1", &seeds(&["n0"]), move |cx| {
        cx.sleep(SECOND).expect("nobody ends it");
        for _ in 0..7 {
            cx.call(request()).expect("it works");
        }
        mood.set(Mood::Fails);
        for _ in 0..3 {
            cx.call(request()).expect_err("it fails");
        }
    });
    let n1 = village.world().node("n1").expect("it was added");
    let seen = breaker(&mut village, n1, BreakerOrder::Unspecified);
    assert_eq!(seen.state(), BreakerState::Closed);
    assert_eq!((seen.calls, seen.failures), (10, 3));
    assert_eq!((seen.failures_in_a_row, seen.retries_left), (3, 3));

    // An order to a pair that never met counts as well.
    for (order, expected) in [
        (BreakerOrder::ForceOpen, BreakerState::ForcedOpen),
        (BreakerOrder::Disable, BreakerState::Disabled),
        (BreakerOrder::MetricsOnly, BreakerState::MetricsOnly),
        (BreakerOrder::Reset, BreakerState::Closed),
        (BreakerOrder::ForceOpen, BreakerState::ForcedOpen),
    ] {
        let seen = breaker(&mut village, n1, order);
        assert_eq!((seen.state(), seen.calls), (expected, 0));
        assert_eq!(seen.reason, "somebody said so");
        assert_eq!(state(&mut village, n1), expected);
    }
}

#[test]
fn calls_pass_as_they_are_told_to() {
    for (order, passes) in [
        (BreakerOrder::ForceOpen, 0),
        (BreakerOrder::Disable, 30),
        (BreakerOrder::MetricsOnly, 30),
        (BreakerOrder::Unspecified, 5),
    ] {
        let mut village = Village::new(1);
        let patient = Patient::new(Mood::Fails);
        village.join("n0", &seeds(&["n0"]), vec![patient.component("patient")]);
        let main = monofil_tests::hooked("main", || {
            monofil_tests::Hooks::new(|_, _| Ok(monofil_container::Reply::Empty)).start(|cx, _| {
                cx.sleep(SECOND * 5)?;
                for _ in 0..30 {
                    cx.call(request()).expect_err("it fails");
                }
                Ok(())
            })
        });
        let n1 = village.join("n1", &seeds(&["n0"]), vec![main]);
        village.run(SECOND * 3);
        if order != BreakerOrder::Unspecified {
            breaker(&mut village, n1, order);
        }
        village.run(SECOND * 4);
        assert_eq!(patient.asked.get(), passes, "{order:?}");
        let seen = breaker(&mut village, n1, BreakerOrder::Unspecified);
        assert_eq!(seen.rejected, 30 - passes, "{order:?}");
        if order == BreakerOrder::MetricsOnly {
            assert!(seen.reason.contains("it would be"), "{}", seen.reason);
        }
    }
}

/// Moods, cancelled calls, short and long deadlines, for a minute; then all is well.
#[test]
fn a_component_that_failed_for_long_is_called_as_soon_as_its_node_has_begun_anew() {
    for seed in 1..=3 {
        let mut village = Village::new(seed);
        let membership = seeds(&["here", "there"]);
        let patient = Patient::new(Mood::Fails);
        let components = vec![patient.component("patient")];
        let there = village.join("there", &membership, components);
        // Somebody mends it, and starts it again.
        let back = Instant::ZERO + SECOND * (240 + 7 * seed as u32);
        village.world().at(back, move |world| {
            world.crash(there);
            patient.mood.set(Mood::Works);
        });
        let begins = back + MILLISECOND * 200;
        village
            .world()
            .at(begins, move |world| world.restart(there));
        let late = village.perform("here", &membership, move |cx| {
            while cx.now() < back {
                let _ = cx.call(request());
                cx.sleep(MILLISECOND * 100).expect("time");
            }
            call_until(cx, MILLISECOND * 100, 1000, Result::is_ok);
            cx.now().since(back)
        });
        // Its breaker had been open for up to a minute each time.
        assert!(late < SECOND * 5, "seed {seed}: {late:?}");
    }
}

#[test]
fn whatever_has_happened_a_component_that_works_is_called_again() {
    for seed in test_seeds(50) {
        let mut village = Village::new(seed);
        let patient = Patient::new(Mood::Works);
        // How often it is built again is another matter.
        let limits = InstanceLimits {
            restarts: 1_000_000,
            ..InstanceLimits::default()
        };
        let component = patient.component("patient").limits(limits);
        village.join("n0", &seeds(&["n0"]), vec![component]);
        village.run(SECOND * 2);
        let healed = village.perform("n1", &seeds(&["n0"]), move |cx| {
            let mut random = Stream::new(seed, "moods");
            let moods = [
                Mood::Works,
                Mood::Fails,
                Mood::Hangs,
                Mood::Panics,
                Mood::Slow(50),
            ];
            let end = cx.now() + SECOND * 60;
            while cx.now() < end {
                let mood = usize::try_from(random.below(5)).expect("few");
                patient.mood.set(moods[mood]);
                let deadline = random.between(MILLISECOND, SECOND * 2);
                let pending = cx.start_call(request().with_deadline(deadline));
                match random.below(3) {
                    0 => drop(pending),
                    1 => {
                        cx.sleep(random.between(MILLISECOND, SECOND)).expect("time");
                        drop(pending);
                    }
                    _ => drop(cx.wait(pending)),
                }
            }
            patient.mood.set(Mood::Works);
            let start = cx.now();
            let mut well = 0;
            while well < 10 {
                well = if cx.call(request()).is_ok() {
                    well + 1
                } else {
                    0
                };
                cx.sleep(MILLISECOND * 50).expect("time");
                if cx.now().since(start) > SECOND * 75 {
                    return false;
                }
            }
            true
        });
        assert!(healed, "seed {seed}");
    }
}
