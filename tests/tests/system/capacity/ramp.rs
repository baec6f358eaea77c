//! More and more load, over several machines.
//!
//! ```text
//!   machine m0      source ──▶ a (1)   b (1)      the nearest: all is sent there
//!   machine m1                 c (2)              who gets what these two have no room for
//!   machine m2                 d (1)
//! ```
//!
//! A picture of it is in `target/tmp/overload.svg`.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use monofil_container::{
    Answered, CallError, Caller, ComponentKind, Context, Counter, Gate, InstanceLimits, Limit,
    LimitScope, Message, Name, Overflow, Passage, Reply,
};
use monofil_inproc::NodeKey;
use monofil_tests::{ComponentDef, Hooks, component, hooked, seeds, text};
use monofil_transport::Instant;

use super::plot::{Panel, svg};
use crate::village::{self, SECOND, Village};

/// How long a handler takes; nothing else is handled meanwhile.
const SERVICE: Duration = Duration::from_millis(20);
const QUEUE: usize = 50;
/// Each with its machine, and how many instances it has.
const NODES: [(&str, &str, usize); 4] = [
    ("a", "m0", 1),
    ("b", "m0", 1),
    ("c", "m1", 2),
    ("d", "m2", 1),
];
const INSTANCES: usize = 5;
/// Instances that are equally far from the source.
const ALIKE: [&[usize]; 2] = [&[0, 1], &[2, 3, 4]];
/// How long each step of the ramp is, and what is offered in it, in parts of what all instances can do.
const STEP: usize = 15;
const RAMP: [f64; 6] = [0.5, 1.0, 1.5, 2.0, 2.5, 3.0];
/// Of each step, seconds in which queues fill and shares grow.
const SETTLES: usize = 6;
/// Others find each other first.
const START: usize = 5;

/// Worlds in which instances that are alike differed by more than ten points, while whoever refused something was left
/// alone until half of its queue was empty.
const HARD: [u64; 2] = [7, 39];

/// What happened in a second.
#[derive(Clone, Default)]
struct Second {
    offered: u64,
    handled: [u64; INSTANCES],
    queued: [u64; INSTANCES],
}

#[derive(Default)]
struct Book {
    seconds: Vec<Second>,
    /// At which nodes each message arrived, by its number.
    paths: BTreeMap<u64, Vec<usize>>,
    sent: u64,
    answered: u64,
    refused: u64,
    otherwise: Vec<CallError>,
}

type Books = Rc<RefCell<Book>>;

impl Book {
    fn second(&mut self, now: Instant) -> &mut Second {
        let second = usize::try_from(now.as_nanos() / 1_000_000_000).expect("short");
        if self.seconds.len() <= second {
            self.seconds.resize(second + 1, Second::default());
        }
        &mut self.seconds[second]
    }

    fn ended(&mut self, end: Result<(), CallError>) {
        match end {
            Ok(()) => self.answered += 1,
            Err(CallError::Rejected(_)) => self.refused += 1,
            Err(other) => self.otherwise.push(other),
        }
    }
}

/// Works as the next of all instances.
fn worker(next: &Rc<Cell<usize>>, books: &Books) -> ComponentDef {
    let (next, books) = (next.clone(), books.clone());
    let worker = component("worker", move || {
        let (own, books) = (next.replace(next.get() + 1), books.clone());
        move |cx: &mut Context, _: Message| {
            cx.sleep(SERVICE)?;
            books.borrow_mut().second(cx.now()).handled[own] += 1;
            Ok(Reply::Empty)
        }
    });
    let worker = worker.limits(InstanceLimits {
        queue_messages: QUEUE,
        overflow: Some(Overflow::Spill),
        ..InstanceLimits::default()
    });
    worker.kind(ComponentKind::Stateless)
}

/// Notes what arrives at a node.
struct Notes {
    node: usize,
    books: Books,
}

impl Gate for Notes {
    fn request(&mut self, _: Instant, _: &Name, message: &Message) -> Passage {
        let number = message.method().as_str().parse().expect("a number");
        let mut books = self.books.borrow_mut();
        books.paths.entry(number).or_default().push(self.node);
        Passage::Pass
    }

    fn reply(&mut self, _: Instant, _: &Answered<'_>) -> Passage {
        Passage::Pass
    }
}

/// What all can do in a second.
fn capacity() -> f64 {
    INSTANCES as f64 / SERVICE.as_secs_f64()
}

/// Calls as often as the ramp says.
fn source(books: &Books) -> ComponentDef {
    let books = books.clone();
    hooked("source", move || {
        let books = books.clone();
        Hooks::new(|_, _| Ok(Reply::Empty)).start(move |cx, _| {
            cx.sleep(SECOND * START as u32)?;
            let mut under_way = VecDeque::new();
            for part in RAMP {
                let pause = Duration::from_secs_f64(1.0 / (part * capacity()));
                let begun = cx.now();
                while cx.now().since(begun) < SECOND * STEP as u32 {
                    let number = {
                        let mut books = books.borrow_mut();
                        books.second(cx.now()).offered += 1;
                        books.sent += 1;
                        books.sent
                    };
                    under_way.push_back(cx.start_call(text("worker", &number.to_string(), "")));
                    cx.sleep(pause)?;
                    // The first of so many is over: nobody is held up.
                    while under_way.len() > 3000 {
                        let call = under_way.pop_front().expect("there are some");
                        let end = cx.wait(call).map(drop);
                        books.borrow_mut().ended(end);
                    }
                }
            }
            for call in under_way {
                let end = cx.wait(call).map(drop);
                books.borrow_mut().ended(end);
            }
            Ok(())
        })
    })
}

/// Returns what happened, and how often each node passed something on.
fn run(seed: u64) -> (Book, Vec<u64>) {
    let books = Books::default();
    let next = Rc::<Cell<usize>>::default();
    let mut village = Village::new(seed);
    let membership = village::seeds(&["a"]);
    let mut nodes: Vec<(NodeKey, usize)> = Vec::new();
    for (place, (name, host, instances)) in NODES.into_iter().enumerate() {
        let components = (0..instances).map(|_| worker(&next, &books)).collect();
        let notes = books.clone();
        let node = village.join_as(name, &membership, components, move |config| {
            config.host = host.into();
            config.gate = Some(Box::new(Notes {
                node: place,
                books: notes.clone(),
            }));
        });
        nodes.push((node, instances));
    }
    village.join_as("source", &membership, vec![source(&books)], |config| {
        config.host = "m0".into();
    });
    let seconds = START + STEP * RAMP.len() + 8;
    for _ in 0..seconds {
        village.run(SECOND);
        let mut queued = Vec::new();
        for (node, _) in &nodes {
            let limits = village.look(*node, |container| container.limits());
            let waits = limits.iter().filter(|it| it.limit == Limit::QueueMessages);
            let of_it = waits.filter(|it| matches!(it.scope, LimitScope::Component(_)));
            queued.extend(of_it.map(|it| it.observed));
        }
        let now = village.now();
        let mut books = books.borrow_mut();
        let now = Instant::from_nanos(now.as_nanos() - 1);
        books.second(now).queued = queued.try_into().expect("as many as there are");
    }
    let spilled = nodes
        .iter()
        .map(|(node, _)| village.counter(*node, Counter::Spilled));
    let spilled = spilled.collect();
    drop(village);
    (books.take(), spilled)
}

/// Draws what happened.
fn draw(book: &Book) -> String {
    let of =
        |value: &dyn Fn(&Second) -> f64| -> Vec<f64> { book.seconds.iter().map(value).collect() };
    let names = ["a, m0", "b, m0", "c, m1", "c, m1", "d, m2"];
    let each = |value: &dyn Fn(&Second, usize) -> f64| {
        let curve = |at: usize| (names[at].to_owned(), of(&|second| value(second, at)));
        (0..INSTANCES).map(curve).collect()
    };
    let total = |second: &Second| second.handled.iter().sum::<u64>() as f64;
    let panels = [
        Panel {
            title: "messages each second",
            curves: vec![
                ("offered".to_owned(), of(&|second| second.offered as f64)),
                ("handled".to_owned(), of(&total)),
            ],
        },
        Panel {
            title: "queued, of 50",
            curves: each(&|second, at| second.queued[at] as f64),
        },
        Panel {
            title: "handled by each, in percent of what it can do",
            curves: each(&|second, at| second.handled[at] as f64 * SERVICE.as_secs_f64() * 100.0),
        },
    ];
    let mark = |(number, part): (usize, &f64)| (START + number * STEP, format!("{part}x"));
    let marks: Vec<_> = RAMP.iter().enumerate().map(mark).collect();
    svg(
        "Five instances on three machines; all messages are sent to the two of machine m0",
        &panels,
        &marks,
    )
}

/// No message was passed on twice at one distance, or came to a node twice.
fn check_paths(seed: u64, book: &Book) -> u64 {
    let mut passed_on = 0;
    for (number, path) in &book.paths {
        let mut at = Vec::new();
        for step in path.windows(2) {
            at.push(NODES[step[0]].1 == NODES[step[1]].1);
            passed_on += 1;
        }
        let is_once = at.len() < 2 || at[0] != at[1];
        let mut visited = path.clone();
        visited.sort_unstable();
        visited.dedup();
        assert!(
            at.len() <= 2 && is_once && visited.len() == path.len(),
            "seed {seed}: message {number} went to {path:?}"
        );
    }
    passed_on
}

#[test]
fn an_overload_spills_to_others_and_they_all_work() {
    let chosen: Vec<u64> = seeds(0).collect();
    let chosen = match chosen[..] {
        [] => &HARD,
        _ => &chosen[..],
    };
    for seed in chosen.iter().copied() {
        let (book, spilled) = run(seed);
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        std::fs::write(folder.join("overload.svg"), draw(&book)).expect("a writable folder");
        assert!(
            book.otherwise.is_empty(),
            "seed {seed}: {:?}",
            book.otherwise
        );
        assert_eq!(book.answered + book.refused, book.sent, "seed {seed}");
        // Nothing was handled twice, or for nobody.
        let handled: u64 = book.seconds.iter().flat_map(|it| it.handled).sum();
        assert_eq!(handled, book.answered, "seed {seed}");
        let passed_on = check_paths(seed, &book);
        println!(
            "seed {seed}: {} sent, {} answered, {passed_on} passed on: {spilled:?}",
            book.sent, book.answered
        );
        assert!(passed_on > 0);
        assert_eq!(passed_on, spilled.iter().sum::<u64>(), "seed {seed}");
        for (number, part) in RAMP.iter().enumerate() {
            let first = START + STEP * number + SETTLES;
            let seconds = &book.seconds[first..first + STEP - SETTLES];
            check_step(seed, *part, seconds);
        }
    }
}

fn check_step(seed: u64, part: f64, seconds: &[Second]) {
    let one = 1.0 / SERVICE.as_secs_f64();
    let count = seconds.len() as f64;
    let total: u64 = seconds.iter().flat_map(|it| it.handled).sum();
    let (goodput, can) = (total as f64 / count, capacity() * part.min(1.0));
    // What each did of what it can do, in percent: on the whole, and in the least and the best of the seconds.
    let percent = |count: f64| count / one * 100.0;
    let works: Vec<(f64, f64, f64)> = (0..INSTANCES)
        .map(|at| {
            let each = || seconds.iter().map(|it| percent(it.handled[at] as f64));
            let (least, most) = (each().fold(f64::MAX, f64::min), each().fold(0.0, f64::max));
            (each().sum::<f64>() / count, least, most)
        })
        .collect();
    println!("{part}x: {goodput:.1} of {can:.1} each second; {works:.0?}");
    assert!(
        goodput >= 0.95 * can,
        "seed {seed}, {part}x: {goodput} of {can}"
    );
    // How full each is, in percent.
    let fullness = |at: usize| {
        let queued: u64 = seconds.iter().map(|it| it.queued[at]).sum();
        queued as f64 / count / QUEUE as f64 * 100.0
    };
    let full: Vec<f64> = (0..INSTANCES).map(fullness).collect();
    println!("{part}x: {full:.0?} percent full");
    for alike in ALIKE {
        let of_them = || alike.iter().map(|at| full[*at]);
        let spread = of_them().fold(0.0, f64::max) - of_them().fold(f64::MAX, f64::min);
        assert!(spread <= 10.0, "seed {seed}, {part}x: {full:?}");
    }
    // What goes to the others is the same from second to second, in percent of what all can do.
    let elsewhere = |second: &Second| {
        let handled: u64 = ALIKE[1].iter().map(|at| second.handled[*at]).sum();
        handled as f64 / capacity() * 100.0
    };
    let most = seconds.iter().map(elsewhere).fold(0.0, f64::max);
    let least = seconds.iter().map(elsewhere).fold(f64::MAX, f64::min);
    println!("{part}x: {least:.0} to {most:.0} percent elsewhere");
    assert!(
        most - least <= 10.0,
        "seed {seed}, {part}x: {least} to {most}"
    );
    if part > 1.0 {
        // Each works all the time: the load is thrown from none to another.
        for (_, least, _) in &works {
            assert!(*least >= 90.0, "seed {seed}, {part}x: {works:?}");
        }
    }
}
