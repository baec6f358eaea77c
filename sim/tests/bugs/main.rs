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
mod bug;
mod charge_twice;
mod deadlock;
mod failover;
mod incarnations;
mod lost_update;
mod memory;
mod missed_wakeup;
mod rate_card;
mod reordered_queue;
mod seat_map;
mod split_brain;
mod stale_read;
mod two_phase_commit;
mod unfenced_lock;
mod wedged_breaker;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use monofil_sim::{Case, Keep};

use bug::{Bug, all_of, events};

static BUGS: [&Bug; 14] = [
    &lost_update::BUG,
    &split_brain::BUG,
    &two_phase_commit::BUG,
    &stale_read::BUG,
    &charge_twice::BUG,
    &missed_wakeup::BUG,
    &deadlock::BUG,
    &incarnations::BUG,
    &reordered_queue::BUG,
    &wedged_breaker::BUG,
    &unfenced_lock::BUG,
    &failover::BUG,
    &rate_card::BUG,
    &seat_map::BUG,
];

/// A bug is found in so many seeds, and in so much time.
const SEEDS_MAX: u64 = 10_000;
const TIME_MAX: Duration = Duration::from_secs(60);

/// What is found is run again so often; a debug build, which takes ten times as long, is not the one that counts.
const REPLAYS: u64 = if cfg!(debug_assertions) { 10 } else { 100 };

/// What it took to find a bug.
struct Row {
    bug: &'static Bug,
    seeds: u64,
    time: Duration,
    events: usize,
    shrunk: usize,
    by_hand: usize,
    broken: String,
}

fn look_for(bug: &'static Bug) -> Row {
    let planted = bug.scenario(false);
    let began = Instant::now();
    // Others are looked for meanwhile, on the other processors.
    let runs = planted.clone().explore(0..SEEDS_MAX).jobs(1);
    let found = runs.shrink_for(Duration::ZERO).run().found;
    let time = began.elapsed();
    let found = found.unwrap_or_else(|| panic!("{}: not in {SEEDS_MAX} seeds", bug.name));
    assert_eq!(found.failure.property, bug.property);
    let seed = found.run;
    let case = Case::of_seed(seed);
    let first = events(&bug.run(&case, false));
    let corrected = bug.run(&case, true);
    assert_eq!(corrected.failure, None, "{}: corrected", bug.name);
    let shrunk = planted.clone().explore(seed..seed + 1).jobs(1).run();
    let shrunk = shrunk.found.expect("what was found is found again").shrunk;
    for fault in &shrunk.ran.plan.events {
        // Twice as long may be simpler than twice as many; longer than ever is not.
        let most = Duration::from_millis(4 * bug.millis);
        let lasts = fault.lasts.unwrap_or_default();
        assert!(lasts.0 <= most, "{}: {fault:?}", bug.name);
    }
    // As it is read from the file that a failure leaves.
    let written = toml::to_string(&shrunk.case).expect("a case can be written");
    let read: Case = toml::from_str(&written).expect("what was written can be read");
    for replay in 0..REPLAYS {
        let again = planted.run(&read, Keep::default());
        let is_same = (&again.failure, again.hash) == (&shrunk.ran.failure, shrunk.ran.hash);
        assert!(is_same, "{}: replay {replay} differs", bug.name);
    }
    Row {
        bug,
        seeds: seed + 1,
        time,
        events: first,
        shrunk: all_of(&shrunk),
        by_hand: (bug.by_hand)().events(),
        broken: shrunk
            .ran
            .failure
            .map_or_else(String::new, |it| it.to_string()),
    }
}

/// Does something with each bug, on all processors.
fn for_each<T: Send>(work: impl Fn(&'static Bug) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..processors {
            scope.spawn(|| {
                while let Some(bug) = BUGS.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let one = (bug.name, work(bug));
                    done.lock().expect("nobody panicked").push(one);
                }
            });
        }
    });
    let mut done = done.into_inner().expect("nobody panicked");
    let place = |name: &str| BUGS.iter().position(|bug| bug.name == name);
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
            bug,
            seeds,
            time,
            events,
            shrunk,
            by_hand,
            ..
        } = row;
        println!(
            "{:<33} {seeds:>6} {:>8.3} {events:>7} {shrunk:>7} {by_hand:>8}  {}",
            bug.name,
            time.as_secs_f64(),
            bug.known_from
        );
    }
    for row in &rows {
        // What nobody optimised takes its time; CI runs this optimised, in the phase `bugs`.
        let is_in_time = cfg!(debug_assertions) || row.time <= TIME_MAX;
        assert!(is_in_time, "{}: {:?}", row.bug.name, row.time);
        assert!(
            row.shrunk <= 2 * row.by_hand,
            "{}: {} events are not as few as {} by hand: {}",
            row.bug.name,
            row.shrunk,
            row.by_hand,
            row.broken
        );
    }
    let published = BUGS.iter().filter(|bug| !bug.known_from.is_empty()).count();
    assert!(published >= 5, "only {published} are known from elsewhere");
}

#[test]
fn each_is_there_in_the_history_made_by_hand_and_not_when_corrected() {
    for bug in BUGS {
        for seed in 0..10 {
            let case = bug.case_by_hand(seed);
            let planted = bug.run(&case, false);
            assert_eq!(events(&planted), (bug.by_hand)().events(), "{}", bug.name);
            assert!(planted.failure.is_some(), "{}: {}", bug.name, bug.property);
            assert_eq!(bug.run(&case, true).failure, None, "{}", bug.name);
        }
    }
}

/// Otherwise what is found is compared with something that is too big.
#[test]
fn each_history_made_by_hand_has_nothing_that_it_does_not_need() {
    for bug in BUGS {
        for seed in 0..10 {
            let whole = (bug.by_hand)().events();
            let with_less = bug.cases_with_less(seed);
            assert_eq!(with_less.len(), whole, "{}", bug.name);
            for (gone, case) in with_less {
                let ran = bug.run(&case, false);
                assert_eq!(events(&ran), whole - 1, "{}", bug.name);
                assert_eq!(ran.failure, None, "{}: without {gone}", bug.name);
            }
        }
    }
}

#[test]
fn corrected_apps_keep_their_properties() {
    let seeds = std::env::var("SEEDS").ok();
    let seeds: u64 = seeds.map_or(10, |it| it.parse().expect("SEEDS is a number"));
    for_each(|bug| {
        let report = bug.scenario(true).explore(0..seeds).jobs(1).run();
        assert!(report.found.is_none(), "{report}");
    });
}
