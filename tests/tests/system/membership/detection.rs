//! How soon the dead are noticed, and at what cost.

use std::time::Duration;

use monofil_container::MemberState;
use monofil_inproc::NodeKey;
use monofil_tests::{number, seeds as test_seeds};
use monofil_transport::{Instant, Stream};

use crate::village::{SECOND, Village, seeds};

/// What SWIM promises for networks without end: on average the first to ask a dead member does so after this many
/// thousandths of a period. Das, Gupta, Motivala, 2002, section 3, count e / (e - 1) from the beginning of the period in
/// which it dies, which is half a period earlier on average.
const MEAN_PERIODS: u32 = 1582 - 500;

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

/// Members who died, and when that was noticed.
struct Death {
    name: String,
    at: Instant,
    /// Somebody's probe was not answered.
    suspected: Option<Duration>,
    /// Somebody holds it to be down.
    down: Option<Duration>,
    everywhere: Option<Duration>,
    /// Of those alive, who does not hold it to be down yet.
    unaware: Vec<NodeKey>,
}

impl Death {
    /// Looks what the others know of it by now.
    fn look(&mut self, village: &Village, alive: &[NodeKey]) {
        let passed = Some(village.now().since(self.at));
        if self.suspected.is_none() {
            let is_up = |of: &NodeKey| village.state(*of, &self.name) == Some(MemberState::Up);
            if alive.iter().all(is_up) {
                return;
            }
            self.suspected = passed;
        }
        let is_up = |of: &NodeKey| village.state(*of, &self.name).is_some_and(|it| it.is_up());
        self.unaware.retain(is_up);
        if self.down.is_none() && self.unaware.len() < alive.len() {
            self.down = passed;
        }
        if self.unaware.is_empty() {
            self.everywhere = passed;
        }
    }
}

/// What it took, on average.
#[derive(Default)]
struct Row {
    deaths: u32,
    suspected: Duration,
    down: Duration,
    everywhere: Duration,
    /// Thousandths of a packet that a member sends in a second in which nothing happens, in the last network.
    load: u64,
    /// That is how long after all of them have begun at once.
    quiet: Duration,
}

/// Lets so many members of a network die, each at another moment of a period.
fn measure(size: usize, deaths: usize, seed: u64, row: &mut Row) {
    let mut random = Stream::new(seed, "deaths");
    let mut village = Village::new(seed);
    let nodes = village.settle(size);
    row.quiet = village.rest(&nodes);
    row.load = village.load(&nodes);

    let step = Duration::from_millis(50);
    let mut alive = nodes;
    let mut dead: Vec<Death> = Vec::new();
    let mut next = village.now();
    let limit = village.now() + SECOND * 120;
    while dead.len() < deaths || dead.iter().any(|it| it.everywhere.is_none()) {
        assert!(
            village.now() < limit,
            "{size} members, seed {seed}: not noticed"
        );
        if dead.len() < deaths && village.now() >= next {
            let place = usize::try_from(random.below(alive.len() as u64)).expect("small");
            let node = alive.swap_remove(place);
            dead.push(Death {
                name: village.world().name(node).to_owned(),
                at: village.now(),
                suspected: None,
                down: None,
                everywhere: None,
                unaware: alive.clone(),
            });
            village.world().vanish(node);
            for earlier in &mut dead {
                earlier.unaware.retain(|it| *it != node);
            }
            next = village.now() + random.between(SECOND, SECOND * 2);
        }
        village.run(step);
        for death in dead.iter_mut().filter(|it| it.everywhere.is_none()) {
            death.look(&village, &alive);
        }
    }
    for death in dead {
        row.deaths += 1;
        row.suspected += death.suspected.unwrap_or_default();
        row.down += death.down.unwrap_or_default();
        row.everywhere += death.everywhere.unwrap_or_default();
    }
}

/// Prints a table; `MEMBERS=1000` adds a network of that size, for which an optimised build is wanted.
#[test]
fn detection_takes_as_long_as_swim_says() {
    println!(
        "members  deaths  first failed probe (periods)  e/(e-1)-1/2  first down  everywhere  packets/s each  quiet"
    );
    let mut sizes = vec![(10, 1, 20), (100, 20, 1)];
    if let Some(size) = number("MEMBERS") {
        sizes.push((usize::try_from(size).expect("a size"), 20, 1));
    }
    let mut least_load = None;
    for (size, deaths, runs) in sizes {
        let mut row = Row::default();
        for seed in 1..=runs {
            measure(size, deaths, seed, &mut row);
        }
        let load = row.load;
        let (suspected, down, everywhere) = (
            row.suspected / row.deaths,
            row.down / row.deaths,
            row.everywhere / row.deaths,
        );
        // A probe that is not answered is known to be lost at the end of its period.
        let mean = suspected.saturating_sub(SECOND);
        println!(
            "{size:7}  {:6}  {:28.2}  {:11.2}  {down:10.2?}  {everywhere:10.2?}  {:14.2}  {:.0?}",
            row.deaths,
            mean.as_secs_f64(),
            f64::from(MEAN_PERIODS) / 1000.0,
            load as f64 / 1000.0,
            row.quiet,
        );
        // The mean of so few is not what it is of many; twice as long would be another protocol.
        assert!(mean < SECOND * MEAN_PERIODS * 2 / 1000, "{size}: {mean:?}");
        let suspect_for = seeds(&[]).suspect_for(size, SECOND);
        let bound = suspected + suspect_for + SECOND;
        assert!(down < bound, "{size}: {down:?}, {bound:?}");
        assert!(
            everywhere < bound + SECOND * 2,
            "{size}: {everywhere:?}, {bound:?}"
        );
        // However many there are, each has as much to say.
        let least = *least_load.get_or_insert(load);
        assert!(load < least * 5 / 4, "{size}: {load} and {least}");
    }
}
