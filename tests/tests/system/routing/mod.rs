//! Where messages go.

mod choosing;
mod explanations;
mod horizons;
mod keys;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use monofil_container::{Caller, ComponentKind, Context, Message, Payload, Reply, Request};
use monofil_tests::{ComponentDef, component, text};

/// Who got how many.
type Tally = Rc<RefCell<BTreeMap<&'static str, u32>>>;

/// A component `echo` that says where it is.
fn echo(kind: ComponentKind, says: &'static str) -> ComponentDef {
    component("echo", move || {
        move |_: &mut Context, _: Message| Ok(Reply::Payload(Payload::bytes(says)))
    })
    .kind(kind)
}

fn say() -> Request {
    text("echo", "Say", "")
}

/// Calls and returns who answered.
fn asked(cx: &mut Context, request: Request) -> String {
    let answer = cx.call(request).expect("somebody answers");
    String::from_utf8_lossy(&answer.to_bytes()).into_owned()
}
