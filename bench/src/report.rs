//! The page with charts: one file, without anything from elsewhere.

mod card;
mod overview;
mod scale;

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::args::Args;
use crate::machine::Machine;
use crate::outcome::{Outcome, Verdict};

/// Writes the page to a file, whose folder is made if it is not there.
pub(crate) fn write(
    file: &Path,
    machine: &Machine,
    args: &Args,
    outcomes: &[Outcome],
) -> Result<(), String> {
    let cannot = |error| format!("{} cannot be written: {error}", file.display());
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).map_err(cannot)?;
    }
    fs::write(file, page(machine, args, outcomes)).map_err(cannot)
}

fn page(machine: &Machine, args: &Args, outcomes: &[Outcome]) -> String {
    let reached = outcomes
        .iter()
        .filter(|it| it.verdict() == Verdict::Reached);
    let (reached, all) = (reached.count(), outcomes.len());
    let cards: String = outcomes.iter().map(card::card).collect();
    let (_, window) = args.windows();
    let busy = if machine.is_busy() {
        "<p class=\"warning\">Others were at work on this machine meanwhile: ratios say something, \
         because all contenders took turns; times and rates say little.</p>"
    } else {
        ""
    };
    format!(
        r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Monofil beside its peers</title>
<style>
{style}</style>
</head>
<body>
<main>
<header class="top">
<h1>Monofil beside its peers</h1>
<p>{machine}<br>{date} · {rounds} of {window} ms for each, taking turns</p>
<p class="score"><b>{reached}</b> of {all} goals reached</p>
{busy}
</header>
{overview}
<div class="cards">
{cards}</div>
<footer>
<p>Bars are medians, thin lines reach from the least to the greatest round, dashed lines are goals. A ratio
is the median of the rounds' own ratios, each of values measured within seconds of one another.</p>
<p>Components, deadlines, limits and telemetry are on as users have them. Every message that counts was
handled, in order, by whoever it was for.</p>
</footer>
</main>
</body>
</html>
"#,
        style = include_str!("report/style.css"),
        machine = escape(&machine.text()),
        date = date(),
        rounds = rounds(args.rounds()),
        window = window.as_millis(),
        overview = overview::overview(outcomes),
    )
}

fn rounds(count: usize) -> String {
    if count == 1 {
        "one round".to_owned()
    } else {
        format!("{count} rounds")
    }
}

/// Writes text so that a browser shows it as it is.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// Returns today's date, in UTC.
fn date() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let days = since.map_or(0, |since| since.as_secs() / 86_400);
    let (year, month, day) = civil(days);
    format!("{year}-{month:02}-{day:02}")
}

/// Makes a date of the days since 1970: Howard Hinnant's `civil_from_days`, for days that are not negative.
const fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(19_782), (2024, 2, 29));
        assert_eq!(civil(20_454), (2026, 1, 1));
    }
}
