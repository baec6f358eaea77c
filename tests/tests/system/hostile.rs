//! A node that knows the rules of a link and breaks them, one at a time.
//!
//! It introduces itself as it should, learns who the other side is and which link this is, and sends frames
//! that are right but for a field or two. So they are not refused at the door but reach the link.
//!
//! `SEED=17 cargo test -p monofil-tests hostile` runs another seed.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use monofil_container::Counter;
use monofil_inproc::NodeKey;
use monofil_proto::control::{ControlFrame, Describe, Request as Command, control_frame};
use monofil_proto::control::{request, response};
use monofil_proto::wire::{Frame, Hello, NameDefinition, Outcome, Record, TraceContext, Waiting};
use monofil_proto::{Bounds, Reason, VERSION, decode_control, decode_frame, encode, read_frame};
use monofil_tests::{Net, Scheme, SimNet, Stranger, ZmqNet, number};
use monofil_transport::{
    ConnectionId, Driver as _, Endpoint, Event, Inbox, LocalEndpoints, Next, Plane, Route, Stream,
    Transport,
};
use monofil_zmq::ZmqIo;

use super::traffic::{Traffic, nodes};

// ── Where it happens ─────────────────────────────────────────────────────────────────────────────────────

/// A net with a bare node in it.
trait Ground {
    /// Hands over the bare node's outside.
    fn outside(&mut self, act: &mut dyn FnMut(&mut dyn Transport));
    /// Lets everybody take what was sent.
    fn pass(&mut self);
    fn net(&mut self) -> &mut dyn Net;
}

struct SimGround {
    net: SimNet,
    bare: NodeKey,
}

impl Ground for SimGround {
    fn outside(&mut self, act: &mut dyn FnMut(&mut dyn Transport)) {
        act(&mut self.net.world().io(self.bare));
    }

    fn pass(&mut self) {
        self.net.world().run_for(Duration::from_millis(3));
    }

    fn net(&mut self) -> &mut dyn Net {
        &mut self.net
    }
}

struct ZmqGround {
    net: ZmqNet,
    bare: ZmqIo,
}

impl Ground for ZmqGround {
    fn outside(&mut self, act: &mut dyn FnMut(&mut dyn Transport)) {
        act(&mut self.bare);
    }

    fn pass(&mut self) {
        self.bare.wait(Next::Now);
        self.net.turn();
    }

    fn net(&mut self) -> &mut dyn Net {
        &mut self.net
    }
}

// ── The attack ───────────────────────────────────────────────────────────────────────────────────────────

struct Attack {
    random: Stream,
    stranger: Stranger,
    /// Where `two` is, which it may claim to be.
    elsewhere: String,
    traffic: Rc<Traffic>,
    /// The highest incarnation and epoch that were said under this id.
    incarnation: u64,
    epoch: u64,
    ids: u64,
    fresh_id: u64,
    links: u64,
    frames: u64,
    records: u64,
    /// Frames that nobody can decode, by reason.
    refused: BTreeMap<&'static str, u64>,
}

impl Attack {
    fn new(
        seed: u64,
        io: &mut dyn Transport,
        [to, elsewhere]: [&Endpoint; 2],
        traffic: &Rc<Traffic>,
    ) -> Self {
        Self {
            random: Stream::new(seed, "hostile"),
            stranger: Stranger::connect(io, to, id_of(0)),
            elsewhere: elsewhere.to_string(),
            traffic: traffic.clone(),
            incarnation: 1,
            epoch: 1,
            ids: 0,
            fresh_id: 100,
            links: 0,
            frames: 0,
            records: 0,
            refused: BTreeMap::new(),
        }
    }

    fn draw(&mut self, bound: u64) -> u64 {
        self.random.below(bound)
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.random.below(from.len() as u64)).expect("small")]
    }

    /// Draws a value next to a right one, or from the edges.
    fn around(&mut self, right: u64) -> u64 {
        match self.draw(10) {
            0 => 0,
            1 => 1,
            2 | 3 => right.wrapping_sub(1),
            4 | 5 => right.wrapping_add(1),
            6 => right.wrapping_add(2),
            7 => right.wrapping_sub(1 + self.random.below(1000)),
            8 => self.random.bits() >> self.random.below(64),
            _ => u64::MAX,
        }
    }

    /// Draws one that is too long now and then.
    fn name(&mut self, right: &str) -> String {
        match self.draw(40) {
            0 => String::new(),
            1 => "nobody".into(),
            2 => "test/".into(),
            3 => "n".repeat(255),
            4 => "n".repeat(256),
            5 if self.draw(3) == 0 => "n".repeat(257),
            _ => right.to_owned(),
        }
    }

    fn record(&mut self) -> Record {
        let kinds = [
            1, 1, 1, 1, 2, 2, 2, 3, 4, 5, 6, 6, 7, 8, 9, 9, 0, 10, 99, -1,
        ];
        let kind = self.pick(&kinds);
        self.fresh_id += 1;
        let id = match self.draw(5) {
            0 => self.draw(16),
            // What the other side calls its next call: the place of it in a table, and how often that was used.
            1 => ((self.traffic.begun.get() + self.random.below(3)).saturating_sub(1)) << 21 | 1,
            2 => self.fresh_id.saturating_sub(self.random.below(8)),
            3 if self.draw(4) == 0 => self.around(self.fresh_id),
            _ => self.fresh_id,
        };
        let to = self.pick(&[
            "test/mirror",
            "mirror",
            "test/slow",
            "test/items",
            "test/echo",
        ]);
        let (target, method) = (self.name(to), self.name("test.Service/Method"));
        let mut record = Record {
            kind,
            id,
            target,
            method,
            remaining_micros: self.pick(&[0, 1, 1000, 100_000, u64::MAX, u64::MAX - 1]),
            payload: vec![7; usize::try_from(self.random.below(300)).expect("small")].into(),
            credit: self.pick(&[0, 0, 1, 16, u32::MAX]),
            item: self.pick(&[0, 1, 2, 3, u64::MAX]),
            ..Record::default()
        };
        match self.draw(12) {
            0 => record.waiting = self.waiting(),
            1 => {
                record.outcome = Some(Box::new(Outcome {
                    kind: i32::try_from(self.random.below(20)).expect("small"),
                    message: "because".into(),
                    retry_after_micros: u64::MAX,
                    ..Outcome::default()
                }));
            }
            2 => record.key = vec![1; self.pick(&[0, 255, 256])].into(),
            3 => {
                record.trace = Some(TraceContext {
                    trace_id: vec![1; self.pick(&[0, 15, 16, 17])],
                    span_id: vec![1; self.pick(&[0, 7, 8])],
                    ..TraceContext::default()
                });
            }
            4 => record.source = self.name("test/asks"),
            5 => record.topic = self.name("news"),
            6 => record.target_number = self.pick(&[1, 1, 2, 1024, 1025, u32::MAX]),
            _ => {}
        }
        record
    }

    /// A chain of those who wait, perhaps the one that is asked among them.
    fn waiting(&mut self) -> Vec<Waiting> {
        let receiver = self.stranger.frame(Vec::new()).receiver;
        let nodes = [receiver, vec![1; 16], vec![1; 15], Vec::new()];
        let length = self.pick(&[1, 1, 2, 63, 64, 65]);
        let node = nodes[usize::try_from(self.draw(4)).expect("small")].clone();
        let component = self.pick(&["test/mirror", "test/slow", ""]);
        let waiting = Waiting {
            node,
            component: component.into(),
            instance: 0,
        };
        vec![waiting; length]
    }

    fn hello(&mut self) -> Hello {
        let number = self.draw(1 << 20);
        let applications = [
            String::new(),
            "junk".to_owned(),
            format!("inproc://nowhere-{number}"),
            format!("tcp://127.0.0.1:{}", 1 + number % 9),
            self.elsewhere.clone(),
        ];
        Hello {
            answer: self.draw(2) == 0,
            application: applications[usize::try_from(self.draw(5)).expect("small")].clone(),
            cookie: self.pick(&[0, 1, 2, 3, 65_537, u64::MAX]),
            unnumbered: self.draw(4) == 0,
            name: "hostile".into(),
            ..Hello::default()
        }
    }

    /// Makes a right frame wrong.
    fn disturb(&mut self, frame: &mut Frame) {
        match self.draw(22) {
            0 => frame.receiver_epoch = self.around(frame.receiver_epoch),
            1 => frame.link_epoch = self.around(frame.link_epoch),
            2 if self.draw(2) == 0 => frame.closing = self.pick(&[1, 2, 3, -1]),
            3 if self.draw(2) == 0 => {
                frame.sender_incarnation = self.around(frame.sender_incarnation);
            }
            4 => frame.receiver_incarnation = self.around(frame.receiver_incarnation),
            5 | 6 => frame.first_sequence = self.around(frame.first_sequence),
            7 => frame.received = self.around(frame.received),
            8 => frame.settled = self.around(frame.settled),
            9 => frame.credit_records = self.around(frame.credit_records),
            10 => frame.credit_bytes = self.around(frame.credit_bytes),
            11 => frame.resend = true,
            12 => frame.receiver = vec![3; self.pick(&[0, 15, 16, 17])],
            13 => frame.hello = Some(Box::new(self.hello())),
            14 => frame.records.extend(frame.records.clone()),
            15 => {
                frame.names = vec![NameDefinition {
                    number: self.pick(&[1, 1, 1, 2, 0, 1024, 1025, u32::MAX]),
                    name: self.name("test/mirror"),
                }];
            }
            16 => match self.draw(8) {
                0 => frame.version = 2,
                1 => frame.network = 1,
                2 => frame.sender = vec![4; self.pick(&[0, 15, 17])],
                // Somebody else says the same.
                _ => frame.sender = id_of(1000 + self.random.below(50)).to_vec(),
            },
            _ => {}
        }
    }

    /// Follows what a frame does to the link; what cannot be told counts as its end.
    fn said(&mut self, frame: &Frame) {
        if frame.sender != self.stranger.node() || frame.sender_incarnation < self.incarnation {
            return;
        }
        let mut over = frame.closing != 0 || frame.hello.as_ref().is_some_and(|it| it.unnumbered);
        if frame.sender_incarnation > self.incarnation {
            (self.incarnation, self.epoch) = (frame.sender_incarnation, 0);
            over = true;
        }
        if frame.link_epoch > self.epoch {
            self.epoch = frame.link_epoch;
            over = true;
        }
        let right = self.stranger.frame(Vec::new());
        let is_for_it = (frame.receiver.is_empty() || frame.receiver == right.receiver)
            && [0, right.receiver_incarnation].contains(&frame.receiver_incarnation);
        let of_this_link =
            (frame.link_epoch, frame.receiver_epoch) == (right.link_epoch, right.receiver_epoch);
        if over {
            self.begin_anew();
        } else if is_for_it && of_this_link {
            self.stranger.count(frame);
        }
    }

    /// Will introduce itself again: in another life, if this one cannot go on.
    fn begin_anew(&mut self) {
        if let Some(next) = self.epoch.checked_add(1) {
            self.epoch = next;
        } else if let Some(next) = self.incarnation.checked_add(1) {
            (self.incarnation, self.epoch) = (next, 1);
        } else {
            self.ids += 1;
            (self.incarnation, self.epoch) = (1, 1);
        }
        let node = id_of(self.ids);
        self.stranger.begin_anew(node, self.incarnation, self.epoch);
    }

    /// Takes what has come. Nothing was received that was not sent on this link.
    fn listen(&mut self, ground: &mut dyn Ground) {
        ground.outside(&mut |io| drop(self.stranger.listen(io)));
        let (received, sent) = (self.stranger.marks().0, self.stranger.sent());
        assert!(received <= sent, "{received} were received and {sent} sent");
    }

    fn introduce(&mut self, ground: &mut dyn Ground) {
        for attempt in 0..10_000 {
            if attempt % 200 == 0 {
                if attempt > 0 {
                    // A frame with its bits flipped was of this id, and of a life at the end of time.
                    (self.incarnation, self.epoch) = (u64::MAX, u64::MAX);
                    self.begin_anew();
                }
                ground.outside(&mut |io| self.stranger.greet(io, Hello::default()));
                self.frames += 1;
            }
            ground.pass();
            self.listen(ground);
            if self.stranger.is_linked() {
                self.links += 1;
                return;
            }
        }
        panic!("the hostile node was not greeted");
    }

    fn strike(&mut self, ground: &mut dyn Ground) {
        if !self.stranger.is_linked() {
            self.introduce(ground);
        }
        let records = (0..1 + self.draw(4)).map(|_| self.record()).collect();
        let mut frame = self.stranger.frame(records);
        self.disturb(&mut frame);
        let mut bytes = encode(&frame);
        if self.draw(12) == 0 {
            bytes = self.flip(&bytes);
        }
        self.listen(ground);
        let mut sent = false;
        ground.outside(&mut |io| sent = self.stranger.send_bytes(io, bytes.clone()).is_ok());
        if !sent {
            // There is room soon.
            ground.pass();
            return;
        }
        self.frames += 1;
        match decode_frame(&bytes, &Bounds::DEFAULT) {
            Ok(frame) => {
                self.records += frame.records.len() as u64;
                self.said(&frame);
            }
            Err(_) => {
                // Of several reasons, the one that is met first.
                let error = read_frame(&bytes, &Bounds::DEFAULT).expect_err("the same");
                *self.refused.entry(error.reason.as_str()).or_default() += 1;
            }
        }
    }

    /// Sends records that make no sense in frames that do, and waits until all of them have ended.
    fn settle(&mut self, ground: &mut dyn Ground) {
        while self.stranger.sent() < 200 {
            let record = Record {
                remaining_micros: 100_000,
                ..self.record()
            };
            let frame = self.stranger.frame(vec![record]);
            if decode_frame(&encode(&frame), &Bounds::DEFAULT).is_err() {
                continue;
            }
            ground.outside(&mut |io| {
                if self.stranger.send(io, &frame).is_ok() {
                    self.records += 1;
                }
            });
            ground.pass();
            self.listen(ground);
        }
        let all = self.stranger.sent();
        for attempt in 0..20_000 {
            if self.stranger.marks() == (all, all) {
                return;
            }
            if attempt % 50 == 0 {
                // The answer says how far everything is.
                ground.outside(&mut |io| self.stranger.greet(io, Hello::default()));
            }
            ground.pass();
            self.listen(ground);
        }
        panic!("of {all} only {:?} have ended", self.stranger.marks());
    }

    fn flip(&mut self, frame: &[u8]) -> Bytes {
        let mut bytes = frame.to_vec();
        for _ in 0..1 + self.draw(3) {
            let at = usize::try_from(self.random.below(bytes.len() as u64)).expect("an index");
            bytes[at] ^= 1 << self.random.below(8);
        }
        bytes.into()
    }
}

const fn id_of(number: u64) -> [u8; 16] {
    let mut id = [0xbb; 16];
    let (digits, mut at) = (number.to_be_bytes(), 0);
    while at < 8 {
        id[at] = digits[at];
        at += 1;
    }
    id
}

/// Asks a node for its counters, by the control plane.
fn counters(ground: &mut dyn Ground, connection: ConnectionId) -> BTreeMap<String, u64> {
    let verb = request::Verb::Describe(Describe::default());
    let ask = ControlFrame {
        version: VERSION,
        sender: vec![9; 16],
        sender_incarnation: 1,
        request_id: 1,
        body: Some(control_frame::Body::Request(Command { verb: Some(verb) })),
        ..ControlFrame::default()
    };
    ground.outside(&mut |io| {
        io.send(&Route::Connection(connection), encode(&ask))
            .expect("room");
    });
    for _ in 0..100_000 {
        ground.pass();
        let mut found = None;
        ground.outside(&mut |io| {
            let mut inbox = Inbox::new();
            io.receive(&mut inbox);
            while let Some(event) = inbox.pop() {
                if let Event::Frame {
                    plane: Plane::Control,
                    frame,
                    ..
                } = event
                {
                    let frame = decode_control(&frame, &Bounds::DEFAULT).expect("a good frame");
                    let Some(control_frame::Body::Response(response)) = frame.body else {
                        continue;
                    };
                    if let Some(response::Result::Description(it)) = response.result {
                        found = Some(it.counters.into_iter().collect());
                    }
                }
            }
        });
        if let Some(found) = found {
            return found;
        }
    }
    panic!("the node does not describe itself");
}

fn seed() -> u64 {
    number("SEED").unwrap_or(1)
}

/// Attacks `one`. Nobody else notices, and what is refused is counted for what it is.
fn attack(
    ground: &mut dyn Ground,
    places: [&LocalEndpoints; 2],
    traffic: &Rc<Traffic>,
    strikes: u64,
) -> Attack {
    let (seed, label) = (seed(), ground.net().label());
    println!("seed {seed}, {label}");
    let at = places.map(|local| local.application.as_ref().expect("bound"));
    let control = places[0].control.as_ref().expect("bound");
    let (mut attack, mut commands) = (None, None);
    ground.outside(&mut |io| {
        attack = Some(Attack::new(seed, io, at, traffic));
        commands = io.connect(Plane::Control, control).ok();
    });
    let (mut attack, commands) = (attack.expect("made"), commands.expect("connected"));
    for strike in 0..strikes {
        attack.strike(ground);
        if strike % 8 == 0 {
            ground.pass();
        }
    }
    // Once this is answered, everything before it has arrived.
    attack.begin_anew();
    attack.introduce(ground);
    attack.settle(ground);
    traffic.over.set(true);
    let counted = counters(ground, commands);
    for reason in Reason::ALL.map(Reason::as_str) {
        let expected = attack.refused.get(reason).copied().unwrap_or(0);
        let name = format!("monofil_malformed_total{{reason=\"{reason}\"}}");
        assert_eq!(counted[&name], expected, "{label}, seed {seed}: {reason}");
    }
    assert!(attack.refused.len() >= 4, "{:?}", attack.refused);
    attack
}

/// Checks that good traffic went on and that enough of the rest got as far as the link.
fn look_back(net: &dyn Net, attack: &Attack, traffic: &Traffic) {
    let label = net.label();
    traffic.check(label);
    let answered = traffic.answered.get();
    // Whoever else sends records to `one` is `two`.
    let reached =
        net.counter("one", Counter::RecordsReceived) - net.counter("two", Counter::RecordsSent);
    println!(
        "{label}: {} frames on {} links under {} ids, {} records, {reached} of them reached the link, {answered} \
         calls were answered, refused: {:?}",
        attack.frames,
        attack.links,
        attack.ids + 1,
        attack.records,
        attack.refused,
    );
    for counter in [
        Counter::RecordsReceived,
        Counter::RecordsDuplicate,
        Counter::RecordsInvalid,
        Counter::LinkGaps,
        Counter::LinksEnded,
        Counter::FramesStale,
        Counter::FramesMisdirected,
    ] {
        let count = net.counter("one", counter);
        println!("  {counter:?} {count}");
        assert!(count > 0, "{label}: {counter:?}");
    }
    assert!(
        3 * reached >= attack.records,
        "{label}: {reached} of {} records reached the link",
        attack.records
    );
}

#[test]
fn ten_thousand_frames_that_are_nearly_right_leave_nothing_behind_in_the_simulated_world() {
    let traffic: Rc<Traffic> = Rc::default();
    let mut net = SimNet::new(seed());
    net.start(nodes(&traffic));
    let world = net.world();
    let bare = world
        .add_bare_node(monofil_inproc::NodeSpec::new("hostile"))
        .expect("a new name");
    let places = ["one", "two"].map(|name| {
        let key = world.node(name).expect("it was started");
        world.io(key).local()
    });
    let mut ground = SimGround { net, bare };
    let attack = attack(&mut ground, places.each_ref(), &traffic, 10_000);
    let net = &mut ground.net;
    net.world().run_for(Duration::from_secs(1));
    look_back(net, &attack, &traffic);
    // Whoever says nothing for a minute is forgotten, with all that was held for it.
    net.world().run_for(Duration::from_secs(200));
    for node in ["one", "two"] {
        let net: &dyn Net = net;
        let mut gauges = net.gauges(node);
        let timers = gauges.remove("monofil_timers").expect("it is described");
        gauges.retain(|_, value| *value > 0);
        assert!(gauges.is_empty(), "{node}: {gauges:?}");
        assert!(timers <= 12, "{node}: {timers} timers");
        net.look(node, &mut |it| {
            assert!(it.peers().len() <= 2, "{node}: {:?}", it.peers());
        });
    }
}

#[test]
fn ten_thousand_frames_that_are_nearly_right_disturb_nobody_over_tcp() {
    let traffic: Rc<Traffic> = Rc::default();
    let mut net = ZmqNet::new(Scheme::Tcp);
    net.start(nodes(&traffic));
    let places = ["one", "two"].map(|name| net.local(name));
    let bare = ZmqIo::bind(Default::default(), Default::default()).expect("a client");
    let mut ground = ZmqGround { net, bare };
    let attack = attack(&mut ground, places.each_ref(), &traffic, 10_000);
    let net = &mut ground.net;
    net.turn_until("calm", |net| {
        let gauges = (net as &dyn Net).gauges("one");
        // Those who cannot come again under their id hold what they had.
        gauges
            .iter()
            .all(|(name, value)| name == &"monofil_timers" || *value <= 64)
    });
    look_back(net, &attack, &traffic);
}
