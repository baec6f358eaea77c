//! What a container writes down when somebody asked for it; see [`monofil_transport::record`].
//!
//! Each function here is called at one place, where the thing happens, and begins with one test. None of them is
//! worth a thought as long as nobody asked.

use std::fmt::Write as _;
use std::sync::Arc;

use monofil_proto::wire::Kind;
use monofil_transport::record::{Manner, Place, Recorder, Sent, What};

use crate::calls::TaskId;
use crate::core::{Core, Sender, Task};
use crate::envelope::Envelope;
use crate::{CallError, Name, Payload};

/// So much of a payload or an error is kept.
const TEXT_CHARS_MAX: usize = 240;

impl Core {
    #[inline]
    fn record(&self, what: impl FnOnce(&Recorder) -> What) {
        if let Some(recorder) = &self.recorder {
            recorder.add(self.now, what(recorder));
        }
    }

    /// A message was made, and is about to leave.
    #[inline]
    pub(crate) fn record_sent(&self, sender: &Sender, envelope: &Envelope, place: Option<Place>) {
        self.record(|recorder| {
            let name = |name: &Name| recorder.name(name.as_str());
            let heading = envelope.heading();
            What::Sent(Box::new(Sent {
                message: envelope.trace.span_id,
                cause: sender.message.map_or(0, |_| sender.trace.span_id),
                call: envelope.id,
                manner: match envelope.kind {
                    Kind::Call => Manner::Call,
                    Kind::Publish => Manner::Publish,
                    _ => Manner::Cast,
                },
                from: name(&heading.source),
                to: name(&heading.target),
                method: match heading.method.is_empty() {
                    true => name(&heading.topic),
                    false => name(&heading.method),
                },
                flow: name(&heading.flow),
                payload: preview(&envelope.payload).into(),
                bytes: envelope.payload.len(),
                place,
            }))
        });
    }

    /// A message is put into an instance's queue.
    #[inline]
    pub(crate) fn record_queued(&self, index: usize, message: &Envelope) {
        self.record(|recorder| What::Queued {
            message: message.trace.span_id,
            component: recorder.name(self.instances[index].name.as_str()),
            instance: self.instances[index].number,
        });
    }

    #[inline]
    pub(crate) fn record_began(&self, id: TaskId, task: &Task) {
        let (sender, method) = (&task.sender, &task.method);
        self.record(|recorder| What::Began {
            task: id.0,
            message: sender.message.map_or(0, |_| sender.trace.span_id),
            component: recorder.name(sender.component.as_str()),
            // An item of a stream is made on behalf of the instance that began it.
            instance: task
                .instance
                .or(sender.instance)
                .map_or(0, |index| self.instances[index].number),
            method: recorder.name(method.as_str()),
        });
    }

    /// A handler is about to wait: this is its stack.
    #[inline]
    pub(crate) fn record_suspended(&self, task: TaskId, place: Place) {
        if let Some(recorder) = &self.recorder {
            recorder.suspended(self.now, task.0, place);
        }
    }

    #[inline]
    pub(crate) fn record_resumed(&self, task: TaskId) {
        self.record(|_| What::Resumed { task: task.0 });
    }

    /// A handler returned; with its error, or its panic, if it had one.
    #[inline]
    pub(crate) fn record_ended(&self, task: TaskId, error: impl FnOnce() -> Option<String>) {
        self.record(|_| What::Ended {
            task: task.0,
            error: error().map(|error| clipped(&error)),
        });
    }

    #[inline]
    pub(crate) fn record_call_ended(
        &self,
        call: u64,
        result: Result<Option<&Payload>, &CallError>,
    ) {
        self.record(|_| What::CallEnded {
            call,
            outcome: match result {
                Ok(payload) => Ok(payload.map_or_else(String::new, preview).into()),
                Err(error) => Err(clipped(&error.to_string())),
            },
        });
    }

    #[inline]
    pub(crate) fn record_answer_late(&self, call: u64) {
        self.record(|_| What::AnswerLate { call });
    }

    #[inline]
    pub(crate) fn record_returned(&self, cast: u64, error: &CallError) {
        self.record(|_| What::CastReturned {
            cast,
            error: clipped(&error.to_string()),
        });
    }
}

fn clipped(text: &str) -> Arc<str> {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

/// Writes the beginning of a payload for people. Nobody knows its fields here: of protobuf there are their
/// numbers.
fn preview(payload: &Payload) -> String {
    let bytes = &payload.to_bytes()[..payload.len().min(4 * TEXT_CHARS_MAX)];
    let is_whole = bytes.len() == payload.len();
    let text = match payload.content_type.as_str() {
        "" | "application/protobuf" => fields(bytes, is_whole, 3),
        _ => plain(bytes).map(str::to_owned),
    };
    clipped(&text.unwrap_or_else(|| hexadecimal(bytes))).to_string()
}

/// Returns what is text, but for a character that may be cut at its end.
fn plain(bytes: &[u8]) -> Option<&str> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&bytes[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let strange = |c: char| c.is_control() && !c.is_whitespace();
    (!text.contains(strange)).then_some(text)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold("0x".to_owned(), |mut text, byte| {
        _ = write!(text, "{byte:02x}");
        text
    })
}

/// Writes protobuf as `1: 5, 2: "Ada", 3: {1: 2}`; `None` if it is none. What is not `whole` may end anywhere.
fn fields(mut bytes: &[u8], whole: bool, depth: u32) -> Option<String> {
    let mut out = String::new();
    while !bytes.is_empty() {
        let mut rest = bytes;
        let Some(field) = field(&mut rest, depth) else {
            return (!whole && !out.is_empty()).then(|| out + ", …");
        };
        if !out.is_empty() {
            out.push_str(", ");
        }
        out.push_str(&field?);
        bytes = rest;
    }
    Some(out)
}

/// Reads one field. The outer `None`: there is not all of it; the inner: it is none.
#[expect(
    clippy::option_option,
    reason = "two different answers to two questions"
)]
fn field(bytes: &mut &[u8], depth: u32) -> Option<Option<String>> {
    let key = varint(bytes)?;
    let (number, kind) = (key >> 3, key & 7);
    if number == 0 || number >= 1 << 29 {
        return Some(None);
    }
    let value = match kind {
        0 => varint(bytes)?.to_string(),
        1 => {
            let fixed = u64::from_le_bytes(take(bytes, 8)?.try_into().ok()?);
            decimal(f64::from_bits(fixed), fixed)
        }
        5 => {
            let fixed = u32::from_le_bytes(take(bytes, 4)?.try_into().ok()?);
            decimal(f32::from_bits(fixed).into(), fixed.into())
        }
        2 => {
            let length = usize::try_from(varint(bytes)?).ok()?;
            let content = take(bytes, length)?;
            match plain(content) {
                Some(text) => format!("{text:?}"),
                None => (depth > 0)
                    .then(|| fields(content, true, depth - 1))
                    .flatten()
                    .map_or_else(|| hexadecimal(content), |inner| format!("{{{inner}}}")),
            }
        }
        _ => return Some(None),
    };
    Some(Some(format!("{number}: {value}")))
}

/// Eight or four bytes are a fraction if that is a sensible one.
fn decimal(fraction: f64, fixed: u64) -> String {
    if (1e-6..1e12).contains(&fraction.abs()) {
        fraction.to_string()
    } else {
        fixed.to_string()
    }
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (content, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(content)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..70).step_by(7) {
        let byte = take(bytes, 1)?[0];
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(content_type: &'static str, bytes: impl Into<bytes::Bytes>) -> String {
        preview(&Payload::new(content_type, bytes))
    }

    #[test]
    fn payloads_are_shown_as_far_as_they_can_be_read() {
        let inner = [8, 1];
        let mut message = vec![8, 150, 1, 18, 3];
        message.extend(b"Ada");
        message.extend([26, 2]);
        message.extend(inner);
        message.push(33);
        message.extend(2.5_f64.to_le_bytes());
        assert_eq!(
            shown("", message.clone()),
            r#"1: 150, 2: "Ada", 3: {1: 1}, 4: 2.5"#
        );
        assert_eq!(shown("", ""), "");
        assert_eq!(shown("", &b"\x00\x01"[..]), "0x0001");
        assert_eq!(shown("application/json", r#"{"a":1}"#), r#"{"a":1}"#);
        assert_eq!(shown("text/plain", &b"\xff\x00"[..]), "0xff00");
        assert_eq!(shown("text/plain", "caf\u{e9}"), "café");
    }

    #[test]
    fn long_payloads_are_cut() {
        let shown_text = shown("text/plain", "ä".repeat(10_000));
        assert_eq!(shown_text.chars().count(), TEXT_CHARS_MAX + 1);
        let mut message = vec![18, 0x90, 0x4e];
        message.extend(vec![b'x'; 10_000]);
        // Not even one field is there as a whole.
        assert!(shown("", message).starts_with("0x12904e78"));
        let numbers: Vec<u8> = [8, 1].repeat(2_000);
        assert!(shown("", numbers).ends_with('…'));
    }
}
