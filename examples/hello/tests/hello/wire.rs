//! `docs/wire.md` shows bytes; these are them.

use std::time::Instant;

use monofil_proto::wire::{Frame, Kind};
use monofil_proto::{Bounds, decode_frame};
use monofil_tests::PATIENCE;
use monofil_transport::{Clock, Driver, Event, Inbox, Next, Plane, Route, Transport};
use monofil_zmq::{Listen, Options, ZmqIo};

use crate::program::node;

const PAGE: &str = include_str!("../../../../docs/wire.md");

/// Reads the bytes that the page shows after a mark.
fn shown(mark: &str) -> Vec<u8> {
    let (_, rest) = PAGE
        .split_once(&format!("<!-- {mark} -->\n```text\n"))
        .expect("the mark");
    let (block, _) = rest.split_once("```").expect("the end of the block");
    let is_byte = |word: &&str| word.len() == 2 && u8::from_str_radix(word, 16).is_ok();
    block
        .lines()
        .flat_map(|line| line.split_whitespace().take_while(is_byte))
        .map(|word| u8::from_str_radix(word, 16).expect("it was looked at"))
        .collect()
}

fn decoded(bytes: Vec<u8>) -> Frame {
    decode_frame(&bytes.into(), &Bounds::DEFAULT).expect("a frame")
}

/// Sends bytes as they are and returns the frame that comes back.
fn exchange(endpoint: &str, bytes: Vec<u8>) -> Frame {
    let mut io = ZmqIo::bind(Options::default(), Listen::default()).expect("a socket");
    let endpoint = endpoint.parse().expect("an endpoint");
    let connection = io
        .connect(Plane::Application, &endpoint)
        .expect("a connection");
    io.send(&Route::Connection(connection), bytes.into())
        .expect("room for one frame");
    let mut inbox = Inbox::new();
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        io.receive(&mut inbox);
        while let Some(event) = inbox.pop() {
            if let Event::Frame { frame, .. } = event {
                return decoded(frame.to_vec());
            }
        }
        let until = io.now() + PATIENCE.saturating_sub(start.elapsed());
        io.wait(Next::At(until));
    }
    panic!("nothing came back");
}

#[test]
fn the_call_on_the_page_gets_the_reply_on_the_page() {
    let (_node, endpoint) = node();
    let mut reply = exchange(&endpoint, shown("call"));
    let expected = decoded(shown("reply"));
    assert_eq!(expected.records[0].kind, i32::from(Kind::Reply));
    assert_ne!(reply.sender, expected.sender, "not the node of the page");
    reply.sender = expected.sender.clone();
    reply.sender_incarnation = expected.sender_incarnation;
    reply.link_epoch = expected.link_epoch;
    assert_eq!(reply, expected);
}
