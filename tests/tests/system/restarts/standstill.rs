//! Two nodes that are full of each other's calls, with windows for one or two.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use monofil_container::{
    CallError, Caller, ContainerConfig, Context, HandlerError, Message, Payload, Reply, Request,
};
use monofil_inproc::{Latency, LinkModel};
use monofil_tests::{ComponentDef, Hooks, Net, NodeSpec, SimNet, component, hooked, seeds};
use monofil_transport::{Instant, Probability, Stream};

use super::{draw, millis};

/// Components on each node that begin calls, and as many that handle them on each level.
const WIDTH: usize = 4;
/// How deep calls within calls get: from node to node and back.
const DEPTH: usize = 3;
/// How long a call may take.
const DEADLINE: Duration = Duration::from_secs(2);
/// How long calls are begun.
const BUSY: Duration = Duration::from_millis(500);

const NAMES: [[[&str; WIDTH]; DEPTH]; 2] = [
    [
        ["one-00", "one-01", "one-02", "one-03"],
        ["one-10", "one-11", "one-12", "one-13"],
        ["one-20", "one-21", "one-22", "one-23"],
    ],
    [
        ["two-00", "two-01", "two-02", "two-03"],
        ["two-10", "two-11", "two-12", "two-13"],
        ["two-20", "two-21", "two-22", "two-23"],
    ],
];
const ASKERS: [[&str; WIDTH]; 2] = [
    ["ask-one-0", "ask-one-1", "ask-one-2", "ask-one-3"],
    ["ask-two-0", "ask-two-1", "ask-two-2", "ask-two-3"],
];

/// What became of the calls.
#[derive(Default)]
struct Tally {
    is_over: Cell<bool>,
    begun: Cell<u64>,
    ended: Cell<u64>,
    answered: Cell<u64>,
    refused: Cell<u64>,
    /// When the last call was answered, and the longest time between two.
    last: Cell<Option<Instant>>,
    gap: Cell<Duration>,
    late: RefCell<Vec<Duration>>,
}

fn count(cell: &Cell<u64>) {
    cell.set(cell.get() + 1);
}

impl Tally {
    /// Calls until the link takes it: a full one is known at once.
    fn call(&self, cx: &mut Context<'_>, to: &str, bytes: usize) -> Result<(), CallError> {
        loop {
            let request = Request::new(to, "Do", Payload::bytes(vec![0; bytes]));
            match cx.call(request.with_deadline(DEADLINE)) {
                Err(CallError::Rejected(_)) => {
                    count(&self.refused);
                    let pause = Duration::from_micros(50 + cx.rng().below(500));
                    cx.sleep(pause)?;
                }
                other => return other.map(drop),
            }
        }
    }

    /// Makes one call from outside, and sees when it ends.
    fn ask(&self, cx: &mut Context<'_>, to: &str, bytes: usize) {
        count(&self.begun);
        let begun = cx.now();
        let result = self.call(cx, to, bytes);
        let now = cx.now();
        count(&self.ended);
        if now.since(begun) > DEADLINE * 2 {
            self.late.borrow_mut().push(now.since(begun));
        }
        if result.is_ok() {
            count(&self.answered);
            let since = self.last.replace(Some(now)).unwrap_or(begun);
            let gap = now.since(since);
            self.gap.set(self.gap.get().max(gap));
        }
    }
}

fn asker(tally: &Rc<Tally>, node: usize, at: usize, bytes: usize) -> ComponentDef {
    let (tally, name) = (tally.clone(), ASKERS[node][at]);
    let again = move |cx: &mut Context<'_>| {
        let tick = Request::new(name, "Tick", Payload::default());
        cx.after(Duration::ZERO, tick.with_deadline(DEADLINE * 2))
    };
    hooked(name, move || {
        let tally = tally.clone();
        Hooks::new(move |cx, message: Message| {
            if message.method() == "Once" {
                tally.ask(cx, NAMES[1 - node][0][at], bytes);
            } else if !tally.is_over.get() {
                tally.ask(cx, NAMES[1 - node][0][at], bytes);
                again(cx)?;
            }
            Ok(Reply::Empty)
        })
        .start(move |cx, _| Ok(again(cx)?))
    })
}

fn handler(tally: &Rc<Tally>, node: usize, level: usize, at: usize, bytes: usize) -> ComponentDef {
    let tally = tally.clone();
    component(NAMES[node][level][at], move || {
        let tally = tally.clone();
        move |cx: &mut Context<'_>, _: Message| -> Result<Reply, HandlerError> {
            if level + 1 < DEPTH {
                tally.call(cx, NAMES[1 - node][level + 1][at], bytes)?;
            }
            Ok(Reply::Payload(Payload::bytes(vec![0; bytes])))
        }
    })
}

fn node(tally: &Rc<Tally>, name: &'static str, node: usize, random: &mut Stream) -> NodeSpec {
    let window_records = 1 + random.below(2);
    let window_bytes = 1 + random.below(100);
    let bytes = draw(random, 100);
    let mut components = Vec::new();
    for at in 0..WIDTH {
        components.push(asker(tally, node, at, bytes));
        components.extend((0..DEPTH).map(|level| handler(tally, node, level, at, bytes)));
    }
    NodeSpec::new(name, components).configure(move |config: &mut ContainerConfig| {
        config.link.window_records = window_records;
        config.link.window_bytes = window_bytes;
    })
}

/// Returns how many calls were answered and refused, and the longest time without an answer.
fn run(seed: u64) -> (u64, u64, Duration) {
    let mut random = Stream::new(seed, "standstill");
    let tally = Rc::new(Tally::default());
    let mut net = SimNet::new(seed);
    net.start(vec![
        node(&tally, "one", 0, &mut random),
        node(&tally, "two", 1, &mut random),
    ]);
    let min = Duration::from_micros(random.below(2000));
    let max = min + Duration::from_micros(random.below(4000));
    let world = net.world();
    let keys = [world.node("one"), world.node("two")].map(|key| key.expect("it was started"));
    let model = LinkModel::with_latency(Latency::Uniform { min, max });
    world.set_link(keys[0], keys[1], &model);
    world.set_link(keys[1], keys[0], &model);
    let is_disturbed = random.chance(Probability::percent(50));
    let end = world.now() + BUSY;
    if is_disturbed {
        let mut at = world.now();
        while at < end {
            at += millis(&mut random, 5, 200);
            world.at(at, move |world| world.disconnect(keys[0], keys[1]));
        }
    }
    world.run_until(end);
    tally.is_over.set(true);
    // Those that began last have time to end.
    world.run_for(DEADLINE * 3);
    let (begun, ended) = (tally.begun.get(), tally.ended.get());
    assert_eq!(begun, ended, "seed {seed}: calls did not end");
    let late = tally.late.take();
    assert!(late.is_empty(), "seed {seed}: {late:?}");
    let (answered, gap) = (tally.answered.get(), tally.gap.get());
    assert!(answered >= 5, "seed {seed}: {answered} of {begun}");
    if !is_disturbed {
        assert_eq!(answered, begun, "seed {seed}");
    }
    assert!(gap <= DEADLINE, "seed {seed}: no answer for {gap:?}");
    let refused = tally.refused.get();
    assert!(refused > 0, "seed {seed}: the windows were not full");
    // Nothing stands still for good, either: each way has its room again.
    let dynamic: &mut dyn Net = &mut net;
    dynamic.run(move |cx| {
        for asker in ASKERS.iter().flatten() {
            let request = Request::new(*asker, "Once", Payload::default());
            let done = cx.call(request.with_deadline(DEADLINE * 2));
            assert!(done.is_ok(), "seed {seed}: {asker}: {done:?}");
        }
    });
    let after_all = tally.answered.get() - answered;
    assert_eq!(
        after_all,
        2 * WIDTH as u64,
        "seed {seed}: answers after all"
    );
    (answered, refused, gap)
}

#[test]
fn two_nodes_full_of_each_other_s_calls_never_stand_still() {
    let (mut answered, mut refused, mut gap) = (0, 0, Duration::ZERO);
    for seed in seeds(30) {
        let run = run(seed);
        answered += run.0;
        refused += run.1;
        gap = gap.max(run.2);
    }
    println!(
        "{answered} calls answered, {refused} refused first, at most {gap:?} without an answer"
    );
    assert!(refused > answered, "the windows were not full");
}
