//! Where records are kept.

use std::backtrace::Backtrace;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use super::{Place, Record, What};
use crate::Instant;

/// Keeps records; a clone keeps them in the same place.
///
/// Keeps the last of them, as many as it was made for. Of what is older it keeps what the rest is not understood
/// without: what happened to nodes and links, faults, and what began and is not over, messages that wait for an
/// answer and handlers under way. Of those there are at most as many again; then the oldest of them go.
#[derive(Clone)]
pub struct Recorder {
    log: Rc<RefCell<Log>>,
    /// On whose behalf.
    node: Option<u32>,
}

/// What a [`Recorder`] has kept. Plain data: it can leave the thread of its world.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    /// The names of nodes, by their numbers.
    pub nodes: Vec<Arc<str>>,
    /// What happened, in the order in which it did.
    pub records: Vec<Record>,
    /// How many records are not there, because there was no room for them.
    pub dropped: u64,
}

/// A handler that waits, and where.
#[derive(Debug)]
#[non_exhaustive]
pub struct Stack {
    /// On which node, by its number.
    pub node: u32,
    /// Whose: `app/name`.
    pub component: Arc<str>,
    /// The method; the topic of something published.
    pub method: Arc<str>,
    /// Since when.
    pub since: Instant,
    /// Where it waits.
    pub place: Place,
    /// How it got there. To be written once more only by those who show it: that takes long.
    pub backtrace: Arc<Backtrace>,
}

struct Log {
    records_max: usize,
    last: VecDeque<Record>,
    /// Older ones.
    kept: VecDeque<Record>,
    next_sequence: u64,
    nodes: Vec<Arc<str>>,
    names: BTreeSet<Arc<str>>,
    /// Handlers under way, by node: whose, and which.
    tasks: BTreeMap<(u32, u64), (Arc<str>, Arc<str>)>,
    /// Calls without an answer, by node.
    calls: BTreeSet<(u32, u64)>,
    /// Handlers that wait, if their stacks are wanted.
    stacks: Option<BTreeMap<(u32, u64), Waiting>>,
}

struct Waiting {
    since: Instant,
    place: Place,
    backtrace: Arc<Backtrace>,
}

/// Names that are shared; more are not.
const NAMES_MAX: usize = 4_096;

impl Recorder {
    /// Makes one that keeps this many records, at least one.
    #[must_use]
    pub fn new(records_max: usize) -> Self {
        let log = Log {
            records_max: records_max.max(1),
            last: VecDeque::new(),
            kept: VecDeque::new(),
            next_sequence: 1,
            nodes: Vec::new(),
            names: BTreeSet::new(),
            tasks: BTreeMap::new(),
            calls: BTreeSet::new(),
            stacks: None,
        };
        Self {
            log: Rc::new(RefCell::new(log)),
            node: None,
        }
    }

    /// Returns a handle that records on behalf of a node.
    #[must_use]
    pub fn of(&self, node: u32) -> Self {
        Self {
            log: self.log.clone(),
            node: Some(node),
        }
    }

    /// Says what the next node is called; the first one has number 0.
    pub fn add_node(&self, name: &str) {
        let name = self.name(name);
        self.log.borrow_mut().nodes.push(name);
    }

    /// Returns what nodes are called, by their numbers.
    #[must_use]
    pub fn nodes(&self) -> Vec<Arc<str>> {
        self.log.borrow().nodes.clone()
    }

    /// Returns a text that is shared with others like it.
    #[must_use]
    pub fn name(&self, text: &str) -> Arc<str> {
        let names = &mut self.log.borrow_mut().names;
        if let Some(name) = names.get(text) {
            return name.clone();
        }
        let name: Arc<str> = text.into();
        if names.len() < NAMES_MAX {
            names.insert(name.clone());
        }
        name
    }

    /// Keeps a record; returns its sequence.
    pub fn add(&self, at: Instant, what: What) -> u64 {
        self.log.borrow_mut().add(at, self.node, what)
    }

    /// Keeps the stacks of handlers that begin to wait from now on, as long as they wait. It takes some microseconds
    /// each time.
    pub fn keep_stacks(&self) {
        self.log.borrow_mut().stacks.get_or_insert_default();
    }

    /// Notes that a handler is about to wait; to be called on its stack, which is kept if it is wanted.
    pub fn suspended(&self, at: Instant, task: u64, place: Place) {
        self.add(at, What::Suspended { task, place });
        let mut log = self.log.borrow_mut();
        if let (Some(stacks), Some(node)) = (&mut log.stacks, self.node) {
            let waiting = Waiting {
                since: at,
                place,
                backtrace: Arc::new(Backtrace::force_capture()),
            };
            stacks.insert((node, task), waiting);
        }
    }

    /// Returns the handlers that wait, by node and by their beginning; none unless
    /// [`keep_stacks`](Self::keep_stacks) asked for them.
    #[must_use]
    pub fn stacks(&self) -> Vec<Stack> {
        let log = self.log.borrow();
        let stacks = log.stacks.iter().flatten();
        let mut stacks: Vec<_> = stacks
            .filter_map(|(key, waiting)| {
                let (component, method) = log.tasks.get(key)?.clone();
                Some(Stack {
                    node: key.0,
                    component,
                    method,
                    since: waiting.since,
                    place: waiting.place,
                    backtrace: waiting.backtrace.clone(),
                })
            })
            .collect();
        stacks.sort_by_key(|stack| (stack.node, stack.since));
        stacks
    }

    /// Returns the records after one that are still kept among the last, by its sequence.
    #[must_use]
    pub fn since(&self, sequence: u64) -> Vec<Record> {
        let log = self.log.borrow();
        let new = log.last.iter().rev();
        let new = new.take_while(|record| record.sequence > sequence);
        let mut new: Vec<_> = new.cloned().collect();
        new.reverse();
        new
    }

    /// Returns what was kept until now.
    #[must_use]
    pub fn recording(&self) -> Recording {
        let log = self.log.borrow();
        let older = log.kept.iter().filter(|record| log.is_wanted(record));
        let records: Vec<_> = older.chain(&log.last).cloned().collect();
        Recording {
            nodes: log.nodes.clone(),
            dropped: log.next_sequence - 1 - records.len() as u64,
            records,
        }
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

impl Log {
    fn add(&mut self, at: Instant, node: Option<u32>, what: What) -> u64 {
        self.follow(node.unwrap_or(u32::MAX), &what);
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        if self.last.len() == self.records_max
            && let Some(oldest) = self.last.pop_front()
        {
            self.keep(oldest);
        }
        self.last.push_back(Record {
            sequence,
            at,
            node,
            what,
        });
        sequence
    }

    /// Notes what begins and ends.
    fn follow(&mut self, node: u32, what: &What) {
        match what {
            What::Sent(sent) if sent.manner == super::Manner::Call => {
                self.calls.insert((node, sent.call));
            }
            What::CallEnded { call, .. } => {
                self.calls.remove(&(node, *call));
            }
            What::Began {
                task,
                component,
                method,
                ..
            } => {
                let names = (component.clone(), method.clone());
                self.tasks.insert((node, *task), names);
            }
            What::Resumed { task } => self.goes_on((node, *task)),
            What::Ended { task, .. } => {
                self.goes_on((node, *task));
                self.tasks.remove(&(node, *task));
            }
            What::NodeCrashed | What::NodeEnded => {
                self.calls.retain(|(of, _)| *of != node);
                self.tasks.retain(|(of, _), _| *of != node);
                if let Some(stacks) = &mut self.stacks {
                    stacks.retain(|(of, _), _| *of != node);
                }
            }
            _ => {}
        }
    }

    fn goes_on(&mut self, task: (u32, u64)) {
        if let Some(stacks) = &mut self.stacks {
            stacks.remove(&task);
        }
    }

    /// Takes a record that is not among the last any more.
    fn keep(&mut self, record: Record) {
        if !self.is_wanted(&record) {
            return;
        }
        if self.kept.len() == self.records_max {
            let mut kept = std::mem::take(&mut self.kept);
            kept.retain(|record| self.is_wanted(record));
            // So that room is not made for one record at a time.
            let room = self.records_max / 8 + 1;
            let too_many = (kept.len() + room).saturating_sub(self.records_max);
            kept.drain(..too_many.min(kept.len()));
            self.kept = kept;
        }
        self.kept.push_back(record);
    }

    fn is_wanted(&self, record: &Record) -> bool {
        let node = record.node.unwrap_or(u32::MAX);
        match &record.what {
            What::Sent(sent) => self.calls.contains(&(node, sent.call)),
            What::Began { task, .. } | What::Suspended { task, .. } => {
                self.tasks.contains_key(&(node, *task))
            }
            what => what.is_landmark(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Manner, Sent};

    fn sent(recorder: &Recorder, call: u64, manner: Manner) {
        let name = recorder.name("shop/orders");
        recorder.add(
            Instant::ZERO,
            What::Sent(Box::new(Sent {
                message: call,
                cause: 0,
                call,
                manner,
                from: name.clone(),
                to: name.clone(),
                method: name.clone(),
                flow: name.clone(),
                payload: name,
                bytes: 0,
                place: None,
            })),
        );
    }

    fn answered(recorder: &Recorder, call: u64) {
        let outcome = Ok(recorder.name("yes"));
        recorder.add(Instant::ZERO, What::CallEnded { call, outcome });
    }

    fn sequences(recorder: &Recorder) -> Vec<u64> {
        let recording = recorder.recording();
        recording.records.iter().map(|each| each.sequence).collect()
    }

    #[test]
    fn the_last_are_kept_and_of_older_ones_what_is_not_over() {
        let recorder = Recorder::new(3).of(0);
        recorder.add(Instant::ZERO, What::NodeStarted { incarnation: 1 });
        sent(&recorder, 1, Manner::Call);
        sent(&recorder, 3, Manner::Call);
        sent(&recorder, 4, Manner::Cast);
        answered(&recorder, 1);
        for _ in 0..3 {
            recorder.add(Instant::ZERO, What::Connected { to: 1 });
        }
        // The start, the call that waits, and the last three.
        assert_eq!(sequences(&recorder), [1, 3, 6, 7, 8]);
        assert_eq!(recorder.recording().dropped, 3);
        answered(&recorder, 3);
        assert_eq!(sequences(&recorder), [1, 7, 8, 9]);
    }

    #[test]
    fn what_a_crashed_node_was_at_is_over() {
        let recorder = Recorder::new(1).of(0);
        sent(&recorder, 1, Manner::Call);
        recorder.add(Instant::ZERO, What::NodeCrashed);
        recorder.add(Instant::ZERO, What::NodeStarted { incarnation: 2 });
        assert_eq!(sequences(&recorder), [2, 3]);
    }

    #[test]
    fn there_is_a_bound_whatever_happens() {
        let recorder = Recorder::new(10).of(0);
        for incarnation in 1..10_000 {
            recorder.add(Instant::ZERO, What::NodeStarted { incarnation });
            sent(&recorder, incarnation, Manner::Call);
        }
        let recording = recorder.recording();
        assert!(recording.records.len() <= 20, "{}", recording.records.len());
        let last = recording.records.last().map(|record| record.sequence);
        assert_eq!(last, Some(2 * 9_999));
        assert_eq!(
            recording.dropped + recording.records.len() as u64,
            2 * 9_999
        );
    }

    #[test]
    fn equal_names_are_one() {
        let recorder = Recorder::new(1);
        let (one, other) = (recorder.name("a"), recorder.of(1).name("a"));
        assert!(Arc::ptr_eq(&one, &other));
    }
}
