//! Looking into a run: stopping where asked, step by step, what waits where, where two runs part.

use std::fmt::Write as _;

use monofil_transport::Instant;
use monofil_transport::record::Record;

use crate::explore::RECORDS;
use crate::gatekeeper::is_named;
use crate::{Case, Keep, Ran, Received, Scenario, Sim, Span};

/// Where a run is to stop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StopAt {
    /// When so much virtual time has passed.
    pub time: Option<Span>,
    /// When a request comes to one of these: a component, or a component and a method as `payments/Charge`.
    pub requests: Vec<String>,
}

/// A run that was looked into.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stopped {
    /// What is known of it; without a failure if it was stopped before.
    pub ran: Ran,
    /// Why it stopped, if it was not over.
    pub why: Option<String>,
    /// Where it was to stop, if it came to none of these.
    pub missed: Vec<String>,
}

impl Scenario {
    /// Runs a case again, with records, and stops it where asked.
    ///
    /// # Panics
    ///
    /// When no thread can be had.
    #[must_use]
    pub fn replay(&self, case: &Case, stop: &StopAt) -> Stopped {
        let mut why = None;
        let mut seen = 0;
        let ran = self.watch(case, recorded(), |sim| {
            why = stop.reached(sim, &mut seen);
            why.is_none()
        });
        let missed = match why {
            Some(_) => Vec::new(),
            None => stop.named(),
        };
        Stopped { ran, why, missed }
    }

    /// Runs a case again, and has each step shown: `show` is given what has happened in it, as lines of text, and
    /// ends the run by saying false. Steps in which nothing happens are passed over.
    ///
    /// # Panics
    ///
    /// When no thread can be had.
    pub fn step(&self, case: &Case, mut show: impl FnMut(&Sim, &str) -> bool + Send) -> Ran {
        let mut shown = 0;
        self.watch(case, recorded(), |sim| {
            let recorder = sim.world().recorder();
            let new = recorder.map_or_else(Vec::new, |recorder| recorder.since(shown));
            let nodes = recorder.map_or_else(Vec::new, |recorder| recorder.nodes());
            let text: String = new.iter().map(|it| it.line(&nodes) + "\n").collect();
            shown = new.last().map_or(shown, |record| record.sequence);
            text.is_empty() || show(sim, &text)
        })
    }
}

/// How many random choices are kept of a run that is looked into.
const DRAWS: usize = 1_000_000;

fn recorded() -> Keep {
    Keep {
        records: RECORDS,
        stacks: true,
        draws: DRAWS,
        ..Keep::default()
    }
}

/// Has a run that a test replays stop when so much time has passed: a [`StopAt::time`].
pub(crate) const UNTIL: &str = "SIM_UNTIL";

/// Has one stop at requests: [`StopAt::requests`], with commas between them.
pub(crate) const BREAK: &str = "SIM_BREAK";

/// Returns what says where to stop, if something does.
pub(crate) fn where_to_stop() -> Option<&'static str> {
    let mut variables = [UNTIL, BREAK].into_iter();
    variables.find(|variable| std::env::var_os(variable).is_some())
}

impl StopAt {
    /// Reads what is asked for in the environment, by `variable`.
    pub(crate) fn asked(variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let time = variable(UNTIL).map(|text| {
            let time = text.parse::<Span>();
            time.map_err(|error| format!("{UNTIL}: {error}"))
        });
        let requests = variable(BREAK).unwrap_or_default();
        Ok(Self {
            time: time.transpose()?,
            requests: requests
                .split(',')
                .map(|it| it.trim().to_owned())
                .filter(|it| !it.is_empty())
                .collect(),
        })
    }

    /// Returns where a run is to stop, each as it was asked for.
    fn named(&self) -> Vec<String> {
        let requests = self.requests.iter().map(|request| format!("`{request}`"));
        let time = self.time.map(|time| time.to_string());
        requests.chain(time).collect()
    }

    fn reached(&self, sim: &Sim, seen: &mut u64) -> Option<String> {
        let now = sim.now();
        if let Some(time) = self.time
            && now >= Instant::ZERO + time.0
        {
            return Some(format!("it is {now}"));
        }
        let requests = sim.requests();
        if requests == *seen || self.requests.is_empty() {
            return None;
        }
        // Several may come in one step: what was sent together arrives together.
        let new = sim.gatekeeper.since(std::mem::replace(seen, requests));
        new.iter().find_map(|request| {
            let wanted = self.requests.iter().find(|it| is_meant(request, it))?;
            let (method, from) = (&request.method, &request.from);
            Some(format!(
                "`{method}` from `{from}` comes to `{wanted}` at {now}"
            ))
        })
    }
}

/// Tells whether a request is one of those that `wanted` names: a component, or a component and a method.
fn is_meant(request: &Received, wanted: &str) -> bool {
    match wanted.rsplit_once('/') {
        Some((component, method)) if is_named(&request.component, component) => {
            is_named(&request.method, method)
        }
        _ => is_named(&request.component, wanted),
    }
}

/// How many records are shown before two runs part.
const CONTEXT: usize = 6;

/// What happened in a run, an event a line, and the run's hash as the last one.
#[derive(Debug)]
pub(crate) struct Lines {
    /// How many events came before these, and are not here.
    pub(crate) before: u64,
    pub(crate) lines: Vec<String>,
}

impl Lines {
    /// Writes what was recorded of a run, from where on nothing is left out.
    pub(crate) fn of(ran: &Ran) -> Self {
        let records = &ran.recording.records;
        let last = records.last().map_or(0, |record| record.sequence);
        // Of what came before the last records single ones are kept.
        let is_next = |(record, sequence): &(&Record, u64)| record.sequence == *sequence;
        let newest_first = records.iter().rev().zip((0..=last).rev());
        let complete = newest_first.take_while(is_next).count();
        let lines = records[records.len() - complete..].iter();
        Self {
            before: last - complete as u64,
            lines: lines
                .map(|record| record.line(&ran.recording.nodes))
                // It may be all that differs: records have the first bytes of a payload only.
                .chain([format!("hash of all of it {}", ran.hash)])
                .collect(),
        }
    }

    /// Returns those that come after so many events.
    fn after(&self, count: u64) -> &[String] {
        let left_out = usize::try_from(count.saturating_sub(self.before));
        self.lines
            .get(left_out.unwrap_or(usize::MAX)..)
            .unwrap_or_default()
    }
}

/// Says where two runs part, of which records were kept: what they have in common last, and what comes then in each.
/// They are compared from where on the records of both are complete; how many events came before is said. `None` if the
/// runs are the same, by their hashes as well.
#[must_use]
pub fn difference(one: &Ran, other: &Ran) -> Option<String> {
    difference_of(&Lines::of(one), &Lines::of(other))
}

pub(crate) fn difference_of(one: &Lines, other: &Lines) -> Option<String> {
    let before = one.before.max(other.before);
    let (one, other) = (one.after(before), other.after(before));
    let same = one
        .iter()
        .zip(other)
        .take_while(|(one, other)| one == other)
        .count();
    if same == one.len() && same == other.len() {
        return None;
    }
    let is_hash_only = same > 0 && same + 1 == one.len() && same + 1 == other.len();
    let mut text = match before {
        0 => format!("the first {same} events are the same; the last of these:\n"),
        _ if same == 0 => format!(
            "they part within the first {before} events, which were not all kept, or right after them\n"
        ),
        _ if is_hash_only => format!(
            "they part within the first {before} events, which were not all kept, or in what no record shows; the \
             {same} after them are the same, the last of these:\n"
        ),
        _ => format!(
            "the first {before} events were not all kept and are not compared; the {same} after them are the same, the \
             last of these:\n"
        ),
    };
    for line in &one[same.saturating_sub(CONTEXT)..same] {
        let _ = writeln!(text, "    {line}");
    }
    for (name, lines) in [("one", one), ("the other", other)] {
        let _ = writeln!(text, "then, in {name}:");
        let rest = &lines[same..];
        for line in rest.iter().take(CONTEXT) {
            let _ = writeln!(text, "    {line}");
        }
        if rest.is_empty() {
            let _ = writeln!(text, "    nothing any more");
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_test_is_to_stop_is_read_from_its_environment() {
        let read = |until: &str, requests: &str| {
            StopAt::asked(|name| {
                let text = if name == UNTIL { until } else { requests };
                (!text.is_empty()).then(|| text.to_owned())
            })
        };
        assert_eq!(read("", ""), Ok(StopAt::default()));
        let both = StopAt {
            time: Some(Span::secs(3)),
            requests: vec!["till".to_owned(), "payments/Charge".to_owned()],
        };
        assert_eq!(read("3s", "till, payments/Charge"), Ok(both));
        let error = read("soon", "").expect_err("it is no time");
        assert!(error.starts_with("SIM_UNTIL: "), "{error}");
    }
}
