//! Zenoh between two peers: casts by publishing, calls as queries.

use std::sync::mpsc;

use bench_worker::{Job, Laps, Meter, Role, Task, number, ready};
use zenoh::qos::CongestionControl;
use zenoh::query::Querier;
use zenoh::{Config, Session, Wait};

use super::{Payloads, answered};
use crate::port::free_port;

const KEY: &str = "bench/sink";

pub(crate) fn run(job: &Job) -> ! {
    zenoh::init_log_from_env_or("error");
    match (&job.role, job.task) {
        (Role::Client { address }, Task::Cast { bytes }) => {
            source(&open("connect", address), bytes)
        }
        (Role::Client { address }, Task::Call { outstanding, .. }) => {
            let session = open("connect", address);
            let querier = session.declare_querier(KEY).wait().expect("a querier");
            match outstanding {
                1 => laps(&querier, job),
                _ => calls(&querier, job, outstanding),
            }
        }
        _ => serve(job),
    }
}

/// Opens a session that finds nobody by itself.
fn open(how: &str, endpoint: &str) -> Session {
    let mut config = Config::default();
    let mut set = |key: &str, value: &str| config.insert_json5(key, value).expect("a setting");
    set("mode", "\"peer\"");
    set("scouting/multicast/enabled", "false");
    set("listen/endpoints", "[]");
    set(&format!("{how}/endpoints"), &format!("[\"{endpoint}\"]"));
    zenoh::open(config).wait().expect("a session")
}

fn serve(job: &Job) -> ! {
    let address = format!("tcp/127.0.0.1:{}", free_port());
    let session = open("listen", &address);
    if matches!(job.task, Task::Cast { .. }) {
        let mut meter = Meter::new(job);
        let take = move |sample: zenoh::sample::Sample| {
            meter.take(number(&sample.payload().to_bytes()));
        };
        let declared = session.declare_subscriber(KEY).callback_mut(take);
        declared.background().wait().expect("a subscriber");
    } else {
        let answer = |query: zenoh::query::Query| {
            let payload = query.payload().cloned().unwrap_or_default();
            query.reply(KEY, payload).wait().expect("it is sent");
        };
        let declared = session.declare_queryable(KEY).callback(answer);
        declared.background().wait().expect("a queryable");
    }
    ready(address);
    loop {
        std::thread::park();
    }
}

fn source(session: &Session, bytes: usize) -> ! {
    let publisher = session
        .declare_publisher(KEY)
        .congestion_control(CongestionControl::Block)
        .wait()
        .expect("a publisher");
    let mut payloads = Payloads::of(bytes);
    for number in 0.. {
        let payload = payloads.make(number);
        publisher.put(payload).wait().expect("it is sent");
    }
    unreachable!("numbers do not end")
}

/// Calls until somebody answers: what is asked before that finds nobody.
fn meet(querier: &Querier<'_>, payloads: &mut Payloads) {
    loop {
        let asked = querier.get().payload(payloads.make(0)).wait();
        if asked.expect("it is sent").recv().is_ok() {
            return;
        }
    }
}

fn laps(querier: &Querier<'_>, job: &Job) -> ! {
    let mut payloads = Payloads::of(job.bytes());
    meet(querier, &mut payloads);
    let mut laps = Laps::new(job);
    for number in 0.. {
        laps.begin();
        let asked = querier.get().payload(payloads.make(number)).wait();
        let answer = asked.expect("it is sent").recv().expect("an answer");
        laps.end();
        let answer = answer.into_result().expect("an answer");
        answered(&answer.payload().to_bytes(), number, job.bytes());
    }
    unreachable!("numbers do not end")
}

fn calls(querier: &Querier<'_>, job: &Job, outstanding: usize) -> ! {
    let mut payloads = Payloads::of(job.bytes());
    meet(querier, &mut payloads);
    let mut meter = Meter::new(job);
    let (sender, answers) = mpsc::channel();
    for next in 0.. {
        let (sender, payload) = (sender.clone(), payloads.make(next));
        let answer = move |answer: zenoh::query::Reply| {
            // Nobody is left to be told when that fails.
            let _ = sender.send((next, answer));
        };
        let asked = querier.get().payload(payload).callback(answer).wait();
        asked.expect("it is sent");
        if next >= outstanding as u64 - 1 {
            let (number, answer) = answers.recv().expect("an answer");
            let answer = answer.into_result().expect("an answer");
            answered(&answer.payload().to_bytes(), number, job.bytes());
            // They may overtake one another.
            meter.count();
        }
    }
    unreachable!("numbers do not end")
}
