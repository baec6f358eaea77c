//! All sockets of a node, by token.

use std::collections::VecDeque;

use mio::Token;
use monofil_transport::{ConnectionId, Plane};

use crate::connection::Connection;
use crate::listener::Listener;
use crate::port::Port;

pub(crate) const WAKER: Token = Token(0);
pub(crate) const SIGNALS: Token = Token(1);
pub(crate) const DATAGRAMS: Token = Token(2);
/// Two tokens a plane: the listener's, and its monitor's.
const LISTENERS: usize = 4;
/// Two tokens a connection from here on.
const CONNECTIONS: usize = 16;
/// A connection's number carries its slot in its lowest bits.
const SLOT_BITS: u32 = 16;

/// What a token stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Listener(usize),
    ListenerMonitor(usize),
    Connection(usize),
    ConnectionMonitor(usize),
}

impl Place {
    pub(crate) fn of(token: Token) -> Option<Self> {
        match token.0 {
            number @ CONNECTIONS.. => {
                let slot = (number - CONNECTIONS) / 2;
                Some(if number.is_multiple_of(2) {
                    Self::Connection(slot)
                } else {
                    Self::ConnectionMonitor(slot)
                })
            }
            number @ LISTENERS..8 => {
                let plane = (number - LISTENERS) / 2;
                Some(if number.is_multiple_of(2) {
                    Self::Listener(plane)
                } else {
                    Self::ListenerMonitor(plane)
                })
            }
            _ => None,
        }
    }
}

/// Returns the tokens of a plane's listener and of its monitor.
pub(crate) fn listener_tokens(plane: Plane) -> (Token, Token) {
    let first = LISTENERS + 2 * plane_index(plane);
    (Token(first), Token(first + 1))
}

pub(crate) fn plane_index(plane: Plane) -> usize {
    match plane {
        Plane::Application => 0,
        Plane::Control => 1,
    }
}

/// The listeners and connections of a node.
#[derive(Default)]
pub(crate) struct Sockets {
    pub(crate) listeners: [Option<Listener>; 2],
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    opened: u64,
}

impl Sockets {
    /// Chooses the number and the tokens of the next connection, for [`Sockets::insert`].
    pub(crate) fn next_connection(&mut self) -> (ConnectionId, (Token, Token)) {
        let slot = self.free.last().copied().unwrap_or(self.connections.len());
        let id = ConnectionId((self.opened + 1) << SLOT_BITS | slot as u64);
        let first = CONNECTIONS + 2 * slot;
        (id, (Token(first), Token(first + 1)))
    }

    /// Keeps a connection under the number that was chosen last.
    pub(crate) fn insert(&mut self, connection: Connection) {
        self.opened += 1;
        match self.free.pop() {
            Some(slot) => self.connections[slot] = Some(connection),
            None => self.connections.push(Some(connection)),
        }
    }

    pub(crate) fn remove(&mut self, id: ConnectionId) -> Option<Connection> {
        self.connection(id)?;
        let slot = slot_of(id);
        self.free.push(slot);
        self.connections[slot].take()
    }

    pub(crate) fn connection(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        let connection = self.connections.get_mut(slot_of(id))?.as_mut();
        connection.filter(|connection| connection.id == id)
    }

    pub(crate) fn connection_at(&mut self, slot: usize) -> Option<&mut Connection> {
        self.connections.get_mut(slot)?.as_mut()
    }

    pub(crate) fn listener_at(&mut self, plane: usize) -> Option<&mut Listener> {
        self.listeners.get_mut(plane)?.as_mut()
    }

    /// Goes through the open connections.
    pub(crate) fn connections(&mut self) -> impl Iterator<Item = &mut Connection> {
        self.connections.iter_mut().flatten()
    }

    pub(crate) fn connection_count(&self) -> usize {
        self.connections.len() - self.free.len()
    }

    /// Takes everything out.
    pub(crate) fn take(&mut self) -> (Vec<Listener>, Vec<Connection>) {
        let Self {
            listeners,
            connections,
            ..
        } = std::mem::take(self);
        (
            listeners.into_iter().flatten().collect(),
            connections.into_iter().flatten().collect(),
        )
    }

    pub(crate) fn port(&mut self, token: Token) -> Option<&mut Port> {
        match Place::of(token)? {
            Place::Listener(plane) => Some(&mut self.listener_at(plane)?.port),
            Place::ListenerMonitor(plane) => Some(&mut self.listener_at(plane)?.monitor.port),
            Place::Connection(slot) => Some(&mut self.connection_at(slot)?.port),
            Place::ConnectionMonitor(slot) => Some(&mut self.connection_at(slot)?.monitor.port),
        }
    }

    /// Returns how many tokens there are to go through with [`Sockets::token_at`].
    pub(crate) fn token_count(&self) -> usize {
        4 + 2 * self.connections.len()
    }

    pub(crate) fn token_at(&self, index: usize) -> Token {
        match index {
            0..4 => Token(LISTENERS + index),
            _ => Token(CONNECTIONS + index - 4),
        }
    }
}

fn slot_of(id: ConnectionId) -> usize {
    (id.0 & ((1 << SLOT_BITS) - 1)) as usize
}

/// Which ports the loop has to look at.
#[derive(Default)]
pub(crate) struct Ready {
    /// Ports that may have changed. See [`Port::dirty`].
    pub(crate) dirty: Vec<Token>,
    /// Ports that have something to read, first come first served. See [`Port::readable`].
    pub(crate) readable: VecDeque<Token>,
}

impl Ready {
    pub(crate) fn mark_dirty(&mut self, port: &mut Port) {
        port.touched = true;
        if !port.dirty {
            port.dirty = true;
            self.dirty.push(port.token);
        }
    }

    pub(crate) fn mark_readable(&mut self, port: &mut Port) {
        if !port.readable {
            port.readable = true;
            self.readable.push_back(port.token);
        }
    }

    /// Forgets the ports of a connection that is being closed.
    pub(crate) fn forget(&mut self, tokens: [Token; 2]) {
        self.dirty.retain(|token| !tokens.contains(token));
        self.readable.retain(|token| !tokens.contains(token));
    }
}
