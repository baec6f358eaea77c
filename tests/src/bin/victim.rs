//! A program whose handlers do what no handler should: `victim overflow sim|zmq`.
//!
//! The tests run it, because what it does ends the process.

use monofil_container::{Caller, Reply};
use monofil_tests::{Net, NodeSpec, Scheme, SimNet, ZmqNet, component, text};

/// Uses up the stack it runs on.
#[expect(unconditional_recursion, reason = "that is the point")]
fn descend(depth: u64) -> u64 {
    let room = std::hint::black_box([depth; 64]);
    room[0] + descend(depth + 1)
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (what, net) = (
        arguments.next().unwrap_or_default(),
        arguments.next().unwrap_or_default(),
    );
    let mut net: Box<dyn Net> = match net.as_str() {
        "sim" => Box::new(SimNet::new(1)),
        "zmq" => Box::new(ZmqNet::new(Scheme::Tcp)),
        other => panic!("no such net: `{other}`; there are sim and zmq"),
    };
    assert_eq!(what, "overflow", "all it can do is overflow");
    let deep = component("deep", || {
        |_, _| {
            descend(0);
            Ok(Reply::Empty)
        }
    });
    net.start(vec![NodeSpec::new("one", vec![deep])]);
    net.run(|cx| cx.call(text("deep", "Descend", "")).is_ok());
    println!("still alive");
}
