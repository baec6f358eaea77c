//! What the generated clients send, and what the constants say.

use std::time::Duration;

use monofil::{
    CallError, Caller, Component, Context, Method, Payload, RawPending, RawReplies, Replies,
    Request, Status,
};

use crate::generated::hello::{
    GREETER, Greeter, GreeterClient, GreeterServer, HelloReply, HelloRequest,
};
use crate::generated::shop::orders::{AuditClient, IDLE, ORDERS, Order, OrdersClient, order};
use crate::generated::{Bare, BareServer, Text, shop};

/// Writes down what is sent, and answers with what is put in.
#[derive(Default)]
struct Recorder {
    sent: Vec<String>,
    published: Vec<(String, Payload)>,
    answer: Payload,
}

impl Caller for Recorder {
    fn call(&mut self, request: Request) -> Result<Payload, CallError> {
        self.sent.push(format!("call {request:?}"));
        Ok(self.answer.clone())
    }

    fn start_call(&mut self, _: Request) -> RawPending {
        unreachable!("nothing here starts a call")
    }

    fn wait(&mut self, _: RawPending) -> Result<Payload, CallError> {
        unreachable!("nothing here starts a call")
    }

    fn cast(&mut self, request: Request) -> Result<u64, CallError> {
        self.sent.push(format!("cast {request:?}"));
        Ok(self.sent.len() as u64)
    }

    fn publish(&mut self, topic: &str, payload: Payload) -> Result<usize, CallError> {
        self.published.push((topic.into(), payload));
        Ok(3)
    }

    fn start_stream(&mut self, _: Request) -> RawReplies {
        unreachable!("nothing here starts a stream")
    }

    fn next_item(&mut self, _: &mut RawReplies) -> Option<Result<Payload, CallError>> {
        unreachable!("nothing here starts a stream")
    }
}

fn assert_sent(sent: &str, verb: &str, parts: &[&str]) {
    assert!(sent.starts_with(verb), "{sent}");
    for part in parts {
        assert!(sent.contains(part), "no {part} in {sent}");
    }
}

#[test]
fn a_call_carries_what_its_method_says() {
    let reply = HelloReply {
        text: "Hello, Ada!".into(),
    };
    let mut cx = Recorder {
        answer: Payload::protobuf(&reply),
        ..Recorder::default()
    };
    let greeter = GreeterClient::new("greeter");
    let request = HelloRequest { name: "Ada".into() };
    assert_eq!(greeter.say_hello(&mut cx, request), Ok(reply));
    assert_sent(
        &cx.sent[0],
        "call",
        &["\"greeter\"", "hello.Greeter/SayHello", "deadline: None"],
    );

    // A caller may be a trait object.
    let orders = OrdersClient::new("shop/orders");
    let cx_dyn: &mut dyn Caller = &mut cx;
    _ = orders.place(cx_dyn, Order::default());
    assert_sent(
        &cx.sent[1],
        "call",
        &["1.5s", "checkout", "idempotent: true"],
    );
}

#[test]
fn a_client_overrides_deadline_and_flow() {
    let mut cx = Recorder::default();
    let orders = OrdersClient::new("orders")
        .with_deadline(Duration::from_secs(7))
        .with_flow("vip");
    orders.cast_place(&mut cx, Order::default()).unwrap();
    assert_sent(
        &cx.sent[0],
        "cast",
        &["shop.orders.Orders/Place", "7s", "vip"],
    );
    assert_eq!(
        orders.place_request(&Order::default()).method(),
        &"shop.orders.Orders/Place"
    );
}

#[test]
fn empty_and_wrapped_values_are_plain_rust() {
    let mut cx = Recorder::default();
    let orders = OrdersClient::new("orders");
    assert_eq!(orders.ping(&mut cx, ()), Ok(()));
    cx.answer = Payload::protobuf(&3_u64);
    assert_eq!(orders.count(&mut cx, "open".to_owned()), Ok(3));
}

#[test]
fn publishing_needs_no_target() {
    let mut cx = Recorder::default();
    let change = order::Change {
        text: "paid".into(),
    };
    assert_eq!(AuditClient::publish_saw(&mut cx, &change), Ok(3));
    assert_eq!(
        cx.published,
        [("orders.changes".to_owned(), Payload::protobuf(&change))]
    );
}

#[test]
fn names_that_rust_has_are_escaped() {
    let mut cx = Recorder::default();
    let orders = OrdersClient::new("orders");
    assert_eq!(
        orders.r#match(&mut cx, Order::default()),
        Ok(shop::orders::Result::default())
    );
    orders.cast_match(&mut cx, Order::default()).unwrap();
    assert_sent(&cx.sent[1], "cast", &["shop.orders.Orders/Match"]);
    assert_eq!(
        OrdersClient::into(&orders, &mut cx, Order::default()),
        Ok(shop::Money::default())
    );
}

#[test]
fn constants_say_what_the_methods_are() {
    let said = |method: &Method| {
        let Method {
            streaming,
            idempotent,
            deadline,
            flow,
            topic,
            ..
        } = method;
        let name = method.short_name();
        format!("{name} {streaming} {idempotent} {deadline:?} {flow:?} {topic:?}")
    };
    assert_eq!(
        ORDERS.methods.iter().map(said).collect::<Vec<_>>(),
        [
            "Place false true Some(1.5s) Some(\"checkout\") None",
            "Changed false false None None Some(\"orders.changes\")",
            "Ping false true Some(120s) None None",
            "Count false false None None None",
            "Since true false None None None",
            "Match false false None None None",
            "Into false false None None None",
        ]
    );
    assert_eq!((GREETER.service, IDLE.methods.len()), ("hello.Greeter", 0));
}

struct Echo;

impl Bare for Echo {
    fn echo(&mut self, _: &mut Context, request: Text) -> Result<Text, Status> {
        Ok(request)
    }
}

impl Greeter for Echo {
    fn say_hello(&mut self, _: &mut Context, _: HelloRequest) -> Result<HelloReply, Status> {
        Err(Status::unimplemented("not today"))
    }

    fn say_again(
        &mut self,
        _: &mut Context,
        request: HelloRequest,
    ) -> Result<Replies<HelloReply>, Status> {
        Ok(Replies::from_items([HelloReply { text: request.name }]))
    }
}

#[test]
fn two_services_make_one_component() {
    type Both = (GreeterServer<Echo>, BareServer<Echo>);
    let services: Vec<_> = Both::interfaces()
        .iter()
        .map(|interface| interface.service)
        .collect();
    assert_eq!(services, ["hello.Greeter", "Bare"]);

    let both = (GreeterServer::new(Echo), BareServer::new(Echo));
    assert!(both.accepts("hello.Greeter/SayHello"));
    assert!(both.accepts("Bare/Echo"));
    assert!(!both.accepts("hello.GreeterTwo/SayHello"));
    let Echo = both.0.into_inner();
}
