//! Keeps the lints of a user's crate from speaking about generated code.
//!
//! What is included in the middle of a crate cannot begin with `#![allow(..)]`, so each item says it for
//! itself and for what lies in it.

use std::borrow::Cow;

/// Nobody uses all that is generated, or can change how it looks.
const ALLOW: &str = concat!(
    "#[allow(dead_code, missing_docs, unreachable_pub, clippy::all, clippy::pedantic, ",
    "reason = \"generated\")]"
);

/// Puts the attribute before each item that lies in nothing else. A text that has it stays as it is.
pub(crate) fn silence(text: &str) -> Cow<'_, str> {
    if text.lines().any(|line| line == ALLOW) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for line in text.split_inclusive('\n') {
        // `rustfmt`'s layout: only what lies in something else is indented.
        if ["pub ", "impl ", "impl<"]
            .iter()
            .any(|it| line.starts_with(it))
        {
            out.push_str(ALLOW);
            out.push('\n');
        }
        out.push_str(line);
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outermost_item_gets_the_attribute_once() {
        let text = "\
/// Docs.
#[derive(Clone)]
pub struct A {
    pub a: u8,
}
pub mod nested {
    pub enum B {}
}
impl<T> C for D<T> {}
include!(\"_.rs\");
";
        let expected = format!(
            "\
/// Docs.
#[derive(Clone)]
{ALLOW}
pub struct A {{
    pub a: u8,
}}
{ALLOW}
pub mod nested {{
    pub enum B {{}}
}}
{ALLOW}
impl<T> C for D<T> {{}}
include!(\"_.rs\");
"
        );
        assert_eq!(silence(text), expected);
        assert_eq!(silence(&expected), expected);
    }
}
