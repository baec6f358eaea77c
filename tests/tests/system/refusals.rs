//! Casts that a node refuses while the links to it break: each comes back once, with the reason.
//!
//! `SEED=17 cargo test -p monofil-tests refusals` runs one seed, `SEEDS=5000` as many.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use monofil_container::{Caller, Context, Counter, Executed, InstanceLimits, Message, Reply};
use monofil_inproc::{Latency, LinkModel, WorldConfig};
use monofil_tests::{ComponentDef, Hooks, Net, NodeSpec, SimNet, component, hooked, seeds, text};
use monofil_transport::{Instant, Stream};

const MS: Duration = Duration::from_millis(1);
/// How long casts are sent.
const TIME: Duration = Duration::from_millis(600);
const TARGETS: [&str; 2] = ["sink", "drain"];

/// What became of each cast, by its number.
#[derive(Default)]
struct Book {
    sent: u64,
    /// Whether all has been sent.
    over: bool,
    handled: BTreeMap<u64, u32>,
    back: BTreeMap<u64, Vec<(&'static str, Executed)>>,
}

type Books = Rc<RefCell<Book>>;

/// Takes so long for each that many find no room.
fn takes_long(name: &'static str, books: &Books) -> ComponentDef {
    let books = books.clone();
    let limits = InstanceLimits {
        queue_messages: 2,
        ..InstanceLimits::default()
    };
    component(name, move || {
        let books = books.clone();
        move |cx: &mut Context, message: Message| {
            let number = message.method().as_str().parse().expect("a number");
            *books.borrow_mut().handled.entry(number).or_default() += 1;
            let takes = MS * u32::try_from(cx.rng().below(12)).expect("small");
            cx.sleep(takes)?;
            Ok(Reply::Empty)
        }
    })
    .limits(limits)
}

/// Casts a few every few milliseconds, each with its number for its method.
fn sends(books: &Books) -> ComponentDef {
    let books = books.clone();
    let tick = |cx: &mut Context| {
        let pause = MS * u32::try_from(cx.rng().below(8)).expect("small");
        cx.after(pause, text("sends", "Tick", ""))
    };
    let limits = InstanceLimits {
        queue_messages: 1 << 20,
        ..InstanceLimits::default()
    };
    let def = hooked("sends", move || {
        let (books, back) = (books.clone(), books.clone());
        Hooks::new(move |cx, _| {
            if books.borrow().over {
                return Ok(Reply::Empty);
            }
            for _ in 0..cx.rng().below(5) {
                let number = books.borrow().sent;
                let to = TARGETS[usize::from(number % 3 == 0)];
                let cast = text(to, &number.to_string(), "").with_deadline(MS * 600_000);
                // A full link says so here, and then nothing was sent.
                if cx.cast(cast).is_ok() {
                    books.borrow_mut().sent += 1;
                }
            }
            tick(cx)?;
            Ok(Reply::Empty)
        })
        .start(move |cx, _| Ok(tick(cx)?))
        .undelivered(move |_, it| {
            let number = it.method.as_str().parse().expect("a number");
            let end = (it.error.kind(), it.error.executed());
            back.borrow_mut().back.entry(number).or_default().push(end);
        })
    });
    def.limits(limits)
}

/// Returns how many casts were handled, and how many came back.
fn run(seed: u64) -> (usize, usize) {
    let mut random = Stream::new(seed, "refusals");
    let least = random.exponential(2 * MS);
    let mut net = SimNet::with(WorldConfig {
        link: LinkModel::with_latency(Latency::Uniform {
            min: least,
            max: least + random.exponential(4 * MS),
        }),
        reconnect_min: MS,
        reconnect_max: 20 * MS,
        ..WorldConfig::with_seed(seed)
    });
    let books = Books::default();
    net.start(vec![
        NodeSpec::new("one", vec![sends(&books)]),
        NodeSpec::new("two", TARGETS.map(|name| takes_long(name, &books)).into()),
    ]);
    let world = net.world();
    let [one, two] = ["one", "two"].map(|name| world.node(name).expect("it was started"));
    let mut at = Instant::ZERO;
    while at < Instant::ZERO + TIME {
        at += random.exponential(30 * MS);
        world.at(at, move |world| world.disconnect(one, two));
    }
    world.run_for(TIME);
    books.borrow_mut().over = true;
    world.run_for(Duration::from_secs(60));
    let net: &dyn Net = &net;
    let book = books.borrow();
    for number in 0..book.sent {
        let handled = book.handled.get(&number).copied().unwrap_or(0);
        let back = book.back.get(&number).map_or(&[][..], Vec::as_slice);
        let ended = matches!((handled, back), (1, []) | (0, [("rejected", Executed::No)]));
        assert!(
            ended,
            "seed {seed}: cast {number} was handled {handled} times and came back as {back:?}"
        );
    }
    let (handled, back) = (book.handled.len(), book.back.len());
    assert_eq!((handled + back) as u64, book.sent, "seed {seed}");
    for node in ["one", "two"] {
        assert_eq!(net.counter(node, Counter::LinksEnded), 0, "seed {seed}");
        let mut gauges = net.gauges(node);
        gauges.remove("monofil_timers");
        gauges.retain(|_, value| *value > 0);
        assert!(gauges.is_empty(), "seed {seed}: {node}: {gauges:?}");
    }
    (handled, back)
}

#[test]
fn each_refused_cast_comes_back_once_with_the_reason_while_links_break() {
    let (mut handled, mut back) = (0, 0);
    for seed in seeds(300) {
        println!("seed {seed}");
        let ends = run(seed);
        handled += ends.0;
        back += ends.1;
    }
    println!("{handled} casts were handled, {back} came back");
    // Neither is the exception.
    assert!(back > handled / 4 && handled > back / 4);
}
