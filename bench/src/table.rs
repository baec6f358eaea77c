//! Tables for a terminal.

use std::fmt::Write;

use crate::figure::{ratio, short};
use crate::outcome::{Contender, Outcome};
use crate::rows::{Base, OURS};

/// Writes the table of one row.
pub(crate) fn table(outcome: &Outcome) -> String {
    let row = outcome.row;
    let direction = if row.measure.more_is_better() {
        "more"
    } else {
        "less"
    };
    let processor = row.measure.is_of_the_processor();
    let (base, unit) = (base_text(row.base), row.measure.unit());
    let mut text = format!(
        "\n{}: {} ({unit}, {direction} is better)\n",
        row.name, row.what
    );
    let mut line = |cells: [&str; 7]| {
        let [name, min, median, max, ratio, cpu, note] = cells;
        let cpu = if processor {
            format!("{cpu:>9}")
        } else {
            String::new()
        };
        let line = format!("  {name:<15}{min:>9}{median:>9}{max:>9}  {ratio:<20}{cpu}  {note}");
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}", line.trim_end());
    };
    line(["", "min", "median", "max", &base, "cpu", ""]);
    for contender in outcome.contenders() {
        let cells = cells(outcome, contender);
        line(cells.each_ref().map(String::as_str));
    }
    let verdict = outcome.verdict().text();
    text + &format!("  goal {}: {verdict}\n", row.goal_text())
}

fn base_text(base: Base) -> String {
    match base {
        Base::Peer(peer) => format!("÷ {peer}"),
        Base::Best => "÷ the best peer".to_owned(),
        Base::Fixed(value) => format!("÷ {}", short(value)),
    }
}

fn cells(outcome: &Outcome, contender: &Contender) -> [String; 7] {
    let name = display_name(contender.name).to_owned();
    let dash = || "–".to_owned();
    // A panic's message has several lines.
    let why = contender.missing().unwrap_or_default();
    let why = why.lines().next().unwrap_or_default();
    let Some(values) = outcome.summary(contender) else {
        return [name, dash(), dash(), dash(), dash(), dash(), why.to_owned()];
    };
    let ratios = outcome.ratio(contender).map_or_else(dash, |it| {
        let [min, median, max] = [it.min, it.median, it.max].map(ratio);
        format!("{median} ({min}–{max})")
    });
    let note = if why.is_empty() {
        contender.note()
    } else {
        format!("failed once: {why}")
    };
    [
        name,
        short(values.min),
        short(values.median),
        short(values.max),
        ratios,
        contender.processor_nanos().map_or_else(dash, short),
        note,
    ]
}

/// Returns what a contender is called in front of readers.
pub(crate) fn display_name(contender: &str) -> &str {
    if contender == OURS {
        "monofil"
    } else {
        contender
    }
}
