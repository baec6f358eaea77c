//! The state of a container that its handlers share with it.
//!
//! A handler's [`Context`](crate::Context) and the container hold the same `Rc<RefCell<Core>>`. It is only
//! ever borrowed for one operation, and no user code runs inside a borrow, so a borrow never fails. What
//! needs the outside world is queued here and done by the turn.

use std::any::Any;
use std::cell::{Cell, OnceCell, RefCell};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use monofil_transport::record::Recorder;
use monofil_transport::{
    ConnectionId, Endpoint, HandlerId, Instant, JobId, JobOutcome, OffloadJob, Progress, Shutdown,
    Stream,
};

use crate::calls::{Calls, Lapsed, Origin, Served, ServedKey, TaskId};
use crate::capacity::{Capacity, Turnovers};
use crate::config::NodeLimits;
use crate::counters::{Counter, Counters};
use crate::envelope::{Chain, Envelope};
use crate::environment::Environment;
use crate::gate::Gated;
use crate::hash::{Table, seeded};
use crate::heading::{Heading, HeadingsOut};
use crate::instance::Instance;
use crate::membership::{Membership, SwimTimer};
use crate::peers::Peers;
use crate::resilience::Resilience;
use crate::routing::Routing;
use crate::slab::Slab;
use crate::streams::ServedStream;
use crate::timers::{TimerKey, Timers};
use crate::{
    CallError, ContainerConfig, Directory, Gate, LinkConfig, MembershipConfig, Message, Name,
    NodeId, Request, Subscription, Trace,
};

pub(crate) type Shared = Rc<RefCell<Core>>;

/// What a timer does when it is due.
#[derive(Debug)]
pub(crate) enum Timer {
    /// A call started here ends.
    Call(u64),
    /// A handler has waited long enough, or for as long as anybody waits for it.
    Wake(TaskId),
    /// Nobody waits for a stream any more.
    Stream(u64),
    /// Messages queued for an instance that takes none may have expired.
    Queue(usize),
    /// A crashed instance is built again.
    Restart(usize),
    /// A delayed message is sent.
    Delayed(Box<Delayed>),
    /// A message that waited at the gate passes.
    Gated(Box<Gated>),
    /// A link needs attention.
    Link(usize),
    /// A node that was greeted has not answered.
    Greet(usize),
    /// Requests that wait for a link may have expired.
    Sweep,
    /// Other nodes are asked whether they live.
    Probe,
    /// Something of the membership protocol.
    Swim(Box<SwimTimer>),
    /// Seeds are tried.
    Join,
    /// What other members run is looked at.
    Refresh,
    /// A limit was changed for a while, which is over.
    Limits,
    /// The orderly end has taken too long.
    DrainDeadline,
    /// Peers that have not acknowledged everything are spoken to.
    Poke,
}

/// A message that is to be sent later.
#[derive(Debug)]
pub(crate) struct Delayed {
    pub(crate) request: Request,
    pub(crate) sender: Sender,
}

/// On whose behalf something is sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sender {
    pub(crate) component: Name,
    pub(crate) instance: Option<usize>,
    pub(crate) flow: Name,
    /// `None`: nothing bounds it.
    pub(crate) deadline: Option<Instant>,
    pub(crate) trace: Trace,
    /// Who waits for this handler.
    pub(crate) before: Chain,
    /// The same and this handler itself, once it has made a call.
    pub(crate) waiting: OnceCell<Chain>,
    /// The id of the message being handled.
    pub(crate) message: Option<u64>,
}

impl Sender {
    /// Becomes an instance that handles a message.
    pub(crate) fn handles(&mut self, component: &Name, instance: usize, message: &Message) {
        let Self {
            component: own,
            instance: place,
            flow,
            deadline,
            trace,
            before,
            waiting,
            message: id,
        } = self;
        own.assign(component);
        *place = Some(instance);
        flow.assign(message.flow());
        *deadline = Some(message.deadline());
        *trace = *message.trace();
        before.clone_from(&message.0.waiting);
        waiting.take();
        *id = Some(message.id());
    }
}

/// What a handler under way is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Purpose {
    Start,
    Handle,
    Stop,
    /// An item of a stream.
    Produce(u64),
    #[default]
    Other,
}

/// A handler under way; its container and its context share it. One that has ended becomes the next.
#[derive(Default)]
pub(crate) struct Task {
    /// Under what it is noted, once it has waited for something: nobody asks for one that just runs to its end.
    pub(crate) id: Cell<Option<TaskId>>,
    /// Grows from one to the next.
    pub(crate) number: u64,
    pub(crate) purpose: Purpose,
    pub(crate) method: Name,
    pub(crate) handler: HandlerId,
    pub(crate) instance: Option<usize>,
    pub(crate) origin: Option<Origin>,
    pub(crate) sender: Sender,
    pub(crate) credit: u32,
    pub(crate) started: Instant,
    /// When its caller stops waiting; nobody needs to say so. `None`: nobody waits for it.
    pub(crate) awaited_until: Option<Instant>,
    /// It is suspended and nothing has woken it yet.
    pub(crate) asleep: Cell<bool>,
    /// Its caller gave up.
    pub(crate) cancelled: Cell<bool>,
    /// Wakes it when nothing else does.
    pub(crate) timer: Cell<Option<TimerKey>>,
    pub(crate) job: Cell<Option<JobOutcome>>,
}

impl Task {
    /// Returns a task to be filled in that nobody else has yet.
    ///
    /// # Panics
    ///
    /// Somebody has.
    pub(crate) fn unshared(task: &mut Rc<Self>) -> &mut Self {
        Rc::get_mut(task).expect("invariant: a task that is new is nobody else's")
    }

    /// Takes the place of one that has ended. Its origin, its credit and its sender are still to be said.
    pub(crate) fn begin(&mut self, purpose: Purpose, method: &Name, instance: Option<usize>) {
        self.id.set(None);
        self.purpose = purpose;
        self.method.assign(method);
        self.instance = instance;
        self.origin = None;
        self.credit = 0;
        self.asleep.set(false);
        self.cancelled.set(false);
        self.timer.set(None);
        self.job.set(None);
    }

    /// Returns the key of the call that it serves, if it serves one.
    pub(crate) fn served_key(&self) -> Option<ServedKey> {
        self.origin.as_ref().and_then(Origin::served_key)
    }

    /// Tells whether it works for nobody any more.
    pub(crate) fn is_given_up(&self, now: Instant) -> bool {
        self.cancelled.get() || self.awaited_until.is_some_and(|until| until <= now)
    }
}

/// How far the node is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Running,
    /// Finishes what it has; then stays (`Drain`) or ends (`Stop`).
    Draining {
        end: bool,
    },
    /// The instances' `stop` runs, last first.
    Stopping,
    /// The last frames leave, since then.
    Flushing {
        since: Instant,
    },
    Ended,
}

/// What competes for the thread, by arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ready {
    Instance(usize),
    Stream(u64),
}

/// Who competes for the thread, the one whose message arrived first in front.
#[derive(Debug, Default)]
pub(crate) struct Line {
    /// Invariant: before all the others, and `None` only when there are none. Often it is the only one.
    first: Option<(u64, Ready)>,
    others: BinaryHeap<Reverse<(u64, Ready)>>,
}

impl Line {
    pub(crate) fn push(&mut self, arrival: u64, ready: Ready) {
        let new = (arrival, ready);
        match &mut self.first {
            Some(first) if *first <= new => self.others.push(Reverse(new)),
            Some(first) => self.others.push(Reverse(std::mem::replace(first, new))),
            None => self.first = Some(new),
        }
    }

    pub(crate) const fn first(&self) -> Option<(u64, Ready)> {
        self.first
    }

    pub(crate) fn pop(&mut self) {
        self.first = self.others.pop().map(|Reverse(next)| next);
    }
}

pub(crate) struct Core {
    pub(crate) app: Name,
    pub(crate) name: Name,
    pub(crate) node: NodeId,
    pub(crate) incarnation: u64,
    pub(crate) network: u64,
    pub(crate) limits: NodeLimits,
    pub(crate) bounds: monofil_proto::Bounds,
    pub(crate) link_config: LinkConfig,
    pub(crate) default_deadline: Duration,
    pub(crate) drain_deadline: Duration,
    pub(crate) probe_interval: Duration,
    pub(crate) silent_after: Duration,
    pub(crate) busy_max: Duration,
    /// It can ask other nodes whether they live.
    pub(crate) asks: bool,
    pub(crate) turn_budget: usize,

    pub(crate) now: Instant,
    pub(crate) started: Instant,
    pub(crate) wall_micros: u64,
    pub(crate) frame_bytes_max: usize,
    pub(crate) stage: Stage,
    /// The container is being dropped: every context refuses everything.
    pub(crate) dead: bool,
    pub(crate) random: Stream,
    pub(crate) counters: Counters,
    pub(crate) timers: Timers<Timer>,

    pub(crate) instances: Vec<Instance>,
    /// The instances of one component.
    pub(crate) groups: Vec<Vec<usize>>,
    /// Which group it is.
    by_name: Table<Name, usize>,
    pub(crate) local_topics: Table<Name, Vec<(Name, Name)>>,
    headings: HeadingsOut,
    pub(crate) capacity: Capacity,
    pub(crate) turnovers: Turnovers,
    pub(crate) queued_messages: usize,
    pub(crate) queued_bytes: usize,
    pub(crate) arrivals: u64,
    pub(crate) ready: Line,
    /// Handlers whose wait is over: they go first, because their messages came first.
    pub(crate) resumable: VecDeque<TaskId>,
    /// Handlers that wait, or have waited.
    pub(crate) tasks: Slab<Rc<Task>>,
    /// To be used again.
    spare_tasks: Vec<Rc<Task>>,
    /// The handler on the thread.
    pub(crate) running: Option<Rc<Task>>,
    /// The instance whose handler ended last, without having waited: how long it took is to be found out.
    pub(crate) sampled: Option<usize>,
    /// The handler that has just begun to wait.
    pub(crate) suspended: Option<TaskId>,
    /// The instance whose `stop` is to run next.
    pub(crate) to_stop: Option<usize>,
    /// How many more handlers may begin before the container looks at the clock.
    pub(crate) handlers_left: usize,
    /// Where the running handler is published; `None` before the first turn.
    pub(crate) progress: Option<Arc<Progress>>,
    /// Where what happens is written down, if anybody wants to know.
    pub(crate) recorder: Option<Recorder>,
    pub(crate) seed: u64,
    /// Keeps the spans of this node's messages apart from those of others.
    pub(crate) spans: u64,
    pub(crate) next_id: u64,

    pub(crate) calls: Calls,
    pub(crate) resilience: Resilience,
    pub(crate) routing: Routing,
    pub(crate) lapsed: Lapsed,
    /// Calls of other nodes. Where those of this one are is noted with the call.
    pub(crate) served: Table<ServedKey, Served>,
    pub(crate) streams: Table<u64, ServedStream>,
    pub(crate) delayed: usize,
    /// Values of users that are done with. Their destructors may do anything, calls to this core included,
    /// and so they are dropped by the turn, outside.
    pub(crate) discarded: Vec<Box<dyn Any>>,
    /// Jobs for the helper threads, handed over after the handler suspends.
    pub(crate) jobs: Vec<OffloadJob>,
    pub(crate) job_owners: Table<JobId, TaskId>,

    /// What the operating system calls the process; for people.
    pub(crate) process: u32,
    /// Someone asked for the end; done at the end of the turn, after the answer has left.
    pub(crate) stop_requested: Option<Shutdown>,
    /// When the orderly end has taken too long.
    drain_timer: Option<(Instant, TimerKey)>,
    /// Others know a later life of this node.
    pub(crate) outdated: bool,
    /// When peers are spoken to that have not acknowledged everything.
    pub(crate) poke_at: Instant,

    pub(crate) control_connections: Table<Endpoint, ConnectionId>,
    pub(crate) peers: Peers,
    pub(crate) directory: Box<dyn Directory>,
    pub(crate) gate: Option<Box<dyn Gate>>,
    /// Until it has begun.
    pub(crate) membership_config: Option<MembershipConfig>,
    /// `None` where nodes are told of each other by configuration alone.
    pub(crate) membership: Option<Box<Membership>>,
}

impl Core {
    pub(crate) fn new(config: ContainerConfig) -> Self {
        let incarnation = config.incarnation.max(1);
        let site = format!("container/{}/{incarnation}", config.node);
        let mut core = Self {
            network: crate::identity::network_number(&config.network),
            app: config.app,
            name: config.name.clipped(),
            node: config.node,
            incarnation,
            limits: config.limits,
            bounds: config.bounds,
            link_config: config.link,
            default_deadline: config.default_deadline,
            drain_deadline: config.drain_deadline,
            probe_interval: config.probe_interval,
            silent_after: config.silent_after,
            busy_max: config.busy_max,
            asks: false,
            turn_budget: config.turn_budget,
            now: Instant::ZERO,
            started: Instant::ZERO,
            wall_micros: 0,
            frame_bytes_max: config.bounds.frame_bytes,
            stage: Stage::Running,
            dead: false,
            random: Stream::new(0, &site),
            counters: Counters::default(),
            timers: Timers::default(),
            instances: Vec::with_capacity(config.components.len()),
            groups: Vec::with_capacity(config.components.len()),
            by_name: Table::default(),
            local_topics: Table::default(),
            headings: HeadingsOut::default(),
            capacity: Capacity::new(&config.limits, config.flows, config.overflow),
            turnovers: Turnovers::default(),
            queued_messages: 0,
            queued_bytes: 0,
            arrivals: 0,
            ready: Line::default(),
            resumable: VecDeque::new(),
            tasks: Slab::default(),
            spare_tasks: Vec::new(),
            running: None,
            sampled: None,
            suspended: None,
            to_stop: None,
            handlers_left: 0,
            progress: None,
            recorder: None,
            seed: 0,
            spans: 0,
            next_id: 2,
            calls: Calls::default(),
            resilience: Resilience::new(&config.resilience),
            routing: Routing::new(config.host.clipped(), config.horizons),
            lapsed: Lapsed::default(),
            served: Table::default(),
            streams: Table::default(),
            delayed: 0,
            discarded: Vec::new(),
            jobs: Vec::new(),
            job_owners: Table::default(),
            process: config.process,
            stop_requested: None,
            drain_timer: None,
            outdated: false,
            poke_at: Instant::ZERO,
            control_connections: Table::default(),
            peers: Peers::default(),
            directory: config.directory,
            gate: config.gate,
            membership_config: config.membership,
            membership: None,
        };
        for spec in config.components {
            core.add_instance(spec);
        }
        core
    }

    fn add_instance(&mut self, mut spec: crate::ComponentSpec) {
        spec.version = spec.version.clipped();
        spec.name = Name::kept(self.qualified(&spec.name).as_str());
        for method in spec.interfaces.iter().flat_map(|it| it.methods) {
            Name::kept(method.name.as_str());
        }
        let index = self.instances.len();
        for Subscription { topic, method } in &spec.subscriptions {
            let subscriber = (spec.name.clone(), method.clone());
            self.local_topics
                .entry(topic.clone())
                .or_default()
                .push(subscriber);
        }
        let groups = &mut self.groups;
        let group = *self.by_name.entry(spec.name.clone()).or_insert_with(|| {
            groups.push(Vec::with_capacity(1));
            groups.len() - 1
        });
        let same = &mut groups[group];
        same.push(index);
        let number = u32::try_from(same.len() - 1).unwrap_or(u32::MAX);
        let mut instance = Instance::new(spec, self.instances.last());
        instance.number = number;
        instance.spill = self.capacity.spill(instance.definition.limits.overflow);
        instance.share = self.share_of(&instance.definition.limits.network);
        instance.group = u32::try_from(group).expect("invariant: fewer components than bytes");
        self.instances.push(instance);
        self.make_ready(index);
    }

    /// Seeds every random stream, and the tables of what strangers choose; the first turn does so, from the
    /// backend's entropy, before anybody is known.
    pub(crate) fn seed(&mut self, seed: u64) {
        self.seed = seed;
        self.random = Stream::new(seed, "container");
        self.spans = Stream::new(seed, "spans").bits();
        self.resilience.seed(seed);
        self.routing.seed(seed);
        let mut tables = Stream::new(seed, "tables");
        self.served = seeded(tables.bits());
        self.peers.seed(tables.bits());
    }

    /// Makes what an instance keeps between messages; or the producer of a stream, which has none.
    pub(crate) fn environment(&mut self, instance: Option<usize>) -> Box<Environment> {
        let random = match instance.map(|index| &self.instances[index]) {
            Some(Instance { name, number, .. }) => {
                Stream::new(self.seed, &format!("instance/{name}/{number}"))
            }
            None => Stream::new(self.random.bits(), "stream"),
        };
        Box::new(Environment::new(random))
    }

    /// Completes a name with this container's app.
    pub(crate) fn qualified(&self, name: &Name) -> Name {
        if name.as_str().contains('/') || name.is_empty() {
            name.clone()
        } else {
            format!("{}/{name}", self.app).into()
        }
    }

    /// Makes the heading of a request of an instance here, or finds the one that was made before.
    pub(crate) fn heading(&mut self, sender: &Sender, request: &Request) -> Rc<Heading> {
        let flow = request.flow.as_ref().unwrap_or(&sender.flow);
        let names = [&sender.component, &request.target, &request.method, flow];
        if let Some(known) = self.headings.get(names) {
            return known.clone();
        }
        let heading = Rc::new(self.new_heading(names, &Name::empty()));
        if !heading.oversized {
            self.headings.insert(&request.target, &heading);
        }
        heading
    }

    /// Makes a heading of who sends, of a target as it was given, a method, a flow and a topic.
    pub(crate) fn new_heading(
        &self,
        [source, given, method, flow]: [&Name; 4],
        topic: &Name,
    ) -> Heading {
        let (target, group) = self.target(given);
        let names = [source, &target, method, flow, topic].map(Name::clone);
        let heading = Heading::new(names);
        heading.set_group(group);
        heading
    }

    /// Finds what the target of a request means that came from elsewhere: only this node knows its own names.
    pub(crate) fn find_group(&self, envelope: &mut Envelope) {
        let Some(heading) = &envelope.heading else {
            return;
        };
        if heading.group().is_some() {
            return;
        }
        let (target, group) = self.target(&heading.target);
        if target != heading.target {
            let Heading {
                source,
                method,
                flow,
                topic,
                ..
            } = &**heading;
            let names = [source, &target, method, flow, topic].map(Name::clone);
            envelope.heading = Some(Rc::new(Heading::new(names)));
        }
        envelope.heading().set_group(group);
    }

    /// Returns the whole name of a target, and the group of its instances here.
    fn target(&self, given: &Name) -> (Name, Option<usize>) {
        let whole = self.qualified(given);
        match self.by_name.get_key_value(&whole) {
            // In the place where the others have it.
            Some((known, group)) => (known.clone(), Some(*group)),
            None => (Name::known(whole.as_str()), None),
        }
    }

    /// Returns the group of a component that runs here.
    pub(crate) fn group_of(&self, component: &Name) -> Option<usize> {
        self.by_name.get(component).copied()
    }

    /// Returns the instances here of a component.
    pub(crate) fn instances_of(&self, component: &Name) -> &[usize] {
        let group = self.by_name.get(component);
        group.map_or(&[], |group| &self.groups[*group])
    }

    pub(crate) const fn fresh_id(&mut self) -> u64 {
        let id = self.next_id;
        // Calls have the odd ones.
        self.next_id += 2;
        id
    }

    pub(crate) const fn arrival(&mut self) -> u64 {
        self.arrivals += 1;
        self.arrivals
    }

    /// Gives an instance its place in line, if it has something to do and can.
    pub(crate) fn make_ready(&mut self, index: usize) {
        let instance = &mut self.instances[index];
        if !instance.wants_thread() {
            return;
        }
        let arrival = instance.first_arrival();
        // One that is further ahead than it should be is put right when its turn comes.
        if instance.in_line.is_none_or(|at| at > arrival) {
            instance.in_line = Some(arrival);
            self.ready.push(arrival, Ready::Instance(index));
        }
    }

    /// Finds what arrived first and can go on now.
    pub(crate) fn peek_ready(&mut self) -> Option<Ready> {
        while let Some((arrival, ready)) = self.ready.first() {
            let Ready::Instance(index) = ready else {
                return Some(ready);
            };
            let instance = &mut self.instances[index];
            // An entry may be out of date: there is another further ahead.
            let counts = instance.in_line == Some(arrival);
            // Or its message was cancelled, or is handled already.
            if counts && instance.wants_thread() && instance.first_arrival() == arrival {
                return Some(ready);
            }
            self.ready.pop();
            if counts {
                instance.in_line = None;
                self.make_ready(index);
            }
        }
        None
    }

    /// Takes it.
    pub(crate) fn pop_ready(&mut self) -> Option<Ready> {
        let ready = self.peek_ready()?;
        self.take_ready(ready);
        Some(ready)
    }

    /// Takes what was found by [`Core::peek_ready`].
    pub(crate) fn take_ready(&mut self, ready: Ready) {
        if let Ready::Instance(index) = ready {
            self.instances[index].in_line = None;
        }
        self.ready.pop();
    }

    /// Handlers that may be under way at once.
    pub(crate) fn handlers_max(&self) -> usize {
        self.limits.handlers.min(Slab::<Task>::LEN_MAX)
    }

    /// Notes a handler under way, unless it is noted already: others may ask for it from now on.
    pub(crate) fn note(&mut self, task: &Rc<Task>) -> TaskId {
        if let Some(id) = task.id.get() {
            return id;
        }
        let id = TaskId(self.tasks.insert(task.clone()));
        task.id.set(Some(id));
        if let Some(key) = task.served_key() {
            self.set_served(key, Some(Served::Running(id)));
        }
        if let Purpose::Produce(stream) = task.purpose {
            self.stream_produced_by(stream, id);
        }
        id
    }

    /// Returns the handlers under way.
    pub(crate) fn under_way(&self) -> impl Iterator<Item = &Rc<Task>> {
        let running = self.running.iter();
        let noted = self.tasks.iter().map(|(_, task)| task);
        noted.chain(running.filter(|task| task.id.get().is_none()))
    }

    pub(crate) fn handlers_under_way(&self) -> usize {
        let runs = self.running.as_ref();
        self.tasks.len() + usize::from(runs.is_some_and(|task| task.id.get().is_none()))
    }

    /// Takes a task that nobody else has.
    pub(crate) fn spare_task(&mut self) -> Rc<Task> {
        self.spare_tasks.pop().unwrap_or_default()
    }

    /// Keeps a task to be used again, if nobody else has it.
    pub(crate) fn keep_spare(&mut self, mut task: Rc<Task>) {
        const KEEP: usize = 64;
        if self.spare_tasks.len() < KEEP && Rc::get_mut(&mut task).is_some() {
            self.spare_tasks.push(task);
        }
    }

    /// Lets a suspended handler go on.
    pub(crate) fn wake(&mut self, task: TaskId) {
        if let Some(state) = self.tasks.get(task.0)
            && state.asleep.replace(false)
        {
            if let Some(timer) = state.timer.take() {
                self.timers.cancel(timer);
            }
            self.resumable.push_back(task);
        }
    }

    /// Tells a handler that nobody waits for it any more.
    pub(crate) fn cancel_task(&mut self, task: TaskId) {
        if let Some(state) = self.tasks.get(task.0) {
            state.cancelled.set(true);
            self.wake(task);
        }
    }

    /// The same for the one on the thread, if it is this one. It may be nobody's by what it does itself: by dropping
    /// a call that another component shares with it.
    pub(crate) fn cancel_running(&self, is_it: impl FnOnce(&Task) -> bool) {
        if let Some(task) = &self.running
            && is_it(task)
        {
            task.cancelled.set(true);
        }
    }

    pub(crate) fn job_done(&mut self, job: JobId, outcome: JobOutcome) {
        let owner = self.job_owners.remove(&job);
        let task = owner.and_then(|owner| self.tasks.get(owner.0));
        match task {
            Some(task) => task.job.set(Some(outcome)),
            None => self.discard(outcome),
        }
        if let Some(owner) = owner {
            self.wake(owner);
        }
    }

    pub(crate) fn fire_timers(&mut self) {
        while let Some(timer) = self.timers.pop_due(self.now) {
            match timer {
                Timer::Call(id) => self.call_timed_out(id),
                Timer::Wake(task) => self.wake(task),
                Timer::Stream(id) => self.stream_timed_out(id),
                Timer::Queue(instance) => self.sweep_queue(instance),
                Timer::Restart(instance) => self.restart_instance(instance),
                Timer::Delayed(delayed) => self.send_delayed(*delayed),
                Timer::Gated(gated) => self.gate_due(*gated),
                Timer::Link(peer) => self.link_due(peer),
                Timer::Greet(peer) => self.greeting_due(peer),
                Timer::Sweep => self.sweep_requests(),
                Timer::Probe => self.peers.probe_due = true,
                Timer::Swim(timer) => self.swim_due(*timer),
                Timer::Join => self.join_due(),
                Timer::Refresh => self.refresh_due(),
                Timer::Limits => self.limits_due(),
                Timer::DrainDeadline => self.drain_deadline_passed(),
                // The turn does it, as it ends.
                Timer::Poke => {}
            }
        }
    }

    fn send_delayed(&mut self, mut delayed: Delayed) {
        self.delayed -= 1;
        let target = self.qualified(delayed.request.target());
        let method = delayed.request.method().clone();
        let flow = delayed.request.flow.as_ref();
        let flow = flow.unwrap_or(&delayed.sender.flow).clone();
        let instance = delayed.sender.instance;
        let id = self.fresh_id();
        let sent = self.send_cast(id, &delayed.sender, &mut delayed.request);
        if let (Err(error), Some(index)) = (sent, instance) {
            self.give_back(
                index,
                crate::Undelivered {
                    id,
                    target,
                    method,
                    flow,
                    error,
                },
            );
        }
    }

    /// Asks for the end, which comes with the end of the turn. Nothing takes back what is asked for already.
    pub(crate) fn request_stop(&mut self, how: Shutdown) {
        if self.stop_requested != Some(Shutdown::Now) {
            self.stop_requested = Some(how);
        }
    }

    /// Begins an orderly end, or ends at once. Asked for a second time with less patience, it takes no more
    /// than that.
    pub(crate) fn shut_down(&mut self, how: Shutdown) {
        match (how, self.stage) {
            (Shutdown::Now, _) => self.stage = Stage::Ended,
            (Shutdown::Drain, Stage::Ended) => {}
            (Shutdown::Drain, stage) => {
                if matches!(stage, Stage::Running | Stage::Draining { .. }) {
                    self.stage = Stage::Draining { end: true };
                }
                let at = self.now + self.drain_deadline;
                self.timers
                    .hasten(&mut self.drain_timer, at, Timer::DrainDeadline);
            }
        }
    }

    fn drain_deadline_passed(&mut self) {
        if self.stage == Stage::Ended {
            return;
        }
        let mut held: Vec<_> = self
            .tasks
            .iter()
            .map(|(_, task)| format!("{}/{}", task.sender.component, task.method))
            .collect();
        held.sort();
        tracing::warn!(
            node = %self.name,
            handlers = %held.join(", "),
            queued = self.queued_messages,
            "did not finish within the drain deadline; ending now"
        );
        self.stage = Stage::Ended;
    }

    /// Gives a user's value away to be dropped.
    pub(crate) fn discard(&mut self, value: impl Any) {
        self.discarded.push(Box::new(value));
    }

    /// Tells whether nothing is queued, running or being streamed.
    pub(crate) fn is_quiet(&self) -> bool {
        self.tasks.is_empty()
            && self.streams.is_empty()
            && !self.capacity.has_passed()
            && self
                .instances
                .iter()
                .all(|instance| instance.queue.is_empty())
    }

    pub(crate) const fn accepts_new(&self) -> bool {
        matches!(self.stage, Stage::Running)
    }

    pub(crate) fn rejected(&mut self, error: &CallError) {
        match error {
            CallError::Rejected(_) => self.counters.add(Counter::Rejected),
            CallError::Cycle(_) => self.counters.add(Counter::Cycles),
            CallError::Expired(_) => self.counters.add(Counter::Expired),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Component, ComponentSpec, Context, HandlerError, Reply};

    struct Idle;

    impl Component for Idle {
        fn handle(&mut self, _: &mut Context, _: Message) -> Result<Reply, HandlerError> {
            Ok(Reply::Empty)
        }
    }

    #[test]
    fn an_instance_is_in_line_once_however_often_its_queue_changes() {
        let mut core = Core::new(ContainerConfig {
            components: vec![
                ComponentSpec::new("one", || Idle),
                ComponentSpec::new("two", || Idle),
            ],
            ..ContainerConfig::new("test", "node")
        });
        for _ in 0..10 {
            core.make_ready(1);
            core.make_ready(0);
        }
        assert_eq!(core.ready.others.len(), 1);
        assert_eq!(core.pop_ready(), Some(Ready::Instance(0)));
        assert_eq!(core.pop_ready(), Some(Ready::Instance(1)));
        assert_eq!(core.pop_ready(), None);
        // It may come again.
        core.make_ready(1);
        assert_eq!(core.peek_ready(), Some(Ready::Instance(1)));
    }

    #[test]
    fn a_line_is_in_order() {
        for seed in 0..100 {
            let mut random = Stream::new(seed, "line");
            let (mut line, mut model) = (Line::default(), Vec::new());
            for _ in 0..200 {
                if random.below(3) > 0 {
                    let new = (random.below(50), Ready::Stream(random.below(9)));
                    line.push(new.0, new.1);
                    model.push(new);
                    model.sort_unstable();
                } else if !model.is_empty() {
                    model.remove(0);
                    line.pop();
                }
                assert_eq!(line.first(), model.first().copied(), "seed {seed}");
            }
        }
    }
}
