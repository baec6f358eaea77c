//! Every way a message can end, each with what it says.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use monofil_container::{
    CallError, Caller, Code, Context, Counter, Executed, HandlerError, Interface, Message, Method,
    Payload, Replies, Reply, Request, Status, codegen, name,
};
use monofil_proto::control::Pong;
use monofil_tests::{ComponentDef, Net, NodeSpec, component, on_both, text};

const AN_HOUR: Duration = Duration::from_secs(3600);

fn echo() -> ComponentDef {
    component("echo", || {
        |_, message: Message| Ok(Reply::Payload(message.payload().clone()))
    })
}

/// Calls one method of `echo` on another node and one on its own, under the same name but for a suffix.
fn both_ways(net: &mut dyn Net, run: impl Fn(&mut Context, &str) + 'static) {
    let run = Rc::new(run);
    let asks = component("asks", move || {
        let run = run.clone();
        move |cx, _| {
            run(cx, "far");
            run(cx, "near");
            Ok(Reply::Empty)
        }
    });
    let answers =
        |name| component(name, || |_, message: Message| answer(&message)).interface(&SERVICE);
    let small = |config: &mut monofil_container::ContainerConfig| {
        config.bounds.frame_bytes = 64 << 10;
    };
    net.start(vec![
        NodeSpec::new("one", vec![asks, answers("near")]).configure(small),
        NodeSpec::new("two", vec![answers("far")]).configure(small),
    ]);
    net.run(|cx| {
        cx.call(text("asks", "Do", "")).expect("no panic");
    });
}

static SERVICE: Interface = Interface {
    service: "test.Answers",
    methods: &[Method {
        name: name!("Items"),
        streaming: true,
        idempotent: false,
        deadline: None,
        flow: None,
        topic: None,
    }],
    descriptors: &[],
};

/// More than a frame of these tests holds.
const TOO_LARGE: usize = 60 << 10;

fn answer(message: &Message) -> Result<Reply, HandlerError> {
    let large = || vec![0; TOO_LARGE];
    match message.method().as_str() {
        "Echo" => Ok(Reply::Payload(message.payload().clone())),
        "Large" => Ok(Reply::Payload(Payload::bytes(large()))),
        "Named" => Ok(Reply::Payload(Payload::new("n".repeat(300), ""))),
        "Details" => Err(Status::not_found("nothing").with_details(large()).into()),
        "Items" => {
            let items = [vec![0; 3], large(), vec![0; 3]].map(Payload::bytes);
            Ok(Reply::Stream(Replies::from_items(items)))
        }
        "Junk" => Ok(Reply::Payload(Payload::bytes("no protobuf"))),
        "Unreadable" => Err(HandlerError::Malformed("not what it should be".into())),
        "Panic" => panic!("it broke"),
        other => Err(HandlerError::Unimplemented(format!("no `{other}`"))),
    }
}

fn kind(result: Result<Payload, CallError>) -> (&'static str, Executed) {
    let error = result.expect_err("an error");
    (error.kind(), error.executed())
}

#[test]
fn what_is_too_large_to_travel_is_refused_on_the_way_there_and_back() {
    on_both(|net| {
        both_ways(net, |cx, to| {
            let plain = |method: &str| Request::new(to, method, Payload::default());
            let large = Request::new(to, "Echo", Payload::bytes(vec![0; TOO_LARGE]));
            let long: String = "n".repeat(300);
            let unknown = ("too_large", Executed::Unknown);
            assert_eq!(kind(cx.call(large.clone())), unknown, "{to}");
            assert_eq!(cx.cast(large).expect_err("too large").kind(), "too_large");
            assert_eq!(kind(cx.call(plain(&long))), unknown, "{to}: method");
            assert_eq!(
                kind(cx.call(plain("Echo").with_flow(&*long))),
                unknown,
                "{to}: flow"
            );
            assert_eq!(
                kind(cx.call(plain("Echo").with_key(long))),
                unknown,
                "{to}: key"
            );
            assert_eq!(kind(cx.call(plain("Large"))), unknown, "{to}: reply");
            assert_eq!(kind(cx.call(plain("Named"))), unknown, "{to}: content type");
            let mut items = cx.start_stream(plain("Items"));
            assert_eq!(
                cx.next_item(&mut items).map(|item| item.is_ok()),
                Some(true)
            );
            let item = cx.next_item(&mut items).expect("an end");
            assert_eq!(kind(item), unknown, "{to}: item");
            assert_eq!(cx.next_item(&mut items), None);
            // An error is told without its details rather than not at all.
            let error = cx.call(plain("Details")).expect_err("an error");
            let status = error.status().expect("its own");
            assert_eq!((status.code(), status.details().len()), (Code::NotFound, 0));
            assert!(
                status.message().contains("its details of 61440 bytes"),
                "{status}"
            );
            // The link goes on.
            assert!(cx.call(plain("Echo")).is_ok(), "{to}");
        });
    });
}

#[test]
fn a_request_that_cannot_be_read_did_not_run_and_a_reply_that_cannot_did() {
    on_both(|net| {
        both_ways(net, |cx, to| {
            let plain = |method: &str| Request::new(to, method, Payload::default());
            let no = ("malformed", Executed::No);
            assert_eq!(kind(cx.call(plain("Unreadable"))), no, "{to}");
            let error = codegen::call::<_, Pong>(cx, plain("Junk")).expect_err("no pong");
            assert_eq!(error.executed(), Executed::InPart, "{to}: {error}");
            assert_eq!(
                error.status().map(Status::code),
                Some(Code::Internal),
                "{to}"
            );
        });
    });
}

#[test]
fn a_method_or_a_component_that_is_not_there_is_unimplemented() {
    on_both(|net| {
        // The directory believes that there is a ghost.
        let ghost = component("ghost", || |_, _| Ok(Reply::Empty));
        let spec = NodeSpec::new("one", vec![echo_of_answers(), ghost]).configure(|config| {
            config.components.retain(|spec| spec.name != "ghost");
        });
        net.start(vec![spec]);
        net.run(|cx| {
            let no = ("unimplemented", Executed::No);
            assert_eq!(kind(cx.call(text("answers", "Nothing", ""))), no);
            let error = cx.call(text("ghost", "Do", "")).expect_err("no ghost");
            assert_eq!((error.kind(), error.executed()), no);
            assert_eq!(
                error.to_string(),
                "unimplemented: node `one` runs no `test/ghost`"
            );
        });
    });
}

fn echo_of_answers() -> ComponentDef {
    component("answers", || |_, message: Message| answer(&message))
}

#[test]
fn a_node_that_drains_says_so_and_answers_what_it_had() {
    on_both(|net| {
        let ends = component("ends", || {
            |cx, _| {
                cx.shut_down();
                cx.sleep(Duration::from_millis(200))?;
                Ok(Reply::Payload(Payload::bytes("done")))
            }
        });
        net.start(vec![NodeSpec::new("one", vec![ends, echo()])]);
        net.run(|cx| {
            cx.call(text("echo", "Say", "")).expect("an answer");
            let ends = cx.start_call(text("ends", "Do", ""));
            cx.sleep(Duration::from_millis(50)).expect("time");
            let error = cx.call(text("echo", "Say", "")).expect_err("too late");
            assert_eq!((error.kind(), error.executed()), ("draining", Executed::No));
            assert_eq!(error.to_string(), "draining: one takes nothing new");
            assert_eq!(cx.wait(ends).expect("an answer").to_bytes(), "done");
        });
    });
}

#[test]
fn a_call_whose_time_is_over_before_it_runs_has_expired() {
    on_both(|net| {
        let runs: Rc<Cell<u32>> = Rc::default();
        let counter = runs.clone();
        let busy = component("busy", move || {
            let counter = counter.clone();
            move |cx, message: Message| {
                counter.set(counter.get() + 1);
                if message.method() == "Sleep" {
                    cx.sleep(Duration::from_millis(200))?;
                }
                Ok(Reply::Empty)
            }
        });
        let asks = component("asks", || {
            |cx, _| {
                let none = text("busy", "Do", "").with_deadline(Duration::ZERO);
                assert_eq!(kind(cx.call(none)), ("expired", Executed::No));
                // Within one container it is known that it still waits in the queue.
                let sleeps = cx.start_call(text("busy", "Sleep", ""));
                let brief = text("busy", "Do", "").with_deadline(Duration::from_millis(50));
                assert_eq!(kind(cx.call(brief)), ("expired", Executed::No));
                cx.wait(sleeps)?;
                Ok(Reply::Empty)
            }
        });
        net.start(vec![NodeSpec::new("one", vec![asks, busy])]);
        net.run(|cx| cx.call(text("asks", "Do", "")).expect("no panic"));
        assert_eq!(runs.get(), 1);
    });
}

#[test]
fn a_stream_that_breaks_off_is_incomplete_once_something_came() {
    on_both(|net| {
        let slow = component("slow", || {
            |_, _| {
                let mut made = 0;
                Ok(Reply::Stream(Replies::from_fn(move |cx| {
                    made += 1;
                    if made > 2 {
                        let _ = cx.sleep(AN_HOUR);
                    }
                    Some(Ok(Payload::default()))
                })))
            }
        });
        let silent = component("silent", || {
            |_, _| {
                Ok(Reply::Stream(Replies::from_fn(|cx| {
                    let _ = cx.sleep(AN_HOUR);
                    None
                })))
            }
        });
        net.start(vec![NodeSpec::new("one", vec![slow, silent])]);
        net.run(|cx| {
            let brief = Duration::from_millis(300);
            let mut ends = |to: &str| {
                let mut stream = cx.start_stream(text(to, "Do", "").with_deadline(brief));
                let mut count = 0;
                loop {
                    match cx.next_item(&mut stream).expect("an error first") {
                        Ok(_) => count += 1,
                        Err(error) => return (count, error.kind(), error.executed()),
                    }
                }
            };
            assert_eq!(ends("slow"), (2, "incomplete", Executed::InPart));
            assert_eq!(ends("silent"), (0, "timeout", Executed::Unknown));
        });
    });
}

#[test]
fn a_late_reply_is_counted_with_its_lateness() {
    on_both(|net| {
        let late = component("late", || {
            |cx, _| {
                // Deaf to the deadline: only a job keeps it now.
                let until = cx.now() + Duration::from_millis(120);
                while cx.now() < until {
                    let _ = cx.blocking(|| std::thread::sleep(Duration::from_millis(1)));
                    if cx.is_cancelled() {
                        std::thread::sleep(Duration::from_millis(10));
                        break;
                    }
                }
                Ok(Reply::Empty)
            }
        });
        net.start(vec![NodeSpec::new("one", vec![late])]);
        net.run(|cx| {
            let ask = text("late", "Do", "").with_deadline(Duration::from_millis(20));
            assert_eq!(kind(cx.call(ask)), ("timeout", Executed::Unknown));
            cx.sleep(Duration::from_millis(100)).expect("time");
        });
        assert_eq!(
            net.counter("test-1", Counter::RepliesLate),
            1,
            "{}",
            net.label()
        );
        let lateness = net.counter("test-1", Counter::RepliesLateMicrosMax);
        assert!(lateness > 0, "{}", net.label());
    });
}

#[test]
fn a_panic_and_an_unknown_target_end_a_cast_where_they_should() {
    on_both(|net| {
        net.start(vec![NodeSpec::new("one", vec![echo_of_answers()])]);
        net.run(|cx| {
            let unknown = cx.cast(text("nobody", "Do", "")).expect_err("nobody");
            assert_eq!(
                (unknown.kind(), unknown.executed()),
                ("unreachable", Executed::No)
            );
            // It was delivered, and ran in part: its sender has nothing to do about it.
            cx.cast(text("answers", "Panic", "")).expect("sent");
            cx.call(text("answers", "Echo", ""))
                .expect("a new instance");
        });
        assert_eq!(net.counter("one", Counter::CastsFailed), 1);
        assert_eq!(net.counter("one", Counter::HandlersPanicked), 1);
        assert_eq!(net.counter("test-1", Counter::CastsUndelivered), 0);
    });
}
