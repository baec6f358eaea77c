//! What a world takes, counted by the allocator, and whether it gives it back.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::process::Command;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicIsize};
use std::time::Duration;

use monofil_sim::{Case, Keep, Sim};

use crate::BUGS;
use crate::bug::Bug;

/// What one test watches.
struct Meter {
    bytes: AtomicIsize,
    allocations: AtomicIsize,
}

impl Meter {
    const fn new() -> Self {
        Self {
            bytes: AtomicIsize::new(0),
            allocations: AtomicIsize::new(0),
        }
    }

    /// Returns how many bytes are held, and how many allocations.
    fn read(&self) -> (isize, isize) {
        (self.bytes.load(Relaxed), self.allocations.load(Relaxed))
    }

    /// Does something on a thread of its own, and returns what it left: what the thread kept is gone with it.
    fn left_by(&'static self, work: impl FnOnce() + Send) -> (isize, isize) {
        let before = self.read();
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                METER.set(Some(self));
                work();
            });
            thread.join().expect("it does not panic");
        });
        let after = self.read();
        (after.0 - before.0, after.1 - before.1)
    }
}

thread_local! {
    /// Who watches this thread. It has no destructor, and so is there until the thread is not.
    static METER: Cell<Option<&'static Meter>> = const { Cell::new(None) };
}

/// The system's allocator, which tells the thread's meter.
struct Counting;

#[expect(
    unsafe_code,
    reason = "an allocator is the only one who sees every allocation"
)]
// SAFETY: it does what the system's allocator does, and counts in a cell that never allocates.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed(), 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed(), -1);
        // SAFETY: what was allocated here was allocated by the system's allocator.
        unsafe { System.dealloc(place, layout) }
    }
}

fn count(bytes: isize, allocations: isize) {
    let of_all = COUNTS_ALL.load(Relaxed).then_some(&ALL);
    for meter in METER.get().into_iter().chain(of_all) {
        meter.bytes.fetch_add(bytes, Relaxed);
        meter.allocations.fetch_add(allocations, Relaxed);
    }
}

/// Watches all threads of the process, once it is told to.
static ALL: Meter = Meter::new();
static COUNTS_ALL: AtomicBool = AtomicBool::new(false);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs worlds of all apps for so long, and wants that nothing is left of them.
fn nothing_is_left(meter: &'static Meter, seeds: u64, time: fn(u64) -> Duration) {
    for bug in BUGS {
        let run = |seed: Option<u64>| {
            meter.left_by(move || {
                if let Some(seed) = seed {
                    run_for(bug, seed, time(seed));
                }
            })
        };
        // Names are kept for as long as the process lives, and are there after the first.
        run(Some(0));
        // Of the thread itself.
        let nothing = run(None);
        for seed in 0..seeds {
            let left = run(Some(seed));
            assert_eq!(
                left, nothing,
                "{}: seed {seed}: bytes, allocations",
                bug.name
            );
        }
    }
}

fn run_for(bug: &'static Bug, seed: u64, time: Duration) {
    let mut sim = Sim::new("app", seed);
    bug.build(&mut sim, true);
    let plan = bug.faults().draw(seed, &sim.nodes());
    sim.follow(&plan);
    sim.run_for(time);
    sim.abandon();
}

#[test]
fn a_world_gives_back_all_it_took() {
    static METER: Meter = Meter::new();
    nothing_is_left(&METER, 3, |_| Duration::from_secs(12));
}

#[test]
fn a_world_that_is_dropped_in_the_middle_gives_back_all_it_took() {
    static METER: Meter = Meter::new();
    nothing_is_left(&METER, 10, |seed| Duration::from_millis(100 + seed * 20));
}

/// Each run of a scenario has a thread of its own, so all threads are watched, in a process that does nothing else.
#[test]
fn each_run_of_a_scenario_gives_back_all_it_took() {
    const TEST: &str = "memory::each_run_of_a_scenario_gives_back_all_it_took";
    const CHILD: &str = "MONOFIL_MEMORY";
    /// What is kept for as long as the process lives is there after so many runs.
    const FIRST: u64 = 3;
    let seeds = std::env::var("SEEDS").map_or(6, |seeds| seeds.parse().expect("a number"));
    if std::env::var_os(CHILD).is_none() {
        let program = std::env::current_exe().expect("it is there");
        let mut child = Command::new(program);
        child.args([TEST, "--exact", "--nocapture"]).env(CHILD, "1");
        let output = child.output().expect("it starts");
        let heard = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{heard}");
        return;
    }
    COUNTS_ALL.store(true, Relaxed);
    for bug in BUGS {
        let scenario = bug.scenario(true);
        let run = |seed| {
            drop(scenario.run(&Case::of_seed(seed), Keep::default()));
            ALL.read()
        };
        (0..FIRST).for_each(|seed| _ = run(seed));
        let held = ALL.read();
        for seed in FIRST..FIRST + seeds {
            assert_eq!(
                run(seed),
                held,
                "{}: seed {seed}: bytes, allocations",
                bug.name
            );
        }
    }
}
