//! Frames of the application plane: both readers agree on what they refuse and on what they read.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use monofil_proto::{Bounds, FrameWriter, NameRef, decode_frame, put_waiting, read_frame};

fuzz_target!(|bytes: &[u8]| {
    let bytes = Bytes::copy_from_slice(bytes);
    let slow = decode_frame(&bytes, &Bounds::DEFAULT);
    let (slow, fast) = match (slow, read_frame(&bytes, &Bounds::DEFAULT)) {
        (Ok(slow), Ok(fast)) => (slow, fast),
        (Err(_), Err(_)) => return,
        (slow, fast) => panic!("one of them refused it: {slow:?}\n{fast:?}"),
    };
    let head = &fast.head;
    assert_eq!(head.sender[..], slow.sender[..]);
    assert_eq!(
        head.receiver.as_ref().map_or(&[][..], |id| &id[..]),
        &slow.receiver[..]
    );
    assert_eq!(
        (
            head.network,
            head.sender_incarnation,
            head.receiver_incarnation
        ),
        (
            slow.network,
            slow.sender_incarnation,
            slow.receiver_incarnation
        )
    );
    assert_eq!(
        (
            head.first_sequence,
            head.received,
            head.settled,
            head.resend
        ),
        (
            slow.first_sequence,
            slow.received,
            slow.settled,
            slow.resend
        )
    );
    assert_eq!(
        (head.credit_records, head.credit_bytes, head.closing),
        (slow.credit_records, slow.credit_bytes, slow.closing)
    );
    assert_eq!(
        (head.link_epoch, head.receiver_epoch),
        (slow.link_epoch, slow.receiver_epoch)
    );
    assert_eq!(fast.hello, slow.hello);
    assert!(
        fast.names
            .iter()
            .copied()
            .eq(slow.names.iter().map(|it| (it.number, it.name.as_str())))
    );
    assert_eq!(fast.records.len(), slow.records.len());
    for (record, other) in fast.records.iter().zip(&slow.records) {
        let names = [
            (record.source, &other.source, other.source_number),
            (record.target, &other.target, other.target_number),
            (record.method, &other.method, other.method_number),
            (record.flow, &other.flow, other.flow_number),
            (
                record.content_type,
                &other.content_type,
                other.content_type_number,
            ),
            (record.topic, &other.topic, other.topic_number),
        ];
        for (name, text, number) in names {
            let expected = if number == 0 {
                NameRef::Text(text)
            } else {
                NameRef::Number(number)
            };
            assert_eq!(name, expected);
        }
        assert_eq!((record.kind, record.id), (other.kind, other.id));
        assert_eq!(record.payload, other.payload);
        assert_eq!(record.key, other.key);
        assert_eq!(record.outcome, other.outcome);
        assert_eq!(
            (
                record.remaining_micros,
                record.credit,
                record.item,
                record.idempotent
            ),
            (
                other.remaining_micros,
                other.credit,
                other.item,
                other.idempotent
            )
        );
        assert_eq!(record.waiting.count(), other.waiting.len());
        for (link, other) in record.waiting.zip(&other.waiting) {
            assert_eq!(
                (link.node, link.component),
                (&other.node[..], other.component.as_str())
            );
            assert_eq!(link.instance, other.instance);
        }
    }
    // What was read and is written again says the same.
    let mut records = fast.records.clone();
    let runs: Vec<Vec<u8>> = records
        .iter()
        .map(|record| {
            let mut run = Vec::new();
            record.waiting.for_each(|link| put_waiting(&mut run, &link));
            run
        })
        .collect();
    for (record, run) in records.iter_mut().zip(&runs) {
        record.waiting = monofil_proto::Waitings::of_written(run);
    }
    let mut writer = FrameWriter::with_capacity(0);
    for record in &records {
        writer.record(record);
    }
    let again = writer.finish(head, &fast.names, fast.hello.as_deref());
    let read = read_frame(&again, &Bounds::DEFAULT).expect("it was within all bounds");
    assert_eq!(read.head, fast.head);
    assert_eq!(read.names, fast.names);
    assert_eq!(read.records, records);
});
