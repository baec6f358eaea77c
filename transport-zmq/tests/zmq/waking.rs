//! No arrival is overlooked.

use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use monofil_transport::{
    Clock, Driver, Endpoint, Event, Inbox, Next, Plane, Route, SendError, Transport,
};
use monofil_zmq::ZmqIo;

use crate::support::{PATIENCE, client, counter, node, quick};

/// Sends bursts of different lengths, awaits the echo of each whole burst, and starts over.
fn call(mut io: ZmqIo, endpoint: &Endpoint, until: Instant) -> ZmqIo {
    let connection = io
        .connect(Plane::Application, endpoint)
        .expect("an endpoint");
    let route = Route::Connection(connection);
    let mut inbox = Inbox::new();
    let mut length = 1_usize;
    while Instant::now() < until {
        length = length * 7 % 61 + 1;
        let (mut sent, mut back) = (0, 0);
        let started = Instant::now();
        while back < length {
            assert!(
                started.elapsed() < PATIENCE,
                "{back} of {length} echoes came"
            );
            while sent < length {
                match io.send(&route, Bytes::from(vec![7; 1 + sent * 50])) {
                    Ok(()) => sent += 1,
                    Err(SendError::Full(_)) => break,
                    Err(error) => panic!("{error}"),
                }
            }
            io.wait(Next::Idle);
            io.receive(&mut inbox);
            while let Some(event) = inbox.pop() {
                back += usize::from(matches!(event, Event::Frame { .. }));
            }
        }
    }
    io
}

/// Sends everything back, keeping what a return path refuses for the next turn.
fn echo(io: &mut ZmqIo, until: Instant) {
    let mut inbox = Inbox::new();
    let mut waiting = std::collections::VecDeque::new();
    while Instant::now() < until {
        let soon = io.now() + Duration::from_millis(50);
        io.wait(Next::At(soon));
        io.receive(&mut inbox);
        while let Some(event) = inbox.pop() {
            if let Event::Frame { from, frame, .. } = event {
                waiting.push_back((from, frame));
            }
        }
        for _ in 0..waiting.len() {
            let (to, frame) = waiting.pop_front().expect("counted");
            match io.send(&to, frame) {
                Ok(()) | Err(SendError::Gone(_)) => {}
                Err(error) => waiting.push_back((to, error.into_frame())),
            }
        }
    }
}

#[test]
fn the_sweep_never_finds_anything_under_load() {
    let mut server = node(quick());
    let endpoint = server.local().application.expect("bound");
    let until = Instant::now() + Duration::from_millis(2500);
    let callers: Vec<_> = (0..3)
        .map(|_| {
            let (io, endpoint) = (client(quick()), endpoint.clone());
            thread::spawn(move || call(io, &endpoint, until))
        })
        .collect();
    echo(&mut server, until + Duration::from_millis(300));
    for caller in callers {
        let io = caller.join().expect("it got its echoes");
        assert_eq!(counter(&io, "wakeups_rescued"), 0);
    }
    assert_eq!(counter(&server, "wakeups_rescued"), 0);
    assert!(counter(&server, "frames_received") > 1000);
}

#[test]
fn a_sleeping_node_is_woken_by_whatever_comes_first() {
    let mut sleeper = node(quick());
    let endpoint = sleeper.local().control.expect("bound");
    let mut peer = client(quick());
    let connection = peer
        .connect(Plane::Control, &endpoint)
        .expect("an endpoint");
    let asleep = thread::spawn(move || {
        let mut inbox = Inbox::new();
        loop {
            sleeper.wait(Next::Idle);
            sleeper.receive(&mut inbox);
            while let Some(event) = inbox.pop() {
                if matches!(event, Event::Frame { .. }) {
                    return;
                }
            }
        }
    });
    peer.send(&Route::Connection(connection), "wake up".into())
        .expect("there is room");
    let deadline = Instant::now() + PATIENCE;
    while !asleep.is_finished() {
        assert!(Instant::now() < deadline, "it went on sleeping");
        let soon = peer.now() + Duration::from_millis(1);
        peer.wait(Next::At(soon));
    }
    asleep.join().expect("it woke");
}

#[test]
fn an_alarm_ends_a_wait_that_nothing_else_would() {
    let mut io = client(quick());
    let alarm = io.alarm();
    for _ in 0..100 {
        let alarm = alarm.clone();
        let rings = thread::spawn(move || alarm.ring());
        io.wait(Next::Idle);
        rings.join().expect("it rings");
    }
}

#[test]
fn an_alarm_before_a_wait_is_not_used_up_by_a_look() {
    let mut io = client(quick());
    io.alarm().ring();
    io.wait(Next::Now);
    io.receive(&mut Inbox::new());
    io.wait(Next::Idle);
}
