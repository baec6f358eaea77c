//! Frames: taken from one node, on the way, received by another.

use std::time::Duration;

use bytes::Bytes;
use monofil_transport::record::What as Recorded;
use monofil_transport::{ConnectionId, Event, Inbox, Instant, Plane, ReturnPath, Route, SendError};

use crate::NodeKey;
use crate::agenda::{Way, What};
use crate::connection::{Connection, Flying, make_path};
use crate::fabric::{Change, Fabric, FrameOnTheWay, Mail};
use crate::link::{Site, nanos};
use crate::trace::{NOBODY, TraceKind, hash_bytes};

fn site_of(plane: Plane) -> Site {
    match plane {
        Plane::Application => Site::Application,
        Plane::Control => Site::Control,
    }
}

impl Fabric {
    pub(crate) fn send(&mut self, node: u32, to: &Route, frame: Bytes) -> Result<(), SendError> {
        if frame.len() > self.config.limits.frame_bytes_max {
            return Err(SendError::TooLarge(frame));
        }
        match to {
            Route::Connection(id) => self.send_forth(node, *id, frame),
            Route::Return(_, path) => self.send_back(node, path, frame),
        }
    }

    fn send_forth(&mut self, node: u32, id: ConnectionId, frame: Bytes) -> Result<(), SendError> {
        let leaves = self.leaves();
        let Some((slot, connection)) = self.connections.owned(id, node) else {
            return Err(SendError::Gone(frame));
        };
        let frames_max = if connection.target == NOBODY {
            self.config.link.frames_max
        } else {
            self.links[connection.forth_link as usize].model.frames_max
        };
        if connection.forth.held() >= frames_max.max(1) as usize {
            connection.forth.refused = true;
            return Err(SendError::Full(frame));
        }
        let target = connection.target;
        self.trace.add(
            self.now,
            TraceKind::FrameSent,
            node,
            target,
            hash_bytes(&frame),
        );
        let sent = self.trace.write(self.now, node, || Recorded::FrameSent {
            to: (target != NOBODY).then_some(target),
            bytes: frame.len(),
        });
        self.stats.frames_sent += 1;
        let flying = Flying {
            due: leaves,
            frame,
            sent,
            number: 0,
        };
        if connection.near {
            self.fly(slot, Way::Forth, flying);
        } else {
            // Held until the connection is established, which gives it its time.
            connection.forth.flying.push_back(flying);
        }
        Ok(())
    }

    fn send_back(&mut self, node: u32, path: &ReturnPath, frame: Bytes) -> Result<(), SendError> {
        let leaves = self.leaves();
        let Some((slot, connection)) = self.connections.returning(path, node) else {
            return Err(SendError::Gone(frame));
        };
        let frames_max = self.links[connection.back_link as usize].model.frames_max;
        if connection.back.held() >= frames_max.max(1) as usize {
            connection.back.refused = true;
            return Err(SendError::Full(frame));
        }
        let owner = connection.owner;
        self.trace.add(
            self.now,
            TraceKind::FrameSent,
            node,
            owner,
            hash_bytes(&frame),
        );
        let sent = self.trace.write(self.now, node, || Recorded::FrameSent {
            to: Some(owner),
            bytes: frame.len(),
        });
        self.stats.frames_sent += 1;
        let flying = Flying {
            due: leaves,
            frame,
            sent,
            number: 0,
        };
        self.fly(slot, Way::Back, flying);
        Ok(())
    }

    /// Returns when what the node that turns sends at this point leaves it.
    #[inline]
    pub(crate) fn leaves(&self) -> u64 {
        self.now.saturating_add(self.thread.spent())
    }

    /// Puts a frame on its way, behind the ones before it. Until then it is due when it leaves its node.
    #[inline]
    fn fly(&mut self, slot: u32, way: Way, mut flying: Flying) {
        let connection = self.connections.get(slot);
        let (link, plane) = match way {
            Way::Forth => (connection.forth_link, connection.bound),
            Way::Back => (connection.back_link, connection.plane),
        };
        let session = connection.session;
        let (owner, target) = (connection.owner, connection.target);
        let pipe = connection.pipe(way);
        let leaves = self.now.max(flying.due);
        let link = &mut self.links[link as usize];
        let clogged = link.clogged_until.saturating_sub(leaves);
        let mut on_the_way = link.carry_frame(site_of(plane), leaves, flying.frame.len());
        if let Some(schedule) = &mut self.schedule {
            self.scheduled += 1;
            flying.number = self.scheduled;
            let (from, to) = match way {
                Way::Forth => (NodeKey(owner), NodeKey(target)),
                Way::Back => (NodeKey(target), NodeKey(owner)),
            };
            on_the_way = nanos(schedule.leaves(&FrameOnTheWay {
                number: self.scheduled,
                at: Instant::from_nanos(leaves),
                from,
                to,
                plane,
                latency: Duration::from_nanos(on_the_way),
                clogged: Duration::from_nanos(clogged),
                lane: u64::from(slot) << 1 | u64::from(way == Way::Back),
            }));
        }
        let due = pipe.last_due.max(leaves.saturating_add(on_the_way));
        pipe.last_due = due;
        pipe.flying.push_back(Flying { due, ..flying });
        if !pipe.armed {
            pipe.armed = true;
            self.agenda
                .add(self.now, due, What::Arrive { slot, session, way });
        }
    }

    /// Sends what was held until the connection was established.
    pub(crate) fn fly_held(&mut self, slot: u32) {
        let held = std::mem::take(&mut self.connections.get(slot).forth.flying);
        for flying in held {
            self.fly(slot, Way::Forth, flying);
        }
    }

    /// Lets everything arrive that is due on one direction of a connection.
    pub(crate) fn arrive(&mut self, slot: u32, session: u32, way: Way) {
        let connection = self.connections.get(slot);
        let held = way == Way::Forth && !connection.near && !connection.closed;
        if connection.session != session || held {
            return;
        }
        let (link, plane, receiver, sender, listens) = match way {
            Way::Forth => (
                connection.forth_link,
                connection.bound,
                connection.target,
                connection.owner,
                connection.far,
            ),
            Way::Back => (
                connection.back_link,
                connection.plane,
                connection.owner,
                connection.target,
                connection.near,
            ),
        };
        let generation = connection.generation;
        let pipe = connection.pipe(way);
        if self.links[link as usize].is_cut() {
            // Healing arms it again.
            pipe.armed = false;
            return;
        }
        if !listens {
            pipe.armed = false;
            let lost = pipe.lose();
            self.count_lost(lost, receiver, sender);
            self.tell_room(slot, way);
            return;
        }
        let mail = &mut self.nodes[receiver as usize].mail;
        while let Some(next) = pipe.flying.front_mut().filter(|next| next.due <= self.now) {
            if let Some(schedule) = &mut self.schedule
                && let Some(wait) = schedule.arrives(Instant::from_nanos(self.now), next.number)
            {
                next.due = self.now.saturating_add(nanos(wait).max(1));
                break;
            }
            let Some(Flying { frame, sent, .. }) = pipe.flying.pop_front() else {
                break;
            };
            self.trace.add(
                self.now,
                TraceKind::FrameArrived,
                receiver,
                sender,
                frame.len() as u64,
            );
            self.trace
                .write(self.now, receiver, || Recorded::FrameArrived {
                    from: sender,
                    sent,
                });
            pipe.unread += 1;
            mail.push_back(Mail::Frame {
                slot,
                session,
                generation,
                way,
                plane,
                frame,
            });
        }
        match pipe.flying.front() {
            Some(next) => {
                let due = next.due;
                self.agenda
                    .add(self.now, due, What::Arrive { slot, session, way });
            }
            None => pipe.armed = false,
        }
        self.make_ready(receiver);
    }

    /// Tells until when frames of a direction are still to arrive that a schedule made wait: who sent them, and is gone,
    /// is not missed before.
    pub(crate) fn still_arriving(&mut self, slot: u32, session: u32, way: Way) -> Option<u64> {
        self.schedule.as_ref()?;
        let connection = self.connections.get(slot);
        let link = match way {
            Way::Forth => connection.forth_link,
            Way::Back => connection.back_link,
        };
        if connection.session != session || self.links[link as usize].is_cut() {
            return None;
        }
        let flying = &connection.pipe(way).flying;
        let last = flying.back()?.due.max(flying.front()?.due);
        (last > self.now).then_some(last)
    }

    /// Moves a node's mail into its inbox.
    pub(crate) fn receive(&mut self, node: u32, inbox: &mut Inbox) {
        while let Some(mail) = self.nodes[node as usize].mail.pop_front() {
            match mail {
                Mail::Frame {
                    slot,
                    session,
                    generation,
                    way,
                    plane,
                    frame,
                } => {
                    let connection = self.connections.get(slot);
                    if let Some(from) = way_back(connection, slot, session, generation, way, plane)
                    {
                        self.stats.frames_received += 1;
                        inbox.push(Event::Frame { plane, from, frame });
                    }
                    let connection = self.connections.get(slot);
                    if connection.session == session {
                        let pipe = connection.pipe(way);
                        pipe.unread -= 1;
                        if pipe.refused {
                            self.tell_room(slot, way);
                        }
                    }
                }
                Mail::Datagram { from, payload } => {
                    self.node(node).datagrams_waiting -= 1;
                    inbox.push(Event::Datagram { from, payload });
                }
                Mail::Connection {
                    slot,
                    generation,
                    change,
                } => {
                    let connection = self.connections.get(slot);
                    if connection.generation == generation && !connection.closed {
                        let id = connection.id(slot);
                        inbox.push(match change {
                            Change::Connected => Event::PeerConnected(id),
                            Change::Gone => Event::PeerGone(id),
                            Change::Writable => Event::Writable(id),
                        });
                    }
                }
                Mail::Job(id, outcome) => inbox.push(Event::JobDone(id, *outcome)),
                Mail::Shutdown(how) => inbox.push(Event::Shutdown(how)),
            }
        }
    }

    /// Tells the sender of a direction that met `Full` that there is room, once half of it is free.
    pub(crate) fn tell_room(&mut self, slot: u32, way: Way) {
        let connection = self.connections.get(slot);
        let (link, sender, listens) = match way {
            Way::Forth => (connection.forth_link, connection.owner, !connection.closed),
            Way::Back => (connection.back_link, connection.target, connection.far),
        };
        let frames_max = self.links[link as usize].model.frames_max as usize;
        let pipe = connection.pipe(way);
        if !pipe.refused || pipe.held() > frames_max / 2 {
            return;
        }
        pipe.refused = false;
        match way {
            Way::Forth if listens => self.report(slot, Change::Writable),
            // The contract has no event for a return path: its sender just turns again.
            Way::Back if listens => self.make_ready(sender),
            _ => {}
        }
    }
}

/// Returns where an answer to a frame goes; nothing if its receiver gave the connection up meanwhile.
#[inline]
fn way_back(
    connection: &Connection,
    slot: u32,
    session: u32,
    generation: u32,
    way: Way,
    plane: Plane,
) -> Option<Route> {
    match way {
        Way::Forth if connection.session == session => {
            Some(Route::Return(plane, connection.path.clone()))
        }
        Way::Forth => Some(Route::Return(plane, make_path(slot, session))),
        Way::Back if connection.generation == generation && !connection.closed => {
            Some(Route::Connection(connection.id(slot)))
        }
        Way::Back => None,
    }
}
