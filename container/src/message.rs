//! Messages and what they are made of.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use monofil_proto::wire::Kind;
use monofil_transport::Instant;
use monofil_transport::record::Place;

use crate::fiber::panic_message;
use crate::heading::Heading;
use crate::parcel::Parcel;
use crate::{CallError, Horizon, Name, Trace, name};

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

/// As many as fit beside the tag in the size of the other variants.
const SHORT_MAX: usize = 38;
/// Payloads of so many bytes are shared with what is decoded of them.
const SHARED_FROM: usize = 1024;

/// A content and how it is encoded. The framework never looks into it.
///
/// A message that [`Payload::message`] made is handed over as it is inside a container, and encoded when it leaves
/// it, or when somebody asks for its bytes.
#[derive(Clone, Default)]
pub struct Payload {
    /// `application/protobuf`, `application/json`, ...; empty means protobuf.
    pub content_type: Name,
    content: Content,
}

#[derive(Clone, Default)]
enum Content {
    #[default]
    Empty,
    Encoded(Bytes),
    /// So short that it needs no memory of its own: so many of these bytes.
    Short(u8, [u8; SHORT_MAX]),
    /// And how long it will be.
    Whole(usize, Handed),
}

/// A message on its way. Its code is its author's: a panic in it harms nobody else.
#[derive(Clone)]
struct Handed(Option<Arc<dyn Whole>>);

impl Handed {
    fn new(message: impl Whole) -> Self {
        Self(Some(Arc::new(message)))
    }

    fn get(&self) -> &Arc<dyn Whole> {
        let message = self.0.as_ref();
        message.expect("invariant: it is there until it is dropped")
    }

    /// Encodes it; returns the text of its panic.
    fn encode(&self) -> Result<Bytes, String> {
        let encode = || self.get().encode();
        catch_unwind(AssertUnwindSafe(encode)).map_err(|panic| panic_message(&*panic))
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        let message = self.0.take();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(message))) {
            let panic = panic_message(&*panic);
            tracing::error!(%panic, "the destructor of a message panicked");
        }
    }
}

/// A message that is not encoded yet.
trait Whole: Any + Send + Sync {
    fn encode(&self) -> Bytes;

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

impl<T: prost::Message + 'static> Whole for T {
    fn encode(&self) -> Bytes {
        self.encode_to_vec().into()
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

impl Payload {
    /// Makes a payload of what is encoded already.
    pub fn new(content_type: impl Into<Name>, bytes: impl Into<Bytes>) -> Self {
        Self {
            content_type: content_type.into(),
            content: Content::Encoded(bytes.into()),
        }
    }

    /// Becomes what [`Payload::new`] makes.
    pub(crate) fn set_bytes(&mut self, content_type: Name, bytes: Bytes) {
        self.content_type = content_type;
        self.content = Content::Encoded(bytes);
    }

    /// Makes a protobuf payload.
    pub fn protobuf(message: &impl prost::Message) -> Self {
        Self::new(Name::empty(), message.encode_to_vec())
    }

    /// Makes a protobuf payload that is only encoded if it leaves this container, or is so short that nothing else
    /// would be cheaper. Limits count it by its encoded length in either case. One that stays is not held to what
    /// decoding refuses, such as a hundred messages inside one another.
    pub fn message<T: prost::Message + 'static>(message: T) -> Self {
        let mut payload = Self::default();
        payload.set_message(message);
        payload
    }

    /// Becomes what [`Payload::message`] makes.
    pub(crate) fn set_message<T: prost::Message + 'static>(&mut self, message: T) {
        self.content_type = Name::empty();
        let length = message.encoded_len();
        match u8::try_from(length) {
            Ok(0) => self.content = Content::Empty,
            Ok(few) if length <= SHORT_MAX => {
                self.content = Content::Short(few, [0; SHORT_MAX]);
                if let Content::Short(_, short) = &mut self.content {
                    message.encode_raw(&mut &mut short[..]);
                }
            }
            _ => self.content = Content::Whole(length, Handed::new(message)),
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
        Ok(Self::new(name!("application/json"), bytes))
    }

    /// Makes a payload of plain bytes.
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self::new(name!("application/octet-stream"), bytes)
    }

    /// Returns how many bytes it is long, encoded.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.content {
            Content::Empty => 0,
            Content::Encoded(bytes) => bytes.len(),
            Content::Short(length, _) => (*length).into(),
            Content::Whole(length, _) => *length,
        }
    }

    /// Tells whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the encoded content. Costs nothing unless it is a message that was not encoded yet.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        match &self.content {
            Content::Empty => Bytes::new(),
            Content::Encoded(bytes) => bytes.clone(),
            Content::Short(..) => Bytes::copy_from_slice(self.encoded()),
            Content::Whole(_, message) => message.get().encode(),
        }
    }

    /// Encodes it, if it is not yet: it is about to leave.
    ///
    /// # Errors
    ///
    /// [`CallError::Panicked`] when the code of the message does.
    pub(crate) fn encode(&mut self) -> Result<(), CallError> {
        if let Content::Whole(_, message) = &self.content {
            let encoded = message.encode();
            self.content = Content::Encoded(encoded.map_err(CallError::Panicked)?);
        }
        Ok(())
    }

    /// Returns the bytes of one that is encoded.
    pub(crate) fn encoded(&self) -> &[u8] {
        match &self.content {
            Content::Encoded(bytes) => bytes,
            Content::Short(length, bytes) => &bytes[..usize::from(*length)],
            Content::Empty | Content::Whole(..) => &[],
        }
    }

    /// Decodes a protobuf payload.
    ///
    /// # Errors
    ///
    /// [`CallError::Malformed`] when it is something else.
    pub fn to_protobuf<T: prost::Message + Default>(&self) -> Result<T, CallError> {
        let decoded = match &self.content {
            Content::Whole(_, message) => T::decode(message.get().encode()),
            // Fields of type `Bytes` are slices of a large payload; a small one is not worth being shared.
            Content::Encoded(bytes) if bytes.len() >= SHARED_FROM => T::decode(bytes.clone()),
            _ => T::decode(self.encoded()),
        };
        decoded.map_err(|error| CallError::Malformed(format!("not the expected message: {error}")))
    }

    /// The same, without decoding what was never encoded.
    ///
    /// # Errors
    ///
    /// See [`Payload::to_protobuf`].
    pub fn into_protobuf<T>(self) -> Result<T, CallError>
    where
        T: prost::Message + Default + Clone + 'static,
    {
        let Content::Whole(_, message) = &self.content else {
            return self.to_protobuf();
        };
        match message.get().clone().into_any().downcast::<T>() {
            Ok(message) => {
                // Its own reference is one too many.
                drop(self);
                Ok(Arc::unwrap_or_clone(message))
            }
            // Of another type that may well read the same.
            Err(_) => self.to_protobuf(),
        }
    }

    /// Decodes a JSON payload.
    ///
    /// # Errors
    ///
    /// [`CallError::Malformed`] when it is something else.
    pub fn to_json<T: serde::de::DeserializeOwned>(&self) -> Result<T, CallError> {
        serde_json::from_slice(&self.to_bytes())
            .map_err(|error| CallError::Malformed(format!("not the expected JSON: {error}")))
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.content_type == other.content_type && self.to_bytes() == other.to_bytes()
    }
}

impl Eq for Payload {}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payload")
            .field("content_type", &self.content_type)
            .field("bytes", &self.to_bytes())
            .finish()
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
        &self.0.heading().source
    }

    /// Returns the operation, as `package.Service/Method`.
    #[must_use]
    pub fn method(&self) -> &Name {
        &self.0.heading().method
    }

    /// Returns the topic it was published to; empty for calls and casts.
    #[must_use]
    pub fn topic(&self) -> &Name {
        &self.0.heading().topic
    }

    /// Returns the business flow it belongs to; empty when it belongs to none.
    #[must_use]
    pub fn flow(&self) -> &Name {
        &self.0.heading().flow
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
        self.0.key()
    }

    /// Returns its content.
    #[must_use]
    pub fn payload(&self) -> &Payload {
        &self.0.payload
    }

    /// Takes its content.
    #[must_use]
    pub fn into_payload(mut self) -> Payload {
        std::mem::take(&mut self.0.payload)
    }

    /// Decodes its content, where it is if it is encoded.
    pub(crate) fn into_protobuf<T>(self) -> Result<T, CallError>
    where
        T: prost::Message + Default + Clone + 'static,
    {
        match &self.0.payload.content {
            Content::Whole(..) => self.into_payload().into_protobuf(),
            _ => self.0.payload.to_protobuf(),
        }
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
    /// Few have one.
    pub(crate) key: Option<Box<Bytes>>,
    pub(crate) idempotent: bool,
    pub(crate) horizon: Option<Horizon>,
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
        self.key = Some(Box::new(key.into()));
        self
    }

    /// Says that running it more than once does no harm.
    #[must_use]
    pub const fn idempotent(mut self, idempotent: bool) -> Self {
        self.idempotent = idempotent;
        self
    }

    /// Bounds how far it may travel. What is configured for its flow, its target and the node may be nearer; it never
    /// goes beyond any of these.
    #[must_use]
    pub const fn within(mut self, horizon: Horizon) -> Self {
        self.horizon = Some(horizon);
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

impl Undelivered {
    /// Returns it as it waits in the queue of its sender.
    pub(crate) fn into_record(self) -> Parcel {
        let Self {
            id,
            target,
            method,
            flow,
            error,
        } = self;
        let names = [Name::empty(), target, method, flow, Name::empty()];
        let mut record = Parcel::failure(id, error);
        record.heading = Some(Rc::new(Heading::new(names)));
        record
    }

    /// Reads what [`Undelivered::into_record`] made; `None` when it did not.
    pub(crate) fn from_record(mut record: Parcel) -> Option<Self> {
        let error = *record.outcome.take()?;
        Some(Self::of(record.id, record.heading(), error))
    }

    pub(crate) fn of(id: u64, heading: &Heading, error: CallError) -> Self {
        Self {
            id,
            target: heading.target.clone(),
            method: heading.method.clone(),
            flow: heading.flow.clone(),
            error,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use prost::bytes::{Buf, BufMut};
    use prost::encoding::{DecodeContext, WireType};
    use prost::{DecodeError, Message as _};

    use super::*;

    static ENCODED: AtomicUsize = AtomicUsize::new(0);

    /// A text that counts how often it is encoded.
    #[derive(Clone, Debug, Default, PartialEq)]
    struct Counted(String);

    impl prost::Message for Counted {
        fn encode_raw(&self, out: &mut impl BufMut) {
            ENCODED.fetch_add(1, Ordering::Relaxed);
            self.0.encode_raw(out);
        }

        fn merge_field(
            &mut self,
            tag: u32,
            wire: WireType,
            bytes: &mut impl Buf,
            context: DecodeContext,
        ) -> Result<(), DecodeError> {
            self.0.merge_field(tag, wire, bytes, context)
        }

        fn encoded_len(&self) -> usize {
            self.0.encoded_len()
        }

        fn clear(&mut self) {
            self.0.clear();
        }
    }

    #[test]
    fn a_message_is_handed_over_as_it_is_and_encoded_for_whoever_wants_bytes() {
        let text = "long enough ".repeat(10);
        let message = Counted(text.clone());
        let payload = Payload::message(message.clone());
        assert_eq!((payload.len(), payload.is_empty()), (122, false));
        let copy = payload.clone();
        assert_eq!(payload.into_protobuf(), Ok(message.clone()));
        // The other has the same message, which is gone now.
        assert_eq!(copy.clone().into_protobuf(), Ok(message.clone()));
        assert_eq!(ENCODED.load(Ordering::Relaxed), 0);

        // Somebody who knows it by another type reads it, too.
        assert_eq!(copy.clone().into_protobuf(), Ok(text.clone()));
        assert_eq!(copy.to_protobuf(), Ok(message.clone()));
        assert_eq!(copy, Payload::protobuf(&text));
        assert_eq!(ENCODED.load(Ordering::Relaxed), 3);

        let mut leaving = copy;
        assert_eq!(leaving.encode(), Ok(()));
        assert_eq!(leaving.encoded(), text.encode_to_vec());
        assert_eq!(leaving.into_protobuf(), Ok(message));
        assert_eq!(ENCODED.load(Ordering::Relaxed), 4);
    }

    #[test]
    fn a_short_message_needs_no_memory_of_its_own() {
        for length in [0, 1, 35, 36, 37, 50] {
            let text = "x".repeat(length);
            let payload = Payload::message(text.clone());
            assert_eq!(payload.len(), text.encoded_len());
            assert_eq!(payload.to_bytes(), text.encode_to_vec());
            assert_eq!(payload, Payload::protobuf(&text));
            let is_short = matches!(payload.content, Content::Empty | Content::Short(..));
            assert_eq!(is_short, text.encoded_len() <= SHORT_MAX, "{length}");
            assert_eq!(payload.to_protobuf(), Ok(text.clone()));
            assert_eq!(payload.into_protobuf(), Ok(text));
        }
        assert_eq!(size_of::<Content>(), 40);
    }
}
