//! An app in a pseudo-network: what `run` in memory and `sim` have in common.

use monofil_inproc::{NodeKey, WorldConfig};
use monofil_sim::{Cluster, NodeDef};
use monofil_transport::Watch;

use super::watch::Watched;
use super::{Run, placing};
use crate::exit::Failure;
use crate::{ComponentSpec, NodeId, StaticDirectory};

/// An app's nodes in a world.
pub(super) struct Inhabited {
    pub(super) cluster: Cluster,
    /// One for each process, in the order in which their first components are declared.
    pub(super) components: Vec<NodeKey>,
    pub(super) job: Option<NodeKey>,
}

/// Puts components and the job into a world.
pub(super) fn inhabit(
    run: &Run,
    config: WorldConfig,
    components: &[usize],
    process: u32,
) -> Result<Inhabited, Failure> {
    let nodes = nodes(run, components, process)?;
    let mut cluster = Cluster::new(config);
    let added = cluster.add(nodes);
    let mut keys = added.map_err(|error| Failure::cannot_start(error.to_string()))?;
    Ok(Inhabited {
        cluster,
        job: run.job.as_ref().and_then(|_| keys.pop()),
        components: keys,
    })
}

/// Describes the nodes of components, and of the job: in a simulated world those of the layout.
pub(super) fn nodes(
    run: &Run,
    components: &[usize],
    process: u32,
) -> Result<Vec<NodeDef>, Failure> {
    let mut nodes: Vec<_> = placing::processes(run, components)?
        .into_iter()
        .map(|placed| {
            let specs = placed.components.clone();
            let mut def = node(run, &placed.name, placed.machine, process, move |run| {
                specs.iter().map(|index| run.spec(*index)).collect()
            });
            for definition in placed
                .components
                .iter()
                .map(|index| &run.components[*index])
            {
                let component = format!("{}/{}", run.app, definition.name);
                def = def.place_one_of(component, definition.kind, &definition.subscriptions);
            }
            match placed.listens {
                Some([application, control]) => def.listening(application, control),
                None => def,
            }
        })
        .collect();
    if let Some(job) = &run.job {
        let interrupted = run.clone();
        let machine = placing::own_machine(run);
        let node = node(run, job.name(), machine, process, |run| {
            let job = run.job.iter();
            job.map(|job| job.spec(run.app.as_str())).collect()
        });
        nodes.push(
            node.client()
                .before_turn(move |container| interrupted.cancel_where_interrupted(container)),
        );
    }
    Ok(nodes)
}

/// Describes a node that runs what `specs` says.
fn node(
    run: &Run,
    name: &str,
    machine: Option<String>,
    process: u32,
    specs: impl Fn(&Run) -> Vec<ComponentSpec> + 'static,
) -> NodeDef {
    let (run, host) = (run.clone(), machine.clone());
    let node = NodeDef::new(name, move |start| {
        let mut config = run.node(&start.name, StaticDirectory::new());
        config.node = NodeId::derived(&[run.app.as_str(), &start.name, "memory"]);
        config.incarnation = start.incarnation;
        config.process = process;
        if let Some(host) = &host {
            config.host = host.as_str().into();
        }
        config.components = specs(&run);
        config
    });
    match machine {
        Some(machine) => node.on_machine(machine),
        None => node,
    }
}

impl Inhabited {
    /// Returns what a thread beside this one may watch of the nodes.
    pub(super) fn watched(&mut self) -> Vec<Watched> {
        let world = self.cluster.world_mut();
        let keys = self.components.iter().chain(&self.job);
        keys.map(|key| Watched::new(world.io(*key).progress()))
            .collect()
    }
}
