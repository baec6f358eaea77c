//! Messages and what they are made of.

use std::panic::Location;
use std::time::Duration;

use bytes::Bytes;
use monofil_proto::wire::Kind;
use monofil_transport::Instant;
use monofil_transport::record::Place;

use crate::parcel::Parcel;
use crate::{CallError, Name, Trace, name};

/// What a message asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// An answer.
    Call,
    /// Nothing.
    Cast,
    /// Nothing: it was published to a topic.
    Publish,
}

/// Payloads of so many bytes are shared with what is decoded of them.
const SHARED_FROM: usize = 1024;

/// A content and how it is encoded. The framework never looks into it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payload {
    /// `application/protobuf`, `application/json`, ...; empty means protobuf.
    pub content_type: Name,
    /// The encoded content.
    pub bytes: Bytes,
}

impl Payload {
    /// Makes a protobuf payload.
    pub fn protobuf(message: &impl prost::Message) -> Self {
        Self {
            content_type: Name::empty(),
            bytes: message.encode_to_vec().into(),
        }
    }

    /// Makes a JSON payload.
    ///
    /// # Errors
    ///
    /// [`CallError::Malformed`] when the value cannot be written as JSON.
    pub fn json<T: serde::Serialize>(value: &T) -> Result<Self, CallError> {
        let bytes = serde_json::to_vec(value)
            .map_err(|error| CallError::Malformed(format!("cannot be written as JSON: {error}")))?;
        Ok(Self {
            content_type: name!("application/json"),
            bytes: bytes.into(),
        })
    }

    /// Makes a payload of plain bytes.
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self {
            content_type: name!("application/octet-stream"),
            bytes: bytes.into(),
        }
    }

    /// Decodes a protobuf payload.
    ///
    /// # Errors
    ///
    /// [`CallError::Malformed`] when it is something else.
    pub fn to_protobuf<T: prost::Message + Default>(&self) -> Result<T, CallError> {
        // Fields of type `Bytes` are slices of a large payload; a small one is not worth being shared.
        let decoded = if self.bytes.len() < SHARED_FROM {
            T::decode(&self.bytes[..])
        } else {
            T::decode(self.bytes.clone())
        };
        decoded.map_err(|error| CallError::Malformed(format!("not the expected message: {error}")))
    }

    /// Decodes a JSON payload.
    ///
    /// # Errors
    ///
    /// [`CallError::Malformed`] when it is something else.
    pub fn to_json<T: serde::de::DeserializeOwned>(&self) -> Result<T, CallError> {
        serde_json::from_slice(&self.bytes)
            .map_err(|error| CallError::Malformed(format!("not the expected JSON: {error}")))
    }
}

/// An immutable message, as a handler gets it.
#[derive(Clone, Debug)]
pub struct Message(pub(crate) Parcel);

impl Message {
    /// Returns what it asks for.
    #[must_use]
    pub fn kind(&self) -> MessageKind {
        match self.0.kind {
            Kind::Call => MessageKind::Call,
            Kind::Publish => MessageKind::Publish,
            _ => MessageKind::Cast,
        }
    }

    /// Returns its id, unique among the incarnation of the node that sent it.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// Returns the component that sent it; empty for a program that is none.
    #[must_use]
    pub fn source(&self) -> &Name {
        &self.0.source
    }

    /// Returns the operation, as `package.Service/Method`.
    #[must_use]
    pub fn method(&self) -> &Name {
        &self.0.method
    }

    /// Returns the topic it was published to; empty for calls and casts.
    #[must_use]
    pub fn topic(&self) -> &Name {
        &self.0.topic
    }

    /// Returns the business flow it belongs to; empty when it belongs to none.
    #[must_use]
    pub fn flow(&self) -> &Name {
        &self.0.flow
    }

    /// Returns when its sender stops caring.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.0.deadline.unwrap_or(Instant::FAR_FUTURE)
    }

    /// Returns its trace context.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        &self.0.trace
    }

    /// Returns the routing key; empty when there is none.
    #[must_use]
    pub fn key(&self) -> &Bytes {
        &self.0.key
    }

    /// Returns its content.
    #[must_use]
    pub fn payload(&self) -> &Payload {
        &self.0.payload
    }
}

/// A message to be sent: what [`Caller`](crate::Caller) takes.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub(crate) target: Name,
    pub(crate) method: Name,
    pub(crate) payload: Payload,
    pub(crate) deadline: Option<Duration>,
    pub(crate) flow: Option<Name>,
    pub(crate) key: Bytes,
    pub(crate) idempotent: bool,
    /// Where it was made, for people.
    pub(crate) place: Option<Place>,
}

impl Request {
    /// Makes a request to a component (`shop/orders`, or `orders` for one of the sender's own app).
    #[track_caller]
    pub fn new(target: impl Into<Name>, method: impl Into<Name>, payload: Payload) -> Self {
        Self {
            target: target.into(),
            method: method.into(),
            payload,
            place: Some(Location::caller()),
            ..Self::default()
        }
    }

    /// Bounds how long its sender waits. The default is 5 s, or what is left of the deadline of the
    /// message that the sender is handling, whichever is less.
    #[must_use]
    pub const fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Puts it into a flow; without this it inherits the flow of the message being handled.
    #[must_use]
    pub fn with_flow(mut self, flow: impl Into<Name>) -> Self {
        self.flow = Some(flow.into());
        self
    }

    /// Chooses the instance of a keyed component.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = key.into();
        self
    }

    /// Says that running it more than once does no harm.
    #[must_use]
    pub const fn idempotent(mut self, idempotent: bool) -> Self {
        self.idempotent = idempotent;
        self
    }

    /// Returns the component it is for.
    #[must_use]
    pub const fn target(&self) -> &Name {
        &self.target
    }

    /// Returns the operation.
    #[must_use]
    pub const fn method(&self) -> &Name {
        &self.method
    }
}

/// A cast or publication that was not handled, as its sender gets it back.
#[derive(Clone, Debug)]
pub struct Undelivered {
    /// The id it was sent with.
    pub id: u64,
    /// The component it was for.
    pub target: Name,
    /// The operation.
    pub method: Name,
    /// The flow it belonged to.
    pub flow: Name,
    /// Why it was not handled.
    pub error: CallError,
}
