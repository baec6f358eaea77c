//! What is remembered of casts that have left, until it is known how they ended.
//!
//! Most end in the order in which they left, and the other side's mark `settled` covers many at once. One that takes
//! long is *excepted*: the other side said so before its mark covered it, and will say when it has ended.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use monofil_transport::Instant;

use crate::calls::Origin;
use crate::envelope::Envelope;
use crate::heading::{self, Heading};

/// What is remembered of a cast until its end is known.
#[derive(Clone, Debug)]
pub(crate) struct LedgerEntry {
    sequence: u64,
    pub(crate) id: u64,
    heading: Option<Rc<Heading>>,
    deadline: Option<Instant>,
    /// Which instance sent it.
    pub(crate) sender: Option<u32>,
    excepted: bool,
    /// Where it came from, if it is another node's and was passed on.
    pub(crate) passed: Option<Box<Origin>>,
}

impl LedgerEntry {
    pub(crate) fn of(envelope: &Envelope, sequence: u64) -> Self {
        let (sender, passed) = match envelope.origin {
            Origin::LocalCast { sender, .. } => (sender.and_then(|it| it.try_into().ok()), None),
            origin @ Origin::Remote { .. } => (None, Some(Box::new(origin))),
            Origin::LocalCall { .. } => (None, None),
        };
        Self {
            sequence,
            id: envelope.id,
            heading: envelope.heading.clone(),
            deadline: envelope.deadline,
            sender,
            excepted: false,
            passed,
        }
    }

    pub(crate) fn heading(&self) -> &Heading {
        self.heading.as_deref().unwrap_or(&heading::NONE)
    }

    fn is_overdue(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Those that the mark has not covered, by sequence.
    entries: VecDeque<LedgerEntry>,
    /// Those that it has, though they have not ended, by sequence.
    excepted: BTreeMap<u64, LedgerEntry>,
    /// Their numbers, by their ids.
    excepted_ids: BTreeMap<u64, u64>,
    /// How many have left it.
    left: u64,
    /// Requests that were moved here from another link may be older than what is here before them: then the ids of
    /// `entries` do not ascend.
    mixed: bool,
    /// Where casts came from that were passed on, of those that left because they are settled.
    passed_settled: Vec<Origin>,
}

impl Ledger {
    pub(super) fn len(&self) -> usize {
        self.entries.len() + self.excepted.len()
    }

    pub(super) const fn left(&self) -> u64 {
        self.left
    }

    /// Notes a cast that leaves with a number above all before it.
    pub(super) fn push(&mut self, envelope: &Envelope, sequence: u64) {
        let last = self.entries.back();
        let ascends = last.is_none_or(|last| last.id < envelope.id);
        self.mixed = !ascends || (self.mixed && last.is_some());
        self.entries.push_back(LedgerEntry::of(envelope, sequence));
    }

    /// Forgets the last, if it has this number: it never arrived.
    pub(super) fn pop(&mut self, sequence: u64) -> bool {
        let last = self.entries.back();
        let is_last = last.is_some_and(|entry| entry.sequence == sequence);
        if is_last {
            self.entries.pop_back();
        }
        is_last
    }

    /// All up to this number have ended, but those that were excepted.
    pub(super) fn settle_up_to(&mut self, settled: u64) {
        while let Some(entry) = self.entries.front()
            && entry.sequence <= settled
            && let Some(entry) = self.entries.pop_front()
        {
            if entry.excepted {
                self.excepted_ids.insert(entry.id, entry.sequence);
                self.excepted.insert(entry.sequence, entry);
            } else {
                self.settled(entry);
            }
        }
    }

    fn settled(&mut self, entry: LedgerEntry) {
        self.left += 1;
        self.passed_settled
            .extend(entry.passed.map(|origin| *origin));
    }

    /// One has not ended, whatever the mark will say.
    pub(super) fn except(&mut self, sequence: u64) {
        if let Some(entry) = self.uncovered(sequence) {
            entry.excepted = true;
        }
    }

    /// One that was excepted has ended well.
    pub(super) fn settle(&mut self, sequence: u64) {
        if let Some(entry) = self.excepted.remove(&sequence) {
            self.excepted_ids.remove(&entry.id);
            self.settled(entry);
        } else if let Some(entry) = self.uncovered(sequence) {
            entry.excepted = false;
        }
    }

    fn uncovered(&mut self, sequence: u64) -> Option<&mut LedgerEntry> {
        let found = self
            .entries
            .binary_search_by_key(&sequence, |it| it.sequence);
        found.ok().and_then(|at| self.entries.get_mut(at))
    }

    /// Finds and forgets a cast by its id.
    pub(super) fn take(&mut self, id: u64) -> Option<LedgerEntry> {
        let entries = &mut self.entries;
        let at = if self.mixed {
            entries.iter().position(|entry| entry.id == id)
        } else {
            entries.binary_search_by_key(&id, |entry| entry.id).ok()
        };
        let taken = match at {
            Some(at) => entries.remove(at)?,
            None => {
                let sequence = self.excepted_ids.remove(&id)?;
                self.excepted.remove(&sequence)?
            }
        };
        self.left += 1;
        Some(taken)
    }

    /// Forgets those whose deadline has passed.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<LedgerEntry> {
        let excepted = std::mem::take(&mut self.excepted).into_iter();
        let (due, kept) = excepted.partition::<BTreeMap<_, _>, _>(|(_, it)| it.is_overdue(now));
        self.excepted = kept;
        for entry in due.values() {
            self.excepted_ids.remove(&entry.id);
        }
        let mut expired: Vec<_> = due.into_values().collect();
        let entries = std::mem::take(&mut self.entries).into_iter();
        let (due, kept) = entries.partition::<VecDeque<_>, _>(|it| it.is_overdue(now));
        self.entries = kept;
        expired.extend(due);
        self.left += expired.len() as u64;
        expired
    }

    /// Ends it: returns those whose end will never be known, by sequence.
    pub(super) fn into_lost(self) -> Vec<LedgerEntry> {
        let mut lost: Vec<_> = self.excepted.into_values().chain(self.entries).collect();
        lost.sort_by_key(|entry| entry.sequence);
        lost
    }

    #[cfg(test)]
    pub(super) fn ids(&self) -> std::collections::BTreeSet<u64> {
        let all = self.entries.iter().chain(self.excepted.values());
        all.map(|entry| entry.id).collect()
    }

    /// Returns where casts came from that were passed on and have been settled since.
    pub(super) fn take_passed_settled(&mut self) -> Vec<Origin> {
        std::mem::take(&mut self.passed_settled)
    }
}
