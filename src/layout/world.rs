//! An app in a pseudo-network: what `run` in memory and `sim` have in common.

use std::cell::Cell;
use std::rc::Rc;

use monofil_inproc::{NodeKey, NodeSpec, World, WorldConfig, application_endpoint};
use monofil_transport::{Io, Next, Node, Watch};

use super::Run;
use super::watch::Watched;
use crate::exit::Failure;
use crate::{Container, NodeId, StaticDirectory};

/// An app's nodes in a world.
pub(super) struct Inhabited {
    pub(super) world: World,
    /// One for each component, in the order of their declaration.
    pub(super) components: Vec<NodeKey>,
    pub(super) job: Option<NodeKey>,
    /// Set when a node ends, for a pacer that would rather sleep.
    pub(super) ended: Rc<Cell<bool>>,
}

/// Puts components and the job into a world, a node each.
pub(super) fn inhabit(
    run: &Run,
    config: WorldConfig,
    components: &[usize],
    process: u32,
) -> Result<Inhabited, Failure> {
    let mut directory = StaticDirectory::new();
    for index in components {
        let definition = &run.components[*index];
        let endpoint = application_endpoint(&definition.name).map_err(cannot)?;
        let name = format!("{}/{}", run.app, definition.name);
        directory.add(name, endpoint, &definition.subscriptions);
    }
    let mut inhabited = Inhabited {
        world: World::new(config),
        components: Vec::new(),
        job: None,
        ended: Rc::default(),
    };
    for index in components {
        let spec = NodeSpec::new(&run.components[*index].name);
        let key = inhabited.add(run, spec, Some(*index), &directory, process)?;
        inhabited.components.push(key);
    }
    if let Some(job) = &run.job {
        let spec = NodeSpec::new(job.name()).client();
        inhabited.job = Some(inhabited.add(run, spec, None, &directory, process)?);
    }
    Ok(inhabited)
}

impl Inhabited {
    /// Adds the node of a component, or of the job.
    fn add(
        &mut self,
        run: &Run,
        spec: NodeSpec,
        component: Option<usize>,
        directory: &StaticDirectory,
        process: u32,
    ) -> Result<NodeKey, Failure> {
        let (run, directory, ended) = (run.clone(), directory.clone(), self.ended.clone());
        let key = self.world.add_node(spec, move |start| {
            let mut config = run.node(&start.name, directory.clone());
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
            Box::new(Hosted {
                container: Container::new(config),
                ended: ended.clone(),
                job: component.is_none().then(|| run.clone()),
            })
        });
        key.map_err(cannot)
    }

    /// Returns what a thread beside this one may watch of the nodes.
    pub(super) fn watched(&mut self) -> Vec<Watched> {
        let keys = self.components.iter().chain(&self.job);
        keys.map(|key| Watched::new(self.world.io(*key).progress()))
            .collect()
    }
}

/// A container that says when it has ended.
struct Hosted {
    container: Container,
    ended: Rc<Cell<bool>>,
    /// For the node of the job: it may be interrupted.
    job: Option<Run>,
}

impl Node for Hosted {
    fn turn(&mut self, io: &mut dyn Io) -> Next {
        if let Some(run) = &self.job {
            run.cancel_where_interrupted(&mut self.container);
        }
        let next = self.container.turn(io);
        if next == Next::Ended {
            self.ended.set(true);
        }
        next
    }
}

fn cannot(error: impl std::fmt::Display) -> Failure {
    Failure::cannot_start(error.to_string())
}
