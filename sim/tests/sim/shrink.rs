//! What a run that is made smaller must still be: the one that was found.

use std::time::Duration;

use monofil_sim::{Scenario, Sim};

use crate::explore::run_again;

/// Two steps fail in one way, and the second without the first in another: by `otherwise`.
fn two_ways(otherwise: fn()) -> Scenario {
    Scenario::new("two ways", "counters", move |sim: &mut Sim| {
        let tape = sim.tape();
        sim.spawn("ada", move |_| {
            let steps = tape.steps("work", 2);
            match steps[..] {
                [0, 1] => panic!("the bug that was found"),
                [1] => otherwise(),
                _ => {}
            }
        });
    })
}

#[test]
fn a_smaller_run_does_not_fail_by_another_panic() {
    let scenario = two_ways(|| panic!("something else"));
    let report = scenario.explore(0..1).jobs(1).run();
    let found = report.found.as_ref().expect("it fails");
    assert!(found.shrunk.tries > 0, "{report}");
    let failure = found.shrunk.ran.failure.as_ref().expect("it fails");
    assert!(failure.text.contains("the bug that was found"), "{report}");
    assert!(failure.site.contains("counters/ada/start"), "{failure:?}");
}

#[test]
fn a_smaller_run_that_never_ends_is_not_what_was_found() {
    const TEST: &str = "shrink::a_smaller_run_that_never_ends_is_not_what_was_found";
    const CHILD: &str = "MONOFIL_NEVER_ENDS";
    if std::env::var_os(CHILD).is_some() {
        let scenario = two_ways(|| {
            loop {
                std::hint::spin_loop();
            }
        });
        let scenario = scenario.patience(Duration::from_millis(300));
        return scenario.explore(0..1).jobs(1).check();
    }
    let output = run_again(TEST, CHILD);
    let heard = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{heard}");
    for said in [
        "run 0 failed: no handler panics at 0",
        "the bug that was found (sim/tests/sim/shrink.rs:",
        "as it was found: ",
        "it is not made smaller: with less of it a handler does not return (`counters/ada/start`",
    ] {
        assert!(heard.contains(said), "{said}: {heard}");
    }
}
