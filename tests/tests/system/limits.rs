//! Limits: each is refused by name, with its value and what was observed.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use monofil_container::{
    CallError, Caller, ContainerConfig, Context, InstanceLimits, Message, Payload, Replies, Reply,
    Request,
};
use monofil_tests::{ComponentDef, Hooks, Net, NodeSpec, component, hooked, on_both, text};
use tracing_subscriber::layer::SubscriberExt as _;

use super::endings::Lines;

/// Answers, but for `Hold`.
fn slow(name: &'static str) -> ComponentDef {
    component(name, || {
        |cx: &mut Context, message: Message| {
            if message.method() == "Hold" {
                cx.sleep(Duration::from_secs(3600))?;
            }
            Ok(Reply::Empty)
        }
    })
}

/// What a refusal says: limit, value, observed, place, and whether it says when to try again.
type Said = (String, u64, u64, String, bool);

fn said(error: &CallError) -> Said {
    let CallError::Rejected(it) = error else {
        panic!("{error}");
    };
    (
        it.limit.to_string(),
        it.value,
        it.observed,
        it.place.to_string(),
        it.retry_after.is_some_and(|after| !after.is_zero()),
    )
}

fn expected(limit: &str, value: u64, observed: u64, place: &str) -> Said {
    (limit.to_owned(), value, observed, place.to_owned(), true)
}

/// Keeps some components busy, then starts calls with 60 bytes each, and returns how each of these ended.
fn flood(cx: &mut Context, busy: &[&str], targets: &[&str]) -> Vec<Option<Said>> {
    let busy: Vec<_> = busy
        .iter()
        .map(|to| cx.start_call(text(to, "Hold", "")))
        .collect();
    cx.sleep(Duration::from_millis(60)).expect("time");
    let calls: Vec<_> = targets
        .iter()
        .map(|to| cx.start_call(Request::new(*to, "Do", Payload::bytes(vec![0; 60]))))
        .collect();
    drop(busy);
    calls
        .into_iter()
        .map(|call| cx.wait(call).err().map(|error| said(&error)))
        .collect()
}

#[test]
fn the_bounds_of_an_instance_s_queue() {
    on_both(|net| {
        let limits = InstanceLimits {
            queue_bytes: 100,
            ..InstanceLimits::default()
        };
        net.start(vec![NodeSpec::new(
            "one",
            vec![slow("slow").limits(limits)],
        )]);
        let ends = net.run(|cx| flood(cx, &["slow"], &["slow"; 2]));
        let refused = expected("instance.queue_bytes", 100, 120, "test/slow");
        assert_eq!(ends, [None, Some(refused)]);
    });
}

/// Two components on a node with bounds of its own, each guaranteed one message.
fn bounded(change: impl Fn(&mut ContainerConfig) + 'static) -> Vec<NodeSpec> {
    let node = NodeSpec::new("one", vec![slow("a"), slow("b")]);
    vec![node.configure(move |config| {
        config.limits.guaranteed_messages = 1;
        change(config);
    })]
}

#[test]
fn the_bounds_of_a_node_s_queues_leave_each_instance_its_guarantee() {
    on_both(|net| {
        net.start(bounded(|config| config.limits.queue_messages = 2));
        let ends = net.run(|cx| flood(cx, &["a", "b"], &["a", "a", "a", "b", "b"]));
        let full = |observed| Some(expected("node.queue_messages", 2, observed, "one"));
        assert_eq!(ends, [None, None, full(2), None, full(3)]);
    });
    on_both(|net| {
        net.start(bounded(|config| config.limits.queue_bytes = 130));
        let ends = net.run(|cx| flood(cx, &["a"], &["a"; 3]));
        let refused = expected("node.queue_bytes", 130, 180, "one");
        assert_eq!(ends, [None, None, Some(refused)]);
    });
}

/// Runs `work` as a handler on a node with bounds of its own, beside a node with slow components.
fn on_a_small_node<R: 'static>(
    net: &mut dyn Net,
    change: impl Fn(&mut ContainerConfig) + 'static,
    work: impl Fn(&mut Context) -> R + 'static,
) -> R {
    let result: Rc<RefCell<Option<R>>> = Rc::default();
    let (slot, work) = (result.clone(), Rc::new(work));
    let works = component("works", move || {
        let (slot, work) = (slot.clone(), work.clone());
        move |cx, _| {
            *slot.borrow_mut() = Some(work(cx));
            Ok(Reply::Empty)
        }
    });
    let streams = component("streams", || {
        |_, _| {
            let items = vec![Payload::default(); 1000];
            Ok(Reply::Stream(Replies::from_items(items)))
        }
    });
    net.start(vec![
        NodeSpec::new("one", vec![works]).configure(change),
        NodeSpec::new("two", vec![slow("a"), slow("b")]),
        NodeSpec::new("three", vec![streams]).configure(|config| config.limits.streams = 1),
    ]);
    net.run(|cx| {
        cx.call(text("works", "Do", "")).expect("no panic");
    });
    result.take().expect("it ran")
}

#[test]
fn the_calls_of_a_node() {
    on_both(|net| {
        let ends = on_a_small_node(
            net,
            |config| config.limits.calls = 2,
            |cx| flood(cx, &[], &["a", "b", "a"]),
        );
        let refused = expected("node.calls", 2, 2, "one");
        assert_eq!(ends, [None, None, Some(refused)]);
    });
}

#[test]
fn the_streams_of_a_node() {
    on_both(|net| {
        let refused = on_a_small_node(
            net,
            |_| {},
            |cx| {
                let mut first = cx.start_stream(text("streams", "Do", ""));
                cx.next_item(&mut first).expect("one").expect("an item");
                let mut second = cx.start_stream(text("streams", "Do", ""));
                let error = cx.next_item(&mut second).expect("an end");
                drop(first);
                error.expect_err("a refusal")
            },
        );
        assert_eq!(said(&refused), expected("node.streams", 1, 1, "three"));
    });
}

#[test]
fn the_delayed_messages_of_a_node() {
    on_both(|net| {
        let refused = on_a_small_node(
            net,
            |config| config.limits.delayed = 2,
            |cx| {
                let mut after = || cx.after(Duration::from_millis(1), text("a", "Do", ""));
                after().expect("one");
                after().expect("two");
                after().expect_err("a third")
            },
        );
        assert_eq!(said(&refused), expected("node.delayed", 2, 2, "one"));
    });
}

#[test]
fn the_window_of_a_link() {
    let casts = |cx: &mut Context, count: usize| -> Vec<Option<Said>> {
        let cast = || Request::new("a", "Hold", Payload::bytes(vec![0; 60]));
        let ends = (0..count).map(|_| cx.cast(cast()).err().map(|error| said(&error)));
        ends.collect()
    };
    on_both(|net| {
        let ends = on_a_small_node(
            net,
            |config| config.link.window_records = 2,
            move |cx| casts(cx, 3),
        );
        let refused = expected("link.records", 2, 2, "two");
        assert_eq!(ends, [None, None, Some(refused)]);
    });
    on_both(|net| {
        let ends = on_a_small_node(
            net,
            |config| config.link.window_bytes = 100,
            move |cx| casts(cx, 2),
        );
        assert_eq!(ends, [None, Some(expected("link.bytes", 100, 120, "two"))]);
    });
    on_both(|net| {
        let ends = on_a_small_node(
            net,
            |config| config.link.unsettled_max = 2,
            move |cx| {
                let mut ends = casts(cx, 2);
                // They have left, and wait behind a slow handler.
                cx.sleep(Duration::from_millis(150)).expect("time");
                ends.extend(casts(cx, 2));
                ends
            },
        );
        let unsettled = Some(expected("link.unsettled", 2, 2, "two"));
        assert_eq!(ends, [None, None, unsettled.clone(), unsettled]);
    });
}

#[test]
fn the_jobs_of_a_node() {
    // Both backends run or queue some 256 jobs by default.
    const MANY: usize = 300;
    on_both(|net| {
        let waits = net.label() != "sim";
        let begun: Arc<AtomicUsize> = Arc::default();
        let blocks = component("blocks", move || {
            let begun = begun.clone();
            move |cx, _| {
                begun.fetch_add(1, Ordering::Relaxed);
                let begun = begun.clone();
                // However slow the machine, none ends before the last has begun.
                let work = move || {
                    while waits && begun.load(Ordering::Relaxed) < MANY {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                };
                let done = cx.blocking_for(Duration::from_millis(200), work);
                if let Err(CallError::Rejected(it)) = &done {
                    assert!(it.retry_after.is_some(), "{it:?}");
                }
                done?;
                Ok(Reply::Empty)
            }
        });
        net.start(vec![NodeSpec::new("one", vec![blocks; MANY])]);
        let texts = net.run(|cx| {
            let calls: Vec<_> = (0..MANY)
                .map(|_| cx.start_call(text("blocks", "Do", "")))
                .collect();
            let ends = calls.into_iter().map(|call| cx.wait(call));
            ends.filter_map(Result::err)
                .map(|error| error.to_string())
                .collect::<Vec<_>>()
        });
        assert!(
            !texts.is_empty() && texts.len() < MANY / 2,
            "{}",
            texts.len()
        );
        for text in texts {
            let says = "rejected: node.blocking_jobs of one is 256 and 256 was observed";
            assert!(text.contains(says), "{text}");
        }
    });
}

#[test]
fn the_depth_of_calls_within_calls() {
    on_both(|net| {
        // Each calls the next, on the other node.
        let link = |number: usize| {
            let name: &'static str = format!("n{number}").leak();
            component(name, move || {
                move |cx: &mut Context, _: Message| {
                    let next = format!("n{}", number + 1);
                    Ok(Reply::Payload(cx.call(text(&next, "Do", ""))?))
                }
            })
        };
        let (even, odd): (Vec<_>, Vec<_>) = (0..70).partition(|number| number % 2 == 0);
        net.start(vec![
            NodeSpec::new("one", even.into_iter().map(link).collect()),
            NodeSpec::new("two", odd.into_iter().map(link).collect()),
        ]);
        let error = net.run(|cx| cx.call(text("n0", "Do", "")).expect_err("too deep"));
        // The test's own component is the first that waits.
        let says = "rejected: call.depth of test/n63 is 64 and 65 was observed";
        assert!(error.to_string().contains(says), "{error}");
        // Nobody is the worse for it.
        let error = net.run(|cx| cx.call(text("n60", "Do", "")).expect_err("no n70"));
        assert!(
            error
                .to_string()
                .contains("no node is known to run `test/n70`"),
            "{error}"
        );
    });
}

#[test]
fn casts_that_come_back_to_a_sender_that_takes_no_more_are_counted_and_logged_once() {
    on_both(|net| {
        let limits = InstanceLimits {
            queue_messages: 4,
            ..InstanceLimits::default()
        };
        let back: Rc<RefCell<u32>> = Rc::default();
        let seen = back.clone();
        let sender = hooked("sender", move || {
            let seen = seen.clone();
            Hooks::new(|cx, _| {
                for _ in 0..10 {
                    // Known at once, but the topic's subscriber is told of later.
                    cx.publish("news", Payload::default())?;
                }
                Ok(Reply::Empty)
            })
            .undelivered(move |_, it| {
                assert_eq!(it.error.kind(), "rejected", "{}", it.error);
                *seen.borrow_mut() += 1;
            })
        })
        .limits(limits);
        let none = InstanceLimits {
            queue_messages: 0,
            ..InstanceLimits::default()
        };
        let full = slow("full").limits(none).subscribe("news", "Hear");
        let few = |config: &mut ContainerConfig| config.link.unsettled_max = 3;
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let subscriber = tracing_subscriber::registry().with(Lines(lines.clone()));
        tracing::subscriber::with_default(subscriber, || {
            net.start(vec![
                NodeSpec::new("one", vec![sender, full]).configure(few),
            ]);
            net.run(|cx| {
                for _ in 0..2 {
                    cx.call(text("sender", "Do", "")).expect("sent");
                    cx.sleep(Duration::from_millis(50)).expect("time");
                }
            });
        });
        use monofil_container::Counter;
        assert_eq!(*back.borrow(), 8);
        assert_eq!(net.counter("one", Counter::CastsUndelivered), 20);
        assert_eq!(net.counter("one", Counter::CastsUndeliveredDropped), 12);
        // One for each time that it had none before.
        let lines = lines.lock().expect("no panic");
        let dropped = lines
            .iter()
            .filter(|line| line.contains("its sender does not hear of it"));
        assert_eq!(dropped.count(), 2, "{lines:?}");
    });
}
