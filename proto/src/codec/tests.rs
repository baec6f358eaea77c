//! The codec against `prost`: the same bytes out, the same content in, the same frames refused.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::wire::{
    Frame, Hello, Horizon, NameDefinition, Outcome, Record, Status, TraceContext, Waiting,
};
use crate::{Bounds, decode_frame, encode};

/// A name, mostly of ordinary length.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[a-z/.é]{1,20}", "[a-z]{120,257}",]
}

/// A number, often at an edge of its encoding.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        (0_u32..64).prop_map(|bit| 1_u64 << bit),
        (0_u32..64).prop_map(|bit| (1_u64 << bit) - 1),
        any::<u64>(),
    ]
}

fn number32() -> impl Strategy<Value = u32> {
    number().prop_map(|number| {
        number.to_le_bytes()[..4]
            .try_into()
            .map_or(0, u32::from_le_bytes)
    })
}

/// Payloads, some of them where the length of a record takes another byte.
fn payload() -> impl Strategy<Value = Bytes> {
    let edge = prop_oneof![
        40..140_usize,
        16_200..16_400_usize,
        2_097_000..2_097_160_usize
    ];
    prop_oneof![
        30 => some_bytes(),
        1 => edge.prop_map(|length| Bytes::from(vec![7; length])),
    ]
}

fn some_bytes() -> impl Strategy<Value = Bytes> {
    prop_oneof![vec(any::<u8>(), 0..20), vec(any::<u8>(), 100..300)].prop_map(Bytes::from)
}

prop_compose! {
    fn outcome()(kind in 0_i32..20, message in text(), retry in number(), cycle in vec(text(), 0..3),
                 code in 0_u32..20, details in some_bytes()) -> Outcome {
        Outcome {
            kind,
            message: message.clone(),
            status: (code > 0).then_some(Status { code, message, details }),
            limit: None,
            retry_after_micros: retry,
            cycle,
        }
    }
}

prop_compose! {
    fn trace()(ids: (u128, u64), flags in number32(), cut in 0_usize..8) -> TraceContext {
        let mut trace_id = ids.0.to_be_bytes().to_vec();
        // Now and then one that makes no sense.
        trace_id.truncate(16 - cut / 7);
        TraceContext { trace_id, span_id: ids.1.to_be_bytes().to_vec(), flags, state: String::new() }
    }
}

prop_compose! {
    fn horizon()(distance in -1_i32..6, bounce: bool, set_by in 0_i32..7) -> Horizon {
        Horizon { distance, networks: Vec::new(), bounce, set_by }
    }
}

prop_compose! {
    fn names()(texts in vec(text(), 6), numbers in vec(prop_oneof![3 => Just(0), 1 => number32()], 6))
        -> (Vec<String>, Vec<u32>)
    {
        (texts, numbers)
    }
}

prop_compose! {
    fn waiting()(node in vec(any::<u8>(), 16), component in text(), instance in number32()) -> Waiting {
        Waiting { node, component, instance }
    }
}

prop_compose! {
    fn record()(
        kind in prop_oneof![0_i32..12, any::<i32>()],
        id in number(),
        (texts, numbers) in names(),
        remaining_micros in number(),
        payload in payload(),
        trace in proptest::option::of(trace()),
        waiting in vec(waiting(), 0..3),
        outcome in proptest::option::weighted(0.2, outcome()),
        (credit, item) in (number32(), number()),
        key in some_bytes(),
        (idempotent, hops, spilled) in (any::<bool>(), number32(), number32()),
        horizon in proptest::option::weighted(0.3, horizon()),
    ) -> Record {
        let text = |at: usize| texts[at].clone();
        Record {
            kind, id,
            source: text(0), source_number: numbers[0],
            target: text(1), target_number: numbers[1],
            method: text(2), method_number: numbers[2],
            flow: text(3), flow_number: numbers[3],
            content_type: text(4), content_type_number: numbers[4],
            topic: text(5), topic_number: numbers[5],
            remaining_micros, payload, trace, waiting,
            outcome: outcome.map(Box::new),
            credit, item, key, idempotent, hops, spilled,
            horizon: horizon.map(Box::new),
            ..Record::default()
        }
    }
}

prop_compose! {
    fn hello()(answer: bool, components in vec(text(), 0..3), cookie in number(), name in text()) -> Hello {
        Hello { answer, components, cookie, name, ..Hello::default() }
    }
}

prop_compose! {
    fn frame()(
        network in number(),
        sender in vec(any::<u8>(), 16),
        receiver in prop_oneof![Just(vec![]), vec(any::<u8>(), 16)],
        numbers in vec(number(), 10),
        resend: bool,
        closing in 0_i32..4,
        load in number32(),
        names in vec((number32(), text()), 0..3),
        records in vec(record(), 0..5),
        hello in proptest::option::weighted(0.3, hello()),
    ) -> Frame {
        let definition = |(number, name)| NameDefinition { number, name };
        Frame {
            version: 1,
            network, sender, sender_incarnation: numbers[0].max(1),
            receiver, receiver_incarnation: numbers[1],
            first_sequence: numbers[2], received: numbers[3], settled: numbers[4],
            credit_records: numbers[5], credit_bytes: numbers[6], resend,
            link_epoch: numbers[7], receiver_epoch: numbers[8], closing, load,
            names: names.into_iter().map(definition).collect(),
            records,
            hello: hello.map(Box::new),
        }
    }
}

/// Writes down those that wait, for each record.
fn runs(frame: &Frame) -> Vec<Vec<u8>> {
    let run = |record: &Record| {
        let mut out = Vec::new();
        for link in &record.waiting {
            put_waiting(
                &mut out,
                &WaitingRef {
                    node: &link.node,
                    component: &link.component,
                    instance: link.instance,
                },
            );
        }
        out
    };
    frame.records.iter().map(run).collect()
}

const fn name(text: &str, number: u32) -> NameRef<'_> {
    match number {
        0 => NameRef::Text(text),
        number => NameRef::Number(number),
    }
}

/// What reading a frame should give.
fn expected<'a>(frame: &'a Frame, runs: &'a [Vec<u8>]) -> FrameRef<'a> {
    let record = |(record, run): (&'a Record, &'a Vec<u8>)| RecordRef {
        kind: record.kind,
        id: record.id,
        source: name(&record.source, record.source_number),
        target: name(&record.target, record.target_number),
        method: name(&record.method, record.method_number),
        flow: name(&record.flow, record.flow_number),
        content_type: name(&record.content_type, record.content_type_number),
        topic: name(&record.topic, record.topic_number),
        remaining_micros: record.remaining_micros,
        payload: &record.payload,
        trace: record.trace.as_ref().map(|trace| {
            let ids = (trace.trace_id[..].try_into(), trace.span_id[..].try_into());
            let (Ok(trace_id), Ok(span_id)) = ids else {
                return TraceRef::default();
            };
            TraceRef {
                trace_id: u128::from_be_bytes(trace_id),
                span_id: u64::from_be_bytes(span_id),
                flags: trace.flags,
            }
        }),
        waiting: Waitings::of_written(run),
        outcome: record.outcome.clone(),
        credit: record.credit,
        item: record.item,
        key: &record.key,
        idempotent: record.idempotent,
        hops: record.hops,
        spilled: record.spilled,
        horizon: record.horizon.as_ref().map(|it| HorizonRef {
            distance: it.distance,
            bounce: it.bounce,
            set_by: it.set_by,
        }),
    };
    FrameRef {
        head: Head {
            version: frame.version,
            network: frame.network,
            sender: frame.sender[..].try_into().expect("16 bytes"),
            sender_incarnation: frame.sender_incarnation,
            receiver: frame.receiver[..].try_into().ok(),
            receiver_incarnation: frame.receiver_incarnation,
            first_sequence: frame.first_sequence,
            received: frame.received,
            settled: frame.settled,
            credit_records: frame.credit_records,
            credit_bytes: frame.credit_bytes,
            resend: frame.resend,
            link_epoch: frame.link_epoch,
            receiver_epoch: frame.receiver_epoch,
            closing: frame.closing,
            load: frame.load,
        },
        names: frame
            .names
            .iter()
            .map(|it| (it.number, it.name.as_str()))
            .collect(),
        records: frame.records.iter().zip(runs).map(record).collect(),
        hello: frame.hello.clone(),
    }
}

/// Replaces the runs of those who wait, which may have other fields between them, by the same without.
fn assert_reads_as(read: FrameRef<'_>, frame: &Frame) {
    let runs = runs(frame);
    let expected = expected(frame, &runs);
    let waiting = |frame: &FrameRef<'_>| -> Vec<Vec<String>> {
        let list = |it: &RecordRef<'_>| it.waiting.map(|link| format!("{link:?}")).collect();
        frame.records.iter().map(list).collect()
    };
    assert_eq!(waiting(&read), waiting(&expected));
    let without = |mut frame: FrameRef<'_>| {
        frame
            .records
            .iter_mut()
            .for_each(|it| it.waiting = Waitings::default());
        format!("{frame:?}")
    };
    assert_eq!(without(read), without(expected));
}

/// Both refuse, or both read the same.
fn assert_agree(bytes: Bytes) {
    let slow = decode_frame(&bytes, &Bounds::DEFAULT);
    let fast = read_frame(&bytes, &Bounds::DEFAULT);
    match (slow, fast) {
        (Ok(slow), Ok(fast)) => assert_reads_as(fast, &slow),
        (Err(_), Err(_)) => {}
        (slow, fast) => panic!("{slow:?}\n{fast:?}\nof {bytes:?}"),
    }
}

/// Writes only what a writer here says: one way to write each name, and no trace that makes no sense.
fn plain(mut frame: Frame) -> Frame {
    for record in &mut frame.records {
        for (text, number) in [
            (&mut record.source, record.source_number),
            (&mut record.target, record.target_number),
            (&mut record.method, record.method_number),
            (&mut record.flow, record.flow_number),
            (&mut record.content_type, record.content_type_number),
            (&mut record.topic, record.topic_number),
        ] {
            if number != 0 {
                text.clear();
            }
        }
        if record
            .trace
            .as_ref()
            .is_some_and(|it| it.trace_id.len() != 16)
        {
            record.trace = None;
        }
    }
    frame
}

proptest! {
    #[test]
    fn frames_are_written_as_prost_writes_them(frame in frame().prop_map(plain)) {
        let runs = runs(&frame);
        let view = expected(&frame, &runs);
        let mut writer = FrameWriter::with_capacity(0);
        view.records.iter().for_each(|record| writer.record(record));
        let written = writer.finish(&view.head, &view.names, view.hello.as_deref());
        prop_assert_eq!(written, encode(&frame));
    }

    #[test]
    fn frames_are_read_as_prost_reads_them(
        mut frame in frame(),
        networks in vec(text(), 0..3),
        rest: u32,
    ) {
        for record in &mut frame.records {
            // What is not looked at yet.
            record.visited_networks = networks.clone();
            if let Some(horizon) = record.horizon.as_mut().filter(|_| rest > 9) {
                horizon.networks = networks.clone();
            }
        }
        assert_agree(encode(&frame));
    }

    #[test]
    fn frames_that_are_changed_are_read_or_refused_as_by_prost(
        frame in frame(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in proptest::option::of(any::<prop::sample::Index>()),
        twice in proptest::option::of((any::<prop::sample::Index>(), any::<prop::sample::Index>())),
    ) {
        let mut bytes = frame.encode_to_vec();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some((from, to)) = twice {
            // A piece stands there twice.
            let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
            let piece = bytes[from.min(to)..from.max(to)].to_vec();
            bytes.extend(piece);
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        assert_agree(bytes.into());
    }

    #[test]
    fn a_record_that_is_changed_is_read_or_refused_as_by_prost(
        record in record(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..3),
    ) {
        let mut bytes = record.encode_to_vec();
        for (at, value) in changes {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
        }
        let head = Frame { version: 1, sender: vec![1; 16], sender_incarnation: 1, ..Frame::default() };
        let mut frame = head.encode_to_vec();
        frame.push(15 << 3 | 2);
        prost::encoding::encode_varint(bytes.len() as u64, &mut frame);
        frame.extend(bytes);
        assert_agree(frame.into());
    }

    #[test]
    fn random_bytes_are_read_or_refused_as_by_prost(bytes in vec(any::<u8>(), 0..300)) {
        assert_agree(bytes.into());
    }
}

/// Changes a frame.
type Change = fn(&mut Frame);

#[test]
fn each_bound_holds_here_too() {
    let most = Bounds {
        records: 2,
        names: 1,
        waiting: 1,
        networks: 1,
        unknown_fields: 1,
        ..Bounds::DEFAULT
    };
    let record = || Record {
        kind: 1,
        ..Record::default()
    };
    let good = || Frame {
        version: 1,
        sender: vec![1; 16],
        sender_incarnation: 1,
        names: vec![NameDefinition::default()],
        records: vec![
            record(),
            Record {
                waiting: vec![Waiting::default()],
                ..record()
            },
        ],
        ..Frame::default()
    };
    let table: [(&str, bool, Change); 6] = [
        ("good", true, |_| ()),
        ("records", false, |f| f.records.push(Record::default())),
        ("names", false, |f| f.names.push(NameDefinition::default())),
        ("waiting", false, |f| {
            f.records[1].waiting.push(Waiting::default())
        }),
        ("networks", false, |f| {
            f.records[0].visited_networks = vec![String::new(); 2]
        }),
        ("receiver", false, |f| f.receiver = vec![1; 15]),
    ];
    for (what, is_good, change) in table {
        let mut frame = good();
        change(&mut frame);
        let bytes = encode(&frame);
        assert_eq!(decode_frame(&bytes, &most).is_ok(), is_good, "{what}");
        assert_eq!(read_frame(&bytes, &most).is_ok(), is_good, "{what}");
    }
    // Fields of a later release: one is passed over, a second is too many here.
    let mut bytes = encode(&good()).to_vec();
    for is_good in [true, false] {
        bytes.extend([0xa0, 0x06, 0x05]);
        assert_eq!(read_frame(&bytes, &most).is_ok(), is_good);
    }
}
