//! Shows how far it is, to whoever sits at a terminal.

use std::fmt::Display;
use std::io::{self, Write as _};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use monofil::prelude::*;

use super::Args;

/// A progress bar on standard error; nothing when that is no terminal.
pub(crate) struct Progress(Option<ProgressBar>);

impl Progress {
    /// Begins, for so many orders if that is known.
    pub(crate) fn new(job: &Job<Args>, orders: Option<u64>) -> Self {
        // A simulated run must not read the real clock, and a bar does, a hidden one, too.
        if job.json() || job.args().no_progress || job.layout() == Layout::Sim {
            return Self(None);
        }
        let template = match orders {
            Some(_) => "{bar:40} {human_pos} of {human_len} orders, {eta} left",
            None => "{spinner} {human_pos} orders",
        };
        let style =
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(orders, ProgressDrawTarget::stderr());
        Self(Some(bar.with_style(style)))
    }

    pub(crate) fn advance(&self) {
        if let Some(bar) = &self.0 {
            bar.inc(1);
        }
    }

    /// Writes a line on standard error, whether there is a bar or not.
    pub(crate) fn say(&self, line: &impl Display) {
        let say = || {
            // Whoever closed it does not want to know.
            let _ = writeln!(io::stderr(), "{line}");
        };
        match &self.0 {
            Some(bar) => bar.suspend(say),
            None => say(),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
