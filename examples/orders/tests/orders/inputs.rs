//! Inputs that are no orders, files that cannot be used, and readers who leave early.

use std::process::Stdio;

use crate::shop::{Summary, shop};

#[test]
fn what_cannot_be_read_or_written_is_named_with_the_reason() {
    let place = shop();
    std::fs::create_dir(place.path().join("folder")).expect("a directory");
    for (args, expected) in [
        (
            "--input nowhere",
            "NotFound: cannot read `nowhere`: No such file",
        ),
        (
            "--input folder",
            "FailedPrecondition: cannot read `folder`: Is a directory",
        ),
        (
            "--outcomes nowhere/outcomes",
            "NotFound: cannot write `nowhere/outcomes`: No such file",
        ),
    ] {
        let run = place.run(args);
        assert_eq!((run.code, &*run.out), (Some(1), ""), "{run:?}");
        let expected = format!("error: customers: {expected}");
        assert!(run.err.starts_with(&expected), "{run:?}");
    }
}

#[test]
fn an_input_of_something_else_is_a_failure_and_one_wrong_line_is_not() {
    let place = shop();
    let write = |text: &[u8]| std::fs::write(place.path().join("input"), text).expect("written");
    write(b"\x7fELF\xff\xfe\n\x00\x01\n");
    let run = place.run("--input input --json");
    assert_eq!(run.code, Some(1), "{run:?}");
    assert_eq!(Summary::of(&run).wrong_lines, 2, "{run:?}");
    let expected = "error: customers: InvalidArgument: no line of the input is an order\n";
    assert!(run.err.ends_with(expected), "{run:?}");

    write(b"{\"id\":\"1\",\"lines\":[]}\n\nhello\n");
    let run = place.run("--input input");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.out.contains("\n1 line was no order\n"), "{run:?}");
    assert!(run.err.starts_with("line 3 is not an order: "), "{run:?}");
}

#[test]
fn nobody_reading_the_summary_is_no_failure() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let run = shop()
        .command("--generate 10")
        .stdin(Stdio::null())
        .stdout(writer)
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&run.stderr);
    assert_eq!((run.status.code(), &*said), (Some(0), ""));
}
