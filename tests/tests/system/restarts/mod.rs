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

use history::{Event, History, Totals};

/// So many casts, of which it is not known what became of them, meet each kill.
const UNSETTLED: u64 = 1000;
/// What the sender shows of what has not ended.
const UNDER_WAY: [&str; 3] = [
    "monofil_link_casts_unsettled",
    "monofil_link_records_unacknowledged",
    "monofil_calls_under_way",
];
/// How often the receiver is killed in a simulated world.
const KILLS: usize = 3;
/// What one that ends in order may leave unsettled, if it is cut off: as many as a link keeps.
const UNSETTLED_MAX: u64 = 65_536;

fn millis(random: &mut Stream, least: u64, most: u64) -> Duration {
    random.between(Duration::from_millis(least), Duration::from_millis(most))
}

/// What comes of a seed.
struct Run {
    events: Vec<Event>,
    /// How many casts were unsettled at each kill.
    met: Vec<u64>,
}

/// One world: its distances, its windows, and what happens in it.
struct Experiment {
    seed: u64,
    random: Stream,
    net: SimNet,
    load: Rc<Load>,
    events: Rc<RefCell<Vec<Event>>>,
    met: Vec<u64>,
}

impl Experiment {
    fn new(seed: u64) -> Self {
        let mut random = Stream::new(seed, "restarts");
        let events: Rc<RefCell<Vec<Event>>> = Rc::default();
        let noted = events.clone();
        let note: Note = Rc::new(move |entry| noted.borrow_mut().push(entry.into()));
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
        // Some take so long that others overtake them.
        let every = [0, 10, 100, 333][draw(&mut random, 4)];
        let takes = match every {
            333 => millis(&mut random, 10, 100),
            _ => Duration::from_micros(random.below(500)),
        };
        let acknowledge_within = [1, 20][draw(&mut random, 2)];
        let queue = [256, 1024, 16_384][draw(&mut random, 3)];
        let window = 1200 + random.below(3000);
        let configure = move |config: &mut ContainerConfig| {
            config.link.window_records = window;
            config.link.acknowledge_within = Duration::from_millis(acknowledge_within);
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
            events,
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
        self.gauge("monofil_link_casts_unsettled")
    }

    fn gauge(&self, name: &str) -> u64 {
        let net: &dyn Net = &self.net;
        net.gauges("one")[name]
    }

    fn note(&self, event: Event) {
        self.events.borrow_mut().push(event);
    }

    /// Sends nothing until the end of everything is known.
    fn rest(&mut self) {
        self.load.rest(true);
        let limit = self.net.world().now() + Duration::from_secs(60);
        while UNDER_WAY.iter().any(|gauge| self.gauge(gauge) > 0) {
            self.pass(1, 10);
            let seed = self.seed;
            assert!(self.net.world().now() < limit, "seed {seed}: no end");
        }
        self.note(Event::AllSettled);
        self.load.rest(false);
    }

    /// The receiver is no more. What had not been said to have ended may be reported.
    fn end_life(&mut self) {
        let most = self.unsettled() + self.gauge("monofil_calls_under_way");
        self.note(Event::LifeEnded { most });
        self.net.kill("two");
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
        if self.random.chance(Probability::percent(25)) {
            self.rest();
        }
        self.pass(0, 60);
        let limit = self.net.world().now() + Duration::from_secs(60);
        while self.unsettled() < UNSETTLED {
            self.net.world().run_for(Duration::from_micros(500));
            let seed = self.seed;
            assert!(self.net.world().now() < limit, "seed {seed}: no load");
        }
        self.met.push(self.unsettled());
        self.end_life();
        self.pass(1, 300);
        self.net.restart("two");
        if self.random.chance(Probability::percent(20)) {
            // It does not get far.
            self.pass(0, 20);
            self.end_life();
            self.pass(1, 50);
            self.net.restart("two");
        } else if self.random.chance(Probability::percent(20)) {
            self.pass(0, 100);
            let (world, _, two) = self.world();
            world.shutdown(two, Shutdown::Drain);
            self.pass(100, 400);
            // It may be cut off, and end without a word.
            let most = UNSETTLED_MAX;
            self.note(Event::LifeEnded { most });
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
        for gauge in UNDER_WAY {
            assert_eq!(gauges[gauge], 0, "seed {seed}: {gauge}");
        }
        let dropped = net.counter("one", Counter::CastsUndeliveredDropped);
        assert_eq!(dropped, 0, "seed {seed}");
        Run {
            events: self.events.take(),
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
        totals += judge(History::of(run.events), &format!("seed {seed}"));
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
    let share = |part: u64| 100.0 * part as f64 / totals.handled as f64;
    println!(
        "{label}: of what was handled, {:.2} % were reported as lost, {:.2} % as overdue",
        share(totals.handled_and_lost),
        share(totals.handled_and_overdue)
    );
    assert!(least >= UNSETTLED, "{label}");
    assert!(totals.reported > 0 && totals.answered > 0, "{label}");
}

/// Finds two messages of a stream that were handled one after the other, and of which nothing is said but that: the
/// first of one kind, the next of the other, if they are to be of two.
fn neighbours(events: &[Event], stream: u8, of_two_kinds: bool) -> Option<(usize, usize)> {
    let mut kinds: BTreeMap<u64, Happened> = BTreeMap::new();
    let mut ends: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (at, event) in events.iter().enumerate() {
        match event {
            Event::Of(entry) if entry.stream != stream => {}
            Event::Of(entry) if matches!(entry.what, Happened::Sent | Happened::Called) => {
                kinds.insert(entry.number, entry.what);
            }
            Event::Of(entry) => ends.entry(entry.number).or_default().push(at),
            _ => {}
        }
    }
    let handled: Vec<(u64, usize)> = ends
        .into_iter()
        .filter(|(_, ends)| !ends.iter().any(|at| is_reported(&events[*at])))
        .map(|(number, ends)| (number, ends[0]))
        .collect();
    let half = &handled[handled.len() / 2..];
    let found = half.windows(2).find(|pair| {
        let differ = kinds[&pair[0].0] != kinds[&pair[1].0];
        pair[0].0 + 1 == pair[1].0 && differ == of_two_kinds
    });
    found.map(|pair| (pair[0].1, pair[1].1))
}

const fn is_reported(event: &Event) -> bool {
    match event {
        Event::Of(entry) => !matches!(entry.what, Happened::Handled | Happened::Answered),
        _ => false,
    }
}

#[test]
fn what_is_planted_into_a_run_is_found() {
    // Not every world has two such pairs of which nothing else is said.
    let mut worlds = (1..20).map(|seed| Experiment::new(seed).run().events);
    let found = worlds.find_map(|events| {
        let two_casts = neighbours(&events, 0, false)?;
        let cast_and_call = neighbours(&events, 4, true)?;
        Some((events, two_casts, cast_and_call))
    });
    let (events, (at, next), cast_and_call) = found.expect("one of twenty has");
    let sound = judge(History::of(events.clone()), "as it was");
    let judged = |events| History::of(events).judge().0;

    let mut loss = events.clone();
    loss.remove(at);
    assert_eq!(judged(loss).vanished, 1);

    let mut duplicate = events.clone();
    duplicate.push(events[at]);
    assert_eq!(judged(duplicate).doubled, 1);

    // Two casts, and a cast and a call.
    for (at, next) in [(at, next), cast_and_call] {
        let mut swap = events.clone();
        swap.swap(at, next);
        assert!(judged(swap).swapped > 0);
    }

    // A report of what had long been settled, and of one more than was unsettled.
    let mut report = events.clone();
    let Event::Of(entry) = events[at] else {
        unreachable!("it is of a message")
    };
    let what = Happened::Lost;
    report.push(Event::AllSettled);
    report.push(Event::Of(Entry { what, ..entry }));
    assert_eq!(judged(report).contradicted, 1);
    let fewer = |event: Event| match event {
        Event::LifeEnded { .. } => Event::LifeEnded { most: 0 },
        other => other,
    };
    let doubtful: Vec<Event> = events.into_iter().map(fewer).collect();
    assert_eq!(judged(doubtful).unfounded, sound.handled_and_lost);
    assert!(sound.handled_and_lost > 0);
}
