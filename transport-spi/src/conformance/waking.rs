//! Waking up exactly when needed.

use std::time::Duration;

use super::net::{Net, number_of, pattern};
use super::report::broken;
use super::{Failure, Verdict};
use crate::{Next, Plane, Route};

/// A busy machine is forgiven this many late wake-ups in one case; a backend that relies on luck has
/// more.
const LATE_MAX: usize = 3;

pub(super) fn in_time(net: &mut Net<'_>) -> Result<Verdict, Failure> {
    let clause = "`wait` sleeps until its time, and may return early now and then";
    net.open("sleeper");
    net.receive("sleeper");
    let mut late = 0;
    for n in 0..20 {
        let until = net.now("sleeper") + Duration::from_millis(n % 5 * 5);
        let mut returns = 0;
        while net.now("sleeper") < until {
            net.wait("sleeper", Next::At(until));
            net.receive("sleeper");
            returns += 1;
            if returns > 100 {
                return broken(clause, "it returned 100 times before its time");
            }
        }
        late += usize::from(net.now("sleeper") > until + net.slack());
    }
    if late > LATE_MAX {
        return broken(clause, format!("{late} of 20 times it came too late"));
    }
    Ok(Verdict::Passed)
}

const ARRIVAL: &str = "`wait` never sleeps through an arrival";

/// Waits, as a node would, until a frame is there; returns its number and how long it took.
fn wait_for_frame(net: &mut Net<'_>, name: &str) -> Option<(Option<u64>, Duration)> {
    let start = net.now(name);
    let until = start + net.patience();
    loop {
        if let Some(arrival) = net.receive(name).frames.pop_front() {
            let took = net.now(name).since(start);
            return Some((number_of(&arrival.frame), took));
        }
        if net.now(name) >= until {
            return None;
        }
        net.wait(name, Next::At(until));
    }
}

pub(super) fn arrival(net: &mut Net<'_>) -> Result<Verdict, Failure> {
    let route = Route::Connection(net.pair("sender", "receiver", Plane::Application)?);
    let mut late = 0;
    for number in 0..50 {
        if let Err(error) = net.send("sender", &route, pattern(number, 64)) {
            return broken(ARRIVAL, format!("`send` answered: {error}"));
        }
        match wait_for_frame(net, "receiver") {
            Some((Some(found), took)) if found == number => {
                late += usize::from(took > net.slack());
            }
            Some((found, _)) => {
                return broken(ARRIVAL, format!("{found:?} came, {number} was due"));
            }
            None => return broken(ARRIVAL, format!("frame {number} never arrived")),
        }
    }
    if late > LATE_MAX {
        return broken(ARRIVAL, format!("{late} of 50 times it woke too late"));
    }
    Ok(Verdict::Passed)
}

pub(super) fn leftovers(net: &mut Net<'_>) -> Result<Verdict, Failure> {
    // The edge of an edge-triggered descriptor is used up by whatever the node itself does between an
    // arrival and its next sleep, so do much of that.
    let forth = Route::Connection(net.pair("ada", "ben", Plane::Application)?);
    let here = net.local("ada");
    let back = net.connect("ben", &here, Plane::Application)?;
    net.connected(&["ben", "ada"], "ben", back)?;
    let back = Route::Connection(back);
    let mut late = 0;
    for number in 0..200 {
        for (who, route) in [("ada", &forth), ("ben", &back), ("ada", &forth)] {
            if let Err(error) = net.send(who, route, pattern(number, 64)) {
                return broken(ARRIVAL, format!("`send` answered: {error}"));
            }
        }
        for (who, count) in [("ben", 2), ("ada", 1)] {
            for _ in 0..count {
                match wait_for_frame(net, who) {
                    Some((Some(found), took)) if found == number => {
                        late += usize::from(took > net.slack());
                    }
                    Some((found, _)) => {
                        return broken(ARRIVAL, format!("{found:?} came, {number} was due"));
                    }
                    None => return broken(ARRIVAL, format!("frame {number} never arrived")),
                }
            }
        }
    }
    if late > LATE_MAX {
        return broken(ARRIVAL, format!("{late} of 600 times it woke too late"));
    }
    Ok(Verdict::Passed)
}

pub(super) fn ping_pong(net: &mut Net<'_>) -> Result<Verdict, Failure> {
    let forth = Route::Connection(net.pair("ada", "ben", Plane::Application)?);
    let here = net.local("ada");
    let back = net.connect("ben", &here, Plane::Application)?;
    net.connected(&["ben", "ada"], "ben", back)?;
    let back = Route::Connection(back);
    let mut late = 0;
    for number in 0..3_000 {
        for (from, route, to) in [("ada", &forth, "ben"), ("ben", &back, "ada")] {
            if let Err(error) = net.send(from, route, pattern(number, 64)) {
                return broken(ARRIVAL, format!("`send` answered: {error}"));
            }
            // Nothing but the arrival ends this sleep before patience does.
            match wait_for_frame(net, to) {
                Some((Some(found), took)) if found == number => {
                    late += usize::from(took > net.slack());
                }
                Some((found, _)) => {
                    return broken(ARRIVAL, format!("{found:?} came, {number} was due"));
                }
                None => return broken(ARRIVAL, format!("frame {number} never woke `{to}`")),
            }
        }
    }
    if late > LATE_MAX {
        return broken(ARRIVAL, format!("{late} of 6000 times it woke too late"));
    }
    Ok(Verdict::Passed)
}
