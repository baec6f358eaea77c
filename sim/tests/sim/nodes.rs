//! One run, driven by hand.

use std::time::Duration;

use monofil_container::{
    CallError, Code, Component, ComponentSpec, ContainerConfig, Context, HandlerError, Message,
    Payload, Reply, Request, StartReason, Status,
};
use monofil_sim::{
    Event, Faults, Happening, NodeDef, Plan, Scenario, ServiceTime, Shape, Sim, Span,
};

use crate::counter::{Counter, ask, counter};

fn sim() -> Sim {
    let mut sim = Sim::new("counters", 7);
    counter(&mut sim);
    sim
}

#[test]
fn a_cut_ends_calls_and_healing_brings_them_back() {
    let mut sim = sim();
    assert_eq!(sim.run("ada", |cx| ask(cx, "Add", 1)), Ok(1));
    sim.cut("ada", "counter");
    assert!(sim.run("ada", |cx| ask(cx, "Add", 1)).is_err());
    sim.heal("ada", "counter");
    sim.run_for(Duration::from_secs(10));
    assert_eq!(sim.run("ada", |cx| ask(cx, "Add", 1)), Ok(2));
    assert_eq!(sim.received("counter").len(), 2);
}

#[test]
fn a_crash_forgets_and_a_pause_does_not() {
    let mut sim = sim();
    assert_eq!(sim.run("ada", |cx| ask(cx, "Add", 5)), Ok(5));
    sim.pause("counter");
    sim.at(Duration::from_secs(2), |sim| sim.resume("counter"));
    assert_eq!(sim.run("ada", |cx| ask(cx, "Get", 0)), Ok(5));
    assert!(sim.now().as_nanos() > 2_000_000_000);
    sim.crash("counter");
    sim.restart("counter");
    assert_eq!(sim.run("ada", |cx| ask(cx, "Get", 0)), Ok(0));
}

#[test]
fn a_component_that_nothing_came_to_has_received_nothing() {
    let mut sim = sim();
    assert!(sim.received("counter").is_empty(), "before its node starts");
    sim.start();
    assert!(sim.received("counters/counter").is_empty());
}

#[test]
#[should_panic(expected = "runs a component `conuter`; there are [\"counters/counter\"]")]
fn what_no_component_received_cannot_be_asked_for() {
    let _ = sim().received("conuter");
}

#[test]
fn what_is_done_before_the_first_run_counts() {
    let mut sim = sim();
    sim.client("ada").cut("ada", "counter");
    assert!(sim.run("ada", |cx| ask(cx, "Add", 1)).is_err());
    sim.heal("ada", "counter");
    sim.crash("counter");
    sim.restart("counter");
    assert_eq!(sim.run("ada", |cx| ask(cx, "Add", 1)), Ok(1));
}

#[test]
#[should_panic(
    expected = "there are [\"counter\"]. If it is a client: it is there from its first `run` or `spawn` on, or \
                           once `sim.client(\"ada\")` was called"
)]
fn who_cuts_a_client_off_that_is_not_there_is_told_what_to_do() {
    sim().cut("ada", "counter");
}

#[test]
#[should_panic(
    expected = "the node `counter` is not started yet: let time pass before, or call `sim.start()`"
)]
fn who_asks_for_a_node_that_is_not_started_is_told_what_to_do() {
    let _ = sim().key("counter");
}

#[test]
fn the_clock_goes_tick_by_tick() {
    let mut sim = sim();
    let task = sim.spawn("ada", |cx| ask(cx, "Add", 1));
    let mut ticks = 0;
    while !task.is_done() {
        sim.run_for(Duration::from_millis(1));
        ticks += 1;
    }
    assert_eq!(task.take(), Some(Ok(1)));
    // A handshake, a greeting, a call: some round trips of two to four milliseconds.
    assert!((4..40).contains(&ticks), "{ticks}");
}

#[test]
#[should_panic(expected = "it stays small at")]
fn whoever_lets_time_pass_hears_what_is_broken() {
    let mut sim = sim();
    sim.always("it stays small", |sim| sim.received("counter").len() < 3);
    sim.run("ada", |cx| {
        for _ in 0..5 {
            ask(cx, "Add", 1)?;
        }
        Ok::<_, CallError>(())
    })
    .expect("nothing goes wrong");
}

#[test]
fn handlers_that_take_time_keep_their_node_busy() {
    let mut sim = sim();
    sim.service_times(vec![ServiceTime {
        component: "counter".to_owned(),
        method: "Add".to_owned(),
        takes: Shape::constant(Span::millis(300)),
    }]);
    let clients = ["ada", "bob", "eve"].map(|name| sim.spawn(name, |cx| ask(cx, "Add", 1)));
    sim.run_for(Duration::from_millis(890));
    assert!(clients.iter().any(|client| !client.is_done()));
    sim.run_for(Duration::from_millis(100));
    let mut answers: Vec<_> = clients.iter().filter_map(|client| client.take()).collect();
    answers.sort_by_key(|answer| answer.clone().ok());
    assert_eq!(answers, [Ok(1), Ok(2), Ok(3)]);
    let times: Vec<_> = sim.received("counter").iter().map(|it| it.at).collect();
    assert!(times.is_sorted());
}

#[test]
fn faults_that_overlap_end_each_for_itself() {
    let cut = |at, lasts, flaps| Event {
        at: Span::millis(at),
        lasts: Some(Span::millis(lasts)),
        what: Happening::Partition {
            from: vec!["counter".to_owned(), "bob".to_owned()],
            to: vec!["ada".to_owned()],
            one_way: false,
            flaps,
        },
    };
    let mut sim = sim();
    sim.client("ada").client("bob");
    sim.follow(&Plan {
        events: vec![
            cut(10, 100, None),
            cut(50, 200, None),
            cut(1_000, 100, Some(Span::millis(7))),
        ],
        ..Plan::default()
    });
    let cut_at = |sim: &mut Sim, millis| {
        sim.run_until(monofil_transport::Instant::ZERO + Duration::from_millis(millis));
        sim.world().is_cut(sim.key("ada"), sim.key("counter"))
    };
    let times = [5, 20, 60, 120, 240, 260, 1_003, 1_010, 1_017, 1_150];
    let cut: Vec<_> = times.map(|millis| cut_at(&mut sim, millis)).to_vec();
    let expected = [
        false, true, true, true, true, false, true, false, true, false,
    ];
    assert_eq!(cut, expected);
}

#[test]
fn crashes_that_overlap_end_each_for_itself() {
    let crash = |node: &str, machine, at, lasts| Event {
        at: Span::secs(at),
        lasts: Some(Span::secs(lasts)),
        what: Happening::Crash {
            node: node.to_owned(),
            machine,
        },
    };
    let mut sim = sim();
    for name in ["back", "beside"] {
        let node = NodeDef::new(name, |_| ContainerConfig::new("counters", "idle"));
        sim.node(node.on_machine("one"));
    }
    sim.follow(&Plan {
        events: vec![
            crash("counter", false, 1, 5),
            crash("counter", true, 2, 1),
            // Its neighbour goes with it, and is down by itself for longer.
            crash("beside", false, 1, 5),
            crash("back", true, 2, 1),
        ],
        ..Plan::default()
    });
    let mut up_at = |millis| {
        sim.run_until(monofil_transport::Instant::ZERO + Duration::from_millis(millis));
        ["counter", "back", "beside"].map(|node| sim.world().is_up(sim.key(node)))
    };
    assert_eq!(up_at(500), [true; 3]);
    assert_eq!(up_at(1_500), [false, true, false]);
    assert_eq!(up_at(2_500), [false; 3]);
    assert_eq!(up_at(3_500), [false, true, false]);
    assert_eq!(up_at(6_500), [true; 3]);
}

/// Asks the counter again and again, and says if it takes longer than it does on one machine.
struct Neighbour;

impl Component for Neighbour {
    fn start(&mut self, cx: &mut Context, _: StartReason) -> Result<(), Status> {
        let request = Request::new("neighbour", "Ask", Payload::default());
        let request = request.with_deadline(Duration::from_secs(60));
        cx.after(Duration::from_millis(100), request)
            .map_err(|error| Status::new(Code::Internal, error.to_string()))
    }

    fn handle(&mut self, cx: &mut Context, _: Message) -> Result<Reply, HandlerError> {
        for _ in 0..400 {
            let began = cx.now();
            let answer = ask(cx, "Add", 1);
            let took = began.until(cx.now());
            monofil_sim::always(
                answer.is_ok() && took < Duration::from_millis(1),
                "neighbours are near each other",
            );
            cx.sleep(Duration::from_millis(50))?;
        }
        Ok(Reply::Empty)
    }
}

/// Both are called by a client on another machine, so that links have something to carry.
fn neighbours(sim: &mut Sim) {
    fn node(name: &'static str, spec: fn() -> ComponentSpec) -> NodeDef {
        let node = NodeDef::new(name, move |start| ContainerConfig {
            incarnation: start.incarnation,
            components: vec![spec()],
            ..ContainerConfig::new("counters", name)
        });
        node.place(format!("counters/{name}"), &[])
            .on_machine("one")
    }
    sim.node(node("counter", || {
        ComponentSpec::new("counter", Counter::default)
    }));
    sim.node(node("neighbour", || {
        ComponentSpec::new("neighbour", || Neighbour)
    }));
    sim.spawn("ada", |cx| {
        for _ in 0..20 {
            let _ = ask(cx, "Get", 0);
            let _ = cx.sleep(Duration::from_secs(1));
        }
    });
}

#[test]
fn whatever_is_drawn_nothing_is_wrong_within_a_machine() {
    // Nodes that crash or are slow are no fault of links.
    let faults = Faults::network();
    Scenario::new("neighbours", "counters", neighbours)
        .faults(faults)
        .explore(0..30)
        .jobs(1)
        .check();
}

#[test]
fn all_that_is_wrong_can_be_healed_at_once() {
    let mut sim = sim();
    sim.client("ada");
    let event = |what| Event {
        at: Span::millis(1),
        lasts: Some(Span::secs(1_000)),
        what,
    };
    let node = || "counter".to_owned();
    sim.follow(&Plan {
        events: vec![
            event(Happening::Crash {
                node: node(),
                machine: true,
            }),
            event(Happening::Partition {
                from: vec![node()],
                to: vec!["ada".to_owned()],
                one_way: true,
                flaps: None,
            }),
            event(Happening::Drift {
                node: node(),
                ppm: 100_000,
            }),
            event(Happening::Slow {
                node: node(),
                each_turn: Span::millis(100),
            }),
            event(Happening::Pause { node: node() }),
        ],
        ..Plan::default()
    });
    sim.run_for(Duration::from_secs(1));
    assert!(!sim.world().is_up(sim.key("counter")));
    sim.heal_all();
    assert_eq!(sim.run("ada", |cx| ask(cx, "Add", 1)), Ok(1));
}

/// Adds a counter that has a function look at what it is set to.
fn that_looks(sim: &mut Sim, look: fn(u64)) {
    sim.component("counter", move || {
        ComponentSpec::new("counter", move || Counter::that(look))
    });
}

#[test]
#[should_panic(expected = "in `Set` of `counters/counter` (seed 7)")]
fn whoever_lets_time_pass_hears_what_a_component_says() {
    let mut sim = Sim::new("counters", 7);
    that_looks(&mut sim, |value| {
        monofil_sim::always(value < 10, "it is small")
    });
    assert_eq!(sim.run("ada", |cx| ask(cx, "Set", 9)), Ok(9));
    _ = sim.run("ada", |cx| ask(cx, "Set", 10));
}

#[test]
#[should_panic(expected = "`counters/counter` in `Set`: oh no (sim/tests/sim/nodes.rs:")]
fn whoever_lets_time_pass_hears_that_a_handler_panicked() {
    let mut sim = Sim::new("counters", 7);
    that_looks(&mut sim, |_| panic!("oh no"));
    _ = sim.run("ada", |cx| ask(cx, "Set", 1));
}

#[test]
fn handlers_may_panic_where_that_is_said() {
    let mut sim = Sim::new("counters", 7);
    that_looks(&mut sim, |_| panic!("oh no"));
    sim.may_panic();
    assert!(sim.run("ada", |cx| ask(cx, "Set", 1)).is_err());
    // What was said in a run is not said of the next.
    drop(sim);
    let mut sim = Sim::new("counters", 7);
    counter(&mut sim);
    assert_eq!(sim.run("ada", |cx| ask(cx, "Set", 1)), Ok(1));
}

#[test]
fn all_heals_as_often_as_it_is_asked_and_plans_come_again() {
    let mut sim = sim();
    let crash = |at, lasts| Event {
        at: Span::secs(at),
        lasts: Some(Span::secs(lasts)),
        what: Happening::Crash {
            node: "counter".to_owned(),
            machine: false,
        },
    };
    let plan = Plan {
        events: vec![crash(1, 100), crash(3, 1)],
        ..Plan::default()
    };
    for _ in 0..3 {
        sim.follow(&plan);
        assert!(sim.world().is_up(sim.key("counter")));
        sim.run_for(Duration::from_secs(2));
        assert!(!sim.world().is_up(sim.key("counter")), "as planned");
        sim.heal_all();
        assert_eq!(sim.run("ada", |cx| ask(cx, "Add", 1)), Ok(1));
        // What was planned for the third second was taken back.
        sim.run_for(Duration::from_secs(2));
        assert_eq!(sim.run("ada", |cx| ask(cx, "Add", 1)), Ok(2));
        // So is what is done by hand.
        sim.cut("ada", "counter");
        sim.pause("counter");
        sim.heal_all();
        assert_eq!(sim.run("ada", |cx| ask(cx, "Add", 1)), Ok(3));
    }
}

#[test]
#[should_panic(expected = "it does not hold (seed 7)")]
fn what_must_hold_at_the_end_is_judged_when_a_run_is_dropped() {
    let mut sim = sim();
    sim.at_end("somebody adds", |sim| !sim.received("counter").is_empty());
}

#[test]
#[should_panic(expected = "two are there at ")]
fn what_is_not_so_eventually_fails_when_a_run_is_dropped() {
    let mut sim = sim();
    sim.eventually("two are there", |sim| sim.received("counter").len() == 2);
    assert_eq!(sim.run("ada", |cx| ask(cx, "Add", 1)), Ok(1));
}

#[test]
#[should_panic(expected = "it was never reached (seed 7)")]
fn what_never_is_so_sometimes_fails_when_a_run_is_dropped() {
    let mut sim = sim();
    sim.sometimes("somebody adds", |sim| !sim.received("counter").is_empty());
}

/// Asks the counter, and expects a mark to be reached by what is said of the answer.
fn expecting(mark: &str) {
    let mut sim = sim();
    sim.expects(mark);
    sim.run("ada", |cx| match ask(cx, "Add", 1) {
        Ok(_) => monofil_sim::sometimes(true, "it is answered"),
        Err(_) => monofil_sim::sometimes(true, "it is not answered"),
    });
}

#[test]
fn what_is_expected_and_said_is_well_when_a_run_is_dropped() {
    expecting("it is answered");
}

#[test]
#[should_panic(expected = "it was never reached (seed 7)")]
fn what_is_expected_and_never_said_fails_when_a_run_is_dropped() {
    expecting("it is not answered");
}

#[test]
fn what_came_to_be_so_is_well_when_a_run_is_dropped() {
    let mut sim = sim();
    let times = |times| move |sim: &Sim| sim.received("counter").len() == times;
    sim.sometimes("it is added to once", times(1));
    sim.at_end("it was added to twice", times(2));
    sim.eventually("it is added to once more", times(2));
    sim.eventually("it is left alone for once", times(1));
    sim.heal_all();
    assert_eq!(sim.run("ada", |cx| ask(cx, "Add", 1)), Ok(1));
    assert_eq!(sim.run("ada", |cx| ask(cx, "Add", 1)), Ok(2));
}
