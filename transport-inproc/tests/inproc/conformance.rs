//! The suite that every backend runs, over a world of bare nodes.

use std::time::Duration;

use monofil_inproc::{Latency, LinkModel, NodeKey, NodeSpec, World, WorldConfig};
use monofil_transport::conformance::{self, Fixture, Reach};
use monofil_transport::{Instant, Io, Next};

pub(crate) struct WorldFixture {
    config: WorldConfig,
    world: World,
}

impl WorldFixture {
    pub(crate) fn new(config: WorldConfig) -> Self {
        let world = World::new(config.clone());
        Self { config, world }
    }

    fn key(&self, name: &str) -> NodeKey {
        self.world.node(name).unwrap()
    }
}

impl Fixture for WorldFixture {
    fn reset(&mut self) {
        self.world = World::new(self.config.clone());
    }

    fn open(&mut self, name: &str, reach: Reach) {
        let spec = match reach {
            Reach::Bound => NodeSpec::new(name),
            Reach::Client => NodeSpec::new(name).client(),
        };
        self.world.add_bare_node(spec).unwrap();
    }

    fn crash(&mut self, name: &str) {
        self.world.crash(self.key(name));
    }

    fn restart(&mut self, name: &str) {
        self.world.restart(self.key(name));
    }

    fn vanish(&mut self, name: &str) -> bool {
        self.world.vanish(self.key(name));
        true
    }

    fn with(&mut self, name: &str, act: &mut dyn FnMut(&mut dyn Io)) {
        let key = self.key(name);
        act(&mut self.world.io(key));
    }

    fn wait(&mut self, name: &str, next: Next) {
        let until = match next {
            Next::Now | Next::Ended => self.world.now(),
            Next::At(time) => time,
            Next::Idle => Instant::FAR_FUTURE,
        };
        self.world.run_until_mail(self.key(name), until);
    }

    fn slack(&self) -> Duration {
        Duration::from_millis(40)
    }
}

fn passes(link: LinkModel) {
    let mut fixture = WorldFixture::new(WorldConfig {
        link,
        ..WorldConfig::with_seed(1)
    });
    let report = conformance::run(&mut fixture);
    assert!(report.is_pass(), "{report}");
    assert_eq!(report.skipped().count(), 0, "{report}");
}

#[test]
fn a_world_without_latency_conforms() {
    passes(LinkModel::default());
}

#[test]
fn a_world_with_random_latency_conforms() {
    passes(LinkModel::with_latency(Latency::Uniform {
        min: Duration::from_micros(100),
        max: Duration::from_millis(3),
    }));
}

#[test]
fn a_world_with_a_long_tail_of_latency_conforms() {
    passes(LinkModel::with_latency(Latency::Exponential {
        min: Duration::from_micros(50),
        mean: Duration::from_micros(500),
    }));
}
