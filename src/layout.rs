//! The ways to lay an app out: in memory, in processes, in a simulated world.

mod address;
mod alias;
mod ending;
mod explore;
mod memory;
mod pacer;
mod pictures;
mod placing;
mod ports;
mod process;
mod signals;
mod sim;
mod up;
mod watch;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::app::Definition;
use crate::config::{FlowSettings, Settings};
use crate::exit::Failure;
use crate::job::JobRun;
use crate::{
    ComponentSpec, Container, ContainerConfig, Horizon, Horizons, Layout, Name, NodeId,
    OverflowConfig, StaticDirectory,
};

pub(crate) use explore::{Simulated, explore, laid_out, quietly, scenario};
pub(crate) use memory::run as memory;
pub(crate) use placing::layout as placed;
pub(crate) use process::{client, places, run as process};
pub(crate) use sim::{apart, run as sim};
pub(crate) use up::run as up;

/// Everything a run is made from.
#[derive(Clone)]
pub(crate) struct Run {
    pub(crate) app: Name,
    pub(crate) components: Arc<[Definition]>,
    pub(crate) settings: Settings,
    pub(crate) seed: u64,
    pub(crate) layout: Layout,
    pub(crate) job: Option<JobRun>,
}

impl Run {
    /// Describes a component to a container, with the limits that are set.
    pub(crate) fn spec(&self, index: usize) -> ComponentSpec {
        let definition = &self.components[index];
        let limits = self.settings.components.get(&definition.name);
        definition.spec(
            self.app.as_str(),
            limits.copied().unwrap_or(definition.limits),
        )
    }

    /// Configures a node that runs nothing yet.
    pub(crate) fn node(&self, name: &str, directory: StaticDirectory) -> ContainerConfig {
        let settings = &self.settings;
        ContainerConfig {
            network: settings.network.clone(),
            directory: Box::new(directory),
            limits: settings.node,
            flows: self.flows(|flow| Some(flow.limits)),
            overflow: OverflowConfig {
                network: settings.network_overflow,
                app: settings.app_overflow,
                flows: self.flows(|flow| flow.overflow),
            },
            link: settings.link,
            default_deadline: settings.default_deadline,
            drain_deadline: settings.drain_deadline,
            probe_interval: settings.probe_interval,
            silent_after: settings.silent_after,
            busy_max: settings.busy_max,
            resilience: settings.resilience,
            horizons: self.horizons(),
            host: settings.machine.as_deref().unwrap_or_default().into(),
            ..ContainerConfig::new(&self.app, name)
        }
    }

    /// Collects one thing of all flows of which something is set.
    fn flows<T>(&self, of: impl Fn(&FlowSettings) -> Option<T>) -> BTreeMap<Name, T> {
        let flows = self.settings.flows.iter();
        let set = flows.filter_map(|(name, flow)| Some((Name::from(name.as_str()), of(flow)?)));
        set.collect()
    }

    fn horizons(&self) -> Horizons {
        let settings = &self.settings;
        let of_component = |(name, horizon): (&String, &Horizon)| {
            let name = format!("{}/{name}", self.app);
            (name.into(), *horizon)
        };
        Horizons {
            network: settings.network_horizon,
            app: settings.app_horizon,
            components: settings
                .component_horizons
                .iter()
                .map(of_component)
                .collect(),
            flows: self.flows(|flow| {
                let is_set = flow.horizon != Horizon::default();
                is_set.then_some(flow.horizon)
            }),
        }
    }

    /// Tells the job, if there is one that is not done, to give up what it is at.
    fn interrupt(&self) {
        self.job.iter().for_each(JobRun::interrupt);
    }

    /// Lets an interrupted job see that nobody waits for it.
    fn cancel_where_interrupted(&self, container: &mut Container) {
        if let Some(job) = self.job.as_ref().filter(|job| job.is_interrupted()) {
            container.cancel(&job.component(self.app.as_str()));
        }
    }

    /// Says how the program ends once everything else has gone well.
    pub(crate) fn verdict(&self) -> Result<(), Failure> {
        self.job.as_ref().map_or(Ok(()), JobRun::verdict)
    }
}

/// How long the process may take to end once everything is over.
const EXIT_PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// Draws an identity for a node that nobody needs to recognise again.
pub(crate) fn random_node() -> Result<NodeId, Failure> {
    use std::io::Read;
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .map_err(|error| Failure::cannot_start(format!("/dev/urandom cannot be read: {error}")))?;
    Ok(NodeId(bytes))
}

/// Returns the wall clock's microseconds, by which a restarted node is known to have begun anew.
pub(crate) fn wall_micros() -> u64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
