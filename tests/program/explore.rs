//! Many simulated runs, and looking into one that fails.

use std::fs;
use std::io::Write as _;

use monofil_tests::Program;

use crate::support::place;

/// The manifest of a package.
const PACKAGE: &str = "[package]\nname = \"app\"\n";

/// Returns the word that follows `replay` in what was said.
fn file_of(out: &str) -> &str {
    let line = out.lines().find(|line| line.contains("sim replay "));
    let word = line.and_then(|line| line.split_whitespace().last());
    word.unwrap_or_else(|| panic!("no file is named:\n{out}"))
}

#[test]
fn many_runs_are_one_line_and_are_the_same_in_other_processes() {
    let place = place();
    for strategy in ["", "--strategy pct:d=2"] {
        let ran = place.run(&format!("sim --seeds 0..4 {strategy}"));
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(ran.out.starts_with("app: 4 runs, "), "{ran:?}");
        assert_eq!(
            ran.out.lines().count(),
            1,
            "what jobs write is not to be seen: {ran:?}"
        );
    }
    let ran = place.run("sim --strategy dfs:depth=2");
    let all = "  all orders of the first 2 choices were tried\n";
    assert!(ran.code == Some(0) && ran.out.ends_with(all), "{ran:?}");
    let ran = place.run("sim --seeds 0..8 --faults network --check --jobs 2");
    assert_eq!(
        ran.out, "8 runs are the same in 2 and 3 processes\n",
        "{ran:?}"
    );
    let ran = place.run("sim --faults none --for 200ms --jobs 2");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    // The time on a line is nothing that a handler reads.
    let ran = place.run("sim --seeds 0..2 --then log --log-level warn");
    assert!(ran.err.contains("something was noticed"), "{ran:?}");
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[test]
fn a_run_that_is_replayed_says_which_faults_it_has() {
    let place = place();
    let found = place.run("sim --then fail --seed 3 --faults network --shrink 0s");
    let again = place.run(&format!("sim replay {}", file_of(&found.out)));
    assert!(again.out.contains("· seed 3 · faults: "), "{again:?}");
    let written = "[[events]]\nevent = 'crash'\nnode = 'worker'\nat = '1ms'\nlasts = '1ms'\n\
                   [[messages]]\ndeed = 'hold'\n";
    fs::write(place.path().join("faults.toml"), written).expect("a file");
    let found = place.run("sim --then fail --seed 3 --faults faults.toml --shrink 0s");
    let again = place.run(&format!("sim replay {}", file_of(&found.out)));
    let says = "· seed 3 · faults: crashes, messages";
    assert!(again.out.contains(says), "{again:?}");
}

#[test]
fn a_run_that_fails_is_written_down_replayed_stopped_compared_and_pinned() {
    let place = place();
    let found = place.run("sim --then fail --seeds 3..9 --faults all --junit result.xml");
    assert_eq!(found.code, Some(1), "{found:?}");
    assert!(found.out.contains("✗ the job work succeeds"), "{found:?}");
    assert!(found.out.contains("failed 10 of 10 times"), "{found:?}");
    let junit = fs::read_to_string(place.path().join("result.xml")).expect("a result");
    assert!(junit.contains("the job work succeeds"), "{junit}");
    let file = file_of(&found.out);

    let again = place.run(&format!("sim replay {file}"));
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.out.contains("not today"), "{again:?}");
    // It fails without any: that is what is left.
    assert!(again.out.contains("· seed 3 · no faults"), "{again:?}");
    let drawn = place.run(&format!("sim replay {file} --draws draws.tsv"));
    assert_eq!(drawn.code, Some(1), "{drawn:?}");
    let draws = fs::read_to_string(place.path().join("draws.tsv")).expect("its random choices");
    let is_one = |line: &str| line.starts_with("spans\t") && line.split('\t').count() == 4;
    assert!(draws.lines().any(is_one), "{draws}");
    let stopped = place.run(&format!("sim replay {file} --break worker"));
    assert!(stopped.out.starts_with("stopped: `"), "{stopped:?}");
    assert!(stopped.out.contains("tests/program/app.rs:"), "{stopped:?}");
    let on = place.run(&format!(
        "sim replay {file} --break nosuch/Foo --until 101s"
    ));
    assert_eq!(on.code, Some(1), "{on:?}");
    assert!(on.out.contains("not today"), "{on:?}");
    let says = "never reached: `nosuch/Foo`, 101s\n";
    assert!(on.err.contains(says), "{on:?}");
    for nothing in ["worker/", "/echo", ""] {
        let refused = place.run(&format!("sim replay {file} --break={nothing}"));
        assert_eq!(refused.code, Some(2), "{nothing}: {refused:?}");
    }
    let stopped = place.run(&format!("sim stacks {file} --until 1ms"));
    assert!(
        stopped.out.contains("app/work start on work"),
        "{stopped:?}"
    );
    let same = place.run(&format!("sim diff {file} {file}"));
    assert_eq!(same.out, "they are the same\n", "{same:?}");
    assert_eq!(same.code, Some(0), "{same:?}");

    let other = place.path().join("other.toml");
    let text = fs::read_to_string(place.path().join(file)).expect("the file of the run");
    fs::write(&other, text.replace("seed = 3", "seed = 4")).expect("another file");
    let parts = place.run(&format!("sim diff {file} {}", other.display()));
    assert!(parts.out.contains("then, in the other:"), "{parts:?}");
    assert_eq!(parts.code, Some(1), "{parts:?}");

    for (typed, code) in [("\n".repeat(10_000), 1), ("\nquit\n".to_owned(), 0)] {
        let mut through = place.start(&format!("sim step {file}"));
        let mut input = through.input();
        // It may have ended before it has read all of it.
        let _ = input.write_all(typed.as_bytes());
        drop(input);
        let through = through.wait();
        assert_eq!(through.code, Some(code), "{through:?}");
    }

    // Nobody compiles tests of a folder that is no package's, be it a workspace's.
    for manifest in [None, Some("[workspace]\n")] {
        if let Some(text) = manifest {
            fs::write(place.path().join("Cargo.toml"), text).expect("a manifest");
        }
        let refused = place.run(&format!("sim pin {file}"));
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(
            refused.err.contains("no package is in this folder"),
            "{refused:?}"
        );
    }
    assert!(!place.path().join("tests").exists());
    fs::write(place.path().join("Cargo.toml"), PACKAGE).expect("a manifest");
    let pinned = place.run(&format!("sim pin {file}"));
    assert_eq!(pinned.code, Some(0), "{pinned:?}");
    let test = fs::read_to_string(place.path().join("tests/pinned.rs")).expect("a test");
    assert!(test.contains("CARGO_BIN_EXE_app"), "{test}");
    assert!(place.path().join("tests/pinned/app-3.toml").exists());
    let refused = place.run("sim replay tests/pinned.rs");
    assert_eq!(refused.code, Some(2), "{refused:?}");
}

/// Nothing was tried, so nothing failed: what was given is wrong.
#[test]
fn faults_of_what_there_is_not_are_a_usage_error() {
    let place = place();
    for (command, of) in [
        ("sim --seeds 81..85 --jobs 2", "many"),
        ("sim --seed 80", "one"),
    ] {
        let faults = "[[events]]\nevent = \"crash\"\nat = \"1ms\"\nnode = \"rely\"\n";
        fs::write(place.path().join("faults.toml"), faults).expect("faults");
        let refused = place.run(&format!("{command} --faults faults.toml"));
        assert_eq!(refused.code, Some(2), "{of}: {refused:?}");
        let said = "no node of this run is called `rely`, as `events[0].node` says; there are";
        let is_told = refused.err.contains(said) && !refused.err.contains("replay");
        assert!(is_told && refused.out.is_empty(), "{of}: {refused:?}");
    }
}

/// What may go wrong is in the file: where it was found nobody needs to be. (The seed is nobody else's: files are named after it.)
#[test]
fn a_run_that_is_pinned_needs_no_other_file() {
    let place = place();
    let faults = "lasts = \"9s\"\n[[events]]\nevent = \"pause\"\nat = \"1ms\"\nlasts = \"1s\"\nnode = \"relay\"\n";
    fs::write(place.path().join("faults.toml"), faults).expect("faults");
    let found = place.run("sim --then fail --seed 77 --faults faults.toml --shrink 0s");
    assert_eq!(found.code, Some(1), "{found:?}");
    let file = place.path().join(file_of(&found.out));
    let package = place.path().join("package");
    fs::create_dir(&package).expect("a folder");
    fs::write(package.join("Cargo.toml"), PACKAGE).expect("a manifest");
    let there = |args: &str| {
        let mut command = place.command(args);
        Program::start(command.current_dir(&package)).wait()
    };
    let pinned = there(&format!("sim pin {}", file.display()));
    assert_eq!(pinned.code, Some(0), "{pinned:?}");
    let again = there("sim replay tests/pinned/app-77.toml");
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(
        again.out.contains("pause relay") && !again.out.contains("another run"),
        "{again:?}"
    );
    let text = fs::read_to_string(package.join("tests/pinned/app-77.toml")).expect("the run");
    assert!(text.contains("lasts = \"9s\""), "{text}");
    // What is called otherwise by now is not tested any more.
    let renamed = text.replace("node = \"relay\"", "node = \"rely\"");
    fs::write(package.join("tests/pinned/app-77.toml"), renamed).expect("written");
    let refused = there("sim replay tests/pinned/app-77.toml");
    assert_eq!(refused.code, Some(2), "{refused:?}");
    let said = "no node of this run is called `rely`, as `events[0].node` says";
    assert!(refused.err.contains(said), "{refused:?}");
}

/// `[peers]` says where components are, and so which of them are one process.
#[test]
fn a_production_layout_is_simulated_from_its_file() {
    let place = place();
    let peers = "[peers]\nworker = [\"tcp://10.0.0.5:7702\"]\nrelay = [\"tcp://10.0.0.5:7702\"]\n";
    fs::write(place.path().join("production.toml"), peers).expect("a layout");
    let ran = place.run("sim --config production.toml --perfetto run.json");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let trace = fs::read_to_string(place.path().join("run.json")).expect("a trace");
    assert!(trace.contains("\"worker+relay\""), "no such process");
    let found =
        place.run("sim --config production.toml --then fail --seed 78 --faults none --shrink 0s");
    assert_eq!(found.code, Some(1), "{found:?}");
    // Nobody has to say again where it is.
    let again = place.run(&format!("sim replay {}", file_of(&found.out)));
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(!again.out.contains("another run"), "{again:?}");
    assert!(!again.err.contains("the layout is another"), "{again:?}");
    let moved = peers.replace("relay = [\"tcp://10.0.0.5", "relay = [\"tcp://10.0.0.6");
    fs::write(place.path().join("production.toml"), moved).expect("another layout");
    let again = place.run(&format!("sim replay {}", file_of(&found.out)));
    let said = "the layout is another than that of the run: peers.relay was tcp://10.0.0.5:7702 and is \
                tcp://10.0.0.6:7702\n";
    assert!(again.err.contains(said), "{again:?}");
    fs::remove_file(place.path().join("production.toml")).expect("a file");
    let gone = place.run(&format!("sim replay {}", file_of(&found.out)));
    assert!(
        gone.code == Some(2) && gone.err.contains("production.toml"),
        "{gone:?}"
    );
}

#[test]
fn a_mark_that_is_expected_and_never_reached_is_a_failure() {
    let place = place();
    let ran = place.run("sim --seeds 0..2 --expect pigs-fly");
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let said = "  sometimes pigs-fly: 0 of 2 runs\nNEVER REACHED: pigs-fly\n";
    assert!(ran.out.contains(said), "{ran:?}");
}

/// Of one run there is a page, with faults as without; what makes no sense of many is refused, and nothing is left out
/// without a word.
#[test]
fn one_run_with_faults_is_drawn_and_flags_that_would_do_nothing_are_refused() {
    let place = place();
    let ran = place.run("sim --seed 79 --faults network --view run.html --perfetto run.json");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let read =
        |name: &str| fs::read_to_string(place.path().join(name)).expect("what was asked for");
    assert!(read("run.html").starts_with("<!doctype html>"), "no page");
    assert!(read("run.json").contains("\"relay\""), "no such process");
    let ran = place.run("sim --seed 79 --then fail --faults none --shrink 0s --view failed.html");
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(read("failed.html").contains("not today"), "no failure");

    // A job has to be over then, here as in a run alone.
    let late = place.run("sim --seed 80 --then sleep --faults none --until 5s --shrink 0s");
    assert_eq!(late.code, Some(1), "{late:?}");
    assert!(late.out.contains("at 5.000000s"), "{late:?}");

    for (args, said) in [
        ("--seeds 0..4 --view run.html", "draw one run"),
        ("--for 1s --perfetto run.json", "draw one run"),
        ("--strategy dfs:depth=1 --view run.html", "draw one run"),
        ("--check --view run.html", "cannot be used with"),
        ("--check --junit run.xml", "cannot be used with"),
        ("--check --trace-hash", "cannot be used with"),
        ("--faults all --latency 1ms", "cannot be used with"),
        ("--records 10", "--records is of what is drawn"),
        ("--join 10.0.0.5:7703", "--join does not go with"),
        ("--jobs 2", "--jobs is of many runs"),
        ("--faults all --jobs 2", "--jobs is of many runs"),
        ("--shrink 1s", "--shrink is of many runs"),
        ("--check --shrink 1s", "cannot be used with"),
        (
            "--seed 3 --seeds 0..2",
            "--seed is one, and --seeds are several",
        ),
        ("--seeds 0..2 --json", "--json is of what the job writes"),
        ("--seeds 0..2 --then -", "`--then -` stands for a stream"),
        (
            "replay run.toml --seed 9",
            "--seed does nothing to a run that was written down",
        ),
        ("step run.toml --json", "--json does nothing to a run"),
        (
            "diff a.toml b.toml --peer relay=tcp://10.0.0.5:7702",
            "--peer does nothing to a run",
        ),
    ] {
        let refused = place.run(&format!("sim {args}"));
        assert_eq!(refused.code, Some(2), "{args}: {refused:?}");
        assert!(refused.err.contains(said), "{args}: {refused:?}");
    }
}

/// What is laid out is what `[peers]` says.
#[test]
fn seeds_in_a_file_are_left_out_and_that_is_said() {
    let place = place();
    let seeds = "[network]\nseeds = [\"10.0.0.5:7703\"]\n";
    fs::write(place.path().join("production.toml"), seeds).expect("settings");
    for how in ["", "--seeds 0..2 --jobs 2"] {
        let ran = place.run(&format!("sim --config production.toml {how}"));
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let times = ran.err.matches("`network.seeds` is left out").count();
        assert_eq!(times, 1, "{ran:?}");
    }
}
