//! A handler that holds the thread is seen, and spoken for.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use monofil_transport::{Event, Running, Transport, Watch, WatchAnswer};
use monofil_zmq::Options;

use crate::support::{PATIENCE, counter, drive, node, quick};

/// Answers `probe`, and nothing else.
struct Busy;

impl WatchAnswer for Busy {
    fn busy(
        &mut self,
        _from: SocketAddr,
        datagram: &[u8],
        running: &Running,
        since: Duration,
    ) -> Option<Vec<u8>> {
        (datagram == b"probe").then(|| {
            assert!(since >= Duration::from_millis(40));
            format!("busy with {running}").into_bytes()
        })
    }
}

#[test]
fn a_spinning_handler_is_counted_and_its_node_answers_probes() {
    let options = Options {
        stall_threshold: Duration::from_millis(40),
        ..quick()
    };
    let mut server = node(options);
    server.install_answer(Box::new(Busy));
    let at = server.local().datagram.expect("bound");
    let prober = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    prober.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let progress = server.progress();
    let spin = progress.register("pricing/Recompute");
    let quick_one = progress.register("pricing/Quote");

    progress.enter(quick_one);
    progress.leave();
    progress.enter(spin);
    prober.send_to(b"gossip", at).expect("sent");
    prober.send_to(b"probe", at).expect("sent");
    let mut answer = [0; 100];
    // The node does nothing at all until the answer is there.
    let (len, from) = prober.recv_from(&mut answer).expect("an answer");
    assert_eq!(&answer[..len], b"busy with pricing/Recompute");
    assert_eq!(from, at);
    assert_eq!(server.stalls(), [("pricing/Recompute".into(), 1)]);
    progress.leave();

    drive(&mut [&mut server], |_, event| match event {
        Event::Datagram { payload, .. } => {
            assert_eq!(payload, "gossip", "the probe was answered already");
            true
        }
        _ => false,
    });
    assert_eq!(counter(&server, "probes_answered"), 1);

    progress.enter(spin);
    let deadline = Instant::now() + PATIENCE;
    while server.stalls() != [("pricing/Recompute".into(), 2)] {
        assert!(
            Instant::now() < deadline,
            "the second stall was not counted"
        );
        std::thread::yield_now();
    }
    progress.leave();
}

#[test]
fn many_short_handlers_are_no_stall() {
    let options = Options {
        stall_threshold: Duration::from_millis(40),
        ..quick()
    };
    let server = node(options);
    let progress = server.progress();
    let short = progress.register("pricing/Quote");
    let end = Instant::now() + Duration::from_millis(200);
    while Instant::now() < end {
        progress.enter(short);
        progress.leave();
    }
    assert_eq!(server.stalls(), []);
}
