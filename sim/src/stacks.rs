//! Where suspended handlers are: what a debugger does not show, because they are on no thread.
//!
//! The place that waits and the handler's own frame are there in every build. Of what lies between them an optimised
//! build may have left something out: a function whose last act is to wait is not on the stack any more by then,
//! because the optimiser makes a jump of the call.

use std::fmt::Write as _;

use monofil_transport::record::Recorder;

use crate::frames::{Frame, of_handler, parsed};

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
        let frames = of_handler(parsed(&stack.backtrace.to_string()));
        for Frame { symbol, place } in frames {
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
