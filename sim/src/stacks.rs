//! Where suspended handlers are: what a debugger does not show, because they are on no thread.

use std::fmt::Write as _;
use std::path::Path;

use monofil_transport::record::{Recorder, Stack};

/// Writes the stacks of all handlers that wait, the frames of components only. A recorder has them if it was told to
/// [keep them](Recorder::keep_stacks) before they began to wait.
#[must_use]
pub fn text(recorder: &Recorder) -> String {
    let nodes = recorder.nodes();
    let mut out = String::new();
    for stack in recorder.stacks() {
        let node = nodes.get(stack.node as usize).map_or("?", |name| name);
        _ = writeln!(
            out,
            "{} {} on {node}, since {}, at {}:{}",
            stack.component,
            stack.method,
            stack.since,
            stack.place.file(),
            stack.place.line(),
        );
        for Frame { symbol, place } in frames(&stack) {
            _ = writeln!(out, "    {symbol}");
            if let Some(place) = place {
                _ = writeln!(out, "        at {place}");
            }
        }
    }
    if out.is_empty() {
        out.push_str("no handler waits\n");
    }
    out
}

/// A frame of a handler.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Frame {
    symbol: String,
    place: Option<String>,
}

/// Returns what is on a stack, the innermost first, up to the worker that runs the handler, but for what is ours and
/// the standard library's.
fn frames(stack: &Stack) -> Vec<Frame> {
    let mut frames = parsed(&stack.backtrace.to_string());
    let worker = frames
        .iter()
        .position(|frame| in_repository(frame, "container/src/work.rs"));
    frames.truncate(worker.unwrap_or(frames.len()));
    frames.retain(|frame| !is_ours(frame));
    frames
}

/// Reads what [`Backtrace`](std::backtrace::Backtrace) writes: a number and a symbol, and a line with its place, if
/// that is known.
fn parsed(text: &str) -> Vec<Frame> {
    let mut frames: Vec<Frame> = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(place) = line.strip_prefix("at ") {
            if let Some(last) = frames.last_mut() {
                last.place = Some(place.to_owned());
            }
        } else if let Some((number, symbol)) = line.split_once(": ")
            && number.parse::<u32>().is_ok()
        {
            frames.push(Frame {
                symbol: symbol.to_owned(),
                place: None,
            });
        }
    }
    frames
}

/// Tells whether a frame is in a file of this repository, or in a folder that ends with a slash. With line tables
/// alone symbols have no paths, but files have.
fn in_repository(frame: &Frame, path: &str) -> bool {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("/"));
    let place = Path::new(frame.place.as_deref().unwrap_or_default());
    // What is below the working directory is written from there.
    let here = std::env::current_dir().unwrap_or_default();
    let place = here.join(place.strip_prefix(".").unwrap_or(place));
    let inside = place.strip_prefix(root).unwrap_or(Path::new(""));
    inside.to_string_lossy().starts_with(path)
}

/// Tells whether a frame is of the crates below components, or of a library.
fn is_ours(frame: &Frame) -> bool {
    const OURS: [&str; 4] = [
        "container/src/",
        "transport-spi/src/",
        "transport-inproc/src/",
        "sim/src/",
    ];
    const OTHERS: [&str; 3] = ["/rustc/", "/library/std/src/", "/library/core/src/"];
    // Without a place it is of a library without debug information.
    let place = frame.place.as_deref().unwrap_or("/rustc/");
    OURS.iter().any(|ours| in_repository(frame, ours))
        || OTHERS.iter().any(|other| place.contains(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backtrace_is_read_and_what_is_ours_left_out() {
        let root = env!("CARGO_MANIFEST_DIR").trim_end_matches("sim");
        let text = format!(
            "   0: force_capture\n             at /rustc/59807/library/std/src/backtrace.rs:312:9\n   \
             1: suspended\n             at {root}transport-spi/src/record/recorder.rs:12:3\n   \
             2: <shop::Orders as monofil::Component>::handle\n             at /home/ada/shop/src/orders.rs:17:9\n   \
             3: __libc_start\n"
        );
        let mut frames = parsed(&text);
        assert_eq!(frames.len(), 4);
        frames.retain(|frame| !is_ours(frame));
        let left = Frame {
            symbol: "<shop::Orders as monofil::Component>::handle".to_owned(),
            place: Some("/home/ada/shop/src/orders.rs:17:9".to_owned()),
        };
        assert_eq!(frames, [left]);
    }
}
