//! What is said about files that no code is generated for.

use std::fs;

use insta::assert_snapshot;
use monofil_build::{Builder, Error};

/// Compiles the text of a file `shop.proto`, after its `syntax`, and returns what is wrong with it.
fn refusal(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shop.proto");
    fs::write(&file, format!("syntax = \"proto3\";\n{text}")).unwrap();
    let error = Builder::new()
        .out_dir(folder.path())
        .compile(&[file])
        .unwrap_err();
    assert_eq!(
        format!("{error:?}"),
        error.to_string(),
        "a build script's main prints it"
    );
    error
        .to_string()
        .replace(&folder.path().display().to_string(), "FOLDER")
}

/// The same, for a service with these methods.
fn refusal_of(methods: &str) -> String {
    refusal(&format!(
        "package shop; import \"monofil/options.proto\"; message M {{}} message N {{}}
         service Shop {{ {methods} }}"
    ))
}

#[test]
fn streams_of_requests() {
    let said = refusal_of("rpc Up(stream M) returns (M); rpc Both(stream M) returns (stream M);");
    assert_snapshot!(said, @r#"
    shop.proto: service `shop.Shop`, method `Up`: it takes a stream of requests, which is not supported: make it take one request, and call or cast it once for each
    shop.proto: service `shop.Shop`, method `Both`: it takes a stream of requests, which is not supported: make it take one request, and call or cast it once for each
    "#);
}

#[test]
fn options_that_make_no_sense() {
    let said = refusal_of(
        "rpc A(M) returns (M) { option (monofil.method).deadline = \"5 parsecs\"; }
         rpc B(M) returns (M) { option (monofil.method) = { flow: \"\", topic: \"\" }; }
         rpc C(M) returns (stream M) { option (monofil.method).topic = \"news\"; }",
    );
    assert_snapshot!(said, @r#"
    shop.proto: service `shop.Shop`, method `A`: `5 parsecs` is no deadline: write a whole number above zero and its unit, one of `us`, `ms`, `s`, `m`, `h`, as in "250ms"
    shop.proto: service `shop.Shop`, method `B`: its flow is empty: name one, or leave the option out
    shop.proto: service `shop.Shop`, method `B`: its topic is empty: name one, or leave the option out
    shop.proto: service `shop.Shop`, method `C`: it handles topic `news`, and so cannot answer with a stream
    "#);
}

#[test]
fn one_topic_of_two_types() {
    let said = refusal_of(
        "rpc D(M) returns (M) { option (monofil.method).topic = \"weather\"; }
         rpc E(N) returns (M) { option (monofil.method).topic = \"weather\"; }",
    );
    assert_snapshot!(said, @"shop.proto: service `shop.Shop`, method `E`: it takes `shop.N` from topic `weather`, of which `shop.Shop/D` takes `shop.M`");
}

#[test]
fn options_that_are_none() {
    let said = refusal_of("rpc A(M) returns (M) { option (monofil.method).color = 1; }");
    assert_snapshot!(said, @"shop.proto:3:48: option field '(monofil.method).color' is not defined");
}

#[test]
fn names_that_are_taken() {
    let said = refusal_of(
        "rpc OnStart(M) returns (M); rpc New(M) returns (M);
         rpc Run(M) returns (M); rpc StartRun(M) returns (M); rpc start_run(M) returns (M);",
    );
    assert_snapshot!(said, @r#"
    shop.proto: service `shop.Shop`, method `OnStart`: its function would be called `on_start`, like one that every generated service has: rename it
    shop.proto: service `shop.Shop`, method `New`: its function would be called `new`, like one that every generated service has: rename it
    shop.proto: service `shop.Shop`, method `StartRun`: it needs a function `start_run`, and so does method `Run`: rename one of them
    shop.proto: service `shop.Shop`, method `start_run`: it needs a function `start_run`, and so does method `Run`: rename one of them
    "#);
}

#[test]
fn items_that_are_taken() {
    let said =
        refusal("message ShopServer {} enum ShopClient { A = 0; } service Shop {} service shop {}");
    assert_snapshot!(said, @r#"
    shop.proto: service `Shop`: it needs the name `ShopServer`, which something else in the package has: rename one of them
    shop.proto: service `Shop`: it needs the name `ShopClient`, which something else in the package has: rename one of them
    shop.proto: service `shop`: it needs the name `Shop`, which something else in the package has: rename one of them
    shop.proto: service `shop`: it needs the name `ShopServer`, which something else in the package has: rename one of them
    shop.proto: service `shop`: it needs the name `ShopClient`, which something else in the package has: rename one of them
    "#);
}

#[test]
fn imports_that_are_not_there() {
    let said = refusal("import \"shop/money.proto\";");
    assert_snapshot!(said, @"shop.proto:2:1: import 'shop/money.proto' not found; looked in `FOLDER`");
}

#[test]
fn files_that_are_no_protobuf() {
    let said = refusal("service Shop { rpc Up(M) }");
    assert_snapshot!(said, @"shop.proto:2:26: expected 'returns', but found '}'");
}

#[test]
fn files_that_are_not_there() {
    let error = Builder::new()
        .include("tests")
        .out_dir("tests")
        .compile(&["tests/nothing.proto"]);
    let said = error.unwrap_err();
    assert_snapshot!(said, @"file 'tests/nothing.proto' is not in any include path; looked in `tests`");
}

#[test]
fn there_must_be_somewhere_to_write_to() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shop.proto");
    fs::write(
        &file,
        "syntax = \"proto3\"; message M {} service S { rpc A(M) returns (M); }",
    )
    .unwrap();
    let error = Builder::new()
        .out_dir(folder.path().join("nowhere"))
        .compile(&[file]);
    assert!(matches!(error, Err(Error::Generate(_))), "{error:?}");
}
