//! Several components behind one `ipc` socket, each found at its own address.
//!
//! A process that runs `orders` and `payments` listens at `orders`; `payments` is a symbolic link to that
//! socket. Others follow it without knowing. The same lock file as for a socket decides who may have the
//! name, and what a killed process leaves behind is replaced by the next.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use monofil_transport::{Endpoint, Scheme};
use rustix::fs::{FlockOperation, flock};

use super::address::control_beside;
use crate::exit::Failure;

/// A name that leads to another one's sockets. Dropping it takes the name away.
pub(super) struct Alias {
    links: Vec<PathBuf>,
    lock_path: PathBuf,
    /// Held locked.
    _lock: File,
}

impl Alias {
    /// Lets `name` lead to the sockets at `target`.
    pub(super) fn make(name: &Endpoint, target: &Endpoint) -> Result<Self, Failure> {
        let (lock_path, mut lock) = lock(name)?;
        // For whoever is refused; the lock holds without it.
        let _ = lock
            .set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| writeln!(lock, "{}", std::process::id()));
        let mut alias = Self {
            links: Vec::new(),
            lock_path,
            _lock: lock,
        };
        let pairs = [
            (name.clone(), target.clone()),
            (control_beside(name)?, control_beside(target)?),
        ];
        for (from, to) in pairs {
            let link = PathBuf::from(from.address());
            sweep(&link)?;
            remove(&link)?;
            std::os::unix::fs::symlink(to.address(), &link)
                .map_err(|error| cannot(&link, &error))?;
            alias.links.push(link);
        }
        Ok(alias)
    }
}

impl Drop for Alias {
    /// What cannot be removed is replaced next time.
    fn drop(&mut self) {
        for link in &self.links {
            let _ = fs::remove_file(link);
        }
        let _ = fs::remove_file(&self.lock_path);
    }
}

/// Removes the links that killed processes left to where a socket is to be. One in its own place goes when it is bound.
///
/// Several processes may do this at once, each for its own addresses, so any part of it may have been done already.
pub(super) fn clear(endpoint: &Endpoint) -> Result<(), Failure> {
    if endpoint.scheme() != Scheme::Ipc {
        return Ok(());
    }
    let control = control_beside(endpoint)?;
    let paths = [endpoint, &control].map(|it| Path::new(it.address()));
    if paths.iter().all(|path| leading_to(path).is_empty()) {
        return Ok(());
    }
    let _lock = lock(endpoint)?;
    paths.into_iter().try_for_each(sweep)
}

/// Takes away the links to an address of which the caller has the lock. Who made them had it, too, and is
/// dead; followed, they would lead to the caller by names that it does not have.
fn sweep(path: &Path) -> Result<(), Failure> {
    for link in leading_to(path) {
        // Whoever has the name now may be replacing it: what was taken away is looked at once more.
        let aside = PathBuf::from(format!("{}.{}", link.display(), std::process::id()));
        if fs::rename(&link, &aside).is_ok() {
            if leads_to(&aside, path) {
                remove(&aside)?;
            } else {
                fs::rename(&aside, &link).map_err(|error| cannot(&link, &error))?;
            }
        }
    }
    Ok(())
}

/// Finds the links to an address beside it.
fn leading_to(path: &Path) -> Vec<PathBuf> {
    let Some(Ok(entries)) = path.parent().map(fs::read_dir) else {
        return Vec::new();
    };
    let beside = entries.flatten().map(|entry| entry.path());
    beside.filter(|link| leads_to(link, path)).collect()
}

fn leads_to(link: &Path, path: &Path) -> bool {
    fs::read_link(link).is_ok_and(|target| target == path)
}

/// Takes the lock that whoever listens at an address has.
fn lock(endpoint: &Endpoint) -> Result<(PathBuf, File), Failure> {
    let path = PathBuf::from(format!("{}.lock", endpoint.address()));
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|error| cannot(&path, &error))?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        let mut holder = String::new();
        // Without a number the error says less.
        let _ = file.read_to_string(&mut holder);
        return Err(in_use(endpoint, holder.trim().parse().ok()));
    }
    Ok((path, file))
}

/// Refuses to go on when somebody listens at an address already.
pub(super) fn check_free(endpoint: &Endpoint) -> Result<(), Failure> {
    let path = format!("{}.lock", endpoint.address());
    let Ok(mut file) = File::open(path) else {
        return Ok(());
    };
    if flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
        return Ok(());
    }
    let mut holder = String::new();
    // Without a number the error says less.
    let _ = file.read_to_string(&mut holder);
    Err(in_use(endpoint, holder.trim().parse().ok()))
}

/// Says who has an address already, and what to do.
pub(super) fn in_use(endpoint: &Endpoint, holder: Option<u32>) -> Failure {
    let by = holder.map_or_else(String::new, |pid| format!(" by process {pid}"));
    Failure::cannot_start(format!("`{endpoint}` is in use{by}"))
        .note("the same component runs already: end it first")
        .note("or keep the two apart: --set network.runtime_dir=DIRECTORY")
}

fn remove(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(cannot(path, &error)),
        _ => Ok(()),
    }
}

fn cannot(path: &Path, error: &std::io::Error) -> Failure {
    Failure::cannot_start(format!("`{}`: {error}", path.display()))
}
