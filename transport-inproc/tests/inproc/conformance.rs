//! The suite that every backend runs, over a world of bare nodes.

use std::collections::BTreeMap;
use std::time::Duration;

use monofil_inproc::{
    Latency, LinkModel, NodeKey, NodeSpec, World, WorldConfig, application_endpoint,
};
use monofil_transport::conformance::{self, Fixture, Reach};
use monofil_transport::decorator::{Answer, Call, Defect, Defects, Faulty, Traced};
use monofil_transport::record::{Recorder, What};
use monofil_transport::{Inbox, Instant, Io, Next, Plane, Route, Transport};

pub(crate) struct WorldFixture {
    config: WorldConfig,
    world: World,
    /// What is wrong with every node's backend.
    plan: Vec<Defect>,
    /// How far each one got.
    defects: BTreeMap<String, Defects>,
}

impl WorldFixture {
    pub(crate) fn new(config: WorldConfig) -> Self {
        let world = World::new(config.clone());
        Self {
            config,
            world,
            plan: Vec::new(),
            defects: BTreeMap::new(),
        }
    }

    fn key(&self, name: &str) -> NodeKey {
        self.world.node(name).unwrap()
    }
}

impl Fixture for WorldFixture {
    fn reset(&mut self) {
        self.world = World::new(self.config.clone());
        self.defects.clear();
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

    fn named(&mut self, name: &str) -> Option<String> {
        Some(format!("{name}:7700"))
    }

    fn with(&mut self, name: &str, act: &mut dyn FnMut(&mut dyn Io)) {
        let key = self.key(name);
        let defects = self.defects.remove(name);
        let defects = defects.unwrap_or_else(|| Defects::new(self.plan.clone()));
        let mut io = Faulty::resume(self.world.io(key), defects);
        act(&mut io);
        self.defects.insert(name.to_owned(), io.into_defects());
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

/// Tries one case over a backend with one defect and returns what the failure says.
fn failure(case: &str, defect: Defect) -> String {
    let mut fixture = WorldFixture::new(WorldConfig::with_seed(1));
    fixture.plan = vec![defect];
    let report = conformance::run_where(&mut fixture, |name| name == case);
    let failures: Vec<String> = report.failed().map(|(_, why)| why.to_string()).collect();
    assert_eq!(report.cases.len(), 1, "there is no case {case}");
    failures.concat()
}

#[test]
fn each_defect_fails_in_its_case() {
    let late = Duration::from_millis(80);
    let table = [
        (
            Defect::ForgetNames,
            "places_are_looked_up",
            "`receiver:7700` never stood for",
        ),
        (
            Defect::Swap(7),
            "frames_arrive_whole_and_in_order",
            "frame 7 was due and frame 8 arrived",
        ),
        (
            Defect::Drop(7),
            "frames_arrive_whole_and_in_order",
            "frame 7 was due and frame 8 arrived",
        ),
        (
            Defect::Duplicate(7),
            "frames_arrive_whole_and_in_order",
            "frame 8 was due and frame 7",
        ),
        (
            Defect::Corrupt(7),
            "frames_arrive_whole_and_in_order",
            "bytes arrived that nobody sent",
        ),
        (
            Defect::SwallowTooLarge(0),
            "frames_up_to_the_limit_pass",
            "over it was accepted",
        ),
        (
            Defect::SwallowFull(0),
            "a_full_connection_hands_the_frame_back",
            "were accepted with",
        ),
        (
            Defect::MangleFull,
            "a_full_connection_hands_the_frame_back",
            "another frame",
        ),
        (
            Defect::Drop(3),
            "no_accepted_frame_is_swallowed",
            "frame 3 was due and 4 arrived",
        ),
        (
            Defect::LoseWritable,
            "a_full_connection_is_writable_again",
            "it never came",
        ),
        (
            Defect::ConfusePlanes,
            "planes_are_apart",
            "arrived through the control plane",
        ),
        (
            Defect::LosePeerGone,
            "a_restarted_peer_is_met_again",
            "nobody said so",
        ),
        (
            Defect::Duplicate(115),
            "a_restarted_peer_is_met_again",
            "after Some",
        ),
        (
            Defect::LosePeerGone,
            "a_vanished_peer_is_noticed",
            "nobody said so",
        ),
        (Defect::LoseWakeUp(40), "an_arrival_wakes", "never arrived"),
        (
            Defect::LoseWakeUp(1_000),
            "no_wake_up_is_lost",
            "never woke",
        ),
        (Defect::Delay(0, late), "an_arrival_wakes", "woke too late"),
        (
            Defect::CutDatagrams,
            "datagrams_arrive_whole",
            "it came changed",
        ),
    ];
    for (defect, case, says) in table {
        let said = failure(case, defect);
        assert!(said.contains(says), "{defect:?} in {case}: {said:?}");
    }
}

#[test]
fn a_tracer_writes_down_what_passes() {
    let mut world = World::new(WorldConfig::with_seed(1));
    let here = world.add_bare_node(NodeSpec::new("here")).unwrap();
    let there = world.add_bare_node(NodeSpec::new("there")).unwrap();
    let endpoint = application_endpoint("there").unwrap();

    let recorder = Recorder::new(3);
    let mut io = Traced::new(world.io(here), recorder.clone());
    let connection = io.connect(Plane::Application, &endpoint).unwrap();
    let route = Route::Connection(connection);
    io.send(&route, "hello".into()).unwrap();
    world.run_until_mail(there, Instant::ZERO);

    let mut io = Traced::new(world.io(here), recorder.clone());
    io.receive(&mut Inbox::new());
    io.disconnect(connection);
    assert!(io.send(&route, "too late".into()).is_err());
    let records = recorder.recording().records.into_iter();
    let calls: Vec<_> = records.map(|record| record.what).collect();
    let expected = [
        Call::PeerConnected(connection),
        Call::Disconnect(connection),
        Call::Send(route, 8, Answer::Gone),
    ]
    .map(|call| What::Passed(Box::new(call)));
    assert_eq!(calls, expected, "the last three");
}

#[test]
fn a_decorator_without_defects_changes_nothing() {
    assert_eq!(
        failure("frames_arrive_whole_and_in_order", Defect::Drop(u64::MAX)),
        ""
    );
}
