use std::cell::RefCell;
use std::rc::Rc;

use monofil_container::{
    CallError, Caller, ComponentKind, ContainerConfig, Context, Counter, Distance, Horizon,
    Message, Reply, Request,
};
use monofil_tests::{Hooks, hooked, text};

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

fn is_too_far(result: &Result<(), CallError>) -> bool {
    matches!(result, Err(CallError::HorizonExceeded(_)))
}

#[test]
fn a_message_goes_no_farther_than_each_of_its_horizons() {
    let near = || Horizon::new(Distance::Host);
    type Configure = fn(&mut ContainerConfig);
    let set: [(&str, Configure); 5] = [
        ("none", |_| {}),
        ("network", |config| {
            config.horizons.network = Horizon::new(Distance::Host);
        }),
        ("app", |config| {
            config.horizons.app = Horizon::new(Distance::Host);
        }),
        ("component", |config| {
            let near = Horizon::new(Distance::Host);
            config.horizons.components.insert("test/echo".into(), near);
        }),
        ("flow", |config| {
            let near = Horizon::new(Distance::Host);
            config.horizons.flows.insert("checkout".into(), near);
        }),
    ];
    let of_flow = || say().with_flow("checkout");
    for (what, configure) in set {
        for (host, is_far) in [("another", true), ("this machine", false)] {
            let (called, cast, dropped) = sends(host, configure, of_flow);
            let expected = is_far && what != "none";
            assert_eq!(is_too_far(&called), expected, "{what} {host}: {called:?}");
            assert_eq!(is_too_far(&cast), expected, "{what} {host}: {cast:?}");
            assert_eq!(dropped, 0, "{what} {host}");
        }
    }
    // Its own.
    let (called, ..) = sends("another", |_| {}, move || say().within(near()));
    assert!(is_too_far(&called), "{called:?}");
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
