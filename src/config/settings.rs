//! What can be set.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use monofil_transport::Endpoint;

use crate::app::Definition;
use crate::{
    ContainerConfig, GroupLimits, Horizon, InstanceLimits, Layout, LinkConfig, MembershipConfig,
    NodeLimits, Overflow, ResilienceConfig,
};

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people on a terminal, JSON otherwise.
    #[default]
    Auto,
    Human,
    Json,
}

/// Everything that can be set, with the values of the layers below already in it.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) network: String,
    /// Its `seeds`: with one, a node is a member of its network and finds the others by itself.
    pub(crate) membership: MembershipConfig,
    pub(crate) transport: Option<Layout>,
    pub(crate) runtime_dir: Option<PathBuf>,
    pub(crate) host: String,
    pub(crate) advertise: Option<String>,
    pub(crate) base_port: u16,
    pub(crate) peers: BTreeMap<String, Vec<Endpoint>>,
    pub(crate) log_level: Option<String>,
    pub(crate) log_format: LogFormat,
    pub(crate) default_deadline: Duration,
    pub(crate) drain_deadline: Duration,
    pub(crate) probe_interval: Duration,
    pub(crate) silent_after: Duration,
    pub(crate) busy_max: Duration,
    /// The machine, in a word.
    pub(crate) machine: Option<String>,
    pub(crate) node: NodeLimits,
    pub(crate) network_overflow: Option<Overflow>,
    pub(crate) app_overflow: Option<Overflow>,
    /// Of flows for which something is set.
    pub(crate) flows: BTreeMap<String, FlowSettings>,
    pub(crate) resilience: ResilienceConfig,
    pub(crate) network_horizon: Horizon,
    pub(crate) app_horizon: Horizon,
    /// Of components for which one is set.
    pub(crate) component_horizons: BTreeMap<String, Horizon>,
    pub(crate) link: LinkConfig,
    pub(crate) zmq: monofil_zmq::Options,
    pub(crate) up: Supervision,
    /// Of each component of the app.
    pub(crate) components: BTreeMap<String, InstanceLimits>,
}

/// What can be set of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FlowSettings {
    pub(crate) limits: GroupLimits,
    pub(crate) overflow: Option<Overflow>,
    pub(crate) horizon: Horizon,
}

/// How `up` restarts processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Supervision {
    /// Deaths within the window after which a process is restarted only with back-off.
    pub(crate) restarts: usize,
    pub(crate) window: Duration,
}

impl Settings {
    /// Tells whether nodes find each other by themselves.
    pub(crate) const fn has_seeds(&self) -> bool {
        !self.membership.seeds.is_empty()
    }

    /// Returns the defaults for an app.
    pub(crate) fn of(components: &[Definition]) -> Self {
        let container = ContainerConfig::new("", "");
        let limits = |definition: &Definition| (definition.name.clone(), definition.limits);
        Self {
            network: String::new(),
            membership: MembershipConfig::new(Vec::new()),
            transport: None,
            runtime_dir: None,
            host: "127.0.0.1".into(),
            advertise: None,
            base_port: 7700,
            peers: BTreeMap::new(),
            log_level: None,
            log_format: LogFormat::Auto,
            default_deadline: container.default_deadline,
            drain_deadline: container.drain_deadline,
            probe_interval: container.probe_interval,
            silent_after: container.silent_after,
            busy_max: container.busy_max,
            machine: None,
            node: container.limits,
            network_overflow: container.overflow.network,
            app_overflow: container.overflow.app,
            flows: BTreeMap::new(),
            resilience: container.resilience,
            network_horizon: Horizon::default(),
            app_horizon: Horizon::default(),
            component_horizons: BTreeMap::new(),
            link: container.link,
            zmq: monofil_zmq::Options::default(),
            up: Supervision {
                restarts: 5,
                window: Duration::from_secs(60),
            },
            components: components.iter().map(limits).collect(),
        }
    }
}
