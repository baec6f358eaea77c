//! Calls, casts, streams and their ends.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use monofil_container::{
    CallError, Caller, Code, Executed, InstanceLimits, Payload, Replies, Reply, StartReason, Status,
};
use monofil_tests::{Hooks, NodeSpec, component, hooked, on_both, text};

fn echo() -> monofil_tests::ComponentDef {
    component("echo", || {
        |_, message| Ok(Reply::Payload(message.payload().clone()))
    })
}

#[test]
fn a_call_is_answered() {
    on_both(|net| {
        net.start(vec![NodeSpec::new("one", vec![echo()])]);
        let answer = net.run(|cx| cx.call(text("echo", "Say", "hi")));
        assert_eq!(answer.map(|payload| payload.to_bytes()), Ok("hi".into()));
    });
}

#[test]
fn a_component_s_own_error_reaches_its_caller_whole() {
    on_both(|net| {
        let picky = component("picky", || {
            |_, _| {
                Err(Status::not_found("no such thing")
                    .with_details("details")
                    .into())
            }
        });
        net.start(vec![NodeSpec::new("one", vec![picky])]);
        let error = net
            .run(|cx| cx.call(text("picky", "Ask", "")))
            .expect_err("an error");
        let status = error.status().expect("its own");
        assert_eq!(
            (status.code(), status.message()),
            (Code::NotFound, "no such thing")
        );
        assert_eq!(status.details(), "details");
        assert_eq!(error.executed(), Executed::InPart);
    });
}

#[test]
fn scatter_and_gather_waits_for_both_at_once() {
    on_both(|net| {
        let slow = |name| {
            component(name, || {
                |cx, _| {
                    cx.sleep(Duration::from_millis(100))?;
                    Ok(Reply::Empty)
                }
            })
        };
        net.start(vec![
            NodeSpec::new("one", vec![slow("a")]),
            NodeSpec::new("two", vec![slow("b")]),
        ]);
        let took = net.run(|cx| {
            // The links are made first: what is measured is the waiting.
            cx.call(text("a", "Wait", "")).expect("a");
            cx.call(text("b", "Wait", "")).expect("b");
            let start = cx.now();
            let a = cx.start_call(text("a", "Wait", ""));
            let b = cx.start_call(text("b", "Wait", ""));
            let first = cx.wait_any(&[&a, &b]).expect("one of them");
            assert!(first < 2);
            cx.wait(a).expect("a");
            cx.wait(b).expect("b");
            cx.now().since(start)
        });
        assert!(took < Duration::from_millis(190), "{took:?}");
    });
}

#[test]
fn a_cycle_is_refused_at_once_and_named() {
    on_both(|net| {
        let relay = |name, to: &'static str| {
            component(name, move || {
                move |cx, _| Ok(Reply::Payload(cx.call(text(to, "Go", ""))?))
            })
        };
        net.start(vec![
            NodeSpec::new("one", vec![relay("a", "b")]),
            NodeSpec::new("two", vec![relay("b", "a")]),
        ]);
        let (error, took) = net.run(|cx| {
            let start = cx.now();
            let error = cx.call(text("a", "Go", "")).expect_err("a cycle");
            (error, cx.now().since(start))
        });
        let message = error.to_string();
        assert!(
            message.contains("cycle: test/main -> test/a -> test/b -> test/a"),
            "{message}"
        );
        assert!(took < Duration::from_secs(2), "{took:?}");
    });
}

#[test]
fn a_call_goes_to_another_instance_where_one_waits_for_it() {
    on_both(|net| {
        let again = component("again", || {
            |cx, message| {
                if message.payload().to_bytes() == "once more" {
                    return Ok(Reply::Payload(Payload::bytes("there")));
                }
                Ok(Reply::Payload(cx.call(text("relay", "Go", ""))?))
            }
        });
        let relay = component("relay", || {
            |cx, _| Ok(Reply::Payload(cx.call(text("again", "Go", "once more"))?))
        });
        net.start(vec![
            NodeSpec::new("one", vec![again.clone(), again]),
            NodeSpec::new("two", vec![relay]),
        ]);
        let answer = net.run(|cx| cx.call(text("again", "Go", "")));
        assert_eq!(answer.expect("from the other").to_bytes(), "there");
    });
}

#[test]
fn a_component_that_waits_does_not_hold_up_its_neighbours() {
    on_both(|net| {
        let waits = component("waits", || {
            |cx, _| {
                cx.sleep(Duration::from_millis(400))?;
                Ok(Reply::Empty)
            }
        });
        let blocks = component("blocks", || {
            |cx, _| {
                let work = || std::thread::sleep(Duration::from_millis(1));
                cx.blocking_for(Duration::from_millis(400), work)?;
                Ok(Reply::Empty)
            }
        });
        net.start(vec![NodeSpec::new("one", vec![waits, blocks, echo()])]);
        let longest = net.run(|cx| {
            cx.call(text("echo", "Say", "")).expect("an answer");
            let waits = cx.start_call(text("waits", "Go", ""));
            let blocks = cx.start_call(text("blocks", "Go", ""));
            let mut longest = Duration::ZERO;
            let mut answers = 0;
            while !waits.is_ready() {
                let start = cx.now();
                cx.call(text("echo", "Say", "")).expect("an answer");
                longest = longest.max(cx.now().since(start));
                answers += 1;
            }
            assert!(answers > 20, "{answers}");
            cx.wait(waits).expect("it ended");
            cx.wait(blocks).expect("it ended");
            longest
        });
        assert!(longest < Duration::from_millis(200), "{longest:?}");
    });
}

#[test]
fn a_panic_is_told_to_its_caller_and_the_instance_is_built_again() {
    on_both(|net| {
        let reasons: Rc<RefCell<Vec<StartReason>>> = Rc::default();
        let seen = reasons.clone();
        let fragile = hooked("fragile", move || {
            let seen = seen.clone();
            let mut handled = 0;
            Hooks::new(move |cx, message| {
                *cx.env::<u32>() += 1;
                handled += 1;
                if message.payload().to_bytes() == "break" {
                    panic!("it broke");
                }
                Ok(Reply::Payload(Payload::bytes(format!(
                    "{handled} {}",
                    cx.env::<u32>()
                ))))
            })
            .start(move |_, reason| {
                seen.borrow_mut().push(reason);
                Ok(())
            })
        });
        net.start(vec![NodeSpec::new("one", vec![fragile])]);
        net.run(|cx| {
            let ask = |cx: &mut monofil_container::Context, what| {
                cx.call(text("fragile", "Do", what))
                    .map(|payload| payload.to_bytes())
            };
            assert_eq!(ask(cx, "work"), Ok("1 1".into()));
            assert_eq!(
                ask(cx, "break"),
                Err(CallError::Panicked("it broke".into()))
            );
            // A new instance, with the environment of the old one.
            assert_eq!(ask(cx, "work"), Ok("1 3".into()));
        });
        let expected = [StartReason::First, StartReason::Panicked("it broke".into())];
        assert_eq!(*reasons.borrow(), expected);
    });
}

#[test]
fn an_instance_that_crashes_too_often_waits_and_says_so() {
    on_both(|net| {
        let limits = InstanceLimits {
            restarts: 2,
            ..InstanceLimits::default()
        };
        let broken = component("broken", || |_, _| panic!("again")).limits(limits);
        net.start(vec![NodeSpec::new("one", vec![broken])]);
        net.run(|cx| {
            for _ in 0..3 {
                let error = cx.call(text("broken", "Do", "")).expect_err("a panic");
                assert_eq!(error.kind(), "panicked");
            }
            let error = cx.call(text("broken", "Do", "")).expect_err("a refusal");
            let CallError::Rejected(rejection) = &error else {
                panic!("{error}")
            };
            assert_eq!(rejection.limit, "instance.restarts");
            assert!(rejection.retry_after.is_some());
        });
    });
}

#[test]
fn a_handler_that_never_answers_times_out_and_is_told() {
    on_both(|net| {
        let told: Rc<Cell<bool>> = Rc::default();
        let seen = told.clone();
        let silent = component("silent", move || {
            let seen = seen.clone();
            move |cx, _| {
                let slept = cx.sleep(Duration::from_secs(3600));
                seen.set(slept == Err(CallError::Cancelled) && cx.is_cancelled());
                Ok(Reply::Empty)
            }
        });
        net.start(vec![NodeSpec::new("one", vec![silent])]);
        net.run(|cx| {
            let ask = text("silent", "Do", "").with_deadline(Duration::from_millis(200));
            let error = cx.call(ask).expect_err("nothing");
            assert_eq!(
                (error.kind(), error.executed()),
                ("timeout", Executed::Unknown)
            );
            cx.sleep(Duration::from_millis(100)).expect("time");
        });
        assert!(told.get());
    });
}

#[test]
fn a_late_reply_is_dropped_and_counted() {
    on_both(|net| {
        let late = component("late", || {
            |cx, _| {
                // Deaf to the cancellation.
                for _ in 0..4 {
                    let _ = cx.sleep(Duration::from_millis(50));
                }
                let until = cx.now() + Duration::from_millis(300);
                while cx.now() < until && cx.blocking(|| ()).is_ok() {}
                Ok(Reply::Empty)
            }
        });
        net.start(vec![NodeSpec::new("one", vec![late, echo()])]);
        net.run(|cx| {
            // So that all of the time is the handler's.
            assert!(cx.call(text("echo", "Say", "")).is_ok());
            let ask = text("late", "Do", "").with_deadline(Duration::from_millis(20));
            assert_eq!(cx.call(ask).expect_err("nothing yet").kind(), "timeout");
            cx.sleep(Duration::from_millis(700)).expect("time");
            // The caller goes on as if nothing had been.
            assert!(cx.call(text("echo", "Say", "")).is_ok());
        });
    });
}

#[test]
fn a_full_queue_refuses_and_names_its_limit() {
    on_both(|net| {
        let limits = InstanceLimits {
            queue_messages: 8,
            ..InstanceLimits::default()
        };
        let slow = component("slow", || {
            |cx, _| {
                cx.sleep(Duration::from_millis(5))?;
                Ok(Reply::Empty)
            }
        })
        .limits(limits);
        net.start(vec![NodeSpec::new("one", vec![slow])]);
        net.run(|cx| {
            let calls: Vec<_> = (0..64)
                .map(|_| cx.start_call(text("slow", "Do", "")))
                .collect();
            let mut rejected = 0;
            let mut handled = 0;
            for call in calls {
                match cx.wait(call) {
                    Ok(_) => handled += 1,
                    Err(CallError::Rejected(rejection)) => {
                        assert_eq!(rejection.limit, "instance.queue_messages");
                        assert_eq!((rejection.value, rejection.observed), (8, 8));
                        assert_eq!(rejection.place, "test/slow");
                        rejected += 1;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            assert!(handled >= 8 && rejected > 0, "{handled} {rejected}");
            assert_eq!(handled + rejected, 64);
        });
    });
}

#[test]
fn a_cast_that_is_not_handled_comes_back() {
    on_both(|net| {
        let back: Rc<RefCell<Vec<String>>> = Rc::default();
        let seen = back.clone();
        let limits = InstanceLimits {
            queue_messages: 1,
            ..InstanceLimits::default()
        };
        let slow = component("slow", || {
            |cx, _| {
                cx.sleep(Duration::from_millis(200))?;
                Ok(Reply::Empty)
            }
        })
        .limits(limits);
        let sender = hooked("sender", move || {
            let seen = seen.clone();
            Hooks::new(|cx, _| {
                for _ in 0..4 {
                    cx.cast(text("slow", "Do", ""))?;
                }
                Ok(Reply::Empty)
            })
            .undelivered(move |_, undelivered| {
                let kind = undelivered.error.kind();
                seen.borrow_mut()
                    .push(format!("{} {kind}", undelivered.target));
            })
        });
        net.start(vec![
            NodeSpec::new("one", vec![sender]),
            NodeSpec::new("two", vec![slow]),
        ]);
        net.run(|cx| {
            cx.call(text("sender", "Send", "")).expect("sent");
            cx.sleep(Duration::from_millis(600)).expect("time");
        });
        let back = back.borrow();
        assert!(!back.is_empty());
        assert!(
            back.iter().all(|line| line == "test/slow rejected"),
            "{back:?}"
        );
    });
}

#[test]
fn a_topic_reaches_every_subscriber() {
    on_both(|net| {
        let heard: Rc<RefCell<Vec<String>>> = Rc::default();
        let listener = |name: &'static str| {
            let heard = heard.clone();
            component(name, move || {
                let heard = heard.clone();
                move |_, message| {
                    heard.borrow_mut().push(format!(
                        "{name} {} {}",
                        message.topic(),
                        message.method()
                    ));
                    Ok(Reply::Empty)
                }
            })
        };
        net.start(vec![
            NodeSpec::new("one", vec![listener("a").subscribe("news", "Hear")]),
            NodeSpec::new(
                "two",
                vec![listener("b").subscribe("news", "Listen"), listener("c")],
            ),
        ]);
        let count = net.run(|cx| {
            let count = cx.publish("news", Payload::bytes("x")).expect("sent");
            cx.sleep(Duration::from_millis(300)).expect("time");
            count
        });
        assert_eq!(count, 2);
        let mut heard = heard.borrow().clone();
        heard.sort();
        assert_eq!(heard, ["a news Hear", "b news Listen"]);
    });
}

#[test]
fn a_stream_is_produced_only_as_far_as_it_is_read() {
    on_both(|net| {
        let made: Rc<Cell<u32>> = Rc::default();
        let counter = made.clone();
        let source = component("source", move || {
            let counter = counter.clone();
            move |_, _| {
                let counter = counter.clone();
                let items = (0..1000_u32).map(move |n| {
                    counter.set(n + 1);
                    Payload::bytes(n.to_string())
                });
                Ok(Reply::Stream(Replies::from_items(items)))
            }
        });
        net.start(vec![NodeSpec::new("one", vec![source])]);
        let seen = made.clone();
        net.run(move |cx| {
            let mut stream = cx.start_stream(text("source", "All", ""));
            for n in 0..5 {
                let item = cx.next_item(&mut stream).expect("more").expect("an item");
                assert_eq!(item.to_bytes(), n.to_string());
            }
            cx.sleep(Duration::from_millis(200)).expect("time");
            assert!(
                seen.get() <= 40,
                "{} were made for 5 that were read",
                seen.get()
            );
            let mut rest = 0;
            while let Some(item) = cx.next_item(&mut stream) {
                item.expect("an item");
                rest += 1;
            }
            assert_eq!(rest, 995);
            // A stream that is dropped is not produced any further.
            let stream = cx.start_stream(text("source", "All", ""));
            drop(stream);
            cx.sleep(Duration::from_millis(200)).expect("time");
            assert!(seen.get() <= 40 || seen.get() == 1000, "{}", seen.get());
        });
    });
}

#[test]
fn a_deadline_is_inherited_and_shrinks() {
    on_both(|net| {
        let outer = component("outer", || {
            |cx, _| {
                cx.sleep(Duration::from_millis(100))?;
                // It asks for an hour and gets what is left.
                let ask = text("inner", "Do", "").with_deadline(Duration::from_secs(3600));
                Ok(Reply::Payload(cx.call(ask)?))
            }
        });
        let left: Rc<Cell<Duration>> = Rc::default();
        let seen = left.clone();
        let inner = component("inner", move || {
            let seen = seen.clone();
            move |cx, message| {
                seen.set(cx.now().until(message.deadline()));
                Ok(Reply::Empty)
            }
        });
        net.start(vec![
            NodeSpec::new("one", vec![outer]),
            NodeSpec::new("two", vec![inner]),
        ]);
        net.run(|cx| {
            cx.sleep(Duration::from_millis(300))
                .expect("time for the links");
            let ask = text("outer", "Do", "").with_deadline(Duration::from_secs(2));
            cx.call(ask).expect("an answer");
        });
        assert!(
            left.get() <= Duration::from_millis(1900),
            "{:?}",
            left.get()
        );
        assert!(left.get() > Duration::from_millis(1000), "{:?}", left.get());
    });
}

#[test]
fn nobody_there_is_unreachable_and_no_such_component_names_those_there_are() {
    on_both(|net| {
        net.start(vec![NodeSpec::new("one", vec![echo()])]);
        net.kill("one");
        let (down, unknown) = net.run(|cx| {
            let ask = text("echo", "Say", "").with_deadline(Duration::from_millis(200));
            (
                cx.call(ask).expect_err("down"),
                cx.call(text("ehco", "Say", "")).expect_err("unknown"),
            )
        });
        assert_eq!(
            (down.kind(), down.executed()),
            ("unreachable", Executed::No),
            "{down}"
        );
        assert!(
            unknown.to_string().contains("known are: test/echo"),
            "{unknown}"
        );
    });
}

#[test]
fn a_stream_is_relayed_item_by_item() {
    on_both(|net| {
        let source = component("source", || {
            |_, _| {
                let items = (0..100_u32).map(|n| Payload::bytes(n.to_string()));
                Ok(Reply::Stream(Replies::from_items(items)))
            }
        });
        // The stream that it reads lives in the one that it makes, and ends with it.
        let relay = component("relay", || {
            |cx, _| {
                let mut from = cx.start_stream(text("source", "All", ""));
                Ok(Reply::Stream(Replies::from_fn(move |cx| {
                    let item = cx.next_item(&mut from)?;
                    Some(item.map_err(Status::from))
                })))
            }
        });
        net.start(vec![
            NodeSpec::new("one", vec![relay]),
            NodeSpec::new("two", vec![source]),
        ]);
        net.run(|cx| {
            let mut stream = cx.start_stream(text("relay", "All", ""));
            let mut count = 0;
            while let Some(item) = cx.next_item(&mut stream) {
                assert_eq!(item.expect("an item").to_bytes(), count.to_string());
                count += 1;
            }
            assert_eq!(count, 100);
            let mut stream = cx.start_stream(text("relay", "All", ""));
            cx.next_item(&mut stream).expect("one").expect("an item");
            drop(stream);
            cx.sleep(Duration::from_millis(100)).expect("time");
            // Nothing is the worse for it.
            let mut stream = cx.start_stream(text("relay", "All", ""));
            cx.next_item(&mut stream).expect("one").expect("an item");
        });
    });
}
