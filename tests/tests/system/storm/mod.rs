//! Whole containers in a storm: components call, cast, publish, stream, cancel, panic, sleep and block at
//! random over several nodes, which crash, vanish, end and come again while connections break. Afterwards
//! the books must balance, and nothing may be left behind.
//!
//! Over ZeroMQ it is a squall: shorter, and never the same twice.
//!
//! `SEED=17 cargo test -p monofil-tests storm` runs one seed, `SEEDS=5000` as many; a failure names its seed.

mod book;
mod weather;

use std::collections::BTreeMap;
use std::time::Duration;

use monofil_container::{
    Caller, ContainerConfig, Context, Counter, HandlerError, InstanceLimits, Message, Payload,
    RawPending, Replies, Reply, Request, StartReason, Status, Undelivered,
};
use monofil_inproc::TraceHash;
use monofil_tests::{ComponentDef, Hooks, Net, NodeSpec, Scheme, SimNet, ZmqNet, hooked, seeds};
use monofil_transport::{Probability, Stream};

use book::{Book, Books, Sent};

/// The nodes, each with its workers. Every node has a driver besides, which begins things.
const NODES: [(&str, &[&str]); 3] = [
    ("one", &["a", "b"]),
    ("two", &["c", "d"]),
    ("three", &["e"]),
];
/// Who sends, to whom.
const WORKERS: [&str; 5] = ["a", "b", "c", "d", "e"];
const DRIVERS: [&str; 3] = ["driver-one", "driver-two", "driver-three"];
/// How long drivers begin things.
const STORM: Duration = Duration::from_secs(2);
/// How long calls within calls get.
const DEPTH: u64 = 3;

/// What comes of a seed.
struct Outcome {
    trace: TraceHash,
    ends: BTreeMap<&'static str, u64>,
}

fn storm(seed: u64) -> Outcome {
    let mut net = SimNet::new(seed);
    let books = Books::default();
    net.start(nodes(&books, Size::drawn(seed)));
    weather::plan(net.world(), seed);
    net.world().run_for(STORM);
    books.borrow_mut().calm = true;
    weather::calm(net.world());
    // The longest deadline and sleep are over by then, and links have been made again.
    net.world().run_for(Duration::from_secs(60));
    let book = books.borrow();
    book.balance(seed, dropped(&net));
    for (node, _) in NODES {
        nothing_is_left(&net, node, seed);
    }
    Outcome {
        trace: net.world().trace_hash(),
        ends: book.ends(),
    }
}

fn nothing_is_left(net: &dyn Net, node: &str, seed: u64) {
    let (timers, left) = left(net, node);
    // The probe's, one for each link, and one for each greeting.
    assert!(timers <= 12, "seed {seed}: {node} has {timers} timers");
    assert!(left.is_empty(), "seed {seed}: {node} is left with {left:?}");
}

/// Returns how many casts came back to each node when their senders took no more.
fn dropped(net: &dyn Net) -> [u64; 3] {
    NODES.map(|(node, _)| net.counter(node, Counter::CastsUndeliveredDropped))
}

/// Returns how many timers a node has, and what else it holds.
fn left(net: &dyn Net, node: &str) -> (u64, BTreeMap<&'static str, u64>) {
    let mut gauges = net.gauges(node);
    let timers = gauges.remove("monofil_timers").expect("it is described");
    gauges.retain(|_, value| *value > 0);
    (timers, gauges)
}

#[test]
fn the_books_balance_after_a_storm() {
    let seeds = seeds(200);
    let mut ends: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in seeds.clone() {
        println!("seed {seed}");
        for (end, count) in storm(seed).ends {
            *ends.entry(end).or_default() += count;
        }
    }
    println!("{ends:#?}");
    if seeds.count() >= 100 {
        for end in book::EXPECTED_ENDS {
            assert!(ends.contains_key(end), "nothing ended as {end}: {ends:?}");
        }
    }
}

#[test]
fn a_storm_takes_the_same_course_each_time() {
    for seed in [1, 2, 3, 4, 5] {
        let (first, second) = (storm(seed), storm(seed));
        assert_eq!(first.trace, second.trace, "seed {seed}");
        assert_eq!(first.ends, second.ends, "seed {seed}");
    }
}

#[test]
fn the_books_balance_after_a_squall() {
    for scheme in [Scheme::Tcp, Scheme::Ipc] {
        let mut net = ZmqNet::new(scheme);
        let books = Books::default();
        let size = Size {
            deadline: Duration::from_secs(1),
            ..Size::SMALL
        };
        net.start(nodes(&books, size));
        weather::squall(&mut net);
        books.borrow_mut().calm = true;
        net.turn_until("calm", |net| {
            NODES.iter().all(|(node, _)| left(net, node).1.is_empty())
        });
        books.borrow().balance(0, dropped(&net));
        println!("{scheme:?}: {:#?}", books.borrow().ends());
    }
}

// ── The nodes ────────────────────────────────────────────────────────────────────────────────────────────

/// How much a node takes.
#[derive(Clone, Copy)]
struct Size {
    deadline: Duration,
    streams: usize,
    queue: usize,
    window: u64,
    unsettled: usize,
}

impl Size {
    /// Small enough that limits are reached now and then.
    const SMALL: Self = Self {
        deadline: Duration::from_secs(3),
        streams: 4,
        queue: 12,
        window: 64,
        unsettled: 1024,
    };
    /// Small enough that little else happens.
    const TINY: Self = Self {
        deadline: Duration::from_millis(300),
        streams: 1,
        queue: 2,
        window: 2,
        unsettled: 3,
    };
    /// Large enough for all there is.
    const LARGE: Self = Self {
        deadline: Duration::from_secs(20),
        streams: 1000,
        queue: 1000,
        window: 4096,
        unsettled: 65_536,
    };

    fn drawn(seed: u64) -> Self {
        match drawn(seed, "size").below(4) {
            0 => Self::TINY,
            1 => Self::LARGE,
            _ => Self::SMALL,
        }
    }
}

fn nodes(books: &Books, size: Size) -> Vec<NodeSpec> {
    let node = |(at, (name, workers)): (usize, &(&'static str, &[&'static str]))| {
        // The driver is first: it notes that a life begins.
        let mut components = vec![driver(at, books)];
        components.extend(
            workers
                .iter()
                .map(|worker| self::worker(worker, at, books, size)),
        );
        NodeSpec::new(name, components).configure(move |config| configure(config, size))
    };
    NODES.iter().enumerate().map(node).collect()
}

fn configure(config: &mut ContainerConfig, size: Size) {
    config.default_deadline = size.deadline;
    config.limits.streams = size.streams;
    config.limits.queue_messages = 2 * size.queue;
    config.limits.guaranteed_messages = size.queue / 2;
    config.drain_deadline = Duration::from_millis(400);
    // A storm is short: what is silent is so soon.
    config.probe_interval = Duration::from_millis(50);
    config.silent_after = Duration::from_millis(150);
    config.link.window_records = size.window;
    config.link.unsettled_max = size.unsettled;
}

fn limits(size: Size) -> InstanceLimits {
    InstanceLimits {
        queue_messages: size.queue,
        restarts: 3,
        restart_window: Duration::from_secs(1),
        ..InstanceLimits::default()
    }
}

fn worker(name: &'static str, node: usize, books: &Books, size: Size) -> ComponentDef {
    let books = books.clone();
    let def = hooked(name, move || {
        let act = Actor::new(name, node, &books);
        let back = act.clone();
        Hooks::new(move |cx, message| act.handle(cx, &message))
            .undelivered(move |_, it| back.came_back(&it))
    });
    let def = def.limits(limits(size));
    if SUBSCRIBERS.contains(&name) {
        def.subscribe(NEWS, "News")
    } else {
        def
    }
}

const NEWS: &str = "news";
const SUBSCRIBERS: [&str; 2] = ["b", "d"];

fn driver(node: usize, books: &Books) -> ComponentDef {
    let books = books.clone();
    let name = DRIVERS[node];
    hooked(name, move || {
        let act = Actor::new(name, node, &books);
        let (starts, ticks, back) = (books.clone(), act.clone(), act.clone());
        Hooks::new(move |cx, _| {
            act.begin(cx);
            act.tick(cx);
            Ok(Reply::Empty)
        })
        .start(move |cx, reason| {
            if reason == StartReason::First {
                starts.borrow_mut().lives[node] += 1;
            }
            ticks.tick(cx);
            Ok(())
        })
        .undelivered(move |_, it| back.came_back(&it))
    })
}

// ── What they do ─────────────────────────────────────────────────────────────────────────────────────────

/// A component that does things at random.
#[derive(Clone)]
struct Actor {
    name: &'static str,
    node: usize,
    books: Books,
}

/// What a message says: its number in the book, and how much deeper it may go.
fn payload(token: u64, depth: u64) -> Payload {
    Payload::bytes(format!("{token} {depth}"))
}

fn read(message: &Message) -> (u64, u64) {
    let bytes = message.payload().to_bytes();
    let text = std::str::from_utf8(&bytes).expect("a text");
    let (token, depth) = text.split_once(' ').expect("two numbers");
    (
        token.parse().expect("a number"),
        depth.parse().expect("a number"),
    )
}

impl Actor {
    fn new(name: &'static str, node: usize, books: &Books) -> Self {
        let books = books.clone();
        Self { name, node, books }
    }

    fn book(&self) -> std::cell::RefMut<'_, Book> {
        self.books.borrow_mut()
    }

    /// Notes that something is about to be sent, and returns its number.
    fn note(&self, sent: Sent, to: &'static str) -> u64 {
        let mut book = self.book();
        let sender = (self.name, book.lives[self.node]);
        book.send(sent, sender, to)
    }

    fn came_back(&self, undelivered: &Undelivered) {
        let mut book = self.book();
        let sender = (self.name, book.lives[self.node]);
        book.came_back(sender, undelivered);
    }

    /// Says what should not be. (An assertion here would be just another handler that panics.)
    fn check(&self, so: bool, otherwise: &str) {
        if !so {
            self.book().complain(format!("{}: {otherwise}", self.name));
        }
    }

    /// Begins something again after a while, until it is calm.
    fn tick(&self, cx: &mut Context<'_>) {
        let pause = Duration::from_millis(cx.rng().below(60));
        if !self.book().calm {
            let _ = cx.after(pause, Request::new(self.name, "Tick", Payload::default()));
        }
    }

    fn begin(&self, cx: &mut Context<'_>) {
        for _ in 0..1 + cx.rng().below(3) {
            let _ = self.do_something(cx, DEPTH);
        }
    }

    fn handle(&self, cx: &mut Context<'_>, message: &Message) -> Result<Reply, HandlerError> {
        let (token, depth) = read(message);
        self.book().ran(token, self.name);
        if depth > 0 {
            for _ in 0..cx.rng().below(3) {
                self.do_something(cx, depth - 1)?;
            }
        }
        match cx.rng().below(40) {
            0 => at_random(),
            1 => Err(Status::aborted("at random").into()),
            2 => Err(HandlerError::Unimplemented(
                "at random, and so a lie".into(),
            )),
            3..=9 => Ok(self.stream(cx, depth)),
            _ => Ok(Reply::Payload(Payload::default())),
        }
    }

    fn do_something(&self, cx: &mut Context<'_>, depth: u64) -> Result<(), Status> {
        let result = match cx.rng().below(12) {
            0..=2 => self.call(cx, depth),
            3 => self.several_calls(cx, depth),
            4 | 5 => {
                self.cast(cx, depth);
                Ok(())
            }
            6 => {
                self.publish(cx);
                Ok(())
            }
            7 | 8 => self.read_stream(cx, depth),
            9 => {
                let pause = Duration::from_micros(1 << cx.rng().below(20));
                cx.sleep(pause)
            }
            10 => {
                let takes = Duration::from_micros(1 << cx.rng().below(18));
                let panics = cx.rng().chance(Probability::percent(5));
                cx.blocking_for(takes, move || {
                    if panics {
                        at_random();
                    }
                })
            }
            _ => self.later(cx),
        };
        // Some give up when something goes wrong, most go on.
        match result {
            Err(error) if cx.rng().chance(Probability::percent(25)) => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn target(cx: &mut Context<'_>) -> &'static str {
        let at = usize::try_from(cx.rng().below(WORKERS.len() as u64)).expect("small");
        WORKERS[at]
    }

    fn request(cx: &mut Context<'_>, to: &str, method: &str, payload: Payload) -> Request {
        let request = Request::new(to, method, payload);
        match cx.rng().below(6) {
            0 => request.with_deadline(Duration::from_millis(cx.rng().below(8))),
            1 => request.with_deadline(Duration::from_millis(50)),
            2 => request.with_deadline(Duration::from_millis(400)),
            _ => request,
        }
    }

    fn start(&self, cx: &mut Context<'_>, depth: u64) -> (u64, RawPending) {
        let to = Self::target(cx);
        let token = self.note(Sent::Call, to);
        let request = Self::request(cx, to, "Do", payload(token, depth));
        (token, cx.start_call(request))
    }

    fn call(&self, cx: &mut Context<'_>, depth: u64) -> Result<(), monofil_container::CallError> {
        let (token, pending) = self.start(cx, depth);
        self.wait(cx, token, pending)
    }

    fn wait(
        &self,
        cx: &mut Context<'_>,
        token: u64,
        pending: RawPending,
    ) -> Result<(), monofil_container::CallError> {
        let result = cx.wait(pending).map(drop);
        // A handler that was given up gives its calls up: that is no word about them.
        let given_up = cx.is_cancelled();
        self.book().ended(token, &result, given_up);
        result
    }

    fn several_calls(
        &self,
        cx: &mut Context<'_>,
        depth: u64,
    ) -> Result<(), monofil_container::CallError> {
        let mut calls: Vec<_> = (0..1 + cx.rng().below(3))
            .map(|_| self.start(cx, depth))
            .collect();
        let pending: Vec<_> = calls.iter().map(|(_, pending)| pending).collect();
        let first = cx.wait_any(&pending)?;
        let (token, pending) = calls.remove(first);
        let result = self.wait(cx, token, pending);
        // Of the others some are waited for, and some are not wanted any more.
        for (token, pending) in calls {
            if cx.rng().chance(Probability::percent(50)) {
                let _ = self.wait(cx, token, pending);
            }
        }
        result
    }

    fn cast(&self, cx: &mut Context<'_>, depth: u64) {
        let to = Self::target(cx);
        let token = self.note(Sent::Cast, to);
        // What comes back is told apart by its method.
        let request = Self::request(cx, to, &token.to_string(), payload(token, depth));
        let sent = cx.cast(request).map(drop);
        self.book().accepted(token, &sent);
    }

    fn later(&self, cx: &mut Context<'_>) -> Result<(), monofil_container::CallError> {
        let to = Self::target(cx);
        let token = self.note(Sent::Later, to);
        let request = Self::request(cx, to, &token.to_string(), payload(token, 0));
        let pause = Duration::from_millis(cx.rng().below(100));
        let sent = cx.after(pause, request);
        self.book().accepted(token, &sent);
        sent
    }

    fn publish(&self, cx: &mut Context<'_>) {
        let token = self.note(Sent::News, NEWS);
        let told = cx.publish(NEWS, payload(token, 0));
        let told = told.unwrap_or_default();
        self.check(told == SUBSCRIBERS.len(), "not all subscribers were told");
        self.book().published(token, told);
    }

    /// Answers with a stream, whether asked for one or not.
    fn stream(&self, cx: &mut Context<'_>, depth: u64) -> Reply {
        let (count, own) = (cx.rng().below(60), self.clone());
        let mut made = 0;
        Reply::Stream(Replies::from_fn(move |cx| {
            if cx.rng().chance(Probability::percent(2)) {
                let _ = own.do_something(cx, depth.saturating_sub(1));
            }
            match cx.rng().below(300) {
                0 => at_random(),
                1 => return Some(Err(Status::aborted("at random, in a stream"))),
                _ => {}
            }
            made += 1;
            (made <= count).then(|| Ok(Payload::bytes(format!("{made} {count}"))))
        }))
    }

    fn read_stream(
        &self,
        cx: &mut Context<'_>,
        depth: u64,
    ) -> Result<(), monofil_container::CallError> {
        let to = Self::target(cx);
        let token = self.note(Sent::Call, to);
        let request = Self::request(cx, to, "Do", payload(token, depth));
        let mut stream = cx.start_stream(request);
        let enough = cx.rng().below(120);
        let mut items = Items::default();
        while items.read < enough {
            match cx.next_item(&mut stream) {
                Some(Ok(item)) => self.check(items.took(&item), "an item is missing"),
                Some(Err(error)) => {
                    let given_up = cx.is_cancelled();
                    let result = Err(error.clone());
                    self.book().ended(token, &result, given_up);
                    let over = given_up || cx.next_item(&mut stream).is_none();
                    self.check(over, "something came after an error");
                    return result;
                }
                None => {
                    self.check(
                        items.read == items.all,
                        "a stream ended well and is not whole",
                    );
                    self.book().ended(token, &Ok(()), false);
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// What came of a stream.
#[derive(Default)]
struct Items {
    read: u64,
    /// How many there are in all, as each item says.
    all: u64,
}

impl Items {
    /// Tells whether an item is the next.
    fn took(&mut self, item: &Payload) -> bool {
        self.read += 1;
        if item.is_empty() {
            // One answer is a stream of one.
            self.all = 1;
            return self.read == 1;
        }
        let bytes = item.to_bytes();
        let text = std::str::from_utf8(&bytes).expect("a text");
        let (number, all) = text.split_once(' ').expect("two numbers");
        self.all = all.parse().expect("a number");
        number.parse() == Ok(self.read)
    }
}

/// Panics without a word.
fn at_random() -> ! {
    std::panic::resume_unwind(Box::new("at random"))
}

fn drawn(seed: u64, site: &str) -> Stream {
    Stream::new(seed, &format!("storm/{site}"))
}
