//! An app in a pseudo-network: what `run` in memory and `sim` have in common.

use monofil_inproc::{NodeKey, WorldConfig};
use monofil_sim::{Cluster, NodeDef};
use monofil_transport::Watch;

use super::Run;
use super::watch::Watched;
use crate::exit::Failure;
use crate::{NodeId, StaticDirectory};

/// An app's nodes in a world.
pub(super) struct Inhabited {
    pub(super) cluster: Cluster,
    /// One for each component, in the order of their declaration.
    pub(super) components: Vec<NodeKey>,
    pub(super) job: Option<NodeKey>,
}

/// Puts components and the job into a world, a node each.
pub(super) fn inhabit(
    run: &Run,
    config: WorldConfig,
    components: &[usize],
    process: u32,
) -> Result<Inhabited, Failure> {
    let nodes = nodes(run, components, process);
    let mut cluster = Cluster::new(config);
    let added = cluster.add(nodes);
    let mut keys = added.map_err(|error| Failure::cannot_start(error.to_string()))?;
    Ok(Inhabited {
        cluster,
        job: run.job.as_ref().and_then(|_| keys.pop()),
        components: keys,
    })
}

/// Describes the nodes of components, and of the job.
pub(super) fn nodes(run: &Run, components: &[usize], process: u32) -> Vec<NodeDef> {
    let mut nodes: Vec<_> = components
        .iter()
        .map(|index| {
            let definition = &run.components[*index];
            let component = format!("{}/{}", run.app, definition.name);
            node(run, &definition.name, Some(*index), process)
                .place(component, &definition.subscriptions)
        })
        .collect();
    if let Some(job) = &run.job {
        let interrupted = run.clone();
        let node = node(run, job.name(), None, process).client();
        nodes.push(
            node.before_turn(move |container| interrupted.cancel_where_interrupted(container)),
        );
    }
    nodes
}

/// Describes the node of a component, or of the job.
fn node(run: &Run, name: &str, component: Option<usize>, process: u32) -> NodeDef {
    let run = run.clone();
    NodeDef::new(name, move |start| {
        let mut config = run.node(&start.name, StaticDirectory::new());
        config.node = NodeId::derived(&[run.app.as_str(), &start.name, "memory"]);
        config.incarnation = start.incarnation;
        config.process = process;
        config.components = match component {
            Some(index) => vec![run.spec(index)],
            None => run
                .job
                .iter()
                .map(|job| job.spec(run.app.as_str()))
                .collect(),
        };
        config
    })
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
