//! Signals, closing, and the end of the process.

use std::env;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use monofil_transport::{Event, JobId, Offload, OffloadJob, Plane, Route, Shutdown, Transport};
use monofil_zmq::{EXIT_CODE_WATCHDOG, Options, exit_watchdog};
use rustix::process::{Signal, getpid, kill_process};

use crate::support::{Nobody, PATIENCE, client, drive, node, quick};

#[test]
fn the_first_signal_drains_and_the_second_ends() {
    let mut server = node(Options {
        signals: true,
        ..quick()
    });
    for (signal, expected) in [
        (Signal::TERM, Shutdown::Drain),
        (Signal::INT, Shutdown::Now),
    ] {
        kill_process(getpid(), signal).expect("it is ours");
        drive(&mut [&mut server], |_, event| match event {
            Event::Shutdown(shutdown) => {
                assert_eq!(shutdown, expected);
                true
            }
            _ => false,
        });
    }
}

#[test]
fn closing_waits_until_accepted_frames_have_left() {
    let mut server = node(quick());
    let mut peer = client(quick());
    let endpoint = server.local().application.expect("bound");
    let connection = peer
        .connect(Plane::Application, &endpoint)
        .expect("an endpoint");
    for _ in 0..20 {
        peer.send(&Route::Connection(connection), vec![1; 50_000].into())
            .expect("there is room");
    }
    let closing = thread::spawn(move || peer.close(PATIENCE));
    let mut arrived = 0;
    drive(&mut [&mut server], |_, event| {
        arrived += usize::from(matches!(event, Event::Frame { .. }));
        arrived == 20
    });
    assert!(closing.join().expect("it closed"));
}

#[test]
fn closing_does_not_wait_longer_than_it_may() {
    let mut peer = client(quick());
    let nobody = Nobody::new();
    let connection = peer
        .connect(Plane::Application, &nobody.endpoint())
        .expect("an endpoint");
    peer.send(&Route::Connection(connection), "to nobody".into())
        .expect("there is room");
    let started = Instant::now();
    assert!(!peer.close(Duration::from_millis(200)));
    assert!(started.elapsed() >= Duration::from_millis(190));
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_full_pool_hands_the_job_back() {
    let options = Options {
        helpers_max: 1,
        helper_jobs_max: 2,
        ..quick()
    };
    let mut node = client(options);
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let (started, running) = std::sync::mpsc::channel();
    let job = |id, work: Box<dyn FnOnce() -> Box<dyn std::any::Any + Send> + Send>| OffloadJob {
        id: JobId(id),
        work,
        modelled: Duration::ZERO,
    };
    let blocked = move || {
        started.send(()).expect("awaited");
        gate.recv().expect("opened");
        Box::new(()) as Box<dyn std::any::Any + Send>
    };
    node.offload(job(0, Box::new(blocked)))
        .expect("a helper is free");
    running.recv_timeout(PATIENCE).expect("it runs");
    node.offload(job(1, Box::new(|| Box::new(()))))
        .expect("one may wait");
    node.offload(job(2, Box::new(|| Box::new(()))))
        .expect("two may wait");
    let full = node
        .offload(job(3, Box::new(|| Box::new(()))))
        .expect_err("two wait");
    assert_eq!((full.job.id, full.limit), (JobId(3), 2));
    go.send(()).expect("it waits");
    let mut done = Vec::new();
    drive(&mut [&mut node], |_, event| {
        if let Event::JobDone(id, _) = event {
            done.push(id);
        }
        done.len() == 3
    });
    assert_eq!(done, [JobId(0), JobId(1), JobId(2)]);
}

/// Says that this process is the one that the watchdog shall end.
const HANGING: &str = "MONOFIL_ZMQ_TEST_HANGS";

#[test]
fn the_exit_watchdog_ends_a_process_that_does_not() {
    if env::var_os(HANGING).is_some() {
        exit_watchdog(Duration::from_millis(50));
        loop {
            thread::park();
        }
    }
    let this = env::current_exe().expect("this program");
    let ended = Command::new(this)
        .args([
            "--exact",
            "ending::the_exit_watchdog_ends_a_process_that_does_not",
            "--nocapture",
        ])
        .env(HANGING, "1")
        .output()
        .expect("it ran");
    assert_eq!(ended.status.code(), Some(EXIT_CODE_WATCHDOG));
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("exit watchdog"), "{said}");
}
