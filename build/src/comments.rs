//! Makes rustdoc of comments that were not written for it.

use prost_types::FileDescriptorProto;

/// Cleans the comments of a file, of its messages as well, before `prost-build` carries them over.
///
/// Indented and fenced blocks become text: they are no Rust, and rustdoc would run them as tests.
/// Elsewhere what looks like HTML or like a link to an item is escaped. `prost-build` itself escapes the
/// remaining brackets and makes links of bare URLs.
pub(crate) fn clean(file: &mut FileDescriptorProto) {
    let locations = file
        .source_code_info
        .iter_mut()
        .flat_map(|info| &mut info.location);
    for location in locations {
        let comments = [
            &mut location.leading_comments,
            &mut location.trailing_comments,
        ];
        for comment in comments.into_iter().flatten() {
            *comment = cleaned(comment);
        }
    }
}

/// What the lines before say about a line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    /// A paragraph, a list, ...: a line that is indented just continues it.
    Text,
    /// Nothing, or an empty line: a line that is indented begins a block.
    Blank,
    /// A block that is fenced in the comment.
    Fenced,
    /// A block that is indented in the comment, and fenced by us.
    Indented,
}

fn cleaned(comment: &str) -> String {
    let comment = comment.replace('\r', "");
    let mut lines = Vec::new();
    let mut block = Block::Blank;
    let mut fence = "";
    for line in comment.lines() {
        let text = line.trim();
        if block == Block::Indented && !is_indented(line) && !text.is_empty() {
            end_indented(&mut lines);
            block = Block::Blank;
        }
        match block {
            Block::Fenced => {
                if fence_of(text).len() == text.len() && text.starts_with(fence) {
                    block = Block::Blank;
                }
                lines.push(line.to_owned());
            }
            Block::Indented => lines.push(line.to_owned()),
            _ if fence_of(text).len() >= 3 => {
                fence = fence_of(text);
                lines.push(format!(" {fence}text"));
                block = Block::Fenced;
            }
            Block::Blank if is_indented(line) => {
                lines.extend([" ```text".to_owned(), line.to_owned()]);
                block = Block::Indented;
            }
            _ => {
                lines.push(escaped(line));
                block = if text.is_empty() {
                    Block::Blank
                } else {
                    Block::Text
                };
            }
        }
    }
    match block {
        Block::Fenced => lines.push(format!(" {fence}")),
        Block::Indented => end_indented(&mut lines),
        Block::Text | Block::Blank => {}
    }
    lines.join("\n")
}

/// Ends a block of ours, before the empty lines that follow it.
fn end_indented(lines: &mut Vec<String>) {
    let end = lines
        .iter()
        .rposition(|line| !line.trim().is_empty())
        .map_or(0, |last| last + 1);
    lines.insert(end, " ```".to_owned());
}

/// Returns the run of backticks or tildes that a line begins with.
fn fence_of(text: &str) -> &str {
    let Some(first) = text.chars().next().filter(|c| matches!(c, '`' | '~')) else {
        return "";
    };
    &text[..text.len() - text.trim_start_matches(first).len()]
}

/// Tells whether Markdown takes a line for code: four spaces beyond the one that follows `//`.
fn is_indented(line: &str) -> bool {
    let line = line.strip_prefix(' ').unwrap_or(line);
    !line.trim().is_empty() && (line.starts_with("    ") || line.starts_with('\t'))
}

/// Escapes what looks like HTML or like a link to an item, except in code.
fn escaped(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find(['`', '<', '[', '\\']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let taken = if rest.starts_with('\\') {
            // An escape that is there already, with what it escapes.
            let len = rest.chars().take(2).map(char::len_utf8).sum();
            out.push_str(&rest[..len]);
            len
        } else if let Some(len) = code_len(rest).or_else(|| link_len(rest)) {
            out.push_str(&rest[..len]);
            len
        } else if let Some(url) = autolink(rest) {
            // `prost-build` puts the brackets back.
            out.push_str(url);
            url.len() + 2
        } else {
            if !rest.starts_with('`') {
                out.push('\\');
            }
            out.push_str(&rest[..1]);
            1
        };
        rest = &rest[taken..];
    }
    out.push_str(rest);
    out
}

/// Returns the length of the code that `rest` begins with.
fn code_len(rest: &str) -> Option<usize> {
    let ticks = rest.bytes().take_while(|byte| *byte == b'`').count();
    if ticks == 0 {
        return None;
    }
    let end = rest[ticks..].find(&rest[..ticks])?;
    Some(ticks + end + ticks)
}

/// Returns the length of the link to the web that `rest` begins with.
fn link_len(rest: &str) -> Option<usize> {
    let text = rest.strip_prefix('[')?;
    let (_, target) = text.split_once(']')?;
    let url = target.strip_prefix('(')?;
    if !is_url(url) {
        return None;
    }
    let end = url.find(')')?;
    Some(rest.len() - url.len() + end + 1)
}

/// Returns the URL of the `<https://..>` that `rest` begins with.
fn autolink(rest: &str) -> Option<&str> {
    let (url, _) = rest.strip_prefix('<')?.split_once('>')?;
    (is_url(url) && !url.contains(' ')).then_some(url)
}

fn is_url(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rustdoc_would_choke_on_is_escaped() {
        for (comment, expected) in [
            (" Plain.", " Plain."),
            (" A Map<String, T> of <b>.", " A Map\\<String, T> of \\<b>."),
            (
                " a < b, `Vec<T>` and ``a`<b>``",
                " a \\< b, `Vec<T>` and ``a`<b>``",
            ),
            (
                " See [Order] and [that][Order].",
                " See \\[Order] and \\[that]\\[Order].",
            ),
            (" See [this](Order::id).", " See \\[this](Order::id)."),
            (
                " See [this](https://a.b/c) <d>",
                " See [this](https://a.b/c) \\<d>",
            ),
            (" See <https://a.b/c>.", " See https://a.b/c."),
            (
                " An odd ` and <T>, \\<T> \\",
                " An odd ` and \\<T>, \\<T> \\",
            ),
            (" bare\r\n return\r.", " bare\n return."),
        ] {
            assert_eq!(cleaned(comment), expected);
        }
    }

    #[test]
    fn blocks_become_text() {
        for (comment, expected) in [
            (
                " So:\n\n     let x: <T>;\n\n     y\n\n Done.",
                " So:\n\n ```text\n     let x: <T>;\n\n     y\n ```\n\n Done.",
            ),
            (" ```rust\n [x]\n ```\n [y]", " ```text\n [x]\n ```\n \\[y]"),
            (
                " ~~~\n ```\n never ended",
                " ~~~text\n ```\n never ended\n ~~~",
            ),
            ("      all of it", " ```text\n      all of it\n ```"),
            (
                " A long line\n     that goes on.",
                " A long line\n     that goes on.",
            ),
        ] {
            assert_eq!(cleaned(comment), expected);
        }
    }
}
