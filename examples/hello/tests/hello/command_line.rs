//! What the README shows.

use crate::program::{Program, call, hello, node};

#[test]
fn a_call_in_one_process_prints_the_reply() {
    let ended = Program::start(&mut hello([
        "call",
        "greeter",
        "SayHello",
        r#"{"name": "Ada"}"#,
    ]))
    .finish();
    assert_eq!(ended.output, "{\"text\":\"Hello, Ada!\"}\n", "{ended:?}");
    assert_eq!(ended.errors, "");
    assert!(ended.status.success());
}

#[test]
fn a_running_node_is_called_where_it_listens() {
    let (_node, endpoint) = node();
    let ended = call("Ada", &["--at", &endpoint]);
    assert_eq!(ended.output, "{\"text\":\"Hello, Ada!\"}\n", "{ended:?}");
    assert!(ended.status.success());
}
