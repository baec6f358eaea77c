//! What a user writes.

use std::fmt;
use std::time::Duration;

use crate::{
    CallError, ComponentKind, Context, GroupLimits, HandlerError, Message, Name, Overflow, Payload,
    Status, Undelivered,
};

/// User code with handlers: share-nothing, plain, synchronous.
///
/// Most components are written against a trait that `monofil-build` generates from a `.proto` service;
/// implement this one for anything else. A container calls one method at a time, on one thread, so there
/// is nothing to lock. A handler may block on a call ([`Caller::call`](crate::Caller::call)): this
/// instance then waits, the rest of the container goes on.
pub trait Component: 'static {
    /// Describes the services this component offers. Empty for one that reads bytes.
    fn interfaces() -> Vec<&'static Interface>
    where
        Self: Sized,
    {
        Vec::new()
    }

    /// Tells whether [`Component::handle`] knows this method. Several components that share one name ask
    /// each in turn.
    fn accepts(&self, method: &str) -> bool {
        let _ = method;
        true
    }

    /// Runs before the first message, and again after each restart of the instance.
    ///
    /// # Errors
    ///
    /// An error counts as a crash: the instance is rebuilt from its factory within its restart intensity.
    fn start(&mut self, cx: &mut Context, reason: StartReason) -> Result<(), Status> {
        let _ = (cx, reason);
        Ok(())
    }

    /// Handles one message. What is returned answers a call; for a cast an error is counted and logged.
    ///
    /// # Errors
    ///
    /// The component's own error, or that it knows no such method, or cannot read the payload.
    fn handle(&mut self, cx: &mut Context, message: Message) -> Result<Reply, HandlerError>;

    /// A cast or publication of this component was not handled. Without an implementation it is logged;
    /// it is counted in any case.
    fn undelivered(&mut self, cx: &mut Context, undelivered: Undelivered) {
        crate::codegen::undelivered(cx, undelivered);
    }

    /// Runs last, when the node ends in an orderly way.
    fn stop(&mut self, cx: &mut Context) {
        let _ = cx;
    }
}

/// Why [`Component::start`] runs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartReason {
    /// The node starts.
    First,
    /// The handler before panicked, with this message. What [`Context::env`] kept is still there and may
    /// be what made it panic: discard it if in doubt.
    Panicked(String),
    /// `start` itself failed before.
    StartFailed(Status),
}

/// What a handler answers.
pub enum Reply {
    /// Nothing to say; a call gets an empty payload.
    Empty,
    /// One payload.
    Payload(Payload),
    /// Any number of payloads, made one by one as the caller asks for them.
    Stream(ReplySource),
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Payload(payload) => f.debug_tuple("Payload").field(payload).finish(),
            Self::Stream(_) => f.write_str("Stream(..)"),
        }
    }
}

/// What makes the next item of a streamed reply. Runs with a [`Context`] of its own: it may call, sleep or
/// block; the instance that started it goes on with other messages meanwhile.
type NextItem<T> = Box<dyn FnMut(&mut Context) -> Option<Result<T, Status>>>;

/// A streamed reply: a source of items that is asked for one only when the caller has room for it.
pub struct Replies<T>(NextItem<T>);

/// A [`Replies`] of encoded payloads.
pub type ReplySource = Replies<Payload>;

impl<T: 'static> Replies<T> {
    /// Streams what an iterator yields; it is advanced as the caller asks.
    pub fn from_items(items: impl IntoIterator<Item = T, IntoIter: 'static>) -> Self {
        let mut items = items.into_iter();
        Self(Box::new(move |_| items.next().map(Ok)))
    }

    /// Streams what a function returns until it returns `None`. An error ends the stream.
    pub fn from_fn(next: impl FnMut(&mut Context) -> Option<Result<T, Status>> + 'static) -> Self {
        Self(Box::new(next))
    }

    /// Makes a source of something else from each item.
    pub fn map<U>(mut self, mut change: impl FnMut(T) -> U + 'static) -> Replies<U> {
        Replies(Box::new(move |cx| {
            (self.0)(cx).map(|item| item.map(&mut change))
        }))
    }

    pub(crate) fn next(&mut self, cx: &mut Context) -> Option<Result<T, Status>> {
        (self.0)(cx)
    }
}

impl<T> fmt::Debug for Replies<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Replies(..)")
    }
}

/// One service that a component offers, as `monofil-build` writes it down.
#[derive(Clone, Copy, Debug)]
pub struct Interface {
    /// `package.Service`
    pub service: &'static str,
    /// Its operations.
    pub methods: &'static [Method],
    /// An encoded `google.protobuf.FileDescriptorSet` that defines it; empty when there is none.
    pub descriptors: &'static [u8],
}

/// One operation of a service.
#[derive(Clone, Debug)]
pub struct Method {
    /// `package.Service/Method`
    pub name: Name,
    /// It answers with a stream.
    pub streaming: bool,
    /// Running it more than once does no harm.
    pub idempotent: bool,
    /// How long a caller waits by default.
    pub deadline: Option<Duration>,
    /// The flow that calls belong to by default.
    pub flow: Option<Name>,
    /// It handles what is published to this topic.
    pub topic: Option<Name>,
}

impl Method {
    /// Returns its name without the service: `Method`.
    #[must_use]
    pub fn short_name(&self) -> &str {
        let full = self.name.as_str();
        full.rsplit('/').next().unwrap_or(full)
    }
}

/// Two components under one name: the first that accepts a method handles it.
impl<A: Component, B: Component> Component for (A, B) {
    fn interfaces() -> Vec<&'static Interface> {
        let mut all = A::interfaces();
        all.extend(B::interfaces());
        all
    }

    fn accepts(&self, method: &str) -> bool {
        self.0.accepts(method) || self.1.accepts(method)
    }

    fn start(&mut self, cx: &mut Context, reason: StartReason) -> Result<(), Status> {
        self.0.start(cx, reason.clone())?;
        self.1.start(cx, reason)
    }

    fn handle(&mut self, cx: &mut Context, message: Message) -> Result<Reply, HandlerError> {
        if self.0.accepts(message.method().as_str()) {
            self.0.handle(cx, message)
        } else {
            self.1.handle(cx, message)
        }
    }

    fn undelivered(&mut self, cx: &mut Context, undelivered: Undelivered) {
        self.0.undelivered(cx, undelivered);
    }

    fn stop(&mut self, cx: &mut Context) {
        self.0.stop(cx);
        self.1.stop(cx);
    }
}

/// A subscription: what is published to `topic` is cast to the component's `method`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subscription {
    /// The topic.
    pub topic: Name,
    /// The operation; empty for a component that reads [`Message::topic`].
    pub method: Name,
}

/// Everything a container needs to run instances of a component.
pub struct ComponentSpec {
    /// `app/name`
    pub name: Name,
    /// Makes an instance; runs again after a crash.
    pub factory: Box<dyn FnMut() -> Box<dyn Component>>,
    /// The services it offers.
    pub interfaces: Vec<&'static Interface>,
    /// The topics it wants.
    pub subscriptions: Vec<Subscription>,
    /// Its bounds.
    pub limits: InstanceLimits,
    /// How many instances there may be, in this container and in others, and which of them a message goes to.
    pub kind: ComponentKind,
    /// Which release of it that is, for people. At most 256 bytes; empty: not said.
    pub version: Name,
}

impl ComponentSpec {
    /// Describes a component by its type, with default limits.
    pub fn new<C: Component>(
        name: impl Into<Name>,
        mut factory: impl FnMut() -> C + 'static,
    ) -> Self {
        let interfaces = C::interfaces();
        let subscriptions = interfaces
            .iter()
            .flat_map(|interface| interface.methods)
            .filter_map(|method| {
                Some(Subscription {
                    topic: method.topic.clone()?,
                    method: method.name.clone(),
                })
            })
            .collect();
        Self {
            name: name.into(),
            factory: Box::new(move || Box::new(factory())),
            interfaces,
            subscriptions,
            limits: InstanceLimits::default(),
            kind: ComponentKind::Single,
            version: Name::empty(),
        }
    }
}

impl fmt::Debug for ComponentSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ComponentSpec")
            .field("name", &self.name)
            .field("subscriptions", &self.subscriptions)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// The bounds of one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstanceLimits {
    /// Messages that wait for it. Default 1024.
    pub queue_messages: usize,
    /// Their payloads, in bytes. Default 16 MiB.
    pub queue_bytes: usize,
    /// Messages that wait for it, and its handlers under way. Default none.
    pub in_flight: Option<u64>,
    /// Messages admitted each second; see [`Limit::RateMessages`](crate::Limit::RateMessages). Default none.
    pub rate_messages: Option<u64>,
    /// Their payloads, in bytes for each second. Default none.
    pub rate_bytes: Option<u64>,
    /// How long messages may stand in its queue; see [`Limit::QueueTime`](crate::Limit::QueueTime). Default none.
    pub queue_time: Option<Duration>,
    /// What all instances of the component in the network may have together, as it is set at all nodes that run one.
    /// Default no limits.
    pub network: GroupLimits,
    /// What becomes of a message that there is no room for. Default: what the app or the network says.
    pub overflow: Option<Overflow>,
    /// The stack of its handlers, in bytes; overflowing it ends the process, which names the component.
    /// Default 256 KiB; at least 16 KiB.
    pub stack_bytes: usize,
    /// Crashes within [`InstanceLimits::restart_window`] after which it is restarted only with back-off.
    /// Default 5.
    pub restarts: usize,
    /// Default 60 s.
    pub restart_window: Duration,
}

impl Default for InstanceLimits {
    fn default() -> Self {
        Self {
            queue_messages: 1024,
            queue_bytes: 16 << 20,
            in_flight: None,
            rate_messages: None,
            rate_bytes: None,
            queue_time: None,
            network: GroupLimits::default(),
            overflow: None,
            stack_bytes: 256 << 10,
            restarts: 5,
            restart_window: Duration::from_secs(60),
        }
    }
}

/// Turns a failed decode into what a caller may see.
pub(crate) fn malformed(error: CallError) -> HandlerError {
    match error {
        CallError::Malformed(detail) => HandlerError::Malformed(detail),
        other => HandlerError::Malformed(other.to_string()),
    }
}
