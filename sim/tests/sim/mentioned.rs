//! Names in what somebody wrote down that nothing has.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use monofil_container::{
    Component, ComponentSpec, ContainerConfig, Context, HandlerError, Interface, Message, Method,
    Reply,
};
use monofil_sim::{Case, Deed, Faults, Injection, Keep, NodeDef, Plan, Report, Scenario, Sim};

use crate::counter::{ask, counter};

/// Does nothing, and says which methods it has.
struct Till;

impl Component for Till {
    fn interfaces() -> Vec<&'static Interface> {
        let method = Method {
            name: "shop.Till/Charge".into(),
            streaming: false,
            idempotent: false,
            deadline: None,
            flow: None,
            topic: None,
        };
        vec![Box::leak(Box::new(Interface {
            service: "shop.Till",
            methods: Box::leak(Box::new([method])),
            descriptors: &[],
        }))]
    }

    fn handle(&mut self, _: &mut Context, _: Message) -> Result<Reply, HandlerError> {
        Ok(Reply::Empty)
    }
}

fn shop(sim: &mut Sim) {
    counter(sim);
    sim.component("till", || ComponentSpec::new("till", || Till));
    sim.client("ada");
}

/// Faults that are written down, the same in a plan, and what is said of them; nothing where all names are right.
const WRITTEN: [(&str, &str); 13] = [
    (
        "[[ways]]\nfrom = '*'\nto = 'countr'\nlink = {}",
        "no node of this run is called `countr`, as `ways[0].to` says; there are ada, counter, till.",
    ),
    (
        "[[ways]]\nfrom = 'ada'\nto = 'counter'\nlink = {}\n[[ways]]\nfrom = 'bob'\nto = '*'\nlink = {}",
        "`bob`, as `ways[1].from` says",
    ),
    (
        "[[events]]\nevent = 'partition'\nat = '1s'\nfrom = ['ada']\nto = ['counter', 'tyll']",
        "`tyll`, as `events[0].to[1]` says",
    ),
    (
        "[[events]]\nevent = 'clog'\nat = '1s'\nnode = 'ada'\npeer = 'bob'",
        "`bob`, as `events[0].peer` says",
    ),
    (
        "[[events]]\nevent = 'pause'\nat = '1s'\nnode = 'bob'",
        "`bob`, as `events[0].node` says",
    ),
    (
        "[[messages]]\ncomponent = 'countr'\ndeed = 'drop'",
        "no component of this run is called `countr`, as `messages[0].component` says; there are counters/ada, counters/counter, counters/till.",
    ),
    (
        "[[messages]]\ncomponent = 'till'\nmethod = 'Chrge'\ndeed = 'drop'",
        "no method of this run is called `Chrge`, as `messages[0].method` says; there are shop.Till/Charge.",
    ),
    (
        "[[service]]\ncomponent = 'tyll'\ntakes = { shape = 'constant', time = '1s' }",
        "`tyll`, as `service[0].component` says",
    ),
    (
        "[[service]]\nmethod = 'Chrge'\ncomponent = 'counters/till'\ntakes = { shape = 'constant', time = '1s' }",
        "`Chrge`, as `service[0].method` says",
    ),
    // One of those that are meant does not say which methods it has.
    ("[[messages]]\nmethod = 'Chrge'\ndeed = 'drop'", ""),
    (
        "[[messages]]\ncomponent = 'counter'\nmethod = 'Chrge'\ndeed = 'drop'",
        "",
    ),
    (
        "[[messages]]\ncomponent = 'counters/till'\nmethod = 'Charge'\ndeed = 'drop'",
        "",
    ),
    (
        "[[events]]\nevent = 'partition'\nat = '0s'\nlasts = '1s'\nfrom = ['*']\nto = ['till']",
        "",
    ),
];

fn is_said(expected: &str, said: Option<&str>) -> bool {
    match (expected, said) {
        ("", said) => said.is_none(),
        (expected, said) => said.is_some_and(|said| said.contains(expected)),
    }
}

#[test]
fn a_name_in_a_plan_that_nothing_has_is_refused() {
    for (written, expected) in WRITTEN {
        let plan: Plan = toml::from_str(written).expect(written);
        let mut sim = Sim::new("counters", 7);
        shop(&mut sim);
        let followed = catch_unwind(AssertUnwindSafe(|| sim.follow(&plan)));
        sim.abandon();
        let said = followed
            .err()
            .map(|panic| *panic.downcast::<String>().expect("a text"));
        assert!(is_said(expected, said.as_deref()), "{written}: {said:?}");
    }
}

fn scenario(faults: &str) -> Scenario {
    let scenario = Scenario::new("names", "counters", |sim| {
        shop(sim);
        sim.spawn("ada", |cx| ask(cx, "Add", 1));
    });
    scenario.faults(toml::from_str(faults).expect(faults))
}

#[test]
fn a_name_in_faults_that_nothing_has_fails_the_first_run_whatever_is_drawn() {
    let drawn = (CRASHES, "`countr`, as `crashes.nodes[1]` says");
    for (written, expected) in WRITTEN.into_iter().chain([drawn]) {
        let failure = scenario(written)
            .run(&Case::of_seed(1), Keep::default())
            .failure;
        let said = failure.map(|failure| failure.to_string());
        assert!(is_said(expected, said.as_deref()), "{written}: {said:?}");
    }
}

/// Only the node that is misspelt crashes.
fn misspelt() -> Scenario {
    scenario(CRASHES)
}

const CRASHES: &str = "[crashes]\nevery = '1h'\nlasts = '1s..2s'\nnodes = ['ada', 'countr']";

fn is_told(report: &Report) -> bool {
    let found = report.found.as_ref().expect("a mistake is no success");
    let said = report.to_string();
    (found.run, found.shrunk.tries) == (0, 0)
        && said.contains("✗ faults are about what there is\n")
        && said.contains("`countr`")
}

#[test]
fn a_name_that_nothing_has_is_told_as_it_is() {
    assert!(is_told(&misspelt().explore(0..100).jobs(1).run()));
}

#[test]
fn a_name_that_nothing_has_is_told_by_other_processes_too() {
    assert!(is_told(&misspelt().explore(0..100).jobs(2).run()));
}

#[test]
fn runs_that_have_a_name_that_nothing_has_are_not_the_same_twice() {
    let twice = misspelt().explore(0..3).jobs(1).check_determinism();
    let said = twice.expect_err("there is nothing to compare");
    assert!(
        said.contains("cannot be compared") && said.contains("`countr`"),
        "{said}"
    );
}

#[test]
fn a_name_of_what_comes_later_is_allowed() {
    let mut sim = Sim::new("counters", 7);
    shop(&mut sim);
    sim.allow_name("bob");
    let cut = "[[events]]\nevent = 'partition'\nat = '1s'\nlasts = '1h'\nfrom = ['bob']\nto = ['counter']";
    sim.follow(&toml::from_str(cut).expect("a plan"));
    assert!(sim.run("bob", |cx| ask(cx, "Add", 1)).is_ok());
    sim.run_for(Duration::from_secs(1));
    assert!(sim.run("bob", |cx| ask(cx, "Add", 1)).is_err());
}

/// Explores a client that adds twice.
fn injected(injection: Injection) -> Report {
    let faults = Faults {
        messages: vec![injection],
        ..Faults::none()
    };
    let scenario = Scenario::new("injected", "counters", |sim| {
        counter(sim);
        sim.spawn("ada", |cx| [ask(cx, "Add", 1), ask(cx, "Add", 1)]);
    });
    scenario.faults(faults).explore(0..3).jobs(1).run()
}

#[test]
fn an_injection_that_is_done_to_no_message_is_missed_as_a_mark_is() {
    let second = || {
        Injection::request("counter")
            .of_method("Add")
            .nth(2)
            .does(Deed::Duplicate)
    };
    let report = injected(second());
    let mark = "duplicate requests Add to counter, from 2, 1 at most";
    assert!(report.is_good() && report.marks[mark] == 3, "{report}");
    for (injection, mark) in [
        (
            second().nth(3),
            "duplicate requests Add to counter, from 3, 1 at most",
        ),
        (
            second().of_method("Ad").nth(1),
            "duplicate requests Ad to counter, 1 at most",
        ),
        (
            second().on_flow("x"),
            "duplicate requests Add to counter on flow x, from 2, 1 at most",
        ),
    ] {
        let report = injected(injection);
        assert!(!report.is_good(), "{report}");
        assert_eq!(report.unreached().collect::<Vec<_>>(), [mark]);
    }
}

#[test]
fn an_injection_of_a_scenario_itself_is_missed_too() {
    let scenario = Scenario::new("injected", "counters", |sim| {
        counter(sim);
        sim.inject(Injection::reply("counter").of_method("Ad"));
        sim.spawn("ada", |cx| ask(cx, "Add", 1));
    });
    let report = scenario.explore(0..2).jobs(1).run();
    assert_eq!(
        report.unreached().collect::<Vec<_>>(),
        ["drop replies Ad of counter"]
    );
}

/// Events that are written down and do nothing, the same in a plan.
const VAIN: [(&str, &str); 13] = [
    (
        "event = 'partition'\nfrom = ['ada']\nto = ['till']",
        "`events[0]` (partition ada | till) does nothing: say how long it lasts, as in `lasts = \"3s\"`",
    ),
    (
        "event = 'clog'\nnode = 'ada'\npeer = 'till'",
        "say how long",
    ),
    ("event = 'pause'\nnode = 'till'", "say how long"),
    (
        "event = 'slow'\nnode = 'till'\neach_turn = '1ms'",
        "say how long",
    ),
    ("event = 'drift'\nnode = 'till'\nppm = 7", "say how long"),
    (
        "event = 'step-clock'\nnode = 'till'\nmillis = 7",
        "say how long",
    ),
    (
        "event = 'pause'\nlasts = '0s'\nnode = 'till'",
        "`events[0].lasts` is no time",
    ),
    (
        "event = 'partition'\nlasts = '1s'\nfrom = []\nto = ['till']",
        "it is between no two nodes",
    ),
    (
        "event = 'partition'\nlasts = '1s'\nfrom = ['till']\nto = ['till']",
        "it is between no two nodes",
    ),
    (
        "event = 'partition'\nlasts = '1s'\nfrom = ['ada']\nto = ['till']\nflaps = '0s'",
        "`events[0].flaps` is 0",
    ),
    (
        "event = 'disconnect'\nnode = 'till'\npeer = 'till'",
        "`events[0]` (disconnect till till) does nothing: it is between no two nodes on different machines",
    ),
    (
        "event = 'slow'\nlasts = '1s'\nnode = 'till'\neach_turn = '0s'",
        "`events[0].each_turn` is 0",
    ),
    // It starts again at once.
    ("event = 'crash'\nnode = 'till'", ""),
];

#[test]
fn what_is_written_down_and_does_nothing_is_refused() {
    let events =
        VAIN.map(|(event, expected)| (format!("[[events]]\nat = '0s'\n{event}"), expected));
    let others = [
        (
            "[[ways]]\nfrom = 'till'\nto = 'till'\nlink.loss = '1%'",
            "`ways[0]` is from `till` to itself",
        ),
        (
            "[[ways]]\nfrom = '*'\nto = '*'\nlink.bandwidth = { bytes_per_second = 0, queue_bytes = 9 }",
            "`ways[0].link.bandwidth.bytes_per_second` is 0",
        ),
        (
            "[[ways]]\nfrom = '*'\nto = '*'\nlink.latency = { shape = 'table', quantiles = [] }",
            "`ways[0].link.latency.quantiles` is empty",
        ),
        (
            "[[service]]\ntakes = { shape = 'table', quantiles = [] }",
            "`service[0].takes.quantiles` is empty",
        ),
    ];
    let others = others.map(|(written, expected)| (written.to_owned(), expected));
    for (written, expected) in events.into_iter().chain(others) {
        is_said_of_faults(&written, expected);
    }
    for (written, expected) in [
        ("latency = []", "`latency` is empty"),
        ("service = []", "`service` is empty"),
        (
            "latency = [{ shape = 'table', quantiles = [] }]",
            "`latency[0].quantiles` is empty",
        ),
        (
            "bandwidth = { bytes_per_second = 0, queue_bytes = 9 }",
            "`bandwidth.bytes_per_second` is 0",
        ),
        (
            "[crashes]\nevery = '0s'\nlasts = '1s'",
            "`crashes.every` is no time",
        ),
        (
            "[pauses]\nevery = '1s'\nlasts = '0s'",
            "`pauses.lasts` is no time",
        ),
        ("[crashes]\nevery = '1s'\nlasts = '0s'", ""),
        (
            "[crashes]\nevery = '1s'\nlasts = '1s'\nnodes = ['till', '*']",
            "`crashes.nodes[1]` is `*`, which would be everybody at once, clients too: leave `nodes` out for any one",
        ),
        (
            "lasts = '50s'\n[pauses]\nevery = '9ms'\nlasts = '1ms'",
            "`pauses.every` comes more than 5000 times in the 50s that things go wrong",
        ),
        ("lasts = '50s'\n[pauses]\nevery = '1s'\nlasts = '1ms'", ""),
    ] {
        is_said_of_faults(written, expected);
    }
}

fn is_said_of_faults(written: &str, expected: &str) {
    let ran = scenario(written).run(&Case::of_seed(1), Keep::default());
    let said = ran.failure.map(|failure| failure.to_string());
    assert!(is_said(expected, said.as_deref()), "{written}: {said:?}");
}

#[test]
fn nothing_comes_between_processes_of_one_machine() {
    let cut = "[[events]]\nevent = 'partition'\nat = '0s'\nlasts = '1s'\nfrom = ['back']\nto = ['beside']";
    let faults: Faults = toml::from_str(cut).expect("faults");
    let alike = Scenario::new("beside", "counters", |sim| {
        for name in ["back", "beside"] {
            let node = NodeDef::new(name, |_| ContainerConfig::new("counters", "idle"));
            sim.node(node.on_machine("one"));
        }
    });
    let ran = alike.faults(faults).run(&Case::of_seed(7), Keep::default());
    let said = ran.failure.expect("nothing would be cut").to_string();
    assert!(
        said.contains("no two nodes on different machines"),
        "{said}"
    );
}

/// Of what is drawn something may well be nothing.
#[test]
fn a_plan_that_is_drawn_may_be_followed() {
    for seed in 0..200 {
        let mut sim = Sim::new("counters", seed);
        for (name, machine) in [("back", "one"), ("beside", "one"), ("till", "two")] {
            let node = NodeDef::new(name, |_| ContainerConfig::new("counters", "idle"));
            sim.node(node.on_machine(machine));
        }
        let plan = Faults::all().draw(seed, &sim.nodes());
        sim.follow(&plan);
        sim.abandon();
    }
}

#[test]
fn an_event_that_never_comes_is_missed_as_a_mark_is() {
    let explored = |at: &str| {
        let crash = format!("[[events]]\nevent = 'crash'\nat = '{at}'\nnode = 'till'");
        scenario(&crash).explore(0..3).jobs(1).run()
    };
    let report = explored("1us");
    assert!(report.is_good(), "{report}");
    assert_eq!(report.marks["crash till at 1us"], 3);
    // By then all is healed.
    let report = explored("100s");
    assert!(!report.is_good(), "{report}");
    assert_eq!(
        report.unreached().collect::<Vec<_>>(),
        ["crash till at 100s"]
    );
}

#[test]
fn a_disconnect_of_who_is_not_connected_is_missed() {
    let explored = |at: &str| {
        let event = "event = 'disconnect'\nnode = 'ada'\npeer = 'counter'";
        let written = format!("[[events]]\nat = '{at}'\n{event}");
        scenario(&written).explore(0..3).jobs(1).run()
    };
    // Nobody has called anybody.
    let report = explored("0s");
    assert_eq!(
        report.unreached().collect::<Vec<_>>(),
        ["disconnect ada counter at 0s"]
    );
    let report = explored("5ms");
    assert!(report.is_good(), "{report}");
}
