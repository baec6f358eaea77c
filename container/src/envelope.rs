//! A record on its way between two nodes, with names that are cheap to clone.

use std::cell::OnceCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use monofil_proto::{NameRef, RecordRef, WaitingRef, Waitings, put_waiting, wire};
use monofil_transport::Instant;

use crate::calls::Origin;
use crate::error::micros;
use crate::heading::{self, Heading};
use crate::names::NamesIn;
use crate::parcel::Parcel;
use crate::routing::Reach;
use crate::{CallError, Name, NodeId, Payload, Trace};

/// An instance that waits for an answer, and those that wait for it in turn.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) node: NodeId,
    pub(crate) component: Name,
    pub(crate) instance: u32,
    /// How many wait, this one included; and a rough upper bound of what that takes in a record.
    pub(crate) depth: usize,
    pub(crate) bytes: usize,
    pub(crate) before: Chain,
    /// All of them as records carry them, once one does.
    written: OnceCell<Box<[u8]>>,
}

impl Waiting {
    pub(crate) fn new(node: NodeId, component: Name, instance: u32, before: Chain) -> Chain {
        const FIXED: usize = 32;
        let (depth, bytes) = before
            .as_ref()
            .map_or((0, 0), |waiting| (waiting.depth, waiting.bytes));
        Some(Rc::new(Self {
            node,
            instance,
            depth: depth + 1,
            bytes: bytes + FIXED + component.as_str().len(),
            component,
            before,
            written: OnceCell::new(),
        }))
    }

    /// Returns them as they travel, the one where it began first.
    fn written(&self) -> &[u8] {
        self.written.get_or_init(|| {
            let before = std::iter::successors(Some(self), |link| link.before.as_deref());
            let mut chain: Vec<_> = before.collect();
            chain.reverse();
            let mut out = Vec::with_capacity(self.bytes);
            for link in chain {
                let link = WaitingRef {
                    node: &link.node.0,
                    component: link.component.as_str(),
                    instance: link.instance,
                };
                put_waiting(&mut out, &link);
            }
            out.into()
        })
    }
}

/// Who waits, the nearest first; `None` at the end.
pub(crate) type Chain = Option<Rc<Waiting>>;

/// Counts those who wait.
pub(crate) fn chain_depth(chain: &Chain) -> usize {
    chain.as_ref().map_or(0, |waiting| waiting.depth)
}

/// Walks a chain, the nearest first.
pub(crate) fn chain_links(chain: &Chain) -> impl Iterator<Item = &Waiting> {
    std::iter::successors(chain.as_deref(), |waiting| waiting.before.as_deref())
}

/// Tells whether a record of this kind asks for something to be handled.
pub(crate) const fn is_request(kind: wire::Kind) -> bool {
    matches!(
        kind,
        wire::Kind::Call | wire::Kind::Cast | wire::Kind::Publish
    )
}

/// One record; see `wire.proto` for what each field means.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    pub(crate) kind: wire::Kind,
    pub(crate) id: u64,
    /// That of a request, or of a cast that came back; see [`Envelope::heading`].
    pub(crate) heading: Option<Rc<Heading>>,
    /// Where its end is reported, once a request is where it is handled.
    pub(crate) origin: Origin,
    /// Its place in the queue of an instance.
    pub(crate) arrival: u64,
    /// Since when it is there.
    pub(crate) queued_at: Instant,
    /// Only requests have one.
    pub(crate) deadline: Option<Instant>,
    pub(crate) payload: Payload,
    pub(crate) trace: Trace,
    pub(crate) waiting: Chain,
    pub(crate) outcome: Option<Box<CallError>>,
    pub(crate) credit: u32,
    pub(crate) item: u64,
    /// Few have one.
    pub(crate) key: Option<Box<Bytes>>,
    pub(crate) idempotent: bool,
    /// At which distances it was spilled, a bit each.
    pub(crate) spilled: u8,
    /// How often it was passed on, and no more than can be written here.
    pub(crate) hops: u16,
    /// How far it may travel, by what was said where it has been.
    pub(crate) horizon: Option<Reach>,
}

impl Envelope {
    /// Makes a record that belongs to a call: an answer, a cancellation, an item, credit.
    pub(crate) fn about(kind: wire::Kind, id: u64) -> Self {
        Self {
            kind,
            id,
            heading: None,
            origin: Origin::NOWHERE,
            arrival: 0,
            queued_at: Instant::ZERO,
            deadline: None,
            payload: Payload::default(),
            trace: Trace::default(),
            waiting: None,
            outcome: None,
            credit: 0,
            item: 0,
            key: None,
            idempotent: false,
            spilled: 0,
            hops: 0,
            horizon: None,
        }
    }

    /// Becomes what [`Envelope::about`] makes, but for its kind and its id.
    pub(crate) fn clear(&mut self) {
        let Self {
            kind: _,
            id: _,
            heading,
            origin,
            arrival,
            queued_at,
            deadline,
            payload,
            trace,
            waiting,
            outcome,
            credit,
            item,
            key,
            idempotent,
            spilled,
            hops,
            horizon,
        } = self;
        *heading = None;
        *origin = Origin::NOWHERE;
        *arrival = 0;
        *queued_at = Instant::ZERO;
        *deadline = None;
        *payload = Payload::default();
        *trace = Trace::default();
        *waiting = None;
        *outcome = None;
        *credit = 0;
        *item = 0;
        *key = None;
        *idempotent = false;
        *spilled = 0;
        *hops = 0;
        *horizon = None;
    }

    pub(crate) fn key(&self) -> &Bytes {
        static NONE: Bytes = Bytes::new();
        self.key.as_deref().unwrap_or(&NONE)
    }

    /// Returns from whom it is, to whom and what for; of one that is no request, nothing.
    pub(crate) fn heading(&self) -> &Heading {
        self.heading.as_deref().unwrap_or(&heading::NONE)
    }

    /// Requests need credit; everything else was paid for by the request it belongs to.
    pub(crate) const fn is_request(&self) -> bool {
        is_request(self.kind)
    }

    /// A rough upper bound of the encoded length: names and fixed parts, who waits, the payload or what there
    /// is in its place.
    pub(crate) fn encoded_len_hint(&self) -> usize {
        const FIXED: usize = 128;
        let names = self.heading().names().map(|name| name.as_str().len());
        FIXED
            + names.iter().sum::<usize>()
            + self.payload.content_type.as_str().len()
            + self.key().len()
            + self.payload.len()
            + self.waiting.as_ref().map_or(0, |waiting| waiting.bytes)
            + self
                .outcome
                .as_ref()
                .map_or(0, |error| error.encoded_len_hint())
    }

    /// Views it as it leaves at `now`, with the time that is left then. `name` says how a name travels.
    pub(crate) fn as_record<'a>(
        &'a self,
        now: Instant,
        mut name: impl FnMut(&'a Name) -> NameRef<'a>,
    ) -> RecordRef<'a> {
        let remaining = |deadline: Instant| micros(now.until(deadline)).max(1);
        let heading = self.heading();
        RecordRef {
            kind: self.kind.into(),
            id: self.id,
            source: name(&heading.source),
            target: name(&heading.target),
            method: name(&heading.method),
            flow: name(&heading.flow),
            content_type: name(&self.payload.content_type),
            topic: name(&heading.topic),
            remaining_micros: self.deadline.map_or(0, remaining),
            payload: self.payload.encoded(),
            trace: self.trace.to_wire(),
            waiting: self
                .waiting
                .as_ref()
                .map_or_else(Waitings::default, |waiting| {
                    Waitings::of_written(waiting.written())
                }),
            outcome: self.outcome.as_ref().map(|error| Box::new(error.to_wire())),
            credit: self.credit,
            item: self.item,
            key: self.key(),
            idempotent: self.idempotent,
            hops: self.hops.into(),
            spilled: self.spilled.into(),
            horizon: self.horizon.map(Reach::to_wire),
        }
    }

    /// Reads a record that arrived at `now` in a frame. `None` for a kind that this release does not know, and
    /// for what makes no sense.
    pub(crate) fn from_record(
        record: &mut RecordRef<'_>,
        frame: &Bytes,
        names: &mut NamesIn,
        now: Instant,
        default_deadline: Duration,
    ) -> Option<Parcel> {
        let kind = wire::Kind::try_from(record.kind).ok()?;
        if kind == wire::Kind::Unspecified {
            return None;
        }
        let mut waiting = None;
        for link in record.waiting {
            let node = NodeId::from_wire(link.node)?;
            waiting = Waiting::new(node, link.component.into(), link.instance, waiting);
        }
        // An empty slice need not keep the frame in memory.
        let part = |bytes: &[u8]| match bytes {
            [] => Bytes::new(),
            bytes => frame.slice_ref(bytes),
        };
        let mut envelope = Parcel::about(kind, record.id);
        envelope.heading = names.heading(record)?;
        let content_type = names.get(record.content_type)?;
        envelope
            .payload
            .set_bytes(content_type, part(record.payload));
        envelope.trace = record.trace.map_or_else(Trace::default, Trace::from_wire);
        envelope.waiting = waiting;
        let outcome = record.outcome.take();
        envelope.outcome = outcome.map(|outcome| Box::new(CallError::from_wire(*outcome)));
        envelope.credit = record.credit;
        envelope.item = record.item;
        envelope.key = (!record.key.is_empty()).then(|| Box::new(part(record.key)));
        envelope.idempotent = record.idempotent;
        envelope.hops = u16::try_from(record.hops).unwrap_or(u16::MAX);
        // Of those that are known.
        envelope.spilled = u8::try_from(record.spilled & 0xff).unwrap_or(0);
        envelope.horizon = record.horizon.and_then(Reach::from_wire);
        if envelope.is_request() {
            let remaining = match record.remaining_micros {
                0 => default_deadline,
                // The way here took the one that stands for none: what had expired when it left has expired.
                micros => Duration::from_micros(micros - 1),
            };
            envelope.deadline = Some(now + remaining);
        }
        Some(envelope)
    }
}
