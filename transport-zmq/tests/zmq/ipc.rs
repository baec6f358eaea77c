//! UNIX sockets and the files behind them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process;

use monofil_transport::{Event, Plane, Route, Transport};
use monofil_zmq::{BindError, Listen, ZmqIo};

use crate::support::{client, drive, quick};

fn at(path: &Path) -> Listen {
    let endpoint = format!("ipc://{}", path.display());
    Listen {
        application: Some(endpoint.parse().expect("an endpoint")),
        ..Listen::default()
    }
}

fn is_reached(server: &mut ZmqIo) {
    let endpoint = server.local().application.expect("bound");
    let mut peer = client(quick());
    let connection = peer
        .connect(Plane::Application, &endpoint)
        .expect("an endpoint");
    peer.send(&Route::Connection(connection), "hello".into())
        .expect("there is room");
    drive(&mut [server, &mut peer], |_, event| {
        matches!(event, Event::Frame { .. })
    });
}

#[test]
fn a_second_bind_of_a_path_is_refused_and_harms_nobody() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("orders");
    let mut first = ZmqIo::bind(quick(), at(&path)).expect("it is free");
    let error = ZmqIo::bind(quick(), at(&path)).expect_err("it is taken");
    assert!(matches!(&error, BindError::InUse { holder, .. } if *holder == Some(process::id())));
    let text = error.to_string();
    assert!(
        text.contains("orders") && text.contains(&process::id().to_string()),
        "{text}"
    );
    is_reached(&mut first);
    drop(first);
    is_reached(&mut ZmqIo::bind(quick(), at(&path)).expect("it is free again"));
}

#[test]
fn what_a_killed_process_left_behind_is_replaced() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("orders");
    drop(UnixListener::bind(&path).expect("a socket that nobody listens to"));
    fs::write(directory.path().join("orders.lock"), "4194304\n").expect("written");
    is_reached(&mut ZmqIo::bind(quick(), at(&path)).expect("both are stale"));
}

/// The process that it led to, and that had this path as another of its names, was killed.
#[test]
fn a_link_that_leads_nowhere_is_replaced() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("orders");
    std::os::unix::fs::symlink(directory.path().join("payments"), &path).expect("a link");
    is_reached(&mut ZmqIo::bind(quick(), at(&path)).expect("it is stale"));
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("orders");
    fs::write(&path, "precious").expect("written");
    let error = ZmqIo::bind(quick(), at(&path)).expect_err("something is there");
    assert!(error.to_string().contains("no socket"), "{error}");
    assert_eq!(
        fs::read_to_string(&path).expect("it is still there"),
        "precious"
    );
}

#[test]
fn the_directory_is_private_and_empty_again_afterwards() {
    let directory = tempfile::tempdir().expect("a directory");
    let inner = directory.path().join("run").join("shop");
    let mut server = ZmqIo::bind(quick(), at(&inner.join("orders"))).expect("it is free");
    let mode = fs::metadata(&inner)
        .expect("it was made")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
    is_reached(&mut server);
    drop(server);
    let left: Vec<_> = fs::read_dir(&inner).expect("it is there").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("file");
    fs::write(&file, "").expect("written");
    let error = ZmqIo::bind(quick(), at(&file.join("orders"))).expect_err("a file is no directory");
    assert!(
        error.to_string().contains(&file.display().to_string()),
        "{error}"
    );
}
