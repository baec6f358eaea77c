//! Many runs: what is found, how it shrinks, and that it does not matter who does them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use monofil_container::{Caller, Payload, Request};
use monofil_sim::{
    Case, CaseFile, Episodes, Event, Explore, Failure, Faults, Happening, Keep, LinkPlan, Program,
    Ran, Received, Report, Scenario, Schedule, Shape, Sim, Span, SpanRange, StopAt, Way, always,
    difference,
};

use crate::counter::{ask, counter, number};

/// Clients that add one each, in two steps. The sum is less if they come between each other.
fn lost_update(sim: &mut Sim) {
    counter(sim);
    let clients = sim.draw("clients", 1..=4);
    for client in 0..clients {
        let tape = sim.tape();
        sim.spawn(&format!("client-{client}"), move |cx| {
            let site = format!("client-{client}");
            for _ in tape.steps(&site, 3) {
                let pause = tape.draw("pause", 0..=200);
                if cx.sleep(Duration::from_millis(pause)).is_err() {
                    return;
                }
                if let Ok(value) = ask(cx, "Get", 0)
                    && ask(cx, "Set", value + 1).is_ok()
                {
                    monofil_sim::sometimes(true, "a client writes");
                }
            }
        });
    }
    sim.at_end("no update is lost", |sim| {
        let received = sim.received("counter");
        let sets: Vec<_> = received
            .iter()
            .filter(|it| it.method.as_str() == "Set")
            .map(|it| it.payload.clone())
            .collect();
        let mut distinct = sets.clone();
        distinct.sort_by_key(|payload| payload.to_bytes());
        distinct.dedup();
        match distinct.len() == sets.len() {
            true => Ok(()),
            false => Err(format!(
                "{} writes of {} values",
                sets.len(),
                distinct.len()
            )),
        }
    });
}

/// Of two clients who set the counter, the one who sets it to 0.
fn bob_is_last(sim: &Sim) -> bool {
    let received = sim.received("counter");
    let last = received.iter().rfind(|it| it.method.as_str() == "Set");
    last.is_some_and(|last| last.payload.to_bytes() == "0")
}

fn scenario() -> Scenario {
    Scenario::new("lost update", "counters", lost_update)
}

/// One that fails only if a partition comes at the right time.
fn needs_a_cut() -> Scenario {
    Scenario::new("needs a cut", "counters", |sim| {
        counter(sim);
        let tape = sim.tape();
        sim.spawn("ada", move |cx| {
            for _ in tape.steps("ada", 20) {
                let pause = Duration::from_millis(tape.draw("pause", 1..=500));
                if ask(cx, "Add", 1).is_err() {
                    monofil_sim::always(false, "every addition succeeds");
                }
                if cx.sleep(pause).is_err() {
                    return;
                }
            }
        });
    })
    .faults(Faults {
        partitions: Some(Episodes::every(
            Span::secs(2),
            SpanRange::millis(1_000, 8_000),
        )),
        ..Faults::all()
    })
}

/// One that fails if the counter forgets between two of many additions.
fn needs_a_crash() -> Scenario {
    Scenario::new("needs a crash", "counters", |sim| {
        counter(sim);
        let tape = sim.tape();
        sim.spawn("ada", move |cx| {
            let mut before = 0;
            for _ in 0..200 {
                if !tape.step("additions") {
                    continue;
                }
                if let Ok(value) = ask(cx, "Add", 1) {
                    monofil_sim::always(value > before, "what was added stays");
                    before = value;
                }
                if cx.sleep(Duration::from_millis(50)).is_err() {
                    return;
                }
            }
        });
    })
    .faults(Faults {
        crashes: Some(Episodes::every(
            Span::secs(8),
            SpanRange::millis(1_000, 4_000),
        )),
        ..Faults::none()
    })
}

fn found(report: &Report) -> &monofil_sim::Found {
    let found = report.found.as_ref();
    found.unwrap_or_else(|| panic!("nothing was found: {report}"))
}

#[test]
fn a_lost_update_is_found_and_shrunk_to_two_clients() {
    let report = scenario().explore(0..500).jobs(1).run();
    let found = found(&report);
    assert_eq!(found.failure.property, "no update is lost");
    assert_eq!(found.reproduced, Some((10, 10)));
    let steps: Vec<_> = found.shrunk.ran.drawn.iter().collect();
    // Two clients, one step each; no pauses that differ.
    let clients = steps
        .iter()
        .find(|it| it.site == "clients")
        .map(|it| it.value);
    assert_eq!(clients, Some(2), "{report}");
    let kept = steps
        .iter()
        .filter(|it| it.site.starts_with("client-") && it.value == 1);
    assert_eq!(kept.count(), 2, "{report}");
    assert_eq!(found.shrunk.to.faults, 0, "{report}");
    assert_eq!(found.shrunk.to.frames, Some(0), "{report}");
}

#[test]
fn what_needs_one_fault_shrinks_to_it() {
    let report = needs_a_cut().explore(0..500).jobs(1).run();
    let found = found(&report);
    assert_eq!(found.failure.property, "every addition succeeds");
    assert_eq!(found.reproduced, Some((10, 10)));
    assert_eq!(found.shrunk.to.faults, 1, "{report}");
    assert!(found.shrunk.from.faults > 1, "{report}");
    let case = toml::to_string(&found.shrunk.case).expect("a case can be written");
    assert_eq!(
        toml::from_str::<Case>(&case).as_ref(),
        Ok(&found.shrunk.case)
    );
}

/// Whoever ends a shrink that takes long has what was found all the same.
#[test]
fn what_fails_is_written_down_before_it_is_made_smaller() {
    let folder = std::env::temp_dir().join(format!("monofil-kept-{}", std::process::id()));
    let path = folder.join("kept-3.toml");
    let kept: Arc<Mutex<Vec<Option<CaseFile>>>> = Arc::default();
    let (noted, at) = (kept.clone(), path.clone());
    let explore = Scenario::new("kept", "counters", move |sim| {
        let mut kept = noted.lock().expect("nobody panicked");
        kept.push(CaseFile::read(&at).ok());
        lost_update(sim);
        sim.at_end("it is not the third", |sim| sim.seed() != 3);
    })
    .faults(Faults::network())
    .explore(3..4)
    .jobs(1)
    .files_in(&folder);
    let report = explore.run();
    assert!(found(&report).shrunk.tries > 0, "{report}");
    let kept = kept.lock().expect("nobody panicked");
    assert_eq!(kept[0], None);
    let first = kept[1].as_ref().expect("it is there when it is run again");
    assert_eq!(first.case, Case::of_seed(3));
    assert_eq!(first.faults, Some(Faults::network()));
    // In the end there is the smaller one.
    let last = CaseFile::read(&path).expect("it is there");
    assert_eq!(last.case, found(&report).shrunk.case);
    assert!(last.hash != first.hash && last.case.plan.is_some());
    std::fs::remove_dir_all(folder).expect("it can be removed");
}

#[test]
fn work_that_a_fault_comes_into_shrinks_with_it() {
    for seed in 0..5 {
        let report = needs_a_crash().explore(seed * 20..500).jobs(1).run();
        let found = found(&report);
        assert_eq!(found.failure.property, "what was added stays");
        let steps = found.shrunk.ran.drawn.iter().filter(|it| it.value == 1);
        // One before the crash, one after it.
        assert_eq!(steps.count(), 2, "{report}");
        assert_eq!(found.shrunk.to.faults, 1, "{report}");
    }
}

#[test]
fn a_run_is_one_run() {
    for seed in 0..20 {
        let case = Case::of_seed(seed);
        let run = || needs_a_cut().run(&case, Keep::default());
        let (one, other) = (run(), run());
        assert_eq!(one.hash, other.hash, "seed {seed}");
        assert_eq!(one.failure, other.failure, "seed {seed}");
        // What was drawn, written down, is the same run.
        let written = Case {
            plan: Some(one.plan.clone()),
            ..case.clone()
        };
        assert_eq!(needs_a_cut().run(&written, Keep::default()).hash, one.hash);
    }
}

#[test]
fn records_change_nothing() {
    let case = Case::of_seed(3);
    let keep = Keep {
        records: 100_000,
        choices: true,
        stacks: true,
        draws: 100_000,
    };
    let (bare, kept) = (
        needs_a_cut().run(&case, Keep::default()),
        needs_a_cut().run(&case, keep),
    );
    assert_eq!(bare.hash, kept.hash);
    assert!(!kept.recording.records.is_empty() && !kept.drawn.is_empty());
    assert_eq!(kept.latencies.len() as u64, kept.frames);
    // Of clients, of faults, of containers, each with what it is called.
    for site in ["tape/pause", "swarm/", "entropy/counter/", "spans"] {
        let drew = kept.draws.iter().any(|draw| draw.site.starts_with(site));
        let sites: BTreeSet<_> = kept.draws.iter().map(|it| &*it.site).collect();
        assert!(drew, "{site}: {sites:?}");
    }
    assert!(
        kept.draws
            .iter()
            .all(|it| (it.min..=it.max).contains(&it.value))
    );
}

/// Of a run with many events the last are kept, and of the others some.
#[test]
fn runs_are_compared_where_the_records_of_both_are_complete() {
    let run = |calls: u64, last: u64, records| {
        let scenario = Scenario::new("long", "counters", move |sim| {
            counter(sim);
            sim.spawn("ada", move |cx| {
                for number in 1..=calls {
                    let _ = ask(cx, "Add", if number == calls { last } else { 1 });
                }
            });
        });
        let keep = Keep {
            records,
            ..Keep::default()
        };
        scenario.run(&Case::of_seed(0), keep)
    };
    let kept = |ran: &Ran| ran.recording.records.len();
    let (few, more, all) = (run(40, 1, 60), run(40, 1, 90), run(40, 1, 100_000));
    assert!(kept(&few) < kept(&more) && kept(&more) < kept(&all));
    for (one, other) in [(&few, &more), (&few, &all), (&all, &more)] {
        assert_eq!(difference(one, other), None);
    }
    let parts = |one: &Ran, other: &Ran| difference(one, other).expect("they differ");
    // Where all are kept the place is the same.
    let place = |text: &str| {
        let (_, then) = text.split_once("then, in one:").expect("a place");
        then.to_owned()
    };
    let exact = parts(&all, &run(41, 1, 100_000));
    assert!(exact.starts_with("the first "), "{exact}");
    assert!(!exact.contains("not all kept"), "{exact}");
    let said = parts(&few, &run(41, 1, 90));
    assert!(said.contains("were not all kept and are not compared; the "));
    assert_eq!(place(&said), place(&exact));
    // Those that differ are not there any more.
    let end = parts(&run(40, 1, 1), &run(40, 2, 1));
    assert!(end.starts_with("they part within the first "), "{end}");
    assert!(end.contains("or in what no record shows"), "{end}");
    let end = parts(&run(40, 1, 1), &run(41, 1, 1));
    assert!(end.contains("not all kept, or right after them"), "{end}");
}

#[test]
fn what_is_the_same_in_all_processes_is_said_to_be() {
    let same = needs_a_cut().explore(0..3).jobs(1).check_determinism();
    assert_eq!(same.map(|it| it.runs), Ok(3));
}

#[test]
fn what_differs_from_process_to_process_is_found_with_where_runs_part() {
    let scenario = Scenario::new("process", "counters", |sim| {
        counter(sim);
        sim.spawn("ada", |cx| ask(cx, "Set", std::process::id().into()));
    });
    let check = scenario.explore(0..3).jobs(1).check_determinism();
    let said = check.expect_err("processes have numbers of their own");
    assert!(
        said.starts_with("run 0 of `process` is not the same twice\n"),
        "{said}"
    );
    for part in [
        "the first ",
        "then, in one:",
        "then, in the other:",
        ": Set ",
    ] {
        assert!(said.contains(part), "{said}");
    }
}

fn summary(explore: &Explore) -> (u64, u128, Duration, BTreeMap<String, u64>, Option<u64>) {
    let report = explore.run();
    let failed = report.found.map(|found| found.run);
    (
        report.runs,
        report.hash,
        report.simulated,
        report.marks,
        failed,
    )
}

#[test]
fn processes_find_what_one_finds() {
    let explore = scenario()
        .faults(Faults::network())
        .explore(1_000..1_200)
        .shrink_for(Duration::ZERO);
    let many = summary(&explore.clone().jobs(3));
    assert_eq!(many, summary(&explore.jobs(1)));
    assert!(many.4.is_some());
}

#[test]
fn processes_do_all_runs_of_one_that_holds() {
    let explore = Scenario::new("it holds", "counters", |sim| {
        counter(sim);
        sim.spawn("ada", |cx| while ask(cx, "Add", 1).is_err() {});
        sim.sometimes("an addition arrives", |sim| {
            !sim.received("counter").is_empty()
        });
    })
    .faults(Faults::all())
    .explore(0..60);
    let many = summary(&explore.clone().jobs(2));
    assert_eq!(many, summary(&explore.jobs(1)));
    assert_eq!((many.0, many.4), (60, None));
    assert_eq!(many.3.get("an addition arrives"), Some(&60));
}

#[test]
fn ci_is_told_of_each_property_and_each_mark() {
    let cases = |value: u64| {
        let report = Scenario::new("told", "counters", move |sim| {
            counter(sim);
            sim.spawn("ada", move |cx| {
                monofil_sim::always(value < 3, "it is small");
                ask(cx, "Set", value)
            });
            sim.sometimes("it is 2", |sim| sim.received("counter").iter().any(is_2));
            sim.at_end("it is set once", |sim| sim.received("counter").len() == 1);
        })
        .explore(0..3)
        .jobs(1)
        .run();
        let cases = report.cases().into_iter();
        let cases = cases.map(|case| (case.name, case.failure.map(|(line, _)| line)));
        cases.collect::<BTreeMap<_, _>>()
    };
    let is_well = |cases: &BTreeMap<String, Option<String>>, name: &str| cases[name].is_none();
    let good = cases(2);
    for name in [
        "it is small",
        "it is set once",
        "no handler panics",
        "what clients were given to do ends",
        "sometimes it is 2",
    ] {
        assert!(is_well(&good, name), "{good:?}");
    }
    let bad = cases(3);
    assert!(
        !is_well(&bad, "it is small") && is_well(&bad, "it is set once"),
        "{bad:?}"
    );
    let never = Some("it was never reached".to_owned());
    assert_eq!(bad["sometimes it is 2"], never);
}

fn is_2(received: &Received) -> bool {
    received.payload.to_bytes() == "2"
}

#[test]
#[should_panic(expected = "NEVER REACHED: pigs fly")]
fn a_mark_that_is_never_reached_fails() {
    Scenario::new("pigs", "counters", |sim| {
        counter(sim);
        sim.spawn("ada", |cx| ask(cx, "Add", 1));
        sim.sometimes("pigs fly", |_| false);
    })
    .explore(0..3)
    .check();
}

/// A client that says so if it is not answered, which it is.
fn answered(sim: &mut Sim) {
    counter(sim);
    sim.spawn("ada", |cx| {
        let answer = ask(cx, "Add", 1);
        monofil_sim::sometimes(answer.is_ok(), "it is answered");
        if answer.is_err() {
            monofil_sim::sometimes(true, "it is not answered");
        }
    });
}

#[test]
fn a_mark_in_code_that_is_never_come_to_is_missed_if_it_is_expected() {
    let report = |marks: &'static [&str]| {
        let scenario = Scenario::new("answered", "counters", move |sim| {
            answered(sim);
            for mark in marks {
                sim.expects(mark);
            }
        });
        scenario.explore(0..3).jobs(1).run()
    };
    assert!(report(&[]).is_good() && report(&["it is answered"]).is_good());
    let both = report(&["it is answered", "it is not answered"]);
    assert_eq!(both.unreached().collect::<Vec<_>>(), ["it is not answered"]);
    assert!(!both.is_good(), "{both}");
    let told = "  sometimes it is not answered: 0 of 3 runs\nNEVER REACHED: it is not answered\n";
    assert!(both.to_string().contains(told), "{both}");
}

#[test]
fn what_is_not_so_eventually_is_named() {
    let report = Scenario::new("never", "counters", |sim| {
        counter(sim);
        sim.eventually("two are there", |sim| sim.received("counter").len() == 2);
        sim.spawn("ada", |cx| ask(cx, "Add", 1));
    })
    .within(Duration::from_secs(5))
    .explore(0..3)
    .run();
    assert_eq!(found(&report).failure.property, "two are there");
    let report = Scenario::new("endless", "counters", |sim| {
        sim.spawn(
            "ada",
            |cx| while cx.sleep(Duration::from_secs(1)).is_ok() {},
        );
    })
    .within(Duration::from_secs(5))
    .explore(0..3)
    .run();
    assert_eq!(found(&report).failure.text, "`ada` has not returned");
    // What is so is not blamed for what is not, also where nothing ever happens.
    let still = |is_so: bool| {
        let scenario = Scenario::new("still", "counters", move |sim| {
            sim.eventually("it is so", |_| true);
            sim.eventually("it is not so", move |_| is_so);
            sim.eventually("it is so, too", |_| true);
        });
        scenario.run(&Case::of_seed(0), Keep::default()).failure
    };
    assert_eq!(still(true), None);
    assert_eq!(still(false).expect("it fails").property, "it is not so");
}

#[test]
fn what_is_said_while_the_end_is_judged_counts() {
    let scenario = Scenario::new("end", "counters", |sim| {
        counter(sim);
        sim.at_end("the end", |_| {
            always(false, "said at the end");
            true
        });
        sim.spawn("ada", |cx| ask(cx, "Add", 1));
    });
    let failure = scenario.run(&Case::of_seed(0), Keep::default()).failure;
    assert_eq!(failure.expect("it fails").property, "said at the end");
}

#[test]
fn what_clients_assert_counts_where_components_may_panic() {
    let scenario = Scenario::new("asserts", "counters", |sim| {
        counter(sim);
        sim.spawn("ada", |cx| assert_eq!(ask(cx, "Add", 1), Ok(2)));
    });
    let scenario = scenario.may_panic();
    let failure = scenario.run(&Case::of_seed(0), Keep::default()).failure;
    let failure = failure.expect("it fails");
    assert_eq!(failure.property, "no handler panics");
    assert!(
        failure.text.starts_with("`counters/ada` in `start`: "),
        "{failure}"
    );
}

#[test]
fn a_handler_that_panics_is_found_with_its_line() {
    let report = Scenario::new("panics", "counters", |sim| {
        sim.spawn("ada", |_| panic!("oh no"));
    })
    .explore(0..3)
    .run();
    let failure = &found(&report).failure;
    assert_eq!(failure.property, "no handler panics");
    assert!(
        failure.text.contains("oh no") && failure.text.contains("explore.rs:"),
        "{failure}"
    );
}

#[test]
fn strategies_find_orders_that_a_calm_network_has_not() {
    // With a constant latency and no pauses, who comes first is always the same.
    let race = || {
        Scenario::new("race", "counters", |sim| {
            counter(sim);
            for client in ["ada", "bob"] {
                sim.spawn(client, move |cx| {
                    // Once the connection is there.
                    let _ = ask(cx, "Get", 0);
                    let _ = ask(cx, "Set", u64::from(client == "ada"));
                });
            }
            sim.at_end("bob is last", bob_is_last);
        })
    };
    let explore = |text: &str| {
        let explore = race().explore(0..300).jobs(1).shrink_for(Duration::ZERO);
        explore.strategy(text.parse().expect("a strategy")).run()
    };
    assert!(explore("random").found.is_none());
    assert!(explore("pct:d=2").found.is_some());
    assert!(explore("dfs:depth=6").found.is_some());
}

/// Tries all orders in which calls of two clients arrive, who make two each. Returns what is said of it, and the orders.
fn all_orders(depth: u32, jobs: usize) -> (Report, BTreeSet<String>) {
    let orders: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let noted = orders.clone();
    let scenario = Scenario::new("orders", "counters", move |sim| {
        counter(sim);
        for client in ["ada", "bob"] {
            sim.spawn(client, move |cx| {
                let first = u64::from(client == "bob") * 2;
                // Connections are there then.
                let _ = cx.sleep(Duration::from_millis(100));
                let _ = (ask(cx, "Set", first), ask(cx, "Set", first + 1));
            });
        }
        let noted = noted.clone();
        sim.at_end("it is noted", move |sim| {
            let received = sim.received("counter");
            let order = received.iter().map(|it| number(&it.payload).to_string());
            noted
                .lock()
                .expect("nobody panicked")
                .insert(order.collect());
            true
        });
    });
    let explore = scenario.explore(0..u64::MAX).jobs(jobs);
    let strategy = format!("dfs:depth={depth}").parse().expect("a strategy");
    let report = explore.strategy(strategy).run();
    let orders = orders.lock().expect("nobody panicked").clone();
    (report, orders)
}

#[test]
fn all_orders_are_tried_and_each_once() {
    let (report, orders) = all_orders(14, 1);
    assert_eq!(report.exhausted, Some(true), "{report}");
    let all = ["0123", "0213", "0231", "2013", "2031", "2301"];
    assert!(orders.iter().eq(&all), "{orders:?}");
    let told = "  all orders of the first 14 choices were tried\n";
    assert!(report.to_string().contains(told), "{report}");
    // Most of them are the answers and what else connections carry.
    assert!((100..10_000).contains(&report.runs), "{report}");
}

#[test]
fn orders_that_were_not_tried_are_not_claimed() {
    let scenario = Scenario::new("few", "counters", |sim| {
        counter(sim);
        for client in ["ada", "bob"] {
            sim.spawn(client, |cx| ask(cx, "Add", 1));
        }
    });
    let explore = |runs: u64| {
        let strategy = "dfs:depth=5".parse().expect("a strategy");
        scenario
            .clone()
            .explore(7..7 + runs)
            .jobs(1)
            .strategy(strategy)
            .run()
    };
    let all = explore(1_000);
    assert_eq!(all.exhausted, Some(true), "{all}");
    let some = explore(2);
    assert_eq!((some.runs, some.exhausted), (2, Some(false)), "{some}");
    assert!(all.runs > some.runs, "{all}");
}

#[test]
fn processes_try_the_orders_that_one_tries() {
    let (one, _) = all_orders(4, 1);
    let (many, _) = all_orders(4, 3);
    let told = |report: &Report| (report.runs, report.hash, report.exhausted);
    assert_eq!(told(&one), told(&many));
    assert_eq!(one.exhausted, Some(true));
}

/// Explores one run of a client that asks again and again, and wants to be answered each time.
fn unanswered(faults: &str) -> Report {
    Scenario::new("unanswered", "counters", |sim| {
        counter(sim);
        sim.spawn("ada", |cx| {
            for _ in 0..20 {
                monofil_sim::always(ask(cx, "Add", 1).is_ok(), "each is answered");
                if cx.sleep(Duration::from_millis(500)).is_err() {
                    return;
                }
            }
        });
    })
    .faults(toml::from_str(faults).expect("faults"))
    .explore(1..2)
    .run()
}

/// What happens before a fault is of no use to whoever looks for what is wrong.
#[test]
fn a_fault_that_may_come_at_once_does() {
    let report = unanswered(
        r#"
        [[events]]
        event = "partition"
        at = "8s"
        lasts = "8s"
        from = ["ada"]
        to = ["*"]
        "#,
    );
    let found = found(&report);
    assert!(found.failure.at > Span::secs(12), "{report}");
    let at_last = found.shrunk.ran.failure.as_ref().expect("it fails").at;
    assert!(at_last <= Span::secs(5), "{report}");
    assert_eq!(found.shrunk.to.faults, 1, "{report}");
}

#[test]
fn of_what_is_wrong_one_way_only_what_matters_is_left() {
    let report = unanswered(
        r#"
        [[ways]]
        from = "counter"
        to = "*"
        link.loss = "20%"
        [[ways]]
        from = "ada"
        to = "*"
        link.loss = "20%"
        link.latency = { shape = "constant", time = "6s" }
        "#,
    );
    let shrunk = &found(&report).shrunk;
    assert_eq!((shrunk.from.faults, shrunk.to.faults), (3, 1), "{report}");
    let ways = shrunk.case.plan.as_ref().map(|plan| plan.ways.as_slice());
    let slow = LinkPlan {
        latency: Some(Shape::constant(Span::secs(6))),
        ..LinkPlan::default()
    };
    assert_eq!(ways, Some(&[Way::new("ada", "*", slow)][..]), "{report}");
}

#[test]
fn a_shrunk_order_has_only_the_frames_that_matter() {
    let report = Scenario::new("overtaken", "counters", |sim| {
        counter(sim);
        for client in ["ada", "bob"] {
            sim.spawn(client, move |cx| {
                for _ in 0..5 {
                    let _ = ask(cx, "Get", 0);
                }
                let _ = ask(cx, "Set", u64::from(client == "ada"));
            });
        }
        sim.at_end("bob is last", bob_is_last);
    })
    .faults(Faults {
        latency: Faults::network().latency,
        swarm: false,
        ..Faults::none()
    })
    .explore(0..200)
    .jobs(1)
    .run();
    let shrunk = &found(&report).shrunk;
    assert!(
        matches!(shrunk.case.schedule, Schedule::Fixed { .. }),
        "{report}"
    );
    assert!(
        shrunk
            .to
            .frames
            .is_some_and(|frames| (1..=2).contains(&frames)),
        "{report}"
    );
}

#[test]
fn a_budget_of_time_ends_it() {
    let explore = scenario().faults(Faults::none()).explore(0..u64::MAX);
    let report = explore
        .jobs(1)
        .for_time(Duration::from_millis(1))
        .shrink_for(Duration::ZERO)
        .run();
    assert!(report.runs < 100, "{report}");
}

#[test]
fn a_run_stops_at_each_request_that_comes_in_a_step() {
    let scenario = Scenario::new("together", "counters", |sim| {
        counter(sim);
        sim.spawn("ada", |cx| {
            // The connection is there then, and what is sent arrives together.
            let _ = ask(cx, "Get", 0);
            for method in ["Set", "Add", "Get"] {
                let payload = Payload::json(&1).expect("a number");
                let _ = cx.cast(Request::new("counter", method, payload));
            }
            let _ = cx.sleep(Duration::from_secs(1));
        });
    });
    for request in ["counter/Set", "counter/Add"] {
        let stop = StopAt {
            requests: vec![request.to_owned()],
            ..StopAt::default()
        };
        let why = scenario.replay(&Case::of_seed(1), &stop).why;
        let why = why.unwrap_or_else(|| panic!("it does not stop at {request}"));
        let method = request.rsplit('/').next().expect("it has one");
        let said = format!("`{method}` from `counters/ada` comes to `{request}`");
        assert!(why.starts_with(&said), "{why}");
    }
}

#[test]
fn the_command_that_replays_names_a_test_only_if_it_is_known() {
    let replay = |thread: &str| {
        let explore = Scenario::new("fails at once", "counters", |sim| {
            sim.spawn("ada", |cx| cx.sleep(Duration::from_secs(1)));
            sim.always("it is otherwise", |_| false);
        });
        let explore = explore.explore(0..1).shrink_for(Duration::ZERO);
        let thread = std::thread::Builder::new().name(thread.to_owned());
        let report = thread.spawn(move || explore.run()).expect("a thread");
        let report = report.join().expect("nothing panics");
        let commands = &found(&report).told.commands;
        let replay = commands.iter().find(|(name, _)| name == "replay");
        replay.expect("it is told how to replay it").1.clone()
    };
    assert!(
        replay("some::test").ends_with(".toml cargo test -p monofil-sim -- --exact some::test")
    );
    // With a single test thread.
    assert!(replay("main").ends_with(".toml cargo test -p monofil-sim"));
}

/// Explores on a thread that is called like this.
fn explored_on(thread: &str, explore: &Explore) -> Report {
    let explore = explore.clone().files_in(std::env::temp_dir());
    let thread = std::thread::Builder::new().name(thread.to_owned());
    let report = thread.spawn(move || explore.run()).expect("a thread");
    report.join().expect("nothing panics")
}

#[test]
fn runs_that_nobody_did_are_a_failure() {
    let explore = Scenario::new("nobody", "counters", |sim| {
        counter(sim);
        sim.spawn("ada", |cx| ask(cx, "Add", 1));
    })
    .explore(0..64)
    .jobs(2);
    // No test is called so: its processes do nothing, and all is well with them.
    let report = explored_on("explore::no_test", &explore);
    let failure = &found(&report).failure;
    assert!(!report.is_good());
    assert_eq!(failure.property, "the process survives");
    assert!(
        failure.text.contains("explore::no_test --exact"),
        "{failure}"
    );
    assert_eq!(found(&report).reproduced, None);
}

/// Has processes run a test again, whatever thread it is on here.
pub(crate) fn again(test: &str) -> Program {
    let words = [test, "--exact", "--nocapture", "--test-threads=1"];
    let program = std::env::current_exe()
        .expect("this program")
        .into_os_string();
    let words = words.map(std::ffi::OsString::from);
    Program {
        called: test.to_owned(),
        command: std::iter::once(program).chain(words).collect(),
        args: Vec::new(),
        layout: BTreeMap::new(),
    }
}

/// Runs a test again, in a process that is told by its environment that it is this one.
pub(crate) fn run_again(test: &str, child: &str) -> std::process::Output {
    let command = again(test).command;
    let output = std::process::Command::new(&command[0])
        .args(&command[1..])
        .env(child, "1")
        .output();
    output.expect("this program starts")
}

#[test]
fn a_handler_that_ends_the_process_is_a_failure_whatever_it_says() {
    let report = Scenario::new("quits", "counters", |sim| {
        counter(sim);
        let quits = sim.seed() == 5;
        sim.spawn("ada", move |cx| {
            if ask(cx, "Add", 1).is_ok() && quits {
                std::process::exit(0);
            }
        });
    })
    .explore(0..8)
    .jobs(2)
    .of_program(again(
        "explore::a_handler_that_ends_the_process_is_a_failure_whatever_it_says",
    ))
    .run();
    assert_eq!(found(&report).run, 5);
    assert_eq!(found(&report).failure.property, "the process survives");
}

/// Records have the first bytes of a payload.
#[test]
fn what_differs_beyond_what_records_show_is_named_as_that() {
    let scenario = Scenario::new("long", "counters", |sim| {
        counter(sim);
        sim.spawn("ada", |cx| {
            let text = format!("{}{:010}", "a".repeat(10_000), std::process::id());
            let _ = cx.call(Request::new("counter", "Get", Payload::bytes(text)));
        });
    });
    let explore = scenario.explore(0..2).jobs(1);
    let test = "explore::what_differs_beyond_what_records_show_is_named_as_that";
    let said = explore.of_program(again(test)).check_determinism();
    let said = said.expect_err("processes have numbers of their own");
    let last = said.lines().last().unwrap_or_default();
    assert!(last.trim().starts_with("hash of all of it "), "{said}");
}

#[test]
fn a_process_that_ends_on_the_way_to_its_exploration_says_so() {
    let counted = |name: &str| {
        Scenario::new(name, "counters", |sim| {
            counter(sim);
            sim.spawn("ada", |cx| ask(cx, "Add", 1));
        })
    };
    let first = counted("on the way").explore(0..2).jobs(1).run();
    // A process of the second exploration has no report of the first.
    assert_eq!(first.runs, 2);
    let second = counted("never come to").explore(0..2).jobs(2);
    let report = second
        .of_program(again(
            "explore::a_process_that_ends_on_the_way_to_its_exploration_says_so",
        ))
        .run();
    let failure = &found(&report).failure;
    assert_eq!(failure.property, "the process survives");
    let said = "it may have ended on the way to this exploration";
    assert!(failure.text.contains(said), "{failure}");
}

#[test]
fn what_one_run_leaves_to_the_next_is_found() {
    /// Sends what is left of the runs before it.
    fn leaky(name: &str) -> Scenario {
        static RUNS: AtomicU64 = AtomicU64::new(0);
        Scenario::new(name, "counters", |sim| {
            counter(sim);
            sim.spawn("ada", |cx| {
                let before = RUNS.fetch_add(1, Ordering::Relaxed);
                ask(cx, "Set", before)
            });
        })
    }
    // However many processes there are, and if there are as many as runs.
    let said = [1, 2, 6].map(|jobs| {
        let explore = leaky(&format!("leaky {jobs}")).explore(0..6).jobs(jobs);
        let explore =
            explore.of_program(again("explore::what_one_run_leaves_to_the_next_is_found"));
        explore.check_determinism()
    });
    // A process that does runs does not come here: it ends in one of the three.
    for said in said {
        let said = said.expect_err("they are not the same");
        assert!(said.contains("is not the same twice"), "{said}");
        assert!(
            said.contains("something is left of the runs before it"),
            "{said}"
        );
    }
}

#[test]
fn no_run_at_all_is_no_success() {
    let scenario = || Scenario::new("none", "counters", counter);
    let no_time = scenario().explore(0..4).for_time(Duration::ZERO);
    let said = [scenario().explore(5..5), no_time].map(|explore| {
        let report = explore.clone().jobs(1).run();
        (report, explore.check_determinism())
    });
    // A process that does runs does not come here.
    for (report, checked) in said {
        assert!(!report.is_good() && report.to_string().contains("NOT DONE: 1 runs"));
        let said = checked.expect_err("nothing was done");
        assert!(said.contains("was done twice"), "{said}");
    }
}

#[test]
fn a_check_that_a_stuck_run_ended_is_not_done() {
    let scenario = Scenario::new("stuck check", "counters", |sim| {
        counter(sim);
        let is_stuck = sim.seed() == 2;
        sim.spawn("ada", move |cx| {
            let _ = ask(cx, "Add", 1);
            if is_stuck {
                loop {
                    std::hint::spin_loop();
                }
            }
        });
    });
    let scenario = scenario.patience(Duration::from_millis(500));
    let explore = scenario.explore(0..6).jobs(1);
    let explore = explore.of_program(again("explore::a_check_that_a_stuck_run_ended_is_not_done"));
    let said = explore.check_determinism().expect_err("run 2 is stuck");
    assert!(
        said.contains("3 runs of `stuck check` were not done: run 2"),
        "{said}"
    );
}

#[test]
fn runs_that_were_not_done_are_not_the_same() {
    let explore = Scenario::new("nobody", "counters", |_| {}).explore(0..4);
    let explore = explore.of_program(again("explore::no_test"));
    let said = explore.check_determinism().expect_err("nothing was done");
    assert!(
        said.starts_with("run 0 of `nobody` cannot be compared: "),
        "{said}"
    );
}

/// Writes a file of a run of seed 0.
fn written(folder: &Path, scenario: &str, hash: &str) -> PathBuf {
    let file = CaseFile {
        faults: None,
        scenario: scenario.to_owned(),
        run: 0,
        hash: hash.to_owned(),
        args: Vec::new(),
        layout: BTreeMap::new(),
        failure: Failure {
            property: "it fails".to_owned(),
            text: "it failed once".to_owned(),
            ..Failure::default()
        },
        case: Case::of_seed(0),
    };
    let path = folder.join(format!("{}.toml", file.name()));
    file.write(&path).expect("a file");
    path
}

#[test]
fn what_is_replayed_is_said() {
    const TEST: &str = "explore::what_is_replayed_is_said";
    const PINNED: &str = "MONOFIL_PINNED";
    let scenario = Scenario::new("replayed", "counters", |sim| {
        counter(sim);
        sim.spawn("ada", |cx| ask(cx, "Add", 1));
    });
    let explore = scenario.clone().explore(0..1).jobs(1);
    let is_set = |variable| std::env::var_os(variable).is_some();
    if is_set("SIM_REPLAY") || is_set("SIM_BREAK") {
        return explore.check();
    }
    if let Some(folder) = std::env::var_os(PINNED) {
        return explore.pinned(folder).check();
    }
    if let Some(folder) = std::env::var_os(PINNED) {
        return explore.pinned(folder).check();
    }
    let hash = scenario.run(&Case::of_seed(0), Keep::default()).hash;
    let folder = std::env::temp_dir().join(format!("monofil-replayed-{}", std::process::id()));
    let is_same = "does not fail, and is the run that was written down";
    let none = "nothing was replayed: ";
    for (name, hash, stop, said) in [
        ("replayed", hash.to_string(), None, is_same),
        (
            "replayed",
            "0".to_owned(),
            None,
            "does not fail, and is another run than",
        ),
        ("another", hash.to_string(), None, none),
        (
            "replayed",
            hash.to_string(),
            Some(("SIM_UNTIL", "1ms")),
            "stopped: it is 0.0",
        ),
        (
            "replayed",
            hash.to_string(),
            Some(("SIM_BREAK", "nosuch, counter/Add")),
            "stopped: `Add` from `counters/ada` comes to `counter/Add`",
        ),
        (
            "replayed",
            hash.to_string(),
            Some(("SIM_BREAK", "counter/Foo")),
            "never reached: `counter/Foo`",
        ),
        (
            "replayed",
            hash.to_string(),
            Some(("SIM_BREAK", "counter/Foo")),
            is_same,
        ),
        (
            "another",
            hash.to_string(),
            Some(("SIM_UNTIL", "1ms")),
            none,
        ),
    ] {
        let command = again(TEST).command;
        let output = std::process::Command::new(&command[0])
            .args([TEST, "--exact"])
            .env("SIM_REPLAY", written(&folder, name, &hash))
            .envs(stop)
            .output();
        let output = output.expect("this program starts");
        let heard = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && heard.contains(said), "{heard}");
    }
    let command = again(TEST).command;
    for (hash, is_another) in [(hash.to_string(), false), ("0".to_owned(), true)] {
        written(&folder, "replayed", &hash);
        let mut pinned = std::process::Command::new(&command[0]);
        pinned.args([TEST, "--exact"]).env(PINNED, &folder);
        let output = pinned.output().expect("this program starts");
        let heard = String::from_utf8_lossy(&output.stderr);
        let is_said = heard.contains("replayed-0.toml does not fail, and is another run than");
        assert!(output.status.success() && is_said == is_another, "{heard}");
    }
    std::fs::remove_dir_all(folder).expect("it was there");
    let mut alone = std::process::Command::new(&command[0]);
    alone
        .args([TEST, "--exact"])
        .env("SIM_BREAK", "counter/Add");
    let output = alone.output().expect("this program starts");
    let heard = String::from_utf8_lossy(&output.stdout);
    let said = "`SIM_BREAK` is set and `SIM_REPLAY` is not";
    assert!(!output.status.success() && heard.contains(said), "{heard}");
}

#[test]
#[should_panic(expected = "tests/pined, which is to have pinned runs, cannot be read")]
fn a_folder_of_pinned_runs_that_is_not_there_is_no_empty_one() {
    let explore = scenario().explore(0..1).jobs(1);
    explore.pinned("tests/pined").check();
}

#[test]
fn a_pinned_run_that_fails_says_whether_it_is_the_same_run() {
    let scenario = Scenario::new("pinned", "counters", |sim| {
        sim.spawn("ada", |_| panic!("oh no"));
    });
    let hash = scenario.run(&Case::of_seed(0), Keep::default()).hash;
    let folder = std::env::temp_dir().join(format!("monofil-pinned-{}", std::process::id()));
    for (hash, is_same) in [(hash.to_string(), true), ("0".to_owned(), false)] {
        written(&folder, "pinned", &hash);
        let explore = scenario.clone().explore(0..1).jobs(1).pinned(&folder);
        let panicked = std::thread::spawn(move || explore.run())
            .join()
            .expect_err("it fails");
        let text = panicked.downcast_ref::<String>().expect("a text");
        assert!(
            text.contains("pinned-0.toml fails") && text.contains("oh no"),
            "{text}"
        );
        assert!(
            text.contains("  view  ") && text.contains("pinned-0.html\n"),
            "{text}"
        );
        assert_eq!(!text.contains("another run than"), is_same, "{text}");
    }
    std::fs::remove_dir_all(folder).expect("it was there");
}

#[test]
#[cfg(target_os = "linux")]
fn a_handler_that_ends_the_process_of_the_test_is_named() {
    const TEST: &str = "explore::a_handler_that_ends_the_process_of_the_test_is_named";
    const CHILD: &str = "MONOFIL_ENDS";
    if std::env::var_os(CHILD).is_some() {
        let scenario = Scenario::new("ends", "counters", |sim| {
            counter(sim);
            sim.spawn("ada", |_| std::process::exit(0));
        });
        return scenario.explore(0..1).jobs(1).check();
    }
    let output = run_again(TEST, CHILD);
    let heard = String::from_utf8_lossy(&output.stderr);
    let said = "`counters/ada` ends the process in `start`";
    assert!(heard.contains(said) && !output.status.success(), "{heard}");
}

/// Who calls nobody tests nothing, unless a mark says what else is to be done.
#[test]
fn runs_in_which_no_component_is_called_are_no_success() {
    let explored_under = |faults: &Faults, build: fn(&mut Sim)| {
        let scenario = Scenario::new("idle", "counters", move |sim| {
            counter(sim);
            build(sim);
        });
        scenario.faults(faults.clone()).explore(0..2).jobs(1).run()
    };
    let explored = |build| explored_under(&Faults::none(), build);
    // That a fault came that was written down is no work that was done.
    let mut crash = Faults::none();
    crash.events.push(Event {
        at: Span::default(),
        lasts: None,
        what: Happening::Crash {
            node: "counter".to_owned(),
            machine: false,
        },
    });
    for faults in [Faults::none(), crash] {
        let idle = explored_under(&faults, |sim| {
            sim.spawn("ada", |_| ());
        });
        assert!(!idle.is_good() && idle.found.is_none(), "{idle}");
        assert_eq!(idle.unreached().next(), None, "{idle}");
        let said = "NOTHING DONE: no request came to a component in any run; ";
        assert!(idle.to_string().contains(said), "{idle}");
        assert!(idle.cases().iter().any(|case| case.failure.is_some()));
    }
    for busy in [
        explored(|sim| {
            sim.spawn("ada", |cx| ask(cx, "Add", 1));
        }),
        explored(|sim| {
            sim.spawn("ada", |cx| {
                let one = Payload::json(&1).expect("a number");
                let _ = cx.cast(Request::new("counter", "Add", one));
                let _ = cx.sleep(Duration::from_secs(1));
            });
        }),
        explored(|sim| {
            sim.sometimes("all is there", |sim| sim.world().is_up(sim.key("counter")));
        }),
    ] {
        assert!(busy.is_good(), "{busy}");
    }
}
