//! Where components are, so that on one machine nothing needs to be configured.
//!
//! ```text
//!   ipc    ipc://RUNTIME_DIR/APP/NAME                and the same with .control
//!   tcp    tcp://HOST:(base_port + 2 * index)        and the port after it
//! ```
//!
//! `[peers]` goes over both.

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use monofil_transport::{Endpoint, Scheme};
use rustix::process::geteuid;

use crate::Layout;
use crate::app::Definition;
use crate::config::Settings;
use crate::exit::Failure;

/// The addresses of an app's components.
pub(crate) struct Addresses<'a> {
    app: &'a str,
    components: &'a [Definition],
    settings: &'a Settings,
    layout: Layout,
}

impl<'a> Addresses<'a> {
    pub(crate) const fn new(
        app: &'a str,
        components: &'a [Definition],
        settings: &'a Settings,
        layout: Layout,
    ) -> Self {
        Self {
            app,
            components,
            settings,
            layout,
        }
    }

    /// Returns where others find a component.
    pub(crate) fn of(&self, index: usize) -> Result<Vec<Endpoint>, Failure> {
        let name = &self.components[index].name;
        match self.settings.peers.get(name).filter(|set| !set.is_empty()) {
            Some(set) => Ok(set.clone()),
            None => Ok(vec![self.well_known(index, &self.reached_at())?]),
        }
    }

    /// Tells whether somebody said where a component is.
    pub(crate) fn is_set(&self, index: usize) -> bool {
        let peers = self.settings.peers.get(&self.components[index].name);
        peers.is_some_and(|set| !set.is_empty())
    }

    /// Returns the address to listen at on any port.
    pub(crate) fn anywhere(&self) -> Result<Endpoint, Failure> {
        endpoint(&format!("tcp://{}:*", bracketed(&self.settings.host)))
    }

    /// Returns where a component listens by itself.
    pub(crate) fn listen(&self, index: usize) -> Result<Endpoint, Failure> {
        self.well_known(index, &self.settings.host)
    }

    fn reached_at(&self) -> String {
        let host = &self.settings.host;
        let is_wildcard = ["*", "0.0.0.0", "::", "[::]"].contains(&host.as_str());
        match &self.settings.advertise {
            Some(host) => host.clone(),
            None if is_wildcard => "127.0.0.1".to_owned(),
            None => host.clone(),
        }
    }

    fn well_known(&self, index: usize, host: &str) -> Result<Endpoint, Failure> {
        if self.layout == Layout::Tcp {
            let base = usize::from(self.settings.base_port);
            let Ok(port) = u16::try_from(base + 2 * index) else {
                let what = format!("`network.base_port` is {base}, which leaves no ports");
                let most = usize::from(u16::MAX).saturating_sub(2 * self.components.len()) + 1;
                return Err(Failure::usage(what).note(format!(
                    "each component takes two from there on: set it to {most} at most"
                )));
            };
            return endpoint(&format!("tcp://{}:{port}", bracketed(host)));
        }
        let path = self.directory()?.join(&self.components[index].name);
        endpoint(&format!("ipc://{}", path.display()))
            .map_err(|failure| failure.note("set a shorter `network.runtime_dir`"))
    }

    /// Returns where this app's sockets are.
    fn directory(&self) -> Result<PathBuf, Failure> {
        let runtime = match &self.settings.runtime_dir {
            Some(set) => std::path::absolute(set)
                .map_err(|error| Failure::usage(format!("`{}`: {error}", set.display())))?,
            None => usual_runtime_dir(),
        };
        Ok(runtime.join(self.app))
    }

    /// Makes the directory of this app's sockets, for this user alone.
    pub(crate) fn prepare(&self) -> Result<(), Failure> {
        let directory = self.directory()?;
        let cannot = |path: &Path, why: &str| {
            Failure::cannot_start(format!("the directory `{}` {why}", path.display()))
                .note("set `network.runtime_dir` to one that only you can write to")
        };
        let runtime = directory.parent().unwrap_or(&directory);
        for path in [runtime, &directory] {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
            made.map_err(|error| cannot(path, &format!("cannot be made: {error}")))?;
            let found = std::fs::symlink_metadata(path)
                .map_err(|error| cannot(path, &format!("cannot be looked at: {error}")))?;
            if self.settings.runtime_dir.is_none() {
                if found.uid() != geteuid().as_raw() {
                    return Err(cannot(path, "belongs to somebody else"));
                }
                if found.mode() & 0o022 != 0 {
                    return Err(cannot(path, "can be written to by others"));
                }
            }
        }
        Ok(())
    }
}

fn usual_runtime_dir() -> PathBuf {
    let of_session = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    match of_session.filter(|path| path.is_absolute() && path.is_dir()) {
        Some(path) => path.join("monofil"),
        None => PathBuf::from(format!("/tmp/monofil-{}", geteuid().as_raw())),
    }
}

/// Returns where the control plane is bound when the application plane is at `endpoint`.
pub(super) fn control_beside(endpoint: &Endpoint) -> Result<Endpoint, Failure> {
    if endpoint.scheme() != Scheme::Tcp {
        return self::endpoint(&format!("{endpoint}.control"));
    }
    let (host, port) = endpoint.address().rsplit_once(':').unwrap_or_default();
    let next = match port.parse::<u16>() {
        Ok(port) if port > 0 => port
            .checked_add(1)
            .map_or_else(|| "*".into(), |it| it.to_string()),
        _ => "*".to_owned(),
    };
    self::endpoint(&format!("tcp://{host}:{next}"))
}

fn endpoint(text: &str) -> Result<Endpoint, Failure> {
    text.parse()
        .map_err(|error: monofil_transport::EndpointError| Failure::usage(error.to_string()))
}

pub(super) fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}
