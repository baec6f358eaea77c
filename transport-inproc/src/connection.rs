//! A connection: two nodes, two directions, and what each end believes.

use std::collections::VecDeque;

use bytes::Bytes;
use monofil_transport::{ConnectionId, Endpoint, Plane, ReturnPath};

use crate::agenda::Way;
use crate::trace::NOBODY;

/// A frame on the way.
#[derive(Debug)]
pub(crate) struct Flying {
    /// When it arrives.
    pub(crate) due: u64,
    pub(crate) frame: Bytes,
    /// The sequence of the record of its sending.
    pub(crate) sent: u64,
    /// What a schedule calls it; 0 for nothing.
    pub(crate) number: u64,
}

/// One direction of a connection: frames on the way, first in first out.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    /// Invariant: times never decrease, but that a schedule may make the first one wait for longer.
    pub(crate) flying: VecDeque<Flying>,
    /// When the last one that was sent arrives.
    pub(crate) last_due: u64,
    /// How many arrived and were not received.
    pub(crate) unread: u32,
    /// Whether an arrival of this session is on the agenda.
    pub(crate) armed: bool,
    /// Whether its sender met `Full` and was not told yet that there is room.
    pub(crate) refused: bool,
}

impl Pipe {
    /// Returns how many frames are not received yet.
    #[inline]
    pub(crate) fn held(&self) -> usize {
        self.flying.len() + self.unread as usize
    }

    /// Loses all frames on the way; returns how many.
    pub(crate) fn lose(&mut self) -> usize {
        let lost = self.flying.len();
        self.flying.clear();
        lost
    }

    /// Begins a new session.
    fn renew(&mut self) {
        self.last_due = 0;
        self.unread = 0;
        self.armed = false;
    }
}

/// A connection. Each end believes what it was told: `near` is the end that opened it.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Told apart from earlier users of the slot.
    pub(crate) generation: u32,
    /// Counts the times it was established. Invariant: never reset, not even when the slot is used again.
    pub(crate) session: u32,
    /// The node that opened it.
    pub(crate) owner: u32,
    /// The node at the other end; nobody as long as no node has the endpoint.
    pub(crate) target: u32,
    pub(crate) endpoint: Endpoint,
    /// The plane it was opened for.
    pub(crate) plane: Plane,
    /// The plane that its target bound there.
    pub(crate) bound: Plane,
    /// Whether the near end believes it is up.
    pub(crate) near: bool,
    /// Whether the far end believes it is up.
    pub(crate) far: bool,
    /// Whether its owner gave it up.
    pub(crate) closed: bool,
    /// Whether an attempt is on the agenda.
    pub(crate) attempting: bool,
    /// Since when the near end believes it is down.
    pub(crate) lost_at: u64,
    /// The way back, for the far end; made anew for each session.
    pub(crate) path: ReturnPath,
    pub(crate) forth: Pipe,
    pub(crate) back: Pipe,
    /// Which link each direction goes along, once there is a target.
    pub(crate) forth_link: u32,
    pub(crate) back_link: u32,
}

impl Connection {
    /// Returns its name.
    pub(crate) fn id(&self, slot: u32) -> ConnectionId {
        ConnectionId(u64::from(self.generation) << 32 | u64::from(slot))
    }

    #[inline]
    pub(crate) fn pipe(&mut self, way: Way) -> &mut Pipe {
        match way {
            Way::Forth => &mut self.forth,
            Way::Back => &mut self.back,
        }
    }

    /// Begins a new session; both ends are up.
    pub(crate) fn establish(&mut self, slot: u32) {
        self.session = self.session.wrapping_add(1);
        self.near = true;
        self.far = true;
        self.path = make_path(slot, self.session);
        self.forth.renew();
        self.back.renew();
    }
}

/// Makes the way back along one session of a connection.
pub(crate) fn make_path(slot: u32, session: u32) -> ReturnPath {
    let [a, b, c, d] = slot.to_le_bytes();
    let [e, f, g, h] = session.to_le_bytes();
    ReturnPath(Bytes::copy_from_slice(&[a, b, c, d, e, f, g, h]))
}

/// Reads the slot and the session from a way back.
#[inline]
pub(crate) fn read_path(path: &ReturnPath) -> Option<(u32, u32)> {
    let bytes: [u8; 8] = path.0[..].try_into().ok()?;
    let word = u64::from_le_bytes(bytes);
    Some((word as u32, (word >> 32) as u32))
}

/// All connections of a world, by slot.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    slots: Vec<Connection>,
    free: Vec<u32>,
}

impl Connections {
    /// Opens a connection that is not established yet.
    pub(crate) fn open(&mut self, owner: u32, endpoint: &Endpoint, plane: Plane, now: u64) -> u32 {
        let fresh = |generation, session| Connection {
            generation,
            session,
            owner,
            target: NOBODY,
            endpoint: endpoint.clone(),
            plane,
            bound: plane,
            near: false,
            far: false,
            closed: false,
            attempting: false,
            lost_at: now,
            path: ReturnPath(Bytes::new()),
            forth: Pipe::default(),
            back: Pipe::default(),
            forth_link: 0,
            back_link: 0,
        };
        if let Some(slot) = self.free.pop() {
            let old = &mut self.slots[slot as usize];
            *old = fresh(old.generation + 1, old.session);
            return slot;
        }
        let slot =
            u32::try_from(self.slots.len()).expect("a world has fewer than 2^32 connections");
        self.slots.push(fresh(0, 0));
        slot
    }

    /// Forgets a connection that no end believes in.
    pub(crate) fn free(&mut self, slot: u32) {
        let connection = self.get(slot);
        connection.session = connection.session.wrapping_add(1);
        connection.forth = Pipe::default();
        connection.back = Pipe::default();
        self.free.push(slot);
    }

    /// Returns a connection by a slot that came from here.
    #[inline]
    pub(crate) fn get(&mut self, slot: u32) -> &mut Connection {
        &mut self.slots[slot as usize]
    }

    /// Returns the slot of a connection that its owner still has.
    #[inline]
    pub(crate) fn owned(&mut self, id: ConnectionId, owner: u32) -> Option<(u32, &mut Connection)> {
        let slot = id.0 as u32;
        let connection = self.slots.get_mut(slot as usize)?;
        let known = u64::from(connection.generation) == id.0 >> 32
            && connection.owner == owner
            && !connection.closed;
        known.then_some((slot, connection))
    }

    /// Returns the connection that a way back belongs to, if that leads anywhere yet.
    #[inline]
    pub(crate) fn returning(
        &mut self,
        path: &ReturnPath,
        from: u32,
    ) -> Option<(u32, &mut Connection)> {
        let (slot, session) = read_path(path)?;
        let connection = self.slots.get_mut(slot as usize)?;
        let known = connection.session == session && connection.far && connection.target == from;
        known.then_some((slot, connection))
    }
}
