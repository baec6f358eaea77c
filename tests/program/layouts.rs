//! The same app in every layout.

use crate::support::place;

#[test]
fn every_layout_gives_the_same_answers_and_leaves_nothing_behind() {
    for (args, layout) in [
        ("", "memory"),
        ("run", "memory"),
        ("--times 10", "memory"),
        ("sim", "sim"),
        ("up", "ipc"),
        ("up --order shuffled", "ipc"),
        ("up --transport tcp --order reversed", "tcp"),
        ("run --transport ipc", "ipc"),
        ("run worker relay work", "ipc"),
        ("run relay worker --times=10", "ipc"),
    ] {
        let place = place();
        let run = place.run(args);
        assert_eq!(run.code, Some(0), "{args}: {run:?}");
        let expected = format!("layout {layout}, seed 1, 10 handled\n");
        assert_eq!(run.out, expected, "{args}: {run:?}");
        assert_eq!(run.err, "", "{args}");
        assert_eq!(place.sockets(), Vec::<String>::new(), "{args}");
    }
}

#[test]
fn processes_that_host_several_components_are_found_by_the_name_of_each() {
    let place = place();
    let _all = place.start("run relay worker");
    let call = place.run("call worker count --running --deadline 15s");
    assert_eq!(call.out, "1\n", "{call:?}");
    let described = place.run("describe worker --json");
    assert!(described.out.contains("\"app/relay\""), "{described:?}");
}

#[test]
fn processes_start_in_any_order() {
    let place = place();
    let job = place.start("run work --times 3");
    let _relay = place.start("run relay");
    let _worker = place.start("run worker");
    let job = job.wait();
    assert_eq!(job.out, "layout ipc, seed 1, 3 handled\n", "{job:?}");
}

#[test]
fn simulated_runs_repeat_by_their_seed() {
    let place = place();
    let hash = |seed: u64| {
        let run = place.run(&format!("sim --trace-hash --seed {seed} --log-level info"));
        assert_eq!(run.code, Some(0), "{run:?}");
        run.err
    };
    assert_eq!(hash(1), hash(1));
    assert_ne!(hash(1), hash(2));
}

#[test]
fn the_order_of_a_hash_table_comes_from_the_seed_of_a_simulated_run() {
    let place = place();
    let hash = || {
        let run = place.run("sim --then table --trace-hash --seed 7");
        assert_eq!(run.code, Some(0), "{run:?}");
        run.err
    };
    assert_eq!(hash(), hash());
}

#[test]
fn a_simulated_run_fails_by_what_components_say() {
    let place = place();
    let says = [
        ("doubt", "error: nobody doubts at "),
        ("panic", "error: no handler panics at "),
    ];
    for (then, what) in says {
        let run = place.run(&format!("sim --seed 7 --then {then}"));
        assert_eq!(run.code, Some(1), "{run:?}");
        assert!(run.err.contains(what), "{run:?}");
        let place = format!("in `{then}`");
        assert!(run.err.contains(&place), "{run:?}");
    }
}

#[test]
fn a_simulated_run_leaves_what_it_was_asked_for() {
    let place = place();
    let asked = "--view run.html --perfetto run.json --junit run.xml";
    let read = |file: &str| std::fs::read_to_string(place.path().join(file)).expect(file);
    for (then, code, failures) in [("log", 0, 0), ("fail", 1, 1)] {
        let run = place.run(&format!("sim --then {then} --seed 9 {asked}"));
        assert_eq!(run.code, Some(code), "{run:?}");
        let (page, trace, result) = (read("run.html"), read("run.json"), read("run.xml"));
        assert!(page.starts_with("<!doctype html>") && page.contains("\"worker\""));
        assert_eq!(page.contains("ends well"), failures == 1);
        assert!(trace.contains("\"traceEvents\":[{"));
        assert!(result.contains(&format!("failures=\"{failures}\"")) && result.contains("seed 9"));
    }
    let run = place.run("sim --view no/such/directory.html");
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(
        run.err.contains("no/such/directory.html cannot be written"),
        "{run:?}"
    );
}

#[test]
fn blocking_work_runs_on_a_helper_thread() {
    let place = place();
    let call = place.run("call worker block");
    assert_eq!(call.out, "\"monofil-help-0\"\n", "{call:?}");
}
