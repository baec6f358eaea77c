//! A backend that writes down what passes.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use super::forward::pass_on;
use crate::record::{Recorder, What};
use crate::{
    ConnectError, ConnectionId, DatagramError, Datagrams, Driver, Endpoint, Event, Inbox, Io,
    JobId, Limits, LocalEndpoints, Next, Plane, Route, SendError, Shutdown, Transport,
};

/// What `send` answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// It took the frame.
    Taken,
    /// [`SendError::Full`]
    Full,
    /// [`SendError::TooLarge`]
    TooLarge,
    /// [`SendError::Gone`]
    Gone,
}

/// Something that passed between a node and its backend.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Call {
    /// A connection was opened.
    Connect(Plane, Endpoint, Option<ConnectionId>),
    /// A connection was given up.
    Disconnect(ConnectionId),
    /// A frame of so many bytes was sent.
    Send(Route, usize, Answer),
    /// A datagram of so many bytes was sent, or refused.
    SendDatagram(SocketAddr, usize, bool),
    /// A frame of so many bytes was received.
    Frame(Plane, Route, usize),
    /// A datagram of so many bytes was received.
    Datagram(SocketAddr, usize),
    /// [`Event::PeerGone`]
    PeerGone(ConnectionId),
    /// [`Event::PeerConnected`]
    PeerConnected(ConnectionId),
    /// [`Event::Writable`]
    Writable(ConnectionId),
    /// [`Event::JobDone`]
    JobDone(JobId),
    /// [`Event::Shutdown`]
    Shutdown(Shutdown),
}

impl Call {
    fn of(event: &Event) -> Self {
        match event {
            Event::Frame { plane, from, frame } => Self::Frame(*plane, from.clone(), frame.len()),
            Event::Datagram { from, payload } => Self::Datagram(*from, payload.len()),
            Event::PeerGone(connection) => Self::PeerGone(*connection),
            Event::PeerConnected(connection) => Self::PeerConnected(*connection),
            Event::Writable(connection) => Self::Writable(*connection),
            Event::JobDone(job, _) => Self::JobDone(*job),
            Event::Shutdown(how) => Self::Shutdown(*how),
        }
    }
}

/// A backend that has a [`Recorder`] write down what passes, as [`What::Passed`].
#[derive(Debug)]
pub struct Traced<T> {
    inner: T,
    recorder: Recorder,
}

impl<T> Traced<T> {
    /// Records what passes to and from a backend.
    pub const fn new(inner: T, recorder: Recorder) -> Self {
        Self { inner, recorder }
    }

    /// Returns the backend inside.
    pub fn inner(&mut self) -> &mut T {
        &mut self.inner
    }
}

impl<T: Io> Traced<T> {
    fn add(&self, call: Call) {
        let what = What::Passed(Box::new(call));
        self.recorder.add(self.inner.now(), what);
    }
}

impl<T: Io> Transport for Traced<T> {
    fn limits(&self) -> Limits {
        self.inner.limits()
    }

    fn local(&self) -> LocalEndpoints {
        self.inner.local()
    }

    fn connect(&mut self, plane: Plane, endpoint: &Endpoint) -> Result<ConnectionId, ConnectError> {
        let result = self.inner.connect(plane, endpoint);
        let connection = result.as_ref().ok().copied();
        let call = Call::Connect(plane, endpoint.clone(), connection);
        self.add(call);
        result
    }

    fn disconnect(&mut self, connection: ConnectionId) {
        self.inner.disconnect(connection);
        let call = Call::Disconnect(connection);
        self.add(call);
    }

    fn send(&mut self, to: &Route, frame: Bytes) -> Result<(), SendError> {
        let bytes = frame.len();
        let result = self.inner.send(to, frame);
        let answer = match &result {
            Ok(()) => Answer::Taken,
            Err(SendError::Full(_)) => Answer::Full,
            Err(SendError::TooLarge(_)) => Answer::TooLarge,
            Err(SendError::Gone(_)) => Answer::Gone,
        };
        let call = Call::Send(to.clone(), bytes, answer);
        self.add(call);
        result
    }

    fn receive(&mut self, inbox: &mut Inbox) {
        let mut arrived = Inbox::new();
        self.inner.receive(&mut arrived);
        while let Some(event) = arrived.pop() {
            self.add(Call::of(&event));
            inbox.push(event);
        }
    }
}

impl<T: Io> Datagrams for Traced<T> {
    fn lookup(&mut self, place: &str) -> Vec<SocketAddr> {
        self.inner.lookup(place)
    }

    fn send_datagram(&mut self, to: SocketAddr, payload: &[u8]) -> Result<(), DatagramError> {
        let result = self.inner.send_datagram(to, payload);
        let call = Call::SendDatagram(to, payload.len(), result.is_ok());
        self.add(call);
        result
    }
}

impl<T: Driver> Driver for Traced<T> {
    fn wait(&mut self, next: Next) {
        self.inner.wait(next);
    }

    fn finish(&mut self, linger: Duration) -> bool {
        self.inner.finish(linger)
    }
}

pass_on!(Traced);
