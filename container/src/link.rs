//! The link between two incarnations of two nodes: each record once, in order, or reported as lost.
//!
//! ZeroMQ may lose what it accepted when a peer restarts, so the promise is kept here. Records are numbered
//! when they first leave; copies are kept until the other side says `received`, and sent again after a
//! reconnect. For each cast a small entry is kept until the other side says `settled`, so that a loss can be
//! reported to the component that sent it. *Requests* (calls, casts) leave within the credit that the other
//! side granted; answers never wait for it, because the request they answer paid for their room.
//!
//! ```text
//!   offer ─▶ fresh ── poll_frame ─▶ sent ── received ─▶ (ledger, casts only) ── settled ─▶ gone
//!              │ withdraw, expire      └── resend ──┘
//! ```
//!
//! Sans-IO: methods take `now` and what arrived, and say what to do. Call them in this order: `handle_*`
//! for what arrived, commands, then `poll_frame` until it returns `None`; and again by `next_deadline`.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use monofil_proto::wire::Kind;
use monofil_proto::{FrameWriter, Head, NameRef};
use monofil_transport::Instant;

use crate::calls::Origin;
use crate::capacity::Turnover;
use crate::envelope::Envelope;
use crate::names::{BadDefinition, NamesIn, NamesOut};
use crate::parcel::Parcel;
use crate::{CallError, Name};

mod endings;
mod ledger;

use endings::Endings;
use ledger::Ledger;
pub(crate) use ledger::LedgerEntry;

/// The bounds of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkConfig {
    /// Requests that may be under way unacknowledged, each way. Default 4096.
    pub window_records: u64,
    /// Their payloads, in bytes. Default 16 MiB.
    pub window_bytes: u64,
    /// Casts whose end is not known yet. Default 65,536.
    pub unsettled_max: usize,
    /// A frame is sent when it has reached this size. Default 64 KiB.
    pub frame_bytes: usize,
    /// How long an acknowledgement waits for a frame to ride on. Default 20 ms.
    pub acknowledge_within: Duration,
    /// Records that are not acknowledged within this time are sent again; it doubles up to eightfold.
    /// Default 1 s.
    pub resend_after: Duration,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            window_records: 4096,
            window_bytes: 16 << 20,
            unsettled_max: 65_536,
            frame_bytes: 64 << 10,
            acknowledge_within: Duration::from_millis(20),
            resend_after: Duration::from_secs(1),
        }
    }
}

/// The marks that ride on each frame of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    pub(crate) received: u64,
    pub(crate) settled: u64,
    pub(crate) credit_records: u64,
    pub(crate) credit_bytes: u64,
    pub(crate) resend: bool,
}

/// What leaves next.
#[derive(Debug)]
pub(crate) struct Batch {
    /// The number of the first record; 0 when there is none, or on an unnumbered link.
    pub(crate) first_sequence: u64,
    pub(crate) records: usize,
    pub(crate) marks: Marks,
    pub(crate) resent: bool,
    /// The records take less, encoded.
    bytes: usize,
    /// On an unnumbered link, which keeps nothing, the records themselves.
    unnumbered: Vec<Parcel>,
}

/// Answers, items and the like that are kept for a node until it takes them.
const ANSWERS_MAX: u64 = 65_536;
/// Their payloads may be so many times the window of requests.
const ANSWERS_WINDOWS: u64 = 4;

/// How many times as long as an acknowledgement the end of a cast waits for a frame to ride on, and for casts before it
/// that take longer.
const ANNOUNCE: u32 = 5;

#[derive(Debug)]
struct Outbound {
    envelope: Parcel,
    /// The other side's record that ends with this one; see [`Link::answer`].
    settles: Option<u64>,
}

/// What the next frame takes along: so many of those that are kept until they have arrived, or these.
enum Records {
    Numbered(usize),
    Unnumbered(Vec<Parcel>),
}

/// What a frame's records are, seen from the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Handle all but the first so many, which were received before. Numbers start at `sequence`.
    New { skip: usize, sequence: u64 },
    /// Some before them are missing: handle none; they will come again.
    Gap,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Link {
    config: LinkConfig,
    /// Both sides number their records.
    numbered: bool,
    outbound: Out,
    inbound: In,
}

#[derive(Debug, Default)]
struct Out {
    answers: VecDeque<Outbound>,
    requests: VecDeque<Outbound>,
    /// Invariant: the front has the sequence `received + 1`; the rest follow without gaps.
    sent: VecDeque<Outbound>,
    /// Invariant: `received <= transmitted <= received + sent.len()`. Those after it leave next.
    transmitted: u64,
    received: u64,
    ledger: Ledger,
    /// Requests numbered so far, and their payload bytes.
    requests_sent: u64,
    request_bytes_sent: u64,
    /// Requests offered and not yet received by the other side.
    requests_open: u64,
    request_bytes_open: u64,
    /// The same for everything else.
    answers_open: u64,
    answer_bytes_open: u64,
    credit_records: u64,
    credit_bytes: u64,
    /// Of requests, and of the ledger.
    requests_turnover: Turnover,
    unsettled_turnover: Turnover,
    resend_at: Option<Instant>,
    /// How often in a row the resend timer went off.
    resends: u32,
    names: NamesOut,
}

#[derive(Debug, Default)]
struct In {
    received: u64,
    endings: Endings,
    requests: u64,
    request_bytes: u64,
    /// What was last said to the other side.
    said: Marks,
    acknowledge_at: Option<Instant>,
    acknowledge_now: bool,
    missing: bool,
    /// The last cast that has ended, and when its end is said at the latest.
    cast_ended: u64,
    announce_at: Option<Instant>,
    /// The last cast that had ended when that was set.
    overtaken_by: u64,
    names: NamesIn,
}

impl Link {
    pub(crate) fn new(config: LinkConfig) -> Self {
        let mut link = Self {
            config,
            numbered: true,
            outbound: Out::default(),
            inbound: In::default(),
        };
        // The hello that introduces this side says so much.
        link.inbound.said = link.peek_marks();
        link
    }

    /// Says that the other side numbers nothing: at most once, both ways.
    pub(crate) const fn set_unnumbered(&mut self) {
        self.numbered = false;
    }

    pub(crate) const fn is_unnumbered(&self) -> bool {
        !self.numbered
    }

    /// Tells whether everything that was offered has arrived, as far as this side can know.
    pub(crate) fn is_flushed(&self) -> bool {
        let out = &self.outbound;
        out.answers.is_empty() && out.requests.is_empty() && out.sent.is_empty()
    }

    /// Tells whether nothing is under way that would be missed: what this side said of the other's records has left.
    pub(crate) fn is_heard(&self) -> bool {
        let out = &self.outbound;
        let mut sent = out.sent.iter();
        out.answers.is_empty()
            && out.requests.is_empty()
            && sent.all(|it| is_said(it.envelope.kind))
    }

    /// Tells whether nothing is under way in either direction.
    pub(crate) fn is_idle(&self) -> bool {
        self.is_flushed() && self.inbound.endings.is_empty()
    }

    /// Returns how many casts were sent whose end is not known.
    pub(crate) fn unsettled(&self) -> usize {
        self.outbound.ledger.len()
    }

    /// Tells whether the other side asks on and on and takes no answers.
    pub(crate) const fn is_overrun(&self) -> bool {
        self.outbound.answers_open > ANSWERS_MAX
            || self.outbound.answer_bytes_open > ANSWERS_WINDOWS * self.config.window_bytes
    }

    pub(crate) fn unacknowledged(&self) -> usize {
        self.outbound.sent.len() + self.outbound.requests.len() + self.outbound.answers.len()
    }

    /// Returns how many requests have not arrived yet, as far as is known here.
    pub(crate) const fn requests_open(&self) -> u64 {
        self.outbound.requests_open
    }

    /// Returns how many requests may be under way to the other side, and how many are.
    pub(crate) const fn records_open(&self) -> (u64, u64) {
        (self.config.window_records, self.outbound.requests_open)
    }

    /// Tells whether it takes no call, or no cast, whatever its length.
    pub(crate) fn is_full(&self, for_casts: bool) -> bool {
        let out = &self.outbound;
        out.requests_open >= self.config.window_records
            || (for_casts && out.ledger.len() >= self.config.unsettled_max)
    }

    /// Takes a request, or says which limit is reached. A full link is known before anything is sent.
    pub(crate) fn offer(
        &mut self,
        now: Instant,
        envelope: Parcel,
        place: impl FnOnce() -> Name,
    ) -> Result<(), Box<(CallError, Parcel)>> {
        let out = &mut self.outbound;
        let bytes = envelope.payload.len() as u64;
        let (limit, of, after) = if out.requests_open >= self.config.window_records {
            let of = (self.config.window_records, out.requests_open);
            ("link.records", of, out.requests_refused(now))
        } else if out.requests_open > 0 && out.request_bytes_open + bytes > self.config.window_bytes
        {
            let of = (self.config.window_bytes, out.request_bytes_open + bytes);
            ("link.bytes", of, out.requests_refused(now))
        } else if envelope.kind != Kind::Call && out.ledger.len() >= self.config.unsettled_max {
            let of = (self.config.unsettled_max as u64, out.ledger.len() as u64);
            let after = out.unsettled_turnover.refuses(now, out.ledger.left());
            ("link.unsettled", of, after)
        } else {
            out.requests_open += 1;
            out.request_bytes_open += bytes;
            out.requests.push_back(Outbound {
                envelope,
                settles: None,
            });
            return Ok(());
        };
        let error = CallError::rejected(limit, of, &place(), after);
        Err(Box::new((error, envelope)))
    }

    /// Takes anything but a request. `settles` is the other side's record that ends with it: its end is
    /// announced once this has arrived. The reason would get lost with the frame it is in, and a mark in
    /// another frame, a hello perhaps, would let the other side forget whom to tell of it.
    pub(crate) fn answer(&mut self, envelope: Parcel, settles: Option<u64>) {
        self.outbound.answers_open += 1;
        self.outbound.answer_bytes_open += envelope.payload.len() as u64;
        self.outbound
            .answers
            .push_back(Outbound { envelope, settles });
    }

    /// Notes what the other side's numbers stand for.
    pub(crate) fn define_names(&mut self, names: &[(u32, &str)]) -> Result<(), BadDefinition> {
        let known = &mut self.inbound.names;
        names
            .iter()
            .try_for_each(|(number, name)| known.define(*number, name))
    }

    /// Returns the names that the other side gave numbers.
    pub(crate) const fn names(&mut self) -> &mut NamesIn {
        &mut self.inbound.names
    }

    /// Says that a record of the other side has ended.
    pub(crate) fn settle(&mut self, sequence: u64) {
        self.inbound.endings.end(sequence);
    }

    /// Says that a cast of the other side has ended well. It does not wait for that, but until it knows it
    /// takes the cast for lost if the link ends. Returns when to look at the link again, if that is new.
    pub(crate) fn settle_cast(&mut self, now: Instant, sequence: u64) -> Option<Instant> {
        let set = self.inbound.announce_at;
        if self.inbound.endings.end(sequence) {
            self.say(Kind::Settled, sequence, None);
            self.announce_later(now);
        } else {
            self.inbound.cast_ended = self.inbound.cast_ended.max(sequence);
            self.announce(now);
        }
        if self.inbound.endings.is_long() {
            return Some(now);
        }
        self.inbound.announce_at.filter(|_| set.is_none())
    }

    /// Sees to it that ends of casts are said, if there are any to say.
    fn announce(&mut self, now: Instant) {
        let inbound = &self.inbound;
        let (said, endings) = (inbound.said.settled, &inbound.endings);
        let more = said < endings.settled() || endings.is_held_before(inbound.cast_ended);
        if more && said < inbound.cast_ended {
            self.announce_later(now);
        }
    }

    fn announce_later(&mut self, now: Instant) {
        let inbound = &mut self.inbound;
        if inbound.announce_at.is_none() {
            inbound.announce_at = Some(now + self.config.acknowledge_within * ANNOUNCE);
            inbound.overtaken_by = inbound.cast_ended;
        }
    }

    /// Lets the mark go on although some records take long: those that many have overtaken, or somebody for a while.
    fn except_held(&mut self, now: Instant) {
        let is_due = self.inbound.announce_at.is_some_and(|at| at <= now);
        loop {
            let (endings, by) = (&mut self.inbound.endings, self.inbound.overtaken_by);
            let is_held = endings.is_long() || (is_due && endings.is_held_before(by));
            let Some(excepted) = is_held.then(|| endings.except_first()).flatten() else {
                return;
            };
            self.say(Kind::Unsettled, excepted, Some(excepted));
        }
    }

    /// Says something of a record of the other side. There are no more of these than it has requests open here, so
    /// they do not count as answers.
    fn say(&mut self, kind: Kind, sequence: u64, settles: Option<u64>) {
        let envelope = Parcel::about(kind, sequence);
        let said = Outbound { envelope, settles };
        self.outbound.answers.push_back(said);
    }

    /// The other side says that a cast has not ended, though its mark will cover it; or that such a one has, well.
    pub(crate) fn handle_ended(&mut self, sequence: u64, ended: bool) {
        let ledger = &mut self.outbound.ledger;
        if ended {
            ledger.settle(sequence);
        } else {
            ledger.except(sequence);
            // Its mark waits for that.
            self.inbound.acknowledge_now = true;
        }
    }

    /// Takes back a request that has not left yet.
    pub(crate) fn withdraw(&mut self, id: u64) -> Option<Parcel> {
        let at = self
            .outbound
            .requests
            .iter()
            .position(|out| out.envelope.id == id)?;
        let taken = self.outbound.requests.remove(at)?;
        self.outbound.request_left(&taken.envelope);
        Some(taken.envelope)
    }

    /// Takes back the requests that have not left and whose deadline has passed.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<Parcel> {
        let due = |out: &Outbound| {
            out.envelope
                .deadline
                .is_some_and(|deadline| deadline <= now)
        };
        let mut expired = Vec::new();
        if !self.outbound.requests.iter().any(due) {
            return expired;
        }
        let mut kept = VecDeque::with_capacity(self.outbound.requests.len());
        for outbound in std::mem::take(&mut self.outbound.requests) {
            if due(&outbound) {
                self.outbound.request_left(&outbound.envelope);
                expired.push(outbound.envelope);
            } else {
                kept.push_back(outbound);
            }
        }
        self.outbound.requests = kept;
        expired
    }

    /// Gives up waiting for the end of casts that have left and whose deadline has passed. Their copies
    /// stay, because the numbers must have no gaps; whoever gets them finds them expired.
    pub(crate) fn expire_unsettled(&mut self, now: Instant) -> Vec<LedgerEntry> {
        self.outbound.ledger.expire(now)
    }

    pub(crate) fn has_fresh_requests(&self) -> bool {
        !self.outbound.requests.is_empty()
    }

    /// Looks at the number of a frame's first record. `records` is how many there are.
    pub(crate) fn handle_records(&mut self, now: Instant, first: u64, records: usize) -> Arrival {
        let inbound = &mut self.inbound;
        let next = inbound.received + 1;
        if first > next {
            inbound.missing = true;
            inbound.acknowledge_now = true;
            return Arrival::Gap;
        }
        let skip = usize::try_from(next - first)
            .unwrap_or(usize::MAX)
            .min(records);
        let fresh = records - skip;
        inbound.received += fresh as u64;
        inbound.endings.arrived(fresh);
        if fresh > 0 {
            inbound.missing = false;
        } else {
            // A repetition: the other side has not heard that we have these.
            inbound.acknowledge_now = true;
        }
        let due = now + self.config.acknowledge_within;
        inbound.acknowledge_at = Some(inbound.acknowledge_at.map_or(due, |at| at.min(due)));
        let behind = inbound.received - inbound.said.received;
        if behind >= self.config.window_records / 4 {
            inbound.acknowledge_now = true;
        }
        Arrival::New {
            skip,
            sequence: next,
        }
    }

    /// Counts a request against the credit that was granted.
    pub(crate) fn handle_request(&mut self, payload_bytes: usize) {
        self.inbound.requests += 1;
        self.inbound.request_bytes += payload_bytes as u64;
        let granted = self.inbound.said.credit_bytes;
        if granted < self.inbound.request_bytes + self.config.window_bytes / 2 {
            self.inbound.acknowledge_now = true;
        }
    }

    /// Takes the marks of a frame. `settled` only counts when the frame's records were handled: the reason
    /// for an end travels before its mark.
    pub(crate) fn handle_marks(&mut self, now: Instant, marks: &Marks, records_handled: bool) {
        let out = &mut self.outbound;
        out.credit_records = out.credit_records.max(marks.credit_records);
        out.credit_bytes = out.credit_bytes.max(marks.credit_bytes);
        let newest = out.received + out.sent.len() as u64;
        let received = marks.received.min(newest);
        let progress = received > out.received;
        let mut told = false;
        while out.received < received {
            if let Some(gone) = out.sent.pop_front() {
                out.left(&gone.envelope);
                match (gone.settles, gone.envelope.kind) {
                    (Some(sequence), Kind::Unsettled) => {
                        self.inbound.endings.told(sequence);
                        told = true;
                    }
                    (Some(sequence), _) => {
                        self.inbound.endings.end(sequence);
                    }
                    (None, _) => {}
                }
            }
            out.received += 1;
        }
        out.transmitted = out.transmitted.max(out.received);
        let inbound = &mut self.inbound;
        // Casts have waited for that long enough.
        inbound.acknowledge_now |= told && inbound.said.settled < inbound.endings.settled();
        self.announce(now);
        let out = &mut self.outbound;
        if records_handled {
            out.ledger.settle_up_to(marks.settled.min(out.received));
        }
        if marks.resend {
            out.transmitted = out.received;
        }
        if progress || out.sent.is_empty() {
            out.resends = 0;
            out.resend_at = (!out.sent.is_empty()).then(|| now + self.config.resend_after);
        }
    }

    /// Returns where casts came from that were passed on and have been settled now.
    pub(crate) fn take_passed_settled(&mut self) -> Vec<Origin> {
        self.outbound.ledger.take_passed_settled()
    }

    /// Sends everything again that is not acknowledged: the connection is new.
    pub(crate) const fn reconnected(&mut self) {
        self.outbound.transmitted = self.outbound.received;
        self.outbound.resends = 0;
        self.inbound.acknowledge_now = true;
    }

    /// Finds and forgets a cast by its id, when its end is reported.
    pub(crate) fn take_cast(&mut self, id: u64) -> Option<LedgerEntry> {
        self.outbound.ledger.take(id)
    }

    /// Takes back the requests that were sent and did not arrive: the other side said that it received no
    /// more and never will. Those that are over meanwhile stay away: casts that were given up, and calls that
    /// nobody waits for.
    pub(crate) fn recall(&mut self, waits: impl Fn(u64) -> bool) {
        let out = &mut self.outbound;
        while let Some(outbound) = out.sent.pop_back() {
            let sequence = out.received + out.sent.len() as u64 + 1;
            let envelope = &outbound.envelope;
            let is_open = match envelope.kind {
                Kind::Call => waits(envelope.id),
                _ => out.ledger.pop(sequence),
            };
            if is_open {
                out.requests.push_front(outbound);
            }
        }
        out.transmitted = out.received;
    }

    /// Begins anew with another incarnation. Returns the casts whose end will never be known; requests that
    /// never left stay, answers to the old incarnation do not.
    pub(crate) fn end(&mut self) -> Vec<LedgerEntry> {
        let mut fresh = Self::new(self.config);
        let out = &mut self.outbound;
        fresh.outbound.requests = std::mem::take(&mut out.requests);
        fresh.outbound.requests_open = fresh.outbound.requests.len() as u64;
        fresh.outbound.request_bytes_open = fresh
            .outbound
            .requests
            .iter()
            .map(|out| out.envelope.payload.len() as u64)
            .sum();
        let lost = std::mem::take(&mut out.ledger);
        *self = fresh;
        lost.into_lost()
    }

    /// Takes the requests that have not left.
    pub(crate) fn take_requests(&mut self) -> Vec<Parcel> {
        let requests = std::mem::take(&mut self.outbound.requests);
        let envelopes = requests.into_iter().map(|out| out.envelope);
        // Those that have left are still open.
        envelopes
            .inspect(|envelope| self.outbound.request_left(envelope))
            .collect()
    }

    pub(crate) fn is_fresh(&self, id: u64) -> bool {
        self.outbound
            .requests
            .iter()
            .any(|out| out.envelope.id == id)
    }

    /// Returns when the link needs attention although nothing arrives.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let resend = self
            .outbound
            .resend_at
            .filter(|_| !self.outbound.sent.is_empty());
        let inbound = &self.inbound;
        [inbound.acknowledge_at, inbound.announce_at, resend]
            .into_iter()
            .flatten()
            .min()
    }

    /// Takes the next frame's content; `None` when there is nothing to say now.
    pub(crate) fn poll_frame(&mut self, now: Instant) -> Option<Batch> {
        self.handle_timeout(now);
        self.except_held(now);
        let mut budget = Budget::new(self.config.frame_bytes);
        let (records, first_sequence, resent) = self.next_records(&mut budget);
        let due = [self.inbound.acknowledge_at, self.inbound.announce_at];
        let acknowledge =
            self.inbound.acknowledge_now || due.into_iter().flatten().any(|at| at <= now);
        let (records, unnumbered) = match records {
            Records::Numbered(count) => (count, Vec::new()),
            Records::Unnumbered(records) => (records.len(), records),
        };
        if records == 0 && !acknowledge {
            return None;
        }
        if records > 0 && self.numbered && self.outbound.resend_at.is_none() {
            self.outbound.resend_at = Some(now + self.config.resend_after);
        }
        Some(Batch {
            first_sequence,
            records,
            marks: self.marks(now),
            resent,
            bytes: budget.taken,
            unnumbered,
        })
    }

    /// Writes the frame of a batch that was just taken.
    pub(crate) fn write(&mut self, head: &Head, batch: &Batch, now: Instant) -> Bytes {
        let Out {
            sent,
            received,
            names,
            ..
        } = &mut self.outbound;
        names.begin(batch.resent);
        let mut frame = FrameWriter::with_capacity(batch.bytes);
        if batch.first_sequence > 0 {
            let before = batch.first_sequence - 1 - *received;
            let first = usize::try_from(before).unwrap_or(usize::MAX);
            let batch_of = sent.iter().skip(first).take(batch.records);
            for (sequence, outbound) in (batch.first_sequence..).zip(batch_of) {
                let name = |name| names.put(name, sequence, *received);
                frame.record(&outbound.envelope.as_record(now, name));
            }
        } else {
            for envelope in &batch.unnumbered {
                let record = envelope.as_record(now, |name| NameRef::Text(name.as_str()));
                frame.record(&record);
            }
        }
        frame.finish(head, &names.definitions(), None)
    }

    /// Lets what was received be acknowledged with the next frame: there is no later. Tells whether
    /// there is something to say.
    pub(crate) const fn hurry(&mut self) -> bool {
        self.inbound.acknowledge_now |= self.inbound.acknowledge_at.is_some();
        self.inbound.acknowledge_now
    }

    fn handle_timeout(&mut self, now: Instant) {
        let out = &mut self.outbound;
        if out.sent.is_empty() {
            out.resend_at = None;
        } else if out.resend_at.is_some_and(|at| at <= now) {
            out.transmitted = out.received;
            out.resends = (out.resends + 1).min(3);
            out.resend_at = Some(now + self.config.resend_after * (1 << out.resends));
        }
    }

    /// Takes what is to be sent again first, then answers, then requests within the credit.
    fn next_records(&mut self, batch: &mut Budget) -> (Records, u64, bool) {
        let again = usize::try_from(self.outbound.transmitted - self.outbound.received)
            .unwrap_or(usize::MAX);
        let resent = again < self.outbound.sent.len();
        let first = self.outbound.transmitted + 1;
        if resent {
            let rest = self.outbound.sent.range(again..);
            let count = rest.take_while(|out| batch.takes(&out.envelope)).count();
            self.outbound.transmitted += count as u64;
            return (Records::Numbered(count), first, true);
        }
        if !self.numbered {
            let mut records = Vec::new();
            while let Some(Outbound { envelope, .. }) = self.next_fresh(batch) {
                self.outbound.left(&envelope);
                records.push(envelope);
            }
            return (Records::Unnumbered(records), 0, false);
        }
        let mut count = 0;
        while let Some(outbound) = self.next_fresh(batch) {
            self.outbound.number(&outbound.envelope);
            self.outbound.sent.push_back(outbound);
            count += 1;
        }
        let first = if count > 0 { first } else { 0 };
        (Records::Numbered(count), first, false)
    }

    fn next_fresh(&mut self, batch: &mut Budget) -> Option<Outbound> {
        let out = &mut self.outbound;
        if let Some(answer) = out.answers.front() {
            return if batch.takes(&answer.envelope) {
                out.answers.pop_front()
            } else {
                None
            };
        }
        let request = &out.requests.front()?.envelope;
        let bytes = request.payload.len() as u64;
        // A payload larger than all credit may leave when nothing else is under way.
        let idle = out.sent.is_empty();
        let within = out.requests_sent < out.credit_records
            && (out.request_bytes_sent + bytes <= out.credit_bytes || idle);
        if (within || !self.numbered) && batch.takes(request) {
            out.requests.pop_front()
        } else {
            None
        }
    }

    /// Returns the marks as they are, without counting them as said.
    pub(crate) fn peek_marks(&self) -> Marks {
        let inbound = &self.inbound;
        Marks {
            received: inbound.received,
            settled: inbound.endings.settled(),
            credit_records: inbound.requests + self.config.window_records,
            credit_bytes: inbound.request_bytes + self.config.window_bytes,
            resend: inbound.missing,
        }
    }

    fn marks(&mut self, now: Instant) -> Marks {
        let marks = self.peek_marks();
        let inbound = &mut self.inbound;
        inbound.said = marks;
        inbound.acknowledge_at = None;
        inbound.acknowledge_now = false;
        if marks.settled >= inbound.cast_ended || inbound.announce_at.is_some_and(|at| at <= now) {
            inbound.announce_at = None;
            self.announce(now);
        }
        marks
    }
}

impl Out {
    /// A request is refused because of those that have not arrived: returns when there may be room.
    fn requests_refused(&mut self, now: Instant) -> Duration {
        let under_way = self
            .requests_open
            .saturating_sub(self.requests.len() as u64);
        let gone = self.requests_sent.saturating_sub(under_way);
        self.requests_turnover.refuses(now, gone)
    }

    fn number(&mut self, envelope: &Envelope) {
        self.transmitted += 1;
        if envelope.is_request() {
            self.requests_sent += 1;
            self.request_bytes_sent += envelope.payload.len() as u64;
        }
        if matches!(envelope.kind, Kind::Cast | Kind::Publish) {
            self.ledger.push(envelope, self.transmitted);
        }
    }

    fn left(&mut self, envelope: &Envelope) {
        if envelope.is_request() {
            self.request_left(envelope);
        } else if !is_said(envelope.kind) {
            self.answers_open -= 1;
            self.answer_bytes_open -= envelope.payload.len() as u64;
        }
    }

    fn request_left(&mut self, envelope: &Envelope) {
        self.requests_open -= 1;
        self.request_bytes_open -= envelope.payload.len() as u64;
    }
}

/// Tells whether it says something of a record of the other side.
const fn is_said(kind: Kind) -> bool {
    matches!(kind, Kind::Unsettled | Kind::Settled)
}

/// How much fits into one frame.
struct Budget {
    bytes: usize,
    records: usize,
    taken: usize,
}

impl Budget {
    const fn new(bytes: usize) -> Self {
        Self {
            bytes,
            records: 0,
            taken: 0,
        }
    }

    /// A record that does not fit travels alone, in the next frame.
    fn takes(&mut self, envelope: &Envelope) -> bool {
        let bytes = envelope.encoded_len_hint();
        let fits = self.records == 0
            || (self.taken + bytes <= self.bytes
                && self.records < monofil_proto::Bounds::DEFAULT.records);
        if fits {
            self.taken += bytes;
            self.records += 1;
        }
        fits
    }
}

#[cfg(test)]
mod tests;
