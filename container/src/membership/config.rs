//! What can be set of membership.

use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

use foca::{Config, PeriodicParams};

/// How a node becomes a member of its network, and what it asks of the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MembershipConfig {
    /// Where to begin: `host:port`, an address or a name, of the datagrams of nodes that may be there. Any one of
    /// them is enough, and they need not stay. This node itself may be among them.
    pub seeds: Vec<String>,
    /// A member that has not answered within this is asked by way of others. Less than half of the interval at which
    /// members are asked ([`ContainerConfig::probe_interval`](crate::ContainerConfig::probe_interval)) is best.
    /// Default 500 ms.
    pub probe_timeout: Duration,
    /// How many others are asked to ask. Default 3.
    pub indirect_probes: usize,
    /// A member is suspect for this many intervals before it is down; times the decimal logarithm of how many there
    /// are, if that is more than one. Default 4.
    pub suspicion: u32,
    /// How often changes are passed on. Default 200 ms.
    pub gossip_interval: Duration,
    /// To how many each time. Default 3.
    pub gossip_to: usize,
    /// How often a node that is alone tries the seeds. Default 1 s.
    pub join_interval: Duration,
    /// How often one that is not tries those seeds it does not see, and members that are down: they may be the other
    /// part of a network that was cut in two. Default 60 s.
    pub rejoin_interval: Duration,
    /// How often a node compares what it knows of the others' components with what another one knows. Default 10 s.
    pub compare_interval: Duration,
    /// Members that are remembered, those that are down among them. When there are as many, who has been down for longest
    /// gives way to who comes, if that is a minute or more. Who finds no room is not seen by this node; that is logged
    /// and counted. Default 4096.
    pub members_max: usize,
    /// When one that is down is forgotten, at the latest; not before a minute. Default 24 h.
    pub forget_after: Duration,
}

impl MembershipConfig {
    /// Makes a configuration with the usual values.
    #[must_use]
    pub const fn new(seeds: Vec<String>) -> Self {
        Self {
            seeds,
            probe_timeout: Duration::from_millis(500),
            indirect_probes: 3,
            suspicion: 4,
            gossip_interval: Duration::from_millis(200),
            gossip_to: 3,
            join_interval: Duration::from_secs(1),
            rejoin_interval: Duration::from_secs(60),
            compare_interval: Duration::from_secs(10),
            members_max: 4096,
            forget_after: Duration::from_secs(24 * 60 * 60),
        }
    }

    /// Returns how long a member of a network of this size is suspect before it is down.
    #[must_use]
    pub fn suspect_for(&self, size: usize, probe_interval: Duration) -> Duration {
        probe_interval * self.suspicion * thousandths_of_log(size).max(1000) / 1000
    }

    /// Makes the protocol's configuration for a network of a size.
    pub(super) fn of_size(
        &self,
        size: usize,
        probe_interval: Duration,
        packet_bytes: usize,
    ) -> Config {
        let some = |count: usize| NonZeroUsize::new(count.max(1)).expect("invariant: at least one");
        let every = |frequency, count| {
            Some(PeriodicParams {
                frequency,
                num_members: some(count),
            })
        };
        // Who hears of a change passes it on so often; each time one of e hears nothing, so that ln n + 8 leave somebody
        // out in one of 3000 changes, who has to find out alone.
        let transmissions = 8 + thousandths_of_log(size) * 23 / 10_000;
        let transmissions = u8::try_from(transmissions).expect("invariant: at most 52");
        let suspect_for = self.suspect_for(size, probe_interval);
        Config {
            probe_period: probe_interval.max(Duration::from_millis(1)),
            probe_rtt: self
                .probe_timeout
                .clamp(Duration::from_micros(1), probe_interval / 2),
            num_indirect_probes: some(self.indirect_probes),
            max_transmissions: NonZeroU8::new(transmissions).expect("invariant: at least eight"),
            suspect_to_down_after: suspect_for.max(Duration::from_millis(1)),
            // Done here, because the protocol would set a timer for each of a stranger's inventions.
            remove_down_after: None,
            max_packet_size: some(packet_bytes),
            notify_down_members: true,
            periodic_announce: every(self.rejoin_interval / 2, 1),
            periodic_announce_to_down_members: every(self.rejoin_interval, 2),
            periodic_gossip: every(self.gossip_interval, self.gossip_to),
        }
    }
}

/// Returns about a thousand times the decimal logarithm, in integers.
fn thousandths_of_log(size: usize) -> u32 {
    (size.max(1).ilog2() + 1) * 301
}
