//! How a node's sockets behave.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use monofil_transport::Endpoint;

/// Where a node listens. Nothing at all, the default, makes a client: it speaks first and is answered
/// on the connections it opens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listen {
    /// Where frames of the application plane are received. Port `0` or `*` takes a free one.
    pub application: Option<Endpoint>,
    /// Where frames of the control plane are received.
    pub control: Option<Endpoint>,
    /// Where datagrams are received and sent from. Port 0 takes a free one.
    pub datagram: Option<SocketAddr>,
    /// The host that others reach this node by, in place of the one that was bound. Needed when a
    /// wildcard was bound on a machine with several addresses. A name or an address, without port.
    pub advertise: Option<String>,
}

/// Settings of a node's sockets, threads and bounds. [`Options::default`] suits most networks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Frames that wait in one connection's buffer, per direction. It bounds memory, not the flow: keep
    /// it small, because what waits in a dead connection's buffer may still run later.
    /// Default 64, from 1 to 10,000.
    pub frames_buffered_max: u32,
    /// The longest frame, in bytes. A peer that sends a longer one loses its connection.
    /// Default 16 MiB, from 1 KiB to 1 GiB.
    pub frame_bytes_max: usize,
    /// The longest datagram, in bytes. Longer than what one Ethernet packet carries means fragments,
    /// which many networks lose. Default 1400, from 64 to 65,507.
    pub datagram_bytes_max: usize,
    /// The pause before a lost connection is tried again; each node adds up to as much again, so that
    /// a restarted peer does not meet all of them at once. Default 100 ms, from 1 ms to 1 min.
    pub reconnect_interval: Duration,
    /// What that pause grows to while nobody answers. Default 5 s, from 1 ms to 10 min.
    pub reconnect_interval_max: Duration,
    /// How long one attempt to connect may take. Default 3 s, from 100 ms to 10 min.
    pub connect_timeout: Duration,
    /// How long the peers may take to greet each other. Default 3 s, from 100 ms to 10 min.
    pub handshake_timeout: Duration,
    /// How often a silent connection is probed. Default 2 s, from 100 ms to 1 h.
    pub heartbeat_interval: Duration,
    /// How long a connection may leave a probe unanswered. Default 6 s, from 100 ms to 1 h, and not
    /// below the interval.
    pub heartbeat_timeout: Duration,
    /// How long a TCP connection is idle before the kernel probes it. Default 30 s, from 1 s to 1 day.
    pub keepalive_idle: Duration,
    /// How far apart the kernel's probes are. Default 10 s, from 1 s to 1 day.
    pub keepalive_interval: Duration,
    /// How many of them may stay unanswered. Default 3, from 1 to 100.
    pub keepalive_probes: u32,
    /// Connections that wait to be accepted. Default 1024, from 1 to 65,535.
    pub backlog: u32,
    /// Connections this node opens, and those it expects others to open: beyond the former it refuses,
    /// beyond the latter it warns. Default 4096, from 1 to 65,536.
    pub connections_max: usize,
    /// Helper threads for blocking work; they start when they are needed. Default 4, from 1 to 1024.
    pub helpers_max: usize,
    /// Jobs that wait for a helper. Default 256, from 1 to 1,000,000.
    pub helper_jobs_max: usize,
    /// How long a handler may hold the thread before the sentinel reports it, and answers liveness
    /// probes in the node's place. Default 500 ms, from 10 ms to 1 h.
    pub stall_threshold: Duration,
    /// How often silent sockets are looked at for arrivals that went unnoticed; while nothing happens,
    /// four times as rarely. Default 250 ms, from 10 ms to 1 min.
    pub sweep_interval: Duration,
    /// Threads that move bytes, for all nodes of a process; whoever starts first decides.
    /// Default 1, from 1 to 64.
    pub io_threads: u32,
    /// Whether SIGTERM and SIGINT are turned into a request to end: the first to drain, the second to
    /// end now. A program that handles signals itself leaves it off. Default `false`.
    pub signals: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            frames_buffered_max: 64,
            frame_bytes_max: 16 << 20,
            datagram_bytes_max: 1400,
            reconnect_interval: Duration::from_millis(100),
            reconnect_interval_max: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(3),
            handshake_timeout: Duration::from_secs(3),
            heartbeat_interval: Duration::from_secs(2),
            heartbeat_timeout: Duration::from_secs(6),
            keepalive_idle: Duration::from_secs(30),
            keepalive_interval: Duration::from_secs(10),
            keepalive_probes: 3,
            backlog: 1024,
            connections_max: 4096,
            helpers_max: 4,
            helper_jobs_max: 256,
            stall_threshold: Duration::from_millis(500),
            sweep_interval: Duration::from_millis(250),
            io_threads: 1,
            signals: false,
        }
    }
}

/// An option outside its range. Nothing was started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}, which must be {allowed}")]
pub struct OptionError {
    /// The field of [`Options`] or [`Listen`].
    pub field: &'static str,
    /// What it was set to.
    pub value: String,
    /// What it may be.
    pub allowed: String,
}

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

const fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

impl Options {
    /// Checks every option.
    ///
    /// # Errors
    ///
    /// [`OptionError`] names the first field that is out of range, its value and the range.
    pub fn validate(&self) -> Result<(), OptionError> {
        let times = [
            (
                "reconnect_interval",
                self.reconnect_interval,
                ms(1)..=secs(60),
            ),
            (
                "reconnect_interval_max",
                self.reconnect_interval_max,
                ms(1)..=secs(600),
            ),
            ("connect_timeout", self.connect_timeout, ms(100)..=secs(600)),
            (
                "handshake_timeout",
                self.handshake_timeout,
                ms(100)..=secs(600),
            ),
            (
                "heartbeat_interval",
                self.heartbeat_interval,
                ms(100)..=secs(3600),
            ),
            (
                "heartbeat_timeout",
                self.heartbeat_timeout,
                ms(100)..=secs(3600),
            ),
            (
                "keepalive_idle",
                self.keepalive_idle,
                secs(1)..=secs(86_400),
            ),
            (
                "keepalive_interval",
                self.keepalive_interval,
                secs(1)..=secs(86_400),
            ),
            ("stall_threshold", self.stall_threshold, ms(10)..=secs(3600)),
            ("sweep_interval", self.sweep_interval, ms(10)..=secs(60)),
        ];
        for (field, value, allowed) in times {
            within_time(field, value, allowed)?;
        }
        let counts = [
            (
                "frames_buffered_max",
                self.frames_buffered_max as usize,
                1..=10_000,
            ),
            ("frame_bytes_max", self.frame_bytes_max, 1 << 10..=1 << 30),
            ("datagram_bytes_max", self.datagram_bytes_max, 64..=65_507),
            ("keepalive_probes", self.keepalive_probes as usize, 1..=100),
            ("backlog", self.backlog as usize, 1..=65_535),
            ("connections_max", self.connections_max, 1..=65_536),
            ("helpers_max", self.helpers_max, 1..=1024),
            ("helper_jobs_max", self.helper_jobs_max, 1..=1_000_000),
            ("io_threads", self.io_threads as usize, 1..=64),
        ];
        for (field, value, allowed) in counts {
            within_count(field, value, allowed)?;
        }
        not_below(
            ("reconnect_interval_max", self.reconnect_interval_max),
            ("reconnect_interval", self.reconnect_interval),
        )?;
        not_below(
            ("heartbeat_timeout", self.heartbeat_timeout),
            ("heartbeat_interval", self.heartbeat_interval),
        )
    }
}

fn within_time(
    field: &'static str,
    value: Duration,
    allowed: RangeInclusive<Duration>,
) -> Result<(), OptionError> {
    if allowed.contains(&value) {
        return Ok(());
    }
    Err(OptionError {
        field,
        value: format!("{value:?}"),
        allowed: format!("from {:?} to {:?}", allowed.start(), allowed.end()),
    })
}

fn within_count(
    field: &'static str,
    value: usize,
    allowed: RangeInclusive<usize>,
) -> Result<(), OptionError> {
    if allowed.contains(&value) {
        return Ok(());
    }
    Err(OptionError {
        field,
        value: value.to_string(),
        allowed: format!("from {} to {}", allowed.start(), allowed.end()),
    })
}

fn not_below(
    (field, value): (&'static str, Duration),
    (other, least): (&'static str, Duration),
) -> Result<(), OptionError> {
    if value >= least {
        return Ok(());
    }
    Err(OptionError {
        field,
        value: format!("{value:?}"),
        allowed: format!("at least {other} ({least:?})"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(Options::default().validate(), Ok(()));
    }

    #[test]
    fn an_error_names_the_field_its_value_and_the_range() {
        let cases: [(Options, &str); 4] = [
            (
                Options {
                    frames_buffered_max: 0,
                    ..Options::default()
                },
                "frames_buffered_max is 0, which must be from 1 to 10000",
            ),
            (
                Options {
                    connect_timeout: ms(5),
                    ..Options::default()
                },
                "connect_timeout is 5ms, which must be from 100ms to 600s",
            ),
            (
                Options {
                    heartbeat_timeout: secs(1),
                    ..Options::default()
                },
                "heartbeat_timeout is 1s, which must be at least heartbeat_interval (2s)",
            ),
            (
                Options {
                    helpers_max: 2000,
                    ..Options::default()
                },
                "helpers_max is 2000, which must be from 1 to 1024",
            ),
        ];
        for (options, text) in cases {
            assert_eq!(
                options.validate().map_err(|e| e.to_string()),
                Err(text.to_owned())
            );
        }
    }
}
