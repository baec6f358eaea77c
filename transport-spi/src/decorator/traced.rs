//! A backend that writes down what passes.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use super::forward::pass_on;
use crate::{
    ConnectError, ConnectionId, DatagramError, Datagrams, Driver, Endpoint, Event, Inbox, Instant,
    Io, JobId, Limits, LocalEndpoints, Next, Plane, Route, SendError, Shutdown, Transport,
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

/// A [`Call`] and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When.
    pub at: Instant,
    /// What.
    pub call: Call,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.at, self.call)
    }
}

/// The last records of one backend.
#[derive(Clone, Debug, Default)]
pub struct Records {
    last: VecDeque<Record>,
    records_max: usize,
}

impl Records {
    /// Makes room for so many; when it is full, the oldest go.
    #[must_use]
    pub fn new(records_max: usize) -> Self {
        Self {
            last: VecDeque::new(),
            records_max,
        }
    }

    /// Returns what was recorded, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Record> {
        self.last.iter()
    }

    fn add(&mut self, at: Instant, call: Call) {
        if self.records_max == 0 {
            return;
        }
        if self.last.len() == self.records_max {
            self.last.pop_front();
        }
        self.last.push_back(Record { at, call });
    }
}

/// A backend with [`Records`].
#[derive(Debug)]
pub struct Traced<T> {
    inner: T,
    records: Records,
}

impl<T> Traced<T> {
    /// Records what passes to and from a backend, the last `records_max` of it.
    pub fn new(inner: T, records_max: usize) -> Self {
        Self::resume(inner, Records::new(records_max))
    }

    /// Records what passes to and from a backend, after what was recorded before.
    pub fn resume(inner: T, records: Records) -> Self {
        Self { inner, records }
    }

    /// Takes the records out.
    pub fn into_records(self) -> Records {
        self.records
    }

    /// Returns the records.
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// Returns the backend inside.
    pub fn inner(&mut self) -> &mut T {
        &mut self.inner
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
        self.records.add(self.inner.now(), call);
        result
    }

    fn disconnect(&mut self, connection: ConnectionId) {
        self.inner.disconnect(connection);
        let call = Call::Disconnect(connection);
        self.records.add(self.inner.now(), call);
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
        self.records.add(self.inner.now(), call);
        result
    }

    fn receive(&mut self, inbox: &mut Inbox) {
        let mut arrived = Inbox::new();
        self.inner.receive(&mut arrived);
        let now = self.inner.now();
        while let Some(event) = arrived.pop() {
            self.records.add(now, Call::of(&event));
            inbox.push(event);
        }
    }
}

impl<T: Io> Datagrams for Traced<T> {
    fn send_datagram(&mut self, to: SocketAddr, payload: &[u8]) -> Result<(), DatagramError> {
        let result = self.inner.send_datagram(to, payload);
        let call = Call::SendDatagram(to, payload.len(), result.is_ok());
        self.records.add(self.inner.now(), call);
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
