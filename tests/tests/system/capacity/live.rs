//! Limits that change while everything runs.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use monofil_container::control::{LimitDescription, LimitTo, SetLimit};
use monofil_container::{
    CallError, Caller, Context, GroupLimits, Limit, LimitError, LimitValue, Message, Payload,
    Reply, Request,
};
use monofil_inproc::World;
use monofil_proto::control::{request::Verb, response};
use monofil_tests::{ComponentDef, Hooks, Net, NodeSpec, SimNet, component, hooked, text};

use super::{Operator, Said, change, expected, said};

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Answers each message after ten milliseconds.
fn slow(name: &'static str) -> ComponentDef {
    component(name, || {
        |cx: &mut Context, _: Message| {
            cx.sleep(millis(10))?;
            Ok(Reply::Empty)
        }
    })
}

type Ends = Rc<RefCell<Vec<(u64, Option<Said>)>>>;

/// Calls at these milliseconds, `(at, target, flow, bytes)`, and notes in this order how each ended.
type Call = (u64, &'static str, &'static str, usize);

fn calls(calls: &'static [Call], ends: &Ends) -> ComponentDef {
    let ends = ends.clone();
    hooked("calls", move || {
        let ends = ends.clone();
        Hooks::new(|_, _| Ok(Reply::Empty)).start(move |cx, _| {
            let mut begun = Vec::new();
            for (at, target, flow, bytes) in calls {
                let pause =
                    Duration::from_millis(*at).saturating_sub(cx.now().since(Default::default()));
                cx.sleep(pause)?;
                let request = Request::new(*target, "Do", Payload::bytes(vec![0; *bytes]));
                begun.push((*at, cx.start_call(request.with_flow(*flow))));
            }
            for (at, call) in begun {
                let end = cx.wait(call).err().map(|error| said(&error));
                ends.borrow_mut().push((at, end));
            }
            Ok(())
        })
    })
}

/// Runs a table of calls to `one`, which an operator does something to at its beginning.
fn run(
    table: &'static [Call],
    operate: impl FnOnce(&mut Operator, &mut World),
) -> Vec<(u64, Option<Said>)> {
    let ends = Ends::default();
    let mut net = SimNet::new(1);
    net.start(vec![
        NodeSpec::new("one", vec![slow("a"), slow("b")])
            .configure(|config| config.limits.guaranteed_messages = 1),
        NodeSpec::new("two", vec![calls(table, &ends)]),
    ]);
    let mut operator = Operator::new(net.world(), "one");
    operate(&mut operator, net.world());
    net.world().run_for(Duration::from_secs(5));
    ends.take()
}

#[test]
fn lowering_a_limit_puts_nothing_out_and_admits_again_below_it() {
    const BURST: Call = (100, "a", "", 0);
    // Five at once, of which one is handled each ten milliseconds from about 101 on.
    let table = &[
        BURST,
        BURST,
        BURST,
        BURST,
        BURST,
        (112, "a", "", 0),
        (140, "a", "", 0),
    ];
    let ends = run(table, |operator, world| {
        world.run_for(millis(107));
        operator.set(world, change("a", "queue_messages", 2));
    });
    let (burst, later) = ends.split_at(5);
    assert!(burst.iter().all(|(_, end)| end.is_none()), "{burst:?}");
    // Three are waiting yet, and then one or none.
    let full = expected("instance.queue_messages", 2, 3, "test/a");
    assert_eq!(later, [(112, Some(full)), (140, None)]);
}

#[test]
fn each_limit_of_a_node_and_a_flow_is_named_when_it_refuses() {
    const TABLE: &[Call] = &[
        (100, "a", "checkout", 50),
        (100, "a", "checkout", 50),
        (100, "a", "checkout", 50),
        (100, "b", "", 50),
    ];
    let node = |limit: &str, value| SetLimit {
        node: true,
        ..change("", limit, value)
    };
    let flow = |limit: &str, value| SetLimit {
        flow: "checkout".to_owned(),
        ..change("", limit, value)
    };
    // They arrive together. The third call of the flow is one too many, or the fourth message of the node.
    let table = [
        (
            flow("queue_messages", 2),
            expected("flow.queue_messages", 2, 2, "checkout"),
            2,
        ),
        (
            flow("queue_bytes", 100),
            expected("flow.queue_bytes", 100, 150, "checkout"),
            2,
        ),
        (
            flow("in_flight", 2),
            expected("flow.in_flight", 2, 2, "checkout"),
            2,
        ),
        (
            flow("rate_messages", 20),
            expected("flow.rate_messages", 20, 30, "checkout"),
            2,
        ),
        (
            flow("rate_bytes", 1000),
            expected("flow.rate_bytes", 1000, 1500, "checkout"),
            2,
        ),
        (
            node("rate_messages", 30),
            expected("node.rate_messages", 30, 40, "one"),
            3,
        ),
        (
            node("rate_bytes", 1500),
            expected("node.rate_bytes", 1500, 2000, "one"),
            3,
        ),
        (
            change("a", "rate_messages", 20),
            expected("instance.rate_messages", 20, 30, "test/a"),
            2,
        ),
        (
            change("a", "rate_bytes", 1000),
            expected("instance.rate_bytes", 1000, 1500, "test/a"),
            2,
        ),
        (
            node("queue_messages", 2),
            expected("node.queue_messages", 2, 2, "one"),
            2,
        ),
        (
            node("in_flight", 2),
            expected("node.in_flight", 2, 2, "one"),
            2,
        ),
    ];
    for (change, refusal, number) in table {
        let name = change.limit.clone();
        let ends = run(TABLE, |operator, world| {
            operator.set(world, change);
        });
        for (at, (_, end)) in ends.iter().enumerate() {
            let is_refused = (at == number).then(|| refusal.clone());
            assert_eq!(*end, is_refused, "{name}: call {at} of {ends:?}");
        }
    }
}

/// When a refused call is worth trying again: never where nothing passes, and otherwise when what is there is done.
#[test]
fn a_refusal_says_when_trying_again_makes_sense() {
    let of = |component: &'static str, flow: &'static str, limit: &'static str, value| SetLimit {
        flow: flow.to_owned(),
        node: component.is_empty() && flow.is_empty(),
        ..change(component, limit, value)
    };
    let never = (Duration::from_secs(5), Duration::from_secs(5));
    let soon = |least, most| (millis(least), millis(most));
    // The handler takes 200 ms; the second call comes 100 ms after the first, so many more together with it.
    let table = [
        (of("a", "", "in_flight", 0), 0, never),
        (of("a", "", "queue_messages", 0), 0, never),
        (of("a", "", "rate_messages", 0), 0, never),
        (of("a", "", "rate_bytes", 0), 0, never),
        (of("", "", "in_flight", 0), 0, never),
        (of("", "checkout", "in_flight", 0), 0, never),
        (of("", "checkout", "rate_messages", 0), 0, never),
        (of("a", "", "in_flight", 1), 1, soon(40, 200)),
        (of("a", "", "in_flight", 3), 3, soon(120, 600)),
        (of("a", "", "queue_messages", 1), 2, soon(80, 400)),
        (of("", "", "in_flight", 1), 1, soon(40, 200)),
        (of("", "checkout", "in_flight", 1), 1, soon(40, 200)),
        // It is known exactly.
        (of("a", "", "rate_messages", 5), 1, soon(90, 100)),
    ];
    for (change, pass, (least, most)) in table {
        let name = format!("{change:?}");
        let said = Rc::<RefCell<Option<CallError>>>::default();
        let told = said.clone();
        let caller = hooked("calls", move || {
            let said = told.clone();
            Hooks::new(|_, _| Ok(Reply::Empty)).start(move |cx, _| {
                cx.sleep(millis(100))?;
                let ask = || text("a", "Do", "1").with_flow("checkout");
                let first = cx.start_call(ask());
                cx.sleep(millis(100))?;
                let others: Vec<_> = (1..pass).map(|_| cx.start_call(ask())).collect();
                cx.sleep(millis(1))?;
                *said.borrow_mut() = match pass {
                    0 => cx.wait(first).err(),
                    _ => cx.call(ask()).err(),
                };
                drop(others);
                Ok(())
            })
        });
        let works = component("a", || {
            |cx: &mut Context, _: Message| {
                cx.sleep(millis(200))?;
                Ok(Reply::Empty)
            }
        });
        let mut net = SimNet::new(1);
        net.start(vec![
            NodeSpec::new("one", vec![works])
                .configure(|config| config.limits.guaranteed_messages = 0),
            NodeSpec::new("two", vec![caller]),
        ]);
        let mut operator = Operator::new(net.world(), "one");
        operator.set(net.world(), change);
        net.world().run_for(Duration::from_secs(5));
        let Some(CallError::Rejected(it)) = said.take() else {
            panic!("{name}: it is not refused");
        };
        let after = it.retry_after.expect("a time");
        assert!(after >= least && after <= most, "{name}: {after:?}, {it:?}");
    }
}

/// Whoever refuses: of the limits that are asked before it none has counted the message.
#[test]
fn what_is_refused_costs_no_rate() {
    const TABLE: &[Call] = &[
        (100, "a", "checkout", 50),
        (100, "a", "checkout", 50),
        (100, "a", "checkout", 50),
        (100, "a", "", 50),
        (100, "a", "", 50),
    ];
    // One at once, of messages or of their bytes.
    let rates = |component: &str| {
        let rate = |limit: &str, value| SetLimit {
            component: component.to_owned(),
            node: component.is_empty(),
            ..change("a", limit, value)
        };
        [rate("rate_messages", 10), rate("rate_bytes", 500)]
    };
    for rate in rates("").into_iter().chain(rates("a")) {
        let name = format!("{}{}", rate.component, rate.limit);
        let ends = run(TABLE, |operator, world| {
            operator.set(world, rate);
            let none = SetLimit {
                flow: "checkout".to_owned(),
                ..change("", "in_flight", 0)
            };
            operator.set(world, none);
        });
        let kinds: Vec<_> = ends
            .iter()
            .map(|(_, end)| end.as_ref().map(|said| said.0.as_str()))
            .collect();
        let none = Some("flow.in_flight");
        let last = kinds[4].expect("refused");
        assert_eq!(kinds[..4], [none, none, none, None], "{name}");
        assert!(last.contains("rate"), "{name}: {last}");
    }
}

#[test]
fn a_flow_is_counted_with_what_is_there_when_it_is_first_limited() {
    const TABLE: &[Call] = &[
        (100, "a", "checkout", 0),
        (100, "a", "checkout", 0),
        (100, "a", "other", 0),
        (100, "b", "checkout", 0),
        (108, "b", "checkout", 0),
        (150, "b", "checkout", 0),
    ];
    let mut last = None;
    let ends = run(TABLE, |operator, world| {
        world.run_for(millis(104));
        let limit = |to: LimitTo| SetLimit {
            flow: "checkout".to_owned(),
            to: to.into(),
            ..change("", "in_flight", 2)
        };
        let there = operator.set(world, limit(LimitTo::Value));
        assert_eq!(there.limits[0].observed, 3);
        world.run_for(millis(1000));
        let limits = operator.read(world).limits;
        let of_flow = |it: &&LimitDescription| it.limit == "flow.in_flight";
        assert_eq!(
            limits.iter().find(of_flow).expect("it is limited").observed,
            0
        );
        operator.set(world, limit(LimitTo::Configured));
        last = operator
            .read(world)
            .limits
            .into_iter()
            .find(|it| of_flow(&it));
    });
    let refused = expected("flow.in_flight", 2, 3, "checkout");
    let ends: Vec<_> = ends.into_iter().map(|(_, end)| end).collect();
    assert_eq!(ends, [None, None, None, None, Some(refused), None]);
    assert_eq!(last, None, "nothing is kept of a flow without limits");
}

#[test]
fn a_flow_is_limited_as_configured_unless_somebody_says_otherwise() {
    let burst = |cx: &mut Context| -> Vec<Option<Said>> {
        let request = || text("a", "Do", "").with_flow("checkout");
        let calls = [(); 3].map(|()| cx.start_call(request()));
        let ends = calls.map(|call| cx.wait(call).err().map(|error| said(&error)));
        ends.into()
    };
    let ends: Rc<RefCell<Vec<Vec<Option<Said>>>>> = Rc::default();
    let slot = ends.clone();
    let source = hooked("source", move || {
        let slot = slot.clone();
        Hooks::new(|_, _| Ok(Reply::Empty)).start(move |cx, _| {
            for _ in 0..3 {
                cx.sleep(millis(1000))?;
                let ends = burst(cx);
                slot.borrow_mut().push(ends);
            }
            Ok(())
        })
    });
    let mut net = SimNet::new(1);
    net.start(vec![
        NodeSpec::new("one", vec![slow("a")]).configure(|config| {
            let limits = GroupLimits {
                in_flight: Some(2),
                ..GroupLimits::default()
            };
            config.flows.insert("checkout".into(), limits);
        }),
        NodeSpec::new("two", vec![source]),
    ]);
    let mut operator = Operator::new(net.world(), "one");
    let mut set = |world: &mut World, to: LimitTo| {
        let change = SetLimit {
            flow: "checkout".to_owned(),
            to: to.into(),
            ..change("", "in_flight", 1)
        };
        let limit = operator.set(world, change).limits.remove(0);
        (limit.value, limit.configured)
    };
    net.world().run_for(millis(1500));
    assert_eq!(set(net.world(), LimitTo::Value), (Some(1), Some(2)));
    net.world().run_for(millis(1000));
    assert_eq!(set(net.world(), LimitTo::Configured), (Some(2), Some(2)));
    net.world().run_for(millis(1000));
    let refused = |limit| Some(expected("flow.in_flight", limit, limit, "checkout"));
    let configured = vec![None, None, refused(2)];
    let changed = vec![None, refused(1), refused(1)];
    assert_eq!(ends.take(), [configured.clone(), changed, configured]);
}

#[test]
fn a_change_is_read_back_and_ends_by_itself() {
    run(&[], |operator, world| {
        let mut set = change("a", "rate_messages", 7);
        operator.set(world, set.clone());
        (set.value, set.for_micros) = (3, 60_000_000);
        let now = operator.set(world, set).limits.remove(0);
        let is = |limit: &LimitDescription, value, epoch, author: &str| {
            assert_eq!(
                (limit.limit.as_str(), limit.r#where.as_str()),
                ("instance.rate_messages", "test/a")
            );
            assert_eq!((limit.value, limit.configured), (Some(value), None));
            assert_eq!((limit.epoch, limit.author.as_str()), (epoch, author));
        };
        is(&now, 3, 2, "ada");
        assert_eq!(now.remaining_micros, 60_000_000);
        assert!(now.changed_micros > 0);
        let mut read = |world: &mut World| {
            let of_it = |it: &LimitDescription| it.epoch > 0;
            let limits = operator.read(world).limits;
            let [only] = &limits.into_iter().filter(of_it).collect::<Vec<_>>()[..] else {
                panic!("one was changed");
            };
            only.clone()
        };
        world.run_for(Duration::from_secs(59));
        is(&read(world), 3, 2, "ada");
        world.run_for(Duration::from_secs(2));
        let after = read(world);
        is(&after, 7, 3, "its time was over");
        assert_eq!(after.remaining_micros, 0);
    });
}

#[test]
fn what_cannot_be_set_is_refused_with_what_can() {
    run(&[], |operator, world| {
        let good = change("a", "queue_messages", 5);
        let table = [
            (
                SetLimit {
                    limit: "depth".into(),
                    ..good.clone()
                },
                "there is no limit `depth`; there are queue_messages, queue_bytes, in_flight, rate_messages, \
                 rate_bytes, queue_time",
            ),
            (
                SetLimit {
                    component: "c".into(),
                    ..good.clone()
                },
                "node `one` runs no `test/c`",
            ),
            (
                SetLimit {
                    to: LimitTo::Unlimited.into(),
                    ..good.clone()
                },
                "`queue_messages` of a component or a node always has a value: give one",
            ),
            (
                SetLimit {
                    component: String::new(),
                    node: true,
                    limit: "queue_time".into(),
                    ..good.clone()
                },
                "`queue_time` is a limit of components: set it for one",
            ),
            (
                SetLimit {
                    component: String::new(),
                    ..good.clone()
                },
                "it is not said whose limit it is: a component's, a flow's, a network's or the node's",
            ),
            (
                SetLimit {
                    node: true,
                    ..good.clone()
                },
                "a limit is of one component, flow or network, or of the node, and not of two of them",
            ),
            (
                SetLimit {
                    author: String::new(),
                    ..good.clone()
                },
                "whoever changes a limit says who that is",
            ),
            (
                SetLimit {
                    flow: "checkout".into(),
                    ..good.clone()
                },
                "a limit is of one component, flow or network, or of the node, and not of two of them",
            ),
            (
                SetLimit {
                    network: good.component.clone(),
                    ..good.clone()
                },
                "a limit is of one component, flow or network, or of the node, and not of two of them",
            ),
            (
                SetLimit { to: 0, ..good },
                "it is not said what the limit is to be",
            ),
        ];
        for (wrong, why) in table {
            match operator.ask(world, Verb::SetLimit(wrong)) {
                response::Result::Refused(refused) => assert_eq!(refused.reason, why),
                other => panic!("{other:?}"),
            }
        }
        let changed = operator.read(world).limits;
        assert!(changed.iter().all(|it| it.epoch == 0), "{changed:?}");
    });
}

#[test]
fn a_component_limits_itself() {
    let modest = component("modest", || {
        |cx: &mut Context, message: Message| {
            if message.method() == "Limit" {
                let refused = cx.set_limit(Limit::QueueBytes, LimitValue::Unlimited, None);
                assert_eq!(refused, Err(LimitError::AlwaysLimited(Limit::QueueBytes)));
                cx.set_limit(Limit::InFlight, LimitValue::At(1), Some(millis(500)))
                    .expect("it may");
                let own = cx.limits();
                let changed: Vec<_> = own.iter().filter(|it| it.change.is_some()).collect();
                assert_eq!(changed.len(), 1, "{own:?}");
                assert_eq!(
                    (changed[0].limit, changed[0].value),
                    (Limit::InFlight, Some(1))
                );
            }
            cx.sleep(millis(10))?;
            Ok(Reply::Empty)
        }
    });
    let mut net = SimNet::new(1);
    net.start(vec![NodeSpec::new("one", vec![modest])]);
    let net: &mut dyn Net = &mut net;
    let ends = net.run(|cx| {
        let both = |cx: &mut Context| -> Vec<Option<Said>> {
            let calls = [(); 2].map(|()| cx.start_call(text("modest", "Do", "")));
            let ends = calls.map(|call| cx.wait(call));
            let refusal = |end: Result<_, CallError>| end.err().map(|error| said(&error));
            ends.into_iter().map(refusal).collect()
        };
        cx.call(text("modest", "Limit", "")).expect("an answer");
        let limited = both(cx);
        cx.sleep(millis(500)).expect("time");
        [limited, both(cx)]
    });
    let refused = expected("instance.in_flight", 1, 1, "test/modest");
    assert_eq!(ends, [vec![None, Some(refused)], vec![None, None]]);
}
