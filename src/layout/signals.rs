//! SIGTERM and SIGINT.

use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::exit::Failure;

/// How much longer than its drain deadline a process may take before its watchdog ends it.
const GRACE: Duration = Duration::from_secs(5);
/// How long it may take after a second signal.
const GRACE_NOW: Duration = Duration::from_secs(2);

/// Calls `notify` for each SIGTERM and SIGINT, and each of `others`, on a thread of its own.
///
/// From the first of the two the end of the process is certain: a handler that never gives the thread
/// back, or a library that hangs, is ended by the watchdog.
pub(super) fn listen(
    drain: Duration,
    others: &[i32],
    mut notify: impl FnMut(i32) + Send + 'static,
) -> Result<(), Failure> {
    let cannot = |error: std::io::Error| {
        Failure::cannot_start(format!("signal handlers cannot be set up: {error}"))
    };
    let all = [SIGTERM, SIGINT].iter().chain(others);
    let mut signals = Signals::new(all).map_err(cannot)?;
    let wait = move || {
        let mut asked = 0;
        for signal in signals.forever() {
            if signal == SIGTERM || signal == SIGINT {
                asked += 1;
                match asked {
                    1 => monofil_zmq::exit_watchdog(drain + GRACE),
                    2 => monofil_zmq::exit_watchdog(GRACE_NOW),
                    _ => {}
                }
            }
            notify(signal);
        }
    };
    std::thread::Builder::new()
        .name("monofil-signals".to_owned())
        .stack_size(256 << 10)
        .spawn(wait)
        .map_err(cannot)?;
    Ok(())
}

/// Tells whether a signal asks the process to end.
pub(super) const fn asks_to_end(signal: i32) -> bool {
    signal == SIGTERM || signal == SIGINT
}
