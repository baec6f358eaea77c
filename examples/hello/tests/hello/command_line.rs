//! What the README shows.

use monofil_tests::Program;

use crate::program::{call, hello, node};

#[test]
fn a_call_in_one_process_prints_the_reply() {
    let ended = Program::start(&mut hello([
        "call",
        "greeter",
        "SayHello",
        r#"{"name": "Ada"}"#,
    ]))
    .wait();
    assert_eq!(ended.out, "{\"text\":\"Hello, Ada!\"}\n", "{ended:?}");
    assert_eq!(ended.err, "");
    assert_eq!(ended.code, Some(0));
}

#[test]
fn a_running_node_is_called_where_it_listens() {
    let (_node, endpoint) = node();
    let ended = call("Ada", &["--at", &endpoint]);
    assert_eq!(ended.out, "{\"text\":\"Hello, Ada!\"}\n", "{ended:?}");
    assert_eq!(ended.code, Some(0));
}
