//! How the program of an app ends.

use std::fmt;
use std::io::Write;
use std::process::ExitCode;

/// Everything went well.
pub const EXIT_OK: u8 = 0;
/// The job returned an error or panicked, or the component that was called answered with an error of its own.
pub const EXIT_FAILED: u8 = 1;
/// What was asked for makes no sense: a flag, a name, a setting.
pub const EXIT_USAGE: u8 = 2;
/// It could not be started: an address is taken, a directory cannot be used.
pub const EXIT_CANNOT_START: u8 = 3;
/// A call got no answer: unreachable, timed out, rejected by a limit, and so on.
pub const EXIT_CALL: u8 = 4;
/// A simulated run did not get on: a handler never gave the thread back, or time stood still.
pub const EXIT_STUCK: u8 = 5;
/// The process did not end within its drain deadline and was ended by its own watchdog.
pub const EXIT_WATCHDOG: u8 = 70;
/// A signal ended it before its job was done.
pub const EXIT_INTERRUPTED: u8 = 130;

/// Writes a line on standard error. When that is gone there is nobody to tell, which is no reason to panic.
pub(crate) fn tell(line: impl fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Why the program ends otherwise than well: what happened, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    code: u8,
    what: String,
    notes: Vec<String>,
}

impl Failure {
    pub(crate) fn new(code: u8, what: impl Into<String>) -> Self {
        Self {
            code,
            what: what.into(),
            notes: Vec::new(),
        }
    }

    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::new(EXIT_USAGE, what)
    }

    pub(crate) fn cannot_start(what: impl Into<String>) -> Self {
        Self::new(EXIT_CANNOT_START, what)
    }

    /// Returns what happened, without what to do about it.
    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    /// Adds where it happened, or what to do about it.
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Adds a note if there is something to say.
    pub(crate) fn maybe(self, note: Option<String>) -> Self {
        match note {
            Some(note) => self.note(note),
            None => self,
        }
    }

    /// Tells whoever started the program.
    pub(crate) fn report(&self) -> ExitCode {
        tell(self);
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.what)?;
        self.notes
            .iter()
            .try_for_each(|note| write!(f, "\n  {note}"))
    }
}
