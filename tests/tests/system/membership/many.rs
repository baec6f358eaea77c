//! A directory of many nodes: what comes is callable from everywhere at once, what died is called by nobody.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use monofil_container::{CallError, Caller, ComponentKind, Payload, Reply};
use monofil_inproc::NodeKey;
use monofil_tests::{ComponentDef, Hooks, component, hooked, number, text};
use monofil_transport::Instant;

use crate::village::{SECOND, Village, id, seeds};

/// How often those who ask look whether they are to ask.
const LOOK: Duration = Duration::from_millis(50);

/// When it came, and what it was.
type Answer = (Instant, Result<String, CallError>);

/// What everybody is told to ask, and was answered.
#[derive(Clone, Default)]
struct Questions {
    asked: Rc<Cell<u64>>,
    answers: Rc<RefCell<Vec<Answer>>>,
}

impl Questions {
    /// A component that calls another once each time that it is told to.
    fn asker(&self) -> ComponentDef {
        let all = self.clone();
        hooked("asker", move || {
            let all = all.clone();
            let mut done = 0;
            let first = |cx: &mut monofil_container::Context, _| {
                cx.cast(text("test/asker", "Look", ""))
                    .map(drop)
                    .map_err(|error| monofil_container::Status::internal(error.to_string()))
            };
            Hooks::new(move |cx, _| {
                if done < all.asked.get() {
                    done += 1;
                    let request = text("test/echo", "Say", "").with_deadline(SECOND * 2);
                    let answer = cx.call(request);
                    let answer =
                        answer.map(|it| String::from_utf8_lossy(&it.to_bytes()).into_owned());
                    all.answers.borrow_mut().push((cx.now(), answer));
                }
                cx.after(LOOK, text("test/asker", "Look", ""))
                    .expect("room for one");
                Ok(Reply::Payload(Payload::default()))
            })
            .start(first)
        })
    }

    /// Has everybody ask, and returns who answered and how long the last answer took.
    fn ask(&self, village: &mut Village, nodes: &[NodeKey]) -> (Vec<String>, Duration) {
        let began = village.now();
        self.answers.borrow_mut().clear();
        self.asked.set(self.asked.get() + 1);
        village.wait_until(SECOND * 5, "all have an answer", |_| {
            self.answers.borrow().len() == nodes.len()
        });
        let answers = self.answers.borrow();
        let last = answers.iter().map(|(at, _)| at.since(began)).max();
        let said = |(_, answer): &Answer| answer.clone().expect("somebody answers");
        let who = answers.iter().map(said).collect();
        (who, last.unwrap_or_default())
    }
}

fn echo(says: &'static str) -> ComponentDef {
    component("echo", move || {
        move |_, _| Ok(Reply::Payload(Payload::bytes(says)))
    })
    .kind(ComponentKind::Stateless)
}

/// `MEMBERS=1000` does it in a network of that size, for which an optimised build is wanted.
#[test]
fn what_comes_is_callable_from_everywhere_and_what_died_from_nowhere() {
    let size = number("MEMBERS").map_or(60, |size| usize::try_from(size).expect("a size"));
    let mut village = Village::new(1);
    let questions = Questions::default();
    let nodes: Vec<NodeKey> = (0..size)
        .map(|number| {
            let asker = vec![questions.asker()];
            village.join(&format!("n{number}"), &seeds(&["n0"]), asker)
        })
        .collect();
    village.wait_until(SECOND * 120, "all are there", |village| {
        village.is_whole(&nodes)
    });
    let quiet = village.rest(&nodes);

    // Each passes it on at once, so that it comes to all before they would have spoken next.
    village.join("herald", &seeds(&["n0"]), Vec::new());
    let half = Duration::from_millis(500);
    let heard = village.wait_until(half, "all have heard of it", |village| {
        nodes
            .iter()
            .all(|of| village.state(*of, "herald").is_some())
    });

    // Everybody asks when it comes, and waits for it.
    let one = village.join("one", &seeds(&["n0"]), vec![echo("one")]);
    let (who, found) = questions.ask(&mut village, &nodes);
    assert!(who.iter().all(|it| it == "one"));
    assert!(found < SECOND, "found by all after {found:?}");

    village.join("other", &seeds(&["n0"]), vec![echo("other")]);
    village.run(SECOND * 5);
    let (who, _) = questions.ask(&mut village, &nodes);
    let of_one = who.iter().filter(|it| *it == "one").count();
    assert!(of_one > 0, "nobody would choose it if it lived");

    let died = village.now();
    village.world().vanish(one);
    let gone = seeds(&[]).suspect_for(size, SECOND) + SECOND * 8;
    village.wait_until(gone, "everybody has noticed", |village| {
        let is_up = |of: &NodeKey| village.state(*of, "one").is_some_and(|it| it.is_up());
        !nodes.iter().any(is_up)
    });
    let noticed = village.now().since(died);
    let (who, answered) = questions.ask(&mut village, &nodes);
    assert!(who.iter().all(|it| it == "other"));
    assert!(answered < SECOND, "it took {answered:?}");
    assert!(nodes.iter().all(|of| !village.up(*of).contains(&id("one"))));
    println!(
        "{size} members, quiet after {quiet:.0?}: all had heard of one that came after {heard:.0?}, and had an answer \
         {found:.0?} after a component came; one that died, which {of_one} had chosen, was noticed by all after \
         {noticed:.1?}, and chosen by nobody then: answers after {answered:.0?} at most"
    );
}
