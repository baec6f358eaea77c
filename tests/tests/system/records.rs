//! What is recorded of a run.

use std::time::Duration;

use monofil_container::{Caller, Reply};
use monofil_inproc::WorldConfig;
use monofil_tests::{Net, NodeSpec, SimNet, component, text};
use monofil_transport::record::{Record, Recording, What};

/// A line for each record of containers, with numbers as they come.
fn lines(recording: &Recording) -> Vec<String> {
    let mut messages = vec![0];
    let mut number = |message: u64| {
        let known = messages.iter().position(|known| *known == message);
        known.unwrap_or_else(|| {
            messages.push(message);
            messages.len() - 1
        })
    };
    let mut lines = Vec::new();
    for Record { node, what, .. } in &recording.records {
        let node = &recording.nodes[node.expect("of a node") as usize];
        let line = match what {
            What::Sent(sent) => {
                let (message, cause) = (number(sent.message), number(sent.cause));
                let line = sent.place.expect("requests know where they were made");
                assert!(line.file().ends_with("records.rs"), "{line}");
                let (manner, to, flow, payload) =
                    (sent.manner, &sent.to, &sent.flow, &sent.payload);
                format!("{manner:?} {message} of {cause} to {to} in `{flow}`: {payload}")
            }
            What::Queued {
                message, component, ..
            } => format!("{} queued for {component}", number(*message)),
            What::Began {
                message, method, ..
            } => format!("{method} of {} begins", number(*message)),
            What::Suspended { place, .. } => {
                assert!(place.file().ends_with("records.rs"), "{place}");
                "waits".to_owned()
            }
            What::Resumed { .. } => "goes on".to_owned(),
            What::Ended { error, .. } => format!("ends {error:?}"),
            What::CallEnded { outcome, .. } => format!("is answered {outcome:?}"),
            What::CastReturned { error, .. } => format!("has back: {error}"),
            _ => continue,
        };
        lines.push(format!("{node}: {line}"));
    }
    lines
}

#[test]
fn a_call_that_makes_a_call_is_recorded_from_end_to_end() {
    let mut net = SimNet::with(WorldConfig {
        records_max: 10_000,
        ..WorldConfig::with_seed(1)
    });
    let shop = component("shop", || {
        |cx, _| {
            cx.sleep(Duration::from_millis(5))?;
            cx.cast(text("nobody", "Hear", "me"))
                .expect_err("there is none");
            Ok(Reply::Payload(cx.call(text("bank", "Pay", "7"))?))
        }
    });
    let bank = component("bank", || {
        |_, message| match &message.payload().to_bytes()[..] {
            b"7" => Ok(Reply::Payload(message.payload().clone())),
            _ => panic!("no money"),
        }
    });
    let (one, other) = (
        NodeSpec::new("one", vec![shop]),
        NodeSpec::new("other", vec![bank]),
    );
    net.start(vec![one, other]);
    (&mut net as &mut dyn Net).run(|cx| {
        cx.call(text("shop", "Buy", "hat").with_flow("hats"))
            .expect("sold");
        cx.call(text("bank", "Pay", "8")).expect_err("too much");
    });
    let lines = lines(&net.world().recording());
    let expected = [
        "one: start of 0 begins",
        "one: ends None",
        "other: start of 0 begins",
        "other: ends None",
        "test-1: start of 0 begins",
        "test-1: Call 1 of 0 to test/shop in `hats`: hat",
        "test-1: waits",
        "one: 1 queued for test/shop",
        "one: Buy of 1 begins",
        "one: waits",
        "one: goes on",
        "one: Cast 2 of 1 to test/nobody in `hats`: me",
        "one: has back: unreachable: no node is known to run `test/nobody`; \
         known are: test/bank, test/shop",
        "one: Call 3 of 1 to test/bank in `hats`: 7",
        "one: waits",
        "other: 3 queued for test/bank",
        "other: Pay of 3 begins",
        "other: ends None",
        r#"one: is answered Ok("7")"#,
        "one: goes on",
        "one: ends None",
        r#"test-1: is answered Ok("7")"#,
        "test-1: goes on",
        "test-1: Call 4 of 0 to test/bank in ``: 8",
        "test-1: waits",
        "other: 4 queued for test/bank",
        "other: Pay of 4 begins",
        r#"other: ends Some("panicked: no money")"#,
        "other: start of 0 begins",
        "other: ends None",
        r#"test-1: is answered Err("the handler panicked: no money")"#,
        "test-1: goes on",
        "test-1: ends None",
    ];
    assert_eq!(lines, expected);
}
