//! What a world is made with.

use std::time::Duration;

use monofil_transport::Limits;

use crate::LinkModel;

/// What a world is made with. Every bound has a name here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorldConfig {
    /// Where all randomness comes from. Two worlds with the same seed and the same programs do the same.
    pub seed: u64,
    /// The model of every link that has none of its own. The default has no latency and no loss.
    pub link: LinkModel,
    /// Sizes that nodes may send. The defaults are those of the ZeroMQ backend.
    pub limits: Limits,
    /// How long a connection may be silent, its link being cut or its other end having vanished, before
    /// both ends call it broken. Default 6 s.
    pub silence_max: Duration,
    /// The shortest time between a broken connection and the next attempt. Default 100 ms.
    pub reconnect_min: Duration,
    /// The longest. An attempt comes at a random time within as long as the connection has been down,
    /// between these two. Default 5 s.
    pub reconnect_max: Duration,
    /// How many datagrams wait at a node that does not receive them; more are lost. Default 1024.
    pub datagrams_waiting_max: u32,
    /// How many offloaded jobs of one node may be under way. Default 256.
    pub offload_jobs_max: usize,
    /// The wall clock at the world's beginning, in microseconds since 1970. Default 2026-01-01.
    pub wall_start_micros: u64,
    /// How many steps the world takes at one and the same time before it is called
    /// [stuck](crate::Stop::Stuck). Default ten million.
    pub steps_per_instant_max: u64,
    /// How many [records](monofil_transport::record) of what happened last are kept, what nodes say included;
    /// see [`World::recording`](crate::World::recording). Default none, which costs nothing.
    pub records_max: usize,
}

impl WorldConfig {
    /// Returns the default configuration with a seed.
    #[must_use]
    pub fn with_seed(seed: u64) -> Self {
        Self {
            seed,
            ..Self::default()
        }
    }
}

impl Default for WorldConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            link: LinkModel::default(),
            limits: Limits {
                frame_bytes_max: 16 * 1024 * 1024,
                datagram_bytes_max: 1_400,
            },
            silence_max: Duration::from_secs(6),
            reconnect_min: Duration::from_millis(100),
            reconnect_max: Duration::from_secs(5),
            datagrams_waiting_max: 1_024,
            offload_jobs_max: 256,
            wall_start_micros: 1_767_225_600_000_000,
            steps_per_instant_max: 10_000_000,
            records_max: 0,
        }
    }
}
