//! Time in a queue, limited and not: what that does to those who wait.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use monofil_container::{Caller, Context, InstanceLimits, Message, Reply};
use monofil_tests::{ComponentDef, Hooks, Net, NodeSpec, SimNet, component, hooked, text};

/// How long a handler takes; nothing else is handled meanwhile.
const SERVICE: Duration = Duration::from_millis(2);
const RUN: Duration = Duration::from_secs(8);

fn worker(queue_time: Option<Duration>) -> ComponentDef {
    let worker = component("worker", || {
        |cx: &mut Context, _: Message| {
            cx.sleep(SERVICE)?;
            Ok(Reply::Empty)
        }
    });
    worker.limits(InstanceLimits {
        queue_time,
        queue_messages: 100_000,
        ..InstanceLimits::default()
    })
}

/// How many calls ended well, and how many otherwise.
#[derive(Default)]
struct Ends {
    answered: Cell<u64>,
    failed: Cell<u64>,
}

/// Calls one after the other, each with so much time, after pauses.
fn caller(number: usize, ends: &Rc<Ends>, pause: Duration, within: Duration) -> ComponentDef {
    let name = format!("c{number}").leak();
    let ends = ends.clone();
    hooked(name, move || {
        let ends = ends.clone();
        Hooks::new(|_, _| Ok(Reply::Empty)).start(move |cx, _| {
            while cx.now().since(Default::default()) < RUN {
                let time = cx.rng().between(Duration::ZERO, pause * 2);
                cx.sleep(time)?;
                let ends_so = match cx.call(text("worker", "Do", "").with_deadline(within)) {
                    Ok(_) => &ends.answered,
                    Err(_) => &ends.failed,
                };
                ends_so.set(ends_so.get() + 1);
            }
            Ok(())
        })
    })
}

/// Lets so many call, and returns how many calls were answered each second, and how many were not.
fn run(
    queue_time: Option<Duration>,
    callers: usize,
    pause: Duration,
    within: Duration,
) -> (u64, u64) {
    let ends = Rc::<Ends>::default();
    let mut net = SimNet::new(1);
    let callers = (0..callers).map(|number| caller(number, &ends, pause, within));
    net.start(vec![
        NodeSpec::new("one", vec![worker(queue_time)]),
        NodeSpec::new("two", callers.collect()),
    ]);
    net.world().run_for(RUN + Duration::from_secs(5));
    let seconds = RUN.as_secs();
    (ends.answered.get() / seconds, ends.failed.get() / seconds)
}

const TARGET: Option<Duration> = Some(Duration::from_millis(5));

#[test]
fn where_callers_wait_for_their_answers_a_limit_of_time_in_the_queue_only_harms() {
    // Forty callers, each with one call at a time: the queue stands at forty, and everybody has five seconds. The
    // limit makes nothing faster; four calls of five are refused that would have been answered in 80 ms.
    let (pause, within) = (Duration::from_millis(1), Duration::from_secs(5));
    let (free, failed) = run(None, 40, pause, within);
    let (limited, refused) = run(TARGET, 40, pause, within);
    println!("closed loop: {free}/s, {failed} failed; limited: {limited}/s, {refused} failed");
    assert_eq!(failed, 0);
    assert!(
        limited <= free && refused > free,
        "{limited} of {free}, {refused} refused"
    );
}

#[test]
fn where_callers_give_up_early_a_limit_of_time_in_the_queue_keeps_work_useful() {
    // As many, who have 60 ms of the 80 ms that the queue would take. Breakers turn most calls away, then; with the limit
    // there is no need to.
    let (pause, within) = (Duration::from_millis(1), Duration::from_millis(60));
    let (free, failed) = run(None, 40, pause, within);
    let (limited, refused) = run(TARGET, 40, pause, within);
    println!("impatient: {free}/s, {failed} failed; limited: {limited}/s, {refused} failed");
    assert!(
        limited > free && refused < failed,
        "{limited} {free} {failed} {refused}"
    );
}
