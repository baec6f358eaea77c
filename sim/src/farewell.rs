//! What a test that fails leaves of its run: a report, and a picture.

use std::panic::{AssertUnwindSafe, catch_unwind};

use monofil_transport::record::What;

use crate::report::{FailureReport, Style, events};
use crate::{Sim, Story, file, view};

/// How much a test that drives a run by hand remembers of it: the last records, and what they need.
pub(crate) const RECORDS: usize = 20_000;

/// How many lines of a report are events, at most.
const EVENTS_MAX: usize = 24;

impl Drop for Sim {
    /// When a test fails that drives its run by hand, it tells what happened, on standard error, and draws it. What
    /// was found by an exploration is told there.
    fn drop(&mut self) {
        if !std::thread::panicking() || self.judged {
            return;
        }
        // A second panic now would end the process, with all other tests.
        let told = catch_unwind(AssertUnwindSafe(|| self.tell()));
        if let Ok(Some(text)) = told {
            eprintln!("{text}");
        }
    }
}

impl Sim {
    fn tell(&self) -> Option<String> {
        let recorder = self.world().recorder()?;
        let mut story = Story::of(&recorder.recording());
        if story.failures.is_empty() {
            let property = "the test passes".into();
            let text = "it panicked here; what it says is above".into();
            recorder.add(
                self.now(),
                What::Broken {
                    property,
                    text,
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
            faults: Vec::new(),
            events: events(&story, EVENTS_MAX),
            ..FailureReport::default()
        };
        let thread = std::thread::current();
        let test = thread.name().unwrap_or("main");
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
