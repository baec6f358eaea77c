//! A receiver that is killed and started again under load, and one that is stopped: what was accepted is
//! handled once and in order, or it is reported.
//!
//! `ROUNDS=200 cargo test --release -p monofil-tests restarts` kills it so often over each of TCP and UNIX sockets,
//! `SEEDS=10000` tries as many simulated worlds, `SEED=17` one of them, and `SECONDS_STOPPED=60` stops it for so
//! long. Add `-- --nocapture` to see how much of what there was.

mod history;
mod processes;
mod standstill;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use monofil_container::{ContainerConfig, Counter};
use monofil_inproc::{Fault, Latency, LinkModel, World};
use monofil_tests::{Amount, Entry, Happened, Load, Net, NodeSpec, Note, SimNet, seeds, sinks};
use monofil_transport::{Probability, Shutdown, Stream};

use history::{History, Totals};

/// So many casts, of which it is not known what became of them, meet each kill.
const UNSETTLED: u64 = 1000;
/// How often the receiver is killed in a simulated world.
const KILLS: usize = 3;

fn millis(random: &mut Stream, least: u64, most: u64) -> Duration {
    random.between(Duration::from_millis(least), Duration::from_millis(most))
}

/// What comes of a seed.
struct Run {
    entries: Vec<Entry>,
    /// How many casts were unsettled at each kill.
    met: Vec<u64>,
}

/// One world: its distances, its windows, and what happens in it.
struct Experiment {
    seed: u64,
    random: Stream,
    net: SimNet,
    load: Rc<Load>,
    entries: Rc<RefCell<Vec<Entry>>>,
    met: Vec<u64>,
}

impl Experiment {
    fn new(seed: u64) -> Self {
        let mut random = Stream::new(seed, "restarts");
        let entries: Rc<RefCell<Vec<Entry>>> = Rc::default();
        let noted = entries.clone();
        let note: Note = Rc::new(move |entry| noted.borrow_mut().push(entry));
        // Some die of old age on the way.
        let lives = [60, 300, 5000][draw(&mut random, 3)];
        let amount = Amount {
            bytes: 8,
            casts: 64,
            calls: 1 + draw(&mut random, 16),
            pause: millis(&mut random, 1, 4),
            deadline: Duration::from_millis(lives),
        };
        let load = Load::new(amount, note.clone());
        let every = [0, 10, 100][draw(&mut random, 3)];
        let queue = [256, 1024, 16_384][draw(&mut random, 3)];
        let takes = Duration::from_micros(random.below(500));
        let window = 1200 + random.below(3000);
        let configure = move |config: &mut ContainerConfig| {
            config.link.window_records = window;
            config.silent_after = Duration::from_millis(500);
            config.probe_interval = Duration::from_millis(100);
            config.drain_deadline = Duration::from_millis(200);
        };
        let mut net = SimNet::new(seed);
        net.start(vec![
            NodeSpec::new("one", load.sources()).configure(configure),
            NodeSpec::new("two", sinks(&note, queue, every, takes)).configure(configure),
        ]);
        let mut experiment = Self {
            seed,
            random,
            net,
            load,
            entries,
            met: Vec::new(),
        };
        experiment.set_distance();
        experiment
    }

    /// Frames overtake nobody, but take their time, each its own.
    fn set_distance(&mut self) {
        let min = Duration::from_millis(2) + self.random.exponential(Duration::from_millis(3));
        let max = min + self.random.exponential(Duration::from_millis(10));
        let model = LinkModel::with_latency(Latency::Uniform { min, max });
        let (world, one, two) = self.world();
        world.set_link(one, two, &model);
        world.set_link(two, one, &model);
    }

    fn world(&mut self) -> (&mut World, monofil_inproc::NodeKey, monofil_inproc::NodeKey) {
        let world = self.net.world();
        let (one, two) = (world.node("one"), world.node("two"));
        (world, one.expect("one"), two.expect("two"))
    }

    fn pass(&mut self, least: u64, most: u64) {
        let pause = millis(&mut self.random, least, most);
        self.net.world().run_for(pause);
    }

    fn unsettled(&self) -> u64 {
        let net: &dyn Net = &self.net;
        net.gauges("one")["monofil_link_casts_unsettled"]
    }

    /// Breaks the connection, or lets nothing pass for a while, one way or both; or nothing.
    fn disturb(&mut self) {
        let kind = self.random.below(4);
        let while_ = millis(&mut self.random, 1, 100);
        let (world, one, two) = self.world();
        let now = world.now();
        match kind {
            0 => world.disconnect(one, two),
            1 => {
                world.cut(one, two);
                world.at(now + while_, move |world| world.heal(one, two));
            }
            2 => {
                let (from, to) = (two, one);
                world.apply(Fault::Cut { from, to });
                world.apply_at(now + while_, Fault::Heal { from, to });
            }
            _ => {}
        }
    }

    /// Kills the receiver while much is under way, and starts it again.
    fn kill(&mut self) {
        self.pass(1, 60);
        self.disturb();
        self.pass(0, 60);
        let limit = self.net.world().now() + Duration::from_secs(60);
        while self.unsettled() < UNSETTLED {
            self.net.world().run_for(Duration::from_micros(500));
            let seed = self.seed;
            assert!(self.net.world().now() < limit, "seed {seed}: no load");
        }
        self.met.push(self.unsettled());
        self.net.kill("two");
        self.pass(1, 300);
        self.net.restart("two");
        if self.random.chance(Probability::percent(20)) {
            // It does not get far.
            self.pass(0, 20);
            self.net.kill("two");
            self.pass(1, 50);
            self.net.restart("two");
        } else if self.random.chance(Probability::percent(20)) {
            self.pass(0, 100);
            let (world, _, two) = self.world();
            world.shutdown(two, Shutdown::Drain);
            self.pass(100, 400);
            self.net.restart("two");
        }
    }

    fn run(mut self) -> Run {
        for _ in 0..KILLS {
            self.kill();
        }
        self.pass(1, 200);
        self.load.end();
        // Everything has ended by then, even what had to wait for a connection.
        self.net.world().run_for(Duration::from_secs(30));
        let (seed, net): (_, &dyn Net) = (self.seed, &self.net);
        let gauges = net.gauges("one");
        for gauge in [
            "monofil_link_casts_unsettled",
            "monofil_link_records_unacknowledged",
            "monofil_calls_under_way",
        ] {
            assert_eq!(gauges[gauge], 0, "seed {seed}: {gauge}");
        }
        let dropped = net.counter("one", Counter::CastsUndeliveredDropped);
        assert_eq!(dropped, 0, "seed {seed}");
        Run {
            entries: self.entries.take(),
            met: self.met,
        }
    }
}

fn draw(random: &mut Stream, bound: u64) -> usize {
    usize::try_from(random.below(bound)).expect("small")
}

/// Judges, and fails when something is not as promised.
fn judge(history: History, label: &str) -> Totals {
    let (totals, examples) = history.judge();
    assert!(totals.are_sound(), "{label}: {totals:#?} {examples:#?}");
    totals
}

#[test]
fn a_receiver_that_is_killed_under_load_loses_nothing_silently_in_simulated_worlds() {
    let (mut totals, mut met) = (Totals::default(), Vec::new());
    for seed in seeds(10) {
        let run = Experiment::new(seed).run();
        totals += judge(History::of(run.entries), &format!("seed {seed}"));
        met.extend(run.met);
    }
    report("simulated worlds", &totals, met);
}

/// Shows what there was.
fn report(label: &str, totals: &Totals, mut met: Vec<u64>) {
    met.sort_unstable();
    let (least, median) = (met[0], met[met.len() / 2]);
    let kills = met.len();
    println!("{label}: {kills} kills, unsettled at least {least}, median {median}: {totals:#?}");
    assert!(least >= UNSETTLED, "{label}");
    assert!(totals.reported > 0 && totals.answered > 0, "{label}");
}

#[test]
fn what_is_planted_into_a_run_is_found() {
    let entries = Experiment::new(1).run().entries;
    judge(History::of(entries.clone()), "as it was");
    // One cast that ended well, and the one that was handled after it.
    let mut ends: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (at, entry) in entries.iter().enumerate() {
        if entry.stream == 0 && entry.what != Happened::Sent {
            ends.entry(entry.number).or_default().push(at);
        }
    }
    let handled: Vec<usize> = ends
        .values()
        .filter_map(|ends| match ends[..] {
            [at] if entries[at].what == Happened::Handled => Some(at),
            _ => None,
        })
        .collect();
    let (at, next) = (handled[handled.len() / 2], handled[handled.len() / 2 + 1]);
    let judged = |entries| History::of(entries).judge().0;

    let mut loss = entries.clone();
    loss.remove(at);
    assert_eq!(judged(loss).vanished, 1);

    let mut duplicate = entries.clone();
    duplicate.push(entries[at]);
    assert_eq!(judged(duplicate).doubled, 1);

    let mut swap = entries;
    swap.swap(at, next);
    assert!(judged(swap).swapped > 0);
}
