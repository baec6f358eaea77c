//! What ARCHITECTURE.md says of every container and no other test is about.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use monofil_container::{Caller, Context, Message, Reply};
use monofil_inproc::{Fault, NodeSpec as WorldNode};
use monofil_proto::control::{ControlFrame, control_frame::Body, response};
use monofil_proto::{Bounds, VERSION, decode_control, encode};
use monofil_tests::{ComponentDef, Net, NodeSpec, SimNet, component, on_both, text};
use monofil_transport::{Event, Inbox, Instant, Plane, Route, Transport};

type Log = Rc<RefCell<Vec<String>>>;

/// Writes down what it gets.
fn writer(name: &'static str, log: &Log) -> ComponentDef {
    let log = log.clone();
    component(name, move || {
        let log = log.clone();
        move |_: &mut Context, message: Message| {
            log.borrow_mut().push(message.method().to_string());
            Ok(Reply::Empty)
        }
    })
}

#[test]
fn messages_are_handled_in_the_order_of_their_arrival() {
    on_both(|net| {
        let log = Log::default();
        let all = ["a", "b", "c"].map(|name| writer(name, &log)).to_vec();
        net.start(vec![NodeSpec::new("one", all)]);
        net.run(|cx| {
            for number in 0..30 {
                let target = ["a", "c", "b", "a"][number % 4];
                cx.cast(text(target, &number.to_string(), ""))
                    .expect("room");
            }
            cx.call(text("a", "30", "")).expect("an answer");
        });
        let expected: Vec<_> = (0..=30).map(|number| number.to_string()).collect();
        assert_eq!(*log.borrow(), expected, "{}", net.label());
    });
}

#[test]
fn silence_ends_nothing() {
    let log = Log::default();
    let mut net = SimNet::new(1);
    let sender = component("sender", || {
        |cx: &mut Context, _: Message| {
            let patient = text("writer", "late", "").with_deadline(Duration::from_secs(600));
            cx.cast(patient)?;
            Ok(Reply::Empty)
        }
    });
    net.start(vec![
        NodeSpec::new("one", vec![writer("writer", &log)]),
        NodeSpec::new("two", vec![sender]),
    ]);
    let world = net.world();
    let nodes = ["one", "two"].map(|name| world.node(name).expect("it was added"));
    for (from, to) in [(nodes[0], nodes[1]), (nodes[1], nodes[0])] {
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        world.apply_at(at(1), Fault::Cut { from, to });
        world.apply_at(at(61), Fault::Heal { from, to });
    }
    let net: &mut dyn Net = &mut net;
    net.run(|cx| {
        cx.sleep(Duration::from_secs(2)).expect("time");
        cx.call(text("sender", "Go", "")).expect("an answer");
        cx.sleep(Duration::from_secs(120)).expect("time");
    });
    assert_eq!(*log.borrow(), ["late"]);
}

#[test]
fn a_verb_that_a_node_does_not_know_is_refused() {
    let mut net = SimNet::new(1);
    net.start(vec![NodeSpec::new("one", vec![])]);
    let world = net.world();
    let operator = WorldNode::new("operator").client();
    let operator = world.add_bare_node(operator).expect("a new name");
    let there = "inproc://one#control".parse().expect("an endpoint");
    let connection = world.io(operator).connect(Plane::Control, &there);
    let route = Route::Connection(connection.expect("it is there"));
    let frame = ControlFrame {
        version: VERSION,
        sender: vec![9; 16],
        sender_incarnation: 1,
        request_id: 7,
        ..ControlFrame::default()
    };
    // A request (field 6) whose verb is field 99.
    let mut frame = encode(&frame).to_vec();
    frame.extend([0x32, 3, 0x98, 0x06, 1]);
    world.io(operator).send(&route, frame.into()).expect("room");

    let mut inbox = Inbox::new();
    let answer = loop {
        let limit = world.now() + Duration::from_secs(10);
        world.run_until_mail(operator, limit);
        world.io(operator).receive(&mut inbox);
        match inbox.pop().expect("an answer") {
            Event::Frame { frame, .. } => break frame,
            _ => continue,
        }
    };
    let answer = decode_control(&answer, &Bounds::DEFAULT).expect("a frame");
    let Some(Body::Response(response)) = answer.body else {
        panic!("{answer:?}");
    };
    assert_eq!(answer.request_id, 7);
    assert!(matches!(
        response.result,
        Some(response::Result::Refused(_))
    ));
}
