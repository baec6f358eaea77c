//! Handlers that wait, and where they are.

use std::time::Duration;

use monofil_container::{
    CallError, Caller, Component, ComponentSpec, Context, HandlerError, Message, Payload, Reply,
    Request,
};
use monofil_inproc::WorldConfig;
use monofil_sim::{Sim, stacks};

/// Waits in a function of its own.
struct Patient;

#[inline(never)]
fn rest(cx: &mut Context) -> Result<(), CallError> {
    let rested = cx.sleep(Duration::from_secs(1));
    // A wait that is the last thing a function does may be a jump in an optimised build, and the function gone.
    std::hint::black_box(rested)
}

impl Component for Patient {
    fn handle(&mut self, cx: &mut Context, _: Message) -> Result<Reply, HandlerError> {
        rest(cx)?;
        Ok(Reply::Empty)
    }
}

#[test]
fn a_handler_that_waits_shows_the_stack_of_its_component() {
    let mut sim = Sim::with(
        "rests",
        WorldConfig {
            records_max: 1_000,
            ..WorldConfig::with_seed(1)
        },
    );
    sim.component("patient", || ComponentSpec::new("patient", || Patient));
    let recorder = sim.world().recorder().expect("it records").clone();
    recorder.keep_stacks();
    assert_eq!(stacks::text(&recorder), "no handler waits\n");
    sim.spawn("ada", |cx| {
        cx.call(Request::new("patient", "Rest", Payload::default()))
    });
    sim.run_for(Duration::from_millis(500));
    let text = stacks::text(&recorder);
    let [patient, ada] = text
        .split_inclusive("\n")
        .filter(|line| line.contains(" on "))
        .collect::<Vec<_>>()[..]
    else {
        panic!("not two handlers wait:\n{text}");
    };
    assert!(
        patient.starts_with("rests/patient Rest on patient, since 0."),
        "{text}"
    );
    assert!(ada.contains("on ada, since 0.000000s, at"), "{text}");
    // The function that waits, and the handler that called it; nothing of what is below.
    let (waits, handles) = (text.find("rest\n"), text.find("handle\n"));
    assert!(waits.is_some() && waits < handles, "{text}");
    let lines = text.lines().count();
    assert!(lines <= 8 && !text.contains("step_until"), "{text}");
    sim.run_for(Duration::from_secs(1));
    assert_eq!(stacks::text(&recorder), "no handler waits\n");
}
