//! Strangers that want more than is theirs: answers that they never take, endpoints, connections; and one that comes
//! along two of them.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use monofil_container::{Caller, Container, ContainerConfig, Context, Counter, Reply};
use monofil_inproc::{NodeKey, NodeSpec as WorldNode, NodeStart, World, WorldConfig};
use monofil_proto::wire::{Closing, Frame, Hello, Kind, NameDefinition, Record};
use monofil_proto::{VERSION, encode};
use monofil_tests::{Hooks, Net, NodeSpec, SimNet, Stranger, component, hooked, text};
use monofil_transport::decorator::{Call, Traced};
use monofil_transport::record::{Recorder, What};
use monofil_transport::{Endpoint, Io, Next, Node, Plane, Route, Transport as _};

use super::traffic::{self, Traffic};

const MS: Duration = Duration::from_millis(1);

/// A net with good traffic and a bare node.
struct Field {
    net: SimNet,
    bare: NodeKey,
    one: Endpoint,
    two: Endpoint,
    traffic: Rc<Traffic>,
}

impl Field {
    fn new(configure: impl Fn(&mut ContainerConfig) + Copy + 'static) -> Self {
        let traffic: Rc<Traffic> = Rc::default();
        let mut net = SimNet::new(5);
        let mut nodes = traffic::nodes(&traffic);
        let hold = component("hold", || {
            |cx: &mut Context, _| {
                cx.sleep(Duration::from_secs(1))?;
                Ok(Reply::Empty)
            }
        });
        nodes[0].components.push(hold);
        let nodes = nodes.into_iter().map(|node| node.configure(configure));
        net.start(nodes.collect());
        let world = net.world();
        let bare = WorldNode::new("stranger").client();
        let bare = world.add_bare_node(bare).expect("a new name");
        let [one, two] = ["one", "two"].map(|name| {
            let key = world.node(name).expect("it was started");
            world.io(key).local().application.expect("bound")
        });
        Self {
            net,
            bare,
            one,
            two,
            traffic,
        }
    }

    fn stranger(&mut self) -> Stranger {
        let io = &mut self.net.world().io(self.bare);
        Stranger::connect(io, &self.one, [0xaa; 16])
    }

    fn greet(&mut self, stranger: &mut Stranger) {
        stranger.greet(&mut self.net.world().io(self.bare), Hello::default());
        self.run(10);
        self.listen(stranger);
        assert!(stranger.is_linked());
    }

    fn send(&mut self, stranger: &mut Stranger, frame: &Frame) {
        let sent = stranger.send(&mut self.net.world().io(self.bare), frame);
        sent.expect("room");
    }

    fn listen(&mut self, stranger: &mut Stranger) -> Vec<Frame> {
        stranger.listen(&mut self.net.world().io(self.bare))
    }

    fn run(&mut self, millis: u32) {
        self.net.world().run_for(MS * millis);
    }

    fn gauge(&self, name: &str) -> u64 {
        let net: &dyn Net = &self.net;
        net.gauges("one")[name]
    }

    fn counter(&self, node: &str, counter: Counter) -> u64 {
        let net: &dyn Net = &self.net;
        net.counter(node, counter)
    }

    fn peers(&self) -> usize {
        let mut peers = 0;
        self.net.look("one", &mut |it| peers = it.peers().len());
        peers
    }
}

fn call(id: u64, target: &str, bytes: usize) -> Record {
    Record {
        kind: Kind::Call.into(),
        id,
        target: target.into(),
        method: "Do".into(),
        payload: vec![7; bytes].into(),
        ..Record::default()
    }
}

const UNACKNOWLEDGED: &str = "monofil_link_records_unacknowledged";

/// It reads the answers, and never says that it has.
#[test]
fn whoever_acknowledges_no_answers_is_forgotten_and_nobody_else_is_harmed() {
    const ANSWERS_MAX: u64 = 65_536;
    const AT_ONCE: u64 = 1024;
    let mut field = Field::new(|_| {});
    field.run(100);
    let mut greedy = field.stranger();
    field.greet(&mut greedy);
    let (mut asked, mut most) = (0, 0);
    let closing = loop {
        let targets = ["test/mirror", "test/nobody"];
        let records = (0..AT_ONCE)
            .map(|at| call(asked + at + 1, targets[usize::from(at % 4 > 0)], 1))
            .collect();
        asked += AT_ONCE;
        let frame = Frame {
            received: 0,
            settled: 0,
            ..greedy.frame(records)
        };
        field.send(&mut greedy, &frame);
        field.run(6);
        most = most.max(field.gauge(UNACKNOWLEDGED));
        let frames = field.listen(&mut greedy);
        let closing = frames.iter().map(Frame::closing);
        if let Some(closing) = closing.into_iter().find(|it| *it != Closing::Unspecified) {
            break closing;
        }
        assert!(asked < 2 * ANSWERS_MAX, "{most} answers are kept");
    };
    assert_eq!(closing, Closing::Forgetting);
    // What is refused on arrival is answered before anybody looks.
    assert!(asked > ANSWERS_MAX, "forgotten after {asked} calls");
    assert!(most <= ANSWERS_MAX + 2 * AT_ONCE, "{most} were kept");
    assert!(field.gauge(UNACKNOWLEDGED) < 10);
    assert_eq!(field.counter("one", Counter::LinksEnded), 1);
    assert_eq!(field.peers(), 1, "`two` is left");
    field.run(100);
    field.traffic.check("greedy");
    // It may come again.
    greedy.begin_anew(greedy.node(), 1, 2);
    field.greet(&mut greedy);
}

/// It numbers nothing and reads nothing.
#[test]
fn whoever_takes_no_answers_is_forgotten_at_four_windows_of_bytes() {
    const BYTES: usize = 1024;
    const AT_ONCE: u64 = 16;
    /// Four windows, in answers.
    const ANSWERS_MAX: u64 = 256;
    let mut field = Field::new(|config| config.link.window_bytes = 64 << 10);
    field.run(100);
    let greedy = {
        let mut io = field.net.world().io(field.bare);
        io.connect(Plane::Application, &field.one)
            .expect("connects")
    };
    let mut most = 0;
    for round in 0..200 {
        let records = (0..AT_ONCE).map(|at| call(round * AT_ONCE + at + 1, "test/mirror", BYTES));
        let frame = Frame {
            version: VERSION,
            sender: vec![0xaa; 16],
            sender_incarnation: 1,
            records: records.collect(),
            ..Frame::default()
        };
        let mut io = field.net.world().io(field.bare);
        io.send(&Route::Connection(greedy), encode(&frame))
            .expect("room");
        field.run(6);
        most = most.max(field.gauge(UNACKNOWLEDGED));
    }
    assert!(most > ANSWERS_MAX / 2, "only {most} were kept");
    assert!(most <= ANSWERS_MAX + 2 * AT_ONCE, "{most} were kept");
    let ended = field.counter("one", Counter::LinksEnded);
    assert!(ended >= 2, "it was forgotten {ended} times");
    field.traffic.over.set(true);
    field.run(100);
    field.traffic.check("greedy");
    // Once it says nothing, it is forgotten for good.
    field.run(100_000);
    assert_eq!(field.gauge(UNACKNOWLEDGED), 0);
    assert_eq!(field.peers(), 1, "`two` is left");
}

/// The first is being worked on when the second comes.
#[test]
fn a_call_that_is_repeated_on_its_link_is_answered_once_and_holds_up_nothing() {
    let mut field = Field::new(|_| {});
    let mut stranger = field.stranger();
    field.greet(&mut stranger);
    let records = vec![
        call(7, "test/hold", 1),
        call(7, "test/hold", 2),
        call(7, "test/mirror", 3),
        call(8, "test/mirror", 4),
    ];
    let frame = stranger.frame(records);
    field.send(&mut stranger, &frame);
    let mut answers = Vec::new();
    for _ in 0..200 {
        field.run(10);
        let frames = field.listen(&mut stranger);
        answers.extend(frames.into_iter().flat_map(|frame| frame.records));
        let acknowledgement = stranger.frame(Vec::new());
        field.send(&mut stranger, &acknowledgement);
    }
    let answers: Vec<_> = answers.iter().map(|it| (it.kind(), it.id)).collect();
    assert_eq!(answers, [(Kind::Reply, 8), (Kind::Reply, 7)]);
    assert_eq!(field.counter("one", Counter::RecordsDuplicate), 2);
    // Another is heard of, and with it how far everything has ended.
    let frame = stranger.frame(vec![call(9, "test/mirror", 1)]);
    field.send(&mut stranger, &frame);
    field.run(10);
    field.listen(&mut stranger);
    assert_eq!(stranger.marks(), (5, 4));
    field.traffic.check("repeated");
}

/// Anybody can write a frame with somebody else's node and incarnation in it.
#[test]
fn what_is_of_no_link_defines_no_names_of_one_and_ends_nothing() {
    let mut field = Field::new(|_| {});
    field.traffic.over.set(true);
    field.run(500);
    let mut honest = field.stranger();
    field.greet(&mut honest);
    let frame = honest.frame(vec![call(1, "test/mirror", 1)]);
    field.send(&mut honest, &frame);
    field.run(20);
    assert_eq!(field.gauge(UNACKNOWLEDGED), 1, "the answer");
    let define = |name: &str| NameDefinition {
        number: 1,
        name: name.into(),
    };
    let forged = Frame {
        link_epoch: 0,
        receiver_epoch: 0,
        received: u64::MAX >> 1,
        settled: u64::MAX >> 1,
        names: vec![define("junk")],
        ..honest.frame(Vec::new())
    };
    field.send(&mut honest, &forged);
    field.run(20);
    assert_eq!(field.gauge(UNACKNOWLEDGED), 1, "it was not taken");
    field.listen(&mut honest);
    let mut named = call(2, "", 1);
    named.target_number = 1;
    let frame = Frame {
        names: vec![define("test/mirror")],
        ..honest.frame(vec![named])
    };
    field.send(&mut honest, &frame);
    field.run(20);
    let frames = field.listen(&mut honest);
    let answers = frames.into_iter().flat_map(|frame| frame.records);
    let answers: Vec<_> = answers.map(|it| (it.kind(), it.id)).collect();
    assert_eq!(answers, [(Kind::Reply, 2)]);
    assert_eq!(field.counter("one", Counter::FramesMisnumbered), 0);
}

/// Nothing is left of what it had not received when it still numbered, and it is answered as it speaks now.
#[test]
fn whoever_numbers_no_more_ends_its_link() {
    let mut field = Field::new(|_| {});
    field.traffic.over.set(true);
    field.run(100);
    assert_eq!(field.gauge(UNACKNOWLEDGED), 0);
    let mut changed = field.stranger();
    field.greet(&mut changed);
    let frame = changed.frame(vec![call(1, "test/mirror", 1), call(2, "test/hold", 1)]);
    field.send(&mut changed, &frame);
    field.run(20);
    assert!(field.gauge(UNACKNOWLEDGED) > 0, "an answer");
    let ended = field.counter("one", Counter::LinksEnded);
    let stale = field.counter("one", Counter::FramesStale);
    changed.begin_anew(changed.node(), 1, 0);
    let hello = Frame {
        hello: Some(Box::new(Hello {
            unnumbered: true,
            ..Hello::default()
        })),
        ..changed.frame(Vec::new())
    };
    for _ in 0..2 {
        field.send(&mut changed, &hello);
        field.run(20);
        assert_eq!(field.counter("one", Counter::LinksEnded), ended + 1);
        assert_eq!(field.gauge(UNACKNOWLEDGED), 0);
    }
    // What it sent before and comes late is not taken for new.
    field.send(&mut changed, &frame);
    field.run(20);
    assert_eq!(field.counter("one", Counter::FramesStale), stale + 1);
    let unnumbered = Frame {
        first_sequence: 0,
        ..changed.frame(vec![call(3, "test/mirror", 1)])
    };
    field.send(&mut changed, &unnumbered);
    field.run(20);
    let frames = field.listen(&mut changed);
    let records = frames.into_iter().flat_map(|frame| {
        let sequence = frame.first_sequence;
        frame.records.into_iter().map(move |it| (sequence, it))
    });
    let answers: Vec<_> = records
        .map(|(at, it)| (at, it.kind(), it.id))
        .filter(|(_, kind, _)| *kind == Kind::Reply)
        .collect();
    assert_eq!(answers, [(0, Kind::Reply, 3)]);
}

/// A frame in its name was there before it was, and was of no link.
#[test]
fn who_numbers_is_believed_whatever_was_said_in_its_name() {
    let mut field = Field::new(|_| {});
    let mut honest = field.stranger();
    let forged = Frame {
        first_sequence: 0,
        link_epoch: 0,
        ..honest.frame(vec![call(1, "test/mirror", 1)])
    };
    field.send(&mut honest, &forged);
    field.run(20);
    field.greet(&mut honest);
    let frame = honest.frame(vec![call(2, "test/mirror", 1)]);
    for _ in 0..2 {
        field.send(&mut honest, &frame);
        field.run(200);
    }
    let frames = field.listen(&mut honest);
    let answers: Vec<_> = frames
        .iter()
        .flat_map(|frame| &frame.records)
        .map(|it| (it.kind(), it.id))
        .collect();
    assert_eq!(answers, [(Kind::Reply, 2)]);
    assert_eq!(honest.marks().0, 1, "it was received as its first");
    assert_eq!(field.counter("one", Counter::RecordsDuplicate), 1);
}

/// Nor does it end casts whose end is said by itself.
#[test]
fn what_is_of_no_link_ends_no_cast() {
    const UNSETTLED: &str = "monofil_link_casts_unsettled";
    let hold = component("hold", || {
        |cx: &mut Context, _| {
            cx.sleep(Duration::from_secs(1))?;
            Ok(Reply::Empty)
        }
    });
    let quick = component("quick", || |_, _| Ok(Reply::Empty));
    let sender = hooked("sender", || {
        Hooks::new(|_, _| Ok(Reply::Empty)).start(|cx, _| {
            cx.cast(text("hold", "Do", ""))?;
            cx.cast(text("quick", "Do", ""))?;
            Ok(())
        })
    });
    let mut net = SimNet::new(5);
    net.start(vec![
        NodeSpec::new("one", vec![sender]),
        NodeSpec::new("two", vec![hold, quick]),
    ]);
    let world = net.world();
    let bare = WorldNode::new("stranger").client();
    let bare = world.add_bare_node(bare).expect("a new name");
    world.run_for(MS * 500);
    let [one, two] = ["one", "two"].map(|name| {
        let key = world.node(name).expect("it was started");
        world.io(key).local().application.expect("bound")
    });
    let mut asks = Stranger::connect(&mut world.io(bare), &two, [0xaa; 16]);
    asks.greet(&mut world.io(bare), Hello::default());
    world.run_for(MS * 10);
    let said = asks.listen(&mut world.io(bare));
    let said = said.first().expect("it says who it is");
    let mut liar = Stranger::connect(&mut world.io(bare), &one, [0xbb; 16]);
    for kind in [Kind::Settled, Kind::Unsettled, Kind::Settled] {
        let records = (1..=9).map(|id| Record {
            kind: kind.into(),
            id,
            ..Record::default()
        });
        let forged = Frame {
            version: VERSION,
            sender: said.sender.clone(),
            sender_incarnation: said.sender_incarnation,
            records: records.collect(),
            ..Frame::default()
        };
        let sent = liar.send(&mut world.io(bare), &forged);
        sent.expect("room");
        world.run_for(MS * 20);
    }
    let dynamic: &dyn Net = &net;
    assert_eq!(dynamic.gauges("one")[UNSETTLED], 1, "it is being handled");
    net.world().run_for(MS * 1000);
    let dynamic: &dyn Net = &net;
    assert_eq!(dynamic.gauges("one")[UNSETTLED], 0, "it has ended");
}

/// It says so in every way that might be believed, under its own id and others.
#[test]
fn nobody_takes_the_endpoint_of_a_node_that_the_directory_knows() {
    let mut field = Field::new(|_| {});
    field.run(100);
    let mut stranger = field.stranger();
    let (two, mut heard) = (field.two.to_string(), Vec::new());
    for number in 0..200 {
        let hello = Hello {
            application: two.clone(),
            cookie: number % 5,
            name: "two".into(),
            ..Hello::default()
        };
        if number % 2 == 0 {
            // As an answer to a greeting that it did not get.
            stranger.begin_anew(id(number), 1, 1);
            let frame = Frame {
                hello: Some(Box::new(hello)),
                ..stranger.frame(Vec::new())
            };
            field.send(&mut stranger, &frame);
        } else {
            stranger.begin_anew(id(number), 1, 1);
            let mut io = field.net.world().io(field.bare);
            stranger.greet(&mut io, hello);
        }
        for _ in 0..10 {
            field.run(1);
            heard.extend(field.listen(&mut stranger));
            if stranger.is_linked() {
                let frame = stranger.frame(Vec::new());
                field.send(&mut stranger, &frame);
            }
        }
    }
    assert!(heard.iter().any(|frame| frame.hello.is_some()));
    let records = heard.iter().map(|frame| frame.records.len());
    assert_eq!(records.sum::<usize>(), 0, "it got what was for `two`");
    for node in ["one", "two"] {
        assert_eq!(field.counter(node, Counter::LinksEnded), 0, "{node}");
    }
    field.traffic.check("claimed");
}

fn id(number: u64) -> [u8; 16] {
    let mut id = [0xcc; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    id
}

/// What a node opened and has not closed.
#[derive(Default)]
struct Dials {
    open: BTreeSet<u64>,
    most: usize,
    all: usize,
}

/// A container whose connections are counted.
struct Counted {
    container: Container,
    dials: Rc<RefCell<Dials>>,
}

impl Node for Counted {
    fn turn(&mut self, io: &mut dyn Io) -> Next {
        let recorder = Recorder::new(10_000);
        let next = self.container.turn(&mut Traced::new(io, recorder.clone()));
        let mut dials = self.dials.borrow_mut();
        for record in recorder.recording().records {
            let What::Passed(call) = record.what else {
                continue;
            };
            match *call {
                Call::Connect(Plane::Application, _, Some(connection)) => {
                    dials.open.insert(connection.0);
                    dials.all += 1;
                }
                Call::Disconnect(connection) => {
                    dials.open.remove(&connection.0);
                }
                _ => {}
            }
            dials.most = dials.most.max(dials.open.len());
        }
        next
    }
}

/// Says hello as many nodes, or as one that is everywhere.
fn claim(world: &mut World, count: u64, sender: impl Fn(u64) -> [u8; 16]) {
    let bare = world.node("stranger").expect("it is there");
    let one = monofil_inproc::application_endpoint("one").expect("short");
    let connection = world
        .io(bare)
        .connect(Plane::Application, &one)
        .expect("connects");
    for number in 0..count {
        let hello = Hello {
            answer: true,
            application: format!("inproc://nowhere-{number}"),
            ..Hello::default()
        };
        let frame = Frame {
            version: VERSION,
            sender: sender(number).to_vec(),
            sender_incarnation: 1,
            link_epoch: 1,
            hello: Some(Box::new(hello)),
            ..Frame::default()
        };
        let mut io = world.io(bare);
        io.send(&Route::Connection(connection), encode(&frame))
            .expect("room");
        world.run_for(MS);
        world.io(bare).receive(&mut monofil_transport::Inbox::new());
    }
}

#[test]
fn endpoints_that_strangers_claim_are_dialed_64_at_a_time_and_given_up() {
    let dials: Rc<RefCell<Dials>> = Rc::default();
    let mut world = World::new(WorldConfig::with_seed(6));
    let counted = dials.clone();
    world
        .add_node(WorldNode::new("one"), move |_: &NodeStart| {
            Box::new(Counted {
                container: Container::new(ContainerConfig::new("test", "one")),
                dials: counted.clone(),
            })
        })
        .expect("a new name");
    world
        .add_bare_node(WorldNode::new("stranger").client())
        .expect("a new name");
    // One node that is somewhere else each time.
    claim(&mut world, 500, |_| id(0));
    assert_eq!(dials.borrow().all, 1);
    claim(&mut world, 3000, id);
    {
        let dials = dials.borrow();
        assert_eq!(dials.most, 64, "of {} in all", dials.all);
        assert!(dials.all >= 64);
    }
    // Nobody was there for a minute.
    world.run_for(Duration::from_secs(100));
    assert_eq!(dials.borrow().open, BTreeSet::new());
}

/// What a node that was stopped meets when it goes on: greetings along connections that were made meanwhile, and
/// last one along a connection that is gone. Nobody greets again after that.
#[test]
fn a_way_back_that_is_gone_is_found_again_where_the_other_side_speaks() {
    let mut field = Field::new(|_| {});
    field.run(100);
    let mut stranger = field.stranger();
    // Where it says that it is nobody gets through to it.
    let hello = Hello {
        application: field.one.as_str().replace("one", "elsewhere"),
        ..Hello::default()
    };
    let greet = |field: &mut Field, stranger: &mut Stranger| {
        stranger.greet(&mut field.net.world().io(field.bare), hello.clone());
        field.run(10);
        field.listen(stranger);
        assert!(stranger.is_linked());
    };
    greet(&mut field, &mut stranger);
    let last = {
        let mut io = field.net.world().io(field.bare);
        io.connect(Plane::Application, &field.one)
            .expect("connects")
    };
    let first = stranger.switch(last);
    greet(&mut field, &mut stranger);
    stranger.switch(first);
    greet(&mut field, &mut stranger);
    stranger.switch(last);
    field.net.world().io(field.bare).disconnect(first);
    field.run(10);

    let mut answers = BTreeSet::new();
    for id in 1..=3 {
        let frame = stranger.frame(vec![call(id, "test/mirror", 1)]);
        field.send(&mut stranger, &frame);
        field.run(10);
        let frames = field.listen(&mut stranger);
        answers.extend(frames.iter().flat_map(|it| &it.records).map(|it| it.id));
    }
    assert_eq!(answers, BTreeSet::from([1, 2, 3]));
    assert_eq!(field.counter("one", Counter::LinksEnded), 0);
}
