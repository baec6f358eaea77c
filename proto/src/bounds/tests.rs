use proptest::prelude::*;

use super::*;
use crate::wire::{Frame, Hello, Kind, NameDefinition, Record};

fn frame() -> Frame {
    Frame {
        version: VERSION,
        sender: vec![7; 16],
        sender_incarnation: 1,
        first_sequence: 1,
        names: vec![NameDefinition {
            number: 1,
            name: "shop/orders".into(),
        }],
        records: vec![Record {
            kind: Kind::Call as i32,
            id: 9,
            target: "shop/orders".into(),
            method: "shop.Orders/Place".into(),
            payload: Bytes::from_static(b"payload"),
            ..Record::default()
        }],
        hello: Some(Box::new(Hello {
            answer: true,
            ..Hello::default()
        })),
        ..Frame::default()
    }
}

fn reason(frame: &Frame) -> Option<Reason> {
    decode_frame(&encode(frame), &Bounds::DEFAULT)
        .err()
        .map(|error| error.reason)
}

#[test]
fn a_good_frame_comes_back_the_same() {
    assert_eq!(
        decode_frame(&encode(&frame()), &Bounds::DEFAULT),
        Ok(frame())
    );
}

/// Breaks a frame; is given a name that is too long.
type Break = fn(&mut Frame, &str);

#[test]
fn each_bound_is_refused_by_its_reason() {
    let long = "n".repeat(257);
    let table: [(&str, Reason, Break); 9] = [
        ("records", Reason::TooMany, |f, _| {
            f.records = vec![Record::default(); 4097]
        }),
        ("names", Reason::TooMany, |f, _| {
            f.names = vec![NameDefinition::default(); 1025]
        }),
        ("name", Reason::NameTooLong, |f, long| {
            f.names[0].name = long.into()
        }),
        ("target", Reason::NameTooLong, |f, long| {
            f.records[0].target = long.into()
        }),
        ("waiting", Reason::TooMany, |f, _| {
            f.records[0].waiting = vec![Default::default(); 65]
        }),
        ("networks", Reason::TooMany, |f, _| {
            f.records[0].visited_networks = vec![String::new(); 33];
        }),
        ("version", Reason::Version, |f, _| f.version = 2),
        ("sender", Reason::Sender, |f, _| f.sender = vec![1; 15]),
        ("incarnation", Reason::Sender, |f, _| {
            f.sender_incarnation = 0
        }),
    ];
    for (name, expected, change) in table {
        let mut frame = frame();
        change(&mut frame, &long);
        assert_eq!(reason(&frame), Some(expected), "{name}");
    }
}

#[test]
fn a_frame_that_is_too_long_is_not_even_walked() {
    let bounds = Bounds {
        frame_bytes: 10,
        ..Bounds::DEFAULT
    };
    let error = decode_frame(&encode(&frame()), &bounds).expect_err("11 bytes or more");
    assert_eq!(error.reason, Reason::TooLong);
}

#[test]
fn a_million_empty_records_are_refused_before_they_are_built() {
    let mut bytes = encode(&Frame {
        records: vec![],
        ..frame()
    })
    .to_vec();
    for _ in 0..1_000_000 {
        bytes.extend([15 << 3 | 2, 0]);
    }
    let error = decode_frame(&bytes.into(), &Bounds::DEFAULT).expect_err("too many");
    assert_eq!(error.reason, Reason::TooMany);
}

#[test]
fn fields_of_a_later_release_are_skipped() {
    let mut bytes = encode(&frame()).to_vec();
    // Field 100, varint; field 101, bytes.
    bytes.extend([0xa0, 0x06, 0x05, 0xaa, 0x06, 0x02, b'h', b'i']);
    assert_eq!(decode_frame(&bytes.into(), &Bounds::DEFAULT), Ok(frame()));
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let bytes = Bytes::from(bytes);
        let _ = decode_frame(&bytes, &Bounds::DEFAULT);
        let _ = decode_control(&bytes, &Bounds::DEFAULT);
        let _ = decode_datagram(&bytes, &Bounds::DEFAULT);
    }

    #[test]
    fn a_mutated_frame_never_panics(at in 0_usize..200, value: u8, cut in 0_usize..200) {
        let mut bytes = encode(&frame()).to_vec();
        let at = at % bytes.len();
        bytes[at] = value;
        bytes.truncate(bytes.len().saturating_sub(cut / 4));
        let _ = decode_frame(&bytes.into(), &Bounds::DEFAULT);
    }
}
