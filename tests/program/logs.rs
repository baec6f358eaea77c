//! What log lines say.

use serde_json::Value;

use crate::support::place;

/// Runs the program with JSON log lines and returns those with this text.
fn lines(args: &str, body: &str) -> Vec<Value> {
    let run = place().run(&format!("{args} --log-level info --log-format json"));
    run.err
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a line is an object of JSON"))
        .filter(|line| line["body"] == body)
        .collect()
}

#[test]
fn a_line_of_a_handler_says_what_it_is_at() {
    for layout in ["run", "up", "sim"] {
        let logged = lines(&format!("{layout} --then log"), "something was noticed");
        let [line] = &logged[..] else {
            panic!("{layout}: one line was expected: {logged:?}");
        };
        for (name, expected) in [
            ("severity", Value::from("WARN")),
            ("node", "worker".into()),
            ("component", "app/worker".into()),
            ("instance", 0.into()),
            ("method", "log".into()),
            ("flow", "inspection".into()),
        ] {
            assert_eq!(line[name], expected, "{layout}: {name} in {line}");
        }
        assert_eq!(line["attributes"]["answer"], 42, "{layout}: {line}");
        assert!(line["message_id"].is_u64(), "{layout}: {line}");
        for (name, digits) in [("trace_id", 32), ("span_id", 16)] {
            let id = line[name].as_str().unwrap_or_default();
            let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
            assert!(
                id.len() == digits && id.chars().all(is_hex),
                "{layout}: {line}"
            );
        }
    }
}

#[test]
fn a_line_of_no_message_carries_no_message() {
    let logged = lines("run --times 3", "stopped");
    let [line] = &logged[..] else {
        panic!("one line was expected: {logged:?}");
    };
    assert_eq!(line["component"], "app/worker", "{line}");
    assert_eq!(line["method"], "stop", "{line}");
    for absent in ["message_id", "flow", "trace_id"] {
        assert!(line.get(absent).is_none(), "{line}");
    }
}

#[test]
fn a_node_that_listens_names_both_its_addresses() {
    let place = place();
    for (listen, transport) in [("", "ipc"), ("--listen tcp://127.0.0.1:*", "tcp")] {
        let mut node = place.start(&format!("run worker {listen} --log-format json"));
        let line = node.wait_for(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            (line["body"] == "listening").then_some(line)
        });
        let [endpoint, control] =
            ["endpoint", "control"].map(|name| line["attributes"][name].as_str().unwrap_or(""));
        for address in [endpoint, control] {
            assert!(address.starts_with(&format!("{transport}://")), "{line}");
        }
        assert_ne!(endpoint, control, "{line}");
    }
}
