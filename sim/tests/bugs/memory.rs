//! What a world takes, counted by the allocator, and whether it gives it back.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs;
use std::rc::Rc;
use std::sync::atomic::AtomicIsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use monofil_container::{
    CallError, Caller, Component, ComponentSpec, Container, ContainerConfig, Context, HandlerError,
    Message, Payload, Reply, Request, StartReason, StaticDirectory, Status,
};
use monofil_inproc::{
    Latency, LinkModel, NodeSpec, NodeStart, World, WorldConfig, application_endpoint,
};
use monofil_sim::Sim;
use monofil_transport::Node;

use crate::BUGS;
use crate::bug::Bug;

/// What one test watches.
struct Meter {
    bytes: AtomicIsize,
    allocations: AtomicIsize,
}

impl Meter {
    const fn new() -> Self {
        Self {
            bytes: AtomicIsize::new(0),
            allocations: AtomicIsize::new(0),
        }
    }

    /// Returns how many bytes are held, and how many allocations.
    fn read(&self) -> (isize, isize) {
        (self.bytes.load(Relaxed), self.allocations.load(Relaxed))
    }

    /// Does something on a thread of its own, and returns what it left: what the thread kept is gone with it.
    fn left_by(&'static self, work: impl FnOnce() + Send) -> (isize, isize) {
        let before = self.read();
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                METER.set(Some(self));
                work();
            });
            thread.join().expect("it does not panic");
        });
        let after = self.read();
        (after.0 - before.0, after.1 - before.1)
    }
}

thread_local! {
    /// Who watches this thread. It has no destructor, and so is there until the thread is not.
    static METER: Cell<Option<&'static Meter>> = const { Cell::new(None) };
}

/// The system's allocator, which tells the thread's meter.
struct Counting;

#[expect(
    unsafe_code,
    reason = "an allocator is the only one who sees every allocation"
)]
// SAFETY: it does what the system's allocator does, and counts in a cell that never allocates.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed(), 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed(), -1);
        // SAFETY: what was allocated here was allocated by the system's allocator.
        unsafe { System.dealloc(place, layout) }
    }
}

fn count(bytes: isize, allocations: isize) {
    if let Some(meter) = METER.get() {
        meter.bytes.fetch_add(bytes, Relaxed);
        meter.allocations.fetch_add(allocations, Relaxed);
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs worlds of all apps for so long, and wants that nothing is left of them.
fn nothing_is_left(meter: &'static Meter, seeds: u64, time: fn(u64) -> Duration) {
    for bug in BUGS {
        let run = |seed: Option<u64>| {
            meter.left_by(move || {
                if let Some(seed) = seed {
                    run_for(bug, seed, time(seed));
                }
            })
        };
        // Names are kept for as long as the process lives, and are there after the first.
        run(Some(0));
        // Of the thread itself.
        let nothing = run(None);
        for seed in 0..seeds {
            let left = run(Some(seed));
            assert_eq!(
                left, nothing,
                "{}: seed {seed}: bytes, allocations",
                bug.name
            );
        }
    }
}

fn run_for(bug: &'static Bug, seed: u64, time: Duration) {
    let mut sim = Sim::new("app", seed);
    bug.build(&mut sim, true);
    let plan = bug.faults().draw(seed, &sim.nodes());
    sim.follow(&plan);
    sim.run_for(time);
}

#[test]
fn a_world_gives_back_all_it_took() {
    static METER: Meter = Meter::new();
    nothing_is_left(&METER, 3, |_| Duration::from_secs(12));
}

#[test]
fn a_world_that_is_dropped_in_the_middle_gives_back_all_it_took() {
    static METER: Meter = Meter::new();
    nothing_is_left(&METER, 10, |seed| Duration::from_millis(100 + seed * 20));
}

/// Greets its neighbour now and then, and answers those who greet it.
struct Greeter {
    neighbour: String,
    after: Duration,
    greeted: Rc<Cell<u64>>,
}

impl Greeter {
    fn greet(&self, cx: &mut Context) -> Result<(), CallError> {
        let name = cx.component().to_string();
        let answer = cx.call(Request::new(
            self.neighbour.as_str(),
            "SayHello",
            Payload::bytes(name),
        ))?;
        assert!(answer.to_bytes().starts_with(b"Hello, "));
        self.greeted.set(self.greeted.get() + 1);
        Ok(())
    }
}

impl Component for Greeter {
    fn start(&mut self, cx: &mut Context, _: StartReason) -> Result<(), Status> {
        let again = Request::new(cx.component(), "Greet", Payload::default());
        Ok(cx.after(self.after, again)?)
    }

    fn handle(&mut self, cx: &mut Context, message: Message) -> Result<Reply, HandlerError> {
        if message.method().as_str() == "Greet" {
            self.greet(cx)?;
            return Ok(Reply::Empty);
        }
        let bytes = message.payload().to_bytes();
        let name = String::from_utf8_lossy(&bytes);
        Ok(Reply::Payload(Payload::bytes(format!("Hello, {name}!"))))
    }
}

/// Returns the bytes of memory that this process has.
fn resident() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = statm
        .split(' ')
        .nth(1)
        .and_then(|it| it.parse::<usize>().ok());
    pages.expect("a number of pages") * 4096
}

/// A node that knows of its neighbour alone.
fn greeter(number: usize, greeted: &Rc<Cell<u64>>) -> impl Fn(&NodeStart) -> Box<dyn Node> + use<> {
    let neighbour = format!("greeter-{}", (number + 1) % NODES);
    let greeted = greeted.clone();
    // One that waits for its neighbour's answer answers nobody, so half of them ask later.
    let after = Duration::from_millis(500 + 500 * (number as u64 % 2));
    move |start| {
        let mut directory = StaticDirectory::new();
        let there = application_endpoint(&neighbour).expect("a short name");
        directory.add(format!("hello/{neighbour}"), there, &[]);
        let (neighbour, greeted) = (neighbour.clone(), greeted.clone());
        let greeter = move || Greeter {
            neighbour: neighbour.clone(),
            after,
            greeted: greeted.clone(),
        };
        let mut config = ContainerConfig::new("hello", &*start.name);
        config.components = vec![ComponentSpec::new(&*start.name, greeter)];
        config.directory = Box::new(directory);
        Box::new(Container::new(config))
    }
}

const NODES: usize = 10_000;

/// So much is free for what other tests do meanwhile.
const RESIDENT_MAX: usize = 4 << 30;

/// Returns what each node takes on the heap, and of the process's memory.
fn greet_each_other(meter: &Meter) -> (isize, usize) {
    let before = resident();
    let greeted = Rc::new(Cell::new(0));
    let mut world = World::new(WorldConfig {
        link: LinkModel::with_latency(Latency::Constant(Duration::from_millis(1))),
        ..WorldConfig::with_seed(1)
    });
    for number in 0..NODES {
        let spec = NodeSpec::new(format!("greeter-{number}"));
        world
            .add_node(spec, greeter(number, &greeted))
            .expect("another name");
    }
    world.run_for(Duration::from_secs(10));
    let (held, _) = meter.read();
    let resident = resident().saturating_sub(before);
    assert_eq!(greeted.get(), NODES as u64);
    assert!(resident < RESIDENT_MAX, "{resident} bytes are resident");
    (held / NODES.cast_signed(), resident / NODES)
}

#[test]
fn ten_thousand_nodes_greet_their_neighbours_in_less_than_four_gigabytes() {
    static METER: Meter = Meter::new();
    let run = |each: &mut Option<(isize, usize)>| {
        METER.left_by(move || {
            if let Some(each) = each {
                *each = greet_each_other(&METER);
            }
        })
    };
    let mut each = Some((0, 0));
    run(&mut each);
    // Nothing is written down where it is counted: what tests print is kept.
    println!("{NODES} nodes: bytes each, on the heap and resident: {each:?}");
    assert_eq!(run(&mut each), run(&mut None), "bytes, allocations");
}
