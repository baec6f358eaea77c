//! A simulated shop: equal seeds give equal worlds, to the last byte.

use monofil_tests::{Ended, Place};

use crate::shop::shop;

/// What anybody may type to see the same.
const COMMAND: &str = "sim --seed 7 --generate 500 --concurrency 4 --json --trace-hash";

/// The hash of everything that happens then, in every build profile and on every machine.
const HASH: &str = "f2b2bca69d214d3846f649d5cc771989";

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
