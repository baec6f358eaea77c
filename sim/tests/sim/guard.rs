//! What no seed decides, and how a run that does it fails.
#![cfg(target_os = "linux")]

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Once;
use std::time::{Duration, Instant, SystemTime};

use monofil_container::{
    Caller, Component, ComponentSpec, Context, HandlerError, Message, Payload, Reply, Request,
};
use monofil_sim::{Case, Keep, Scenario, Sim};

/// Does what it is asked to.
struct Leaky;

// Each in a function of its own, which does something after it: of two calls of one function an optimised build may
// make one, which has no line, and of a function's last call a jump.

#[inline(never)]
fn read_instant() -> Instant {
    black_box(Instant::now())
}

#[inline(never)]
fn read_system_time() -> SystemTime {
    black_box(SystemTime::now())
}

#[inline(never)]
fn draw_entropy() {
    black_box(getrandom::fill(&mut [0; 8])).expect("entropy");
}

#[inline(never)]
fn start_thread() {
    black_box(std::thread::spawn(|| ()).join()).expect("it does nothing");
}

#[inline(never)]
fn sleep() {
    std::thread::sleep(Duration::from_nanos(1));
    black_box(());
}

#[inline(never)]
#[expect(unsafe_code, reason = "these are functions of the C library")]
fn read_time_of_day() -> i64 {
    let mut time = libc::timeval {
        tv_sec: 0,
        tv_usec: 0,
    };
    // SAFETY: there is room for what it writes.
    black_box(unsafe { libc::gettimeofday(&raw mut time, std::ptr::null_mut()) });
    time.tv_sec
}

#[inline(never)]
#[expect(unsafe_code, reason = "these are functions of the C library")]
fn draw_entropy_in_c() -> [u8; 8] {
    let mut drawn = [0; 8];
    // SAFETY: there is room for what it writes.
    let failed = black_box(unsafe { libc::getentropy(drawn.as_mut_ptr().cast(), 8) });
    assert_eq!(failed, 0);
    drawn
}

/// As some crates do that ask for entropy.
#[inline(never)]
#[expect(unsafe_code, reason = "the kernel is asked through the C library")]
fn draw_entropy_of_the_kernel() -> [u8; 8] {
    let mut drawn = [0; 8];
    // SAFETY: there is room for what it writes.
    let got = black_box(unsafe { libc::syscall(libc::SYS_getrandom, drawn.as_mut_ptr(), 8, 0) });
    assert_eq!(got, 8);
    drawn
}

#[inline(never)]
#[expect(unsafe_code, reason = "the kernel is asked through the C library")]
fn read_clock_of_the_kernel() -> i64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let clock = libc::CLOCK_MONOTONIC;
    // SAFETY: there is room for what it writes.
    let failed = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, &raw mut time) };
    black_box(failed);
    time.tv_sec
}

/// Says how late it is whenever it is written.
struct Late;

impl std::fmt::Debug for Late {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", read_instant())
    }
}

impl Component for Leaky {
    fn handle(&mut self, cx: &mut Context, message: Message) -> Result<Reply, HandlerError> {
        match message.method().as_str() {
            "Instant" => drop(read_instant()),
            "SystemTime" => drop(read_system_time()),
            "Entropy" => draw_entropy(),
            "Thread" => start_thread(),
            "Sleep" => sleep(),
            "TimeOfDay" => assert!(read_time_of_day() > 0),
            "EntropyInC" => assert_ne!(draw_entropy_in_c(), draw_entropy_in_c()),
            "EntropyOfTheKernel" => drop(black_box(draw_entropy_of_the_kernel())),
            "ClockOfTheKernel" => _ = read_clock_of_the_kernel(),
            "Log" => tracing::warn!("a line of a log"),
            "Argument" => tracing::warn!(late = ?Late, "a line of a log"),
            "Span" => tracing::warn_span!("work").in_scope(|| _ = read_instant()),
            "Chatty" => {
                (0..20).for_each(|line| tracing::warn!(line, "a line of a log"));
                _ = read_instant();
            }
            "Table" => {
                let table: HashMap<u32, ()> = (0..100).map(|key| (key, ())).collect();
                let order: Vec<u32> = table.into_keys().collect();
                return Ok(Reply::Payload(Payload::json(&order).expect("numbers")));
            }
            _ => {
                let _ = (cx.now(), cx.wall_micros(), cx.rng().bits());
                cx.blocking(Instant::now).expect("done");
                cx.sleep(Duration::from_millis(1)).expect("slept");
            }
        }
        Ok(Reply::Empty)
    }
}

fn leaky(method: &'static str) -> Scenario {
    Scenario::new("leaky", "leaks", move |sim| {
        sim.component("leaky", || ComponentSpec::new("leaky", || Leaky));
        sim.spawn("ada", move |cx| {
            cx.call(Request::new("leaky", method, Payload::default()))
        });
    })
}

fn run(method: &'static str, seed: u64) -> monofil_sim::Ran {
    leaky(method).run(&Case::of_seed(seed), Keep::default())
}

#[test]
fn a_handler_that_reads_clock_or_entropy_or_starts_a_thread_is_named_with_its_line() {
    for (method, deed, line) in [
        ("Instant", "reads the real clock", 22),
        ("SystemTime", "reads the real clock", 27),
        ("Entropy", "reads real entropy", 32),
        ("Thread", "starts a thread", 37),
        ("Sleep", "sleeps in real time", 42),
        ("TimeOfDay", "reads the real clock", 54),
        ("EntropyInC", "reads real entropy", 63),
        ("EntropyOfTheKernel", "reads real entropy", 74),
        ("ClockOfTheKernel", "reads the real clock", 88),
    ] {
        let failure = run(method, 1).failure.expect(method);
        assert_eq!(failure.property, "a seed is one run");
        let said = format!("`leaks/leaky` {deed} in `{method}` at ");
        assert!(failure.text.starts_with(&said), "{failure}");
        assert!(
            failure
                .text
                .contains(&format!("tests/sim/guard.rs:{line}:")),
            "{failure}"
        );
    }
}

#[test]
fn what_a_context_gives_is_no_leak() {
    assert_eq!(run("Fine", 1).failure, None);
}

/// Writes lines of a log to nowhere, with time stamps of the real clock.
fn subscriber() -> impl tracing::Subscriber + Send + Sync {
    tracing_subscriber::fmt()
        .with_writer(std::io::sink)
        .finish()
}

fn log() {
    static SET: Once = Once::new();
    SET.call_once(|| {
        let set = tracing::subscriber::set_global_default(subscriber());
        set.expect("nobody else in this program sets one");
    });
}

#[test]
fn lines_of_a_log_are_no_leak() {
    log();
    assert_eq!(run("Log", 1).failure, None);
}

#[test]
fn what_a_handler_does_for_a_line_of_a_log_is_a_leak() {
    log();
    // In an argument, inside a span, after more lines than are noted at once.
    for method in ["Argument", "Span", "Chatty"] {
        let failure = run(method, 1).failure.expect(method);
        let said = format!("`leaks/leaky` reads the real clock in `{method}` at ");
        assert!(failure.text.starts_with(&said), "{failure}");
        assert!(failure.text.contains("tests/sim/guard.rs:22:"), "{failure}");
    }
}

#[test]
#[should_panic(expected = "`leaks/leaky` reads the real clock in `Instant` at ")]
fn a_subscriber_around_a_run_hides_nothing() {
    tracing::subscriber::with_default(subscriber(), || {
        let mut sim = Sim::new("leaks", 1);
        sim.component("leaky", || ComponentSpec::new("leaky", || Leaky));
        sim.run("ada", |cx| {
            cx.call(Request::new("leaky", "Instant", Payload::default()))
        })
    })
    .expect("an answer");
}

#[test]
fn the_order_of_a_table_comes_from_the_seed_of_a_run_by_hand() {
    // Each thread draws keys of its own, as each process does.
    let order = |seed| {
        let run = move || {
            let mut sim = Sim::new("leaks", seed);
            sim.component("leaky", || ComponentSpec::new("leaky", || Leaky));
            let order = sim.run("ada", |cx| {
                let reply = cx.call(Request::new("leaky", "Table", Payload::default()));
                reply.map(|it| it.to_bytes().to_vec())
            });
            (order.expect("an answer"), sim.trace_hash())
        };
        std::thread::spawn(run).join().expect("no leak")
    };
    assert_eq!(order(1), order(1));
    assert_ne!(order(1).0, order(2).0);
}

#[test]
fn the_order_of_a_table_comes_from_the_seed() {
    let hashes = |seed| (run("Table", seed).hash, run("Table", seed).hash);
    let (one, again) = hashes(1);
    assert_eq!(one, again);
    // The seed decides more than the order, so the order itself is compared.
    let order = |seed| {
        let (sender, receiver) = std::sync::mpsc::channel();
        let scenario = Scenario::new("order", "leaks", move |sim| {
            let sender = sender.clone();
            sim.component("leaky", || ComponentSpec::new("leaky", || Leaky));
            sim.spawn("ada", move |cx| {
                let reply = cx.call(Request::new("leaky", "Table", Payload::default()));
                sender
                    .send(reply.map(|it| it.to_bytes()))
                    .expect("a receiver");
            });
        });
        assert_eq!(
            scenario.run(&Case::of_seed(seed), Keep::default()).failure,
            None
        );
        receiver.recv().expect("an answer")
    };
    assert_eq!(order(1), order(1));
    assert_ne!(order(1), order(2));
}

#[test]
#[should_panic(expected = "`leaks/leaky` reads the real clock in `Instant` at ")]
fn a_run_that_is_driven_by_hand_fails_by_it_too() {
    let mut sim = Sim::new("leaks", 1);
    sim.component("leaky", || ComponentSpec::new("leaky", || Leaky));
    let _ = sim.run("ada", |cx| {
        cx.call(Request::new("leaky", "Instant", Payload::default()))
    });
}
