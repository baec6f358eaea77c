//! Bounds that are checked on the encoded bytes, before anything is allocated.
//!
//! Protobuf lets eight bytes on the wire become a record of some hundred bytes in memory, so a limit on
//! a frame's length alone bounds nothing. A walk over the tags costs a few nanoseconds a field and says
//! how many of each there are.

use bytes::Bytes;
use prost::Message;

use crate::{VERSION, control, wire};

/// What a decoder accepts at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of one frame.
    pub frame_bytes: usize,
    /// Records in one frame.
    pub records: usize,
    /// Name definitions in one frame, and numbers a link may define.
    pub names: usize,
    /// Bytes of one name (component, method, flow, ...).
    pub name_bytes: usize,
    /// Bytes of a text for people.
    pub text_bytes: usize,
    /// Entries of `Record.waiting`.
    pub waiting: usize,
    /// Entries of `Record.visited_networks` and `Horizon.networks`.
    pub networks: usize,
    /// Entries of `Hello.components`.
    pub components: usize,
    /// Fields of one message that this release does not know.
    pub unknown_fields: usize,
}

impl Bounds {
    /// The bounds that `docs/wire.md` states.
    pub const DEFAULT: Self = Self {
        frame_bytes: 16 << 20,
        records: 4096,
        names: 1024,
        name_bytes: 256,
        text_bytes: 4096,
        waiting: 64,
        networks: 32,
        components: 1024,
        unknown_fields: 64,
    };
}

impl Default for Bounds {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Why bytes from a network were refused; the name of the counter that counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Reason {
    /// Not protobuf, or cut short.
    Malformed,
    /// Longer than the bound.
    TooLong,
    /// More records, names or entries than the bound.
    TooMany,
    /// A name or text longer than the bound.
    NameTooLong,
    /// Another version of the protocol.
    Version,
    /// The sender's id is not 16 bytes, or its incarnation is 0.
    Sender,
}

impl Reason {
    /// All reasons, in order.
    pub const ALL: [Self; 6] = [
        Self::Malformed,
        Self::TooLong,
        Self::TooMany,
        Self::NameTooLong,
        Self::Version,
        Self::Sender,
    ];

    /// Returns the word used in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLong => "too_long",
            Self::TooMany => "too_many",
            Self::NameTooLong => "name_too_long",
            Self::Version => "version",
            Self::Sender => "sender",
        }
    }
}

/// Bytes were refused. Nothing was decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", .reason.as_str())]
pub struct DecodeError {
    /// Why, for counting.
    pub reason: Reason,
    /// What and where, for people.
    pub detail: &'static str,
}

pub(crate) const fn refuse<T>(reason: Reason, detail: &'static str) -> Result<T, DecodeError> {
    Err(DecodeError { reason, detail })
}

/// Decodes a frame of the application plane. Whatever it says, that takes no more than 4 MiB of memory and 64 bytes
/// for each of its own.
///
/// # Errors
///
/// See [`Reason`]; nothing was allocated unless the walk over the bytes passed.
pub fn decode_frame(bytes: &Bytes, bounds: &Bounds) -> Result<wire::Frame, DecodeError> {
    if bytes.len() > bounds.frame_bytes {
        return refuse(Reason::TooLong, "frame");
    }
    check(bytes, &schema::FRAME, bounds, 0)?;
    let frame = wire::Frame::decode(bytes.clone()).map_err(|_| MALFORMED)?;
    check_sender(frame.version, &frame.sender, frame.sender_incarnation)?;
    if !matches!(frame.receiver.len(), 0 | 16) {
        return refuse(Reason::Sender, "receiver is not 16 bytes");
    }
    Ok(frame)
}

/// Decodes a frame of the control plane. It takes no more memory than [`decode_frame`] may.
///
/// # Errors
///
/// See [`Reason`].
pub fn decode_control(
    bytes: &Bytes,
    bounds: &Bounds,
) -> Result<control::ControlFrame, DecodeError> {
    if bytes.len() > bounds.frame_bytes {
        return refuse(Reason::TooLong, "control frame");
    }
    check(bytes, &schema::CONTROL, bounds, 0)?;
    let frame = control::ControlFrame::decode(bytes.clone()).map_err(|_| MALFORMED)?;
    check_sender(frame.version, &frame.sender, frame.sender_incarnation)?;
    Ok(frame)
}

/// The longest datagram that is looked at.
const DATAGRAM_BYTES_MAX: usize = 1472;

/// Decodes a datagram, which takes no more memory than [`decode_frame`] may.
///
/// # Errors
///
/// See [`Reason`].
pub fn decode_datagram(bytes: &[u8], bounds: &Bounds) -> Result<control::Datagram, DecodeError> {
    if bytes.len() > DATAGRAM_BYTES_MAX {
        return refuse(Reason::TooLong, "datagram");
    }
    check(bytes, &schema::DATAGRAM, bounds, 0)?;
    let datagram = control::Datagram::decode(bytes).map_err(|_| MALFORMED)?;
    check_sender(
        datagram.version,
        &datagram.sender,
        datagram.sender_incarnation,
    )?;
    Ok(datagram)
}

/// Encodes a message into one buffer of the right size.
pub fn encode(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}

pub(crate) const MALFORMED: DecodeError = DecodeError {
    reason: Reason::Malformed,
    detail: "not the protobuf message it should be",
};

pub(crate) fn check_sender(
    version: u32,
    sender: &[u8],
    incarnation: u64,
) -> Result<(), DecodeError> {
    if version != VERSION {
        return refuse(Reason::Version, "another protocol version");
    }
    if sender.len() != 16 || incarnation == 0 {
        return refuse(Reason::Sender, "sender is not 16 bytes with an incarnation");
    }
    Ok(())
}

/// What is known of a message: how its fields are bounded.
mod schema {
    use super::Bounds;

    /// A message type: its bounded fields. Other numbers are unknown fields, or scalars of no interest.
    pub(super) struct Schema {
        pub(super) name: &'static str,
        pub(super) fields: &'static [(u32, Field)],
        /// The highest field number this release knows.
        pub(super) last: u32,
    }

    /// How a field is bounded.
    pub(super) enum Field {
        /// A length-delimited value of at most so many bytes.
        Text(fn(&Bounds) -> usize),
        /// The same, at most so many times.
        Texts(fn(&Bounds) -> usize, fn(&Bounds) -> usize),
        /// Nested messages, at most so many.
        Messages(&'static Schema, fn(&Bounds) -> usize),
        /// Bounded by the frame alone.
        Payload,
    }

    use Field::{Messages, Payload, Text, Texts};

    fn one(_: &Bounds) -> usize {
        1
    }
    fn sixteen(_: &Bounds) -> usize {
        16
    }
    fn many(_: &Bounds) -> usize {
        4096
    }
    fn entries(_: &Bounds) -> usize {
        128
    }
    fn long(b: &Bounds) -> usize {
        2 * b.name_bytes
    }
    fn name(b: &Bounds) -> usize {
        b.name_bytes
    }
    fn text(b: &Bounds) -> usize {
        b.text_bytes
    }
    fn names(b: &Bounds) -> usize {
        b.names
    }
    fn records(b: &Bounds) -> usize {
        b.records
    }
    fn waiting(b: &Bounds) -> usize {
        b.waiting
    }
    fn networks(b: &Bounds) -> usize {
        b.networks
    }
    fn components(b: &Bounds) -> usize {
        b.components
    }

    pub(super) static FRAME: Schema = Schema {
        name: "Frame",
        last: 19,
        fields: &[
            (3, Text(sixteen)),
            (5, Text(sixteen)),
            (14, Messages(&NAME_DEFINITION, names)),
            (15, Messages(&RECORD, records)),
            (16, Messages(&HELLO, one)),
        ],
    };
    static NAME_DEFINITION: Schema = Schema {
        name: "NameDefinition",
        last: 2,
        fields: &[(2, Text(name))],
    };
    pub(super) static HELLO: Schema = Schema {
        name: "Hello",
        last: 8,
        fields: &[
            (2, Text(long)),
            (3, Text(long)),
            (4, Text(name)),
            (5, Texts(name, components)),
            (8, Text(name)),
        ],
    };
    static RECORD: Schema = Schema {
        name: "Record",
        last: 27,
        fields: &[
            (3, Text(name)),
            (5, Text(name)),
            (7, Text(name)),
            (9, Text(name)),
            (11, Text(name)),
            (13, Text(name)),
            (16, Payload),
            (17, Messages(&TRACE, one)),
            (18, Messages(&WAITING, waiting)),
            (19, Messages(&OUTCOME, one)),
            (22, Text(name)),
            (24, Texts(name, networks)),
            (25, Messages(&HORIZON, one)),
        ],
    };
    static TRACE: Schema = Schema {
        name: "TraceContext",
        last: 4,
        fields: &[(1, Text(sixteen)), (2, Text(sixteen)), (4, Text(name))],
    };
    static WAITING: Schema = Schema {
        name: "Waiting",
        last: 3,
        fields: &[(1, Text(sixteen)), (2, Text(name))],
    };
    static HORIZON: Schema = Schema {
        name: "Horizon",
        last: 4,
        fields: &[(2, Texts(name, networks))],
    };
    pub(super) static OUTCOME: Schema = Schema {
        name: "Outcome",
        last: 6,
        fields: &[
            (2, Text(text)),
            (3, Messages(&STATUS, one)),
            (4, Messages(&LIMIT, one)),
            (6, Texts(name, waiting)),
        ],
    };
    static STATUS: Schema = Schema {
        name: "Status",
        last: 3,
        fields: &[(2, Text(text)), (3, Payload)],
    };
    static LIMIT: Schema = Schema {
        name: "Limit",
        last: 4,
        fields: &[(1, Text(name)), (4, Text(name))],
    };

    pub(super) static CONTROL: Schema = Schema {
        name: "ControlFrame",
        last: 7,
        fields: &[
            (3, Text(sixteen)),
            (6, Messages(&REQUEST, one)),
            (7, Messages(&RESPONSE, one)),
        ],
    };
    static REQUEST: Schema = Schema {
        name: "Request",
        last: 9,
        fields: &[
            (1, Messages(&SCALARS, one)),
            (2, Messages(&SCALARS, one)),
            (3, Messages(&SCALARS, one)),
            (4, Messages(&SCALARS, one)),
            (5, Messages(&DIRECTORY, one)),
            (6, Messages(&BREAKERS, one)),
            (7, Messages(&EXPLAIN, one)),
            (8, Messages(&SET_LIMIT, one)),
            (9, Messages(&SCALARS, one)),
        ],
    };
    static SET_LIMIT: Schema = Schema {
        name: "SetLimit",
        last: 9,
        fields: &[
            (1, Text(name)),
            (2, Text(name)),
            (3, Text(name)),
            (7, Text(name)),
            (8, Text(name)),
        ],
    };
    static BREAKERS: Schema = Schema {
        name: "Breakers",
        last: 3,
        fields: &[(1, Text(name)), (2, Text(name))],
    };
    static EXPLAIN: Schema = Schema {
        name: "Explain",
        last: 4,
        fields: &[
            (1, Text(name)),
            (2, Text(name)),
            (3, Text(name)),
            (4, Text(name)),
        ],
    };
    static DIRECTORY: Schema = Schema {
        name: "Directory",
        last: 2,
        fields: &[(1, Messages(&ENTRY_VERSION, many)), (2, Text(sixteen))],
    };
    static ENTRY_VERSION: Schema = Schema {
        name: "EntryVersion",
        last: 3,
        fields: &[(1, Text(sixteen))],
    };
    static RESPONSE: Schema = Schema {
        name: "Response",
        last: 8,
        fields: &[
            (1, Messages(&PONG, one)),
            (2, Messages(&DESCRIPTION, one)),
            (3, Messages(&SCALARS, one)),
            (4, Messages(&REFUSED, one)),
            (5, Messages(&ENTRIES, one)),
            (6, Messages(&BREAKER_REPORT, one)),
            (7, Messages(&EXPLANATION, one)),
            (8, Messages(&LIMITS, one)),
        ],
    };
    static LIMITS: Schema = Schema {
        name: "Limits",
        last: 2,
        fields: &[(1, Messages(&LIMIT_DESCRIPTION, many))],
    };
    static LIMIT_DESCRIPTION: Schema = Schema {
        name: "LimitDescription",
        last: 10,
        fields: &[(1, Text(name)), (2, Text(name)), (8, Text(name))],
    };
    static BREAKER_REPORT: Schema = Schema {
        name: "BreakerReport",
        last: 2,
        fields: &[(1, Messages(&BREAKER, components))],
    };
    static BREAKER: Schema = Schema {
        name: "BreakerDescription",
        last: 17,
        fields: &[
            (1, Text(name)),
            (2, Text(name)),
            (4, Text(text)),
            (17, Messages(&EJECTED, components)),
        ],
    };
    static EJECTED: Schema = Schema {
        name: "EjectedInstance",
        last: 5,
        fields: &[(1, Text(sixteen)), (2, Text(name)), (4, Text(text))],
    };
    static EXPLANATION: Schema = Schema {
        name: "Explanation",
        last: 5,
        fields: &[
            (1, Text(name)),
            (3, Text(text)),
            (4, Messages(&PLACE, components)),
        ],
    };
    static PLACE: Schema = Schema {
        name: "PlaceExplanation",
        last: 11,
        fields: &[
            (1, Text(sixteen)),
            (2, Text(name)),
            (5, Text(name)),
            (6, Text(name)),
            (7, Text(text)),
            (10, Text(name)),
            (11, Messages(&FULL_PLACE, one)),
        ],
    };
    static FULL_PLACE: Schema = Schema {
        name: "FullPlace",
        last: 6,
        fields: &[(1, Text(name)), (4, Text(name))],
    };
    static ENTRIES: Schema = Schema {
        name: "Entries",
        last: 2,
        fields: &[(1, Messages(&ENTRY, entries))],
    };
    static ENTRY: Schema = Schema {
        name: "Entry",
        last: 7,
        fields: &[
            (1, Text(name)),
            (3, Text(name)),
            (4, Text(long)),
            (5, Messages(&COMPONENT_ENTRY, components)),
            (6, Text(name)),
            (7, Texts(name, components)),
        ],
    };
    static COMPONENT_ENTRY: Schema = Schema {
        name: "ComponentEntry",
        last: 7,
        fields: &[
            (1, Text(name)),
            (4, Messages(&SUBSCRIPTION_ENTRY, many)),
            (6, Text(name)),
            (7, Text(name)),
        ],
    };
    static SUBSCRIPTION_ENTRY: Schema = Schema {
        name: "SubscriptionEntry",
        last: 2,
        fields: &[(1, Text(name)), (2, Text(name))],
    };
    static SCALARS: Schema = Schema {
        name: "verb",
        last: 2,
        fields: &[],
    };
    static PONG: Schema = Schema {
        name: "Pong",
        last: 3,
        fields: &[(2, Text(name))],
    };
    static REFUSED: Schema = Schema {
        name: "Refused",
        last: 1,
        fields: &[(1, Text(text))],
    };
    static DESCRIPTION: Schema = Schema {
        name: "Description",
        last: 16,
        fields: &[
            (1, Text(sixteen)),
            (3, Text(name)),
            (4, Text(name)),
            (7, Messages(&COMPONENT, components)),
            (8, Messages(&COUNTER, many)),
            (9, Messages(&PEER, components)),
            (11, Messages(&MEMBER, components)),
            (12, Text(text)),
            (14, Text(name)),
            (15, Text(long)),
            (16, Text(long)),
        ],
    };
    static MEMBER: Schema = Schema {
        name: "MemberDescription",
        last: 11,
        fields: &[
            (1, Text(sixteen)),
            (3, Text(name)),
            (4, Text(name)),
            (7, Texts(name, components)),
            (9, Text(long)),
            (10, Text(long)),
            (11, Text(long)),
        ],
    };
    static COUNTER: Schema = Schema {
        name: "counter",
        last: 2,
        fields: &[(1, Text(long))],
    };
    static COMPONENT: Schema = Schema {
        name: "ComponentDescription",
        last: 15,
        fields: &[
            (1, Text(name)),
            (3, Text(name)),
            (12, Texts(long, many)),
            (13, Texts(name, many)),
            (14, Payload),
            (15, Text(name)),
        ],
    };
    static PEER: Schema = Schema {
        name: "PeerDescription",
        last: 10,
        fields: &[
            (1, Text(sixteen)),
            (3, Text(name)),
            (4, Text(long)),
            (6, Text(long)),
            (8, Texts(name, components)),
            (10, Text(long)),
        ],
    };

    pub(super) static DATAGRAM: Schema = Schema {
        name: "Datagram",
        last: 8,
        fields: &[
            (3, Text(sixteen)),
            (5, Messages(&SCALARS, one)),
            (6, Messages(&SCALARS, one)),
            (7, Messages(&BUSY, one)),
            (8, Messages(&MEMBERSHIP, one)),
        ],
    };
    static MEMBERSHIP: Schema = Schema {
        name: "Membership",
        last: 1,
        fields: &[(1, Payload)],
    };
    static BUSY: Schema = Schema {
        name: "Busy",
        last: 4,
        fields: &[(2, Text(long)), (4, Payload)],
    };
}

use schema::{Field, Schema};

/// No schema here nests deeper.
const DEPTH_MAX: usize = 6;
/// No schema here bounds more fields.
const FIELDS_MAX: usize = 16;

/// Checks an encoded [`wire::Hello`].
pub(crate) fn check_hello(bytes: &[u8], bounds: &Bounds) -> Result<(), DecodeError> {
    check(bytes, &schema::HELLO, bounds, 1)
}

/// Checks an encoded [`wire::Outcome`].
pub(crate) fn check_outcome(bytes: &[u8], bounds: &Bounds) -> Result<(), DecodeError> {
    check(bytes, &schema::OUTCOME, bounds, 2)
}

/// Walks one message's encoded bytes.
fn check(
    mut bytes: &[u8],
    schema: &Schema,
    bounds: &Bounds,
    depth: usize,
) -> Result<(), DecodeError> {
    debug_assert!(depth < DEPTH_MAX && schema.fields.len() <= FIELDS_MAX);
    let mut counts = [0_usize; FIELDS_MAX];
    let mut unknown = 0;
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let Ok(number) = u32::try_from(tag >> 3) else {
            return Err(MALFORMED);
        };
        if number == 0 {
            return Err(MALFORMED);
        }
        if number > schema.last {
            unknown += 1;
            if unknown > bounds.unknown_fields {
                return refuse(Reason::TooMany, "unknown fields");
            }
        }
        let value = match tag & 7 {
            0 => {
                varint(&mut bytes)?;
                continue;
            }
            1 => {
                take(&mut bytes, 8)?;
                continue;
            }
            2 => {
                let len = varint(&mut bytes)?;
                take(&mut bytes, usize::try_from(len).map_err(|_| MALFORMED)?)?
            }
            5 => {
                take(&mut bytes, 4)?;
                continue;
            }
            _ => return Err(MALFORMED),
        };
        let Some(index) = schema.fields.iter().position(|(known, _)| *known == number) else {
            if number <= schema.last {
                // A scalar field in a length-delimited dress: prost would refuse it, too.
                return Err(MALFORMED);
            }
            continue;
        };
        counts[index] += 1;
        check_field(
            value,
            &schema.fields[index].1,
            counts[index],
            schema.name,
            bounds,
            depth,
        )?;
    }
    Ok(())
}

fn check_field(
    value: &[u8],
    field: &Field,
    count: usize,
    name: &'static str,
    bounds: &Bounds,
    depth: usize,
) -> Result<(), DecodeError> {
    let over = |limit: usize| count > limit;
    match field {
        Field::Text(max) if value.len() > max(bounds) => refuse(Reason::NameTooLong, name),
        // A single field may legally be repeated, and the last one counts; nobody sends that.
        Field::Text(_) | Field::Payload if over(1) => refuse(Reason::TooMany, name),
        Field::Texts(max, _) if value.len() > max(bounds) => refuse(Reason::NameTooLong, name),
        Field::Texts(_, most) if over(most(bounds)) => refuse(Reason::TooMany, name),
        Field::Messages(_, most) if over(most(bounds)) => refuse(Reason::TooMany, name),
        Field::Messages(inner, _) => check(value, inner, bounds, depth + 1),
        Field::Text(_) | Field::Texts(..) | Field::Payload => Ok(()),
    }
}

/// Reads a base-128 varint of at most ten bytes.
#[inline]
pub(crate) fn varint(bytes: &mut &[u8]) -> Result<u64, DecodeError> {
    match bytes.split_first() {
        // Most are tags, small numbers and the lengths of names.
        Some((byte, rest)) if *byte < 0x80 => {
            *bytes = rest;
            Ok(u64::from(*byte))
        }
        _ => long_varint(bytes),
    }
}

fn long_varint(bytes: &mut &[u8]) -> Result<u64, DecodeError> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            if index == 9 && *byte > 1 {
                return Err(MALFORMED);
            }
            *bytes = &bytes[index + 1..];
            return Ok(value);
        }
    }
    Err(MALFORMED)
}

#[inline]
pub(crate) fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Result<&'a [u8], DecodeError> {
    let Some((head, tail)) = bytes.split_at_checked(len) else {
        return Err(MALFORMED);
    };
    *bytes = tail;
    Ok(head)
}

#[cfg(test)]
mod tests;
