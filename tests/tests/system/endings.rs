//! The end of a node or of a program, and what others make of it.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant as RealInstant};

use monofil_container::control::Description;
use monofil_container::{
    Caller, Client, ContainerConfig, Message, NodeId, Payload, Reply, StaticDirectory,
};
use monofil_tests::{
    ComponentDef, Hooks, Net, NodeSpec, Scheme, SimNet, ZmqNet, component, hooked, on_both, text,
};
use monofil_transport::{Endpoint, Shutdown};
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context as LayerContext, Layer, SubscriberExt};

const AN_HOUR: Duration = Duration::from_secs(3600);

fn echo() -> ComponentDef {
    component("echo", || {
        |_, message| Ok(Reply::Payload(message.payload().clone()))
    })
}

/// What handlers have to say.
type Log = Rc<RefCell<Vec<String>>>;

/// Handles by waiting for ever, and notes when that ends.
fn hangs(log: &Log) -> ComponentDef {
    let log = log.clone();
    component("hangs", move || {
        let log = log.clone();
        move |cx, _| {
            log.borrow_mut().push("began".to_owned());
            let slept = cx.sleep(AN_HOUR);
            log.borrow_mut().push(format!("{slept:?}"));
            Ok(Reply::Empty)
        }
    })
}

/// Calls `hangs` and notes what comes of it.
fn waits(log: &Log) -> ComponentDef {
    let log = log.clone();
    component("waits", move || {
        let log = log.clone();
        move |cx, _| {
            let ended = cx.call(text("hangs", "Do", "").with_deadline(AN_HOUR));
            let ended = ended.map_or_else(|error| error.to_string(), |_| "replied".to_owned());
            log.borrow_mut().push(ended);
            Ok(Reply::Empty)
        }
    })
}

/// Lets `waits` on node `one` wait for `hangs` on node `two`.
fn wait_for_each_other(net: &mut dyn Net) -> (Log, Log) {
    let (caller, callee) = (Log::default(), Log::default());
    net.start(vec![
        NodeSpec::new("one", vec![waits(&caller)]),
        NodeSpec::new("two", vec![hangs(&callee)]),
    ]);
    let seen = callee.clone();
    net.run(move |cx| {
        let ask = text("waits", "Do", "").with_deadline(AN_HOUR);
        cx.cast(ask).expect("sent");
        while seen.borrow().is_empty() {
            cx.sleep(Duration::from_millis(5)).expect("time");
        }
    });
    (caller, callee)
}

#[test]
fn calls_under_way_at_a_node_that_ends_are_lost_at_once() {
    on_both(|net| {
        let (caller, _) = wait_for_each_other(net);
        net.end("two", Shutdown::Now);
        net.run(|cx| cx.sleep(Duration::from_millis(200)).expect("time"));
        assert_eq!(*caller.borrow(), ["peer lost: `two`: it left"]);
    });
}

#[test]
fn a_handler_whose_caller_s_node_ends_is_told_at_once() {
    on_both(|net| {
        let (_, callee) = wait_for_each_other(net);
        net.end("one", Shutdown::Now);
        net.run(|cx| cx.sleep(Duration::from_millis(200)).expect("time"));
        assert_eq!(*callee.borrow(), ["began", "Err(Cancelled)"]);
        // So it holds nothing up.
        net.drain("two");
    });
}

/// Writes down the texts of all log lines.
pub(super) struct Lines(pub(super) Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if matches!(field.name(), "message" | "why") {
            self.0 += &format!("{value:?} ");
        }
    }
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &tracing::Event<'_>, _: LayerContext<'_, S>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().expect("no panic").push(line.0);
    }
}

#[test]
fn a_node_that_ended_in_order_has_left_and_is_not_silent() {
    on_both(|net| {
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let subscriber = tracing_subscriber::registry().with(Lines(lines.clone()));
        tracing::subscriber::with_default(subscriber, || {
            let impatient = |config: &mut ContainerConfig| {
                config.probe_interval = Duration::from_millis(50);
                config.silent_after = Duration::from_millis(200);
            };
            let asks = component("asks", || {
                |cx, _| Ok(Reply::Payload(cx.call(text("echo", "Say", "hi"))?))
            });
            net.start(vec![
                NodeSpec::new("one", vec![echo()]).configure(impatient),
                NodeSpec::new("two", vec![asks]).configure(impatient),
            ]);
            net.run(|cx| cx.call(text("asks", "Do", "")).expect("an answer"));
            net.drain("one");
            net.run(|cx| cx.sleep(Duration::from_millis(800)).expect("time"));
            // It may come again.
            net.restart("one");
            net.run(|cx| cx.call(text("asks", "Do", "")).expect("an answer"));
        });
        let lines = lines.lock().expect("no panic");
        let count = |what: &str| lines.iter().filter(|line| line.contains(what)).count();
        assert_eq!(count("peer is silent"), 0, "{}: {lines:?}", net.label());
        // The test's own nodes know `one`, too.
        assert!(count("it left") >= 1, "{}: {lines:?}", net.label());
        assert!(
            count("peer answers again") >= 1,
            "{}: {lines:?}",
            net.label()
        );
    });
}

#[test]
fn a_call_to_a_node_that_left_waits_for_its_return_and_is_unreachable_otherwise() {
    on_both(|net| {
        let log = Log::default();
        let notes = log.clone();
        let asks = component("asks", move || {
            let notes = notes.clone();
            move |cx, message: Message| {
                let patience = match message.method().as_str() {
                    "Briefly" => Duration::from_millis(100),
                    _ => Duration::from_secs(20),
                };
                let ended = cx.call(text("echo", "Say", "hi").with_deadline(patience));
                let ended = ended.map_or_else(|error| error.kind(), |_| "replied");
                notes.borrow_mut().push(ended.to_owned());
                Ok(Reply::Empty)
            }
        });
        net.start(vec![
            NodeSpec::new("one", vec![echo()]),
            NodeSpec::new("two", vec![asks]),
        ]);
        net.run(|cx| cx.call(text("asks", "Do", "")).expect("done"));
        net.drain("one");
        net.run(|cx| {
            cx.call(text("asks", "Briefly", "")).expect("done");
            let ask = text("asks", "Do", "").with_deadline(Duration::from_secs(20));
            cx.cast(ask).expect("sent");
            cx.sleep(Duration::from_millis(100)).expect("time");
        });
        net.restart("one");
        let seen = log.clone();
        net.run(move |cx| {
            while seen.borrow().len() < 3 {
                cx.sleep(Duration::from_millis(5)).expect("time");
            }
        });
        assert_eq!(*log.borrow(), ["replied", "unreachable", "replied"]);
    });
}

#[test]
fn a_node_that_ends_does_not_wait_for_one_that_vanished() {
    let mut net = SimNet::new(1);
    let tells = component("tells", || {
        |cx, _| {
            cx.cast(text("echo", "Say", ""))?;
            Ok(Reply::Empty)
        }
    });
    net.start(vec![
        NodeSpec::new("one", vec![tells]),
        NodeSpec::new("two", vec![echo()]),
    ]);
    let dyn_net: &mut dyn Net = &mut net;
    dyn_net.run(|cx| cx.call(text("tells", "First", "")).expect("told"));
    let two = net.world().node("two").expect("two");
    net.world().vanish(two);
    let dyn_net: &mut dyn Net = &mut net;
    dyn_net.run(|cx| cx.call(text("tells", "Second", "")).expect("told"));
    let began = net.world().now();
    net.drain("one");
    let took = net.world().now().since(began);
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[test]
fn casts_to_a_node_that_is_not_there_come_back_before_their_sender_stops() {
    on_both(|net| {
        let log = Log::default();
        let (back, end) = (log.clone(), log.clone());
        let sender = hooked("sender", move || {
            let (back, end) = (back.clone(), end.clone());
            Hooks::new(|cx, _| {
                cx.cast(text("echo", "Say", ""))?;
                Ok(Reply::Empty)
            })
            .undelivered(move |_, it| {
                back.borrow_mut()
                    .push(format!("{} {}", it.method, it.error.kind()));
            })
            .stop(move |_| end.borrow_mut().push("stopped".to_owned()))
        });
        net.start(vec![
            NodeSpec::new("one", vec![sender]),
            NodeSpec::new("two", vec![echo()]),
        ]);
        net.kill("two");
        net.run(|cx| {
            cx.sleep(Duration::from_millis(50)).expect("time");
            cx.call(text("sender", "Do", "")).expect("sent");
        });
        net.drain("one");
        assert_eq!(*log.borrow(), ["Say unreachable", "stopped"]);
    });
}

/// A node of its own thread, for programs that block this one.
struct Served {
    at: Endpoint,
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Duration>,
}

impl Served {
    fn start(heard: &Arc<Mutex<Vec<String>>>) -> Self {
        let (tell, told) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, heard) = (stop.clone(), heard.clone());
        let thread = std::thread::spawn(move || {
            let mut net = ZmqNet::new(Scheme::Tcp);
            let ear = component("ear", move || {
                let heard = heard.clone();
                move |_, message: Message| {
                    let text = String::from_utf8_lossy(&message.payload().to_bytes()).into_owned();
                    heard.lock().expect("no panic").push(text);
                    Ok(Reply::Payload(Payload::bytes("heard")))
                }
            });
            net.start(vec![NodeSpec::new("one", vec![ear])]);
            let at = net.local("one").application.expect("bound");
            tell.send(at).expect("the test listens");
            while !stopped.load(Ordering::Relaxed) {
                net.turn();
            }
            let began = RealInstant::now();
            net.drain("one");
            began.elapsed()
        });
        let at = told.recv().expect("it is bound");
        Self { at, stop, thread }
    }

    fn client(&self, id: u8) -> Client {
        let mut directory = StaticDirectory::new();
        directory.add("test/ear", self.at.clone(), &[]);
        let mut config = ContainerConfig::new("test", "client");
        config.node = NodeId([id; 16]);
        config.directory = Box::new(directory);
        let io = monofil_zmq::ZmqIo::bind(Default::default(), Default::default());
        Client::new(config, Box::new(io.expect("a client needs no address")))
    }

    /// Ends the node; returns how long that took.
    fn end(self) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("no panic")
    }
}

fn describe(client: &mut Client) -> Description {
    let description = client.describe("ear", false, Duration::from_secs(5));
    description.expect("a description")
}

#[test]
fn a_program_that_ends_leaves_nothing_behind() {
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let served = Served::start(&heard);
    let mut first = served.client(1);
    let answer = first.call(text("ear", "Hear", "call"));
    assert_eq!(answer.expect("an answer").to_bytes(), "heard");
    // Its answer is not acknowledged yet when it goes.
    drop(first);
    let mut second = served.client(2);
    let description = describe(&mut second);
    let names: Vec<_> = description.peers.iter().map(|peer| &*peer.node).collect();
    assert_eq!(names, [[2; 16]], "the first is not remembered");
    assert!(
        second.close(Duration::from_secs(5)),
        "nothing was under way"
    );
    let took = served.end();
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn what_a_program_cast_last_arrives() {
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let served = Served::start(&heard);
    // There is no connection yet when it goes.
    let mut client = served.client(1);
    client.cast(text("ear", "Hear", "cast")).expect("taken");
    assert!(client.close(Duration::from_secs(5)));
    let mut client = served.client(2);
    describe(&mut client);
    assert_eq!(*heard.lock().expect("no panic"), ["cast"]);
    drop(client);
    served.end();
}

#[test]
fn a_program_that_reaches_nobody_ends_all_the_same_and_says_so() {
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let served = Served::start(&heard);
    let mut client = served.client(1);
    served.end();
    let began = RealInstant::now();
    client.cast(text("ear", "Hear", "cast")).expect("taken");
    assert!(!client.close(Duration::from_millis(100)));
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
}
