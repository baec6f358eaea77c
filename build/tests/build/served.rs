//! Generated components, served to generated clients by a container in a simulated world.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use monofil::{
    CallError, Caller, Code, Component, ComponentSpec, Container, ContainerConfig, Context,
    HandlerError, Message, Payload, Replies, Reply, Request, StartReason, Status, Undelivered,
};
use monofil_inproc::{NodeSpec, World, WorldConfig};

use crate::generated::hello::{Greeter, GreeterClient, GreeterServer, HelloReply, HelloRequest};
use crate::generated::shop::orders::{Audit, AuditClient, AuditServer, order};
use crate::generated::{Bare, BareClient, BareServer, Text};

/// What the components do, one line each.
type Log = Rc<RefCell<Vec<String>>>;

struct Polite(Log);

impl Greeter for Polite {
    fn say_hello(&mut self, _: &mut Context, request: HelloRequest) -> Result<HelloReply, Status> {
        if request.name.is_empty() {
            return Err(Status::invalid_argument("nobody to greet"));
        }
        Ok(HelloReply {
            text: format!("Hello, {}!", request.name),
        })
    }

    fn say_again(
        &mut self,
        _: &mut Context,
        request: HelloRequest,
    ) -> Result<Replies<HelloReply>, Status> {
        Ok(Replies::from_items((1..=3).map(move |n| HelloReply {
            text: format!("{} {n}", request.name),
        })))
    }

    fn on_start(&mut self, _: &mut Context, reason: StartReason) -> Result<(), Status> {
        self.0.borrow_mut().push(format!("started: {reason:?}"));
        Ok(())
    }

    fn on_stop(&mut self, _: &mut Context) {
        self.0.borrow_mut().push("stopped".into());
    }
}

struct Echo;

impl Bare for Echo {
    fn echo(&mut self, _: &mut Context, request: Text) -> Result<Text, Status> {
        Ok(request)
    }
}

struct Auditor(Log);

impl Audit for Auditor {
    fn saw(&mut self, _: &mut Context, request: order::Change) -> Result<(), Status> {
        self.0.borrow_mut().push(format!("saw: {}", request.text));
        Ok(())
    }
}

/// Casts to the script, which is busy, when it gets anything, and writes down what came back.
struct Sender(Log);

impl Bare for Sender {
    fn echo(&mut self, cx: &mut Context, request: Text) -> Result<Text, Status> {
        let script = BareClient::new("script").with_deadline(Duration::from_secs(1));
        script.cast_echo(cx, request.clone())?;
        Ok(request)
    }

    fn on_undelivered(&mut self, _: &mut Context, undelivered: Undelivered) {
        let Undelivered { method, error, .. } = undelivered;
        self.0
            .borrow_mut()
            .push(format!("undelivered: {method}: {}", error.kind()));
    }
}

/// Runs a function once, when it gets its first message.
struct Script<F>(F);

impl<F: FnMut(&mut Context) + 'static> Component for Script<F> {
    fn start(&mut self, cx: &mut Context, _: StartReason) -> Result<(), Status> {
        Ok(cx.after(
            Duration::from_millis(1),
            Request::new("script", "Run", Payload::default()),
        )?)
    }

    fn handle(&mut self, cx: &mut Context, _: Message) -> Result<Reply, HandlerError> {
        (self.0)(cx);
        cx.shut_down();
        Ok(Reply::Empty)
    }
}

/// Runs a script beside all the components until the node has ended, and returns what they did.
fn run(script: impl FnMut(&mut Context) + Clone + 'static) -> Vec<String> {
    let log = Log::default();
    let ran = Rc::new(Cell::new(false));
    let mut world = World::new(WorldConfig::with_seed(7));
    let (made, done) = (Rc::clone(&log), Rc::clone(&ran));
    let node = world.add_node(NodeSpec::new("node"), move |_| {
        let log = Rc::clone(&made);
        let mut config = ContainerConfig::new("app", "node");
        let (polite, audit, sender) = (Rc::clone(&log), Rc::clone(&log), Rc::clone(&log));
        let (script, done) = (script.clone(), Rc::clone(&done));
        config.components = vec![
            ComponentSpec::new("app/greeter", move || {
                (
                    GreeterServer::new(Polite(Rc::clone(&polite))),
                    BareServer::new(Echo),
                )
            }),
            ComponentSpec::new("app/audit", move || {
                AuditServer::new(Auditor(Rc::clone(&audit)))
            }),
            ComponentSpec::new("app/sender", move || {
                BareServer::new(Sender(Rc::clone(&sender)))
            }),
            ComponentSpec::new("app/script", move || {
                let (mut script, done) = (script.clone(), Rc::clone(&done));
                Script(move |cx: &mut Context| {
                    script(cx);
                    done.set(true);
                })
            }),
        ];
        Box::new(Container::new(config))
    });
    world.run_for(Duration::from_secs(60));
    assert!(ran.get(), "the script ends without a panic");
    assert!(world.has_ended(node.unwrap()));
    log.take()
}

fn named(name: &str) -> HelloRequest {
    HelloRequest { name: name.into() }
}

#[test]
fn a_call_reaches_its_method_and_its_reply_comes_back() {
    let log = run(|cx| {
        let greeter = GreeterClient::new("greeter");
        assert_eq!(
            greeter.say_hello(cx, named("Ada")).unwrap().text,
            "Hello, Ada!"
        );
        let both = ["Ben", "Cyd"].map(|name| greeter.start_say_hello(cx, named(name)));
        let texts = both.map(|pending| pending.wait(cx).unwrap().text);
        assert_eq!(texts, ["Hello, Ben!", "Hello, Cyd!"]);
        // The other service of the same component.
        let text = Text {
            text: "echo".into(),
        };
        assert_eq!(BareClient::new("greeter").echo(cx, text.clone()), Ok(text));
    });
    assert_eq!(log, ["started: First", "stopped"]);
}

#[test]
fn a_stream_is_pulled_to_its_end() {
    run(|cx| {
        let mut replies = GreeterClient::new("greeter").say_again(cx, named("again"));
        for text in ["again 1", "again 2", "again 3"] {
            assert_eq!(replies.next(cx), Some(Ok(HelloReply { text: text.into() })));
        }
        assert_eq!(replies.next(cx), None);
    });
}

#[test]
fn a_call_that_fails_says_why() {
    run(|cx| {
        let error = GreeterClient::new("greeter")
            .say_hello(cx, named(""))
            .unwrap_err();
        assert_eq!(
            error.status().map(Status::code),
            Some(Code::InvalidArgument)
        );

        let unknown = Request::new("greeter", "hello.Greeter/SayBye", Payload::default());
        assert!(matches!(cx.call(unknown), Err(CallError::Unimplemented(_))));

        let garbage = Request::new("greeter", "hello.Greeter/SayHello", Payload::bytes("\u{7}"));
        assert!(matches!(cx.call(garbage), Err(CallError::Malformed(_))));
    });
}

#[test]
fn what_is_published_reaches_the_method_that_names_the_topic() {
    let log = run(|cx| {
        let change = order::Change {
            text: "paid".into(),
        };
        assert_eq!(AuditClient::publish_saw(cx, &change), Ok(1));
        cx.sleep(Duration::from_millis(10)).unwrap();
    });
    assert!(log.contains(&"saw: paid".to_owned()), "{log:?}");
}

#[test]
fn a_cast_that_was_not_handled_comes_back() {
    let log = run(|cx| {
        BareClient::new("sender").echo(cx, Text::default()).unwrap();
        cx.sleep(Duration::from_secs(10)).unwrap();
    });
    let back = "undelivered: Bare/Echo: expired".to_owned();
    assert!(log.contains(&back), "{log:?}");
}
