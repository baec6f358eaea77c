//! Handing over what sockets hold.

use bytes::Bytes;
use mio::Token;
use monofil_transport::{Event, Inbox, Plane, Route};

use crate::ZmqIo;
use crate::connection::Connection;
use crate::counters::Counters;
use crate::listener::Listener;
use crate::raw::{Message, Socket};
use crate::sockets::Place;

/// Frames, and their bytes, taken from one socket in one turn: others have their turn too.
const PORT_BUDGET: Budget = Budget {
    frames: 256,
    bytes: 4 << 20,
};
/// Frames, and their bytes, handed to the node in one turn.
const TURN_BUDGET: Budget = Budget {
    frames: 1024,
    bytes: 16 << 20,
};
#[derive(Clone, Copy)]
struct Budget {
    frames: usize,
    bytes: usize,
}

impl Budget {
    fn is_spent(self) -> bool {
        self.frames == 0 || self.bytes == 0
    }

    fn spend(&mut self, bytes: usize) {
        self.frames = self.frames.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    fn min(self, other: Self) -> Self {
        Self {
            frames: self.frames.min(other.frames),
            bytes: self.bytes.min(other.bytes),
        }
    }
}

impl ZmqIo {
    /// Hands over frames, a bounded number from each socket that has some.
    pub(crate) fn read_ports(&mut self, inbox: &mut Inbox) {
        let mut left = TURN_BUDGET;
        for _ in 0..self.ready.readable.len() {
            if left.is_spent() {
                return;
            }
            let Some(token) = self.ready.readable.pop_front() else {
                return;
            };
            let mut budget = PORT_BUDGET.min(left);
            let before = budget;
            let bytes_max = self.options.frame_bytes_max;
            let mut take = Take {
                budget: &mut budget,
                bytes_max,
                inbox,
                counters: &mut self.counters,
            };
            match Place::of(token) {
                Some(Place::Listener(plane)) => {
                    if let Some(listener) = self.sockets.listener_at(plane) {
                        take.read_listener(Plane::ALL[plane], listener);
                    }
                }
                Some(Place::Connection(slot)) => {
                    if let Some(connection) = self.sockets.connection_at(slot) {
                        take.read_connection(connection);
                    }
                }
                _ => {}
            }
            left.frames -= before.frames - budget.frames;
            left.bytes -= before.bytes - budget.bytes;
            if budget.is_spent() {
                self.ready.readable.push_back(token);
            } else {
                self.drained(token);
            }
        }
    }

    /// Takes note that a read found nothing more.
    ///
    /// Such a read has made the socket take in all that was signalled, so that whatever comes next is
    /// signalled anew: the port is clean. Unless it took in that there is room again, which only asking
    /// tells.
    fn drained(&mut self, token: Token) {
        let waits_for_room = match Place::of(token) {
            Some(Place::Connection(slot)) => {
                let connection = self.sockets.connection_at(slot);
                connection.is_some_and(|connection| connection.waits_for_room())
            }
            _ => false,
        };
        let Some(port) = self.sockets.port(token) else {
            return;
        };
        port.readable = false;
        port.touched = true;
        if waits_for_room {
            self.ready.mark_dirty(port);
        }
    }
}

/// Takes frames from one socket.
struct Take<'a> {
    budget: &'a mut Budget,
    bytes_max: usize,
    inbox: &'a mut Inbox,
    counters: &'a mut Counters,
}

impl Take<'_> {
    fn read_connection(&mut self, connection: &mut Connection) {
        let (plane, from) = (connection.plane, Route::Connection(connection.id));
        while !self.budget.is_spent() {
            let Some(first) = connection.port.socket.receive() else {
                return;
            };
            if let Some(frame) = self.only_part(&mut connection.port.socket, first) {
                self.deliver(plane, from.clone(), frame);
            }
        }
    }

    fn read_listener(&mut self, plane: Plane, listener: &mut Listener) {
        while !self.budget.is_spent() {
            let Some(identity) = listener.port.socket.receive() else {
                return;
            };
            // The socket puts the identity in front, so a part always follows.
            let Some(first) = listener.port.socket.receive() else {
                return;
            };
            if let Some(frame) = self.only_part(&mut listener.port.socket, first) {
                let from = Route::Return(plane, listener.path(&identity));
                self.deliver(plane, from, frame);
            }
        }
    }

    /// Returns the payload of a message that has one part, not too long; drops any other.
    fn only_part(&mut self, socket: &mut Socket, first: Message) -> Option<Bytes> {
        self.budget.spend(first.payload().len());
        if first.has_more() {
            self.counters.frames_dropped_multipart += 1;
            let mut more = true;
            while more {
                let part = socket.receive();
                more = part.is_some_and(|part| part.has_more());
            }
            return None;
        }
        if first.payload().len() > self.bytes_max {
            self.counters.frames_dropped_oversize += 1;
            return None;
        }
        Some(first.into_payload())
    }

    fn deliver(&mut self, plane: Plane, from: Route, frame: Bytes) {
        self.counters.frames_received += 1;
        self.inbox.push(Event::Frame { plane, from, frame });
    }
}
