//! Two processes, of which one sends the other messages as fast as they are taken: `victim takes ENDPOINT JOURNAL
//! LIFE` and `victim sends ENDPOINT JOURNAL UNSETTLED`, where the endpoint is the receiver's in both cases.
//!
//! The receiver says `at ENDPOINT` when it listens. The sender answers `look` with what there is, and ends when
//! it is told to `end` and everything has ended that it sent. Both end with their input.

use std::cell::RefCell;
use std::io::BufRead;
use std::path::Path;
use std::process::exit;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

use monofil_container::{Container, ContainerConfig, Counter, NodeId, StaticDirectory};
use monofil_tests::{
    Amount, ComponentDef, Journal, Ledger, Load, Note, PATIENCE, sink_names, sinks,
};
use monofil_transport::{Clock as _, Driver as _, Endpoint, Next, Node as _, Transport as _};
use monofil_zmq::{BindError, Listen, Options, ZmqIo};

/// More than the sender may have unsettled, so that the receiver seldom has to refuse something.
const QUEUE: usize = 40_000;
/// How soon the sender answers, at most.
const SOON: Duration = Duration::from_millis(1);

const AMOUNT: Amount = Amount {
    bytes: 64,
    casts: 256,
    calls: 16,
    pause: Duration::from_micros(100),
    deadline: Duration::from_secs(5),
};

/// Plays a part, if that is what the arguments say.
pub(crate) fn run(arguments: &mut impl Iterator<Item = String>) -> bool {
    let part = arguments.next().unwrap_or_default();
    if part != "sends" && part != "takes" {
        return false;
    }
    let endpoint = arguments.next().expect("an endpoint");
    let endpoint = endpoint.parse().expect("a good endpoint");
    let journal = arguments.next().expect("a journal");
    let number = arguments.next().and_then(|it| it.parse().ok());
    let number = number.expect("a number");
    if part == "sends" {
        send(&endpoint, Path::new(&journal), number);
    } else {
        take(endpoint, Path::new(&journal), number);
    }
    true
}

/// Returns what is written to this process, until nobody can.
fn input() -> Receiver<String> {
    let (lines, input) = channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                return;
            }
        }
    });
    input
}

/// A process that is stopped for a second loses its connections.
fn options() -> Options {
    Options {
        heartbeat_interval: Duration::from_millis(200),
        heartbeat_timeout: Duration::from_millis(500),
        handshake_timeout: Duration::from_millis(500),
        reconnect_interval: Duration::from_millis(5),
        reconnect_interval_max: Duration::from_millis(50),
        ..Options::default()
    }
}

fn config(name: &'static str, components: &[ComponentDef]) -> ContainerConfig {
    let mut config = ContainerConfig::new("test", name);
    config.node = NodeId::derived(&["test", name]);
    config.components = components.iter().map(ComponentDef::spec).collect();
    config.limits.queue_messages = 2 * QUEUE;
    config
}

fn take(endpoint: Endpoint, journal: &Path, life: u64) {
    let listen = Listen {
        application: Some(endpoint),
        ..Listen::default()
    };
    let begun = Instant::now();
    let mut io = loop {
        match ZmqIo::bind(options(), listen.clone()) {
            Ok(io) => break io,
            // Its predecessor is just being buried.
            Err(BindError::InUse { .. }) if begun.elapsed() < PATIENCE => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    };
    // Whatever was handled is in the journal before anybody else can hear of it.
    let journal = RefCell::new(Ledger::create(journal));
    let note: Note = Rc::new(move |entry| journal.borrow_mut().note(entry));
    let mut config = config("two", &sinks(&note, QUEUE, 0, Duration::ZERO));
    config.incarnation = life;
    let mut container = Container::new(config);
    println!("at {}", io.local().application.expect("it is bound"));
    let lines = input();
    while lines.try_recv() != Err(TryRecvError::Disconnected) {
        let next = container.turn(&mut io);
        io.wait(next);
    }
    exit(1);
}

fn send(endpoint: &Endpoint, path: &Path, unsettled: u64) {
    let journal = Rc::new(RefCell::new(Some(Journal::create(path))));
    let noting = journal.clone();
    let note: Note = Rc::new(move |entry| {
        if let Some(journal) = &mut *noting.borrow_mut() {
            journal.note(entry);
        }
    });
    let load = Load::new(AMOUNT, note);
    let mut config = config("one", &load.sources());
    config.link.unsettled_max = unsettled.try_into().expect("small");
    let mut directory = StaticDirectory::new();
    for name in sink_names() {
        directory.add(name, endpoint.clone(), &[]);
    }
    config.directory = Box::new(directory);
    let mut io = ZmqIo::bind(options(), Listen::default()).expect("a socket");
    let mut container = Container::new(config);
    let lines = input();
    let mut ends = false;
    loop {
        let next = container.turn(&mut io);
        match lines.try_recv().as_deref() {
            Ok("look") => look(&container, &load),
            Ok("end") => {
                load.end();
                ends = true;
            }
            Ok(other) => panic!("what is `{other}`?"),
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => exit(1),
        }
        if ends && next != Next::Now && is_done(&container) {
            break;
        }
        let soon = io.now() + SOON;
        io.wait(match next {
            Next::Now => Next::Now,
            Next::At(at) => Next::At(at.min(soon)),
            _ => Next::At(soon),
        });
    }
    let journal = journal.take().expect("it is still there");
    journal.close().expect("room for it");
    look(&container, &load);
    println!("done");
}

/// Says how many casts are unsettled, messages sent and casts refused, casts that came back and were dropped, and
/// links that ended.
fn look(container: &Container, load: &Load) {
    println!(
        "there {} {} {} {} {}",
        container.gauges()["monofil_link_casts_unsettled"],
        load.sent(),
        load.refused(),
        container.counter(Counter::CastsUndeliveredDropped),
        container.counter(Counter::LinksEnded),
    );
}

fn is_done(container: &Container) -> bool {
    let gauges = container.gauges();
    [
        "monofil_link_casts_unsettled",
        "monofil_link_records_unacknowledged",
        "monofil_calls_under_way",
        "monofil_queue_messages",
        "monofil_handlers_under_way",
        "monofil_delayed_messages",
    ]
    .iter()
    .all(|gauge| gauges[gauge] == 0)
}
