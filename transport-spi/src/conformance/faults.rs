//! Peers that end, come back or vanish.

use super::net::{Net, number_of, pattern};
use super::planes::introduce;
use super::report::broken;
use super::{Failure, Verdict};
use crate::{ConnectionId, Plane, Route, SendError};

pub(super) fn restart(net: &mut Net<'_>) -> Result<Verdict, Failure> {
    let connection = net.pair("sender", "receiver", Plane::Application)?;
    net.transfer(
        "sender",
        "receiver",
        &Route::Connection(connection),
        0,
        &[200; 100],
    )?;
    net.crash("receiver");
    gone(net, connection)?;
    let mut next = 100;
    met_again(net, connection, &mut next)?;
    let changes = net.mail("sender").changes_of(connection);
    if changes.windows(2).any(|pair| pair[0] == pair[1]) {
        return broken(
            "`PeerConnected` and `PeerGone` take turns, once for each time",
            format!("they came as {changes:?} (true: connected)"),
        );
    }
    Ok(Verdict::Passed)
}

/// Drives the sender, which goes on sending, until it is told that its peer is gone.
fn gone(net: &mut Net<'_>, connection: ConnectionId) -> Result<(), Failure> {
    let clause = "a lost peer is `PeerGone`";
    let told = net.drive(&["sender"], |net| {
        net.mail("sender").changes_of(connection).last() == Some(&false)
    });
    if told {
        return Ok(());
    }
    broken(clause, "the other end is gone and nobody said so")
}

/// Restarts the receiver and sends until frames flow; none may arrive twice or out of order.
fn met_again(net: &mut Net<'_>, connection: ConnectionId, next: &mut u64) -> Result<(), Failure> {
    let clause = "a backend connects anew by itself, and no frame is delivered twice";
    let route = Route::Connection(connection);
    // Down: taken up to the bound, or handed back; never refused for good.
    for _ in 0..10 {
        match net.send("sender", &route, pattern(*next, 200)) {
            Ok(()) => *next += 1,
            Err(SendError::Full(_)) => break,
            Err(error) => {
                return broken(clause, format!("while its peer is down, `send`: {error}"));
            }
        }
    }
    net.restart("receiver");
    net.mail("receiver").frames.clear();
    net.connected(&["sender", "receiver"], "sender", connection)?;

    let mut last = None;
    let mut fresh = 0;
    let first_fresh = *next;
    let mut wrong = None;
    net.drive(&["sender", "receiver"], |net| {
        match net.send("sender", &route, pattern(*next, 200)) {
            Ok(()) => *next += 1,
            Err(SendError::Full(_)) => {}
            Err(error) => wrong = Some(format!("after its return, `send`: {error}")),
        }
        while let Some(arrival) = net.mail("receiver").frames.pop_front() {
            let number = number_of(&arrival.frame);
            if number.is_none() || number <= last {
                wrong = Some(format!("after {last:?} came {number:?}"));
            }
            last = number;
            fresh += u32::from(number.is_some_and(|number| number >= first_fresh));
        }
        wrong.is_some() || fresh >= 20
    });
    match wrong {
        Some(what) => broken(clause, what),
        None if fresh < 20 => broken(clause, format!("after its return {fresh} frames arrived")),
        None => Ok(()),
    }
}

pub(super) fn vanished_peer(net: &mut Net<'_>) -> Result<Verdict, Failure> {
    let connection = net.pair("sender", "receiver", Plane::Application)?;
    let route = Route::Connection(connection);
    net.transfer("sender", "receiver", &route, 0, &[200; 10])?;
    if !net.vanish("receiver") {
        return Ok(Verdict::Skipped(
            "this fixture cannot take a node away without a word",
        ));
    }
    let mut next = 10;
    for _ in 0..10 {
        if net.send("sender", &route, pattern(next, 200)).is_ok() {
            next += 1;
        }
    }
    gone(net, connection)?;
    met_again(net, connection, &mut next)?;
    Ok(Verdict::Passed)
}

const RETURN_ENDS: &str =
    "a return path is void once its connection is gone: `send` answers `Gone`";

/// Sends along a return path until it is gone.
fn return_gone(net: &mut Net<'_>, back: &Route) -> Result<(), Failure> {
    let mut number = 0;
    let gone = net.drive(&["server"], |net| {
        number += 1;
        let frame = pattern(number, 100);
        match net.send("server", back, frame.clone()) {
            Err(SendError::Gone(handed_back)) => handed_back == frame,
            _ => false,
        }
    });
    if gone {
        return Ok(());
    }
    broken(
        RETURN_ENDS,
        format!("{number} frames later it was not (or handed back another frame)"),
    )
}

pub(super) fn return_path_ends(net: &mut Net<'_>) -> Result<Verdict, Failure> {
    net.open("server");
    net.open_client("client");
    let (_, back) = introduce(net, "client", "server", Plane::Application)?;
    net.crash("client");
    return_gone(net, &back)?;

    net.restart("client");
    let (connection, back) = introduce(net, "client", "server", Plane::Application)?;
    net.transfer("server", "client", &back, 0, &[100; 20])?;
    net.with("client", |io| io.disconnect(connection));
    let until = net.patience();
    let mut number = 0;
    let gone = net.drive_for(&["server", "client"], until, |net| {
        number += 1;
        matches!(
            net.send("server", &back, pattern(number, 100)),
            Err(SendError::Gone(_))
        )
    });
    if !gone {
        return broken(RETURN_ENDS, "it outlived `disconnect` at the other end");
    }
    Ok(Verdict::Passed)
}

pub(super) fn vanished_client(net: &mut Net<'_>) -> Result<Verdict, Failure> {
    net.open("server");
    net.open_client("client");
    let (_, back) = introduce(net, "client", "server", Plane::Application)?;
    if !net.vanish("client") {
        return Ok(Verdict::Skipped(
            "this fixture cannot take a node away without a word",
        ));
    }
    return_gone(net, &back)?;
    Ok(Verdict::Passed)
}

pub(super) fn disconnect(net: &mut Net<'_>) -> Result<Verdict, Failure> {
    let clause =
        "after `disconnect`, `send` answers `Gone` with the frame and nothing more is heard";
    let connection = net.pair("sender", "receiver", Plane::Application)?;
    let route = Route::Connection(connection);
    net.transfer("sender", "receiver", &route, 0, &[100; 20])?;
    net.with("sender", |io| {
        io.disconnect(connection);
        io.disconnect(connection);
        io.disconnect(ConnectionId(u64::MAX));
    });
    let frame = pattern(20, 100);
    match net.send("sender", &route, frame.clone()) {
        Err(SendError::Gone(back)) if back == frame => {}
        Err(error) => return broken(clause, format!("`send` answered: {error}")),
        Ok(()) => return broken(clause, "`send` took it"),
    }
    let heard = net.mail("sender").changes.len();
    net.crash("receiver");
    net.restart("receiver");
    net.drive_for(&["sender", "receiver"], net.slack() * 2, |_| false);
    if net.mail("sender").changes.len() > heard {
        return broken(clause, "a change of it was reported");
    }
    let there = net.local("receiver");
    let again = net.connect("sender", &there, Plane::Application)?;
    if again == connection {
        return broken("a `ConnectionId` is never used again", "it was");
    }
    net.connected(&["sender", "receiver"], "sender", again)?;
    net.transfer(
        "sender",
        "receiver",
        &Route::Connection(again),
        0,
        &[100; 20],
    )?;
    Ok(Verdict::Passed)
}
