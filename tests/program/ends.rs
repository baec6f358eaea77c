//! How the program ends: well, badly, by signals, and with nobody left behind.

use std::process::{Child, Stdio};
use std::time::Duration;

use monofil_tests::{Program, eventually, is_there};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{place, worker_process};

#[test]
fn a_job_that_fails_or_panics_ends_the_program_with_its_message() {
    let place = place();
    for layout in ["run", "sim", "up"] {
        let failed = place.run(&format!("{layout} --then fail"));
        assert_eq!(failed.code, Some(1), "{failed:?}");
        let message = "error: work: Internal: FailedPrecondition: not today";
        assert!(failed.err.ends_with(&format!("{message}\n")), "{failed:?}");
        let panicked = place.run(&format!("{layout} --panic"));
        assert_eq!(panicked.code, Some(1), "{panicked:?}");
        let message = "error: work panicked: as asked";
        assert!(
            panicked.err.ends_with(&format!("{message}\n")),
            "{panicked:?}"
        );
    }
}

#[test]
fn a_signal_interrupts_a_job_and_everything_ends_in_order() {
    for args in ["run", "up", "run work worker relay"] {
        let place = place();
        let endless = "--times 1000000000 --log-level info --set deadline.drain=2s";
        let mut run = place.start(&format!("{args} {endless}"));
        std::thread::sleep(Duration::from_millis(500));
        assert!(!run.has_ended());
        run.signal(Signal::TERM);
        let run = run.wait();
        assert_eq!(run.code, Some(130), "{run:?}");
        assert!(run.err.contains("stopped handled="), "{run:?}");
        assert!(
            run.err.ends_with("error: work was interrupted\n"),
            "{run:?}"
        );
        assert_eq!(place.sockets(), Vec::<String>::new());
    }
}

#[test]
fn components_drain_at_a_signal_and_that_is_success() {
    for args in ["run worker", "run worker relay --transport memory"] {
        let place = place();
        let run = place.start(args);
        std::thread::sleep(Duration::from_millis(300));
        run.signal(Signal::INT);
        let run = run.wait();
        assert_eq!(run.code, Some(0), "{run:?}");
        assert!(run.err.contains("stopped"), "{run:?}");
    }
}

#[test]
fn a_process_waits_for_its_handlers_until_the_deadline_or_a_second_signal() {
    for (drain, again) in [("1h", true), ("300ms", false)] {
        let place = place();
        let args = format!("run relay --log-level info --set deadline.drain={drain}");
        let mut relay = place.start(&args);
        let call = place.start("call relay sleep --running --deadline 1h");
        eventually("the handler sleeps", || {
            let described = place.run("describe relay --json --deadline 15s");
            described
                .out
                .contains("\"monofil_handlers_started_total\": 1,")
        });
        relay.signal(Signal::TERM);
        relay.wait_for(|line| line.contains("told to end").then_some(()));
        if again {
            relay.signal(Signal::INT);
        }
        let relay = relay.wait();
        assert_eq!(relay.code, Some(0), "{drain}: {relay:?}");
        let late = relay
            .err
            .contains("did not finish within the drain deadline");
        assert_eq!(late, !again, "{drain}: {relay:?}");
        assert_eq!(call.wait().code, Some(4), "{drain}");
        assert_eq!(place.sockets(), Vec::<String>::new());
    }
}

#[test]
fn a_killed_process_is_restarted_and_the_rest_goes_on() {
    let place = place();
    // A job that was calling the worker as it is killed would end, and everything with it.
    let up = place.start("up --times 0 --then sleep --set deadline.drain=300ms");
    let first = worker_process(&place);
    rustix::process::kill_process(first, Signal::KILL).expect("it is there");
    eventually("the dead process is gone", || !is_there(first));
    assert_ne!(worker_process(&place), first);
    up.signal(Signal::TERM);
    let up = up.wait();
    assert!(
        up.err.contains("died: killed by SIGKILL; restarting it"),
        "{up:?}"
    );
    assert_eq!(up.err.matches("died: ").count(), 1, "{up:?}");
}

#[test]
fn nothing_outlives_a_killed_parent() {
    let place = place();
    let up = place.start("up --then sleep --set deadline.drain=300ms");
    let worker = worker_process(&place);
    up.signal(Signal::KILL);
    eventually("the worker ends", || !is_there(worker));
    eventually("its socket is gone", || place.sockets().is_empty());
}

#[test]
fn a_second_run_is_refused_and_says_who_is_there() {
    let place = place();
    let _first = place.start("up --then sleep --set deadline.drain=300ms");
    let worker = worker_process(&place);
    for args in ["up", "run worker"] {
        let second = place.run(args);
        assert_eq!(second.code, Some(3), "{second:?}");
        let text = format!("is in use by process {}", worker.as_raw_nonzero());
        assert!(second.err.contains(&text), "{second:?}");
    }
    assert_eq!(worker_process(&place), worker);
}

#[test]
fn a_simulated_handler_that_never_ends_is_named() {
    let place = place();
    let run = place.run("sim --then spin --patience 300ms");
    assert_eq!(run.code, Some(5), "{run:?}");
    assert!(
        run.err.contains("`app/worker/spin` has held the thread"),
        "{run:?}"
    );
}

#[test]
fn of_many_runs_one_whose_handler_never_ends_is_found_and_named() {
    let place = place();
    let many = "sim --then spin --patience 300ms --seeds 0..4 --faults none";
    // In several processes it is a run that failed, and what is known of it is written down.
    let run = place.run(&format!("{many} --jobs 2"));
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(
        run.out.contains("✗ handlers give the thread back"),
        "{run:?}"
    );
    let named = "`app/worker/spin` has held the thread for 300ms";
    assert!(
        run.out.contains(named) && run.out.contains("seed 0"),
        "{run:?}"
    );
    // In one process nothing but its end helps.
    let run = place.run(&format!("{many} --jobs 1"));
    assert_eq!(run.code, Some(5), "{run:?}");
    assert!(
        run.err.contains("seed 0: ") && run.err.contains(named),
        "{run:?}"
    );
}

#[test]
fn a_handler_that_never_ends_is_reported_and_the_watchdog_ends_the_process() {
    let place = place();
    let run =
        place.start("run --then spin --set zmq.stall_threshold=100ms --set deadline.drain=10ms");
    std::thread::sleep(Duration::from_millis(600));
    run.signal(Signal::TERM);
    run.signal(Signal::INT);
    let run = run.wait();
    assert_eq!(run.code, Some(70), "{run:?}");
    assert!(run.err.contains("a handler holds the thread"), "{run:?}");
    assert!(run.err.contains("app/worker/spin"), "{run:?}");
}

/// A standard error that nobody reads, like that of a program whose `2>&1 | head` has ended.
fn unread() -> std::io::PipeWriter {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer
}

#[test]
fn nobody_reading_the_log_is_no_failure() {
    let place = place();
    for (args, code) in [
        ("run --then log", 0),
        ("up --then log", 0),
        ("sim --then log --trace-hash", 0),
        ("run --then fail", 1),
        ("run nothing", 2),
    ] {
        let run = place
            .command(&format!("{args} --log-level info"))
            .stdin(Stdio::null())
            .stderr(unread())
            .output()
            .expect("it starts");
        assert_eq!(run.status.code(), Some(code), "{args}: {run:?}");
        let said = String::from_utf8_lossy(&run.stdout);
        assert_eq!(said.contains("10 handled"), code == 0, "{args}: {run:?}");
    }
}

#[test]
fn the_watchdog_ends_a_process_whose_log_nobody_reads() {
    let place = place();
    let run = place
        .command("run worker --set deadline.drain=10ms")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(unread())
        .spawn()
        .expect("it starts");
    let process = Pid::from_child(&run);
    let mut run = Bounded(run);
    assert_eq!(worker_process(&place), process);
    // Nobody waits for it: it holds the thread until the process ends.
    let cast = place.run("call worker spin --running --deadline 100ms");
    assert_eq!(cast.code, Some(4), "{cast:?}");
    for signal in [Signal::TERM, Signal::INT] {
        kill_process(process, signal).expect("it is there");
    }
    let mut code = None;
    eventually("it ends", || {
        code = run.0.try_wait().expect("a child").map(|ended| ended.code());
        code.is_some()
    });
    assert_eq!(code, Some(Some(70)));
}

/// A process that the test does not leave behind.
struct Bounded(Child);

impl Drop for Bounded {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn when_one_process_cannot_be_started_the_others_end_in_order() {
    // How many descriptors are just too few depends on the system.
    let stopped_half_way = (8..40).any(|descriptors| {
        let place = place();
        let up = place.command("up");
        let mut shell = std::process::Command::new("sh");
        shell
            .args(["-c", &format!("ulimit -n {descriptors}; exec \"$0\" up")])
            .arg(up.get_program())
            .current_dir(place.path())
            .env("MONOFIL_NETWORK__RUNTIME_DIR", place.path())
            .env("MONOFIL_LOG__FORMAT", "human");
        let up = Program::start(&mut shell).wait();
        let was_killed = up.err.contains("did not end in time");
        assert!(!was_killed, "{descriptors}: {up:?}");
        let is_it = up.err.contains("error: the process of `relay`");
        assert!(!is_it || up.code == Some(3), "{descriptors}: {up:?}");
        is_it
    });
    assert!(stopped_half_way);
}
