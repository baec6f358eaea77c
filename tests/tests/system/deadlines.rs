//! Deadlines that pass while a handler is at work, and nobody says so.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use monofil_container::{
    Caller, InstanceLimits, Message, Payload, RawPending, Replies, Reply, Request,
};
use monofil_tests::{ComponentDef, Hooks, Net, NodeSpec, component, hooked, on_both, text};

const AN_HOUR: Duration = Duration::from_secs(3600);

/// What handlers have to say, with the time at which they did.
type Log = Rc<RefCell<Vec<(String, Duration)>>>;

/// Calls whatever it is told to, with 300 ms to live, and is killed while it waits.
fn caller() -> ComponentDef {
    component("caller", || {
        |cx, message: Message| {
            let ask = text(message.method().as_str(), "Do", "");
            let ask = ask.with_deadline(Duration::from_millis(300));
            if message.payload().to_bytes() == "stream" {
                let mut stream = cx.start_stream(ask);
                while let Some(item) = cx.next_item(&mut stream) {
                    item?;
                }
            } else {
                cx.call(ask)?;
            }
            Ok(Reply::Empty)
        }
    })
}

/// Lets a handler on another node work for a caller that is killed, and returns what it had to say.
fn abandoned(net: &mut dyn Net, component: ComponentDef, how: &'static str, log: &Log) -> String {
    let name = component.name();
    net.start(vec![
        NodeSpec::new("one", vec![caller()]),
        NodeSpec::new("two", vec![component]),
    ]);
    let seen = log.clone();
    net.run(move |cx| {
        let ask = Request::new("caller", name, Payload::bytes(how));
        cx.cast(ask).expect("sent");
        while seen.borrow().is_empty() {
            cx.sleep(Duration::from_millis(5)).expect("time");
        }
    });
    net.kill("one");
    net.run(|cx| cx.sleep(Duration::from_millis(700)).expect("time"));
    let log = log.borrow();
    assert_eq!(log.len(), 2, "{}: {log:?}", net.label());
    if net.label() == "sim" {
        let took = log[1].1 - log[0].1;
        assert!(took <= Duration::from_millis(300), "{took:?}");
    }
    log[1].0.clone()
}

fn note(log: &Log, cx: &monofil_container::Context<'_>, what: impl Into<String>) {
    let at = Duration::from_nanos(cx.now().as_nanos());
    log.borrow_mut().push((what.into(), at));
}

#[test]
fn a_handler_that_sleeps_is_woken_at_the_deadline_of_a_caller_that_is_gone() {
    on_both(|net| {
        let log = Log::default();
        let notes = log.clone();
        let sleeps = component("sleeps", move || {
            let notes = notes.clone();
            move |cx, _| {
                note(&notes, cx, "began");
                let slept = cx.sleep(AN_HOUR);
                note(&notes, cx, format!("{slept:?} {}", cx.is_cancelled()));
                Ok(Reply::Empty)
            }
        });
        let said = abandoned(net, sleeps, "call", &log);
        assert_eq!(said, "Err(Cancelled) true");
    });
}

#[test]
fn a_handler_that_waits_for_blocking_work_is_woken_at_the_deadline_of_a_caller_that_is_gone() {
    on_both(|net| {
        let log = Log::default();
        let notes = log.clone();
        let blocks = component("blocks", move || {
            let notes = notes.clone();
            move |cx, _| {
                note(&notes, cx, "began");
                let work = || std::thread::sleep(Duration::from_secs(2));
                let done = cx.blocking_for(AN_HOUR, work);
                note(&notes, cx, format!("{done:?}"));
                Ok(Reply::Empty)
            }
        });
        assert_eq!(abandoned(net, blocks, "call", &log), "Err(Cancelled)");
    });
}

#[test]
fn a_producer_is_woken_at_the_deadline_of_a_reader_that_is_gone() {
    on_both(|net| {
        let log = Log::default();
        let notes = log.clone();
        let streams = component("streams", move || {
            let notes = notes.clone();
            move |_, _| {
                let notes = notes.clone();
                Ok(Reply::Stream(Replies::from_fn(move |cx| {
                    note(&notes, cx, "began");
                    let slept = cx.sleep(AN_HOUR);
                    note(&notes, cx, format!("{slept:?}"));
                    Some(Ok(Payload::default()))
                })))
            }
        });
        assert_eq!(abandoned(net, streams, "stream", &log), "Err(Cancelled)");
    });
}

#[test]
fn a_producer_is_told_when_its_reader_stops_reading() {
    on_both(|net| {
        let log = Log::default();
        let notes = log.clone();
        let streams = component("streams", move || {
            let notes = notes.clone();
            move |_, _| {
                let notes = notes.clone();
                Ok(Reply::Stream(Replies::from_fn(move |cx| {
                    note(&notes, cx, "began");
                    let slept = cx.sleep(AN_HOUR);
                    note(&notes, cx, format!("{slept:?} {}", cx.is_cancelled()));
                    None
                })))
            }
        });
        net.start(vec![NodeSpec::new("one", vec![streams])]);
        let seen = log.clone();
        net.run(move |cx| {
            let ask = text("streams", "Do", "").with_deadline(AN_HOUR);
            let stream = cx.start_stream(ask);
            while seen.borrow().is_empty() {
                cx.sleep(Duration::from_millis(5)).expect("time");
            }
            drop(stream);
            while seen.borrow().len() < 2 {
                cx.sleep(Duration::from_millis(5)).expect("time");
            }
        });
        assert_eq!(log.borrow()[1].0, "Err(Cancelled) true");
    });
}

#[test]
fn a_call_of_an_earlier_message_does_not_hold_a_handler_beyond_its_own_deadline() {
    on_both(|net| {
        let silent = component("silent", || {
            |cx, _| {
                cx.sleep(AN_HOUR)?;
                Ok(Reply::Empty)
            }
        });
        let log = Log::default();
        let notes = log.clone();
        let keeps = component("keeps", move || {
            let notes = notes.clone();
            let mut kept: Option<RawPending> = None;
            move |cx, message: Message| {
                if *message.method() == "Begin" {
                    let ask = text("silent", "Do", "").with_deadline(AN_HOUR);
                    kept = Some(cx.start_call(ask));
                    return Ok(Reply::Empty);
                }
                let ended = cx.wait(kept.take().expect("begun before"));
                note(&notes, cx, format!("{ended:?}"));
                Ok(Reply::Empty)
            }
        });
        net.start(vec![
            NodeSpec::new("one", vec![keeps]),
            NodeSpec::new("two", vec![silent]),
        ]);
        let took = net.run(|cx| {
            let begin = text("keeps", "Begin", "").with_deadline(AN_HOUR);
            cx.call(begin).expect("begun");
            let began = cx.now();
            let end = text("keeps", "End", "").with_deadline(Duration::from_millis(200));
            let error = cx.call(end).expect_err("nothing to say");
            assert_eq!(error.kind(), "timeout");
            cx.sleep(Duration::from_millis(100)).expect("time");
            cx.now().since(began)
        });
        assert!(took < Duration::from_secs(2), "{took:?}");
        assert_eq!(log.borrow()[0].0, "Err(Cancelled)");
    });
}

#[test]
fn nobody_waits_for_a_cast_so_its_handler_takes_its_time() {
    on_both(|net| {
        let log = Log::default();
        let notes = log.clone();
        let slow = component("slow", move || {
            let notes = notes.clone();
            move |cx, _| {
                let slept = cx.sleep(Duration::from_millis(300));
                note(&notes, cx, format!("{slept:?} {}", cx.is_cancelled()));
                Ok(Reply::Empty)
            }
        });
        net.start(vec![NodeSpec::new("one", vec![slow])]);
        let seen = log.clone();
        net.run(move |cx| {
            let ask = text("slow", "Do", "").with_deadline(Duration::from_millis(100));
            cx.cast(ask).expect("sent");
            while seen.borrow().is_empty() {
                cx.sleep(Duration::from_millis(5)).expect("time");
            }
        });
        assert_eq!(log.borrow()[0].0, "Ok(()) false");
    });
}

#[test]
fn what_expires_behind_a_busy_handler_comes_back_while_it_is_busy_and_makes_room() {
    on_both(|net| {
        let log = Log::default();
        let notes = log.clone();
        let limits = InstanceLimits {
            queue_messages: 1,
            ..InstanceLimits::default()
        };
        let busy = component("busy", || {
            |cx, _| {
                cx.sleep(AN_HOUR)?;
                Ok(Reply::Empty)
            }
        })
        .limits(limits);
        let sender = hooked("sender", move || {
            let notes = notes.clone();
            Hooks::new(|cx, _| {
                // The first is handled for an hour, the second waits behind it.
                cx.cast(text("busy", "First", ""))?;
                cx.sleep(Duration::from_millis(50))?;
                let brief = Duration::from_millis(100);
                cx.cast(text("busy", "Second", "").with_deadline(brief))?;
                cx.sleep(Duration::from_millis(400))?;
                cx.cast(text("busy", "Third", "").with_deadline(brief))?;
                Ok(Reply::Empty)
            })
            .undelivered(move |cx, it| {
                note(&notes, cx, format!("{} {}", it.method, it.error.kind()))
            })
        });
        net.start(vec![
            NodeSpec::new("one", vec![sender]),
            NodeSpec::new("two", vec![busy]),
        ]);
        let seen = log.clone();
        net.run(move |cx| {
            cx.call(text("sender", "Do", "")).expect("sent");
            while seen.borrow().len() < 2 {
                cx.sleep(Duration::from_millis(5)).expect("time");
            }
        });
        let said: Vec<_> = log.borrow().iter().map(|(what, _)| what.clone()).collect();
        // It would be `rejected` if the second still took the room.
        assert_eq!(said, ["Second expired", "Third expired"]);
    });
}
