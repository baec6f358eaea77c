//! TCP ports that nobody uses, chosen before the processes that will listen there are started.
//!
//! Between the choice and the `listen` a port stands free. The system must not give it to an outgoing
//! connection meanwhile, as it would any port it chose itself (port 0), so the choice is made outside the
//! range that those come from.

use std::net::TcpListener;
use std::ops::RangeInclusive;

use monofil_transport::{Endpoint, EndpointError, Stream};

use super::address::bracketed;
use crate::exit::Failure;

/// Where Linux says which ports outgoing connections get.
const OUTGOING: &str = "/proc/sys/net/ipv4/ip_local_port_range";
/// Below are the ports of well-known services, and those of components that were told where to listen.
const LOWEST: u16 = 10_000;
/// A narrower range would soon be used up.
const WIDTH_MIN: u16 = 1_000;
/// How many ports are tried before the search is given up.
const TRIES: usize = 100;

/// A search for ports of a host. What it finds it holds until it is dropped: nothing is found twice.
pub(super) struct FreePorts {
    host: String,
    range: Option<RangeInclusive<u16>>,
    random: Stream,
    held: Vec<TcpListener>,
}

impl FreePorts {
    pub(super) fn search(host: &str) -> Result<Self, Failure> {
        // Two programs that search at the same time had better not find the same.
        let seed = super::random_node()?.0;
        let seed = seed
            .iter()
            .fold(0, |seed: u64, byte| seed.rotate_left(8) ^ u64::from(*byte));
        Ok(Self {
            host: bracketed(host),
            range: outside(std::fs::read_to_string(OUTGOING).ok().as_deref()),
            random: Stream::new(seed, "ports"),
            held: Vec::new(),
        })
    }

    /// Finds one more.
    pub(super) fn next(&mut self) -> Result<Endpoint, Failure> {
        let host = &self.host;
        let (held, port) = hold(host, self.range.as_ref(), &mut self.random).map_err(|error| {
            Failure::cannot_start(format!("no port of `{host}` can be listened on: {error}"))
        })?;
        self.held.push(held);
        let parsed = format!("tcp://{host}:{port}").parse();
        parsed.map_err(|error: EndpointError| Failure::usage(error.to_string()))
    }
}

/// Listens on a free port, of this range if there is one.
fn hold(
    host: &str,
    range: Option<&RangeInclusive<u16>>,
    random: &mut Stream,
) -> std::io::Result<(TcpListener, u16)> {
    let listen = |port: u16| {
        let socket = TcpListener::bind(format!("{host}:{port}"))?;
        let port = socket.local_addr()?.port();
        Ok((socket, port))
    };
    let Some(range) = range else {
        return listen(0);
    };
    let width = u64::from(range.end() - range.start()) + 1;
    let mut draw = || range.start() + u16::try_from(random.below(width)).unwrap_or(0);
    let mut tried = listen(draw());
    for _ in 1..TRIES {
        match &tried {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => tried = listen(draw()),
            _ => break,
        }
    }
    tried
}

/// Returns the wider range of ports that outgoing connections do not get, if it is wide enough.
fn outside(outgoing: Option<&str>) -> Option<RangeInclusive<u16>> {
    let mut ends = outgoing?.split_whitespace().map(str::parse::<u16>);
    let (first, last) = (ends.next()?.ok()?, ends.next()?.ok()?);
    let below = LOWEST..=first.saturating_sub(1);
    let above = last.saturating_add(1).max(LOWEST)..=u16::MAX;
    let width = |range: &RangeInclusive<u16>| range.end().saturating_sub(*range.start());
    [below, above]
        .into_iter()
        .filter(|range| width(range) >= WIDTH_MIN)
        .max_by_key(width)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_wider_range_that_connections_are_not_given_is_used() {
        for (outgoing, expected) in [
            (Some("32768\t60999\n"), Some(10_000..=32_767)),
            (Some("1024 40000"), Some(40_001..=65_535)),
            (Some("1024 65535"), None),
            (Some("9000 65000"), None),
            (Some("10500 64000"), Some(64_001..=65_535)),
            (Some("many"), None),
            (None, None),
        ] {
            assert_eq!(outside(outgoing), expected, "{outgoing:?}");
        }
    }

    #[test]
    fn ports_are_free_and_differ_and_no_connection_is_given_one_meanwhile() {
        let range = outside(std::fs::read_to_string(OUTGOING).ok().as_deref());
        for host in ["127.0.0.1", "localhost"] {
            let mut search = FreePorts::search(host).expect("a source of chance");
            // So many that some would be drawn twice.
            let found: Vec<_> = (0..300)
                .map(|_| search.next().expect("there are ports"))
                .collect();
            drop(search);
            let ports: BTreeSet<u16> = found
                .iter()
                .filter_map(|endpoint| endpoint.address().rsplit_once(':')?.1.parse().ok())
                .collect();
            assert_eq!(ports.len(), found.len());
            for port in &ports {
                assert!(range.as_ref().is_none_or(|range| range.contains(port)));
            }
            for port in ports.into_iter().take(2) {
                TcpListener::bind((host, port)).expect("it is free");
            }
        }
    }
}
