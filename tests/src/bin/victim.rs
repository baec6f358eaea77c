//! A program whose handlers do what no handler should: `victim overflow|stray|wait sim|zmq`.
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

/// Reads where nothing is, far from any stack.
#[expect(unsafe_code, reason = "that is the point")]
fn stray() -> u64 {
    let nowhere = std::hint::black_box(16 as *const u64);
    // SAFETY: none. The read faults, as the first page is never mapped, and the process ends.
    unsafe { nowhere.read_volatile() }
}

/// Waits for a signal from outside, holding the thread.
fn wait() -> u64 {
    println!("waiting");
    loop {
        std::thread::park();
    }
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
    let act: fn() -> u64 = match what.as_str() {
        "overflow" => || descend(0),
        "stray" => stray,
        "wait" => wait,
        other => panic!("it cannot `{other}`; it can overflow, stray and wait"),
    };
    let deep = component("deep", move || {
        move |_, _| {
            act();
            Ok(Reply::Empty)
        }
    });
    net.start(vec![NodeSpec::new("one", vec![deep])]);
    net.run(|cx| cx.call(text("deep", "Descend", "")).is_ok());
    println!("still alive");
}
