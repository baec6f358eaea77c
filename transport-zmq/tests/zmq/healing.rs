//! Connections come back, whatever ended them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use monofil_transport::{ConnectionId, Endpoint, Event, Plane, Route, Transport};
use monofil_zmq::{Listen, Options, ZmqIo};

use crate::support::{client, counter, drive, drive_until, node, quick};

fn listening_at(address: SocketAddr) -> ZmqIo {
    let listen = Listen {
        application: Some(endpoint(address)),
        ..Listen::default()
    };
    ZmqIo::bind(quick(), listen).expect("the port is free again")
}

fn endpoint(address: SocketAddr) -> Endpoint {
    format!("tcp://{address}").parse().expect("an endpoint")
}

fn await_connected(nodes: &mut [&mut ZmqIo], connection: ConnectionId) {
    drive(
        nodes,
        |_, event| matches!(event, Event::PeerConnected(up) if up == connection),
    );
}

fn await_gone(nodes: &mut [&mut ZmqIo], connection: ConnectionId) {
    drive(
        nodes,
        |_, event| matches!(event, Event::PeerGone(gone) if gone == connection),
    );
}

fn deliver(from: &mut ZmqIo, to: &mut ZmqIo, connection: ConnectionId, text: &'static str) {
    from.send(&Route::Connection(connection), text.into())
        .expect("there is room");
    drive(
        &mut [from, to],
        |_, event| matches!(event, Event::Frame { frame, .. } if frame == text),
    );
}

#[test]
fn a_peer_that_restarts_again_and_again_is_met_each_time() {
    let mut server = node(quick());
    let at: SocketAddr = server
        .local()
        .application
        .expect("bound")
        .address()
        .parse()
        .expect("an address");
    let mut peer = client(quick());
    let connection = peer
        .connect(Plane::Application, &endpoint(at))
        .expect("an endpoint");
    await_connected(&mut [&mut server, &mut peer], connection);
    for text in ["one", "two", "three", "four"] {
        deliver(&mut peer, &mut server, connection, text);
        drop(server);
        await_gone(&mut [&mut peer], connection);
        server = listening_at(at);
        await_connected(&mut [&mut server, &mut peer], connection);
    }
    assert_eq!(
        counter(&peer, "connections_renewed"),
        0,
        "libzmq does this by itself"
    );
}

/// Lets `serve` have each connection to a port, until it is told to stop.
struct Impostor {
    at: SocketAddr,
    ended: Arc<AtomicBool>,
    met: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Impostor {
    fn start(serve: fn(TcpStream)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let at = listener.local_addr().expect("bound");
        let ended = Arc::new(AtomicBool::new(false));
        let met = Arc::new(AtomicBool::new(false));
        let (end, meet) = (Arc::clone(&ended), Arc::clone(&met));
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if end.load(Ordering::Relaxed) {
                    return;
                }
                if let Ok(stream) = stream {
                    meet.store(true, Ordering::Relaxed);
                    serve(stream);
                }
            }
        });
        Self {
            at,
            ended,
            met,
            thread: Some(thread),
        }
    }

    /// Frees the port.
    fn stop(mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // Wakes it.
        let _ = TcpStream::connect(self.at);
        self.thread
            .take()
            .expect("it runs")
            .join()
            .expect("it ended");
    }
}

fn a_connection_survives(impostor: Impostor) {
    let at = impostor.at;
    let mut peer = client(quick());
    let connection = peer
        .connect(Plane::Application, &endpoint(at))
        .expect("an endpoint");
    drive_until(&mut [&mut peer], |nodes| {
        impostor.met.load(Ordering::Relaxed) && counter(nodes[0], "connections_renewed") >= 1
    });
    impostor.stop();
    let mut server = listening_at(at);
    await_connected(&mut [&mut server, &mut peer], connection);
    deliver(&mut peer, &mut server, connection, "at last");
}

#[test]
fn a_connection_to_a_peer_with_another_mechanism_heals() {
    a_connection_survives(Impostor::start(|mut stream| {
        let mut greeting = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 1];
        greeting.extend(b"PLAIN");
        greeting.resize(64, 0);
        // It is hung up on.
        let _ = stream.write_all(&greeting);
        let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
        let _ = stream.read_to_end(&mut Vec::new());
    }));
}

#[test]
fn a_connection_to_a_server_of_another_protocol_heals() {
    a_connection_survives(Impostor::start(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        let _ = stream.set_read_timeout(Some(Duration::from_secs(3)));
        let _ = stream.read_to_end(&mut Vec::new());
    }));
}

#[test]
fn a_connection_to_a_socket_of_the_wrong_kind_heals() {
    let context = zmq::Context::new();
    let wrong = context.socket(zmq::PUB).expect("a socket");
    wrong.bind("tcp://127.0.0.1:*").expect("a free port");
    let text = wrong.get_last_endpoint().expect("bound").expect("a text");
    let at: SocketAddr = text
        .trim_start_matches("tcp://")
        .parse()
        .expect("an address");
    let mut peer = client(quick());
    let connection = peer
        .connect(Plane::Application, &endpoint(at))
        .expect("an endpoint");
    drive_until(&mut [&mut peer], |nodes| {
        counter(nodes[0], "connections_renewed") >= 1
    });
    drop(wrong);
    // Waits until the port is free.
    drop(context);
    let mut server = listening_at(at);
    await_connected(&mut [&mut server, &mut peer], connection);
    deliver(&mut peer, &mut server, connection, "at last");
}

#[test]
fn a_connection_whose_peer_sent_a_frame_over_the_limit_heals() {
    let mut server = node(quick());
    let options = Options {
        frame_bytes_max: 2000,
        ..quick()
    };
    let mut peer = client(options);
    let at = server.local().application.expect("bound");
    let connection = peer.connect(Plane::Application, &at).expect("an endpoint");
    peer.send(&Route::Connection(connection), "ask".into())
        .expect("there is room");
    let mut answer_to = None;
    drive(&mut [&mut server, &mut peer], |_, event| {
        if let Event::Frame { from, .. } = event {
            answer_to = Some(from);
        }
        answer_to.is_some()
    });
    let answer_to = answer_to.expect("it asked");
    server
        .send(&answer_to, vec![0; 2001].into())
        .expect("there is room");
    await_gone(&mut [&mut server, &mut peer], connection);
    await_connected(&mut [&mut server, &mut peer], connection);
    assert_eq!(counter(&peer, "connections_renewed"), 1);
    deliver(&mut peer, &mut server, connection, "again");
}

/// Passes bytes between its connections and one address until it is frozen.
fn relay(to: SocketAddr, frozen: &Arc<AtomicBool>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let at = listener.local_addr().expect("bound");
    let frozen = Arc::clone(frozen);
    let pump = |mut from: TcpStream, mut to: TcpStream, frozen: Arc<AtomicBool>| {
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(len @ 1..) = from.read(&mut buffer) {
                while frozen.load(Ordering::Relaxed) {
                    thread::park_timeout(Duration::from_millis(5));
                }
                if to.write_all(&buffer[..len]).is_err() {
                    return;
                }
            }
        })
    };
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(near), Ok(far)) = (stream, TcpStream::connect(to)) else {
                continue;
            };
            let (Ok(near2), Ok(far2)) = (near.try_clone(), far.try_clone()) else {
                continue;
            };
            pump(near, far, Arc::clone(&frozen));
            pump(far2, near2, Arc::clone(&frozen));
        }
    });
    at
}

#[test]
fn a_peer_that_falls_silent_is_gone_and_met_again() {
    let mut server = node(quick());
    let address = server
        .local()
        .application
        .expect("bound")
        .address()
        .parse()
        .expect("an address");
    let frozen = Arc::new(AtomicBool::new(false));
    let at = relay(address, &frozen);
    let mut peer = client(quick());
    let connection = peer
        .connect(Plane::Application, &endpoint(at))
        .expect("an endpoint");
    await_connected(&mut [&mut server, &mut peer], connection);
    frozen.store(true, Ordering::Relaxed);
    await_gone(&mut [&mut server, &mut peer], connection);
    frozen.store(false, Ordering::Relaxed);
    await_connected(&mut [&mut server, &mut peer], connection);
    deliver(&mut peer, &mut server, connection, "again");
}
