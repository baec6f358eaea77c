//! What happens when nodes die, connections break and peers come back.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use monofil_container::{Caller, ContainerConfig, Context, Payload, Replies, Reply};
use monofil_inproc::{Fault, World};
use monofil_tests::{Hooks, Net, NodeSpec, SimNet, component, hooked, on_both, seeds, text};
use monofil_transport::{Probability, Shutdown, Stream};

#[test]
fn a_restarted_peer_is_used_again() {
    on_both(|net| {
        let echo = component("echo", || |_, _| Ok(Reply::Empty));
        net.start(vec![NodeSpec::new("one", vec![echo])]);
        net.run(|cx| cx.call(text("echo", "Do", "")).expect("an answer"));
        net.kill("one");
        net.restart("one");
        net.run(|cx| {
            cx.call(text("echo", "Do", ""))
                .expect("an answer after the restart")
        });
    });
}

/// A run in the simulated world: a caller makes calls and casts while nodes crash and links break. Every
/// call ends once, every cast is handled at most once and in order, and what neither arrived nor was
/// reported is nothing.
fn survive(seed: u64) {
    let mut net = SimNet::new(seed);
    let handled: Rc<RefCell<Vec<u64>>> = Rc::default();
    let reported: Rc<RefCell<Vec<u64>>> = Rc::default();
    let seen = handled.clone();
    let sink = component("sink", move || {
        let seen = seen.clone();
        move |_, message| {
            let number = String::from_utf8_lossy(&message.payload().to_bytes())
                .parse()
                .expect("a number");
            seen.borrow_mut().push(number);
            Ok(Reply::Empty)
        }
    });
    let back = reported.clone();
    // Each cast carries its number as its method, so that what comes back can be told apart.
    let source = hooked("source", move || {
        let back = back.clone();
        Hooks::new(|cx: &mut Context, message| {
            let numbers = String::from_utf8_lossy(&message.payload().to_bytes()).into_owned();
            let mut accepted = Vec::new();
            for number in numbers.split(',') {
                if cx.cast(text("sink", number, number)).is_ok() {
                    accepted.push(number.to_owned());
                }
            }
            Ok(Reply::Payload(Payload::bytes(accepted.join(","))))
        })
        .undelivered(move |_, undelivered| {
            back.borrow_mut()
                .push(undelivered.method.as_str().parse().expect("a number"));
        })
    });
    net.start(vec![
        NodeSpec::new("one", vec![source]),
        NodeSpec::new("two", vec![sink]),
    ]);
    plan_faults(net.world(), seed);
    let net: &mut dyn Net = &mut net;
    let (accepted, outcomes) = net.run(move |cx| {
        let mut accepted = Vec::new();
        let mut outcomes: BTreeMap<&str, u32> = BTreeMap::new();
        for round in 0..200_u64 {
            let numbers: Vec<_> = (0..10).map(|n| (round * 10 + n).to_string()).collect();
            match cx.call(text("source", "Send", &numbers.join(","))) {
                Ok(payload) => {
                    let list = String::from_utf8_lossy(&payload.to_bytes()).into_owned();
                    accepted.extend(list.split(',').filter_map(|n| n.parse::<u64>().ok()));
                    *outcomes.entry("ok").or_default() += 1;
                }
                Err(error) => *outcomes.entry(error.kind()).or_default() += 1,
            }
            cx.sleep(Duration::from_millis(5)).expect("time");
        }
        // Everything has expired or arrived by then.
        cx.sleep(Duration::from_secs(30)).expect("time");
        (accepted, outcomes)
    });
    assert_eq!(
        outcomes.values().sum::<u32>(),
        200,
        "seed {seed}: {outcomes:?}"
    );
    let handled = handled.borrow();
    let reported = reported.borrow();
    let mut once = handled.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(
        once.len(),
        handled.len(),
        "seed {seed}: a cast was handled twice"
    );
    assert!(
        handled.is_sorted(),
        "seed {seed}: casts were handled out of order"
    );
    let ended = |number: &u64| handled.contains(number) || reported.contains(number);
    let lost: Vec<_> = accepted.iter().filter(|number| !ended(number)).collect();
    assert!(
        lost.is_empty(),
        "seed {seed}: {} casts without an end: {lost:?}",
        lost.len()
    );
}

/// Only the receiver dies: what dies in a killed sender's own memory arrives at most once.
fn plan_faults(world: &mut World, seed: u64) {
    let mut random = Stream::new(seed, "faults");
    let (one, two) = (
        world.node("one").expect("one"),
        world.node("two").expect("two"),
    );
    let mut at = world.now();
    for _ in 0..12 {
        at += random.between(Duration::from_millis(10), Duration::from_millis(150));
        if random.chance(Probability::percent(40)) {
            world.apply_at(at, Fault::Crash(two));
            at += random.between(Duration::from_millis(1), Duration::from_millis(300));
            world.apply_at(at, Fault::Restart(two));
        } else {
            world.at(at, move |world| world.disconnect(one, two));
        }
    }
    if random.chance(Probability::percent(30)) {
        // It does not come back, and nothing will ever say what became of the rest.
        at += random.between(Duration::from_millis(1), Duration::from_millis(300));
        world.apply_at(at, Fault::Crash(two));
    }
}

#[test]
fn nothing_accepted_is_lost_silently_while_the_receiver_dies_and_links_break() {
    seeds(60).for_each(survive);
}

#[test]
fn calls_under_way_at_a_peer_that_restarts_end_with_peer_lost() {
    on_both(|net| {
        let ends: Rc<RefCell<Vec<&'static str>>> = Rc::default();
        let slow = component("slow", || {
            |cx, message| {
                if message.method().as_str() == "Hang" {
                    cx.sleep(Duration::from_secs(3600))?;
                }
                Ok(Reply::Empty)
            }
        });
        let seen = ends.clone();
        let caller = hooked("caller", move || {
            let seen = seen.clone();
            Hooks::new(move |cx, _| {
                let ask = text("slow", "Hang", "").with_deadline(Duration::from_secs(50));
                let end = cx
                    .call(ask)
                    .map_or_else(|error| error.kind(), |_| "replied");
                seen.borrow_mut().push(end);
                Ok(Reply::Empty)
            })
        });
        net.start(vec![
            NodeSpec::new("one", vec![caller]),
            NodeSpec::new("two", vec![slow]),
        ]);
        net.run(|cx| {
            cx.call(text("slow", "Answer", "")).expect("an answer");
            cx.cast(text("caller", "Go", "")).expect("sent");
            cx.sleep(Duration::from_millis(500)).expect("time");
        });
        net.kill("two");
        net.restart("two");
        net.run(|cx| cx.sleep(Duration::from_secs(3)).expect("time"));
        assert_eq!(*ends.borrow(), ["peer_lost"]);
    });
}

#[test]
fn a_node_that_drains_finishes_what_it_has_and_refuses_the_rest() {
    on_both(|net| {
        let log: Rc<RefCell<Vec<&'static str>>> = Rc::default();
        let seen = log.clone();
        let worker = hooked("worker", move || {
            let (handled, stopped) = (seen.clone(), seen.clone());
            Hooks::new(move |cx, _| {
                cx.sleep(Duration::from_millis(50))?;
                handled.borrow_mut().push("handled");
                Ok(Reply::Empty)
            })
            .stop(move |_| stopped.borrow_mut().push("stopped"))
        });
        net.start(vec![NodeSpec::new("one", vec![worker])]);
        net.run(|cx| {
            for _ in 0..5 {
                cx.cast(text("worker", "Do", "")).expect("sent");
            }
            // They have arrived; the first is being handled.
            cx.sleep(Duration::from_millis(100)).expect("time");
        });
        net.drain("one");
        let log = log.borrow();
        assert_eq!(log.last(), Some(&"stopped"), "{log:?}");
        assert!(
            log.iter().filter(|entry| **entry == "handled").count() >= 1,
            "{log:?}"
        );
    });
}

#[test]
fn what_has_stopped_takes_no_more_messages_and_says_so() {
    on_both(|net| {
        let log: Rc<RefCell<Vec<String>>> = Rc::default();
        let notes = log.clone();
        // Components stop in the opposite order of their start.
        let last = hooked("last", move || {
            let notes = notes.clone();
            Hooks::new(|_, _| Ok(Reply::Empty)).stop(move |cx| {
                let called = cx
                    .call(text("first", "Do", ""))
                    .map_err(|error| error.kind());
                let cast = cx
                    .cast(text("first", "Do", ""))
                    .map_err(|error| error.kind());
                notes.borrow_mut().push(format!("{called:?} {cast:?}"));
            })
        });
        let first = component("first", || |_, _| Ok(Reply::Empty));
        net.start(vec![NodeSpec::new("one", vec![last, first])]);
        net.run(|cx| cx.call(text("first", "Do", "")).expect("an answer"));
        net.drain("one");
        assert_eq!(*log.borrow(), [r#"Err("draining") Err("draining")"#]);
    });
}

#[test]
fn a_cast_that_was_handled_long_ago_is_not_lost_with_its_receiver() {
    on_both(|net| {
        let log: Rc<RefCell<Vec<String>>> = Rc::default();
        let (handled, back) = (log.clone(), log.clone());
        let slow = component("slow", move || {
            let handled = handled.clone();
            move |cx, _| {
                cx.sleep(Duration::from_millis(100))?;
                handled.borrow_mut().push("handled".to_owned());
                Ok(Reply::Empty)
            }
        });
        let sender = hooked("sender", move || {
            let back = back.clone();
            Hooks::new(|cx, _| {
                cx.cast(text("slow", "Do", ""))?;
                Ok(Reply::Empty)
            })
            .undelivered(move |_, it| back.borrow_mut().push(it.error.to_string()))
        });
        net.start(vec![
            NodeSpec::new("one", vec![sender]),
            NodeSpec::new("two", vec![slow]),
        ]);
        net.run(|cx| {
            cx.call(text("sender", "Do", "")).expect("sent");
            cx.sleep(Duration::from_secs(1)).expect("time");
        });
        net.kill("two");
        net.restart("two");
        net.run(|cx| {
            cx.call(text("sender", "Do", "")).expect("sent");
            cx.sleep(Duration::from_secs(1)).expect("time");
        });
        assert_eq!(*log.borrow(), ["handled", "handled"]);
    });
}

#[test]
fn casts_to_a_node_that_never_comes_back_end_by_their_deadline() {
    on_both(|net| {
        let log: Rc<RefCell<Vec<String>>> = Rc::default();
        let back = log.clone();
        // The first holds the instance, so the others are queued there; the last ones find it dead.
        let stuck = component("stuck", || {
            |cx, _| {
                cx.sleep(Duration::from_secs(3600))?;
                Ok(Reply::Empty)
            }
        });
        let sender = hooked("sender", move || {
            let back = back.clone();
            Hooks::new(|cx, _| {
                for _ in 0..3 {
                    let cast = text("stuck", "Do", "");
                    cx.cast(cast.with_deadline(Duration::from_millis(700)))?;
                }
                Ok(Reply::Empty)
            })
            .undelivered(move |_, it| back.borrow_mut().push(it.error.kind().to_owned()))
        });
        let watchful = |config: &mut ContainerConfig| {
            config.silent_after = Duration::from_millis(500);
        };
        net.start(vec![
            NodeSpec::new("one", vec![sender]).configure(watchful),
            NodeSpec::new("two", vec![stuck]),
        ]);
        net.run(|cx| {
            cx.call(text("sender", "Do", "")).expect("sent");
            cx.sleep(Duration::from_millis(200)).expect("time");
        });
        net.kill("two");
        net.run(|cx| {
            cx.call(text("sender", "Do", "")).expect("sent");
            cx.sleep(Duration::from_secs(2)).expect("time");
        });
        let log = log.borrow();
        let count = |kind: &str| log.iter().filter(|it| *it == kind).count();
        let ends = (count("timeout"), count("unreachable"));
        // Those that left have perhaps been handled; those that did not leave have not.
        assert_eq!(ends.0 + ends.1, 6, "{}: {log:?}", net.label());
        assert!(ends.0 >= 3, "{}: {log:?}", net.label());
        let left = net.gauges("one")["monofil_link_casts_unsettled"];
        assert_eq!(left, 0, "{}", net.label());
    });
}

/// The receiver is silent because nothing reaches it, and ends after the sender has given up.
fn given_up(request: &'static str, ends: Shutdown) -> Vec<String> {
    let mut net = SimNet::new(1);
    let log: Rc<RefCell<Vec<String>>> = Rc::default();
    let (handled, back, noted) = (log.clone(), log.clone(), log.clone());
    let sink = component("sink", move || {
        let handled = handled.clone();
        move |_, _| {
            handled.borrow_mut().push("handled".to_owned());
            Ok(Reply::Empty)
        }
    });
    let sender = hooked("sender", move || {
        let (back, noted) = (back.clone(), noted.clone());
        Hooks::new(move |cx: &mut Context, message| {
            let request = text("sink", "Do", "").with_deadline(Duration::from_secs(1));
            if message.payload().to_bytes() == "call" {
                let called = cx.call(request).map_err(|error| error.kind().to_owned());
                noted.borrow_mut().push(format!("{called:?}"));
            } else {
                cx.cast(request)?;
            }
            Ok(Reply::Empty)
        })
        .undelivered(move |_, it| back.borrow_mut().push(it.error.kind().to_owned()))
    });
    let watchful = |config: &mut ContainerConfig| config.silent_after = Duration::from_secs(2);
    net.start(vec![
        NodeSpec::new("one", vec![sender]).configure(watchful),
        NodeSpec::new("two", vec![sink]),
    ]);
    let dynamic: &mut dyn Net = &mut net;
    dynamic.run(|cx| {
        cx.cast(text("sender", "Do", "cast")).expect("sent");
        cx.sleep(Duration::from_millis(200)).expect("time");
    });
    assert_eq!(log.take(), ["handled"]);
    let world = net.world();
    let (one, two) = (
        world.node("one").expect("one"),
        world.node("two").expect("two"),
    );
    world.apply_at(world.now(), Fault::Cut { from: one, to: two });
    let dynamic: &mut dyn Net = &mut net;
    dynamic.run(move |cx| {
        cx.cast(text("sender", "Do", request)).expect("sent");
        cx.sleep(Duration::from_secs(4)).expect("time");
    });
    dynamic.end("two", ends);
    let world = net.world();
    world.apply_at(world.now(), Fault::Heal { from: one, to: two });
    let dynamic: &mut dyn Net = &mut net;
    dynamic.restart("two");
    dynamic.run(|cx| cx.sleep(Duration::from_secs(5)).expect("time"));
    log.take()
}

#[test]
fn what_was_given_up_stays_given_up_when_the_link_is_closed() {
    for ends in [Shutdown::Now, Shutdown::Drain] {
        assert_eq!(given_up("cast", ends), ["timeout"], "{ends:?}");
        // It does not run later, either, for nobody.
        assert_eq!(given_up("call", ends), [r#"Err("timeout")"#], "{ends:?}");
    }
}

#[test]
fn a_connection_that_breaks_for_a_moment_makes_no_cast_doubtful() {
    let mut net = SimNet::new(1);
    let back: Rc<RefCell<Vec<String>>> = Rc::default();
    let noted = back.clone();
    let sink = component("sink", || {
        |cx: &mut Context, _| {
            cx.sleep(Duration::from_secs(20))?;
            Ok(Reply::Empty)
        }
    });
    let sender = hooked("sender", move || {
        let noted = noted.clone();
        Hooks::new(|cx, _| {
            cx.cast(text("sink", "Do", ""))?;
            Ok(Reply::Empty)
        })
        .undelivered(move |_, it| noted.borrow_mut().push(it.error.to_string()))
    });
    net.start(vec![
        NodeSpec::new("one", vec![sender]),
        NodeSpec::new("two", vec![sink]),
    ]);
    let dynamic: &mut dyn Net = &mut net;
    dynamic.run(|cx| {
        cx.cast(text("sender", "Do", "")).expect("sent");
        cx.sleep(Duration::from_secs(8)).expect("time");
    });
    assert_eq!(dynamic.gauges("one")["monofil_link_casts_unsettled"], 1);
    let world = net.world();
    let (one, two) = (
        world.node("one").expect("one"),
        world.node("two").expect("two"),
    );
    // It breaks again and again, for three seconds.
    for tick in 0..3000 {
        let at = world.now() + Duration::from_millis(tick);
        world.apply_at(at, Fault::Disconnect(one, two));
    }
    let dynamic: &mut dyn Net = &mut net;
    dynamic.run(|cx| cx.sleep(Duration::from_secs(20)).expect("time"));
    assert_eq!(*back.borrow(), Vec::<String>::new());
    assert_eq!(dynamic.gauges("one")["monofil_link_casts_unsettled"], 0);
}

/// A stream that is read no further, and a cast whose handler sleeps.
#[test]
fn what_takes_long_holds_nothing_else_of_its_link() {
    // More than may be unsettled.
    const CHUNKS: usize = 140;
    const CHUNK: usize = 500;
    on_both(|net| {
        let back: Rc<RefCell<Vec<String>>> = Rc::default();
        let noted = back.clone();
        let sender = hooked("sender", move || {
            let noted = noted.clone();
            Hooks::new(|cx, _| {
                cx.cast(text("sleeper", "Do", ""))?;
                let mut stream = cx.start_stream(text("source", "All", ""));
                cx.next_item(&mut stream).expect("more")?;
                for _ in 0..CHUNKS {
                    for _ in 0..CHUNK {
                        cx.cast(text("sink", "Do", ""))?;
                    }
                    // The queue of the sink has room for the next.
                    cx.call(text("sink", "Do", ""))?;
                }
                cx.sleep(Duration::from_secs(1))?;
                cx.next_item(&mut stream).expect("more")?;
                Ok(Reply::Empty)
            })
            .undelivered(move |_, it| noted.borrow_mut().push(it.target.to_string()))
        });
        let source = component("source", || {
            |_, _| {
                let items = (0..1000_u32).map(|n| Payload::bytes(n.to_string()));
                Ok(Reply::Stream(Replies::from_items(items)))
            }
        });
        let sleeper = component("sleeper", || {
            |cx: &mut Context, _| {
                cx.sleep(Duration::from_secs(3600))?;
                Ok(Reply::Empty)
            }
        });
        let sink = component("sink", || |_, _| Ok(Reply::Empty));
        net.start(vec![
            NodeSpec::new("one", vec![sender]),
            NodeSpec::new("two", vec![sleeper, source, sink]),
        ]);
        net.run(|cx| {
            let all = text("sender", "Do", "").with_deadline(Duration::from_secs(300));
            cx.call(all).expect("nothing is refused");
        });
        assert_eq!(net.gauges("one")["monofil_link_casts_unsettled"], 1);
        net.kill("two");
        net.restart("two");
        net.run(|cx| cx.sleep(Duration::from_secs(2)).expect("time"));
        assert_eq!(*back.borrow(), ["test/sleeper"]);
    });
}

/// There are two of one name, and what they had under way is lost with the node that had it.
#[test]
fn casts_that_are_lost_come_back_to_the_instance_that_sent_them() {
    type Book = Rc<RefCell<Vec<(u64, u32)>>>;
    let (sent, back): (Book, Book) = Default::default();
    let (senders, returns) = (sent.clone(), back.clone());
    let made: Rc<Cell<u32>> = Rc::default();
    let sender = hooked("sender", move || {
        let (sent, back) = (senders.clone(), returns.clone());
        let number = made.replace(made.get() + 1);
        Hooks::new(|_, _| Ok(Reply::Empty))
            .start(move |cx, _| {
                for _ in 0..5 {
                    let id = cx.cast(text("holds", "Do", ""))?;
                    sent.borrow_mut().push((id, number));
                }
                Ok(())
            })
            .undelivered(move |_, it| back.borrow_mut().push((it.id, number)))
    });
    let holds = component("holds", || {
        |cx: &mut Context, _| {
            cx.sleep(Duration::from_secs(3600))?;
            Ok(Reply::Empty)
        }
    });
    let mut net = SimNet::new(1);
    net.start(vec![
        NodeSpec::new("one", vec![sender.clone(), sender]),
        NodeSpec::new("two", vec![holds]),
    ]);
    let dynamic: &mut dyn Net = &mut net;
    dynamic.run(|cx| cx.sleep(Duration::from_millis(500)).expect("time"));
    dynamic.kill("two");
    dynamic.restart("two");
    dynamic.run(|cx| cx.sleep(Duration::from_secs(2)).expect("time"));
    let (mut sent, mut back) = (sent.take(), back.take());
    sent.sort_unstable();
    back.sort_unstable();
    assert_eq!(sent.len(), 10);
    assert_eq!(back, sent);
}
