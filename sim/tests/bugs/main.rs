//! Bugs that are known to be hard, planted into small apps, and what it takes to find them.
//!
//! Each app exists twice: with the bug, and corrected. A seed draws what clients do and what goes wrong; the property
//! that the bug breaks is judged when all is well again. What is found is made as small as it gets, and compared with
//! the shortest history that breaks the property, which was found by thinking.
//!
//! ```console
//! $ cargo test --release -p monofil-sim --test bugs -- --nocapture
//! $ SEEDS=10000 cargo test --release -p monofil-sim --test bugs    # the corrected ones, for so many seeds
//! ```

mod app;
mod case;
mod charge_twice;
mod deadlock;
mod failover;
mod incarnations;
mod lost_update;
mod memory;
mod missed_wakeup;
mod reordered_queue;
mod split_brain;
mod stale_read;
mod two_phase_commit;
mod unfenced_lock;
mod wedged_breaker;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use case::Case;

const CASES: [Case; 12] = [
    lost_update::CASE,
    split_brain::CASE,
    two_phase_commit::CASE,
    stale_read::CASE,
    charge_twice::CASE,
    missed_wakeup::CASE,
    deadlock::CASE,
    incarnations::CASE,
    reordered_queue::CASE,
    wedged_breaker::CASE,
    unfenced_lock::CASE,
    failover::CASE,
];

/// A bug is found in so many seeds, and in so much time.
const SEEDS_MAX: u64 = 10_000;
const TIME_MAX: Duration = Duration::from_secs(60);

/// What is found is run again so often.
const REPLAYS: u64 = 100;

/// What it took to find a bug.
struct Row {
    name: &'static str,
    known_from: &'static str,
    seeds: u64,
    time: Duration,
    events: usize,
    shrunk: usize,
    by_hand: usize,
    broken: String,
}

fn look_for(case: &Case) -> Row {
    let began = Instant::now();
    let found = case.find(SEEDS_MAX);
    let time = began.elapsed();
    let (plan, ended) =
        found.unwrap_or_else(|| panic!("{}: not found in {SEEDS_MAX} seeds", case.name));
    assert!(time <= TIME_MAX, "{}: found after {time:?}", case.name);
    let corrected = case.run(&plan, true);
    assert_eq!(corrected.broken, None, "{}: corrected", case.name);
    let (seed, events) = (plan.seed, plan.events.len());
    let small = case.shrink(plan);
    let first = case.run(&small, false);
    for replay in 0..REPLAYS {
        let again = case.run(&small, false);
        assert_eq!(again, first, "{}: replay {replay} differs", case.name);
    }
    Row {
        name: case.name,
        known_from: case.known_from,
        seeds: seed + 1,
        time,
        events,
        shrunk: small.events.len(),
        by_hand: case.plan_by_hand().events.len(),
        broken: ended.broken.unwrap_or_default(),
    }
}

/// Does something with each case, on all processors.
fn for_each<T: Send>(work: impl Fn(&Case) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..processors {
            scope.spawn(|| {
                while let Some(case) = CASES.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let one = (case.name, work(case));
                    done.lock().expect("nobody panicked").push(one);
                }
            });
        }
    });
    let mut done = done.into_inner().expect("nobody panicked");
    let place = |name: &str| CASES.iter().position(|case| case.name == name);
    done.sort_by_key(|(name, _)| place(name));
    done.into_iter().map(|(_, result)| result).collect()
}

#[test]
fn each_is_found_and_made_as_small_as_by_hand() {
    let rows = for_each(look_for);
    println!(
        "{:<33} {:>6} {:>8} {:>7} {:>7} {:>8}  known from",
        "bug", "seeds", "seconds", "events", "shrunk", "by hand"
    );
    for row in &rows {
        let Row {
            name,
            known_from,
            seeds,
            time,
            events,
            shrunk,
            by_hand,
            ..
        } = row;
        println!(
            "{name:<33} {seeds:>6} {:>8.3} {events:>7} {shrunk:>7} {by_hand:>8}  {known_from}",
            time.as_secs_f64(),
        );
    }
    for row in &rows {
        assert!(
            row.shrunk <= 2 * row.by_hand,
            "{}: {} events are not as few as {} by hand: {}",
            row.name,
            row.shrunk,
            row.by_hand,
            row.broken
        );
    }
    let published = rows.iter().filter(|row| !row.known_from.is_empty()).count();
    assert!(published >= 5, "only {published} are known from elsewhere");
}

#[test]
fn each_is_there_in_the_history_made_by_hand_and_not_when_corrected() {
    for case in &CASES {
        let mut plan = case.plan_by_hand();
        for seed in 0..10 {
            plan.seed = seed;
            let planted = case.run(&plan, false);
            assert!(planted.broken.is_some(), "{}: {}", case.name, case.property);
            let corrected = case.run(&plan, true);
            assert_eq!(corrected.broken, None, "{}", case.name);
        }
    }
}

#[test]
fn corrected_apps_keep_their_properties() {
    let seeds = std::env::var("SEEDS").ok();
    let seeds: u64 = seeds.map_or(20, |it| it.parse().expect("SEEDS is a number"));
    for_each(|case| {
        for seed in 0..seeds {
            let ended = case.run(&case.plan(seed), true);
            assert_eq!(ended.broken, None, "{}: seed {seed}", case.name);
        }
    });
}
