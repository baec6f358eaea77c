//! Good traffic, which goes on whatever others do.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use monofil_container::{Caller, Context, HandlerError, Message, Payload, Replies, Reply, Request};
use monofil_tests::{ComponentDef, Hooks, NodeSpec, component, hooked};

/// What becomes of calls from `two` to `one` and back to `two`.
#[derive(Default)]
pub(super) struct Traffic {
    pub(super) over: Cell<bool>,
    pub(super) begun: Cell<u64>,
    pub(super) answered: Cell<u64>,
    wrong: RefCell<Vec<String>>,
}

/// Two nodes, with the traffic between them.
pub(super) fn nodes(traffic: &Rc<Traffic>) -> Vec<NodeSpec> {
    let relay = component("relay", || {
        |cx: &mut Context, message: Message| {
            let ask = Request::new("echo", "Say", message.payload().clone());
            Ok(Reply::Payload(cx.call(ask)?))
        }
    });
    let mirror = component("mirror", || {
        |_, message: Message| Ok(Reply::Payload(message.payload().clone()))
    });
    let slow = component("slow", || {
        |cx: &mut Context, _| {
            cx.sleep(Duration::from_millis(1))?;
            Ok(Reply::Empty)
        }
    });
    let items = component("items", || {
        |_, _| {
            let items = (0..40).map(|_| Payload::bytes("an item"));
            Ok(Reply::Stream(Replies::from_items(items)))
        }
    });
    let echo = component("echo", || {
        |_, message: Message| Ok(Reply::Payload(message.payload().clone()))
    });
    vec![
        NodeSpec::new("one", vec![relay, mirror, slow, items]),
        NodeSpec::new("two", vec![echo, asks(traffic)]),
    ]
}

impl Traffic {
    /// Checks that all calls were answered as they should be, but for one that may be under way.
    pub(super) fn check(&self, label: &str) {
        let (begun, answered) = (self.begun.get(), self.answered.get());
        let wrong = self.wrong.borrow();
        assert!(wrong.is_empty(), "{label}: {wrong:?}");
        assert!(begun - answered <= 1, "{label}: {answered} of {begun}");
        assert!(answered >= 20, "{label}: {answered} calls are no traffic");
    }
}

/// Asks `relay` on and on.
fn asks(traffic: &Rc<Traffic>) -> ComponentDef {
    let traffic = traffic.clone();
    let tick = |cx: &mut Context| {
        let next = Request::new("asks", "Tick", Payload::default());
        cx.after(Duration::from_millis(10), next)
    };
    hooked("asks", move || {
        let traffic = traffic.clone();
        Hooks::new(move |cx, _| {
            if traffic.over.get() {
                return Ok(Reply::Empty);
            }
            let number = traffic.begun.get();
            traffic.begun.set(number + 1);
            let said = number.to_string();
            match cx.call(Request::new("relay", "Say", Payload::bytes(said.clone()))) {
                Ok(heard) if heard.to_bytes() == said => traffic.answered.set(number + 1),
                other => traffic
                    .wrong
                    .borrow_mut()
                    .push(format!("{said}: {other:?}")),
            }
            tick(cx)?;
            Ok::<_, HandlerError>(Reply::Empty)
        })
        .start(move |cx, _| Ok(tick(cx)?))
    })
}
