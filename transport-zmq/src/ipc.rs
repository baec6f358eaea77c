//! The file behind an `ipc` endpoint.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process;

use monofil_transport::Endpoint;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::bind::BindError;

/// The right to bind one path.
///
/// A second bind of the same path succeeds and takes the first one's traffic, so a file lock beside it
/// decides who may. The kernel gives the lock back however the process ends; what is left in the
/// directory then hinders nobody.
#[derive(Debug)]
pub(crate) struct IpcLock {
    socket: PathBuf,
    path: PathBuf,
    /// Held locked.
    _file: File,
}

impl IpcLock {
    /// Takes the lock, making the directory if it is missing.
    pub(crate) fn take(endpoint: &Endpoint) -> Result<Self, BindError> {
        let socket = PathBuf::from(endpoint.address());
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| BindError::Path { path, source }
        };
        if let Some(directory) = socket.parent() {
            let mut builder = DirBuilder::new();
            builder
                .recursive(true)
                .mode(0o700)
                .create(directory)
                .map_err(failed(directory))?;
        }
        let mut path = socket.clone().into_os_string();
        path.push(".lock");
        let path = PathBuf::from(path);
        let mut file = loop {
            if let Some(file) = try_lock(&path, endpoint)? {
                break file;
            }
        };
        // For whoever is refused; the lock holds without it.
        let _ = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", process::id()));
        let lock = Self {
            socket,
            path,
            _file: file,
        };
        lock.clear()?;
        Ok(lock)
    }

    /// Removes what a killed process left behind, a socket or a link to another, and nothing else.
    fn clear(&self) -> Result<(), BindError> {
        let failed = |source| BindError::Path {
            path: self.socket.clone(),
            source,
        };
        match fs::symlink_metadata(&self.socket) {
            Ok(found) if found.file_type().is_socket() || found.is_symlink() => {
                match fs::remove_file(&self.socket) {
                    // Who has the path that the link led to takes the link away, too.
                    Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
                    _ => Ok(()),
                }
            }
            Ok(_) => Err(failed(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "something that is no socket is there",
            ))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }
}

/// Opens and locks the file, or returns `None` when its last holder has just removed it.
fn try_lock(path: &Path, endpoint: &Endpoint) -> Result<Option<File>, BindError> {
    let failed = |source| BindError::Path {
        path: path.to_owned(),
        source,
    };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            let mut holder = String::new();
            // Without a number the error says less.
            let _ = file.read_to_string(&mut holder);
            return Err(BindError::InUse {
                endpoint: endpoint.clone(),
                holder: holder.trim().parse().ok(),
            });
        }
        Err(error) => return Err(failed(error.into())),
    }
    let locked = file.metadata().map_err(failed)?;
    match fs::metadata(path) {
        Ok(there) if there.ino() == locked.ino() && there.dev() == locked.dev() => Ok(Some(file)),
        _ => Ok(None),
    }
}

impl Drop for IpcLock {
    /// Removes both files while the lock is still held. What cannot be removed is replaced next time,
    /// and what is no socket is not ours.
    fn drop(&mut self) {
        let _ = self.clear();
        let _ = fs::remove_file(&self.path);
    }
}
