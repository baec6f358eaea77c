//! Files of failing runs: to be replayed, looked at and kept.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Case, Failure, Faults, Scenario};

/// A failing run as a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseFile {
    /// The scenario it is of.
    pub scenario: String,
    /// The number of the run that it was made from.
    pub run: u64,
    /// The hash of everything that happens in it.
    pub hash: String,
    /// What the program was given besides, so that the scenario is the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Where everything was, in the settings of a layout; empty without one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub layout: BTreeMap<String, String>,
    /// How it fails.
    pub failure: Failure,
    /// What may go wrong, as far as the case does not say it: how long, and all of it if the case has no plan. So
    /// neither a file that was given then nor what a test says has to be the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub faults: Option<Faults>,
    /// All that decides it.
    pub case: Case,
}

/// Why a file is no case.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaseFileError {
    /// It cannot be read or written.
    #[error("{}: {error}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It says something else than a case.
    #[error("{} is no file of a failing run: {error}", path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Where, and what.
        error: Box<toml::de::Error>,
    },
}

impl CaseFile {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// See [`CaseFileError`].
    pub fn read(path: &Path) -> Result<Self, CaseFileError> {
        let text = fs::read_to_string(path).map_err(|error| CaseFileError::Io {
            path: path.to_owned(),
            error,
        })?;
        toml::from_str(&text).map_err(|error| CaseFileError::Malformed {
            path: path.to_owned(),
            error: Box::new(error),
        })
    }

    /// Writes it.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), CaseFileError> {
        let text = toml::to_string(self).map_err(io::Error::other);
        write(path, &text.map_err(|error| failed(path, error))?)
    }

    /// Says in which settings another layout is not the one of this run; `None` if it is the same.
    #[must_use]
    pub fn other_layout(&self, now: &BTreeMap<String, String>) -> Option<String> {
        let keys: BTreeSet<_> = self.layout.keys().chain(now.keys()).collect();
        let all = keys.into_iter().filter_map(|key| {
            let shown = |value: Option<&String>| value.map_or("not set".to_owned(), Clone::clone);
            let (was, is) = (self.layout.get(key), now.get(key));
            (was != is).then(|| format!("{key} was {} and is {}", shown(was), shown(is)))
        });
        let all: Vec<_> = all.collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// Returns the scenario with the faults that it says.
    pub(crate) fn scenario(&self, scenario: &Scenario) -> Scenario {
        match &self.faults {
            Some(faults) => scenario.clone().faults(faults.clone()),
            None => scenario.clone(),
        }
    }

    /// Returns what it is called, without an ending.
    #[must_use]
    pub fn name(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let scenario: String = self.scenario.chars().map(plain).collect();
        format!("{scenario}-{}", self.run)
    }
}

fn failed(path: &Path, error: io::Error) -> CaseFileError {
    CaseFileError::Io {
        path: path.to_owned(),
        error,
    }
}

/// Writes a file, and the folder it is in.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), CaseFileError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, text))
        .map_err(|error| failed(path, error))
}

/// Returns the folder for what was found: `sim` in the build folder of the program, if it is in one, and otherwise in
/// the working directory.
pub(crate) fn folder() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let is_build_folder = |folder: &&Path| folder.join(".rustc_info.json").exists();
    let build = program.ancestors().find(is_build_folder);
    build.map_or_else(|| PathBuf::from("sim"), |folder| folder.join("sim"))
}
