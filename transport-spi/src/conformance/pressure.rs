//! A receiver that does not read.

use std::time::Duration;

use super::net::{Net, number_of, pattern};
use super::report::broken;
use super::{Failure, Verdict};
use crate::{ConnectionId, Next, Plane, Route, SendError};

/// Frames long enough that an operating system's own buffers fill after some hundreds of them.
const FRAME_BYTES: usize = 16 * 1024;
/// More than any backend's and operating system's buffers hold: "a few dozen" and some megabytes.
const FRAMES_MAX: u64 = 4_096;
/// A connection that has been full for so long stays full.
const SETTLED: Duration = Duration::from_millis(60);

/// Sends until the connection is full and stays so; the receiver does not read. Returns how many
/// frames were accepted; frame `n` has number `n`.
pub(super) fn fill(
    net: &mut Net<'_>,
    from: &str,
    connection: ConnectionId,
) -> Result<u64, Failure> {
    let route = Route::Connection(connection);
    let mut accepted = 0;
    loop {
        let frame = pattern(accepted, FRAME_BYTES);
        match net.send(from, &route, frame.clone()) {
            Ok(()) => accepted += 1,
            Err(SendError::Full(back)) if back == frame => {
                let again = net.drive_for(&[from], SETTLED, |net| {
                    net.mail(from).take_writable(connection)
                });
                if !again {
                    return Ok(accepted);
                }
            }
            Err(SendError::Full(_)) => {
                return broken(
                    "`Full` hands back the frame, unchanged",
                    format!("another frame than number {accepted} came back"),
                );
            }
            Err(error) => return broken(BOUNDED, format!("`send` answered: {error}")),
        }
        if accepted > FRAMES_MAX {
            return broken(
                BOUNDED,
                format!(
                    "{accepted} frames of {FRAME_BYTES} bytes were accepted with nobody reading"
                ),
            );
        }
    }
}

const BOUNDED: &str =
    "the buffer of a connection is bounded, and `send` answers `Full` at its bound";

/// Reads until `count` frames arrived, which must have the numbers from 0 on.
pub(super) fn drain(
    net: &mut Net<'_>,
    from: &str,
    to: &str,
    first: u64,
    count: u64,
) -> Result<(), Failure> {
    let clause = "every accepted frame arrives, once and in order, while its connection holds";
    let mut due = first;
    let mut wrong = None;
    net.drive(&[to, from], |net| {
        while let Some(arrival) = net.mail(to).frames.pop_front() {
            match number_of(&arrival.frame) {
                Some(number) if number == due => due += 1,
                Some(number) => wrong = Some(format!("frame {due} was due and {number} arrived")),
                None => wrong = Some(format!("frame {due} was due and came changed")),
            }
            if wrong.is_some() {
                return true;
            }
        }
        due >= first + count
    });
    match wrong {
        Some(what) => broken(clause, what),
        None if due < first + count => {
            let lost = first + count - due;
            broken(
                clause,
                format!("{lost} of {count} accepted frames never arrived"),
            )
        }
        None => Ok(()),
    }
}

pub(super) fn full(net: &mut Net<'_>) -> Result<Verdict, Failure> {
    let connection = net.pair("sender", "receiver", Plane::Application)?;
    let accepted = fill(net, "sender", connection)?;
    if accepted == 0 {
        return broken("a connection takes some frames", "the first one met `Full`");
    }
    Ok(Verdict::Passed)
}

pub(super) fn nothing_swallowed(net: &mut Net<'_>) -> Result<Verdict, Failure> {
    let connection = net.pair("sender", "receiver", Plane::Application)?;
    let accepted = fill(net, "sender", connection)?;
    drain(net, "sender", "receiver", 0, accepted)?;
    Ok(Verdict::Passed)
}

pub(super) fn writable(net: &mut Net<'_>) -> Result<Verdict, Failure> {
    let clause = "`Writable` comes when a connection that answered `Full` takes frames again";
    let connection = net.pair("sender", "receiver", Plane::Application)?;
    let accepted = fill(net, "sender", connection)?;
    drain(net, "sender", "receiver", 0, accepted)?;
    let came = net.drive(&["sender"], |net| {
        net.mail("sender").take_writable(connection)
    });
    if !came {
        return broken(clause, "it never came, though everything was read");
    }
    let route = Route::Connection(connection);
    net.transfer("sender", "receiver", &route, accepted, &[FRAME_BYTES; 500])?;

    // Nobody asked, so nobody is told: `Writable` without `Full` would be a busy loop in the making.
    net.mail("sender").take_writable(connection);
    for _ in 0..20 {
        let next = Next::At(net.now("sender") + Duration::from_millis(1));
        net.wait("sender", next);
    }
    if net.receive("sender").take_writable(connection) {
        return broken(clause, "it came again, with no `Full` before it");
    }
    Ok(Verdict::Passed)
}
