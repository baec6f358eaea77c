//! Where the processes of an app meet.

use std::fs::DirEntry;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::{Ended, Program};

/// A directory of its own for the sockets of an app's processes. Nobody's settings reach them.
#[derive(Debug)]
pub struct Place {
    program: PathBuf,
    app: &'static str,
    directory: TempDir,
}

impl Place {
    /// Makes a place for processes of `program`, whose app goes by the name `app`.
    ///
    /// # Panics
    ///
    /// There is no room for temporary files.
    #[must_use]
    pub fn new(program: &Path, app: &'static str) -> Self {
        // A socket's path is short.
        let directory = tempfile::Builder::new().prefix("mf").tempdir();
        Self {
            program: program.to_owned(),
            app,
            directory: directory.expect("a directory"),
        }
    }

    /// Returns the directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Prepares the program with arguments separated by spaces.
    #[must_use]
    pub fn command(&self, args: &str) -> Command {
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("MONOFIL_") {
                command.env_remove(name);
            }
        }
        command
            .args(args.split_whitespace())
            .current_dir(self.path())
            .env("MONOFIL_NETWORK__RUNTIME_DIR", self.path())
            .env("MONOFIL_LOG__FORMAT", "human")
            .env("NO_COLOR", "1");
        command
    }

    /// Starts the program and lets it run.
    #[must_use]
    pub fn start(&self, args: &str) -> Program {
        Program::start(&mut self.command(args))
    }

    /// Runs the program to its end.
    #[must_use]
    pub fn run(&self, args: &str) -> Ended {
        self.start(args).wait()
    }

    /// Returns the names of what is there of the app's sockets.
    ///
    /// # Panics
    ///
    /// The directory cannot be read.
    #[must_use]
    pub fn sockets(&self) -> Vec<String> {
        let entries = match std::fs::read_dir(self.path().join(self.app)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
            entries => entries.expect("a directory"),
        };
        let name = |entry: io::Result<DirEntry>| {
            let entry = entry.expect("an entry");
            entry.file_name().to_string_lossy().into_owned()
        };
        let mut names: Vec<_> = entries.map(name).collect();
        names.sort();
        names
    }
}
