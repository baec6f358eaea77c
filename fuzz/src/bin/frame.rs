//! Frames of the application plane: both readers agree on what they refuse and on what they read.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use monofil_proto::wire::{Frame, Horizon, Record, TraceContext};
use monofil_proto::{
    Bounds, FrameWriter, Head, HorizonRef, NameRef, RecordRef, TraceRef, WaitingRef, Waitings,
    decode_frame, put_waiting, read_frame,
};

// What a frame that prost has read is for the other reader. Each names all fields there are, so that a new one is
// not forgotten here.

fn head(frame: &Frame) -> Head {
    Head {
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
    }
}

/// Of those that wait there are only bytes, which are given.
fn record<'a>(record: &'a Record, waiting: Waitings<'a>) -> RecordRef<'a> {
    RecordRef {
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
        trace: record.trace.as_ref().map(trace),
        waiting,
        outcome: record.outcome.clone(),
        credit: record.credit,
        item: record.item,
        key: &record.key,
        idempotent: record.idempotent,
        hops: record.hops,
        spilled: record.spilled,
        horizon: record.horizon.as_deref().map(horizon),
    }
}

const fn name(text: &str, number: u32) -> NameRef<'_> {
    match number {
        0 => NameRef::Text(text),
        number => NameRef::Number(number),
    }
}

/// One whose ids are not as long as they should be is none.
fn trace(trace: &TraceContext) -> TraceRef {
    let ids = (trace.trace_id[..].try_into(), trace.span_id[..].try_into());
    let (Ok(trace_id), Ok(span_id)) = ids else {
        return TraceRef::default();
    };
    TraceRef {
        trace_id: u128::from_be_bytes(trace_id),
        span_id: u64::from_be_bytes(span_id),
        flags: trace.flags,
    }
}

const fn horizon(horizon: &Horizon) -> HorizonRef {
    HorizonRef {
        distance: horizon.distance,
        bounce: horizon.bounce,
        set_by: horizon.set_by,
    }
}

fuzz_target!(|bytes: &[u8]| {
    let bytes = Bytes::copy_from_slice(bytes);
    let slow = decode_frame(&bytes, &Bounds::DEFAULT);
    let (slow, fast) = match (slow, read_frame(&bytes, &Bounds::DEFAULT)) {
        (Ok(slow), Ok(fast)) => (slow, fast),
        (Err(_), Err(_)) => return,
        (slow, fast) => panic!("one of them refused it: {slow:?}\n{fast:?}"),
    };
    assert_eq!(fast.head, head(&slow));
    assert_eq!(fast.hello, slow.hello);
    assert!(
        fast.names
            .iter()
            .copied()
            .eq(slow.names.iter().map(|it| (it.number, it.name.as_str())))
    );
    assert_eq!(fast.records.len(), slow.records.len());
    for (read, other) in fast.records.iter().zip(&slow.records) {
        assert_eq!(*read, record(other, read.waiting));
        let waiting = other.waiting.iter().map(|link| WaitingRef {
            node: &link.node,
            component: &link.component,
            instance: link.instance,
        });
        assert!(read.waiting.eq(waiting), "{read:?}\n{other:?}");
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
    let again = writer.finish(&fast.head, &fast.names, fast.hello.as_deref());
    let read = read_frame(&again, &Bounds::DEFAULT).expect("it was within all bounds");
    assert_eq!(read.head, fast.head);
    assert_eq!(read.names, fast.names);
    assert_eq!(read.records, records);
});
