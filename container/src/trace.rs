//! W3C trace context.

use std::fmt;

use monofil_proto::TraceRef;

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

    /// Makes the context of a message, a span of its own in the trace of what caused it, from a number that no
    /// other message has.
    pub(crate) const fn child(&self, message: u64) -> Self {
        let span_id = mix(message) | 1;
        let trace_id = if self.is_set() {
            self.trace_id
        } else {
            (mix(span_id) as u128) << 64 | (mix(!span_id) | 1) as u128
        };
        Self {
            trace_id,
            span_id,
            flags: self.flags,
        }
    }

    pub(crate) fn to_wire(self) -> Option<TraceRef> {
        self.is_set().then(|| TraceRef {
            trace_id: self.trace_id,
            span_id: self.span_id,
            flags: self.flags.into(),
        })
    }

    pub(crate) const fn from_wire(context: TraceRef) -> Self {
        Self {
            trace_id: context.trace_id,
            span_id: context.span_id,
            flags: context.flags.to_le_bytes()[0],
        }
    }
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood, 2014): different numbers stay different, and look random.
const fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
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
