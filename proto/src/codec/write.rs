//! Writing frames.

use bytes::Bytes;
use prost::Message;

use super::{Head, HorizonRef, NameRef, RecordRef, TraceRef, WaitingRef, Waitings};
use crate::wire;

/// A varint, a fixed number of 64 bits, something with a length.
const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const BYTES: u32 = 2;

/// The fields of a head take less, with a few names.
const FRONT: usize = 256;
/// What may follow the records, but for a hello.
const TAIL: usize = 24;
/// A record takes about so much besides its payload.
const LENGTH_OF_REST: usize = 80;

/// Writes a frame without records.
#[must_use]
pub fn write_frame(head: &Head, hello: Option<&wire::Hello>) -> Bytes {
    FrameWriter::with_capacity(0).finish(head, &[], hello)
}

/// Writes a frame: the same bytes as `prost` would, without building the message first.
///
/// What comes before the records, names that begin with one of them for instance, is only known after them, so room
/// is left for it.
#[derive(Debug)]
pub struct FrameWriter {
    out: Vec<u8>,
}

impl FrameWriter {
    /// Begins a frame whose records will take about so many bytes.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        let mut out = Vec::with_capacity(FRONT + bytes + TAIL);
        out.resize(FRONT, 0);
        Self { out }
    }

    /// Appends a record.
    pub fn record(&mut self, record: &RecordRef<'_>) {
        let out = &mut self.out;
        put_tag(out, 15, BYTES);
        // Room for the length: what it takes if the rest is short beside the payload.
        let room = varint_len((record.payload.len() + LENGTH_OF_REST) as u64);
        let at = out.len();
        out.resize(at + room, 0);
        put_fields(out, record);
        let end = out.len();
        let length = end - at - room;
        let takes = varint_len(length as u64);
        if takes != room {
            out.resize(end + takes.saturating_sub(room), 0);
            out.copy_within(at + room..end, at + takes);
            out.truncate(end + takes - room);
        }
        let mut left = length;
        for byte in &mut out[at..at + takes] {
            *byte = left.to_le_bytes()[0] | 0x80;
            left >>= 7;
        }
        out[at + takes - 1] &= 0x7f;
    }

    /// Ends the frame. `names` are those that begin with it.
    #[must_use]
    pub fn finish(
        mut self,
        head: &Head,
        names: &[(u32, &str)],
        hello: Option<&wire::Hello>,
    ) -> Bytes {
        if let Some(hello) = hello {
            put_message(&mut self.out, 16, hello);
        }
        put_number(&mut self.out, 17, head.receiver_epoch);
        put_number(&mut self.out, 18, signed(head.closing));
        put_number(&mut self.out, 19, head.load.into());
        let front = front(head, names);
        match FRONT.checked_sub(front.len()) {
            Some(begin) => {
                self.out[begin..FRONT].copy_from_slice(&front);
                Bytes::from(self.out).slice(begin..)
            }
            None => [&front, &self.out[FRONT..]].concat().into(),
        }
    }
}

/// Writes what comes before the records.
fn front(head: &Head, names: &[(u32, &str)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(FRONT);
    put_number(&mut out, 1, head.version.into());
    if head.network != 0 {
        put_tag(&mut out, 2, FIXED64);
        out.extend_from_slice(&head.network.to_le_bytes());
    }
    put_bytes(&mut out, 3, &head.sender);
    put_number(&mut out, 4, head.sender_incarnation);
    if let Some(receiver) = &head.receiver {
        put_bytes(&mut out, 5, receiver);
    }
    put_number(&mut out, 6, head.receiver_incarnation);
    put_number(&mut out, 7, head.first_sequence);
    put_number(&mut out, 8, head.received);
    put_number(&mut out, 9, head.settled);
    put_number(&mut out, 10, head.credit_records);
    put_number(&mut out, 11, head.credit_bytes);
    put_number(&mut out, 12, head.resend.into());
    put_number(&mut out, 13, head.link_epoch);
    for (number, name) in names {
        let length = number_len(1, u64::from(*number)) + bytes_len(2, name.as_bytes());
        put_tag(&mut out, 14, BYTES);
        put_varint(&mut out, length as u64);
        put_number(&mut out, 1, u64::from(*number));
        put_bytes(&mut out, 2, name.as_bytes());
    }
    out
}

/// Appends an instance to those that wait, written as a record holds them.
pub fn put_waiting(out: &mut Vec<u8>, waiting: &WaitingRef<'_>) {
    let length = bytes_len(1, waiting.node)
        + bytes_len(2, waiting.component.as_bytes())
        + number_len(3, waiting.instance.into());
    put_tag(out, 18, BYTES);
    put_varint(out, length as u64);
    put_bytes(out, 1, waiting.node);
    put_bytes(out, 2, waiting.component.as_bytes());
    put_number(out, 3, waiting.instance.into());
}

impl<'a> Waitings<'a> {
    /// Takes what [`put_waiting`] wrote, once or more often.
    #[must_use]
    pub const fn of_written(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }
}

/// The names of a record, each with the field it is in when written out; its number is in the next.
fn names_of<'a>(record: &RecordRef<'a>) -> [(u32, NameRef<'a>); 6] {
    [
        (3, record.source),
        (5, record.target),
        (7, record.method),
        (9, record.flow),
        (11, record.content_type),
        (13, record.topic),
    ]
}

fn put_fields(out: &mut Vec<u8>, record: &RecordRef<'_>) {
    put_number(out, 1, signed(record.kind));
    put_number(out, 2, record.id);
    for (field, name) in names_of(record) {
        match name {
            NameRef::Text(text) => put_bytes(out, field, text.as_bytes()),
            NameRef::Number(number) => put_number(out, field + 1, number.into()),
        }
    }
    put_number(out, 15, record.remaining_micros);
    put_bytes(out, 16, record.payload);
    if let Some(trace) = &record.trace {
        put_tag(out, 17, BYTES);
        put_varint(out, trace_len(trace) as u64);
        put_bytes(out, 1, &trace.trace_id.to_be_bytes());
        put_bytes(out, 2, &trace.span_id.to_be_bytes());
        put_number(out, 3, trace.flags.into());
    }
    out.extend_from_slice(record.waiting.bytes);
    if let Some(outcome) = &record.outcome {
        put_message(out, 19, &**outcome);
    }
    put_number(out, 20, record.credit.into());
    put_number(out, 21, record.item);
    put_bytes(out, 22, record.key);
    put_number(out, 23, record.hops.into());
    if let Some(horizon) = &record.horizon {
        put_tag(out, 25, BYTES);
        put_varint(out, horizon_len(horizon) as u64);
        put_number(out, 1, signed(horizon.distance));
        put_number(out, 3, horizon.bounce.into());
        put_number(out, 4, signed(horizon.set_by));
    }
    put_number(out, 26, record.spilled.into());
    put_number(out, 27, record.idempotent.into());
}

const fn horizon_len(horizon: &HorizonRef) -> usize {
    number_len(1, signed(horizon.distance))
        + number_len(3, horizon.bounce as u64)
        + number_len(4, signed(horizon.set_by))
}

fn trace_len(trace: &TraceRef) -> usize {
    const IDS: usize = 2 + 16 + 2 + 8;
    IDS + number_len(3, trace.flags.into())
}

fn put_message(out: &mut Vec<u8>, field: u32, message: &impl Message) {
    put_tag(out, field, BYTES);
    put_varint(out, message.encoded_len() as u64);
    message.encode_raw(out);
}

/// Negative numbers of 32 bits are written with 64.
const fn signed(value: i32) -> u64 {
    value as i64 as u64
}

fn put_tag(out: &mut Vec<u8>, field: u32, wire_type: u32) {
    put_varint(out, u64::from(field << 3 | wire_type));
}

/// A number, unless it is the default.
fn put_number(out: &mut Vec<u8>, field: u32, value: u64) {
    if value != 0 {
        put_tag(out, field, VARINT);
        put_varint(out, value);
    }
}

/// Bytes, unless there are none.
fn put_bytes(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    if !value.is_empty() {
        put_tag(out, field, BYTES);
        put_varint(out, value.len() as u64);
        out.extend_from_slice(value);
    }
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

const fn tag_len(field: u32) -> usize {
    if field < 16 { 1 } else { 2 }
}

const fn number_len(field: u32, value: u64) -> usize {
    if value == 0 {
        0
    } else {
        tag_len(field) + varint_len(value)
    }
}

const fn bytes_len(field: u32, value: &[u8]) -> usize {
    if value.is_empty() {
        0
    } else {
        tag_len(field) + varint_len(value.len() as u64) + value.len()
    }
}

const fn varint_len(value: u64) -> usize {
    // A byte for every seven bits; 0 has one, too.
    ((64 - (value | 1).leading_zeros()) as usize).div_ceil(7)
}
