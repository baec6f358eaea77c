//! Whole containers that only know one address, and learn from each other who is there.

use std::time::Duration;

use bench_worker::{Job, Task, finish};
use monofil::sim::{Cluster, NodeDef};
use monofil::{
    Component, ComponentSpec, Container, ContainerConfig, Context, HandlerError, MembershipConfig,
    Message, Reply,
};
use monofil_inproc::{Latency, LinkModel, NodeKey, WorldConfig};

use super::pass;

pub(crate) fn run(job: &Job) -> ! {
    let Task::Membership { nodes } = job.task else {
        unreachable!("the task is chosen by its row")
    };
    let mut cluster = Cluster::new(WorldConfig {
        link: LinkModel::with_latency(Latency::Uniform {
            min: Duration::from_micros(500),
            max: Duration::from_millis(2),
        }),
        ..WorldConfig::with_seed(1)
    });
    let added = cluster.add((0..nodes).map(node).collect());
    let keys = added.expect("other names");
    let knows_all = |cluster: &Cluster, key: &NodeKey| {
        let up = |node: &Container| {
            let members = node.members();
            members.iter().filter(|it| it.state.is_up()).count()
        };
        cluster.container(*key, up) == Some(nodes - 1)
    };
    cluster.world_mut().run_for(Duration::from_secs(60));
    let found = keys.iter().all(|key| knows_all(&cluster, key));
    assert!(found, "not all have found each other");
    pass(cluster.world_mut(), job.warm);
    let sample = pass(cluster.world_mut(), job.window);
    let kept = keys.iter().all(|key| knows_all(&cluster, key));
    assert!(kept, "somebody was lost");
    finish(sample)
}

/// Describes a node with a component of its own, which no directory knows.
fn node(number: usize) -> NodeDef {
    let name = format!("node-{number}");
    NodeDef::new(name.clone(), move |start| {
        let mut config = ContainerConfig::new("bench", name.as_str());
        config.incarnation = start.incarnation;
        config.membership = Some(MembershipConfig::new(vec!["node-0:7700".to_owned()]));
        config.components = vec![ComponentSpec::new(format!("bench/{name}"), || Idle)];
        config
    })
}

struct Idle;

impl Component for Idle {
    fn handle(&mut self, _: &mut Context, _: Message) -> Result<Reply, HandlerError> {
        Ok(Reply::Empty)
    }
}
