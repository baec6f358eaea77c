//! How a message can end otherwise than well.

use std::time::Duration;

use monofil_proto::wire;

use crate::{Code, Name, Status};

/// Whether a handler may have run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Executed {
    /// It did not run: trying elsewhere is safe.
    No,
    /// It may have run, or may still.
    Unknown,
    /// It ran, at least in part.
    InPart,
}

/// A limit was reached. Every rejection names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The limit's name, as it is set and read: `instance.queue_messages`.
    pub limit: Name,
    /// Its value.
    pub value: u64,
    /// What was observed against it.
    pub observed: u64,
    /// Which instance, node or link it belongs to.
    pub place: Name,
    /// Trying again sooner is pointless. `None`: it is later as well, or an earlier release refused it.
    pub retry_after: Option<Duration>,
}

/// How a call ended otherwise than with a reply.
///
/// Says what happened and, through [`CallError::executed`], whether the handler may have run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The component's own error. It ran.
    #[error("{0}")]
    Remote(Status),
    /// A limit was reached. It did not run.
    #[error(
        "rejected: {} of {} is {} and {} was observed", .0.limit, .0.place, .0.value, .0.observed
    )]
    Rejected(Box<Rejection>),
    /// It was never given to a node that could run it.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// The component exists and has no such operation, or its node has no such component.
    #[error("unimplemented: {0}")]
    Unimplemented(String),
    /// The request or its reply is larger than can be carried.
    #[error("too large: {0}")]
    TooLarge(String),
    /// A payload could not be decoded.
    #[error("malformed: {0}")]
    Malformed(String),
    /// The node or instance is finishing and takes nothing new.
    #[error("draining: {0} takes nothing new")]
    Draining(Name),
    /// The deadline passed before it was run.
    #[error("expired before it was run: {0}")]
    Expired(String),
    /// The circuit breaker between the caller and this component is open. It did not run.
    #[error("the circuit breaker of {component} is open")]
    Open {
        /// Which component is not called.
        component: Name,
        /// Trying again sooner is pointless.
        retry_after: Duration,
    },
    /// It would have had to travel farther than it may.
    #[error("horizon exceeded: {0}")]
    HorizonExceeded(String),
    /// Only an instance that waits for this very call could answer it. The chain of those that wait.
    #[error("cycle: {}", .0.iter().map(Name::as_str).collect::<Vec<_>>().join(" -> "))]
    Cycle(Vec<Name>),
    /// The caller gave it up.
    #[error("cancelled")]
    Cancelled,
    /// The handler panicked, with this message.
    #[error("the handler panicked: {0}")]
    Panicked(String),
    /// No answer came in time.
    #[error("timed out: {0}")]
    Timeout(String),
    /// The node that had it is gone.
    #[error("peer lost: {0}")]
    PeerLost(String),
    /// A stream ended before its end.
    #[error("incomplete: {0}")]
    Incomplete(String),
}

impl CallError {
    /// Tells whether the handler may have run.
    #[must_use]
    pub const fn executed(&self) -> Executed {
        match self {
            Self::Rejected(_)
            | Self::Unreachable(_)
            | Self::Unimplemented(_)
            | Self::Malformed(_)
            | Self::Draining(_)
            | Self::Expired(_)
            | Self::Open { .. }
            | Self::HorizonExceeded(_)
            | Self::Cycle(_) => Executed::No,
            Self::TooLarge(_) | Self::Cancelled | Self::Timeout(_) | Self::PeerLost(_) => {
                Executed::Unknown
            }
            Self::Remote(_) | Self::Panicked(_) | Self::Incomplete(_) => Executed::InPart,
        }
    }

    /// Returns the word used in metrics and reports: `timeout`, `rejected`, ...
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Remote(_) => "remote",
            Self::Rejected(_) => "rejected",
            Self::Unreachable(_) => "unreachable",
            Self::Unimplemented(_) => "unimplemented",
            Self::TooLarge(_) => "too_large",
            Self::Malformed(_) => "malformed",
            Self::Draining(_) => "draining",
            Self::Expired(_) => "expired",
            Self::Open { .. } => "open",
            Self::HorizonExceeded(_) => "horizon_exceeded",
            Self::Cycle(_) => "cycle",
            Self::Cancelled => "cancelled",
            Self::Panicked(_) => "panicked",
            Self::Timeout(_) => "timeout",
            Self::PeerLost(_) => "peer_lost",
            Self::Incomplete(_) => "incomplete",
        }
    }

    /// Returns the component's own error, if that is what it is.
    #[must_use]
    pub const fn status(&self) -> Option<&Status> {
        match self {
            Self::Remote(status) => Some(status),
            _ => None,
        }
    }

    /// `retry_after`: `None` where time changes nothing.
    pub(crate) fn rejected(
        limit: &str,
        (value, observed): (u64, u64),
        place: &Name,
        retry_after: impl Into<Option<Duration>>,
    ) -> Self {
        Self::Rejected(Box::new(Rejection {
            limit: limit.into(),
            value,
            observed,
            place: place.clone(),
            retry_after: retry_after.into(),
        }))
    }

    /// A rough upper bound of its encoded length.
    pub(crate) fn encoded_len_hint(&self) -> usize {
        const FIXED: usize = 64;
        let most = monofil_proto::Bounds::DEFAULT.text_bytes;
        FIXED
            + match self {
                Self::Remote(status) => status.message().len().min(most) + status.details().len(),
                Self::Rejected(it) => it.limit.as_str().len() + it.place.as_str().len(),
                Self::Cycle(chain) => chain.iter().map(|name| name.as_str().len() + 4).sum(),
                Self::Draining(component) | Self::Open { component, .. } => {
                    component.as_str().len()
                }
                Self::Unreachable(text)
                | Self::Unimplemented(text)
                | Self::TooLarge(text)
                | Self::Malformed(text)
                | Self::Expired(text)
                | Self::HorizonExceeded(text)
                | Self::Panicked(text)
                | Self::Timeout(text)
                | Self::PeerLost(text)
                | Self::Incomplete(text) => text.len().min(most),
                Self::Cancelled => 0,
            }
    }

    /// Leaves out what is too large to travel: an error that cannot be told is none.
    pub(crate) fn within(self, most: usize) -> Self {
        match self {
            Self::Remote(status) if status.details().len() > most => {
                let length = status.details().len();
                let note = format!("; its details of {length} bytes are too large to travel");
                Self::Remote(Status::new(
                    status.code(),
                    status.message().to_owned() + &note,
                ))
            }
            error => error,
        }
    }

    /// A reply came that cannot be read. Unlike a request that cannot, it ran.
    pub(crate) fn unreadable(self) -> Self {
        match self {
            Self::Malformed(text) => Self::Remote(Status::internal(format!("the reply is {text}"))),
            error => error,
        }
    }

    pub(crate) fn to_wire(&self) -> wire::Outcome {
        use wire::OutcomeKind as Kind;
        let mut outcome = wire::Outcome::default();
        let kind = match self {
            Self::Remote(status) => {
                outcome.status = Some(wire::Status {
                    code: status.code().number(),
                    message: clipped(status.message()),
                    details: status.details().clone(),
                });
                Kind::OutcomeRemote
            }
            Self::Rejected(rejection) => {
                outcome.limit = Some(wire::Limit {
                    name: rejection.limit.as_str().into(),
                    value: rejection.value,
                    observed: rejection.observed,
                    r#where: rejection.place.as_str().into(),
                });
                outcome.retry_after_micros = rejection.retry_after.map_or(0, micros);
                Kind::OutcomeRejected
            }
            Self::Unreachable(text) => text_outcome(&mut outcome, text, Kind::OutcomeUnreachable),
            Self::Unimplemented(text) => {
                text_outcome(&mut outcome, text, Kind::OutcomeUnimplemented)
            }
            Self::TooLarge(text) => text_outcome(&mut outcome, text, Kind::OutcomeTooLarge),
            Self::Malformed(text) => text_outcome(&mut outcome, text, Kind::OutcomeMalformed),
            Self::Draining(name) => {
                text_outcome(&mut outcome, name.as_str(), Kind::OutcomeDraining)
            }
            Self::Expired(text) => text_outcome(&mut outcome, text, Kind::OutcomeExpired),
            Self::Open {
                component,
                retry_after,
            } => {
                outcome.retry_after_micros = micros(*retry_after);
                text_outcome(&mut outcome, component.as_str(), Kind::OutcomeOpen)
            }
            Self::HorizonExceeded(text) => {
                text_outcome(&mut outcome, text, Kind::OutcomeHorizonExceeded)
            }
            Self::Cycle(chain) => {
                // The cycle is at its end; where it began may not find room.
                let most = monofil_proto::Bounds::DEFAULT.waiting;
                let last = &chain[chain.len().saturating_sub(most)..];
                outcome.cycle = last.iter().map(|name| name.as_str().to_owned()).collect();
                Kind::OutcomeCycle
            }
            Self::Cancelled => Kind::OutcomeCancelled,
            Self::Panicked(text) => text_outcome(&mut outcome, text, Kind::OutcomePanicked),
            Self::Timeout(text) => text_outcome(&mut outcome, text, Kind::OutcomeTimeout),
            Self::PeerLost(text) => text_outcome(&mut outcome, text, Kind::OutcomePeerLost),
            Self::Incomplete(text) => text_outcome(&mut outcome, text, Kind::OutcomeIncomplete),
        };
        outcome.kind = kind.into();
        outcome
    }

    /// An outcome that this release does not know becomes [`CallError::Timeout`]: whether it ran is not
    /// known, which is the cautious reading.
    pub(crate) fn from_wire(outcome: wire::Outcome) -> Self {
        use wire::OutcomeKind as Kind;
        let text = outcome.message;
        match wire::OutcomeKind::try_from(outcome.kind).unwrap_or(Kind::OutcomeUnspecified) {
            Kind::OutcomeRemote => {
                let status = outcome.status.unwrap_or_default();
                Self::Remote(
                    Status::new(Code::from_number(status.code), status.message)
                        .with_details(status.details),
                )
            }
            Kind::OutcomeRejected => {
                let limit = outcome.limit.unwrap_or_default();
                let retry_after = (outcome.retry_after_micros > 0)
                    .then(|| Duration::from_micros(outcome.retry_after_micros));
                Self::Rejected(Box::new(Rejection {
                    limit: limit.name.into(),
                    value: limit.value,
                    observed: limit.observed,
                    place: limit.r#where.into(),
                    retry_after,
                }))
            }
            Kind::OutcomeUnreachable => Self::Unreachable(text),
            Kind::OutcomeUnimplemented => Self::Unimplemented(text),
            Kind::OutcomeTooLarge => Self::TooLarge(text),
            Kind::OutcomeMalformed => Self::Malformed(text),
            Kind::OutcomeDraining => Self::Draining(text.into()),
            Kind::OutcomeExpired => Self::Expired(text),
            Kind::OutcomeOpen => Self::Open {
                component: text.into(),
                retry_after: Duration::from_micros(outcome.retry_after_micros),
            },
            Kind::OutcomeHorizonExceeded => Self::HorizonExceeded(text),
            Kind::OutcomeCycle => Self::Cycle(outcome.cycle.into_iter().map(Name::from).collect()),
            Kind::OutcomeCancelled => Self::Cancelled,
            Kind::OutcomePanicked => Self::Panicked(text),
            Kind::OutcomePeerLost => Self::PeerLost(text),
            Kind::OutcomeIncomplete => Self::Incomplete(text),
            Kind::OutcomeTimeout => Self::Timeout(text),
            Kind::OutcomeUnspecified => Self::Timeout(format!(
                "outcome {} of a later release: {text}",
                outcome.kind
            )),
        }
    }
}

fn text_outcome(
    outcome: &mut wire::Outcome,
    text: &str,
    kind: wire::OutcomeKind,
) -> wire::OutcomeKind {
    outcome.message = clipped(text);
    kind
}

/// Cuts a text for people to what may travel, at a character's edge.
fn clipped(text: &str) -> String {
    let max = monofil_proto::Bounds::DEFAULT.text_bytes;
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// What a caller gets from a handler that gives up because a call of its own failed: `?` just works.
impl From<CallError> for Status {
    fn from(error: CallError) -> Self {
        let code = match &error {
            CallError::Remote(status) => return status.clone(),
            CallError::Rejected(_) => Code::ResourceExhausted,
            CallError::Unimplemented(_) => Code::Unimplemented,
            CallError::TooLarge(_) => Code::OutOfRange,
            CallError::Malformed(_) => Code::Internal,
            CallError::Expired(_) | CallError::Timeout(_) => Code::DeadlineExceeded,
            CallError::Cycle(_) | CallError::HorizonExceeded(_) => Code::FailedPrecondition,
            CallError::Cancelled => Code::Cancelled,
            CallError::Panicked(_) | CallError::Incomplete(_) => Code::Aborted,
            CallError::Unreachable(_)
            | CallError::Draining(_)
            | CallError::Open { .. }
            | CallError::PeerLost(_) => Code::Unavailable,
        };
        Self::new(code, error.to_string())
    }
}

/// Why a handler did not reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandlerError {
    /// The component's own error.
    #[error("{0}")]
    Status(#[from] Status),
    /// It has no such operation.
    #[error("unimplemented: {0}")]
    Unimplemented(String),
    /// It could not decode the payload.
    #[error("malformed: {0}")]
    Malformed(String),
}

impl From<CallError> for HandlerError {
    fn from(error: CallError) -> Self {
        Self::Status(error.into())
    }
}

impl From<HandlerError> for CallError {
    fn from(error: HandlerError) -> Self {
        match error {
            HandlerError::Status(status) => Self::Remote(status),
            HandlerError::Unimplemented(what) => Self::Unimplemented(what),
            HandlerError::Malformed(what) => Self::Malformed(what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_survives_the_wire() {
        let name = Name::from("shop/orders");
        for error in [
            CallError::Remote(Status::not_found("no such order").with_details("details")),
            CallError::rejected("instance.queue_messages", (1024, 1024), &name, None),
            CallError::rejected("node.calls", (2, 2), &name, Duration::from_millis(3)),
            CallError::Unreachable("a".into()),
            CallError::Unimplemented("b".into()),
            CallError::TooLarge("c".into()),
            CallError::Malformed("d".into()),
            CallError::Draining(name.clone()),
            CallError::Expired("e".into()),
            CallError::Open {
                component: name.clone(),
                retry_after: Duration::from_millis(700),
            },
            CallError::HorizonExceeded("f".into()),
            CallError::Cycle(vec![name.clone(), name]),
            CallError::Cancelled,
            CallError::Panicked("g".into()),
            CallError::Timeout("h".into()),
            CallError::PeerLost("i".into()),
            CallError::Incomplete("j".into()),
        ] {
            assert_eq!(CallError::from_wire(error.to_wire()), error);
        }
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(clipped(&"é".repeat(4096)).len(), 4096);
        assert_eq!(clipped(&format!("a{}", "é".repeat(4096))).len(), 4095);
    }
}
