//! What is measured, beside whom, and what is to be reached.

use std::time::Duration;

use bench_worker::{Sample, Task};

/// The name of the framework among its peers.
pub(crate) const OURS: &str = "ours";

/// One row of the tables.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// One line for a reader.
    pub(crate) what: &'static str,
    pub(crate) task: Task,
    pub(crate) measure: Measure,
    pub(crate) peers: &'static [&'static str],
    pub(crate) base: Base,
    /// The ratio to the base that is to be reached.
    pub(crate) goal: f64,
    /// The value that is to be reached besides.
    pub(crate) goal_value: Option<f64>,
}

/// What a sample's numbers make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    /// Nanoseconds for each message.
    Nanos,
    /// The median round trip, in microseconds.
    Latency,
    /// Bytes of memory for each instance.
    Memory,
    /// Messages in a second.
    Rate(&'static str),
    /// Gigabytes in a second, of payloads of so many bytes.
    Throughput(usize),
    /// Simulated seconds in a second.
    Speed,
}

/// What ours is divided by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Base {
    /// A peer.
    Peer(&'static str),
    /// The best of the peers, in each round.
    Best,
    /// A number.
    Fixed(f64),
}

impl Measure {
    /// Returns the value of a sample.
    pub(crate) fn value(self, sample: &Sample) -> f64 {
        match self {
            Self::Nanos => sample.seconds * 1e9 / sample.amount,
            Self::Latency => sample.p50_ns.unwrap_or(f64::NAN) / 1e3,
            Self::Memory => sample.amount,
            Self::Rate(_) | Self::Speed => sample.amount / sample.seconds,
            Self::Throughput(bytes) => sample.amount * bytes as f64 / sample.seconds / 1e9,
        }
    }

    pub(crate) const fn unit(self) -> &'static str {
        match self {
            Self::Nanos => "ns",
            Self::Latency => "µs",
            Self::Memory => "B",
            Self::Rate(unit) => unit,
            Self::Throughput(_) => "GB/s",
            Self::Speed => "s/s",
        }
    }

    /// Tells whether more is better. A ratio has the same direction as its row.
    pub(crate) const fn more_is_better(self) -> bool {
        matches!(self, Self::Rate(_) | Self::Throughput(_) | Self::Speed)
    }

    /// Tells whether the processor's time for each message says something: one process does it all.
    pub(crate) const fn is_of_the_processor(self) -> bool {
        matches!(self, Self::Nanos)
    }

    /// Returns the better of two values.
    pub(crate) const fn better(self, one: f64, other: f64) -> f64 {
        if self.more_is_better() {
            one.max(other)
        } else {
            one.min(other)
        }
    }
}

impl Row {
    /// Returns everybody who is measured, us first.
    pub(crate) fn contenders(&self) -> impl Iterator<Item = &'static str> + '_ {
        std::iter::once(OURS).chain(self.peers.iter().copied())
    }

    /// Tells whether a ratio is as good as the goal.
    pub(crate) fn reaches(&self, ratio: f64) -> bool {
        if self.measure.more_is_better() {
            ratio >= self.goal
        } else {
            ratio <= self.goal
        }
    }

    /// Says what is to be reached.
    pub(crate) fn goal_text(&self) -> String {
        let sign = if self.measure.more_is_better() {
            "≥"
        } else {
            "≤"
        };
        let unit = self.measure.unit();
        let first = match self.base {
            Base::Peer(peer) => format!("{sign} {} × {peer}", self.goal),
            Base::Best => format!("{sign} {} × the best peer", self.goal),
            Base::Fixed(value) => {
                format!("{sign} {} {unit}", crate::figure::short(value * self.goal))
            }
        };
        match self.goal_value {
            Some(value) => format!("{first}, {sign} {value} {unit}"),
            None => first,
        }
    }
}

const ACTORS: &[&str] = &["actix", "ractor", "kameo"];
const STREAMS: &[&str] = &["raw", "tonic stream", "zenoh", "nats"];
const SIMULATORS: &[&str] = &["turmoil", "madsim"];

const fn cast(name: &'static str, what: &'static str, bytes: usize, goal: f64) -> Row {
    Row {
        name,
        what,
        task: Task::Cast { bytes },
        measure: if bytes < 65_536 {
            Measure::Rate("casts/s")
        } else {
            Measure::Throughput(bytes)
        },
        peers: STREAMS,
        base: Base::Peer("raw"),
        goal,
        goal_value: None,
    }
}

const fn frames(name: &'static str, what: &'static str, nodes: usize, in_flight: usize) -> Row {
    Row {
        name,
        what,
        task: Task::Frames { nodes, in_flight },
        measure: Measure::Rate("frames/s"),
        peers: SIMULATORS,
        base: Base::Best,
        goal: 2.0,
        goal_value: None,
    }
}

/// All rows, in the order of the tables.
pub(crate) static ROWS: &[Row] = &[
    Row {
        name: "local_cast",
        what: "a cast between two components of one container",
        task: Task::LocalCast,
        measure: Measure::Nanos,
        peers: ACTORS,
        base: Base::Peer("actix"),
        goal: 0.5,
        goal_value: Some(40.0),
    },
    Row {
        name: "local_call",
        what: "a call and its reply in one container",
        task: Task::LocalCall,
        measure: Measure::Nanos,
        peers: ACTORS,
        base: Base::Peer("actix"),
        goal: 0.25,
        goal_value: Some(100.0),
    },
    Row {
        name: "idle_bytes",
        what: "the memory of an idle instance",
        task: Task::Idle { instances: 10_000 },
        measure: Measure::Memory,
        peers: ACTORS,
        base: Base::Fixed(512.0),
        goal: 1.0,
        goal_value: None,
    },
    cast(
        "remote_cast_64",
        "casts between two processes, TCP, 64 B",
        64,
        2.0,
    ),
    cast(
        "remote_cast_1k",
        "casts between two processes, TCP, 1 KiB",
        1024,
        1.15,
    ),
    cast(
        "remote_cast_64k",
        "casts between two processes, TCP, 64 KiB",
        65_536,
        0.95,
    ),
    Row {
        name: "remote_call_1",
        what: "a call between two processes, TCP, 64 B, one outstanding, median",
        task: Task::Call {
            bytes: 64,
            outstanding: 1,
        },
        measure: Measure::Latency,
        peers: &[
            "raw",
            "ractor_cluster",
            "tonic",
            "tonic stream",
            "zenoh",
            "nats",
        ],
        base: Base::Peer("raw"),
        goal: 1.08,
        goal_value: None,
    },
    Row {
        name: "remote_call_64",
        what: "calls between two processes, TCP, 64 B, 64 outstanding",
        task: Task::Call {
            bytes: 64,
            outstanding: 64,
        },
        measure: Measure::Rate("calls/s"),
        peers: &[
            "raw",
            "ractor_cluster",
            "tonic",
            "tonic stream",
            "zenoh",
            "nats",
        ],
        base: Base::Peer("raw"),
        goal: 1.1,
        goal_value: None,
    },
    frames(
        "sim_5x64",
        "frames in a simulated world, 5 nodes, 64 in flight each",
        5,
        64,
    ),
    frames(
        "sim_100x8",
        "frames in a simulated world, 100 nodes, 8 in flight each",
        100,
        8,
    ),
    frames(
        "sim_1000",
        "frames in a simulated world, 1000 nodes, 1 in flight each",
        1000,
        1,
    ),
    Row {
        name: "sim_idle_100",
        what: "an idle simulated world: 100 nodes, a timer each 100 ms",
        task: Task::IdleWorld {
            nodes: 100,
            period: Duration::from_millis(100),
        },
        measure: Measure::Speed,
        peers: SIMULATORS,
        base: Base::Peer("madsim"),
        goal: 2.0,
        goal_value: None,
    },
    Row {
        name: "sim_heartbeats",
        what: "5 simulated bare nodes, each of which sends to all others every second",
        task: Task::Heartbeats {
            nodes: 5,
            period: Duration::from_secs(1),
        },
        measure: Measure::Speed,
        peers: &["turmoil", "madsim", "containers"],
        base: Base::Fixed(20_000.0),
        goal: 1.0,
        goal_value: None,
    },
    Row {
        name: "sim_membership",
        what: "50 simulated containers that keep track of each other: an hour in 10 s",
        task: Task::Membership { nodes: 50 },
        measure: Measure::Speed,
        peers: &[],
        base: Base::Fixed(360.0),
        goal: 1.0,
        goal_value: None,
    },
    Row {
        name: "sim_containers",
        what: "casts between whole containers in a simulated world",
        task: Task::Containers,
        measure: Measure::Rate("casts/s"),
        peers: &[],
        base: Base::Fixed(1e6),
        goal: 1.0,
        goal_value: None,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str) -> &'static Row {
        let found = ROWS.iter().find(|row| row.name == name);
        found.expect("the row is there")
    }

    #[test]
    fn a_ratio_has_the_direction_of_its_row() {
        let (times, rates) = (row("local_cast"), row("remote_cast_64"));
        assert!(times.reaches(0.4) && !times.reaches(0.6));
        assert!(rates.reaches(2.1) && !rates.reaches(1.9));
        assert_eq!(times.measure.better(1.0, 2.0), 1.0);
        assert_eq!(rates.measure.better(1.0, 2.0), 2.0);
    }

    #[test]
    fn a_sample_becomes_the_value_of_its_row() {
        let sample = Sample {
            amount: 1e6,
            seconds: 0.5,
            p50_ns: Some(26_000.0),
            ..Sample::default()
        };
        let value = |name| row(name).measure.value(&sample);
        assert_eq!(value("local_cast"), 500.0);
        assert_eq!(value("remote_cast_64"), 2e6);
        assert_eq!(value("remote_cast_64k"), 131.072);
        assert_eq!(value("remote_call_1"), 26.0);
        assert_eq!(value("idle_bytes"), 1e6);
    }

    #[test]
    fn every_row_is_once_in_the_tables_and_has_its_base() {
        for row in ROWS {
            assert_eq!(
                ROWS.iter().filter(|other| other.name == row.name).count(),
                1
            );
            if let Base::Peer(peer) = row.base {
                assert!(row.peers.contains(&peer), "{}", row.name);
            }
        }
    }
}
