//! What a stranger's bytes can make a decoder allocate, counted by the allocator.
//!
//! Each decoder of this crate is here. The one other there is, that of membership packets, is held to a bound of its own
//! by `a_packet_takes_no_more_memory_than_it_may`, in the container.

mod counting;

use std::sync::LazyLock;

use bytes::Bytes;
use monofil_proto::control::{
    BreakerDescription, BreakerReport, Busy, ComponentDescription, ComponentEntry, ControlFrame,
    Datagram, Description, Directory, EjectedInstance, Entries, Entry, EntryVersion, Explanation,
    LimitDescription, Limits, MemberDescription, Membership, PeerDescription, PlaceExplanation,
    Request, Response, SubscriptionEntry, control_frame, datagram, request, response,
};
use monofil_proto::wire::{Frame, Hello, Outcome, Record, Waiting};
use monofil_proto::{Bounds, decode_control, decode_datagram, decode_frame, encode, read_frame};
use proptest::prelude::*;

use counting::most;

/// What a decoder may hold for so many bytes: a table of records that is full at 4096 and was doubled to get
/// there, and for the rest a string or a message for every few bytes.
const fn allowed(bytes: usize) -> usize {
    (4 << 20) + 64 * bytes
}

fn head() -> Frame {
    Frame {
        version: 1,
        sender: vec![1; 16],
        sender_incarnation: 1,
        ..Frame::default()
    }
}

/// Frames that take as much memory for as few bytes as may be.
fn greedy() -> Vec<(&'static str, Bytes)> {
    let records = |record: Record, count: usize| Frame {
        records: vec![record; count],
        ..head()
    };
    let outcome = Outcome {
        cycle: vec![String::new(); 64],
        ..Outcome::default()
    };
    let hello = Hello {
        components: vec![String::new(); 1024],
        ..Hello::default()
    };
    let frames = [
        ("records", records(Record::default(), 4096)),
        (
            "outcomes",
            records(
                Record {
                    outcome: Some(Box::new(outcome)),
                    ..Record::default()
                },
                4096,
            ),
        ),
        (
            "waiting",
            records(
                Record {
                    waiting: vec![Waiting::default(); 64],
                    ..Record::default()
                },
                4096,
            ),
        ),
        (
            "networks",
            records(
                Record {
                    visited_networks: vec![String::new(); 32],
                    ..Record::default()
                },
                4096,
            ),
        ),
        (
            "names",
            Frame {
                names: vec![Default::default(); 1024],
                ..head()
            },
        ),
        (
            "hello",
            Frame {
                hello: Some(Box::new(hello)),
                ..head()
            },
        ),
    ];
    frames.map(|(what, frame)| (what, encode(&frame))).into()
}

/// The same of the control plane: everything in it that may be there more than once.
fn greedy_control() -> Vec<(&'static str, Bytes)> {
    use response::Result as Answer;
    let answers = [
        ("entries", Answer::Entries(greedy_entries())),
        ("breakers", Answer::Breakers(greedy_breakers())),
        ("explanation", {
            Answer::Explanation(Explanation {
                places: vec![PlaceExplanation::default(); 1024],
                ..Explanation::default()
            })
        }),
        ("limits", {
            Answer::Limits(Limits {
                limits: vec![LimitDescription::default(); 4096],
                ..Limits::default()
            })
        }),
        ("description", Answer::Description(greedy_description())),
    ];
    let answers = answers.map(|(what, answer)| {
        let result = Some(answer);
        (what, control_frame::Body::Response(Response { result }))
    });
    let known = vec![EntryVersion::default(); 4096];
    let directory = Directory {
        known,
        ..Directory::default()
    };
    let verb = Some(request::Verb::Directory(directory));
    let directory = ("directory", control_frame::Body::Request(Request { verb }));
    let frame = |(what, body)| {
        let frame = ControlFrame {
            version: 1,
            sender: vec![1; 16],
            sender_incarnation: 1,
            body: Some(body),
            ..ControlFrame::default()
        };
        (what, encode(&frame))
    };
    answers.into_iter().chain([directory]).map(frame).collect()
}

fn greedy_entries() -> Entries {
    let subscriber = ComponentEntry {
        subscriptions: vec![SubscriptionEntry::default(); 4096],
        ..ComponentEntry::default()
    };
    let mut components = vec![ComponentEntry::default(); 1023];
    components.push(subscriber);
    let entry = Entry {
        components,
        leaving: vec![String::new(); 1024],
        ..Entry::default()
    };
    Entries {
        entries: vec![entry; 32],
        ..Entries::default()
    }
}

fn greedy_breakers() -> BreakerReport {
    let mut breakers = vec![BreakerDescription::default(); 1024];
    for breaker in &mut breakers[..16] {
        breaker.ejected = vec![EjectedInstance::default(); 1024];
    }
    BreakerReport {
        breakers,
        ..BreakerReport::default()
    }
}

fn greedy_description() -> Description {
    let (mut components, mut peers, mut members) = (
        vec![ComponentDescription::default(); 1024],
        vec![PeerDescription::default(); 1024],
        vec![MemberDescription::default(); 1024],
    );
    for index in 0..16 {
        components[index].methods = vec![String::new(); 4096];
        components[index].topics = vec![String::new(); 4096];
        peers[index].components = vec![String::new(); 1024];
        members[index].components = vec![String::new(); 1024];
    }
    let counters = (0..4096).map(|number: u64| (number.to_string(), number));
    Description {
        components,
        peers,
        members,
        counters: counters.collect(),
        ..Description::default()
    }
}

/// The same of datagrams, which are short: all of one is text that is copied.
fn greedy_datagrams() -> Vec<(&'static str, Bytes)> {
    let packet = vec![7; 1200];
    let busy = Busy {
        handler: "h".repeat(200),
        packet: packet.clone(),
        ..Busy::default()
    };
    let bodies = [
        (
            "membership",
            datagram::Body::Membership(Membership { packet }),
        ),
        ("busy", datagram::Body::Busy(busy)),
    ];
    let datagram = |(what, body)| {
        let datagram = Datagram {
            version: 1,
            sender: vec![1; 16],
            sender_incarnation: 1,
            body: Some(body),
            ..Datagram::default()
        };
        (what, encode(&datagram))
    };
    bodies.map(datagram).into()
}

/// Reads bytes and tells whether they were taken.
type Decoder = fn(&Bytes) -> bool;

/// A decoder, and what costs it most.
type Case = (Decoder, Vec<(&'static str, Bytes)>);

/// Each decoder there is.
fn cases() -> &'static [Case] {
    static CASES: LazyLock<[Case; 4]> = LazyLock::new(|| {
        [
            (|it| read_frame(it, &Bounds::DEFAULT).is_ok(), greedy()),
            (|it| decode_frame(it, &Bounds::DEFAULT).is_ok(), greedy()),
            (
                |it| decode_control(it, &Bounds::DEFAULT).is_ok(),
                greedy_control(),
            ),
            (
                |it| decode_datagram(it, &Bounds::DEFAULT).is_ok(),
                greedy_datagrams(),
            ),
        ]
    });
    &*CASES
}

/// Reads bytes, and returns whether they were taken and the most that was held.
fn read(decoder: Decoder, bytes: &Bytes) -> (bool, usize) {
    let mut taken = false;
    let held = most(|| taken = decoder(bytes));
    (taken, held)
}

#[test]
fn nothing_that_is_taken_takes_more_memory_than_it_may() {
    for (decoder, greedy) in cases() {
        for (what, bytes) in greedy {
            let (taken, held) = read(*decoder, bytes);
            println!("{what}: {} bytes are read into {held}", bytes.len());
            assert!(taken, "{what}: within all bounds");
            assert!(
                held <= allowed(bytes.len()),
                "{what}: {held} for {}",
                bytes.len()
            );
        }
    }
}

#[test]
fn what_is_refused_has_taken_no_more_either() {
    for (decoder, greedy) in cases() {
        for (what, bytes) in greedy {
            // The last bytes say that there is more to come.
            let mut bytes = bytes.to_vec();
            bytes.extend([15 << 3 | 2, 0xff, 0xff, 0xff, 0xff, 0x0f]);
            let length = bytes.len();
            let (taken, held) = read(*decoder, &bytes.into());
            assert!(!taken, "{what}: refused");
            assert!(held <= allowed(length), "{what}: {held} for {length}");
        }
    }
}

proptest! {
    // A frame here is large, and a debug build slow.
    #![proptest_config(ProptestConfig {
        cases: 24,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn random_bytes_take_no_more_memory_than_they_may(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let bytes = Bytes::from(bytes);
        for (decoder, _) in cases() {
            let (_, held) = read(*decoder, &bytes);
            prop_assert!(held <= allowed(bytes.len()), "{held}");
        }
    }

    #[test]
    fn changed_bytes_take_no_more_memory_than_they_may(
        which: prop::sample::Index,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        for (decoder, greedy) in cases() {
            let (what, bytes) = which.get(greedy);
            let mut bytes = bytes.to_vec();
            for (at, value) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *value;
            }
            let (_, held) = read(*decoder, &bytes.clone().into());
            prop_assert!(held <= allowed(bytes.len()), "{what}: {held} for {}", bytes.len());
        }
    }
}
