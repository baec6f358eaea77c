//! What a test that fails leaves behind.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use monofil_sim::Sim;

use crate::counter::{ask, counter};
use crate::explore::run_again;

/// Fails as a test would, on a thread with the name of one, and returns the page that it leaves.
fn page_of(test: &str, fails: fn(&mut Sim)) -> String {
    let builder = std::thread::Builder::new().name(test.to_owned());
    let thread = builder.spawn(move || {
        let failed = catch_unwind(AssertUnwindSafe(|| {
            let mut sim = Sim::new("counters", 7);
            counter(&mut sim);
            assert_eq!(sim.run("ada", |cx| ask(cx, "Add", 1)), Ok(1));
            fails(&mut sim);
        }));
        assert!(failed.is_err());
    });
    thread.expect("a thread").join().expect("it fails in there");
    let name = test.replace(':', "-");
    let build = Path::new(env!("CARGO_TARGET_TMPDIR")).parent();
    let path = build
        .expect("a build folder")
        .join(format!("sim/{name}.html"));
    let page = std::fs::read_to_string(&path).expect("a picture");
    std::fs::remove_file(path).expect("it is there");
    page
}

#[test]
fn an_assertion_that_fails_leaves_a_picture() {
    let page = page_of("farewell::of_an_assertion", |_| panic!("no"));
    assert!(page.contains("no (sim/tests/sim/farewell.rs:") && page.contains("\"counter\""));
    assert!(
        page.contains("sim/tests/sim/counter.rs:"),
        "where messages were sent"
    );
}

#[test]
fn a_property_that_is_broken_leaves_a_picture_with_its_name() {
    let page = page_of("farewell::of_a_property", |sim| {
        sim.always("nobody adds twice", |sim| sim.received("counter").len() < 2);
        _ = sim.run("ada", |cx| ask(cx, "Add", 1));
    });
    assert!(page.contains("nobody adds twice") && !page.contains("farewell.rs:"));
}

#[test]
fn a_mistake_of_a_test_is_said_to_be_in_the_test() {
    const TEST: &str = "farewell::a_mistake_of_a_test_is_said_to_be_in_the_test";
    const CHILD: &str = "MONOFIL_MISTAKE";
    if std::env::var_os(CHILD).is_some() {
        let mut sim = Sim::new("counters", 7);
        counter(&mut sim);
        return sim.crash("conter");
    }
    let output = run_again(TEST, CHILD);
    let heard = String::from_utf8_lossy(&output.stderr);
    let says = [
        "panicked at sim/tests/sim/farewell.rs:",
        r#"there is no node `conter` in this simulation; there are ["counter"]."#,
        &format!("✗ {TEST}"),
    ];
    for what in says {
        assert!(heard.contains(what), "{what}: {heard}");
    }
}
