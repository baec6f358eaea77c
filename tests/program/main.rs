//! The program of an app, as its users meet it.

mod ends;
mod explore;
mod handlers;
mod layouts;
mod logs;
mod members;
mod operator;
mod support;

/// What people type wrong, and what they are told. `TRYCMD=overwrite` writes the files anew.
#[test]
fn transcripts() {
    let empty = tempfile::tempdir().expect("a directory");
    trycmd::TestCases::new()
        .register_bin("app", support::program().to_owned())
        .register_bin(
            "monofil",
            std::path::Path::new(env!("CARGO_BIN_EXE_monofil")).to_owned(),
        )
        .env("XDG_RUNTIME_DIR", empty.path().to_string_lossy())
        .env("NO_COLOR", "1")
        .case("tests/program/transcripts/*.trycmd");
}
