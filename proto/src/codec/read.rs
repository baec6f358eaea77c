//! Reading frames: one walk, in which every bound is checked and nothing is allocated but two lists.

use prost::Message;

use super::{Head, HorizonRef, NameRef, RecordRef, TraceRef, WaitingRef, Waitings};
use crate::bounds::{MALFORMED, check_hello, check_outcome, check_sender, refuse, take, varint};
use crate::{Bounds, DecodeError, Reason, wire};

/// A frame, borrowed from its bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct FrameRef<'a> {
    /// Whom it is from and for, and where the link stands.
    pub head: Head,
    /// Numbers and the names they stand for from here on.
    pub names: Vec<(u32, &'a str)>,
    /// The messages.
    pub records: Vec<RecordRef<'a>>,
    /// Who the sender is, on a new connection.
    pub hello: Option<Box<wire::Hello>>,
}

/// Reads a frame of the application plane. Whatever it says, that takes no more than 4 MiB of memory, for the table
/// of its records, and 64 bytes for each of its own, for outcomes and hellos.
///
/// # Errors
///
/// See [`Reason`]. A frame is read whole or not at all.
pub fn read_frame<'a>(bytes: &'a [u8], bounds: &Bounds) -> Result<FrameRef<'a>, DecodeError> {
    if bytes.len() > bounds.frame_bytes {
        return refuse(Reason::TooLong, "frame");
    }
    let mut frame = FrameRef {
        head: Head::default(),
        names: Vec::new(),
        records: Vec::new(),
        hello: None,
    };
    let (mut sender, mut receiver): (Option<&[u8]>, Option<&[u8]>) = (None, None);
    let mut hello: Option<&[u8]> = None;
    let mut fields = Fields::new(bytes, 19, bounds);
    while let Some((field, value)) = fields.next()? {
        let head = &mut frame.head;
        match field {
            1 => head.version = value.number32()?,
            2 => head.network = value.fixed64()?,
            3 => once(&mut sender, value.bytes(16, "Frame")?, "Frame")?,
            4 => head.sender_incarnation = value.number()?,
            5 => once(&mut receiver, value.bytes(16, "Frame")?, "Frame")?,
            6 => head.receiver_incarnation = value.number()?,
            7 => head.first_sequence = value.number()?,
            8 => head.received = value.number()?,
            9 => head.settled = value.number()?,
            10 => head.credit_records = value.number()?,
            11 => head.credit_bytes = value.number()?,
            12 => head.resend = value.number()? != 0,
            13 => head.link_epoch = value.number()?,
            14 => {
                room(frame.names.len(), bounds.names, "Frame")?;
                frame.names.push(read_definition(value.any()?, bounds)?);
            }
            15 => {
                room(frame.records.len(), bounds.records, "Frame")?;
                frame.records.push(RecordRef::default());
                if let Some(record) = frame.records.last_mut() {
                    read_record(record, value.any()?, bounds)?;
                }
            }
            16 => once(&mut hello, value.any()?, "Frame")?,
            17 => head.receiver_epoch = value.number()?,
            18 => head.closing = value.enumeration()?,
            _ => head.load = value.number32()?,
        }
    }
    if let Some(bytes) = hello {
        check_hello(bytes, bounds)?;
        let hello = wire::Hello::decode(bytes).map_err(|_| MALFORMED)?;
        frame.hello = Some(Box::new(hello));
    }
    let head = &mut frame.head;
    let sender = sender.unwrap_or_default();
    check_sender(head.version, sender, head.sender_incarnation)?;
    head.sender = sender.try_into().map_err(|_| MALFORMED)?;
    head.receiver = match receiver.unwrap_or_default() {
        [] => None,
        id => match id.try_into() {
            Ok(id) => Some(id),
            Err(_) => return refuse(Reason::Sender, "receiver is not 16 bytes"),
        },
    };
    Ok(frame)
}

fn read_definition<'a>(bytes: &'a [u8], bounds: &Bounds) -> Result<(u32, &'a str), DecodeError> {
    let (mut number, mut name) = (0, None);
    let mut fields = Fields::new(bytes, 2, bounds);
    while let Some((field, value)) = fields.next()? {
        match field {
            1 => number = value.number32()?,
            _ => once(
                &mut name,
                value.text(bounds.name_bytes, "NameDefinition")?,
                "NameDefinition",
            )?,
        }
    }
    Ok((number, name.unwrap_or_default()))
}

/// Reads a record in its place: it is too large to be moved about.
fn read_record<'a>(
    record: &mut RecordRef<'a>,
    bytes: &'a [u8],
    bounds: &Bounds,
) -> Result<(), DecodeError> {
    const RECORD: &str = "Record";
    // What may be there once: a bit for each field.
    let mut seen = 0_u32;
    let (mut waiting, mut networks) = (0, 0);
    // Of the names.
    let mut numbers = [0; 6];
    // Where those that wait begin and end.
    let mut run: Option<(usize, usize)> = None;
    let mut fields = Fields::new(bytes, 27, bounds);
    loop {
        let before = bytes.len() - fields.rest.len();
        let Some((field, value)) = fields.next()? else {
            break;
        };
        if matches!(value, Value::Bytes(_)) && !matches!(field, 18 | 24) {
            let bit = 1_u32 << field;
            if seen & bit != 0 {
                return refuse(Reason::TooMany, RECORD);
            }
            seen |= bit;
        }
        let text = || value.text(bounds.name_bytes, RECORD);
        match field {
            1 => record.kind = value.enumeration()?,
            2 => record.id = value.number()?,
            3 => record.source = NameRef::Text(text()?),
            4 | 6 | 8 | 10 | 12 | 14 => numbers[(field as usize - 4) / 2] = value.number32()?,
            5 => record.target = NameRef::Text(text()?),
            7 => record.method = NameRef::Text(text()?),
            9 => record.flow = NameRef::Text(text()?),
            11 => record.content_type = NameRef::Text(text()?),
            13 => record.topic = NameRef::Text(text()?),
            15 => record.remaining_micros = value.number()?,
            16 => record.payload = value.any()?,
            17 => record.trace = Some(read_trace(value.any()?, bounds)?),
            18 => {
                room(waiting, bounds.waiting, RECORD)?;
                waiting += 1;
                read_waiting(value.any()?, bounds)?;
                let after = bytes.len() - fields.rest.len();
                run = Some((run.map_or(before, |(begin, _)| begin), after));
            }
            19 => {
                let bytes = value.any()?;
                check_outcome(bytes, bounds)?;
                let outcome = wire::Outcome::decode(bytes).map_err(|_| MALFORMED)?;
                record.outcome = Some(Box::new(outcome));
            }
            20 => record.credit = value.number32()?,
            21 => record.item = value.number()?,
            22 => record.key = value.bytes(bounds.name_bytes, RECORD)?,
            23 => record.hops = value.number32()?,
            24 => {
                text()?;
                room(networks, bounds.networks, RECORD)?;
                networks += 1;
            }
            25 => record.horizon = Some(read_horizon(value.any()?, bounds)?),
            26 => record.spilled = value.number32()?,
            _ => record.idempotent = value.number()? != 0,
        }
    }
    if let Some((begin, end)) = run {
        record.waiting.bytes = &bytes[begin..end];
    }
    let names = [
        &mut record.source,
        &mut record.target,
        &mut record.method,
        &mut record.flow,
        &mut record.content_type,
        &mut record.topic,
    ];
    for (name, number) in names.into_iter().zip(numbers) {
        // Where a name is both written out and numbered, the number counts.
        if number != 0 {
            *name = NameRef::Number(number);
        }
    }
    Ok(())
}

fn read_trace(bytes: &[u8], bounds: &Bounds) -> Result<TraceRef, DecodeError> {
    const TRACE: &str = "TraceContext";
    let (mut trace_id, mut span_id, mut state) = (None, None, None);
    let mut flags = 0;
    let mut fields = Fields::new(bytes, 4, bounds);
    while let Some((field, value)) = fields.next()? {
        match field {
            1 => once(&mut trace_id, value.bytes(16, TRACE)?, TRACE)?,
            2 => once(&mut span_id, value.bytes(16, TRACE)?, TRACE)?,
            3 => flags = value.number32()?,
            _ => once(&mut state, value.text(bounds.name_bytes, TRACE)?, TRACE)?,
        }
    }
    let trace_id = trace_id.and_then(|id| id.try_into().ok());
    let span_id = span_id.and_then(|id| id.try_into().ok());
    Ok(match (trace_id, span_id) {
        (Some(trace_id), Some(span_id)) => TraceRef {
            trace_id: u128::from_be_bytes(trace_id),
            span_id: u64::from_be_bytes(span_id),
            flags,
        },
        // Tracing never costs a message.
        _ => TraceRef::default(),
    })
}

fn read_waiting<'a>(bytes: &'a [u8], bounds: &Bounds) -> Result<WaitingRef<'a>, DecodeError> {
    const WAITING: &str = "Waiting";
    let (mut node, mut component) = (None, None);
    let mut instance = 0;
    let mut fields = Fields::new(bytes, 3, bounds);
    while let Some((field, value)) = fields.next()? {
        match field {
            1 => once(&mut node, value.bytes(16, WAITING)?, WAITING)?,
            2 => once(
                &mut component,
                value.text(bounds.name_bytes, WAITING)?,
                WAITING,
            )?,
            _ => instance = value.number32()?,
        }
    }
    Ok(WaitingRef {
        node: node.unwrap_or_default(),
        component: component.unwrap_or_default(),
        instance,
    })
}

fn read_horizon(bytes: &[u8], bounds: &Bounds) -> Result<HorizonRef, DecodeError> {
    let mut horizon = HorizonRef::default();
    let mut networks = 0;
    let mut fields = Fields::new(bytes, 4, bounds);
    while let Some((field, value)) = fields.next()? {
        match field {
            1 => horizon.distance = value.enumeration()?,
            2 => {
                value.text(bounds.name_bytes, "Horizon")?;
                room(networks, bounds.networks, "Horizon")?;
                networks += 1;
            }
            3 => horizon.bounce = value.number()? != 0,
            _ => horizon.set_by = value.enumeration()?,
        }
    }
    Ok(horizon)
}

/// What was read before was held to somebody's bounds, and what was written here needs none.
const READ_BEFORE: Bounds = Bounds {
    name_bytes: usize::MAX,
    unknown_fields: usize::MAX,
    ..Bounds::DEFAULT
};

impl<'a> Iterator for Waitings<'a> {
    type Item = WaitingRef<'a>;

    fn next(&mut self) -> Option<WaitingRef<'a>> {
        let mut fields = Fields::new(self.bytes, 27, &READ_BEFORE);
        while let Ok(Some((field, value))) = fields.next() {
            if let (18, Value::Bytes(bytes)) = (field, value) {
                self.bytes = fields.rest;
                return read_waiting(bytes, &READ_BEFORE).ok();
            }
        }
        self.bytes = &[];
        None
    }
}

/// A field's value, by its wire type.
#[derive(Clone, Copy)]
enum Value<'a> {
    Number(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

impl<'a> Value<'a> {
    const fn number(self) -> Result<u64, DecodeError> {
        match self {
            Self::Number(number) => Ok(number),
            _ => Err(MALFORMED),
        }
    }

    /// A number of 32 bits; what is above them is cut off, as everywhere in protobuf.
    #[expect(clippy::cast_possible_truncation, reason = "see above")]
    const fn number32(self) -> Result<u32, DecodeError> {
        match self {
            Self::Number(number) => Ok(number as u32),
            _ => Err(MALFORMED),
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "as for any number of 32 bits"
    )]
    const fn enumeration(self) -> Result<i32, DecodeError> {
        match self {
            Self::Number(number) => Ok(number as i32),
            _ => Err(MALFORMED),
        }
    }

    const fn fixed64(self) -> Result<u64, DecodeError> {
        match self {
            Self::Fixed64(number) => Ok(number),
            _ => Err(MALFORMED),
        }
    }

    const fn any(self) -> Result<&'a [u8], DecodeError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(MALFORMED),
        }
    }

    const fn bytes(self, most: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        match self.any() {
            Ok(bytes) if bytes.len() > most => refuse(Reason::NameTooLong, what),
            bytes => bytes,
        }
    }

    fn text(self, most: usize, what: &'static str) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.bytes(most, what)?).map_err(|_| MALFORMED)
    }
}

/// The fields of a message, one after the other. Those that this release does not know are passed over.
struct Fields<'a> {
    rest: &'a [u8],
    /// The highest number this release knows.
    last: u32,
    unknown_left: usize,
}

impl<'a> Fields<'a> {
    const fn new(bytes: &'a [u8], last: u32, bounds: &Bounds) -> Self {
        Self {
            rest: bytes,
            last,
            unknown_left: bounds.unknown_fields,
        }
    }

    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "each walk is a loop over this and a match: one is half as fast as the other"
    )]
    fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, DecodeError> {
        while !self.rest.is_empty() {
            let tag = u32::try_from(varint(&mut self.rest)?).map_err(|_| MALFORMED)?;
            let value = match tag & 7 {
                0 => Value::Number(varint(&mut self.rest)?),
                1 => {
                    let bytes = take(&mut self.rest, 8)?;
                    Value::Fixed64(u64::from_le_bytes(bytes.try_into().map_err(|_| MALFORMED)?))
                }
                2 => {
                    let length = varint(&mut self.rest)?;
                    let length = usize::try_from(length).map_err(|_| MALFORMED)?;
                    Value::Bytes(take(&mut self.rest, length)?)
                }
                5 => {
                    take(&mut self.rest, 4)?;
                    Value::Fixed32
                }
                _ => return Err(MALFORMED),
            };
            let number = tag >> 3;
            if number == 0 {
                return Err(MALFORMED);
            }
            if number <= self.last {
                return Ok(Some((number, value)));
            }
            match self.unknown_left.checked_sub(1) {
                Some(left) => self.unknown_left = left,
                None => return refuse(Reason::TooMany, "unknown fields"),
            }
        }
        Ok(None)
    }
}

/// Notes what may be there once.
const fn once<'a, T: ?Sized>(
    place: &mut Option<&'a T>,
    value: &'a T,
    what: &'static str,
) -> Result<(), DecodeError> {
    if place.is_some() {
        // It may legally be repeated, and the last one counts; nobody sends that.
        return refuse(Reason::TooMany, what);
    }
    *place = Some(value);
    Ok(())
}

const fn room(count: usize, most: usize, what: &'static str) -> Result<(), DecodeError> {
    if count < most {
        Ok(())
    } else {
        refuse(Reason::TooMany, what)
    }
}
