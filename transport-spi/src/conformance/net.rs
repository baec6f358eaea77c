//! The nodes of a case, with what each received and did not look at yet.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::report::broken;
use super::{Failure, Fixture, Reach};
use crate::{
    ConnectionId, Event, Inbox, Instant, Io, JobId, JobOutcome, LocalEndpoints, Next, Plane, Route,
    SendError,
};

/// How long one node is driven before the next one has its turn.
const SLICE: Duration = Duration::from_millis(1);

/// A frame that arrived.
pub(super) struct Arrival {
    pub(super) plane: Plane,
    pub(super) from: Route,
    pub(super) frame: Bytes,
}

/// What a node received, sorted.
#[derive(Default)]
pub(super) struct Mail {
    pub(super) frames: VecDeque<Arrival>,
    pub(super) datagrams: VecDeque<(std::net::SocketAddr, Bytes)>,
    /// True for `PeerConnected`, false for `PeerGone`.
    pub(super) changes: Vec<(ConnectionId, bool)>,
    pub(super) writable: Vec<ConnectionId>,
    pub(super) jobs: Vec<(JobId, JobOutcome)>,
}

impl Mail {
    fn sort(&mut self, event: Event) {
        match event {
            Event::Frame { plane, from, frame } => {
                self.frames.push_back(Arrival { plane, from, frame });
            }
            Event::Datagram { from, payload } => self.datagrams.push_back((from, payload)),
            Event::PeerConnected(connection) => self.changes.push((connection, true)),
            Event::PeerGone(connection) => self.changes.push((connection, false)),
            Event::Writable(connection) => self.writable.push(connection),
            Event::JobDone(job, outcome) => self.jobs.push((job, outcome)),
            Event::Shutdown(_) => {}
        }
    }

    /// Takes the `Writable` events of one connection.
    pub(super) fn take_writable(&mut self, connection: ConnectionId) -> bool {
        let before = self.writable.len();
        self.writable.retain(|each| *each != connection);
        self.writable.len() < before
    }

    /// Returns what became of one connection, in order.
    pub(super) fn changes_of(&self, connection: ConnectionId) -> Vec<bool> {
        self.changes
            .iter()
            .filter(|(each, _)| *each == connection)
            .map(|(_, connected)| *connected)
            .collect()
    }
}

/// The nodes of one case.
pub(super) struct Net<'f> {
    fixture: &'f mut dyn Fixture,
    mail: BTreeMap<String, Mail>,
}

impl<'f> Net<'f> {
    pub(super) fn new(fixture: &'f mut dyn Fixture) -> Self {
        Self {
            fixture,
            mail: BTreeMap::new(),
        }
    }

    pub(super) fn patience(&self) -> Duration {
        self.fixture.patience()
    }

    pub(super) fn slack(&self) -> Duration {
        self.fixture.slack()
    }

    pub(super) fn open(&mut self, name: &str) {
        self.fixture.open(name, Reach::Bound);
    }

    pub(super) fn open_client(&mut self, name: &str) {
        self.fixture.open(name, Reach::Client);
    }

    pub(super) fn crash(&mut self, name: &str) {
        self.fixture.crash(name);
    }

    pub(super) fn restart(&mut self, name: &str) {
        self.fixture.restart(name);
    }

    pub(super) fn vanish(&mut self, name: &str) -> bool {
        self.fixture.vanish(name)
    }

    pub(super) fn named(&mut self, name: &str) -> Option<String> {
        self.fixture.named(name)
    }

    /// Does one thing with a node's handle and returns what came of it.
    pub(super) fn with<R>(&mut self, name: &str, act: impl FnOnce(&mut dyn Io) -> R) -> R {
        let mut act = Some(act);
        let mut result = None;
        self.fixture.with(name, &mut |io| {
            if let Some(act) = act.take() {
                result = Some(act(io));
            }
        });
        result.expect("a fixture calls what it is given")
    }

    pub(super) fn now(&mut self, name: &str) -> Instant {
        self.with(name, |io| io.now())
    }

    pub(super) fn local(&mut self, name: &str) -> LocalEndpoints {
        self.with(name, |io| io.local())
    }

    /// Connects `from` to one plane of `to`, which is or was open.
    pub(super) fn connect(
        &mut self,
        from: &str,
        to: &LocalEndpoints,
        plane: Plane,
    ) -> Result<ConnectionId, Failure> {
        let clause = "a node that can be reached says where, and connecting there never fails";
        let Some(endpoint) = to.plane(plane) else {
            return broken(clause, format!("a bound node has no {plane} endpoint"));
        };
        match self.with(from, |io| io.connect(plane, endpoint)) {
            Ok(connection) => Ok(connection),
            Err(error) => broken(clause, format!("`connect` answered: {error}")),
        }
    }

    pub(super) fn send(&mut self, from: &str, to: &Route, frame: Bytes) -> Result<(), SendError> {
        self.with(from, |io| io.send(to, frame))
    }

    /// Lets a node take everything that is there.
    pub(super) fn receive(&mut self, name: &str) -> &mut Mail {
        let mut inbox = Inbox::new();
        let mut events = Vec::new();
        loop {
            self.with(name, |io| io.receive(&mut inbox));
            if inbox.is_empty() {
                break;
            }
            while let Some(event) = inbox.pop() {
                events.push(event);
            }
        }
        let mail = self.mail.entry(name.to_owned()).or_default();
        for event in events {
            mail.sort(event);
        }
        mail
    }

    /// Returns what a node received so far, without looking for more.
    pub(super) fn mail(&mut self, name: &str) -> &mut Mail {
        self.mail.entry(name.to_owned()).or_default()
    }

    pub(super) fn wait(&mut self, name: &str, next: Next) {
        self.fixture.wait(name, next);
    }

    /// Drives the nodes in turn until `done` says so. Returns false when patience ends first.
    pub(super) fn drive(&mut self, names: &[&str], done: impl FnMut(&mut Self) -> bool) -> bool {
        self.drive_for(names, self.patience(), done)
    }

    /// The same with a time of its own, by the first node's clock.
    pub(super) fn drive_for(
        &mut self,
        names: &[&str],
        time: Duration,
        mut done: impl FnMut(&mut Self) -> bool,
    ) -> bool {
        let until = self.now(names[0]) + time;
        loop {
            for name in names {
                self.receive(name);
            }
            if done(self) {
                return true;
            }
            if self.now(names[0]) >= until {
                return false;
            }
            for name in names {
                let next = Next::At(self.now(name) + SLICE);
                self.wait(name, next);
            }
        }
    }

    /// Drives the nodes until a connection is up.
    pub(super) fn connected(
        &mut self,
        names: &[&str],
        who: &str,
        connection: ConnectionId,
    ) -> Result<(), Failure> {
        let up = self.drive(names, |net| {
            net.mail(who).changes_of(connection).last() == Some(&true)
        });
        if up {
            return Ok(());
        }
        broken(
            "`PeerConnected` comes each time a connection is established, the first included",
            format!("`{who}` waited for it in vain while the other side was up"),
        )
    }

    /// Opens two bound nodes and connects the first to one plane of the second.
    pub(super) fn pair(
        &mut self,
        from: &str,
        to: &str,
        plane: Plane,
    ) -> Result<ConnectionId, Failure> {
        self.open(from);
        self.open(to);
        let there = self.local(to);
        let connection = self.connect(from, &there, plane)?;
        self.connected(&[from, to], from, connection)?;
        Ok(connection)
    }

    /// Sends frames and receives them at the other end, which must get exactly them, in order.
    ///
    /// `sizes` has one frame's length for each; frame `n` of a transfer that starts at `first` is
    /// [`pattern`]`(first + n, ..)`.
    pub(super) fn transfer(
        &mut self,
        from: &str,
        to: &str,
        route: &Route,
        first: u64,
        sizes: &[usize],
    ) -> Result<(), Failure> {
        let mut sent = 0;
        let mut received = 0;
        let mut blocked = false;
        let mut until = self.now(from) + self.patience();
        while received < sizes.len() {
            let before = (sent, received);
            while sent < sizes.len() && !blocked {
                let frame = pattern(first + sent as u64, sizes[sent]);
                match self.send(from, route, frame) {
                    Ok(()) => sent += 1,
                    Err(SendError::Full(_)) => blocked = true,
                    Err(error) => return broken(CARRIES, format!("`send` answered: {error}")),
                }
            }
            received += self.check_arrivals(to, first + received as u64, sizes, received)?;
            let mail = self.receive(from);
            blocked &= match route {
                Route::Connection(connection) => !mail.take_writable(*connection),
                Route::Return(..) => false,
            };
            if (sent, received) != before {
                until = self.now(from) + self.patience();
                continue;
            }
            if self.now(from) >= until {
                let what = format!(
                    "{received} of {sent} frames arrived, of {} to send{}",
                    sizes.len(),
                    if blocked {
                        "; `Writable` did not come after `Full`"
                    } else {
                        ""
                    }
                );
                return broken(CARRIES, what);
            }
            for name in [to, from] {
                let next = Next::At(self.now(name) + SLICE);
                self.wait(name, next);
            }
        }
        Ok(())
    }

    /// Receives and checks what arrived at the end of a transfer; returns how many frames it was.
    fn check_arrivals(
        &mut self,
        to: &str,
        first: u64,
        sizes: &[usize],
        received: usize,
    ) -> Result<usize, Failure> {
        let arrived = std::mem::take(&mut self.receive(to).frames);
        for (index, arrival) in arrived.iter().enumerate() {
            let number = first + index as u64;
            let size = sizes.get(received + index).copied();
            if size.is_some_and(|size| arrival.frame == pattern(number, size)) {
                continue;
            }
            let what = match number_of(&arrival.frame) {
                Some(found) => format!("frame {number} was due and frame {found} arrived"),
                None => format!(
                    "frame {number} was due and {} bytes arrived that nobody sent",
                    arrival.frame.len()
                ),
            };
            return broken(CARRIES, what);
        }
        Ok(arrived.len())
    }
}

const CARRIES: &str =
    "frames of one connection arrive whole, unchanged, once and in the order of `send`";

/// The shortest frame that carries its number.
pub(super) const PATTERN_BYTES_MIN: usize = 12;

/// Makes frame `number`: its number, its length and bytes that follow from both.
pub(super) fn pattern(number: u64, bytes: usize) -> Bytes {
    let bytes = bytes.max(PATTERN_BYTES_MIN);
    let mut frame = Vec::with_capacity(bytes);
    frame.extend_from_slice(&number.to_le_bytes());
    frame.extend_from_slice(&(u32::try_from(bytes).unwrap_or(u32::MAX)).to_le_bytes());
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ bytes as u64;
    while frame.len() < bytes {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let word = (state >> 24).to_le_bytes();
        let rest = (bytes - frame.len()).min(4);
        frame.extend_from_slice(&word[..rest]);
    }
    frame.into()
}

/// Returns a frame's number if it is one that [`pattern`] made, byte for byte.
pub(super) fn number_of(frame: &[u8]) -> Option<u64> {
    let number = u64::from_le_bytes(frame.get(..8)?.try_into().ok()?);
    (frame == pattern(number, frame.len())).then_some(number)
}
