//! Sending messages, from a handler or from a plain program.

use std::marker::PhantomData;

use crate::{CallError, Payload, RawPending, RawReplies, Request};

/// Something that can send messages and wait for answers: a handler's [`Context`](crate::Context), or a
/// client outside any container.
///
/// Generated clients take one, so the same client works in both places.
pub trait Caller {
    /// Sends a call and waits for its answer. In a handler only this instance waits.
    ///
    /// # Errors
    ///
    /// Every way a call can end otherwise than with a reply; see [`CallError`].
    #[track_caller]
    fn call(&mut self, request: Request) -> Result<Payload, CallError> {
        let pending = self.start_call(request);
        self.wait(pending)
    }

    /// Sends a call and returns at once; [`Caller::wait`] takes the answer. Dropping the handle cancels
    /// the call.
    fn start_call(&mut self, request: Request) -> RawPending;

    /// Waits for the answer to a call.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    #[track_caller]
    fn wait(&mut self, pending: RawPending) -> Result<Payload, CallError>;

    /// Sends a message that asks for no answer, and returns its id: the receiver's [`Message::id`](crate::Message::id),
    /// and [`Undelivered::id`](crate::Undelivered::id) should it come back. Ids of one node grow.
    ///
    /// # Errors
    ///
    /// What is known at once: no such component, a full queue or link. What happens to it later comes
    /// back as [`Component::undelivered`](crate::Component::undelivered).
    fn cast(&mut self, request: Request) -> Result<u64, CallError>;

    /// Sends a payload to all subscribers of a topic, and returns how many there are. Losses come back as
    /// for [`Caller::cast`], each on its own.
    ///
    /// # Errors
    ///
    /// What concerns all of them: [`CallError::TooLarge`] for a topic or payload that does not travel, and
    /// [`CallError::Cancelled`] from a handler that is over.
    #[track_caller]
    fn publish(&mut self, topic: &str, payload: Payload) -> Result<usize, CallError>;

    /// Sends a call that is answered with a stream. One that is answered once is a stream of one.
    fn start_stream(&mut self, request: Request) -> RawReplies;

    /// Waits for the next item of a streamed answer; `None` after the last.
    #[track_caller]
    fn next_item(&mut self, replies: &mut RawReplies) -> Option<Result<Payload, CallError>>;
}

/// The answer to a call that is under way, of a known type. Dropping it cancels the call.
#[derive(Debug)]
#[must_use = "dropping it cancels the call"]
pub struct Pending<T> {
    raw: RawPending,
    reply: PhantomData<fn() -> T>,
}

impl<T: prost::Message + Default + Clone + 'static> Pending<T> {
    /// Gives an answer its type.
    pub const fn new(raw: RawPending) -> Self {
        Self {
            raw,
            reply: PhantomData,
        }
    }

    /// Waits for the answer.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    #[track_caller]
    pub fn wait<C: Caller + ?Sized>(self, cx: &mut C) -> Result<T, CallError> {
        cx.wait(self.raw)?
            .into_protobuf()
            .map_err(CallError::unreadable)
    }

    /// Tells whether [`Pending::wait`] would return at once.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.raw.is_ready()
    }

    /// Returns the handle without a type, for [`Context::wait_any`](crate::Context::wait_any).
    pub const fn raw(&self) -> &RawPending {
        &self.raw
    }
}

/// A streamed answer of a known type. Dropping it cancels the stream.
#[derive(Debug)]
#[must_use = "dropping it cancels the stream"]
pub struct ReplyStream<T> {
    /// `None` after an error.
    raw: Option<RawReplies>,
    reply: PhantomData<fn() -> T>,
}

impl<T: prost::Message + Default + Clone + 'static> ReplyStream<T> {
    /// Gives a stream its type.
    pub const fn new(raw: RawReplies) -> Self {
        Self {
            raw: Some(raw),
            reply: PhantomData,
        }
    }

    /// Waits for the next item; `None` after the last. After an error there is nothing more.
    #[track_caller]
    pub fn next<C: Caller + ?Sized>(&mut self, cx: &mut C) -> Option<Result<T, CallError>> {
        let item = cx.next_item(self.raw.as_mut()?)?;
        let item = item.and_then(|payload| payload.into_protobuf().map_err(CallError::unreadable));
        if item.is_err() {
            self.raw = None;
        }
        Some(item)
    }
}

/// What generated code calls; not for use by hand.
pub mod codegen {
    use std::panic::Location;
    use std::time::Duration;

    use super::{Caller, Pending, ReplyStream};
    use crate::component::malformed;
    use crate::{
        CallError, Context, HandlerError, Message, Method, Name, Payload, Replies, Reply, Request,
        Status, Undelivered,
    };

    /// Where a generated client sends to, and how.
    #[derive(Clone, Debug)]
    pub struct Target {
        component: Name,
        deadline: Option<Duration>,
        flow: Option<Name>,
    }

    impl Target {
        /// Sends to a component with what each method says.
        pub fn new(component: impl Into<Name>) -> Self {
            Self {
                component: component.into(),
                deadline: None,
                flow: None,
            }
        }

        /// Overrides the deadline of every method.
        pub const fn set_deadline(&mut self, deadline: Duration) {
            self.deadline = Some(deadline);
        }

        /// Overrides the flow of every method.
        pub fn set_flow(&mut self, flow: impl Into<Name>) {
            self.flow = Some(flow.into());
        }

        /// Makes the request for one method.
        #[track_caller]
        pub fn request(&self, method: &Method, message: impl prost::Message + 'static) -> Request {
            let mut request = Request {
                target: self.component.clone(),
                method: method.name.clone(),
                payload: Payload::default(),
                deadline: self.deadline.or(method.deadline),
                flow: self.flow.as_ref().or(method.flow.as_ref()).cloned(),
                key: None,
                idempotent: method.idempotent,
                horizon: None,
                place: Some(Location::caller()),
            };
            // Where it stays: what is written a few bytes at a time and copied at once keeps a processor waiting.
            request.payload.set_message(message);
            request
        }
    }

    /// Calls and waits.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    #[track_caller]
    pub fn call<C: Caller + ?Sized, T: prost::Message + Default + Clone + 'static>(
        cx: &mut C,
        request: Request,
    ) -> Result<T, CallError> {
        cx.call(request)?
            .into_protobuf()
            .map_err(CallError::unreadable)
    }

    /// Calls.
    pub fn start<C: Caller + ?Sized, T: prost::Message + Default + Clone + 'static>(
        cx: &mut C,
        request: Request,
    ) -> Pending<T> {
        Pending::new(cx.start_call(request))
    }

    /// Calls for a stream.
    pub fn stream<C: Caller + ?Sized, T: prost::Message + Default + Clone + 'static>(
        cx: &mut C,
        request: Request,
    ) -> ReplyStream<T> {
        ReplyStream::new(cx.start_stream(request))
    }

    /// Decodes what a handler gets.
    ///
    /// # Errors
    ///
    /// [`HandlerError::Malformed`].
    pub fn decode<T>(message: Message) -> Result<T, HandlerError>
    where
        T: prost::Message + Default + Clone + 'static,
    {
        message.into_protobuf().map_err(malformed)
    }

    /// Encodes what a handler answers.
    ///
    /// # Errors
    ///
    /// The handler's own.
    pub fn reply<T>(result: Result<T, Status>) -> Result<Reply, HandlerError>
    where
        T: prost::Message + 'static,
    {
        Ok(Reply::Payload(Payload::message(result?)))
    }

    /// Encodes what a handler streams.
    ///
    /// # Errors
    ///
    /// The handler's own.
    pub fn replies<T: prost::Message + 'static>(
        result: Result<Replies<T>, Status>,
    ) -> Result<Reply, HandlerError> {
        Ok(Reply::Stream(result?.map(Payload::message)))
    }

    /// Logs a cast that came back, for components that do nothing about it.
    pub fn undelivered(_: &mut Context, undelivered: Undelivered) {
        tracing::warn!(
            target_component = %undelivered.target,
            method = %undelivered.method,
            error = %undelivered.error,
            "a cast was not delivered"
        );
    }

    /// Refuses a method that is not there.
    ///
    /// # Errors
    ///
    /// Always [`HandlerError::Unimplemented`].
    pub fn unimplemented(message: &Message) -> Result<Reply, HandlerError> {
        Err(HandlerError::Unimplemented(format!(
            "there is no method `{}`",
            message.method()
        )))
    }
}
