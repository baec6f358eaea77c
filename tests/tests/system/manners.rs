//! Callers and callees that do not agree on what a method answers with.

use std::cell::Cell;
use std::rc::Rc;

use monofil_container::{
    CallError, Caller, Code, Executed, HandlerError, Interface, Message, Method, Name, Payload,
    Replies, Reply, codegen, name,
};
use monofil_proto::control::Pong;
use monofil_proto::wire::{Kind, Record};
use monofil_tests::{ComponentDef, Foreign, Net, NodeSpec, SimNet, component, on_both, text};

const fn method(name: Name, streaming: bool) -> Method {
    Method {
        name,
        streaming,
        idempotent: false,
        deadline: None,
        flow: None,
        topic: None,
    }
}

/// What the described component says of itself.
static NUMBERS: Interface = Interface {
    service: "test.Numbers",
    methods: &[
        method(name!("test.Numbers/One"), false),
        method(name!("test.Numbers/All"), true),
    ],
    descriptors: &[],
};

/// Answers `One` once and `All` with a stream of three, and counts how often it runs.
fn numbers(name: &'static str, runs: &Rc<Cell<u32>>) -> ComponentDef {
    let runs = runs.clone();
    component(name, move || {
        let runs = runs.clone();
        move |_, message: Message| {
            runs.set(runs.get() + 1);
            match message.method().as_str() {
                "test.Numbers/One" => Ok(Reply::Payload(Payload::bytes("one"))),
                "test.Numbers/Nothing" => Ok(Reply::Empty),
                "test.Numbers/All" => {
                    let items = ["1", "2", "3"].map(Payload::bytes);
                    Ok(Reply::Stream(Replies::from_items(items)))
                }
                other => Err(HandlerError::Unimplemented(other.to_owned())),
            }
        }
    })
}

/// One that describes itself, one that does not, and one beside the caller.
fn everywhere(runs: &Rc<Cell<u32>>) -> Vec<NodeSpec> {
    let described = numbers("described", runs).interface(&NUMBERS);
    let local = numbers("local", runs);
    let by_local = component("by_local", || {
        |cx, message: Message| {
            let ask = text("local", message.method().as_str(), "");
            let mut stream = cx.start_stream(ask);
            let mut items = Vec::new();
            while let Some(item) = cx.next_item(&mut stream) {
                items.push(String::from_utf8_lossy(&item?.to_bytes()).into_owned());
            }
            Ok(Reply::Payload(Payload::bytes(items.join(","))))
        }
    });
    vec![
        NodeSpec::new("one", vec![described]),
        NodeSpec::new("two", vec![numbers("plain", runs)]),
        NodeSpec::new("three", vec![local, by_local]),
    ]
}

#[test]
fn one_answer_to_a_call_for_a_stream_is_a_stream_of_one() {
    on_both(|net| {
        net.start(everywhere(&Rc::default()));
        net.run(|cx| {
            for target in ["described", "plain"] {
                let mut stream = cx.start_stream(text(target, "test.Numbers/One", ""));
                let only = cx
                    .next_item(&mut stream)
                    .expect("an item")
                    .expect("no error");
                assert_eq!(only.to_bytes(), "one", "{target}");
                assert_eq!(cx.next_item(&mut stream), None, "{target}");
                assert_eq!(cx.next_item(&mut stream), None, "{target}");
            }
            // A handler with nothing to say answers with an empty payload, which is one, too.
            let mut stream = cx.start_stream(text("plain", "test.Numbers/Nothing", ""));
            assert_eq!(cx.next_item(&mut stream), Some(Ok(Payload::default())));
            assert_eq!(cx.next_item(&mut stream), None);
            let mut by_local = |method| {
                let answer = cx.call(text("by_local", method, ""));
                answer.expect("an answer").to_bytes()
            };
            assert_eq!(by_local("test.Numbers/One"), "one");
            assert_eq!(by_local("test.Numbers/All"), "1,2,3");
        });
    });
}

#[test]
fn a_stream_is_not_one_answer_and_its_caller_is_told_what_it_is() {
    on_both(|net| {
        let runs: Rc<Cell<u32>> = Rc::default();
        net.start(everywhere(&runs));
        let (described, ran, plain) = net.run(move |cx| {
            let described = cx.call(text("described", "test.Numbers/All", ""));
            let ran = runs.get();
            let plain = cx.call(text("plain", "test.Numbers/All", ""));
            (
                described.expect_err("a stream"),
                ran,
                plain.expect_err("a stream"),
            )
        });
        let says = |error: &CallError, component: &str| {
            let text = error.to_string();
            let expected =
                format!("`test.Numbers/All` of `test/{component}` answers with a stream");
            assert!(text.contains(&expected), "{text}");
        };
        says(&described, "described");
        assert_eq!(
            (described.kind(), described.executed()),
            ("unimplemented", Executed::No)
        );
        assert_eq!(ran, 0, "it said that it did not run");
        says(&plain, "plain");
        let status = plain.status().expect("it ran, and its node says so");
        assert_eq!(
            (status.code(), plain.executed()),
            (Code::Unimplemented, Executed::InPart)
        );
    });
}

#[test]
fn a_stream_that_was_not_asked_for_is_incomplete() {
    let mut net = SimNet::new(1);
    net.foreign("far", &["pushy"], || {
        Foreign::new("far", |call| {
            let record = |kind: Kind, item| Record {
                kind: kind.into(),
                id: call.id,
                item,
                ..Record::default()
            };
            vec![record(Kind::Item, 1), record(Kind::End, 1)]
        })
    });
    net.start(Vec::new());
    let net: &mut dyn Net = &mut net;
    let error = net
        .run(|cx| cx.call(text("pushy", "Do", "")))
        .expect_err("no answer");
    assert_eq!(
        (error.kind(), error.executed()),
        ("incomplete", Executed::InPart)
    );
    assert!(
        error
            .to_string()
            .contains("`Do` was answered with a stream"),
        "{error}"
    );
}

#[test]
fn after_an_item_that_cannot_be_read_there_is_nothing_more() {
    on_both(|net| {
        let mixed = component("mixed", || {
            |_, _| {
                let good = Payload::protobuf(&Pong::default());
                let items = [good.clone(), Payload::bytes("no protobuf"), good];
                Ok(Reply::Stream(Replies::from_items(items)))
            }
        });
        net.start(vec![NodeSpec::new("one", vec![mixed])]);
        net.run(|cx| {
            let mut stream = codegen::stream::<_, Pong>(cx, text("mixed", "Do", ""));
            assert_eq!(stream.next(cx), Some(Ok(Pong::default())));
            let error = stream.next(cx).expect("an item").expect_err("no pong");
            assert_eq!(error.executed(), Executed::InPart);
            assert_eq!(stream.next(cx), None);
            cx.sleep(std::time::Duration::from_millis(50))
                .expect("time");
        });
        assert_eq!(net.gauges("one")["monofil_streams_served"], 0);
    });
}
