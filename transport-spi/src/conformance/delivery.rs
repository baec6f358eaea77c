//! Frames get there.

use bytes::Bytes;

use super::net::{Net, pattern};
use super::report::broken;
use super::{Failure, Verdict};
use crate::{Plane, Route, SendError};

pub(super) fn start_in_any_order(net: &mut Net<'_>) -> Result<Verdict, Failure> {
    let clause = "connecting never fails because the other side is not up yet, and frames sent \
                  meanwhile are held up to the bound";
    net.open("early");
    net.open("late");
    let there = net.local("late");
    net.crash("late");
    let connection = net.connect("early", &there, Plane::Application)?;
    let route = Route::Connection(connection);
    if let Err(error) = net.send("early", &route, pattern(0, 100)) {
        return broken(
            clause,
            format!("`send` before the other side is up: {error}"),
        );
    }
    net.drive_for(&["early"], net.slack(), |_| false);
    if net.mail("early").changes_of(connection).contains(&true) {
        return broken(clause, "`PeerConnected` came before the other side was up");
    }
    net.restart("late");
    net.connected(&["early", "late"], "early", connection)?;
    let arrived = net.drive(&["late", "early"], |net| {
        !net.mail("late").frames.is_empty()
    });
    if !arrived {
        return broken(
            clause,
            "a frame sent before the other side was up never arrived",
        );
    }
    net.mail("late").frames.clear();
    net.transfer("early", "late", &route, 1, &[100; 100])?;
    Ok(Verdict::Passed)
}

pub(super) fn mesh(net: &mut Net<'_>) -> Result<Verdict, Failure> {
    let names = ["ada", "ben", "cy", "dot"];
    let mut locals = Vec::new();
    for name in names {
        net.open(name);
        locals.push(net.local(name));
    }
    let mut connections = Vec::new();
    for from in names {
        for (to, there) in names.iter().zip(&locals) {
            if *to != from {
                connections.push((from, *to, net.connect(from, there, Plane::Application)?));
            }
        }
    }
    for (from, _, connection) in &connections {
        net.connected(&names, from, *connection)?;
    }
    for (from, to, connection) in connections {
        net.transfer(from, to, &Route::Connection(connection), 0, &[64; 50])?;
    }
    Ok(Verdict::Passed)
}

pub(super) fn ordering(net: &mut Net<'_>) -> Result<Verdict, Failure> {
    let connection = net.pair("sender", "receiver", Plane::Application)?;
    let sizes: Vec<usize> = (0..4_000_usize)
        .map(|n| match n % 97 {
            0 => 65_536 + n,
            1..=8 => n * 3,
            _ => 12 + (n * 7_919) % 300,
        })
        .collect();
    let route = Route::Connection(connection);
    net.transfer("sender", "receiver", &route, 0, &sizes)?;
    Ok(Verdict::Passed)
}

pub(super) fn size_limits(net: &mut Net<'_>) -> Result<Verdict, Failure> {
    let clause = "a frame as long as `Limits::frame_bytes_max` passes, a longer one is handed back \
                  as `TooLarge`";
    let route = Route::Connection(net.pair("sender", "receiver", Plane::Application)?);
    let limit = net.with("sender", |io| io.limits()).frame_bytes_max;

    let over = Bytes::from(vec![7; limit + 1]);
    match net.send("sender", &route, over.clone()) {
        Err(SendError::TooLarge(frame)) if frame == over => {}
        Err(SendError::TooLarge(_)) => return broken(clause, "another frame was handed back"),
        Err(error) => return broken(clause, format!("one byte over it: {error}")),
        Ok(()) => return broken(clause, "one byte over it was accepted"),
    }
    net.transfer("sender", "receiver", &route, 0, &[limit, 12, limit])?;

    if let Err(error) = net.send("sender", &route, Bytes::new()) {
        return broken(
            "an empty frame is a frame",
            format!("`send` answered: {error}"),
        );
    }
    net.drive(&["receiver", "sender"], |net| {
        !net.mail("receiver").frames.is_empty()
    });
    match net.mail("receiver").frames.pop_front() {
        Some(arrival) if arrival.frame.is_empty() => Ok(Verdict::Passed),
        Some(_) => broken("an empty frame is a frame", "something else arrived"),
        None => broken("an empty frame is a frame", "it never arrived"),
    }
}
