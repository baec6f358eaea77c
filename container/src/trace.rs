//! W3C trace context.

use std::fmt;

use monofil_proto::wire;

/// Which trace a message belongs to, and the span that caused it. See
/// <https://www.w3.org/TR/trace-context/>.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// All messages with one cause share it; zero means none.
    pub trace_id: u128,
    /// The span that caused the message; zero means none.
    pub span_id: u64,
    /// Bit 0: sampled.
    pub flags: u8,
}

impl Trace {
    /// Tells whether there is a trace.
    #[must_use]
    pub const fn is_set(&self) -> bool {
        self.trace_id != 0
    }

    pub(crate) fn to_wire(self) -> Option<wire::TraceContext> {
        self.is_set().then(|| wire::TraceContext {
            trace_id: self.trace_id.to_be_bytes().to_vec(),
            span_id: self.span_id.to_be_bytes().to_vec(),
            flags: u32::from(self.flags),
            state: String::new(),
        })
    }

    /// A trace context of a wrong length is none: tracing never costs a message.
    pub(crate) fn from_wire(context: Option<&wire::TraceContext>) -> Self {
        let parse = |context: &wire::TraceContext| {
            Some(Self {
                trace_id: u128::from_be_bytes(context.trace_id[..].try_into().ok()?),
                span_id: u64::from_be_bytes(context.span_id[..].try_into().ok()?),
                flags: context.flags.to_le_bytes()[0],
            })
        };
        context.and_then(parse).unwrap_or_default()
    }
}

impl fmt::Display for Trace {
    /// Writes a `traceparent` header's value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "00-{:032x}-{:016x}-{:02x}",
            self.trace_id, self.span_id, self.flags
        )
    }
}
