//! What the suite found.

use std::fmt;

/// A clause of the contract that a backend broke.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the contract says: {clause}; but {observed}")]
pub struct Failure {
    /// What the contract says.
    pub clause: &'static str,
    /// What happened.
    pub observed: String,
}

/// How one case ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The backend does what it must.
    Passed,
    /// The fixture cannot arrange what the case needs.
    Skipped(&'static str),
    /// It does not.
    Failed(Failure),
}

/// One case's result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseReport {
    /// The case.
    pub name: &'static str,
    /// How it ended.
    pub verdict: Verdict,
}

/// All results of one run, in the order in which the cases ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// One for each case.
    pub cases: Vec<CaseReport>,
}

impl Report {
    /// Tells whether no case failed.
    #[must_use]
    pub fn is_pass(&self) -> bool {
        self.failed().next().is_none()
    }

    /// Returns the failed cases and why.
    pub fn failed(&self) -> impl Iterator<Item = (&'static str, &Failure)> {
        self.cases.iter().filter_map(|case| match &case.verdict {
            Verdict::Failed(failure) => Some((case.name, failure)),
            _ => None,
        })
    }

    /// Returns the skipped cases.
    pub fn skipped(&self) -> impl Iterator<Item = &'static str> {
        self.cases
            .iter()
            .filter(|case| matches!(case.verdict, Verdict::Skipped(_)))
            .map(|case| case.name)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for case in &self.cases {
            match &case.verdict {
                Verdict::Passed => writeln!(f, "pass  {}", case.name)?,
                Verdict::Skipped(why) => writeln!(f, "skip  {}: {why}", case.name)?,
                Verdict::Failed(failure) => writeln!(f, "FAIL  {}: {failure}", case.name)?,
            }
        }
        Ok(())
    }
}

/// Makes the error of a broken clause.
pub(super) fn broken<T>(clause: &'static str, observed: impl Into<String>) -> Result<T, Failure> {
    Err(Failure {
        clause,
        observed: observed.into(),
    })
}
