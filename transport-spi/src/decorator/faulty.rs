//! A backend that breaks its contract, to see who notices.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use super::forward::pass_on;
use crate::{
    ConnectError, ConnectionId, DatagramError, Datagrams, Driver, Endpoint, Event, Inbox, Instant,
    Io, Limits, LocalEndpoints, Next, Plane, Route, SendError, Transport,
};

/// One way to break the contract. Numbers count from zero, over all that passes through one decorator:
/// frames sent, frames refused or events received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Defect {
    /// The frame of this number is lost, though `send` took it.
    Drop(u64),
    /// It is sent twice.
    Duplicate(u64),
    /// One bit of it is changed.
    Corrupt(u64),
    /// It leaves after the next one.
    Swap(u64),
    /// From this number on, `send` answers `Ok` when it is full, and the frame is lost.
    SwallowFull(u64),
    /// When it is full, `send` hands back an empty frame.
    MangleFull,
    /// From this number on, each frame that is longer than allowed is answered with `Ok` and lost.
    SwallowTooLarge(u64),
    /// No `Writable` event arrives.
    LoseWritable,
    /// No `PeerGone` event arrives.
    LosePeerGone,
    /// Application frames arrive as ones of the control plane.
    ConfusePlanes,
    /// The received event of this number is kept until another one comes: the wake-up for it is lost.
    LoseWakeUp(u64),
    /// From this number on, each received event is handed out this much too late.
    Delay(u64, Duration),
    /// Datagrams lose their last byte.
    CutDatagrams,
    /// Names are never found.
    ForgetNames,
}

/// The defects of one backend, and how far it got.
#[derive(Debug, Default)]
pub struct Defects {
    plan: Vec<Defect>,
    sent: u64,
    refused: u64,
    received: u64,
    /// A frame that waits to leave after the next one.
    swapped: Option<(Route, Bytes)>,
    /// Events that arrived and may be handed out at these times.
    delayed: VecDeque<(Instant, Event)>,
    /// An event whose wake-up was lost.
    unnoticed: Option<Event>,
}

impl Defects {
    /// Plans defects; none of them makes a decorator that changes nothing.
    #[must_use]
    pub fn new(plan: impl IntoIterator<Item = Defect>) -> Self {
        Self {
            plan: plan.into_iter().collect(),
            ..Self::default()
        }
    }

    fn has(&self, wanted: Defect) -> bool {
        self.plan.contains(&wanted)
    }

    fn any(&self, wanted: impl Fn(&Defect) -> bool) -> bool {
        self.plan.iter().any(wanted)
    }

    fn delay(&self) -> Option<Duration> {
        self.plan.iter().find_map(|defect| match defect {
            Defect::Delay(from, by) if self.received >= *from => Some(*by),
            _ => None,
        })
    }
}

/// A backend with [`Defects`].
#[derive(Debug)]
pub struct Faulty<T> {
    inner: T,
    defects: Defects,
}

impl<T> Faulty<T> {
    /// Puts defects around a backend.
    pub fn new(inner: T, plan: impl IntoIterator<Item = Defect>) -> Self {
        Self::resume(inner, Defects::new(plan))
    }

    /// Puts defects around a backend, going on where they were taken out.
    pub fn resume(inner: T, defects: Defects) -> Self {
        Self { inner, defects }
    }

    /// Takes the defects out.
    pub fn into_defects(self) -> Defects {
        self.defects
    }

    /// Returns the backend inside.
    pub fn inner(&mut self) -> &mut T {
        &mut self.inner
    }
}

impl<T: Io> Faulty<T> {
    fn send_one(&mut self, to: &Route, frame: Bytes) -> Result<(), SendError> {
        let number = self.defects.sent;
        if self.defects.has(Defect::Drop(number)) {
            return Ok(());
        }
        if self.defects.has(Defect::Swap(number)) && self.defects.swapped.is_none() {
            self.defects.swapped = Some((to.clone(), frame));
            return Ok(());
        }
        let frame = if self.defects.has(Defect::Corrupt(number)) {
            corrupted(&frame)
        } else {
            frame
        };
        if self.defects.has(Defect::Duplicate(number)) {
            self.inner.send(to, frame.clone())?;
            // Whether there is room for the second one is nobody's business.
            return self.inner.send(to, frame).or(Ok(()));
        }
        self.inner.send(to, frame)?;
        if let Some((to, frame)) = self.defects.swapped.take() {
            let _refused = self.inner.send(&to, frame);
        }
        Ok(())
    }

    /// Answers a refusal as planned.
    fn refuse(&mut self, error: SendError) -> Result<(), SendError> {
        let number = self.defects.refused;
        self.defects.refused += 1;
        let swallowed = self.defects.any(|defect| match (defect, &error) {
            (Defect::SwallowFull(from), SendError::Full(_)) => number >= *from,
            (Defect::SwallowTooLarge(from), SendError::TooLarge(_)) => number >= *from,
            _ => false,
        });
        match error {
            _ if swallowed => Ok(()),
            SendError::Full(_) if self.defects.has(Defect::MangleFull) => {
                Err(SendError::Full(Bytes::new()))
            }
            error => Err(error),
        }
    }

    /// Hands an event on, or keeps it, or loses it.
    fn pass(&mut self, event: Event, inbox: &mut Inbox) {
        let number = self.defects.received;
        self.defects.received += 1;
        let lost = match &event {
            Event::Writable(_) => self.defects.has(Defect::LoseWritable),
            Event::PeerGone(_) => self.defects.has(Defect::LosePeerGone),
            _ => false,
        };
        if lost {
            return;
        }
        let event = self.changed(event);
        if self.defects.has(Defect::LoseWakeUp(number)) {
            self.defects.unnoticed = Some(event);
        } else if let Some(by) = self.defects.delay() {
            self.defects
                .delayed
                .push_back((self.inner.now() + by, event));
        } else {
            inbox.push(event);
        }
    }

    fn changed(&self, event: Event) -> Event {
        match event {
            Event::Frame { from, frame, .. } if self.defects.has(Defect::ConfusePlanes) => {
                Event::Frame {
                    plane: Plane::Control,
                    from,
                    frame,
                }
            }
            Event::Datagram { from, payload } if self.defects.has(Defect::CutDatagrams) => {
                Event::Datagram {
                    from,
                    payload: payload.slice(..payload.len().saturating_sub(1)),
                }
            }
            event => event,
        }
    }
}

/// Changes one bit in the middle.
fn corrupted(frame: &Bytes) -> Bytes {
    let mut bytes = frame.to_vec();
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 1;
    }
    bytes.into()
}

impl<T: Io> Transport for Faulty<T> {
    fn limits(&self) -> Limits {
        self.inner.limits()
    }

    fn local(&self) -> LocalEndpoints {
        self.inner.local()
    }

    fn connect(&mut self, plane: Plane, endpoint: &Endpoint) -> Result<ConnectionId, ConnectError> {
        self.inner.connect(plane, endpoint)
    }

    fn disconnect(&mut self, connection: ConnectionId) {
        self.inner.disconnect(connection);
    }

    fn send(&mut self, to: &Route, frame: Bytes) -> Result<(), SendError> {
        match self.send_one(to, frame) {
            Ok(()) => {
                self.defects.sent += 1;
                Ok(())
            }
            Err(error) => self.refuse(error),
        }
    }

    fn receive(&mut self, inbox: &mut Inbox) {
        let mut arrived = Inbox::new();
        self.inner.receive(&mut arrived);
        while let Some(event) = arrived.pop() {
            if let Some(unnoticed) = self.defects.unnoticed.take() {
                inbox.push(unnoticed);
            }
            self.pass(event, inbox);
        }
        let now = self.inner.now();
        while self
            .defects
            .delayed
            .front()
            .is_some_and(|(due, _)| *due <= now)
        {
            if let Some((_, event)) = self.defects.delayed.pop_front() {
                inbox.push(event);
            }
        }
    }
}

impl<T: Io> Datagrams for Faulty<T> {
    fn lookup(&mut self, place: &str) -> Vec<SocketAddr> {
        let found = self.inner.lookup(place);
        let is_name = place.parse::<SocketAddr>().is_err();
        if is_name && self.defects.has(Defect::ForgetNames) {
            return Vec::new();
        }
        found
    }

    fn send_datagram(&mut self, to: SocketAddr, payload: &[u8]) -> Result<(), DatagramError> {
        self.inner.send_datagram(to, payload)
    }
}

impl<T: Driver> Driver for Faulty<T> {
    fn wait(&mut self, next: Next) {
        let next = match (self.defects.delayed.front(), next) {
            (Some((due, _)), Next::Idle) => Next::At(*due),
            (Some((due, _)), Next::At(time)) => Next::At(time.min(*due)),
            _ => next,
        };
        self.inner.wait(next);
    }

    fn finish(&mut self, linger: Duration) -> bool {
        self.inner.finish(linger)
    }
}

pass_on!(Faulty);
