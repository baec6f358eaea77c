//! Looking into a run: stopping where asked, step by step, what waits where, where two runs part.

use std::fmt::Write as _;

use monofil_transport::Instant;
use monofil_transport::record::Recording;

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
        Stopped { ran, why }
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

impl StopAt {
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

/// Says where two runs part: what they have in common last, and what comes then in each. `None` if they are the same.
#[must_use]
pub fn difference(one: &Recording, other: &Recording) -> Option<String> {
    let lines = |recording: &Recording| -> Vec<String> {
        let records = recording.records.iter();
        records
            .map(|record| record.line(&recording.nodes))
            .collect()
    };
    difference_of(&lines(one), &lines(other))
}

pub(crate) fn difference_of(one: &[String], other: &[String]) -> Option<String> {
    let same = one
        .iter()
        .zip(other)
        .take_while(|(one, other)| one == other)
        .count();
    if same == one.len() && same == other.len() {
        return None;
    }
    let mut text = format!("the first {same} events are the same; the last of these:\n");
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
