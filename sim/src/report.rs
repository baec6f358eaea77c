//! A failure on one screen.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use monofil_transport::Instant;

use crate::story::{FaultKind, Moment};
use crate::{Ran, Story};

/// What is told about a run that failed. Plain data: [`FailureReport::text`] is all there is to writing it.
#[derive(Clone, Debug, Default)]
pub struct FailureReport {
    /// The property that does not hold.
    pub property: String,
    /// How it does not hold.
    pub text: String,
    /// When that was found, in virtual time.
    pub at: Instant,
    /// The seed of the run.
    pub seed: u64,
    /// The families of faults that were on; of a run that is replayed those that are in its plan.
    pub faults: Vec<String>,
    /// What happened, in order; see [`events`].
    pub events: Vec<ReportEvent>,
    /// How much there was before and after shrinking, and what it took, if it was tried: "9 events of 1,204, ...".
    pub shrunk: Option<String>,
    /// How often the run was tried again, and how often it failed in the same way.
    pub reproduced: Option<(u32, u32)>,
    /// What to do now, and the command or file for it: `replay`, `view`, `pin`.
    pub commands: Vec<(String, String)>,
}

/// A line of a report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportEvent {
    /// When.
    pub at: Instant,
    /// Who: a component or a node, or from whom to whom.
    pub who: String,
    /// What happened.
    pub what: String,
    /// Where in somebody's source.
    pub place: Option<String>,
    /// What kind of line it is.
    pub kind: Line,
}

/// What kind of line a [`ReportEvent`] is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Line {
    /// A message or an event of a node.
    #[default]
    Plain,
    /// Something that was done to nodes or links.
    Fault,
    /// A message that failed.
    Bad,
    /// What the failure is about.
    Failing,
}

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// With colours, as a terminal understands them.
    pub color: bool,
    /// No line is longer, as far as commands and sources allow.
    pub columns: usize,
    /// There are no more lines.
    pub lines: usize,
}

impl Default for Style {
    fn default() -> Self {
        Self {
            color: false,
            columns: 120,
            lines: 40,
        }
    }
}

/// How many events of a run are told at most; a screen has fewer.
pub(crate) const EVENTS_MAX: usize = 1_000;

const RED: &str = "\x1b[31m";
const YELLOW: &str = "\x1b[33m";
const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

impl FailureReport {
    /// Tells of a run of this seed, with what was recorded of it; `None` if it did not fail.
    #[must_use]
    pub fn of(ran: &Ran, seed: u64) -> Option<Self> {
        let failure = ran.failure.as_ref()?;
        let families = ran.plan.families();
        Some(Self {
            property: failure.property.clone(),
            text: failure.text.clone(),
            at: Instant::ZERO + failure.at.0,
            seed,
            faults: families.iter().map(ToString::to_string).collect(),
            events: events(&Story::of(&ran.recording), EVENTS_MAX),
            ..Self::default()
        })
    }

    /// Writes it, with a line's end at the end of each line.
    #[must_use]
    pub fn text(&self, style: &Style) -> String {
        let paint = |text: &str, with: &str| match style.color {
            true => format!("{with}{text}{PLAIN}"),
            false => text.to_owned(),
        };
        let (mut head, mut foot) = (Vec::new(), Vec::new());
        let property = clipped(&self.property, style.columns.saturating_sub(2));
        let title = paint(&format!("✗ {property}"), &format!("{BOLD}{RED}"));
        head.push(title);
        head.extend(wrapped(&self.text, style.columns.saturating_sub(2), 4));
        let faults = match &self.faults[..] {
            [] => "no faults".to_owned(),
            on => format!("faults: {}", on.join(", ")),
        };
        let facts = format!("at {} · seed {} · {faults}", self.at, self.seed);
        head.extend(
            wrapped(&facts, style.columns.saturating_sub(2), 2)
                .into_iter()
                .map(|line| paint(&line, DIM)),
        );
        head.push(String::new());
        let mut facts = Vec::new();
        facts.extend(self.shrunk.clone());
        if let Some((tried, failed)) = self.reproduced {
            facts.push(format!("failed {failed} of {tried} times"));
        }
        if !facts.is_empty() {
            foot.push(String::new());
            foot.push(paint(&format!("  {}", facts.join(" · ")), DIM));
        }
        if !self.commands.is_empty() {
            foot.push(String::new());
        }
        let names = self.commands.iter().map(|(name, _)| name.chars().count());
        let width = names.max().unwrap_or(0);
        for (name, command) in &self.commands {
            let name = paint(&format!("{name:<width$}"), BOLD);
            foot.push(format!("  {name}  {command}"));
        }
        let room = style.lines.saturating_sub(head.len() + foot.len()).max(3);
        let mut out = String::new();
        let all = head
            .into_iter()
            .chain(self.event_lines(style, room, &paint))
            .chain(foot);
        for line in all {
            _ = writeln!(out, "{}", line.trim_end());
        }
        out
    }

    /// Writes as many events as there is room for: the first, which is where it begins, and the last.
    fn event_lines(
        &self,
        style: &Style,
        room: usize,
        paint: &dyn Fn(&str, &str) -> String,
    ) -> Vec<String> {
        let count = self.events.len();
        let (first, last) = match count <= room {
            true => (count, 0),
            false => (room / 3, room - room / 3 - 1),
        };
        let shown = self.events[..first]
            .iter()
            .chain(&self.events[count - last..]);
        let who_max = shown
            .clone()
            .map(|event| event.who.chars().count())
            .max()
            .unwrap_or(0)
            .min(style.columns / 3);
        let what_max = |event: &ReportEvent| {
            let place = event.place.as_deref().unwrap_or_default().chars().count();
            let taken = 2 + 13 + 2 + who_max + 2 + place + 2;
            style.columns.saturating_sub(taken).max(20)
        };
        let widths = shown
            .clone()
            .filter(|event| event.place.is_some())
            .map(|event| what_max(event).min(event.what.chars().count()));
        let wide = widths.max().unwrap_or(0);
        let mut lines: Vec<_> = shown
            .map(|event| event.line(who_max, what_max(event), wide, paint))
            .collect();
        if first + last < count {
            let left_out = format!("               … {} more …", count - first - last);
            lines.insert(first, paint(&left_out, DIM));
        }
        lines
    }
}

impl ReportEvent {
    /// Writes it; `what_max` is the room for what happened, `wide` how much of that others take.
    fn line(
        &self,
        who_max: usize,
        what_max: usize,
        wide: usize,
        paint: &dyn Fn(&str, &str) -> String,
    ) -> String {
        let time = self.at.to_string();
        let mark = match self.kind {
            Line::Failing => "✗",
            Line::Bad | Line::Plain => " ",
            Line::Fault => "!",
        };
        let who = clipped(&self.who, who_max);
        let place = self.place.as_deref().unwrap_or_default();
        let what = clipped(&self.what, what_max);
        let wide = wide.min(what_max);
        let text = match place {
            "" => format!("{who:<who_max$}  {what}"),
            _ => format!("{who:<who_max$}  {what:<wide$}"),
        };
        let text = match self.kind {
            Line::Failing => paint(&text, &format!("{BOLD}{RED}")),
            Line::Bad => paint(&text, RED),
            Line::Fault => paint(&text, YELLOW),
            Line::Plain => text,
        };
        let mark = match self.kind {
            Line::Failing => paint(mark, RED),
            Line::Fault => paint(mark, YELLOW),
            _ => mark.to_owned(),
        };
        format!("{mark} {time:>13}  {text}  {}", paint(place, DIM))
    }
}

/// Cuts a text that is too long; of several lines it leaves the first.
fn clipped(text: &str, most: usize) -> String {
    let line = text.lines().next().unwrap_or_default();
    let whole = line.len() == text.trim_end().len();
    if whole && line.chars().count() <= most {
        return line.to_owned();
    }
    let cut: String = line.chars().take(most.saturating_sub(1)).collect();
    format!("{cut}…")
}

/// Breaks a text into lines between words; what is more than `most` is left out.
fn wrapped(text: &str, columns: usize, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::from("  ");
        for word in paragraph.split(' ') {
            let long = line.chars().count() + 1 + word.chars().count() > columns;
            if long && !line.trim().is_empty() {
                lines.push(std::mem::replace(&mut line, String::from("  ")));
            }
            if line.len() > 2 {
                line.push(' ');
            }
            line.push_str(&clipped(word, columns.saturating_sub(3).max(8)));
        }
        lines.push(line);
    }
    if lines.len() > most {
        lines.truncate(most);
        if let Some(last) = lines.last_mut() {
            last.push_str(" …");
        }
    }
    lines
}

/// Tells what happened in a run: its messages, faults and events of nodes, in the order of time. Of a run with more
/// than `events_max` of them it tells what the failure is about: what led to it, what that caused besides, the faults,
/// and as much as there is room for of what came last.
#[must_use]
pub fn events(story: &Story, events_max: usize) -> Vec<ReportEvent> {
    let failing = story.failures.first().and_then(|failure| failure.message);
    let mut all: Vec<(Moment, u8, ReportEvent)> = Vec::new();
    let family = family(story, failing);
    for (number, message) in story.messages.iter().enumerate() {
        let is_failing = failing == Some(number);
        let importance = if family.contains(&number) { 0 } else { 2 };
        all.push((message.at, importance, told(story, number, is_failing)));
    }
    let arrivals = story.messages.iter().filter_map(|it| it.arrived);
    let called: BTreeSet<_> = arrivals.map(|at| story.node(at)).collect();
    for fault in &story.faults {
        let is_short = |until| story.at(until) == story.at(fault.at);
        let is_restart = fault.kind == FaultKind::Down && fault.until.is_some_and(is_short);
        let node = fault.nodes.first().map(|node| story.name(*node));
        // A client is started anew for each thing that it is given.
        if is_restart && !node.is_some_and(|node| called.contains(node)) {
            continue;
        }
        let until = match fault.until.map(|until| story.at(until)) {
            Some(_) if is_restart => ", started again at once".to_owned(),
            Some(until) if until == story.at(fault.at) => String::new(),
            Some(until) => format!(", until {until}"),
            None => ", until the end".to_owned(),
        };
        let (who, what) = match fault.kind {
            FaultKind::Down | FaultKind::Paused | FaultKind::Node | FaultKind::Message => {
                let node = node.unwrap_or("?");
                (node.to_owned(), format!("{}{until}", fault.name))
            }
            FaultKind::Cut | FaultKind::Link | FaultKind::Planned => {
                let names: Vec<_> = fault.nodes.iter().map(|node| story.name(*node)).collect();
                (names.join(", "), format!("{}{until}", fault.name))
            }
        };
        let event = ReportEvent {
            at: story.at(fault.at),
            who,
            what,
            place: None,
            kind: Line::Fault,
        };
        all.push((fault.at, 1, event));
    }
    let rank = |(at, importance, _): &(Moment, u8, ReportEvent)| (*importance, usize::MAX - at);
    if all.len() > events_max {
        all.sort_by_key(rank);
        all.truncate(events_max);
    }
    all.sort_by_key(|(at, ..)| *at);
    all.into_iter().map(|(.., event)| event).collect()
}

/// The message a failure is about, what led to it, and what each of those caused.
fn family(story: &Story, failing: Option<usize>) -> BTreeSet<usize> {
    let Some(failing) = failing else {
        return Default::default();
    };
    let mut family: BTreeSet<_> = story.causes(failing).collect();
    // A cause is sent before what it causes.
    for (number, message) in story.messages.iter().enumerate() {
        if message.cause.is_some_and(|cause| family.contains(&cause)) {
            family.insert(number);
        }
    }
    family
}

fn told(story: &Story, number: usize, failing: bool) -> ReportEvent {
    let message = &story.messages[number];
    let sent = &message.sent;
    let method = sent.method.rsplit('/').next().unwrap_or_default();
    let from = match short(&sent.from) {
        "" => story.node(message.at),
        from => from,
    };
    let error = message
        .ended
        .as_ref()
        .and_then(|end| end.outcome.as_ref().err());
    let payload = match &*sent.payload {
        "" => String::new(),
        payload => format!(" {payload}"),
    };
    let outcome = match (error, message.arrived) {
        (Some(error), _) => format!(": {error}"),
        (None, None) => ": did not arrive".to_owned(),
        (None, Some(_)) => String::new(),
    };
    ReportEvent {
        at: story.at(message.at),
        who: format!("{from} → {}", short(&sent.to)),
        what: format!("{method}{payload}{outcome}"),
        place: sent.place.map(crate::story::place),
        kind: match (failing, error) {
            (true, _) => Line::Failing,
            (false, Some(_)) => Line::Bad,
            (false, None) => Line::Plain,
        },
    }
}

/// The name of a component without its app.
fn short(component: &str) -> &str {
    component.rsplit('/').next().unwrap_or(component)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn report() -> FailureReport {
        let story = crate::story::sample::failing();
        FailureReport {
            property: "an order is charged once".to_owned(),
            text: "A-17 was charged 2 times".to_owned(),
            at: Instant::ZERO + Duration::from_millis(47),
            seed: 4711,
            faults: vec!["partitions".to_owned(), "crashes".to_owned()],
            events: events(&story, 30),
            shrunk: Some("6 events of 1,204, after 118 runs in 3.2 s".to_owned()),
            reproduced: Some((100, 100)),
            commands: [
                ("replay", "shop sim replay target/sim/4711.toml"),
                ("view", "target/sim/4711.html"),
                ("pin", "shop sim pin target/sim/4711.toml"),
            ]
            .map(|(name, command)| (name.to_owned(), command.to_owned()))
            .to_vec(),
        }
    }

    /// Lines of the sample's source move.
    fn shown(text: &str) -> String {
        let lines = text
            .lines()
            .map(|line| match line.split_once("sample.rs:") {
                Some((before, after)) => {
                    format!(
                        "{before}sample.rs:{}",
                        after.trim_start_matches(|c: char| c.is_ascii_digit())
                    )
                }
                None => line.to_owned(),
            });
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_failure_is_told_on_one_screen() {
        insta::assert_snapshot!(shown(&report().text(&Style::default())));
    }

    #[test]
    fn on_a_terminal_it_is_coloured() {
        let style = Style {
            color: true,
            ..Style::default()
        };
        let text = report().text(&style);
        insta::assert_snapshot!(shown(&text).replace('\x1b', "ESC"));
        let plain = report().text(&Style::default());
        let mut stripped = text;
        for code in [RED, YELLOW, BOLD, DIM, PLAIN] {
            stripped = stripped.replace(code, "");
        }
        let trimmed: Vec<_> = stripped.lines().map(str::trim_end).collect();
        assert_eq!(trimmed, plain.lines().collect::<Vec<_>>());
    }

    #[test]
    fn however_much_there_is_to_tell_it_fits() {
        let mut report = report();
        report.text = "much to say ".repeat(200);
        report.property = "long ".repeat(100);
        report.faults = (0..50).map(|number| format!("family {number}")).collect();
        let line = ReportEvent {
            who: "somebody → somebody else".repeat(9),
            what: "something\nof several lines, ".repeat(9),
            place: Some("src/main.rs:17".to_owned()),
            ..ReportEvent::default()
        };
        report.events = vec![line; 10_000];
        let style = Style::default();
        let text = report.text(&style);
        assert_eq!(text.lines().count(), style.lines);
        for line in text.lines() {
            assert!(line.chars().count() <= style.columns, "{line}");
        }
        assert!(text.contains("more …"));
    }

    #[test]
    fn of_many_events_those_the_failure_is_about_are_told() {
        let story = crate::story::sample::failing();
        let few = events(&story, 4);
        let told: Vec<_> = few.iter().map(|event| (&*event.who, event.kind)).collect();
        assert_eq!(
            told,
            [
                ("client → orders", Line::Plain),
                ("orders → payments", Line::Bad),
                ("orders → payments", Line::Failing),
                ("orders → stock", Line::Plain),
            ]
        );
    }
}
