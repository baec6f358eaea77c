//! Pages show the code that there is.
//!
//! A comment before a block says where its text comes from: `<!-- all of PATH -->`, or `<!-- part of PATH -->`. With
//! `UPDATE_GENERATED=1` the whole ones are copied anew.

use std::fs;
use std::path::{Path, PathBuf};

const PAGES: [&str; 3] = ["README.md", "docs/getting-started.md", "docs/simulation.md"];

fn path(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Takes the indentation that all lines share away.
fn flush_left(text: &str) -> String {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let lines = || text.lines().filter(|line| !line.trim().is_empty());
    let shared = lines().map(indent).min().unwrap_or(0);
    let cut = |line: &str| line.get(shared..).unwrap_or_default().to_owned();
    text.lines().map(|line| cut(line) + "\n").collect()
}

/// Tells whether a block is some of a file's lines, at whatever indentation they stand there.
fn is_part(block: &str, whole: &str) -> bool {
    let lines: Vec<_> = whole.lines().collect();
    let wanted = flush_left(block);
    lines
        .windows(block.lines().count())
        .any(|some| flush_left(&some.join("\n")) == wanted)
}

/// Returns a page as it should be, and how many of its blocks come from somewhere.
fn fresh(page: &str) -> (String, usize) {
    let text = read(page);
    let mut pieces = text.split("\n<!-- ");
    let mut fresh = pieces.next().unwrap_or_default().to_owned();
    let mut blocks = 0;
    for piece in pieces {
        fresh += "\n<!-- ";
        let source = piece.split_once(" -->\n```");
        let is_ours = |it: &str| it.starts_with("all of ") || it.starts_with("part of ");
        let Some((source, rest)) = source.filter(|(it, _)| is_ours(it)) else {
            fresh += piece;
            continue;
        };
        let (language, rest) = rest.split_once('\n').expect("a block");
        let (block, after) = rest.split_once("\n```").expect("the end of a block");
        let (how, name) = source.split_once(" of ").expect("it has been looked for");
        let whole = read(name);
        let block = match how {
            "all" => whole.trim_end(),
            "part" if is_part(block, &whole) => block,
            _ => panic!("{page} shows what is not in {name}:\n{block}"),
        };
        blocks += 1;
        fresh += &format!("{source} -->\n```{language}\n{block}\n```{after}");
    }
    (fresh, blocks)
}

#[test]
fn pages_show_the_code_that_there_is() {
    for page in PAGES {
        let (fresh, blocks) = fresh(page);
        assert!(blocks > 0, "{page} shows nothing");
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            fs::write(path(page), fresh).expect("a page");
            continue;
        }
        assert!(
            fresh == read(page),
            "{page} shows other code than there is; run this again with UPDATE_GENERATED=1"
        );
    }
}
