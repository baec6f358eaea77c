//! Whoever connects to a node's ports may send anything.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use monofil_transport::{Datagrams, Event, Plane, Route, Transport};
use monofil_zmq::{Listen, Options, ZmqIo};

use crate::support::{client, counter, drive, drive_until, node, quick, tcp};

/// A greeting of ZMTP 3.1 with the NULL mechanism, as a server or client sends it.
fn greeting() -> Vec<u8> {
    let mut bytes = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 1];
    bytes.extend(b"NULL");
    bytes.resize(64, 0);
    bytes
}

/// A connection that introduces itself as a DEALER and goes on with `rest`.
fn introduced(rest: &[u8]) -> Vec<u8> {
    let mut bytes = greeting();
    let body = b"\x05READY\x0bSocket-Type\0\0\0\x06DEALER";
    bytes.extend([4, body.len() as u8]);
    bytes.extend(body);
    bytes.extend(rest);
    bytes
}

/// What strangers and broken peers write.
fn junk() -> Vec<Vec<u8>> {
    let mut kinds = vec![
        b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n".to_vec(),
        vec![0; 4096],
        vec![0xff; 4096],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        greeting(),
        greeting()[..30].to_vec(),
        // A mechanism that nobody has.
        [&greeting()[..12], b"GUESS", &[0; 47]].concat(),
        // A frame as long as there can be, of which nothing follows.
        introduced(&[2, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        // A command that is none.
        introduced(&[4, 3, 0xff, 0xff, 0xff]),
        // A command shorter than its own name.
        introduced(&[4, 1, 200]),
    ];
    // Pseudo-random bytes, the same each time.
    let mut state = 0x9e37_79b9_u32;
    kinds.extend((0..20).map(|_| {
        (0..257)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                state as u8
            })
            .collect()
    }));
    kinds
}

fn port_of(node: &ZmqIo, plane: Plane) -> String {
    let local = node.local();
    let endpoint = local.plane(plane).expect("it listens");
    endpoint.address().to_owned()
}

#[test]
fn junk_at_every_port_harms_nobody_and_is_counted() {
    let mut server = node(quick());
    let mut peer = client(quick());
    let mut connections = Vec::new();
    for plane in Plane::ALL {
        let endpoint = server.local().plane(plane).expect("bound").clone();
        connections.push((plane, peer.connect(plane, &endpoint).expect("an endpoint")));
    }
    let mut strangers = Vec::new();
    for plane in Plane::ALL {
        for bytes in junk() {
            let mut stranger = TcpStream::connect(port_of(&server, plane)).expect("it accepts");
            stranger.write_all(&bytes).expect("it reads or buffers");
            strangers.push(stranger);
        }
    }
    let datagrams = server.local().datagram.expect("bound");
    let stranger = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    stranger.send_to(&[7; 5000], datagrams).expect("sent");
    stranger.send_to(b"", datagrams).expect("sent");

    for round in 0_u8..50 {
        for (plane, connection) in &connections {
            let frame = vec![round; 100];
            let route = Route::Connection(*connection);
            peer.send(&route, frame.clone().into())
                .expect("there is room");
            drive(&mut [&mut server, &mut peer], |_, event| match event {
                Event::Frame {
                    plane: on,
                    frame: got,
                    ..
                } if on == *plane && got.len() == 100 => {
                    assert_eq!(got, frame);
                    true
                }
                _ => false,
            });
        }
    }
    drive_until(&mut [&mut server, &mut peer], |nodes| {
        counter(nodes[0], "handshakes_failed") >= 10
            && counter(nodes[0], "datagrams_dropped_oversize") == 1
            && counter(nodes[0], "connections_accepted") >= strangers.len() as u64
    });
    assert_eq!(counter(&peer, "connections_lost"), 0);
}

#[test]
fn messages_of_several_parts_are_dropped_and_counted() {
    let mut server = node(quick());
    let endpoint = server.local().application.expect("bound");
    let stranger = zmq::Context::new().socket(zmq::DEALER).expect("a socket");
    stranger.connect(endpoint.as_str()).expect("an endpoint");
    stranger
        .send_multipart([&b"a"[..], b"b", b"c"], 0)
        .expect("sent");
    stranger
        .send_multipart([&b""[..], b"looks like a request"], 0)
        .expect("sent");
    stranger.send("good", 0).expect("sent");
    drive(&mut [&mut server], |_, event| match event {
        Event::Frame { frame, .. } => {
            assert_eq!(frame, "good");
            true
        }
        _ => false,
    });
    assert_eq!(counter(&server, "frames_dropped_multipart"), 2);
}

#[test]
fn a_sender_of_frames_over_the_limit_loses_its_connection() {
    let options = Options {
        frame_bytes_max: 10_000,
        ..quick()
    };
    let mut server = node(options);
    let endpoint = server.local().application.expect("bound");
    let mut peer = client(quick());
    let connection = peer
        .connect(Plane::Application, &endpoint)
        .expect("an endpoint");
    let route = Route::Connection(connection);
    peer.send(&route, vec![0; 10_001].into())
        .expect("its own limit is higher");
    drive(&mut [&mut server, &mut peer], |who, event| match event {
        Event::Frame { .. } => panic!("the frame was delivered"),
        Event::PeerGone(gone) => {
            assert_eq!((who, gone), (1, connection));
            true
        }
        _ => false,
    });
    peer.send(&route, vec![0; 10_000].into())
        .expect("there is room");
    drive(
        &mut [&mut server, &mut peer],
        |_, event| matches!(event, Event::Frame { frame, .. } if frame.len() == 10_000),
    );
}

#[test]
fn datagrams_to_nobody_disturb_nothing() {
    let mut server = node(quick());
    let datagrams = server.local().datagram.expect("bound");
    let nobody = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let nobody_at = nobody.local_addr().expect("bound");
    drop(nobody);
    for _ in 0..20 {
        // The kernel may answer the second with the first one's ICMP error.
        let _ = server.send_datagram(nobody_at, b"hello?");
    }
    server.send_datagram(datagrams, b"myself").expect("sent");
    drive(
        &mut [&mut server],
        |_, event| matches!(event, Event::Datagram { payload, .. } if payload == "myself"),
    );
}

#[test]
fn a_port_that_is_taken_is_refused() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound");
    let listen = Listen {
        application: Some(format!("tcp://{address}").parse().expect("an endpoint")),
        ..tcp()
    };
    let error = ZmqIo::bind(quick(), listen).expect_err("the port is taken");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

#[test]
fn a_wildcard_is_never_advertised() {
    let listen = Listen {
        application: Some("tcp://0.0.0.0:0".parse().expect("an endpoint")),
        control: Some("tcp://*:*".parse().expect("an endpoint")),
        datagram: Some("0.0.0.0:0".parse().expect("an address")),
        advertise: Some("127.0.0.1".to_owned()),
    };
    let node = ZmqIo::bind(quick(), listen.clone()).expect("free ports");
    let local = node.local();
    for plane in Plane::ALL {
        let endpoint = local.plane(plane).expect("bound");
        assert!(
            endpoint.as_str().starts_with("tcp://127.0.0.1:"),
            "{endpoint}"
        );
        assert!(!endpoint.as_str().ends_with(":0"), "{endpoint}");
    }
    assert!(local.datagram.expect("bound").ip().is_loopback());

    match ZmqIo::bind(
        quick(),
        Listen {
            advertise: None,
            ..listen
        },
    ) {
        Ok(node) => {
            let endpoint = node.local().application.expect("bound");
            assert!(!endpoint.as_str().contains("0.0.0.0"), "{endpoint}");
        }
        Err(error) => assert!(error.to_string().contains("advertise"), "{error}"),
    }
}

#[test]
fn a_stranger_that_never_speaks_is_not_waited_for() {
    let mut server = node(quick());
    let mut stranger = TcpStream::connect(port_of(&server, Plane::Application)).expect("accepted");
    stranger
        .set_read_timeout(Some(Duration::from_secs(5)))
        .expect("a timeout");
    drive_until(&mut [&mut server], |nodes| {
        counter(nodes[0], "handshakes_failed") == 1
    });
    let mut rest = Vec::new();
    stranger.read_to_end(&mut rest).expect("it was closed");
}
