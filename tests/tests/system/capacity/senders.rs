//! Many senders, and one limit.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use monofil_container::{CallError, Caller, Context, Message, Reply};
use monofil_tests::{ComponentDef, Hooks, Net, NodeSpec, SimNet, component, hooked, seeds, text};

use super::{Operator, change, expected, said};

const SENDERS: [&str; 8] = ["s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7"];
const EACH: usize = 25;
const LIMIT: u64 = 100;
const HELD: Duration = Duration::from_secs(1);

type Ends = Rc<RefCell<Vec<Result<(), CallError>>>>;

/// Handles nothing before some time has passed.
fn worker() -> ComponentDef {
    component("worker", || {
        let mut first = true;
        move |cx: &mut Context, _: Message| {
            if std::mem::take(&mut first) {
                cx.sleep(HELD)?;
            }
            Ok(Reply::Empty)
        }
    })
}

/// Begins its calls within a tenth of a second, and notes how each ends.
fn sender(name: &'static str, ends: &Ends) -> ComponentDef {
    let ends = ends.clone();
    hooked(name, move || {
        let ends = ends.clone();
        Hooks::new(|_, _| Ok(Reply::Empty)).start(move |cx, _| {
            cx.sleep(Duration::from_millis(20))?;
            let mut calls = Vec::new();
            for _ in 0..EACH {
                let pause = cx.rng().between(Duration::ZERO, Duration::from_millis(8));
                cx.sleep(pause)?;
                calls.push(cx.start_call(text("worker", "Do", "")));
            }
            for call in calls {
                let end = cx.wait(call).map(drop);
                ends.borrow_mut().push(end);
            }
            Ok(())
        })
    })
}

/// Runs the senders against one limit, and returns how each call ended.
fn run(seed: u64, limit: &str) -> Vec<Result<(), CallError>> {
    let ends = Ends::default();
    let mut net = SimNet::new(seed);
    let of = |names: &[&'static str]| -> Vec<_> {
        names.iter().map(|name| sender(name, &ends)).collect()
    };
    // One of them is a neighbour of the worker's.
    let mut beside = of(&SENDERS[..1]);
    beside.push(worker());
    let mut nodes = vec![NodeSpec::new("one", beside)];
    nodes.extend(
        SENDERS[1..]
            .iter()
            .map(|name| NodeSpec::new(name, of(&[name]))),
    );
    net.start(nodes);
    let mut operator = Operator::new(net.world(), "one");
    operator.set(net.world(), change("test/worker", limit, LIMIT));
    net.world().run_for(3 * HELD);
    ends.take()
}

#[test]
fn of_eight_senders_never_more_are_admitted_than_the_limit() {
    for seed in seeds(100) {
        // The first is being handled and does not wait.
        let (limit, most) = match seed % 2 {
            0 => ("in_flight", LIMIT),
            _ => ("queue_messages", LIMIT + 1),
        };
        let ends = run(seed, limit);
        assert_eq!(ends.len(), SENDERS.len() * EACH, "seed {seed}");
        let refused: Vec<_> = ends.iter().filter_map(|end| end.as_ref().err()).collect();
        let admitted = (ends.len() - refused.len()) as u64;
        assert!(
            (LIMIT..=most).contains(&admitted),
            "seed {seed}: {admitted} with {limit}"
        );
        let refusal = expected(&format!("instance.{limit}"), LIMIT, LIMIT, "test/worker");
        for error in refused {
            assert_eq!(said(error), refusal, "seed {seed}");
        }
    }
}
