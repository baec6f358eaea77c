//! Frames and datagrams that make no sense.

use std::io::Write as _;
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use bytes::Bytes;
use monofil_container::{Caller, Counter, Reply};
use monofil_proto::control::{
    ControlFrame, Datagram, Ping, Probe, Request, control_frame, datagram, request,
};
use monofil_proto::wire::{Frame, Hello, NameDefinition, Record, Waiting};
use monofil_proto::{Bounds, VERSION, decode_control, encode};
use monofil_tests::{Net, NodeSpec, Scheme, SimNet, ZmqNet, component, text};
use monofil_transport::{Datagrams as _, Driver as _, Next, Plane, Route, Stream, Transport as _};

/// Frames that are nearly right: each field is there, with a value that is drawn.
fn nearly(random: &mut Stream) -> Bytes {
    let mut text = |max: u64| "x".repeat(usize::try_from(random.below(max)).expect("small"));
    let (target, method, name) = (text(300), text(40), text(300));
    let record = |random: &mut Stream| Record {
        kind: i32::try_from(random.below(12)).expect("small"),
        id: random.below(5),
        target: if random.below(2) == 0 {
            "test/echo".into()
        } else {
            target.clone()
        },
        method: method.clone(),
        remaining_micros: random.bits() >> random.below(64),
        payload: vec![7; usize::try_from(random.below(200)).expect("small")].into(),
        waiting: (0..random.below(3))
            .map(|_| Waiting {
                node: vec![1; 16],
                component: "test/echo".into(),
                instance: 0,
            })
            .collect(),
        credit: u32::try_from(random.below(1 << 20)).expect("small"),
        item: random.below(4),
        ..Record::default()
    };
    let records = (0..random.below(4)).map(|_| record(random)).collect();
    let hello = (random.below(3) == 0).then(|| {
        Box::new(Hello {
            answer: random.below(2) == 0,
            application: ["", "inproc://nowhere", "tcp://127.0.0.1:1", "junk"]
                [usize::try_from(random.below(4)).expect("small")]
            .into(),
            cookie: random.below(4),
            name: name.clone(),
            ..Hello::default()
        })
    });
    encode(&Frame {
        version: VERSION,
        sender: vec![u8::try_from(random.below(256)).expect("small"); 16],
        sender_incarnation: random.below(4),
        receiver_incarnation: random.below(3),
        first_sequence: random.bits() >> random.below(65).min(63),
        received: random.bits() >> random.below(64),
        settled: random.bits() >> random.below(64),
        credit_records: random.bits() >> random.below(64),
        credit_bytes: random.bits() >> random.below(64),
        resend: random.below(2) == 0,
        link_epoch: random.below(3),
        names: vec![NameDefinition {
            number: 1,
            name: "n".into(),
        }],
        records,
        hello,
        ..Frame::default()
    })
}

/// Flips, cuts and repeats bytes.
fn mutate(random: &mut Stream, frame: &[u8]) -> Bytes {
    let mut bytes = frame.to_vec();
    for _ in 0..random.below(6) {
        if bytes.is_empty() {
            break;
        }
        let at = usize::try_from(random.below(bytes.len() as u64)).expect("an index");
        match random.below(3) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes.truncate(at),
            _ => bytes.insert(at, u8::try_from(random.below(256)).expect("a byte")),
        }
    }
    bytes.into()
}

fn control(random: &mut Stream) -> Bytes {
    let verb = request::Verb::Ping(Ping {});
    encode(&ControlFrame {
        version: VERSION,
        sender: vec![9; 16],
        sender_incarnation: random.below(2),
        request_id: random.bits(),
        body: Some(control_frame::Body::Request(Request { verb: Some(verb) })),
        ..ControlFrame::default()
    })
}

/// A mutated ping may well be an order to end, which would be obeyed.
fn ends_the_node(command: &Bytes) -> bool {
    let frame = decode_control(command, &Bounds::default()).ok();
    let body = frame.and_then(|frame| frame.body);
    let Some(control_frame::Body::Request(request)) = body else {
        return false;
    };
    matches!(
        request.verb,
        Some(request::Verb::Drain(_) | request::Verb::Stop(_))
    )
}

fn probe(random: &mut Stream) -> Bytes {
    encode(&Datagram {
        version: VERSION,
        sender: vec![9; 16],
        sender_incarnation: 1,
        body: Some(datagram::Body::Probe(Probe {
            nonce: random.bits(),
        })),
        ..Datagram::default()
    })
}

fn echo() -> NodeSpec {
    let echo = component("echo", || {
        |_, message| Ok(Reply::Payload(message.payload().clone()))
    });
    NodeSpec::new("one", vec![echo])
}

#[test]
fn ten_thousand_mutated_frames_and_datagrams_disturb_nobody_in_the_simulated_world() {
    let mut net = SimNet::new(3);
    net.start(vec![echo()]);
    let world = net.world();
    let stranger = world
        .add_bare_node(monofil_inproc::NodeSpec::new("stranger"))
        .expect("a new name");
    let one = world.node("one").expect("it is there");
    let mut random = Stream::new(3, "strangers");
    let datagrams = world.io(one).local().datagram.expect("it takes datagrams");
    let connections = Plane::ALL.map(|plane| {
        let local = world.io(one).local();
        let endpoint = local.plane(plane).expect("bound").clone();
        world
            .io(stranger)
            .connect(plane, &endpoint)
            .expect("connects")
    });
    for _ in 0..10_000 {
        let frame = nearly(&mut random);
        let frame = mutate(&mut random, &frame);
        let command = control(&mut random);
        let command = mutate(&mut random, &command);
        let datagram = probe(&mut random);
        let datagram = mutate(&mut random, &datagram);
        let mut io = world.io(stranger);
        let _ = io.send(&Route::Connection(connections[0]), frame);
        if !ends_the_node(&command) {
            let _ = io.send(&Route::Connection(connections[1]), command);
        }
        let _ = io.send_datagram(datagrams, &datagram);
        io.receive(&mut monofil_transport::Inbox::new());
        world.run_for(Duration::from_millis(4));
    }
    let net: &mut dyn Net = &mut net;
    let answer = net.run(|cx| cx.call(text("echo", "Say", "still there")));
    assert_eq!(answer.expect("an answer").to_bytes(), "still there");
}

/// The resident memory of this process, in KiB.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1))
        .and_then(|kib| kib.parse().ok())
        .unwrap_or(0)
}

#[test]
fn ten_thousand_mutated_frames_and_raw_junk_over_tcp_are_counted_and_good_traffic_goes_on() {
    let mut net = ZmqNet::new(Scheme::Tcp);
    net.start(vec![echo()]);
    let local = net.local("one");
    let mut stranger =
        monofil_zmq::ZmqIo::bind(Default::default(), Default::default()).expect("a client");
    let connections = Plane::ALL.map(|plane| {
        stranger
            .connect(plane, local.plane(plane).expect("bound"))
            .expect("connects")
    });
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let mut random = Stream::new(4, "strangers");
    let mut before = 0;
    for round in 0..100 {
        for _ in 0..100 {
            let frame = nearly(&mut random);
            let frame = mutate(&mut random, &frame);
            let _ = stranger.send(&Route::Connection(connections[0]), frame);
            let command = control(&mut random);
            let command = mutate(&mut random, &command);
            if !ends_the_node(&command) {
                let _ = stranger.send(&Route::Connection(connections[1]), command);
            }
            let datagram = probe(&mut random);
            let datagram = mutate(&mut random, &datagram);
            let _ = udp.send_to(&datagram, local.datagram.expect("bound"));
        }
        raw_junk(&mut random, &local);
        let until = monofil_transport::Clock::now(&stranger) + Duration::from_millis(1);
        stranger.wait(Next::At(until));
        stranger.receive(&mut monofil_transport::Inbox::new());
        net.turn();
        if round % 20 == 0 {
            let dyn_net: &mut dyn Net = &mut net;
            let answer = dyn_net.run(|cx| cx.call(text("echo", "Say", "good")));
            assert_eq!(answer.expect("an answer").to_bytes(), "good");
        }
        if round == 50 {
            before = resident_kib();
        }
    }
    let grown = resident_kib().saturating_sub(before);
    assert!(
        grown < 32 << 10,
        "{grown} KiB more for the second half of the junk"
    );
    let container = net.container("one");
    assert!(container.malformed() > 1000, "{}", container.malformed());
    assert!(container.counter(Counter::FramesReceived) > 1000);
}

/// What does not even speak ZeroMQ.
fn raw_junk(random: &mut Stream, local: &monofil_transport::LocalEndpoints) {
    for plane in Plane::ALL {
        let address = local.plane(plane).expect("bound").address().to_owned();
        if let Ok(mut socket) = TcpStream::connect(address) {
            let mut junk = [0; 256];
            random.fill(&mut junk);
            let _ = socket.write_all(&junk);
        }
    }
}
