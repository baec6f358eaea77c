//! A simulated shop: equal seeds give equal worlds, to the last byte.

use std::collections::BTreeSet;
use std::time::Duration;

use monofil_tests::{Ended, Place};

use crate::shop::shop;

/// What anybody may type to see the same.
const COMMAND: &str = "sim --seed 7 --generate 500 --concurrency 4 --json --trace-hash";

/// The hash of everything that happens then, in every build profile and on every machine.
const HASH: &str = "ffddb4d002a71b7b0e8324c4399b0111";

const CHANGED: &str = "everything that happens in a simulated run went into this hash: which frame was sent \
    when, and each of its bytes. If two runs of one build differ, something that is no part of the \
    seed got in: a clock, an address, the order of a hash table. If debug and release differ, \
    something does not compute the same. If neither is so and a change of frames, of timers or of the \
    shop was meant, put the new hash here";

fn hash(place: &Place, command: &str) -> String {
    let ended = place.run(command);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    trace_hash(&ended).to_owned()
}

fn trace_hash(ended: &Ended) -> &str {
    let line = ended
        .err
        .lines()
        .find_map(|line| line.strip_prefix("trace hash "));
    line.unwrap_or_else(|| panic!("no hash: {ended:?}"))
}

#[test]
fn a_whole_simulated_shop_repeats_by_its_seed() {
    let place = shop();
    let first = hash(&place, COMMAND);
    assert_eq!(hash(&place, COMMAND), first, "in two processes");
    assert_eq!(first, HASH, "`orders {COMMAND}`: {CHANGED}");
    assert_ne!(
        hash(&place, &COMMAND.replace("--seed 7", "--seed 8")),
        first
    );
}

/// Simulated time is the same everywhere, so the page can be held to it.
#[test]
fn the_first_page_shows_what_a_simulated_run_says() {
    let ended = shop().run("sim --seed 7 --no-progress");
    let said = ended.out.lines().find(|line| line.contains(" orders in "));
    let said = said.unwrap_or_else(|| panic!("{ended:?}"));
    let page = include_str!("../../../../README.md");
    assert!(page.contains(said), "README.md does not say: {said}");
}

/// No family of it takes anybody's memory, so that whatever was in doubt is settled in the end.
#[test]
fn whatever_a_network_does_every_order_is_charged_and_sold_or_neither() {
    let ended = shop()
        .start("sim --seeds 0..25 --faults network --generate 200 --concurrency 16")
        .wait_within(Duration::from_secs(180));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let exactly = "the books are judged exactly: 25 of 25 runs";
    assert!(ended.out.contains(exactly), "{ended:?}");
    assert!(ended.out.contains("a customer is in doubt: "), "{ended:?}");
}

/// Who decides orders is killed now and then.
const CRASHES: &str = r#"
lasts = "1500ms"
swarm = false

[crashes]
every = "700ms"
lasts = "10ms..50ms"
nodes = ["orders"]
"#;

/// Returns the orders that were placed in a run, as it is told.
fn placed(ended: &Ended) -> BTreeSet<&str> {
    let lines = ended.out.lines().filter(|it| it.contains(" Place 1: "));
    lines.filter_map(|it| it.split('"').nth(1)).collect()
}

/// Returns how many steps are left in what was found, of how many: what is told says `2 choices of 188`.
fn steps(found: &Ended) -> (u32, u32) {
    let (before, after) = found.out.split_once(" choices of ").expect("it was shrunk");
    let left = before.rsplit(' ').next().and_then(|it| it.parse().ok());
    let of = after.split(',').next().and_then(|it| it.parse().ok());
    left.zip(of).unwrap_or_else(|| panic!("{found:?}"))
}

#[test]
fn of_200_orders_those_are_left_that_a_failure_needs() {
    let place = shop();
    std::fs::write(place.path().join("crashes.toml"), CRASHES).expect("a file");
    let found = place
        .start("sim --seeds 40..500 --faults crashes.toml --generate 200 --insist --shrink 120s")
        .wait_within(Duration::from_secs(180));
    assert_eq!(found.code, Some(1), "{found:?}");
    let what = "✗ each order is charged and sold as its customer is told, and once";
    assert!(found.out.contains(what), "{found:?}");
    assert!(found.out.contains("crash orders"), "{found:?}");
    let (left, of) = steps(&found);
    assert!((1..=5).contains(&left) && of > 20, "{}", found.out);

    let file = found
        .out
        .lines()
        .find_map(|it| it.split_once("sim replay "));
    let (_, file) = file.unwrap_or_else(|| panic!("{found:?}"));
    let again = place.run(&format!("sim replay {file}"));
    assert!(
        again.code == Some(1) && again.out.contains(what),
        "{again:?}"
    );
    assert_eq!(placed(&again), placed(&found), "{}", again.out);
    assert!(!again.out.contains("another run"), "{again:?}");
}
