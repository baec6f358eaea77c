//! How soon the dead are noticed, and at what cost.

use std::time::Duration;

use monofil_container::Counter;
use monofil_tests::{number, seeds as test_seeds};

use crate::village::{SECOND, Village, id, seeds};

/// What SWIM promises for networks without end: on average the first to ask a dead member does so after this many
/// thousandths of a period (e / (e - 1); Das, Gupta, Motivala, 2002, section 3).
const MEAN_PERIODS: u32 = 1582;

#[test]
fn three_that_die_are_gone_within_the_bound() {
    for seed in test_seeds(20) {
        let mut village = Village::new(seed);
        let nodes = village.settle(12);
        for dead in &nodes[9..] {
            village.world().vanish(*dead);
        }
        let suspect_for = seeds(&[]).suspect_for(12, SECOND);
        // Asked within the round of anybody, two seconds for who asks to give up, suspicion, and time for the news.
        let bound = SECOND * 8 + suspect_for;
        village.wait_until(bound, &format!("three are gone, seed {seed}"), |village| {
            village.is_whole(&nodes[..9])
        });
    }
}

/// Prints a table; `cargo test -p monofil-tests detection -- --nocapture` shows it.
#[test]
fn detection_takes_as_long_as_swim_says() {
    println!(
        "members  first suspicion (periods)  expected  first down  everywhere  packets/s each"
    );
    let sizes: &[usize] = match number("MEMBERS") {
        Some(only) => &[usize::try_from(only).expect("a size")],
        None => &[10, 50],
    };
    for size in sizes {
        let (mut suspected, mut down, mut everywhere) =
            (Duration::ZERO, Duration::ZERO, Duration::ZERO);
        let mut packets = 0;
        let runs = test_seeds(if *size > 20 { 4 } else { 20 });
        let count = u32::try_from(runs.clone().count()).expect("few");
        for seed in runs {
            let mut village = Village::new(seed);
            let nodes = village.settle(*size);
            village.run(SECOND * 3);
            let sent = |village: &Village| -> u64 {
                let sent = nodes[1..]
                    .iter()
                    .map(|it| village.counter(*it, Counter::MembershipSent));
                sent.sum()
            };
            let before = sent(&village);
            village.run(SECOND * 20);
            packets += (sent(&village) - before) / 20 / (*size as u64 - 1);
            let (dead, alive) = (nodes[0], &nodes[1..]);
            village.world().vanish(dead);
            let limit = SECOND * 60;
            let is_quiet = |village: &Village, sure: bool| {
                alive.iter().any(|it| {
                    village.state(*it, "n0").is_some_and(|state| {
                        if sure {
                            !state.is_up()
                        } else {
                            state == monofil_container::MemberState::Suspect
                        }
                    })
                })
            };
            let first = village.wait_until(limit, "one suspects it", |it| is_quiet(it, false));
            let sure = village.wait_until(limit, "one is sure", |it| is_quiet(it, true));
            let rest = village.wait_until(limit, "all know", |village| {
                alive.iter().all(|it| !village.up(*it).contains(&id("n0")))
            });
            suspected += first;
            down += first + sure;
            everywhere += first + sure + rest;
        }
        // A probe that is not answered is known to be lost at the end of its period.
        let mean = (suspected / count).saturating_sub(SECOND);
        println!(
            "{size:7}  {:25.2}  {:8.2}  {:9.2?}  {:9.2?}  {:8}",
            mean.as_secs_f64(),
            f64::from(MEAN_PERIODS) / 1000.0,
            down / count,
            everywhere / count,
            packets / u64::from(count),
        );
        // The mean of so few runs is not what it is of many; twice as long would be another protocol.
        assert!(mean < SECOND * 2 * MEAN_PERIODS / 1000, "{size}: {mean:?}");
        let bound = suspected / count + seeds(&[]).suspect_for(*size, SECOND) + SECOND * 4;
        assert!(
            everywhere / count < bound,
            "{size}: {:?}",
            everywhere / count
        );
    }
}
