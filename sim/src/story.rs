//! What happened, put together from records.
//!
//! A [`Recording`] has one record for each thing that each node knew at that moment. A [`Story`] has what people ask
//! for: a message with its sending, its arrival, the handler it found and its end, a handler with its waits, a fault
//! from its beginning to its end. The view, the trace for Perfetto and the list of events in a report are made of it.

#[cfg(test)]
pub(crate) mod sample;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use monofil_transport::Instant;
use monofil_transport::record::{Place, Record, Recording, Sent, What};

/// A moment of a run: the place of a record among [`Story::moments`].
pub type Moment = usize;

/// A run, as people see it.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Story {
    /// The names of nodes.
    pub nodes: Vec<Arc<str>>,
    /// When each record was made, and about which node: in the order of the records.
    pub moments: Vec<(Instant, Option<u32>)>,
    /// Messages, in the order in which they were sent.
    pub messages: Vec<Message>,
    /// Handlers, in the order in which they began.
    pub handlers: Vec<Handler>,
    /// Frames and datagrams.
    pub packets: Vec<Packet>,
    /// What was done to nodes and links.
    pub faults: Vec<Fault>,
    /// What happened to one node at one moment.
    pub events: Vec<Event>,
    /// What does not hold, the first of it first.
    pub failures: Vec<Failure>,
    /// How many records were not kept.
    pub dropped: u64,
}

/// A message.
#[derive(Clone, Debug)]
pub struct Message {
    /// What its sender knows.
    pub sent: Sent,
    /// When it was sent, and so by which node.
    pub at: Moment,
    /// The message whose handler sent it.
    pub cause: Option<usize>,
    /// The handler that sent it.
    pub sender: Option<usize>,
    /// When it arrived in a queue, and so at which node.
    pub arrived: Option<Moment>,
    /// The handler it found.
    pub handler: Option<usize>,
    /// How it ended for its sender; what is cast ends only when it was not handled.
    pub ended: Option<End>,
    /// When an answer came that nobody waited for any more.
    pub late: Option<Moment>,
}

/// How a message ended for its sender.
#[derive(Clone, Debug)]
pub struct End {
    /// When.
    pub at: Moment,
    /// The beginning of the answer, or why there is none.
    pub outcome: Result<Arc<str>, Arc<str>>,
}

/// A handler that ran.
#[derive(Clone, Debug)]
pub struct Handler {
    /// Whose.
    pub component: Arc<str>,
    /// Which of its instances on its node.
    pub instance: u32,
    /// The method.
    pub method: Arc<str>,
    /// The message it handled.
    pub message: Option<usize>,
    /// When it began, and so on which node.
    pub at: Moment,
    /// When it returned.
    pub ended: Option<Moment>,
    /// Its error.
    pub error: Option<Arc<str>>,
    /// When it waited, until when, and where in its source.
    pub waits: Vec<Wait>,
}

/// A handler's wait.
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    /// When it began.
    pub at: Moment,
    /// When it was over.
    pub until: Option<Moment>,
    /// Where in the source.
    pub place: Place,
}

/// A frame or a datagram.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    /// It is a datagram.
    pub datagram: bool,
    /// Its length.
    pub bytes: usize,
    /// When it was sent.
    pub at: Moment,
    /// Whom it was for.
    pub to: Option<u32>,
    /// When it arrived.
    pub arrived: Option<Moment>,
    /// When it was lost, where that is known.
    pub lost: Option<Moment>,
}

/// Something that was done to nodes or links.
#[derive(Clone, Debug)]
pub struct Fault {
    /// What kind of thing.
    pub kind: FaultKind,
    /// What it is called.
    pub name: Arc<str>,
    /// When it began.
    pub at: Moment,
    /// When it was over.
    pub until: Option<Moment>,
    /// Whom it concerns; none for all.
    pub nodes: Vec<u32>,
    /// The message that it was done to.
    pub message: Option<usize>,
}

/// What kind of thing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// A node is down.
    Down,
    /// A node does not turn.
    Paused,
    /// Nothing passes from the first node to the second.
    Cut,
    /// The link from the first node to the second behaves otherwise.
    Link,
    /// A node is slow, or its clocks go wrong.
    Node,
    /// Part of a plan.
    Planned,
    /// A message is dropped, delayed, ...
    Message,
}

/// Something that happened to a node.
#[derive(Clone, Debug)]
pub struct Event {
    /// When, and to which node.
    pub at: Moment,
    /// What.
    pub text: Arc<str>,
    /// What kind of thing.
    pub kind: EventKind,
}

/// What kind of thing happened to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// It began or ended.
    Life,
    /// It heard of its connections.
    Network,
    /// It is something that a test looked out for.
    Reached,
}

/// A property that does not hold.
#[derive(Clone, Debug)]
pub struct Failure {
    /// When that was found.
    pub at: Moment,
    /// What it is called.
    pub property: Arc<str>,
    /// How it does not hold.
    pub text: Arc<str>,
    /// The last moment before it at which a component did something.
    pub after: Option<Moment>,
    /// The message that this was about.
    pub message: Option<usize>,
}

impl Story {
    /// Puts a recording together.
    #[must_use]
    pub fn of(recording: &Recording) -> Self {
        let mut teller = Teller::default();
        teller.story.nodes.clone_from(&recording.nodes);
        teller.story.dropped = recording.dropped;
        for record in &recording.records {
            teller.take(record);
        }
        teller.story.join_cuts();
        teller.story
    }

    /// What is cut both ways at the same times is one fault.
    fn join_cuts(&mut self) {
        let times = |fault: &Fault| {
            let until = fault.until.map(|until| self.at(until));
            (self.at(fault.at), until)
        };
        let is_back = |one: &Fault, other: &Fault| {
            (one.kind, other.kind) == (FaultKind::Cut, FaultKind::Cut)
                && one.nodes.iter().eq(other.nodes.iter().rev())
                && times(one) == times(other)
        };
        // The second way is cut right after the first.
        let joined: Vec<_> = (1..self.faults.len())
            .filter(|second| is_back(&self.faults[second - 1], &self.faults[*second]))
            .collect();
        for second in joined.into_iter().rev() {
            self.faults.remove(second);
            let nodes = &self.faults[second - 1].nodes;
            let text = format!("cut {} ↔ {}", self.name(nodes[0]), self.name(nodes[1]));
            self.faults[second - 1].name = text.into();
        }
    }

    /// Returns when a moment was.
    #[must_use]
    pub fn at(&self, moment: Moment) -> Instant {
        self.moments[moment].0
    }

    /// Returns a node's name; the world's for none.
    #[must_use]
    pub fn node(&self, moment: Moment) -> &str {
        self.moments[moment]
            .1
            .map_or("the world", |node| self.name(node))
    }

    /// Returns a node's name by its number.
    #[must_use]
    pub fn name(&self, node: u32) -> &str {
        self.nodes.get(node as usize).map_or("?", |name| name)
    }

    /// Returns a message and what caused it, the latest first.
    pub fn causes(&self, message: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(Some(message), |message| self.messages[*message].cause)
    }
}

/// Finds what belongs together.
#[derive(Default)]
struct Teller {
    story: Story,
    by_span: BTreeMap<u64, usize>,
    by_call: BTreeMap<(u32, u64), usize>,
    by_task: BTreeMap<(u32, u64), usize>,
    by_sending: BTreeMap<u64, usize>,
    /// The handler that has each node's thread.
    running: BTreeMap<u32, usize>,
    /// Faults that are not over, by what ends them.
    open: BTreeMap<Open, usize>,
    /// When links are not clogged any more, and messages pass that were delayed: nothing is recorded then.
    until: BTreeMap<Open, Instant>,
    /// The last that a component did, and for which message.
    last: Option<(Moment, Option<usize>)>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Open {
    Down(u32),
    Paused(u32),
    Cut(u32, u32),
    Link(u32, u32),
    Clogged(u32, u32),
    Slow(u32),
    Drifting(u32),
    /// Something was done to a message: which of the faults it is.
    Message(usize),
    Planned(u32),
}

impl Teller {
    fn take(&mut self, record: &Record) {
        let at = self.story.moments.len();
        self.story.moments.push((record.at, record.node));
        self.run_out(at, record.at);
        let node = record.node.unwrap_or(u32::MAX);
        match &record.what {
            What::Sent(_)
            | What::Queued { .. }
            | What::CallEnded { .. }
            | What::AnswerLate { .. }
            | What::CastReturned { .. } => self.message(at, node, &record.what),
            What::Began { .. }
            | What::Suspended { .. }
            | What::Resumed { .. }
            | What::Ended { .. } => self.handler(at, node, &record.what),
            What::FrameSent { .. }
            | What::FrameArrived { .. }
            | What::FramesLost { .. }
            | What::DatagramSent { .. }
            | What::DatagramArrived { .. }
            | What::DatagramLost { .. } => self.packet(at, record),
            What::Broken {
                property,
                text,
                message,
            } => {
                let (after, last) = self.last.unzip();
                let named = self.by_span.get(message).copied();
                self.story.failures.push(Failure {
                    at,
                    property: property.clone(),
                    text: text.clone(),
                    after,
                    message: named.or(last.flatten()),
                });
            }
            what => self.fault(at, node, what),
        }
    }

    fn message(&mut self, at: Moment, node: u32, what: &What) {
        let number = match what {
            What::Sent(sent) => {
                let number = self.story.messages.len();
                self.story.messages.push(Message {
                    sent: (**sent).clone(),
                    at,
                    cause: self.by_span.get(&sent.cause).copied(),
                    sender: self.running.get(&node).copied(),
                    arrived: None,
                    handler: None,
                    ended: None,
                    late: None,
                });
                if sent.message != 0 {
                    self.by_span.insert(sent.message, number);
                }
                self.by_call.insert((node, sent.call), number);
                Some(number)
            }
            What::Queued { message, .. } => {
                let number = self.by_span.get(message).copied();
                if let Some(number) = number {
                    self.story.messages[number].arrived = Some(at);
                }
                number
            }
            What::CallEnded { call, outcome } => {
                self.message_ended(at, (node, *call), outcome.clone())
            }
            What::CastReturned { cast, error } => {
                self.message_ended(at, (node, *cast), Err(error.clone()))
            }
            What::AnswerLate { call } => {
                let number = self.by_call.get(&(node, *call)).copied();
                if let Some(number) = number {
                    self.story.messages[number].late = Some(at);
                }
                number
            }
            _ => None,
        };
        self.last = Some((at, number));
    }

    fn message_ended(
        &mut self,
        at: Moment,
        call: (u32, u64),
        outcome: Result<Arc<str>, Arc<str>>,
    ) -> Option<usize> {
        let number = self.by_call.get(&call).copied()?;
        self.story.messages[number].ended = Some(End { at, outcome });
        Some(number)
    }

    fn handler(&mut self, at: Moment, node: u32, what: &What) {
        let handlers = &mut self.story.handlers;
        let number = match what {
            What::Began {
                task,
                message,
                component,
                instance,
                method,
            } => {
                let number = handlers.len();
                let message = self.by_span.get(message).copied();
                handlers.push(Handler {
                    component: component.clone(),
                    instance: *instance,
                    method: method.clone(),
                    message,
                    at,
                    ended: None,
                    error: None,
                    waits: Vec::new(),
                });
                self.by_task.insert((node, *task), number);
                if let Some(message) = message {
                    // The producer of a stream handles the same message once more.
                    self.story.messages[message].handler.get_or_insert(number);
                }
                Some(number)
            }
            What::Suspended { task, .. } | What::Resumed { task } | What::Ended { task, .. } => {
                self.by_task.get(&(node, *task)).copied()
            }
            _ => None,
        };
        match (what, number) {
            (What::Began { .. } | What::Resumed { .. }, Some(number)) => {
                self.running.insert(node, number);
            }
            _ => {
                self.running.remove(&node);
            }
        }
        let Some(handler) = number.map(|number| &mut handlers[number]) else {
            return;
        };
        match what {
            What::Suspended { place, .. } => handler.waits.push(Wait {
                at,
                until: None,
                place,
            }),
            What::Resumed { .. } => {
                if let Some(wait) = handler.waits.last_mut() {
                    wait.until = Some(at);
                }
            }
            What::Ended { error, .. } => {
                handler.ended = Some(at);
                handler.error.clone_from(error);
            }
            _ => {}
        }
        // A client handles no message. What it goes on with is an answer that has just come.
        let message = handler.message.or_else(|| {
            let (before, message) = self.last?;
            let moments = &self.story.moments;
            message.filter(|_| moments[before] == moments[at])
        });
        self.last = Some((at, message));
    }

    fn packet(&mut self, at: Moment, record: &Record) {
        let packets = &mut self.story.packets;
        let mut new = |datagram, bytes, to| {
            self.by_sending.insert(record.sequence, packets.len());
            packets.push(Packet {
                datagram,
                bytes,
                at,
                to,
                arrived: None,
                lost: None,
            });
        };
        match record.what {
            What::FrameSent { to, bytes } => new(false, bytes, to),
            What::DatagramSent { to, bytes } => new(true, bytes, Some(to)),
            What::FrameArrived { sent, .. } | What::DatagramArrived { sent, .. } => {
                if let Some(number) = self.by_sending.get(&sent) {
                    packets[*number].arrived = Some(at);
                }
            }
            What::DatagramLost { sent, .. } => {
                if let Some(number) = self.by_sending.get(&sent) {
                    packets[*number].lost = Some(at);
                }
            }
            What::FramesLost { from, frames } => {
                let from = self.story.name(from);
                let text = format!("{frames} frames of {from} lost").into();
                self.event(at, text, EventKind::Network);
            }
            _ => {}
        }
    }

    fn event(&mut self, at: Moment, text: Arc<str>, kind: EventKind) {
        self.story.events.push(Event { at, text, kind });
    }

    /// Ends the handlers of a node that is not there any more.
    fn give_up(&mut self, at: Moment, node: u32, why: &str) {
        self.running.remove(&node);
        for (_, number) in self.by_task.range((node, 0)..=(node, u64::MAX)) {
            let handler = &mut self.story.handlers[*number];
            if handler.ended.is_none() {
                handler.ended = Some(at);
                handler.error = Some(why.into());
            }
        }
        self.by_task.retain(|(of, _), _| *of != node);
        self.by_call.retain(|(of, _), _| *of != node);
    }

    fn begin(&mut self, open: Open, at: Moment, kind: FaultKind, name: Arc<str>, nodes: Vec<u32>) {
        if let Some(planned) = self.plan_of(open, at, kind, &nodes) {
            let fault = &mut self.story.faults[planned];
            (fault.kind, fault.until) = (kind, None);
            self.open.insert(open, planned);
            return;
        }
        self.open.insert(open, self.story.faults.len());
        self.story.faults.push(Fault {
            kind,
            name,
            at,
            until: None,
            nodes,
            message: None,
        });
    }

    /// Something was done to a message.
    fn inject(&mut self, at: Moment, node: u32, what: (u64, &Arc<str>, Option<Duration>)) {
        let (message, name, lasts) = what;
        let open = Open::Message(self.story.faults.len());
        self.begin(open, at, FaultKind::Message, name.clone(), vec![node]);
        if let Some(fault) = self.story.faults.last_mut() {
            fault.message = self.by_span.get(&message).copied();
        }
        match lasts {
            Some(Duration::ZERO) => self.end(open, at),
            Some(lasts) => drop(self.until.insert(open, self.story.at(at) + lasts)),
            None => {}
        }
    }

    /// What was held, and not for a certain time, passes.
    fn release(&mut self, at: Moment) {
        let is_held =
            |open: &&Open| matches!(open, Open::Message(_)) && !self.until.contains_key(open);
        let held: Vec<_> = self.open.keys().filter(is_held).copied().collect();
        held.into_iter().for_each(|open| self.end(open, at));
    }

    /// Finds what in a plan makes this happen: what begins at the same time, or is what it was made of before, and
    /// concerns these nodes. The two are one fault, by the name it has in the plan.
    fn plan_of(&self, open: Open, at: Moment, kind: FaultKind, nodes: &[u32]) -> Option<usize> {
        if matches!(open, Open::Planned(_) | Open::Message(_)) {
            return None;
        }
        let planned = self.open.range(Open::Planned(0)..).map(|(_, fault)| *fault);
        planned.rev().find(|planned| {
            let fault = &self.story.faults[*planned];
            let made_of_it = match fault.kind {
                FaultKind::Planned => self.story.at(fault.at) == self.story.at(at),
                made_of => made_of == kind,
            };
            made_of_it && nodes.iter().all(|node| fault.nodes.contains(node))
        })
    }

    fn end(&mut self, open: Open, at: Moment) {
        let Some(fault) = self.open.remove(&open) else {
            return;
        };
        let goes_on = self.open.values().any(|other| *other == fault);
        if !goes_on || matches!(open, Open::Planned(_)) {
            self.story.faults[fault].until = Some(at);
        }
    }

    /// A link is clogged for so long, or not any more.
    fn clog(&mut self, at: Moment, link: (u32, u32), lasts: Duration) {
        let (open, until) = (Open::Clogged(link.0, link.1), self.story.at(at) + lasts);
        if lasts.is_zero() {
            self.until.remove(&open);
            self.end(open, at);
            return;
        }
        // Clogged once more, it is so until the later of both.
        let known = self.until.insert(open, until);
        if let Some(known) = known {
            self.until.insert(open, until.max(known));
            return;
        }
        let (from, to) = (self.story.name(link.0), self.story.name(link.1));
        let text = format!("clog {from} → {to}").into();
        self.begin(open, at, FaultKind::Link, text, vec![link.0, link.1]);
    }

    /// Ends what lasts until `now`.
    fn run_out(&mut self, at: Moment, now: Instant) {
        if self.until.is_empty() {
            return;
        }
        let is_over = |(open, until): (&Open, &Instant)| (*until <= now).then_some(*open);
        let over: Vec<_> = self.until.iter().filter_map(is_over).collect();
        for open in over {
            self.until.remove(&open);
            self.end(open, at);
        }
    }

    fn fault(&mut self, at: Moment, node: u32, what: &What) {
        match what {
            What::NodeCrashed => {
                self.give_up(at, node, "its node crashed");
                let nodes = vec![node];
                self.begin(Open::Down(node), at, FaultKind::Down, "down".into(), nodes);
                self.event(at, "crashes".into(), EventKind::Life);
            }
            What::NodeStarted { incarnation } => {
                self.end(Open::Down(node), at);
                self.end(Open::Paused(node), at);
                let text = match incarnation {
                    1 => "starts".to_owned(),
                    again => format!("starts, the {again}. time"),
                };
                self.event(at, text.into(), EventKind::Life);
            }
            What::NodePaused => {
                let nodes = vec![node];
                let text: Arc<str> = "paused".into();
                self.begin(Open::Paused(node), at, FaultKind::Paused, text, nodes);
            }
            What::NodeResumed => self.end(Open::Paused(node), at),
            What::NodeEnded => {
                self.give_up(at, node, "its node ended");
                self.event(at, "ends".into(), EventKind::Life);
            }
            What::NodeAskedToEnd => self.event(at, "is asked to end".into(), EventKind::Life),
            What::Cut { to } => {
                let text =
                    format!("cut {} → {}", self.story.name(node), self.story.name(*to)).into();
                let nodes = vec![node, *to];
                self.begin(Open::Cut(node, *to), at, FaultKind::Cut, text, nodes);
            }
            What::Healed { to } => self.end(Open::Cut(node, *to), at),
            What::LinkChanged { to } => {
                self.end(Open::Link(node, *to), at);
                let text = format!(
                    "link {} → {} changed",
                    self.story.name(node),
                    self.story.name(*to)
                )
                .into();
                let nodes = vec![node, *to];
                self.begin(Open::Link(node, *to), at, FaultKind::Link, text, nodes);
            }
            What::Clogged { to, lasts } => self.clog(at, (node, *to), *lasts),
            What::Injected {
                message,
                name,
                lasts,
            } => self.inject(at, node, (*message, name, *lasts)),
            What::Released => self.release(at),
            What::Slowed { each_turn } => {
                self.end(Open::Slow(node), at);
                if !each_turn.is_zero() {
                    let text = format!("slow, {each_turn:?} a turn").into();
                    let nodes = vec![node];
                    self.begin(Open::Slow(node), at, FaultKind::Node, text, nodes);
                }
            }
            What::ClockDrifts { ppm } => {
                self.end(Open::Drifting(node), at);
                if *ppm != 0 {
                    let text = format!("clocks drift, {ppm} ppm").into();
                    let nodes = vec![node];
                    self.begin(Open::Drifting(node), at, FaultKind::Node, text, nodes);
                }
            }
            What::ClockStepped { micros } => {
                let text = format!("its wall clock jumps by {} ms", *micros as f64 / 1e3);
                self.event(at, text.into(), EventKind::Life);
            }
            What::FaultBegan { fault, name, nodes } => {
                let open = Open::Planned(*fault);
                self.begin(open, at, FaultKind::Planned, name.clone(), nodes.to_vec());
            }
            What::FaultEnded { fault } => self.end(Open::Planned(*fault), at),
            What::Connected { to } => {
                let text = format!("connects to {}", self.story.name(*to)).into();
                self.event(at, text, EventKind::Network);
            }
            What::Disconnected { to } => {
                let text = to.map_or_else(
                    || "loses a connection".to_owned(),
                    |to| format!("loses its connection to {}", self.story.name(to)),
                );
                self.event(at, text.into(), EventKind::Network);
            }
            What::Reached { name } => self.event(at, name.clone(), EventKind::Reached),
            _ => {}
        }
    }
}

/// Writes a place in somebody's source.
pub(crate) fn place(place: Place) -> String {
    format!("{}:{}", place.file(), place.line())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A plan's partition flaps: each time two nodes are cut it is the partition.
    #[test]
    fn what_a_plan_does_is_one_fault_by_its_name_in_the_plan() {
        let recorder = monofil_transport::record::Recorder::new(100);
        for name in ["a", "b", "c"] {
            recorder.add_node(name);
        }
        let add = |millis: u64, node: u32, what| {
            let at = Instant::from_nanos(millis * 1_000_000);
            recorder.of(node).add(at, what);
        };
        let began = |fault, name: &str, nodes: &[u32]| What::FaultBegan {
            fault,
            name: name.into(),
            nodes: nodes.into(),
        };
        add(1, 0, began(0, "slow a", &[0]));
        add(2, 0, began(1, "partition a | b,c", &[0, 1, 2]));
        add(2, 0, What::Cut { to: 1 });
        add(2, 0, What::Cut { to: 2 });
        add(3, 0, What::Healed { to: 1 });
        add(3, 0, What::Healed { to: 2 });
        add(4, 0, What::Cut { to: 1 });
        // By hand, meanwhile.
        add(5, 1, What::NodeCrashed);
        add(6, 0, What::Healed { to: 1 });
        add(7, 0, What::FaultEnded { fault: 1 });
        add(8, 1, What::NodeStarted { incarnation: 2 });
        let story = Story::of(&recorder.recording());
        let millis = |moment| story.at(moment).as_nanos() / 1_000_000;
        let faults: Vec<_> = story
            .faults
            .iter()
            .map(|fault| {
                (
                    &*fault.name,
                    fault.kind,
                    millis(fault.at),
                    fault.until.map(millis),
                )
            })
            .collect();
        let expected = [
            ("slow a", FaultKind::Planned, 1, None),
            ("partition a | b,c", FaultKind::Cut, 2, Some(7)),
            ("down", FaultKind::Down, 5, Some(8)),
        ];
        assert_eq!(faults, expected);
    }

    #[test]
    fn what_each_node_knew_is_put_together() {
        let story = sample::failing();
        let lines: Vec<_> = story
            .messages
            .iter()
            .map(|message| {
                let (sent, end) = (&message.sent, message.ended.as_ref());
                format!(
                    "{} {} of {:?} by {:?} at {:?} to {:?}: {:?}, late {}",
                    story.node(message.at),
                    sent.method,
                    message.cause,
                    message.sender,
                    story.at(message.at).as_nanos() / 1_000_000,
                    message.arrived.map(|at| story.node(at)),
                    end.map(|end| (story.at(end.at).as_nanos() / 1_000_000, &end.outcome)),
                    message.late.is_some(),
                )
            })
            .collect();
        let expected = [
            r#"client shop.Orders/Place of None by Some(0) at 1 to Some("orders"): None, late false"#,
            r#"orders shop.Payments/Charge of Some(0) by Some(1) at 3 to Some("payments"): Some((43, Err("timed out"))), late true"#,
            r#"orders shop.Payments/Charge of Some(0) by Some(1) at 43 to Some("payments"): None, late false"#,
            r#"orders shop.Stock/Reserve of Some(0) by Some(1) at 43 to None: None, late false"#,
        ];
        assert_eq!(lines, expected);
        let failure = &story.failures[0];
        assert_eq!(failure.message, Some(2));
        assert_eq!(story.causes(2).collect::<Vec<_>>(), [2, 0]);
        let faults: Vec<_> = story
            .faults
            .iter()
            .map(|fault| {
                let until = fault
                    .until
                    .map(|until| story.at(until).as_nanos() / 1_000_000);
                (
                    &*fault.name,
                    story.at(fault.at).as_nanos() / 1_000_000,
                    until,
                )
            })
            .collect();
        assert_eq!(
            faults,
            [
                ("cut orders \u{2194} payments", 5, Some(44)),
                ("down", 46, None)
            ]
        );
        assert_eq!(story.handlers[3].error.as_deref(), Some("its node crashed"));
    }
}
