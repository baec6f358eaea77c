//! All rows in one chart: how many times better or worse than its base each contender is.

use super::card::class;
use super::scale::Doublings;
use crate::figure::ratio;
use crate::outcome::Outcome;
use crate::rows::{Base, OURS};
use crate::stats::Summary;
use crate::table::display_name;

/// Writes the chart.
pub(super) fn overview(outcomes: &[Outcome]) -> String {
    let factors = outcomes.iter().flat_map(|outcome| {
        let ours = outcome
            .ratio(outcome.ours())
            .map(|it| better(outcome, it.median));
        ours.into_iter().chain([better(outcome, outcome.row.goal)])
    });
    let axis = Doublings::holding(factors);
    let marks: String = axis.marks().map(|mark| self::mark(&axis, mark)).collect();
    let lines: String = outcomes
        .iter()
        .map(|outcome| line(outcome, &axis))
        .collect();
    format!(
        r#"<section class="overview">
<div class="head"><h2>How many times better than the one to beat</h2>
<p class="legend"><span class="key ours"></span>monofil, ahead <span class="key worse"></span>behind <span class="key peer"></span>peers
<span class="key goal"></span>goal</p></div>
<div class="line axis"><span></span><span class="lane">{marks}</span><span></span></div>
{lines}</section>
"#
    )
}

/// Turns a ratio into how many times better it is: a time is better when it is shorter.
fn better(outcome: &Outcome, ratio: f64) -> f64 {
    if outcome.row.measure.more_is_better() {
        ratio
    } else {
        1.0 / ratio
    }
}

fn mark(axis: &Doublings, factor: f64) -> String {
    let text = if factor >= 1.0 {
        format!("{factor:.0}×")
    } else {
        format!("1/{:.0}", 1.0 / factor)
    };
    format!("<em style=\"left:{:.2}%\">{text}</em>", axis.at(factor))
}

fn line(outcome: &Outcome, axis: &Doublings) -> String {
    let row = outcome.row;
    let base = match row.base {
        Base::Peer(peer) => peer,
        Base::Best => "the best peer",
        Base::Fixed(_) => "the goal itself",
    };
    let grid: String = axis
        .marks()
        .map(|mark| {
            let class = if mark == 1.0 { " class=\"one\"" } else { "" };
            format!("<b{class} style=\"left:{:.2}%\"></b>", axis.at(mark))
        })
        .collect();
    let goal = axis.at(better(outcome, row.goal));
    let class = class(outcome.verdict());
    let (ours, value) = match outcome.ratio(outcome.ours()) {
        Some(summary) => ours(outcome, axis, &summary),
        None => (String::new(), "–".to_owned()),
    };
    format!(
        "<a class=\"line\" href=\"#{name}\"><span class=\"name\">{name}<small>vs {base}</small></span>\
         <span class=\"lane\">{grid}{ours}{peers}<u style=\"left:{goal:.2}%\"></u></span>\
         <span class=\"value {class}\">{value}</span></a>\n",
        name = row.name,
        peers = peers(outcome, axis),
    )
}

fn ours(outcome: &Outcome, axis: &Doublings, summary: &Summary) -> (String, String) {
    let factor = better(outcome, summary.median);
    let ends = [better(outcome, summary.min), better(outcome, summary.max)].map(|it| axis.at(it));
    let (least, most) = (ends[0].min(ends[1]), ends[0].max(ends[1]));
    let (from, to) = (
        axis.at(1.0).min(axis.at(factor)),
        axis.at(1.0).max(axis.at(factor)),
    );
    let side = if factor < 1.0 { " class=\"worse\"" } else { "" };
    let bar = format!(
        "<i{side} style=\"left:{from:.2}%;width:{:.2}%\"></i>\
         <s style=\"left:{least:.2}%;width:{:.2}%\"></s>",
        to - from,
        most - least
    );
    let value = if factor >= 1.0 {
        format!("{}×", ratio(factor))
    } else {
        format!("1/{}", ratio(1.0 / factor))
    };
    (bar, value)
}

fn peers(outcome: &Outcome, axis: &Doublings) -> String {
    let peers = outcome.contenders().iter().filter(|it| it.name != OURS);
    let dot = |name: &str, summary: Summary| {
        let factor = better(outcome, summary.median);
        let text = format!("{}: {}×", display_name(name), ratio(factor));
        format!(
            "<q style=\"left:{:.2}%\" title=\"{text}\"></q>",
            axis.at(factor)
        )
    };
    peers
        .filter_map(|peer| Some(dot(peer.name, outcome.ratio(peer)?)))
        .collect()
}
