//! The world by a clock that a test moves.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use monofil_inproc::{HelperJob, NodeSpec, Outside, Paced, Pacer, World, WorldConfig};
use monofil_transport::{Instant, Io, Next, Shutdown};

use crate::nodes::{Answering, Listener, Log, Worker, lines};
use crate::time::job;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Sleeping moves its clock; helpers take 30 ms.
#[derive(Debug, Default)]
struct FakePacer {
    now: Instant,
    sleeps: usize,
    looks: usize,
    helpers: VecDeque<(Instant, HelperJob)>,
    signal: Option<(Instant, Shutdown)>,
}

impl Pacer for FakePacer {
    fn now(&mut self) -> Instant {
        self.looks += 1;
        self.now += Duration::from_micros(1);
        self.now
    }

    fn wait(&mut self, until: Instant) -> Option<Outside> {
        let job = self.helpers.front().map(|(due, _)| *due);
        let signal = self.signal.map(|(due, _)| due);
        let first = [job, signal].into_iter().flatten().min();
        if until > self.now {
            self.sleeps += 1;
            self.now = first.unwrap_or(until).clamp(self.now, until);
        }
        if job.is_some_and(|due| due <= self.now) {
            let (_, job) = self.helpers.pop_front()?;
            return Some(Outside::JobDone(job.run()));
        }
        self.signal
            .take_if(|(due, _)| *due <= self.now)
            .map(|(_, how)| Outside::Shutdown(how))
    }

    fn start(&mut self, job: HelperJob) {
        self.helpers.push_back((self.now + ms(30), job));
    }
}

#[test]
fn a_breakpoint_stops_time_rather_than_killing_deadlines() {
    let mut world = World::new(WorldConfig::default());
    let ticks = Rc::new(RefCell::new(Vec::new()));
    let seen = ticks.clone();
    world
        .add_node(NodeSpec::new("ticker"), move |_| {
            let seen = seen.clone();
            Box::new(Answering(move |io: &mut dyn Io| {
                seen.borrow_mut().push(io.now());
                Next::At(io.now() + ms(30))
            }))
        })
        .unwrap();
    let mut paced = Paced::new(world, FakePacer::default());
    while paced.pacer().now < Instant::ZERO + ms(1_000) {
        paced.turn();
    }
    let before = paced.world().now();
    assert!(
        before > Instant::ZERO + ms(990),
        "{before} follows the clock"
    );
    let turns = ticks.borrow().len();
    assert!((31..=34).contains(&turns), "{turns}");

    let stopped = paced.pacer().now;
    paced.pacer().now += Duration::from_secs(60);
    let jumped = paced.pacer().now;
    paced.turn();
    let after = paced.world().now();
    // The minute counts as 100 ms. What the clock went on since it ended counts in full.
    let most = ms(100) + paced.pacer().now.since(jumped);
    assert!(after.since(before) <= most, "{before} became {after}");
    assert!(ticks.borrow().len() > turns, "the tick that came due runs");
    // And it goes on from there as if nothing had been.
    let resumed = paced.pacer().now;
    while paced.pacer().now < resumed + ms(1_000) {
        paced.turn();
    }
    assert!(paced.world().now().since(after) > ms(990));
    let lost = paced
        .pacer()
        .now
        .since(stopped)
        .saturating_sub(paced.world().now().since(before));
    assert!(lost >= Duration::from_secs(59), "{lost:?} never happened");
}

/// Turns without a pause, `turns` times, and notes the time it sees each time.
fn busy(turns: usize) -> (World, Rc<RefCell<Vec<Instant>>>) {
    let mut world = World::new(WorldConfig::default());
    let seen = Rc::new(RefCell::new(Vec::new()));
    let noted = seen.clone();
    world
        .add_node(NodeSpec::new("busy"), move |_| {
            let noted = noted.clone();
            Box::new(Answering(move |io: &mut dyn Io| {
                noted.borrow_mut().push(io.now());
                if noted.borrow().len() == turns {
                    Next::Ended
                } else {
                    Next::Now
                }
            }))
        })
        .unwrap();
    (world, seen)
}

#[test]
fn nothing_sleeps_while_work_is_due() {
    const TURNS: usize = 100_000;
    let (world, seen) = busy(TURNS);
    let mut paced = Paced::new(world, FakePacer::default());
    paced.run();
    assert_eq!(seen.borrow().len(), TURNS);
    assert_eq!(paced.pacer().sleeps, 0);
    // One for each turn of the node, and a few for the loop around them.
    let looks = paced.pacer().looks;
    assert!(looks < TURNS + TURNS / 50, "{looks} looks at the clock");
}

#[test]
fn each_turn_of_a_busy_world_sees_what_time_it_is() {
    let (world, seen) = busy(1_000);
    let mut paced = Paced::new(world, FakePacer::default());
    paced.run();
    let seen = seen.borrow();
    assert!(
        seen.windows(2).all(|pair| pair[0] < pair[1]),
        "time stood still between two turns"
    );
    assert!(seen[seen.len() - 1].since(seen[0]) >= Duration::from_micros(999));
}

#[test]
fn jobs_run_on_the_pacers_helpers() {
    let mut world = World::new(WorldConfig::default());
    let log = Log::default();
    let written = log.clone();
    world
        .add_node(NodeSpec::new("worker"), move |_| {
            Box::new(Worker {
                log: written.clone(),
                // What they would take in a simulated run does not matter.
                jobs: vec![job(1, 3_600_000)],
                inbox: Default::default(),
            })
        })
        .unwrap();
    let mut paced = Paced::new(world, FakePacer::default());
    paced.run();
    assert_eq!(lines(&log), ["1: Some(\"done\")"]);
    let took = log.borrow()[0].0.since(Instant::ZERO);
    assert!(took >= ms(30) && took < ms(35), "{took:?}");
}

#[test]
fn a_signal_asks_all_nodes_to_end() {
    let mut world = World::new(WorldConfig::default());
    let log = Log::default();
    for name in ["one", "two"] {
        let log = log.clone();
        world
            .add_node(NodeSpec::new(name), move |_| Box::new(Listener::new(&log)))
            .unwrap();
    }
    let pacer = FakePacer {
        signal: Some((Instant::ZERO + ms(120), Shutdown::Drain)),
        ..FakePacer::default()
    };
    let mut paced = Paced::new(world, pacer);
    paced.run();
    assert_eq!(lines(&log), ["Drain", "Drain"]);
    assert_eq!(paced.pacer().sleeps, 3, "an idle world hardly wakes");
}
