//! The chart of one row.

use super::escape;
use super::scale::Linear;
use crate::figure::{ratio, short};
use crate::outcome::{Contender, Outcome, Verdict};
use crate::rows::{Base, OURS};
use crate::table::display_name;

/// Writes a row's chart: a bar for each contender.
pub(super) fn card(outcome: &Outcome) -> String {
    let row = outcome.row;
    let summaries = || {
        outcome
            .contenders()
            .iter()
            .filter_map(|it| outcome.summary(it))
    };
    let goal = goal(outcome);
    let axis = Linear::holding(summaries().map(|it| it.max).chain(goal));
    let bars: String = outcome
        .contenders()
        .iter()
        .map(|contender| bar(outcome, contender, &axis, goal))
        .collect();
    let verdict = outcome.verdict();
    let (class, verdict) = (class(verdict), verdict.text());
    let arrow = if row.measure.more_is_better() {
        "more is better →"
    } else {
        "← less is better"
    };
    format!(
        r#"<section class="card" id="{name}">
<div class="head"><h2>{name}</h2><span class="pill {class}">{verdict}</span></div>
<p class="what">{what}</p>
<div class="bars">
{bars}</div>
<p class="foot"><span>goal {goal_text}</span><span>{unit}, {arrow}</span></p>
</section>
"#,
        name = row.name,
        what = escape(row.what),
        goal_text = escape(&row.goal_text()),
        unit = row.measure.unit(),
    )
}

/// Returns the class of whether the goal is reached.
pub(super) const fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Reached => "yes",
        Verdict::Missed | Verdict::Lossy => "no",
        Verdict::Unclear | Verdict::Unmeasured => "none",
    }
}

/// Returns the value that reaches the goal; where there are two, the harder one.
fn goal(outcome: &Outcome) -> Option<f64> {
    let row = outcome.row;
    let base = match row.base {
        Base::Fixed(value) => Some(value),
        Base::Peer(name) => {
            let found = outcome.contenders().iter().find(|it| it.name == name);
            found
                .and_then(|base| outcome.summary(base))
                .map(|it| it.median)
        }
        Base::Best => {
            let peers = outcome.contenders().iter().filter(|it| it.name != OURS);
            let medians = peers
                .filter_map(|peer| outcome.summary(peer))
                .map(|it| it.median);
            medians.reduce(|one, other| row.measure.better(one, other))
        }
    };
    let by_ratio = base.map(|base| base * row.goal);
    match (by_ratio, row.goal_value) {
        (Some(one), Some(other)) => Some(row.measure.better(one, other)),
        (one, other) => one.or(other),
    }
}

fn bar(outcome: &Outcome, contender: &Contender, axis: &Linear, goal: Option<f64>) -> String {
    let name = display_name(contender.name);
    let class = if contender.name == OURS { " ours" } else { "" };
    let Some(values) = outcome.summary(contender) else {
        let why = escape(contender.missing().unwrap_or("not measured"));
        return format!(
            "<div class=\"bar gone\"><span class=\"name\">{name}</span>\
             <span class=\"why\">{why}</span></div>\n"
        );
    };
    let [left, middle, right] = [values.min, values.median, values.max].map(|it| axis.at(it));
    let line = goal.map_or_else(String::new, |goal| {
        format!("<u style=\"left:{:.2}%\"></u>", axis.at(goal))
    });
    let unit = outcome.row.measure.unit();
    let ratio = outcome
        .ratio(contender)
        .map_or_else(|| "–".to_owned(), |it| format!("{} ×", ratio(it.median)));
    let note = contender.note();
    let title = format!(
        "{name}: {} to {} {unit}{}{note}",
        short(values.min),
        short(values.max),
        if note.is_empty() { "" } else { ", " }
    );
    format!(
        "<div class=\"bar{class}\" title=\"{title}\"><span class=\"name\">{name}</span>\
         <span class=\"lane\"><i style=\"width:{middle:.2}%\"></i>\
         <s style=\"left:{left:.2}%;width:{width:.2}%\"></s>{line}</span>\
         <span class=\"value\">{value}</span><span class=\"ratio\">{ratio}</span></div>\n",
        title = escape(&title),
        width = right - left,
        value = short(values.median),
    )
}
