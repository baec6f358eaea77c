//! Capacity: limits that are never exceeded, and that change while everything runs.

mod live;
mod network;
mod overflow;
mod plot;
mod queue_time;
mod ramp;
mod senders;

use std::time::Duration;

use monofil_container::CallError;
use monofil_container::control::{LimitTo, Limits, SetLimit};
use monofil_inproc::{NodeKey, NodeSpec as WorldNode, World};
use monofil_proto::control::{
    ControlFrame, ReadLimits, Request, control_frame::Body, request::Verb, response,
};
use monofil_proto::{Bounds, VERSION, decode_control, encode};
use monofil_transport::{Event, Inbox, Plane, Route, Transport};

/// What a refusal says: limit, value, observed, place, and whether it says when to try again.
type Said = (String, u64, u64, String, bool);

fn said(error: &CallError) -> Said {
    let CallError::Rejected(it) = error else {
        panic!("{error}");
    };
    let (limit, place) = (it.limit.to_string(), it.place.to_string());
    (
        limit,
        it.value,
        it.observed,
        place,
        it.retry_after.is_some(),
    )
}

fn expected(limit: &str, value: u64, observed: u64, place: &str) -> Said {
    (limit.to_owned(), value, observed, place.to_owned(), true)
}

/// Somebody outside who speaks to the control plane of one node.
struct Operator {
    node: NodeKey,
    route: Route,
    asked: u64,
}

impl Operator {
    fn new(world: &mut World, of: &str) -> Self {
        let client = WorldNode::new(format!("operator-of-{of}")).client();
        let node = world.add_bare_node(client).expect("a new name");
        let there = format!("inproc://{of}#control").parse();
        let there = there.expect("an endpoint");
        let connection = world.io(node).connect(Plane::Control, &there);
        let route = Route::Connection(connection.expect("it is there"));
        Self {
            node,
            route,
            asked: 0,
        }
    }

    /// Sends a command, which takes effect when it arrives.
    fn send(&mut self, world: &mut World, verb: Verb) {
        self.asked += 1;
        let frame = ControlFrame {
            version: VERSION,
            sender: vec![9; 16],
            sender_incarnation: 1,
            request_id: self.asked,
            body: Some(Body::Request(Request { verb: Some(verb) })),
            ..ControlFrame::default()
        };
        let sent = world.io(self.node).send(&self.route, encode(&frame));
        sent.expect("room");
    }

    /// Sends a command and lets time pass until it is answered.
    fn ask(&mut self, world: &mut World, verb: Verb) -> response::Result {
        self.send(world, verb);
        let mut inbox = Inbox::new();
        loop {
            let limit = world.now() + Duration::from_secs(10);
            world.run_until_mail(self.node, limit);
            world.io(self.node).receive(&mut inbox);
            while let Some(event) = inbox.pop() {
                let Event::Frame { frame, .. } = event else {
                    continue;
                };
                let frame = decode_control(&frame, &Bounds::DEFAULT).expect("a good frame");
                if let Some(Body::Response(answer)) = frame.body
                    && frame.request_id == self.asked
                {
                    return answer.result.expect("an answer");
                }
            }
            assert!(world.now() < limit, "no answer");
        }
    }

    /// Changes a limit and returns what is said of it.
    fn set(&mut self, world: &mut World, change: SetLimit) -> Limits {
        match self.ask(world, Verb::SetLimit(change)) {
            response::Result::Limits(limits) => limits,
            other => panic!("{other:?}"),
        }
    }

    fn read(&mut self, world: &mut World) -> Limits {
        match self.ask(world, Verb::ReadLimits(ReadLimits {})) {
            response::Result::Limits(limits) => limits,
            other => panic!("{other:?}"),
        }
    }
}

/// A change of a component's limit, until the node ends.
fn change(component: &str, limit: &str, value: u64) -> SetLimit {
    SetLimit {
        component: component.to_owned(),
        limit: limit.to_owned(),
        to: LimitTo::Value.into(),
        value,
        author: "ada".to_owned(),
        ..SetLimit::default()
    }
}
