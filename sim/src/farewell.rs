//! What a test that fails leaves of its run: a report, and a picture.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use monofil_transport::record::What;

use crate::report::{FailureReport, Style, events};
use crate::{Sim, Story, file, panics, view};

/// How much a test that drives a run by hand remembers of it: the last records, and what they need.
pub(crate) const RECORDS: usize = 20_000;

/// How many lines of a report are events, at most.
const EVENTS_MAX: usize = 24;

/// How many kinds of faults are named.
const KINDS_MAX: usize = 8;

impl Drop for Sim {
    /// Judges a run by hand: what must hold at its end, and be so eventually or sometimes. When its test fails, here or
    /// before, it tells what happened, on standard error, and draws it. What was found by an exploration is told there.
    fn drop(&mut self) {
        if self.judged {
            return;
        }
        let ended = match std::thread::panicking() {
            true => Ok(()),
            false => catch_unwind(AssertUnwindSafe(|| self.judge_by_hand())),
        };
        if ended.is_err() || std::thread::panicking() {
            // A second panic now would end the process, with all other tests.
            let told = catch_unwind(AssertUnwindSafe(|| self.tell()));
            if let Ok(Some(text)) = told {
                eprintln!("{text}");
            }
        }
        if let Err(panic) = ended {
            resume_unwind(panic);
        }
    }
}

impl Sim {
    /// Ends a run by hand in the middle: what must hold at its end, be so eventually or sometimes is not judged.
    pub fn abandon(mut self) {
        self.judged = true;
    }

    fn tell(&self) -> Option<String> {
        let thread = std::thread::current();
        let test = thread.name().unwrap_or("main");
        let recorder = self.world().recorder()?;
        let mut story = Story::of(&recorder.recording());
        if story.failures.is_empty() {
            let text = panics::last().unwrap_or_else(|| "it failed here".to_owned());
            recorder.add(
                self.now(),
                What::Broken {
                    property: test.into(),
                    text: text.into(),
                    message: 0,
                },
            );
            story = Story::of(&recorder.recording());
        }
        let failure = story.failures.first()?;
        let mut report = FailureReport {
            property: failure.property.to_string(),
            text: failure.text.to_string(),
            at: story.at(failure.at),
            seed: self.seed(),
            faults: kinds(&story),
            events: events(&story, EVENTS_MAX),
            ..FailureReport::default()
        };
        let name: String = test
            .chars()
            .map(|c| match c {
                'a'..='z' | 'A'..='Z' | '0'..='9' | '_' => c,
                _ => '-',
            })
            .collect();
        let path = file::folder().join(format!("{name}.html"));
        let about = [
            ("test", test.to_owned()),
            ("seed", self.seed().to_string()),
            ("virtual time", self.now().to_string()),
        ];
        let page = view::page(&story, &report.property, &about);
        let command = match file::write(&path, &page) {
            Ok(()) => ("view", path.display().to_string()),
            Err(error) => ("not written", error.to_string()),
        };
        report.commands.push((command.0.to_owned(), command.1));
        Some(report.text(&Style::default()))
    }
}

/// Returns what went wrong in a run, each once, in the order in which it came.
fn kinds(story: &Story) -> Vec<String> {
    let mut kinds: Vec<String> = Vec::new();
    for fault in &story.faults {
        if !kinds.iter().any(|known| **known == *fault.name) {
            kinds.push(fault.name.to_string());
        }
        if kinds.len() == KINDS_MAX {
            kinds.push("..".to_owned());
            break;
        }
    }
    kinds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_fails_is_told_by_its_name_with_all_that_happened() {
        let mut sim = Sim::new("counters", 7);
        let nobody =
            |cx: &mut monofil_container::Context| cx.sleep(std::time::Duration::from_secs(1));
        assert_eq!(sim.run("ada", nobody), Ok(()));
        sim.client("bob").pause("bob");
        let text = sim.tell().expect("a test records");
        let test = "farewell::tests::a_test_that_fails_is_told_by_its_name_with_all_that_happened";
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], format!("✗ {test}"));
        assert!(lines[1].starts_with("  it failed here"), "{text}");
        assert_eq!(lines[2], "  at 1.000000s · seed 7 · faults: paused");
        assert_eq!(lines[4], "!     1.000000s  bob  paused, until the end");
        let view = format!("{}.html", test.replace(':', "-"));
        let page = text.trim_end().rsplit(' ').next().unwrap_or_default();
        assert!(page.ends_with(&view), "{text}");
        std::fs::remove_file(page).expect("a picture");
    }
}
