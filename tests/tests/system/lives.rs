//! The life of an instance: its start, its crashes, what it keeps, its end; and the end of its handlers.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use monofil_container::{
    CallError, Caller, Context, Counter, InstanceLimits, Message, Payload, RawPending, RawReplies,
    Replies, Reply, StartReason, Status,
};
use monofil_tests::{ComponentDef, Hooks, Net, NodeSpec, SimNet, component, hooked, on_both, text};

const AN_HOUR: Duration = Duration::from_secs(3600);

/// What happened, in order.
type Log = Rc<RefCell<Vec<String>>>;

fn note(log: &Log, what: impl Into<String>) {
    log.borrow_mut().push(what.into());
}

fn silent() -> ComponentDef {
    component("silent", || {
        |cx, _| {
            cx.sleep(AN_HOUR)?;
            Ok(Reply::Empty)
        }
    })
}

#[test]
fn a_start_that_is_told_of_a_panic_may_discard_what_was_kept() {
    on_both(|net| {
        let fragile = hooked("fragile", || {
            Hooks::new(|cx, message: Message| {
                *cx.env::<u32>() += 1;
                assert_ne!(message.method(), &"Panic", "it broke");
                Ok(Reply::Payload(Payload::bytes(cx.env::<u32>().to_string())))
            })
            .start(|cx, reason| {
                if reason == StartReason::Panicked("it broke and is to be forgotten".into()) {
                    unreachable!("no such panic");
                }
                if matches!(reason, StartReason::Panicked(_)) {
                    cx.clear_env();
                }
                Ok(())
            })
        });
        net.start(vec![NodeSpec::new("one", vec![fragile])]);
        let counts = net.run(|cx| {
            let mut ask = |method| {
                let answer = cx.call(text("fragile", method, ""));
                answer.map_or_else(
                    |error| error.kind().to_owned(),
                    |it| String::from_utf8_lossy(&it.to_bytes()).into_owned(),
                )
            };
            ["Count", "Count", "Panic", "Count"].map(&mut ask)
        });
        assert_eq!(counts, ["1", "2", "panicked", "1"]);
    });
}

#[test]
fn a_start_that_fails_is_tried_again_and_told_why_and_waits_longer_each_time() {
    on_both(|net| {
        let log = Log::default();
        let (notes, tries) = (log.clone(), Rc::new(Cell::new(0)));
        let slow_to_start = hooked("slow_to_start", move || {
            let (notes, tries) = (notes.clone(), tries.clone());
            Hooks::new(|_, _| Ok(Reply::Empty)).start(move |_, reason| {
                tries.set(tries.get() + 1);
                note(&notes, format!("{reason:?}"));
                match tries.get() {
                    1..=3 => Err(Status::unavailable(format!("try {}", tries.get()))),
                    _ => Ok(()),
                }
            })
        })
        .limits(InstanceLimits {
            restarts: 2,
            ..InstanceLimits::default()
        });
        net.start(vec![NodeSpec::new("one", vec![slow_to_start])]);
        net.run(|cx| {
            let error = cx
                .call(text("slow_to_start", "Do", ""))
                .expect_err("not yet");
            let CallError::Rejected(rejection) = &error else {
                panic!("{error}");
            };
            assert_eq!(rejection.limit, "instance.restarts");
            assert_eq!((rejection.value, rejection.observed), (2, 3));
            // It waits for a second at most, then it is tried once more.
            cx.sleep(Duration::from_millis(1500)).expect("time");
            cx.call(text("slow_to_start", "Do", "")).expect("started");
        });
        let log = log.borrow();
        assert_eq!(log.len(), 4, "{log:?}");
        assert_eq!(log[0], "First");
        assert!(
            log[1].contains("StartFailed") && log[1].contains("try 1"),
            "{log:?}"
        );
        assert!(log[3].contains("try 3"), "{log:?}");
    });
}

/// Lets `broken` panic again and again, and returns when it says that it is back each time it waits.
fn waits_after_panics(cx: &mut Context, panics: usize) -> Vec<Duration> {
    let mut waits = Vec::new();
    for _ in 0..panics {
        let error = cx.call(text("broken", "Panic", "")).expect_err("a panic");
        assert_eq!(error.kind(), "panicked");
        if let Err(error) = cx.call(text("broken", "Do", "")) {
            let CallError::Rejected(rejection) = error else {
                panic!("{error}");
            };
            assert_eq!(rejection.limit, "instance.restarts");
            let wait = rejection.retry_after.expect("a time");
            // It is there when it said that it would be, and not before.
            cx.sleep(wait - Duration::from_millis(10)).expect("time");
            let early = cx.call(text("broken", "Do", ""));
            early.expect_err("a refusal");
            cx.sleep(Duration::from_millis(20)).expect("time");
            cx.call(text("broken", "Do", "")).expect("it is back");
            waits.push(wait);
        }
    }
    waits
}

#[test]
fn what_crashes_on_and_on_waits_longer_each_time_until_it_has_stayed_up() {
    let mut net = SimNet::new(1);
    let net: &mut dyn Net = &mut net;
    let broken = component("broken", || {
        |_, message: Message| {
            assert_ne!(message.method(), &"Panic", "it broke");
            Ok(Reply::Empty)
        }
    })
    .limits(InstanceLimits {
        restarts: 2,
        // Shorter than the longest wait, which must not make it forget.
        restart_window: Duration::from_secs(10),
        ..InstanceLimits::default()
    });
    net.start(vec![NodeSpec::new("one", vec![broken])]);
    net.run(|cx| {
        for _ in 0..2 {
            let waits = waits_after_panics(cx, 10);
            assert_eq!(waits.len(), 8, "two restarts are free: {waits:?}");
            for (wait, most) in waits.iter().zip([1, 2, 4, 8, 16, 32, 60, 60]) {
                let most = Duration::from_secs(most);
                assert!(*wait <= most && *wait > most.mul_f32(0.49), "{waits:?}");
            }
            cx.sleep(Duration::from_secs(11)).expect("time");
        }
    });
}

#[test]
fn what_cannot_start_is_not_tried_all_the_time() {
    let mut net = SimNet::new(1);
    let net: &mut dyn Net = &mut net;
    let tries: Rc<Cell<u32>> = Rc::default();
    let counted = tries.clone();
    let broken = hooked("broken", move || {
        let tries = counted.clone();
        Hooks::new(|_, _| Ok(Reply::Empty)).start(move |_, _| {
            tries.set(tries.get() + 1);
            Err(Status::unavailable("its database is gone"))
        })
    });
    net.start(vec![NodeSpec::new("one", vec![broken])]);
    net.run(|cx| cx.sleep(Duration::from_secs(500)).expect("time"));
    // Six at once, six while the wait grows to a minute, and then each 30 s to 60 s.
    assert!((18..=28).contains(&tries.get()), "{}", tries.get());
}

#[test]
fn a_factory_that_panics_loses_nothing_that_was_kept() {
    on_both(|net| {
        let (log, made) = (Log::default(), Rc::new(Cell::new(0)));
        let notes = log.clone();
        let fragile = hooked("fragile", move || {
            made.set(made.get() + 1);
            assert_ne!(made.get(), 2, "the second cannot be made");
            let notes = notes.clone();
            Hooks::new(|cx, message: Message| {
                *cx.env::<u32>() += 1;
                assert_ne!(message.method(), &"Panic", "it broke");
                Ok(Reply::Empty)
            })
            .start(move |cx, reason| {
                note(&notes, format!("{} {reason:?}", cx.env::<u32>()));
                Ok(())
            })
        });
        net.start(vec![NodeSpec::new("one", vec![fragile])]);
        net.run(|cx| {
            cx.call(text("fragile", "Do", "")).expect("an answer");
            cx.call(text("fragile", "Panic", "")).expect_err("a panic");
            cx.call(text("fragile", "Do", "")).expect("an answer");
        });
        let log = log.borrow();
        assert_eq!(log.len(), 2, "{log:?}");
        assert!(log[1].starts_with("2 Panicked"), "{log:?}");
        assert!(log[1].contains("the second cannot be made"), "{log:?}");
    });
}

/// Keeps a call and a stream under way for as long as it lives.
struct Keeps(Option<(RawPending, RawReplies)>);

impl Keeps {
    fn begin(&mut self, cx: &mut Context<'_>) {
        let ask = || text("silent", "Do", "").with_deadline(AN_HOUR);
        self.0 = Some((cx.start_call(ask()), cx.start_stream(ask())));
    }
}

#[test]
fn calls_that_an_instance_keeps_are_cancelled_with_it() {
    on_both(|net| {
        let keeper = |name: &'static str| {
            hooked(name, || {
                let mut keeps = Keeps(None);
                let mut fails = Keeps(None);
                let mut failed = false;
                Hooks::new(move |cx, message: Message| {
                    keeps.begin(cx);
                    assert_ne!(message.method(), &"Panic", "it broke");
                    Ok(Reply::Empty)
                })
                .start(move |cx, reason| {
                    if matches!(reason, StartReason::First) && !failed {
                        failed = true;
                        fails.begin(cx);
                        return Err(Status::unavailable("not yet"));
                    }
                    Ok(())
                })
            })
        };
        net.start(vec![
            NodeSpec::new("one", vec![keeper("panics"), keeper("stops")]),
            NodeSpec::new("two", vec![silent(), silent(), silent(), silent()]),
        ]);
        net.run(|cx| {
            cx.call(text("stops", "Do", "")).expect("an answer");
            cx.call(text("panics", "Panic", "")).expect_err("a panic");
            cx.call(text("panics", "Do", "")).expect("an answer");
            cx.sleep(Duration::from_millis(100)).expect("time");
        });
        // Those of `start` and of the panic are gone; two each are kept.
        assert_eq!(net.gauges("one")["monofil_calls_under_way"], 4);
        assert_eq!(net.gauges("two")["monofil_calls_served"], 4);
        net.drain("one");
        net.run(|cx| cx.sleep(Duration::from_millis(100)).expect("time"));
        assert_eq!(net.gauges("two")["monofil_calls_served"], 0);
        assert_eq!(net.gauges("two")["monofil_stacks_used"], 0);
    });
}

/// Panics when it is dropped, wherever that is.
struct Grenade;

impl Drop for Grenade {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("the destructor panicked");
        }
    }
}

#[test]
fn a_destructor_that_panics_harms_nobody_else() {
    on_both(|net| {
        let streams = component("streams", || {
            |_, _| {
                let grenade = Grenade;
                Ok(Reply::Stream(Replies::from_fn(move |_| {
                    let _held = &grenade;
                    None
                })))
            }
        });
        let holds = component("holds", || {
            let grenade = Grenade;
            move |_, _| {
                let _held = &grenade;
                Ok(Reply::Empty)
            }
        });
        net.start(vec![NodeSpec::new("one", vec![streams, holds])]);
        net.run(|cx| {
            let mut stream = cx.start_stream(text("streams", "Do", ""));
            assert_eq!(cx.next_item(&mut stream), None);
            cx.call(text("holds", "Do", "")).expect("an answer");
        });
        assert_eq!(net.counter("one", Counter::HandlersPanicked), 1);
        net.drain("one");
    });
}

/// Tries to do what a handler does, from its destructor.
struct Tries<'a, 'b> {
    cx: &'a mut Context<'b>,
    log: Log,
}

impl Drop for Tries<'_, '_> {
    fn drop(&mut self) {
        let slept = self.cx.sleep(Duration::from_millis(1));
        let called = self.cx.call(text("silent", "Do", ""));
        let cast = self.cx.cast(text("silent", "Do", ""));
        let blocked = self.cx.blocking(|| ());
        let published = self.cx.publish("news", Payload::default());
        let later = self.cx.after(AN_HOUR, text("silent", "Do", ""));
        let mut stream = self.cx.start_stream(text("silent", "Do", ""));
        let item = self.cx.next_item(&mut stream);
        let all = [
            slept.err(),
            called.err(),
            cast.err(),
            blocked.err(),
            later.err(),
            published.err(),
            item.and_then(Result::err),
        ];
        let refused = all.iter().filter(|it| **it == Some(CallError::Cancelled));
        note(&self.log, format!("{} refused", refused.count()));
    }
}

#[test]
fn a_handler_that_unwinds_can_neither_wait_nor_send() {
    on_both(|net| {
        let log = Log::default();
        let notes = log.clone();
        let breaks = component("breaks", move || {
            let notes = notes.clone();
            move |cx: &mut Context<'_>, _: Message| {
                let _tries = Tries {
                    cx,
                    log: notes.clone(),
                };
                panic!("it broke");
            }
        });
        net.start(vec![NodeSpec::new(
            "one",
            vec![breaks, silent().subscribe("news", "Hear")],
        )]);
        let error = net.run(|cx| cx.call(text("breaks", "Do", "")).expect_err("a panic"));
        assert_eq!(error, CallError::Panicked("it broke".into()));
        assert_eq!(*log.borrow(), ["7 refused"]);
        assert_eq!(net.gauges("one")["monofil_handlers_under_way"], 0);
    });
}

#[test]
fn what_a_killed_node_s_handlers_do_as_they_end_reaches_nobody() {
    on_both(|net| {
        let log = Log::default();
        let (waits, stubborn) = (log.clone(), log.clone());
        let waits = component("waits", move || {
            let log = waits.clone();
            move |cx: &mut Context<'_>, _: Message| {
                let tries = Tries {
                    cx,
                    log: log.clone(),
                };
                let _ = tries.cx.sleep(AN_HOUR);
                unreachable!("it is killed while it sleeps");
            }
        });
        // It takes the end for a panic of its own, and goes on, and panics in the end.
        let stubborn = component("stubborn", move || {
            let log = stubborn.clone();
            move |cx: &mut Context<'_>, _: Message| {
                let caught = catch_unwind(AssertUnwindSafe(|| cx.sleep(AN_HOUR)));
                note(&log, format!("caught {}", caught.is_err()));
                drop(Tries {
                    cx,
                    log: log.clone(),
                });
                panic!("it insists");
            }
        });
        net.start(vec![
            NodeSpec::new("one", vec![waits, stubborn]),
            NodeSpec::new("two", vec![silent().subscribe("news", "Hear")]),
        ]);
        net.run(|cx| {
            for to in ["waits", "stubborn"] {
                cx.cast(text(to, "Do", "")).expect("sent");
            }
        });
        // Both sleep by then.
        while net.gauges("one")["monofil_handlers_under_way"] < 2 {
            net.run(|cx| cx.sleep(Duration::from_millis(10)).expect("time"));
        }
        net.kill("one");
        let all = ["7 refused", "caught true", "7 refused"];
        assert_eq!(*log.borrow(), all);
        assert_eq!(net.counter("two", Counter::HandlersStarted), 0);
    });
}

#[test]
fn blocking_work_that_panics_is_an_error_of_its_handler() {
    on_both(|net| {
        let blocks = component("blocks", || {
            |cx, message: Message| {
                let payload = message.payload().to_bytes();
                let length = cx.blocking(move || match &payload[..] {
                    b"" => panic!("nothing to measure"),
                    bytes => bytes.len(),
                });
                let text = length.map_or_else(|error| error.to_string(), |it| it.to_string());
                Ok(Reply::Payload(Payload::bytes(text)))
            }
        });
        net.start(vec![NodeSpec::new("one", vec![blocks])]);
        net.run(|cx| {
            let mut measure = |what| cx.call(text("blocks", "Do", what)).expect("an answer");
            assert_eq!(measure("four").to_bytes(), "4");
            assert_eq!(
                measure("").to_bytes(),
                "the handler panicked: nothing to measure"
            );
            assert_eq!(measure("again").to_bytes(), "5");
        });
        assert_eq!(net.counter("one", Counter::HandlersPanicked), 0);
        assert_eq!(net.gauges("one")["monofil_blocking_jobs_under_way"], 0);
    });
}

#[test]
fn a_delayed_message_is_cast_then_and_comes_back_if_nobody_takes_it() {
    on_both(|net| {
        let log = Log::default();
        let (heard, back) = (log.clone(), log.clone());
        let ear = component("ear", move || {
            let heard = heard.clone();
            move |cx, message: Message| {
                let late = cx.now() >= sent(&message);
                note(
                    &heard,
                    format!("{} {:?} {late}", message.method(), message.kind()),
                );
                Ok(Reply::Empty)
            }
        });
        let sender = hooked("sender", move || {
            let back = back.clone();
            Hooks::new(|cx: &mut Context<'_>, _| {
                let at = cx.now() + Duration::from_millis(100);
                let at = at.as_nanos().to_string();
                cx.after(Duration::from_millis(100), text("ear", "Hear", &at))?;
                cx.after(Duration::from_millis(50), text("nobody", "Hear", &at))?;
                Ok(Reply::Empty)
            })
            .undelivered(move |_, it| {
                note(&back, format!("{} {}", it.target, it.error.kind()));
            })
        });
        net.start(vec![
            NodeSpec::new("one", vec![sender]),
            NodeSpec::new("two", vec![ear]),
        ]);
        let seen = log.clone();
        net.run(move |cx| {
            cx.call(text("sender", "Do", "")).expect("sent");
            while seen.borrow().len() < 2 {
                cx.sleep(Duration::from_millis(5)).expect("time");
            }
        });
        assert_eq!(*log.borrow(), ["test/nobody unreachable", "Hear Cast true"]);
        assert_eq!(net.gauges("one")["monofil_delayed_messages"], 0);
    });
}

/// Reads when a message was to be cast.
fn sent(message: &Message) -> monofil_transport::Instant {
    let text = String::from_utf8_lossy(&message.payload().to_bytes()).into_owned();
    monofil_transport::Instant::from_nanos(text.parse().expect("a number"))
}

#[test]
fn each_subscriber_that_cannot_be_told_is_reported() {
    on_both(|net| {
        let log = Log::default();
        let back = log.clone();
        let ear = |name| component(name, || |_, _| Ok(Reply::Empty)).subscribe("news", "Hear");
        let sender = hooked("sender", move || {
            let back = back.clone();
            Hooks::new(|cx, _| {
                // Nobody answers at `two` in time.
                let told = cx.publish("news", Payload::default())?;
                Ok(Reply::Payload(Payload::bytes(told.to_string())))
            })
            .undelivered(move |_, it| {
                note(
                    &back,
                    format!("{} {} {}", it.target, it.method, it.error.kind()),
                );
            })
        });
        let brief = |config: &mut monofil_container::ContainerConfig| {
            config.default_deadline = Duration::from_millis(300);
        };
        net.start(vec![
            NodeSpec::new("one", vec![sender, ear("near")]).configure(brief),
            NodeSpec::new("two", vec![ear("far")]),
        ]);
        net.kill("two");
        let seen = log.clone();
        net.run(move |cx| {
            let told = cx.call(text("sender", "Do", "")).expect("sent").to_bytes();
            assert_eq!(told, "2");
            while seen.borrow().is_empty() {
                cx.sleep(Duration::from_millis(5)).expect("time");
            }
        });
        assert_eq!(*log.borrow(), ["test/far Hear unreachable"]);
    });
}

#[test]
fn running_out_of_stacks_is_a_refusal_and_passes() {
    for net in ["sim", "zmq"] {
        let output = Command::new(env!("CARGO_BIN_EXE_victim"))
            .args(["stacks", net])
            .output()
            .expect("the victim runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{net}: {errors}");
        let says = String::from_utf8_lossy(&output.stdout);
        assert_eq!(
            says, "some held, some refused by node.stacks, all served afterwards\n",
            "{net}"
        );
    }
}

#[test]
fn a_killed_node_begins_nothing_more() {
    on_both(|net| {
        let log = Log::default();
        // Takes the end for a panic of its own, and returns or panics as if nothing else had been.
        let stubborn = |name: &'static str, panics: bool| {
            let log = log.clone();
            hooked(name, move || {
                note(&log, "made");
                let (handled, started) = (log.clone(), log.clone());
                Hooks::new(move |cx: &mut Context<'_>, _| {
                    note(&handled, "began");
                    let _ = catch_unwind(AssertUnwindSafe(|| cx.sleep(AN_HOUR)));
                    assert!(!panics, "it insists");
                    Ok(Reply::Empty)
                })
                .start(move |_, _| {
                    note(&started, "started");
                    Ok(())
                })
            })
        };
        net.start(vec![NodeSpec::new(
            "one",
            vec![stubborn("returns", false), stubborn("panics", true)],
        )]);
        net.run(|cx| {
            for to in ["returns", "panics", "returns", "panics"] {
                cx.cast(text(to, "Do", "")).expect("sent");
            }
            cx.sleep(Duration::from_millis(50)).expect("time");
        });
        net.kill("one");
        let mut log = log.borrow().clone();
        log.sort();
        let once_each = ["began", "began", "made", "made", "started", "started"];
        assert_eq!(log, once_each);
    });
}
