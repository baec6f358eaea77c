use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use monofil_container::{
    CallError, Caller, ComponentKind, ContainerConfig, Context, Counter, Distance, Horizon,
    InstanceLimits, Message, Overflow, Reply, Request,
};
use monofil_proto::control::{Explain, request::Verb};
use monofil_tests::{ComponentDef, Hooks, component, hooked, text};

use super::{echo, say};
use crate::village::{SECOND, Village, seeds};

/// What is sent, and how it ends: a call; a cast, and whether it comes back.
type Seen = Rc<RefCell<Vec<(&'static str, bool)>>>;

/// A node with an `echo`, and another one, configured by the test, that sends it a request as a call and as a cast.
/// Tells whether the call was answered; whether the cast was taken, and how many were dropped.
fn sends(
    host: &'static str,
    configure: impl Fn(&mut ContainerConfig) + 'static,
    request: impl Fn() -> Request + 'static,
) -> (Result<(), CallError>, Result<(), CallError>, u64) {
    let mut village = Village::new(1);
    let membership = seeds(&["there"]);
    let there = vec![echo(ComponentKind::Stateless, "there")];
    village.join_as("there", &membership, there, move |config| {
        config.host = host.into()
    });
    type Results = Rc<RefCell<Option<(Result<(), CallError>, Result<(), CallError>)>>>;
    let results: Results = Rc::default();
    let (slot, request) = (results.clone(), Rc::new(request));
    let main = hooked("main", move || {
        let (slot, request) = (slot.clone(), request.clone());
        Hooks::new(|_: &mut Context, _: Message| Ok(Reply::Empty)).start(move |cx, _| {
            cx.sleep(SECOND * 3)?;
            let called = cx.call(request()).map(drop);
            let cast = cx.cast(request());
            *slot.borrow_mut() = Some((called, cast.map(drop)));
            Ok(())
        })
    });
    let here = village.join_as("here", &membership, vec![main], move |config| {
        config.host = "this machine".into();
        configure(config);
    });
    village.run(SECOND * 5);
    let (called, cast) = results.borrow_mut().take().expect("it was sent");
    let dropped = village.counter(here, Counter::CastsBeyondHorizon);
    (called, cast, dropped)
}

/// Tells whether a message was stopped, and whose horizon that was.
fn is_stopped_by(result: &Result<(), CallError>, whose: &str) -> bool {
    let says = format!("may travel to `host`: of all horizons, {whose} is the nearest");
    matches!(result, Err(CallError::HorizonExceeded(text)) if text.ends_with(&says))
}

fn is_too_far(result: &Result<(), CallError>) -> bool {
    matches!(result, Err(CallError::HorizonExceeded(_)))
}

#[test]
fn a_message_goes_no_farther_than_each_of_its_horizons() {
    let near = || Horizon::new(Distance::Host);
    type Configure = fn(&mut ContainerConfig);
    let set: [(&str, Configure); 5] = [
        ("none", |_| {}),
        ("that of the network", |config| {
            config.horizons.network = Horizon::new(Distance::Host);
        }),
        ("that of the app", |config| {
            config.horizons.app = Horizon::new(Distance::Host);
        }),
        ("that of the component", |config| {
            let near = Horizon::new(Distance::Host);
            config.horizons.components.insert("test/echo".into(), near);
        }),
        ("that of its flow", |config| {
            let near = Horizon::new(Distance::Host);
            config.horizons.flows.insert("checkout".into(), near);
        }),
    ];
    let of_flow = || say().with_flow("checkout");
    for (what, configure) in set {
        for (host, is_far) in [("another", true), ("this machine", false)] {
            let (called, cast, dropped) = sends(host, configure, of_flow);
            let expected = is_far && what != "none";
            for sent in [called, cast] {
                assert_eq!(sent.is_err(), expected, "{what} {host}: {sent:?}");
                assert_eq!(is_stopped_by(&sent, what), expected, "{sent:?}");
            }
            assert_eq!(dropped, 0, "{what} {host}");
        }
    }
    // Its own.
    let (called, ..) = sends("another", |_| {}, move || say().within(near()));
    assert!(is_stopped_by(&called, "its own"), "{called:?}");
    let (called, ..) = sends("this machine", |_| {}, move || say().within(near()));
    assert_eq!(called, Ok(()));
    // Nobody here runs it.
    let process = || say().within(Horizon::new(Distance::Process));
    let (called, ..) = sends("this machine", |_| {}, process);
    assert!(is_too_far(&called), "{called:?}");
}

#[test]
fn without_bounce_a_cast_is_dropped_and_counted() {
    let drops = || say().within(Horizon::new(Distance::Host).dropping());
    let (called, cast, dropped) = sends("another", |_| {}, drops);
    assert!(is_too_far(&called), "a caller waits, and hears of it");
    assert_eq!((cast, dropped), (Ok(()), 1));
}

/// Sends a call and a cast, for which there is nobody yet, and has somebody come on a machine. Returns what became of the
/// call, how many casts came back, how many were dropped, and how many messages were handled.
fn waits_for(host: &'static str, horizon: Horizon) -> (Result<(), CallError>, usize, u64, usize) {
    let mut village = Village::new(1);
    let membership = seeds(&["there"]);
    let called: Rc<RefCell<Option<Result<(), CallError>>>> = Rc::default();
    let returned: Rc<RefCell<usize>> = Rc::default();
    let (slot, back) = (called.clone(), returned.clone());
    let main = hooked("main", move || {
        let (slot, back) = (slot.clone(), back.clone());
        Hooks::new(|_: &mut Context, _: Message| Ok(Reply::Empty))
            .start(move |cx, _| {
                let request = || say().with_deadline(SECOND * 20);
                cx.cast(request())?;
                *slot.borrow_mut() = Some(cx.call(request()).map(drop));
                Ok(())
            })
            .undelivered(move |_, it| {
                *back.borrow_mut() += usize::from(is_too_far(&Err(it.error)));
            })
    });
    let here = village.join_as("here", &membership, vec![main], move |config| {
        config.host = "this machine".into();
        config.horizons.network = horizon;
    });
    village.run(SECOND * 3);
    assert!(called.borrow().is_none(), "it waits");
    let handled: Rc<RefCell<usize>> = Rc::default();
    let count = handled.clone();
    let echo = component("echo", move || {
        let count = count.clone();
        move |_: &mut Context, _: Message| {
            *count.borrow_mut() += 1;
            Ok(Reply::Empty)
        }
    });
    village.join_as("there", &membership, vec![echo], move |config| {
        config.host = host.into()
    });
    village.run(SECOND * 5);
    let ended = called.borrow_mut().take().expect("somebody came");
    let dropped = village.counter(here, Counter::CastsBeyondHorizon);
    let (returned, handled) = (*returned.borrow(), *handled.borrow());
    (ended, returned, dropped, handled)
}

#[test]
fn what_waited_for_a_component_to_come_goes_no_farther_either() {
    let near = Horizon::new(Distance::Host);
    assert_eq!(waits_for("this machine", near), (Ok(()), 0, 0, 2));
    assert_eq!(waits_for("another", Horizon::default()), (Ok(()), 0, 0, 2));
    let (called, returned, dropped, handled) = waits_for("another", near);
    assert!(is_stopped_by(&called, "that of the network"), "{called:?}");
    assert_eq!((returned, dropped, handled), (1, 0, 0));
    let (called, returned, dropped, handled) = waits_for("another", near.dropping());
    assert!(is_too_far(&called), "{called:?}");
    assert_eq!((returned, dropped, handled), (0, 1, 0));
}

#[test]
fn what_runs_here_is_within_every_horizon() {
    let mut village = Village::new(1);
    let membership = seeds(&["n0"]);
    let seen: Seen = Rc::default();
    let written = seen.clone();
    let main = hooked("main", move || {
        let written = written.clone();
        Hooks::new(|_: &mut Context, _: Message| Ok(Reply::Empty)).start(move |cx, _| {
            let process = Horizon::new(Distance::Process);
            let is_answered = cx.call(say().within(process)).is_ok();
            written.borrow_mut().push(("here", is_answered));
            let elsewhere = text("nobody", "Say", "").within(process);
            let is_refused = is_too_far(&cx.call(elsewhere).map(drop));
            written.borrow_mut().push(("elsewhere", is_refused));
            Ok(())
        })
    });
    let components = vec![echo(ComponentKind::Stateless, "n0"), main];
    village.join_as("n0", &membership, components, |config| {
        config.horizons.network = Horizon::new(Distance::Process);
    });
    village.run(SECOND);
    assert_eq!(*seen.borrow(), [("here", true), ("elsewhere", true)]);
}

/// Has room for one message besides the one that it handles for a second; what is more is spilled.
fn narrow(handled: &Rc<RefCell<Vec<&'static str>>>, node: &'static str) -> ComponentDef {
    let handled = handled.clone();
    let narrow = component("narrow", move || {
        let handled = handled.clone();
        move |cx: &mut Context, _: Message| {
            handled.borrow_mut().push(node);
            cx.sleep(SECOND)?;
            Ok(Reply::Empty)
        }
    });
    let narrow = narrow.limits(InstanceLimits {
        queue_messages: 1,
        overflow: Some(Overflow::Spill),
        ..InstanceLimits::default()
    });
    narrow.kind(ComponentKind::Stateless)
}

/// What became of four messages that were sent, one shortly after the other, to a node with room for two, on the sender's machine; another
/// node with as much room is on another machine.
#[derive(Debug, Default, PartialEq, Eq)]
struct Spilled {
    near: usize,
    far: usize,
    /// Calls that were refused for want of room, and casts that came back because of that.
    refused: usize,
    /// Casts that were dropped where there was no room.
    dropped: u64,
}

fn spills(
    as_calls: bool,
    request: impl Fn() -> Request + 'static,
    here: impl Fn(&mut ContainerConfig) + 'static,
    near: impl Fn(&mut ContainerConfig) + 'static,
) -> Spilled {
    let mut village = Village::new(1);
    let membership = seeds(&["near"]);
    let handled: Rc<RefCell<Vec<&'static str>>> = Rc::default();
    let near = village.join_as("near", &membership, vec![narrow(&handled, "near")], {
        move |config| {
            config.host = "this machine".into();
            near(config);
        }
    });
    village.join("far", &membership, vec![narrow(&handled, "far")]);
    village.run(SECOND * 2);
    // A first look has everybody connected to.
    village.ask(
        near,
        Verb::Explain(Explain {
            component: "test/narrow".to_owned(),
            ..Explain::default()
        }),
    );
    let refused: Rc<RefCell<usize>> = Rc::default();
    let (note, request) = (refused.clone(), Rc::new(request));
    let is_refused = |error: &CallError| matches!(error, CallError::Rejected(_));
    let main = hooked("main", move || {
        let (note, back, request) = (note.clone(), note.clone(), request.clone());
        Hooks::new(|_: &mut Context, _: Message| Ok(Reply::Empty))
            .start(move |cx, _| {
                cx.sleep(SECOND * 3)?;
                let mut calls = Vec::new();
                for _ in 0..4 {
                    match as_calls {
                        true => calls.push(cx.start_call(request())),
                        false => drop(cx.cast(request())?),
                    }
                    cx.sleep(Duration::from_millis(50))?;
                }
                for call in calls {
                    let end = cx.wait(call);
                    *note.borrow_mut() += usize::from(end.is_err_and(|error| is_refused(&error)));
                }
                Ok(())
            })
            .undelivered(move |_, it| *back.borrow_mut() += usize::from(is_refused(&it.error)))
    });
    village.join_as("here", &membership, vec![main], move |config| {
        config.host = "this machine".into();
        here(config);
    });
    village.run(SECOND * 10);
    let count = |name: &str| handled.borrow().iter().filter(|it| **it == name).count();
    let refused = *refused.borrow();
    Spilled {
        near: count("near"),
        far: count("far"),
        refused,
        dropped: village.counter(near, Counter::CastsBeyondHorizon),
    }
}

#[test]
fn what_is_spilled_goes_no_farther_than_said_where_it_has_been() {
    let near = Horizon::new(Distance::Host);
    let plain = || text("narrow", "Do", "").with_flow("checkout");
    let spilled = Spilled {
        near: 2,
        far: 2,
        ..Spilled::default()
    };
    let stays = Spilled {
        near: 2,
        refused: 2,
        ..Spilled::default()
    };
    for as_calls in [true, false] {
        assert_eq!(spills(as_calls, plain, |_| {}, |_| {}), spilled);
        // Its own.
        let own = spills(as_calls, move || plain().within(near), |_| {}, |_| {});
        assert_eq!(own, stays, "calls: {as_calls}");
        // One that only the sender's node knows.
        let of_flow = move |config: &mut ContainerConfig| {
            config.horizons.flows.insert("checkout".into(), near);
        };
        let at_sender = spills(as_calls, plain, of_flow, |_| {});
        assert_eq!(at_sender, stays, "calls: {as_calls}");
        // One that only the node knows that has no room.
        let of_network = move |config: &mut ContainerConfig| config.horizons.network = near;
        let on_the_way = spills(as_calls, plain, |_| {}, of_network);
        assert_eq!(on_the_way, stays, "calls: {as_calls}");
    }
    // Without bounce casts are gone, and calls are told all the same.
    let drops = move || plain().within(near.dropping());
    let dropped = Spilled {
        near: 2,
        dropped: 2,
        ..Spilled::default()
    };
    assert_eq!(spills(false, drops, |_| {}, |_| {}), dropped);
    assert_eq!(spills(true, drops, |_| {}, |_| {}), stays);
}
