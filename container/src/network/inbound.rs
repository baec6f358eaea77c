//! Frames that came in, and the records in them.

use bytes::Bytes;
use monofil_proto::wire::{Closing, Kind};
use monofil_proto::{FrameRef, Head, RecordRef, read_frame};
use monofil_transport::{Io, Route};

use super::greeting::is_of_a_link;
use crate::calls::{Destination, LinkKey, Origin, ServedKey};
use crate::core::{Core, Stage};
use crate::counters::Counter;
use crate::envelope::{Envelope, is_request};
use crate::link::{Arrival, LedgerEntry, Marks};
use crate::parcel::Parcel;
use crate::{CallError, NodeId, Undelivered};

impl Core {
    pub(crate) fn handle_frame(&mut self, io: &mut dyn Io, from: &Route, bytes: &Bytes) {
        self.counters.add(Counter::FramesReceived);
        let frame = match read_frame(bytes, &self.bounds) {
            Ok(frame) => frame,
            Err(error) => {
                self.counters.malformed(error.reason);
                tracing::debug!(node = %self.name, %error, "a frame was refused");
                return;
            }
        };
        let head = frame.head;
        if self.network != 0 && head.network != 0 && head.network != self.network {
            self.counters.add(Counter::FramesForeignNetwork);
            return;
        }
        let node = NodeId(head.sender);
        if node == self.node {
            self.counters.add(Counter::FramesMisdirected);
            return;
        }
        let for_us = self.is_for_us(&head);
        if !for_us {
            // Meant for who was here before: whoever sent it learns who is here now.
            self.counters.add(Counter::FramesMisdirected);
            if head.receiver == Some(self.node.0) && head.receiver_incarnation > self.incarnation {
                self.outdated_by(head.receiver_incarnation);
                return;
            }
            if frame.hello.is_none() {
                self.send_hello(io, None, from, true, 0);
                return;
            }
        }
        let Some(index) = self.sender_of(io, node, &head, frame.hello.as_deref(), from) else {
            return;
        };
        if let Some(hello) = &frame.hello {
            self.handle_hello(io, index, hello, from);
        }
        if for_us && self.is_on_link(io, index, &frame, from) {
            let closing = Closing::try_from(head.closing).unwrap_or_default();
            if head.load > 0
                && let Some(peer) = self.peers.get_mut(index)
            {
                peer.says_load(self.now, u64::from(head.load) - 1);
            }
            self.handle_records(index, bytes, frame);
            self.handle_closing(index, closing);
        }
    }

    fn is_for_us(&self, frame: &Head) -> bool {
        let same_node = frame.receiver.is_none_or(|node| node == self.node.0);
        let same_life =
            frame.receiver_incarnation == 0 || frame.receiver_incarnation == self.incarnation;
        same_node && same_life
    }

    /// Tells whether a frame is of the link as it is now. One that is not was sent before its sender knew
    /// of this link, and learns of it by a hello.
    fn is_on_link(
        &mut self,
        io: &mut dyn Io,
        index: usize,
        frame: &FrameRef<'_>,
        from: &Route,
    ) -> bool {
        let head = &frame.head;
        let Some(peer) = self.peers.get(index) else {
            return false;
        };
        if !is_of_a_link(head) || peer.link.is_unnumbered() {
            return true;
        }
        if head.link_epoch > 0 && head.receiver_epoch == peer.epoch {
            self.find_way_back(index, from);
            return true;
        }
        if !frame.records.is_empty() || head.receiver_epoch > 0 {
            self.correct(io, index, from);
        }
        self.counters.add(Counter::FramesStale);
        false
    }

    /// The way to a node was found gone after it had greeted along another. It will not greet again: it speaks
    /// of the link as it is now, and where it speaks from is the way.
    fn find_way_back(&mut self, index: usize, from: &Route) {
        if let Some(peer) = self.peers.get_mut(index)
            && !peer.introduced
            && !peer.connected
            && !peer.dormant
        {
            peer.way_back = Some(from.clone());
            peer.introduced = true;
            peer.link.reconnected();
            self.peers.mark_dirty(index);
        }
    }

    fn handle_records(&mut self, index: usize, bytes: &Bytes, mut frame: FrameRef<'_>) {
        let now = self.now;
        let marks = marks_of(&frame.head);
        let first_sequence = frame.head.first_sequence;
        let Some(peer) = self.peers.get_mut(index) else {
            return;
        };
        let link = LinkKey {
            peer: index,
            number: peer.link_number,
        };
        // Anybody can say that a frame is of this node. What is not of the link that both have agreed on defines no
        // names for it, and ends nothing of it.
        let is_of_link =
            is_of_a_link(&frame.head) || peer.link.is_unnumbered() || peer.their_epoch == 0;
        // Who said to number nothing is not believed to do so.
        let numbered = first_sequence > 0 && !peer.link.is_unnumbered();
        if matches!(self.stage, Stage::Flushing { .. }) && numbered {
            // Whoever sent these hears at the end that they were not received, and that is better than a
            // refusal: under load there would be no end of refusals to wait for.
            peer.link.handle_marks(now, &marks, false);
            self.peers.mark_dirty(index);
            return;
        }
        if is_of_link && peer.link.define_names(&frame.names).is_err() {
            self.counters.add(Counter::FramesMisnumbered);
            return;
        }
        let (skip, mut sequence) = if numbered && !frame.records.is_empty() {
            match peer
                .link
                .handle_records(now, first_sequence, frame.records.len())
            {
                Arrival::New { skip, sequence } => (skip, sequence),
                Arrival::Gap => {
                    peer.link.handle_marks(now, &marks, false);
                    self.counters.add(Counter::LinkGaps);
                    self.peers.mark_dirty(index);
                    return;
                }
            }
        } else {
            (0, 0)
        };
        self.counters
            .add_many(Counter::RecordsDuplicate, skip as u64);
        for record in frame.records.iter_mut().skip(skip) {
            self.counters.add(Counter::RecordsReceived);
            let record_sequence = if numbered { sequence } else { 0 };
            sequence += 1;
            let names = self.peers.get_mut(index).map(|peer| peer.link.names());
            let default_deadline = self.default_deadline;
            let envelope = names.and_then(|names| {
                Envelope::from_record(record, bytes, names, now, default_deadline)
            });
            match envelope {
                Some(envelope) => self.handle_record(link, record_sequence, envelope),
                None => {
                    self.counters.add(Counter::RecordsInvalid);
                    self.refuse_record(link, record_sequence, record);
                }
            }
        }
        let mut settled = Vec::new();
        if let Some(peer) = self.peers.get_mut(index)
            && is_of_link
        {
            peer.link.handle_marks(now, &marks, true);
            settled = peer.link.take_passed_settled();
        }
        self.peers.mark_dirty(index);
        for origin in settled {
            self.conclude(&origin, Ok(crate::Payload::default()));
        }
    }

    fn handle_record(&mut self, link: LinkKey, sequence: u64, mut envelope: Parcel) {
        let id = envelope.id;
        let served = ServedKey {
            link: Some(link),
            id,
        };
        match envelope.kind {
            Kind::Call | Kind::Cast | Kind::Publish => {
                self.handle_request(link, sequence, envelope);
                return;
            }
            Kind::Reply if self.came_from(link.peer, id) => {
                self.end_call(id, Ok(std::mem::take(&mut envelope.payload)));
            }
            Kind::Failure => self.handle_failure(link.peer, envelope),
            Kind::Cancel => self.cancel_served(served),
            Kind::Item => {
                let payload = std::mem::take(&mut envelope.payload);
                self.item_arrived(Some(link.peer), id, envelope.item, payload);
            }
            Kind::End if self.came_from(link.peer, id) => self.stream_ended(id, envelope.item),
            Kind::Credit => self.stream_credit(served, envelope.credit),
            // They are about numbers, which only those have who number what they say.
            Kind::Unsettled | Kind::Settled if sequence > 0 => {
                if let Some(peer) = self.peers.on_link(link) {
                    peer.link.handle_ended(id, envelope.kind == Kind::Settled);
                }
            }
            Kind::Reply | Kind::End | Kind::Unsettled | Kind::Settled | Kind::Unspecified => {}
        }
        self.settle_peer(link, sequence);
    }

    /// Ends a record that makes no sense. Whoever sent a request hears of it.
    fn refuse_record(&mut self, link: LinkKey, sequence: u64, record: &RecordRef<'_>) {
        let kind = Kind::try_from(record.kind).unwrap_or_default();
        if !is_request(kind) {
            return self.settle_peer(link, sequence);
        }
        if let Some(state) = self.peers.get_mut(link.peer) {
            state.link.handle_request(record.payload.len());
        }
        let origin = Origin::Remote {
            link,
            id: record.id,
            sequence,
            answer: kind == Kind::Call,
        };
        let text = "a number stands for no name, or who waits for it is no node".to_owned();
        self.conclude(&origin, Err(CallError::Malformed(text)));
    }

    /// Answers are believed only from where the call went; late ones are counted.
    fn came_from(&mut self, peer: usize, id: u64) -> bool {
        match self.calls.get(id) {
            Some(call) => call.destination == Destination::Peer(peer),
            None => true,
        }
    }

    fn handle_request(&mut self, link: LinkKey, sequence: u64, mut envelope: Parcel) {
        let answer = envelope.kind == Kind::Call;
        let origin = Origin::Remote {
            link,
            id: envelope.id,
            sequence,
            answer,
        };
        if let Some(state) = self.peers.get_mut(link.peer) {
            state.link.handle_request(envelope.payload.len());
        }
        let is_known = origin
            .served_key()
            .is_some_and(|key| self.served_at(key).is_some());
        let delivered = if !self.accepts_new() {
            Err(CallError::Draining(self.name.clone()))
        } else if is_known {
            // A program that numbers nothing repeated itself: the first is being worked on.
            self.counters.add(Counter::RecordsDuplicate);
            self.settle_peer(link, sequence);
            return;
        } else {
            envelope.origin = origin;
            self.deliver(envelope)
        };
        if let Err(error) = delivered {
            self.rejected(&error);
            self.conclude(&origin, Err(error));
        }
    }

    fn handle_failure(&mut self, peer: usize, mut envelope: Parcel) {
        let error = envelope.outcome.take().map_or_else(
            || CallError::Timeout("it failed, and its node did not say how".into()),
            |error| *error,
        );
        if matches!(error, CallError::Draining(_))
            && let Some(peer) = self.peers.get_mut(peer)
        {
            peer.draining = true;
        }
        if self.calls.contains(envelope.id) {
            if self.came_from(peer, envelope.id) {
                self.end_call(envelope.id, Err(error));
            }
            return;
        }
        let entry = self
            .peers
            .get_mut(peer)
            .and_then(|peer| peer.link.take_cast(envelope.id));
        match entry {
            Some(entry) => self.cast_lost(entry, error),
            None => self.end_call(envelope.id, Err(error)),
        }
    }

    pub(super) fn cast_lost(&mut self, entry: LedgerEntry, error: CallError) {
        if let Some(Origin::Remote {
            link, id, sequence, ..
        }) = entry.passed.as_deref()
        {
            // It may have been handled, and its sender hears of it all the same: from the node that it gave it to.
            let settles = (*sequence > 0).then_some(*sequence);
            self.answer_link(*link, Parcel::failure(*id, error), settles);
            return;
        }
        let undelivered = Undelivered::of(entry.id, entry.heading(), error);
        self.return_cast(entry.sender.map(|it| it as usize), undelivered);
    }
}

const fn marks_of(frame: &Head) -> Marks {
    Marks {
        received: frame.received,
        settled: frame.settled,
        credit_records: frame.credit_records,
        credit_bytes: frame.credit_bytes,
        resend: frame.resend,
    }
}
