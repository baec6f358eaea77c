//! A program whose handlers do what no handler should: `victim overflow|stray|wait|stacks sim|zmq`; or one end of
//! a link under load, to be killed or stopped: `victim sends|takes ..`.
//!
//! The tests run it, because what it does ends the process or takes all it has.

mod pair;

use std::time::Duration;

use monofil_container::{CallError, Caller, Context, InstanceLimits, Message, Reply};
use monofil_tests::{Net, NodeSpec, Scheme, SimNet, ZmqNet, component, text};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

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
    if pair::run(&mut std::env::args().skip(1)) {
        return;
    }
    let (what, net) = (
        arguments.next().unwrap_or_default(),
        arguments.next().unwrap_or_default(),
    );
    let mut net: Box<dyn Net> = match net.as_str() {
        "sim" => Box::new(SimNet::new(1)),
        "zmq" => Box::new(ZmqNet::new(Scheme::Tcp)),
        other => panic!("no such net: `{other}`; there are sim and zmq"),
    };
    if what == "stacks" {
        stacks(&mut *net);
        return;
    }
    let act: fn() -> u64 = match what.as_str() {
        "overflow" => || descend(0),
        "stray" => stray,
        "wait" => wait,
        other => panic!("it cannot `{other}`; it can overflow, stray, wait and use up stacks"),
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

/// How many handlers want a stack at once.
const MANY: usize = 64;
/// How large each of these is.
const STACK_BYTES: usize = 8 << 20;
/// How much address space all of them may take.
const ROOM: u64 = 128 << 20;

/// Holds more stacks than the process may have.
fn stacks(net: &mut dyn Net) {
    let holds = component("holds", || {
        |cx: &mut Context<'_>, message: Message| {
            if message.method() == "Hold" {
                cx.sleep(Duration::from_secs(3600))?;
            }
            Ok(Reply::Empty)
        }
    });
    let holds = holds.limits(InstanceLimits {
        stack_bytes: STACK_BYTES,
        ..InstanceLimits::default()
    });
    net.start(vec![NodeSpec::new("one", vec![holds; MANY])]);
    net.run(|cx| {
        // Everything has started and is connected.
        cx.call(text("holds", "Do", "")).expect("an answer");
        limit_address_space();
        let held: Vec<_> = (0..MANY)
            .map(|_| cx.start_call(text("holds", "Hold", "")))
            .collect();
        cx.sleep(Duration::from_millis(200)).expect("time");
        let (over, held): (Vec<_>, Vec<_>) = held.into_iter().partition(|call| call.is_ready());
        assert!(
            !over.is_empty() && held.len() > 4,
            "{} {}",
            over.len(),
            held.len()
        );
        for call in over {
            let error = cx.wait(call).expect_err("a refusal");
            let CallError::Rejected(rejection) = error else {
                panic!("{error}");
            };
            assert_eq!(rejection.limit, "node.stacks");
            assert!(rejection.value >= held.len() as u64, "{rejection:?}");
        }
        drop(held);
        cx.sleep(Duration::from_millis(50)).expect("time");
        for _ in 0..MANY {
            cx.call(text("holds", "Do", "")).expect("an answer");
        }
    });
    println!("some held, some refused by node.stacks, all served afterwards");
}

/// Leaves room for a few stacks more than there are.
fn limit_address_space() {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
    let kib = size.and_then(|size| size.trim().trim_end_matches(" kB").parse().ok());
    let kib: u64 = kib.expect("a size in kB");
    let limit = Rlimit {
        current: Some((kib << 10) + ROOM),
        ..getrlimit(Resource::As)
    };
    setrlimit(Resource::As, limit).expect("a lower limit");
}
