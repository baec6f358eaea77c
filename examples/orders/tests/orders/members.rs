//! The shop without anybody knowing where anybody is: one address of one process is all that they are told.

use monofil_tests::{Place, Program, eventually, free_port};
use monofil_transport::Stream;
use rustix::process::Signal;

use crate::shop::{COMPONENTS, Summary, seed, shop};

/// Returns what a component's process says of itself.
fn described(place: &Place, at: u16, component: &str) -> String {
    let described = place.run(&format!(
        "describe {component} --json --transport tcp --at tcp://127.0.0.1:{at} --set log.level=error"
    ));
    assert_eq!(described.code, Some(0), "{described:?}");
    described.out
}

#[test]
fn five_processes_in_any_order_need_one_address() {
    let place = shop();
    let mut random = Stream::new(seed(), "tests/members");
    let mut order = COMPONENTS;
    random.shuffle(&mut order);
    // Whoever is the seed may come last.
    let first = order[usize::try_from(random.below(5)).expect("small")];
    let port = free_port();
    let join = format!("--join 127.0.0.1:{port} --log-level warn");
    println!("started in this order: {order:?}; the seed is {first}");
    let job = place.start(&format!(
        "run customers {join} --generate 200 --stock 50 --json"
    ));
    let mut components: Vec<(&str, Program)> = order
        .iter()
        .map(|name| {
            let listen = if *name == first {
                port.to_string()
            } else {
                "*".to_owned()
            };
            let listen = format!("--listen tcp://127.0.0.1:{listen} --control tcp://127.0.0.1:*");
            let run = format!("run {name} {join} {listen}");
            (*name, place.start(&run))
        })
        .collect();
    let ended = job.wait();
    assert_eq!((ended.code, &*ended.err), (Some(0), ""), "{ended:?}");
    let summary = Summary::of(&ended);
    assert!(summary.books.balanced, "{ended:?}");

    let seen = described(&place, port, first);
    for name in COMPONENTS.iter().filter(|name| **name != first) {
        assert!(seen.contains(&format!("orders/{name}")), "{seen}");
    }
    // Who leaves is gone from the seed's view; who is killed soon after.
    for how in [Signal::TERM, Signal::KILL] {
        let at = components
            .iter()
            .position(|(name, _)| *name != first)
            .expect("one is left");
        let (name, process) = components.remove(at);
        process.signal(how);
        let _ = process.wait();
        eventually("it is seen to be down", || {
            let seen = described(&place, port, first);
            let start = seen.find("\"members\"").expect("members");
            let mut members = seen[start..].split("\"components\"").skip(1);
            members.all(|member| {
                !member.contains(&format!("\"name\": \"{name}\"")) || member.contains("\"down\"")
            })
        });
    }
    for (_, process) in &components {
        process.signal(Signal::TERM);
    }
    for (_, process) in components {
        assert_eq!(process.wait().code, Some(0));
    }
}
