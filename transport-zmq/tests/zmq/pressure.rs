//! Full buffers and unknown destinations.

use bytes::Bytes;
use monofil_transport::{ConnectError, Event, Plane, Route, SendError, Transport};
use monofil_zmq::Options;

use crate::support::{Nobody, client, counter, drive, node, quick};

#[test]
fn a_full_connection_hands_back_the_very_frame() {
    let mut peer = client(quick());
    let nobody = Nobody::new();
    let connection = peer
        .connect(Plane::Application, &nobody.endpoint())
        .expect("an endpoint");
    let route = Route::Connection(connection);
    let frame = Bytes::from(vec![3; 100_000]);
    let mut taken = 0;
    let back = loop {
        match peer.send(&route, frame.clone()) {
            Ok(()) => taken += 1,
            Err(SendError::Full(back)) => break back,
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(back.as_ptr(), frame.as_ptr());
    assert_eq!(taken, Options::default().frames_buffered_max);
    assert_eq!(counter(&peer, "frames_refused_full"), 1);
    peer.disconnect(connection);
    assert!(matches!(
        peer.send(&route, frame.clone()),
        Err(SendError::Gone(_))
    ));
}

#[test]
fn what_a_full_connection_took_arrives_and_then_it_is_writable() {
    let mut server = node(quick());
    let mut peer = client(quick());
    let endpoint = server.local().application.expect("bound");
    let connection = peer
        .connect(Plane::Application, &endpoint)
        .expect("an endpoint");
    let route = Route::Connection(connection);
    let mut sent = 0_u32;
    while peer
        .send(&route, Bytes::copy_from_slice(&sent.to_le_bytes()))
        .is_ok()
    {
        sent += 1;
    }
    let (mut next, mut writable) = (0_u32, false);
    drive(&mut [&mut server, &mut peer], |_, event| {
        match event {
            Event::Frame { frame, .. } => {
                assert_eq!(frame[..], next.to_le_bytes());
                next += 1;
            }
            Event::Writable(which) => writable |= which == connection,
            _ => {}
        }
        next == sent && writable
    });
}

#[test]
fn a_return_path_to_a_peer_that_left_is_gone() {
    let mut server = node(quick());
    let mut peer = client(quick());
    let endpoint = server.local().control.expect("bound");
    let connection = peer
        .connect(Plane::Control, &endpoint)
        .expect("an endpoint");
    peer.send(&Route::Connection(connection), "hello".into())
        .expect("there is room");
    let mut back = None;
    drive(&mut [&mut server, &mut peer], |_, event| {
        if let Event::Frame { from, .. } = event {
            back = Some(from);
        }
        back.is_some()
    });
    let back = back.expect("it said hello");
    server.send(&back, "welcome".into()).expect("it is there");
    drop(peer);
    drive_until_gone(&mut server, &back);
    assert!(matches!(
        server.send(
            &Route::Return(Plane::Application, path_of(&back)),
            "x".into()
        ),
        Err(SendError::Gone(_))
    ));
}

fn path_of(route: &Route) -> monofil_transport::ReturnPath {
    match route {
        Route::Return(_, path) => path.clone(),
        Route::Connection(_) => panic!("it came along a connection"),
    }
}

fn drive_until_gone(server: &mut monofil_zmq::ZmqIo, back: &Route) {
    crate::support::drive_until(&mut [server], |nodes| {
        match nodes[0].send(back, "still there?".into()) {
            Err(SendError::Gone(frame)) => {
                assert_eq!(frame, "still there?");
                true
            }
            Ok(()) | Err(SendError::Full(_)) => false,
            Err(error) => panic!("{error}"),
        }
    });
}

#[test]
fn endpoints_that_can_never_work_are_refused() {
    let mut peer = client(Options {
        connections_max: 1,
        ..quick()
    });
    let mut connect = |text: &str| {
        let endpoint = text.parse().expect("an endpoint");
        peer.connect(Plane::Application, &endpoint)
    };
    assert!(matches!(
        connect("inproc://orders"),
        Err(ConnectError::Unsupported(_))
    ));
    for text in ["tcp://127.0.0.1:0", "tcp://127.0.0.1:*", "tcp://bad host:1"] {
        assert!(
            matches!(connect(text), Err(ConnectError::Refused { .. })),
            "{text}"
        );
    }
    assert!(
        connect("tcp://no.such.host.example:7700").is_ok(),
        "it may have an address later"
    );
    let error = connect("tcp://127.0.0.1:7700").expect_err("one is open");
    assert!(error.to_string().contains("connections_max"), "{error}");
}

#[test]
fn connections_come_and_go_without_a_trace() {
    let mut server = node(quick());
    let endpoint = server.local().application.expect("bound");
    let nobody = Nobody::new();
    let mut peer = client(quick());
    for round in 0..150_u32 {
        let to = if round % 3 == 0 {
            nobody.endpoint()
        } else {
            endpoint.clone()
        };
        let connection = peer.connect(Plane::Application, &to).expect("an endpoint");
        let route = Route::Connection(connection);
        peer.send(&route, Bytes::copy_from_slice(&round.to_le_bytes()))
            .expect("there is room");
        if round % 3 != 0 && round % 5 == 1 {
            drive(&mut [&mut server, &mut peer], |_, event| match event {
                Event::Frame { frame, .. } => frame[..] == round.to_le_bytes(),
                _ => false,
            });
        }
        peer.disconnect(connection);
        assert!(matches!(
            peer.send(&route, Bytes::new()),
            Err(SendError::Gone(_))
        ));
    }
    assert!(format!("{peer:?}").contains("connections: 0"), "{peer:?}");
}
