//! Peers that are programs of their own, because they need other compiler flags or features.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// One of the packages beside this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outside {
    /// `ractor` with its network feature.
    Cluster,
    /// Everything built with `--cfg madsim`.
    Madsim,
}

impl Outside {
    /// Returns the package that a contender is in, unless it is this one.
    pub(crate) fn of(contender: &str) -> Option<Self> {
        match contender {
            "ractor_cluster" => Some(Self::Cluster),
            "madsim" => Some(Self::Madsim),
            _ => None,
        }
    }

    const fn folder(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Madsim => "madsim",
        }
    }

    /// Builds the program, or finds that it is built, and returns where it is.
    pub(crate) fn build(self, target: &Path) -> Result<PathBuf, String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(self.folder());
        // Its own: with other flags everything in a shared one would be built again and again.
        let target = target.join(self.folder());
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo
            .args(["build", "--release", "--locked", "--quiet"])
            .arg("--target-dir")
            .arg(&target)
            .current_dir(&folder)
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .stdin(Stdio::null());
        if self == Self::Madsim {
            // Set here, because flags in the environment hide those of its `.cargo/config.toml`.
            let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
            cargo.env("RUSTFLAGS", format!("{flags} --cfg madsim").trim_start());
        }
        let done = cargo.status();
        let done = done.map_err(|error| format!("cargo cannot be started: {error}"))?;
        if !done.success() {
            return Err(format!("{} cannot be built", folder.display()));
        }
        Ok(target
            .join("release")
            .join(format!("bench-{}", self.folder())))
    }
}
