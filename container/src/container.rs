//! The container: one thread, one queue, the turn.
//!
//! ```text
//!  turn:  1 take what the transport has      frames → links → (control plane | the queue)
//!         2 fire due timers
//!         3 drain the queue, first come first served, within a budget
//!              message → its instance's handler → replies, calls, casts into the outbox
//!         4 flush the outbox: batched frames, one peer after the other
//!         5 answer: when do I need to run again?
//! ```

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use corosensei::stack::DefaultStack;
use monofil_transport::{
    Event, Inbox, Instant, Io, JobOutcome, Next, Node, Plane, Progress, Shutdown, Stream,
};

use crate::calls::{Origin, TaskId};
use crate::component::ReplySource;
use crate::context::Context;
use crate::core::{Core, Purpose, Ready, Sender, Shared, Stage};
use crate::counters::Counter;
use crate::current;
use crate::environment::Environment;
use crate::fiber::{Fiber, StackPool, Step, Suspender, panic_message};
use crate::instance::{Queued, State, Work};
use crate::liveness::BusyAnswer;
use crate::{
    CallError, Component, ContainerConfig, HandlerError, Health, Name, Payload, Reply, StartReason,
    Status,
};

/// What has been waiting in the outbox for so long leaves between two handlers.
const FLUSH_WITHIN: Duration = Duration::from_micros(100);
/// The stack of a stream's producer.
const STREAM_STACK_BYTES: usize = 256 << 10;
/// Less than this does not hold a handler's frames and a panic's.
const STACK_BYTES_MIN: usize = 16 << 10;
/// Stacks that were not needed for so many turns go back to the operating system.
const TRIM_EVERY_TURNS: u64 = 4096;

/// One node: its instances, and everything they need.
///
/// A value with a [`turn`](Node::turn); a driver calls it. It reads no clock, opens no socket and spawns no
/// thread: all of that comes through [`Io`].
pub struct Container {
    core: Shared,
    fibers: HashMap<TaskId, Fiber<Done>>,
    stacks: StackPool,
    inbox: Inbox,
    progress: Option<std::sync::Arc<Progress>>,
    ready_said: bool,
    /// It has told the others that it has ended.
    left: bool,
    flush_due: Option<Instant>,
}

/// One method of an instance that is to run.
struct Activity {
    index: usize,
    method: Name,
    purpose: Purpose,
    sender: Sender,
    /// Where the message came from, and the credit of a streamed call.
    origin: Option<(Origin, u32)>,
}

/// A stack for a method that is to run.
struct Taken {
    stack: DefaultStack,
    bytes: usize,
}

/// What a fiber hands back when it ends.
struct Done {
    component: Option<Box<dyn Component>>,
    result: Ended,
}

enum Ended {
    Started(Result<(), Status>),
    Handled(Result<Reply, HandlerError>),
    /// `undelivered` returned.
    Returned,
    Stopped,
    Produced(u64, ReplySource, Option<Result<Payload, Status>>),
}

impl Container {
    /// Makes a container; nothing happens before its first turn.
    #[must_use]
    pub fn new(config: ContainerConfig) -> Self {
        Self {
            core: Rc::new(RefCell::new(Core::new(config))),
            fibers: HashMap::new(),
            stacks: StackPool::default(),
            inbox: Inbox::new(),
            progress: None,
            ready_said: false,
            left: false,
            flush_due: None,
        }
    }

    pub(crate) const fn shared(&self) -> &Shared {
        &self.core
    }

    /// Returns the value of a counter.
    #[must_use]
    pub fn counter(&self, counter: Counter) -> u64 {
        self.core.borrow().counters.get(counter)
    }

    /// Returns what the node holds right now, by the names under which its description shows it.
    #[must_use]
    pub fn gauges(&self) -> BTreeMap<&'static str, u64> {
        let mut gauges = self.core.borrow().gauges();
        gauges.insert("monofil_stacks_used", self.stacks.used() as u64);
        gauges
    }

    /// Returns how many frames and datagrams were refused because they make no sense.
    #[must_use]
    pub fn malformed(&self) -> u64 {
        self.core.borrow().counters.malformed_total()
    }

    /// Returns the other nodes this one has to do with, and how they are.
    #[must_use]
    pub fn peers(&self) -> Vec<(Name, Health)> {
        let core = self.core.borrow();
        core.peers
            .iter()
            .map(|(_, peer)| (peer.place(), peer.health.clone()))
            .collect()
    }

    /// Tells whether every instance's `start` is done.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.core.borrow().node_state() == monofil_proto::control::NodeState::Ready
    }

    /// Asks the node to end; the next turns do so. With [`Shutdown::Drain`] it finishes what it has first,
    /// with [`Shutdown::Now`] the next turn is the last. Either way its peers are told.
    pub fn shut_down(&mut self, how: Shutdown) {
        self.core.borrow_mut().stop_requested = Some(how);
    }

    fn first_turn(&mut self, io: &mut dyn Io) {
        let mut seed = [0; 8];
        io.fill(&mut seed);
        let progress = io.progress();
        let mut core = self.core.borrow_mut();
        core.started = core.now;
        core.seed(u64::from_le_bytes(seed));
        core.frame_bytes_max = io.limits().frame_bytes_max.min(core.bounds.frame_bytes);
        core.peers.probe_due = true;
        io.install_answer(Box::new(BusyAnswer {
            node: core.node,
            incarnation: core.incarnation,
            network: core.network,
        }));
        core.connect_all(io);
        drop(core);
        self.progress = Some(progress);
    }

    // ── 1: what arrived ──────────────────────────────────────────────────────────────────────────────

    fn receive(&mut self, io: &mut dyn Io) {
        io.receive(&mut self.inbox);
        let mut core = self.core.borrow_mut();
        while let Some(event) = self.inbox.pop() {
            match event {
                Event::Frame {
                    plane: Plane::Application,
                    from,
                    frame,
                } => {
                    core.handle_frame(io, &from, &frame);
                }
                Event::Frame {
                    plane: Plane::Control,
                    from,
                    frame,
                } => {
                    core.handle_control(io, &from, &frame);
                }
                Event::Datagram { from, payload } => core.handle_datagram(io, from, &payload),
                Event::PeerGone(connection) => core.peer_gone(connection),
                Event::PeerConnected(connection) => core.peer_connected(io, connection),
                Event::Writable(connection) => core.writable(connection),
                Event::JobDone(job, outcome) => core.job_done(job, outcome),
                Event::Shutdown(how) => {
                    tracing::info!(node = %core.name, ?how, "told to end");
                    core.shut_down(how);
                }
                _ => {}
            }
        }
    }

    // ── 3: the queue ─────────────────────────────────────────────────────────────────────────────────

    /// Runs handlers until nothing is ready or the budget is spent. Those whose wait is over go first:
    /// their messages came first.
    fn drain(&mut self, io: &mut dyn Io, budget: usize) {
        for _ in 0..budget {
            let (resumed, ready) = {
                let mut core = self.core.borrow_mut();
                if core.stage == Stage::Ended {
                    return;
                }
                core.now = io.now();
                let resumed = core.resumable.pop_front();
                let room = core.tasks.len() < core.limits.handlers;
                let ready = if resumed.is_none() && room {
                    core.next_ready()
                } else {
                    None
                };
                (resumed, ready)
            };
            match (resumed, ready) {
                (Some(task), _) => self.resume(task),
                (None, Some(Ready::Instance(index))) => self.start_work(index),
                (None, Some(Ready::Stream(id))) => self.produce(id),
                (None, None) => return,
            }
            self.hand_over_jobs(io);
            self.drop_discarded();
            self.flush_if_due(io);
        }
    }

    /// Drops what handlers left behind. A destructor that panics harms nobody else.
    fn drop_discarded(&mut self) {
        loop {
            let discarded = std::mem::take(&mut self.core.borrow_mut().discarded);
            if discarded.is_empty() {
                return;
            }
            for value in discarded {
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
                    let core = &mut *self.core.borrow_mut();
                    core.counters.add(Counter::HandlersPanicked);
                    let panic = panic_message(&*panic);
                    tracing::error!(node = %core.name, %panic, "a destructor panicked");
                }
            }
        }
    }

    /// Starts an instance, or hands it its next message.
    fn start_work(&mut self, index: usize) {
        let state = self.core.borrow().instances[index].state.clone();
        match state {
            State::New(reason) => self.start_instance(index, reason),
            State::Idle => {
                let work = self.core.borrow_mut().next_work(index);
                if let Some(work) = work {
                    self.work_off(index, work);
                }
            }
            State::Busy | State::BackingOff(_) | State::Stopped => {}
        }
    }

    fn work_off(&mut self, index: usize, work: Work) {
        let stack = match self.take_stack(index) {
            Ok(stack) => stack,
            Err(error) => return self.core.borrow_mut().refuse_work(index, work, error),
        };
        match work {
            Work::Message(queued) => self.handle(index, stack, *queued),
            Work::Undelivered(undelivered) => {
                let activity = self.plain(index, "undelivered", Purpose::Other);
                self.run(activity, stack, |component, cx| {
                    component.undelivered(cx, undelivered);
                    Ended::Returned
                });
            }
        }
    }

    /// Takes a stack for a method of an instance, or says that there is none.
    fn take_stack(&mut self, index: usize) -> Result<Taken, CallError> {
        let bytes = self.core.borrow().instances[index].limits.stack_bytes;
        self.take_stack_of(bytes)
    }

    fn take_stack_of(&mut self, bytes: usize) -> Result<Taken, CallError> {
        let bytes = bytes.max(STACK_BYTES_MIN);
        let used = self.stacks.used() as u64;
        let refused = |error: std::io::Error| {
            let place = self.core.borrow().name.clone();
            tracing::error!(node = %place, bytes, used, %error, "no stack could be had for a handler");
            CallError::rejected("node.stacks", used, used, &place)
        };
        let stack = self.stacks.take(bytes).map_err(refused)?;
        Ok(Taken { stack, bytes })
    }

    /// Describes a method that no message causes.
    fn plain(&self, index: usize, method: &str, purpose: Purpose) -> Activity {
        let sender = self.core.borrow().plain_sender(index);
        Activity {
            index,
            method: method.into(),
            purpose,
            sender,
            origin: None,
        }
    }

    fn start_instance(&mut self, index: usize, reason: StartReason) {
        let stack = match self.take_stack(index) {
            Ok(stack) => stack,
            Err(error) => return self.core.borrow_mut().started(index, Err(error.into())),
        };
        let factory = self.core.borrow().instances[index].factory.clone();
        let build = move || (factory.borrow_mut())();
        let activity = self.plain(index, "start", Purpose::Start);
        self.launch(activity, stack, build, |component, cx| {
            Ended::Started(component.start(cx, reason))
        });
    }

    fn handle(&mut self, index: usize, stack: Taken, queued: Queued) {
        let activity = {
            let mut core = self.core.borrow_mut();
            core.counters.add(Counter::HandlersStarted);
            let sender = Sender {
                component: core.instances[index].name.clone(),
                instance: Some(index),
                flow: queued.message.flow.clone(),
                deadline: Some(queued.message.deadline),
                trace: queued.message.trace,
                waiting: core.chain_with(queued.waiting.clone(), index),
                message: Some(queued.message.id),
            };
            let method = Core::label(&queued.message);
            let origin = Some((queued.origin, queued.credit));
            Activity {
                index,
                method,
                purpose: Purpose::Handle,
                sender,
                origin,
            }
        };
        let message = queued.message;
        self.run(activity, stack, |component, cx| {
            Ended::Handled(component.handle(cx, message))
        });
    }

    /// Runs one method of an idle instance.
    fn run(
        &mut self,
        activity: Activity,
        stack: Taken,
        work: impl FnOnce(&mut dyn Component, &mut Context<'_>) -> Ended + 'static,
    ) {
        let component = self.core.borrow_mut().instances[activity.index]
            .component
            .take();
        let component = component.expect("invariant: an idle instance has its component");
        self.launch(activity, stack, move || component, work);
    }

    /// Puts a method of an instance on a stack and runs it until it suspends or ends.
    fn launch(
        &mut self,
        activity: Activity,
        stack: Taken,
        build: impl FnOnce() -> Box<dyn Component> + 'static,
        work: impl FnOnce(&mut dyn Component, &mut Context<'_>) -> Ended + 'static,
    ) {
        let (index, sender) = (activity.index, activity.sender.clone());
        let (task, environment) = {
            let mut core = self.core.borrow_mut();
            let Activity {
                method,
                purpose,
                sender,
                origin,
                ..
            } = activity;
            let progress = self.progress.as_deref();
            let task = core.new_task(Some(index), method, purpose, sender, origin, progress);
            let instance = &mut core.instances[index];
            instance.state = State::Busy;
            let environment = instance.environment.take();
            let environment =
                environment.expect("invariant: an instance that is not busy has its environment");
            (task, environment)
        };
        let shared = self.core.clone();
        self.spawn(task, stack, move |suspender| {
            // First, because it takes the environment back even if the factory panics.
            let mut cx = Context::new(shared, task, suspender, sender, Some(index), environment);
            let mut component = build();
            let result = work(&mut *component, &mut cx);
            Done {
                component: Some(component),
                result,
            }
        });
    }

    /// Makes the next item of a stream. The instance that began it is free meanwhile.
    fn produce(&mut self, id: u64) {
        let stack = match self.take_stack_of(STREAM_STACK_BYTES) {
            Ok(stack) => stack,
            Err(error) => {
                // What began it has run.
                let error = CallError::Incomplete(error.to_string());
                return self.core.borrow_mut().end_stream(id, Err(error));
            }
        };
        let (task, mut source, sender, environment, shared) = {
            let mut core = self.core.borrow_mut();
            let Some((source, component, method, sender)) = core.take_source(id) else {
                self.stacks.give_back(Some((stack.bytes, stack.stack)));
                return;
            };
            let purpose = Purpose::Produce(id);
            let task = core.new_task(
                None,
                method,
                purpose,
                sender.clone(),
                None,
                self.progress.as_deref(),
            );
            if let Some(task) = core.tasks.get_mut(&task) {
                task.component = component;
            }
            let site = format!("stream/{id}");
            let random = Stream::new(core.random.bits(), &site);
            (
                task,
                source,
                sender,
                Environment::new(random),
                self.core.clone(),
            )
        };
        self.spawn(task, stack, move |suspender| {
            let mut cx = Context::new(shared, task, suspender, sender, None, environment);
            let item = source.next(&mut cx);
            Done {
                component: None,
                result: Ended::Produced(id, source, item),
            }
        });
    }

    fn spawn(
        &mut self,
        task: TaskId,
        stack: Taken,
        run: impl FnOnce(&Suspender) -> Done + 'static,
    ) {
        let fiber = Fiber::new(stack.stack, stack.bytes, run);
        self.fibers.insert(task, fiber);
        self.resume(task);
    }

    /// Runs a handler until it suspends or ends.
    fn resume(&mut self, task: TaskId) {
        let Some(mut fiber) = self.fibers.remove(&task) else {
            return;
        };
        let (name, handler) = {
            let core = self.core.borrow();
            let Some(state) = core.tasks.get(&task) else {
                return;
            };
            current::enter(state, &core);
            (state.component.clone(), state.handler)
        };
        if let Some(progress) = &self.progress {
            progress.enter(handler);
        }
        let step = fiber.resume(&name);
        if let Some(progress) = &self.progress {
            progress.leave();
        }
        current::leave();
        match step {
            Step::Suspended => {
                self.fibers.insert(task, fiber);
            }
            Step::Returned(done) => {
                self.stacks.give_back(fiber.into_stack());
                self.returned(task, done);
            }
            Step::Panicked(message) => {
                self.stacks.give_back(fiber.into_stack());
                self.panicked(task, message);
            }
        }
    }

    fn returned(&mut self, id: TaskId, done: Done) {
        let mut core = self.core.borrow_mut();
        let Some(task) = core.end_task(id) else {
            return;
        };
        if let Some(index) = task.instance {
            let took = core.now.since(task.started);
            let instance = &mut core.instances[index];
            instance.component = done.component;
            instance.took(took);
        }
        match (done.result, task.instance) {
            (Ended::Started(result), Some(index)) => core.started(index, result),
            (Ended::Handled(result), Some(index)) => {
                core.instances[index].handled += 1;
                core.instance_idle(index);
                core.handled(task, result);
            }
            (Ended::Returned, Some(index)) => core.instance_idle(index),
            (Ended::Stopped, Some(index)) => core.stopped(index),
            (Ended::Produced(stream, source, item), _) => core.stream_item(stream, source, item),
            (_, None) => {}
        }
    }

    /// A handler panicked: its caller learns it, its instance is built again.
    fn panicked(&mut self, id: TaskId, message: String) {
        let mut core = self.core.borrow_mut();
        let Some(task) = core.end_task(id) else {
            return;
        };
        core.counters.add(Counter::HandlersPanicked);
        tracing::error!(
            component = %task.component,
            method = %task.method,
            panic = %message,
            "a handler panicked"
        );
        if let Some(origin) = &task.origin {
            let error = CallError::Panicked(message.clone());
            if origin.served_key().is_none() {
                core.cast_failed(&task.component, &task.method, &error);
            }
            core.conclude(origin, Err(error));
        }
        match (task.purpose, task.instance) {
            (Purpose::Produce(stream), _) => {
                core.end_stream(stream, Err(CallError::Panicked(message)));
            }
            (Purpose::Stop, Some(index)) => core.stopped(index),
            (_, Some(index)) => {
                core.instances[index].panics += 1;
                core.instance_crashed(index, StartReason::Panicked(message));
            }
            (_, None) => {}
        }
    }

    // ── 4: what leaves ───────────────────────────────────────────────────────────────────────────────

    fn hand_over_jobs(&mut self, io: &mut dyn Io) {
        let jobs = std::mem::take(&mut self.core.borrow_mut().jobs);
        for job in jobs {
            if let Err(full) = io.offload(job) {
                let mut core = self.core.borrow_mut();
                let limit = full.limit as u64;
                let error = CallError::rejected("node.blocking_jobs", limit, limit, &core.name);
                core.rejected(&error);
                core.job_done(full.job.id, JobOutcome::Returned(Box::new(error)));
            }
        }
    }

    /// A slow handler never holds back what others want to send.
    fn flush_if_due(&mut self, io: &mut dyn Io) {
        let mut core = self.core.borrow_mut();
        if !core.peers.has_dirty() {
            self.flush_due = None;
            return;
        }
        let due = *self.flush_due.get_or_insert(core.now + FLUSH_WITHIN);
        if core.now >= due {
            core.flush(io);
            self.flush_due = None;
        }
    }

    // ── The end ──────────────────────────────────────────────────────────────────────────────────────

    /// Goes on with an orderly end, a step at a time.
    fn wind_down(&mut self, io: &mut dyn Io) {
        let requested = self.core.borrow_mut().stop_requested.take();
        if let Some(how) = requested {
            self.core.borrow_mut().shut_down(how);
        }
        loop {
            let stage = self.core.borrow().stage;
            match stage {
                Stage::Draining { end: true } if self.core.borrow().is_quiet() => {
                    let mut core = self.core.borrow_mut();
                    if core.abandon_unreachable() {
                        // Those who sent it may have something to do about it.
                        continue;
                    }
                    core.stage = Stage::Stopping;
                }
                Stage::Stopping => {
                    let next = self.core.borrow().next_to_stop();
                    match next {
                        Some(index) => self.stop_instance(index),
                        None if self.core.borrow().tasks.is_empty() => {
                            let mut core = self.core.borrow_mut();
                            // What `stop` sent may have nowhere to go.
                            core.abandon_unreachable();
                            core.stage = Stage::Flushing { since: core.now };
                        }
                        None => return,
                    }
                }
                Stage::Flushing { .. } => {
                    let mut core = self.core.borrow_mut();
                    core.flush(io);
                    core.poke(io);
                    if !core.is_flushed() {
                        return;
                    }
                    core.stage = Stage::Ended;
                }
                Stage::Running | Stage::Draining { .. } | Stage::Ended => return,
            }
        }
    }

    fn stop_instance(&mut self, index: usize) {
        let Ok(stack) = self.take_stack(index) else {
            // There is no later to do it.
            return self.core.borrow_mut().stopped(index);
        };
        let activity = self.plain(index, "stop", Purpose::Stop);
        self.run(activity, stack, |component, cx| {
            component.stop(cx);
            Ended::Stopped
        });
    }

    // ── 5: when again ────────────────────────────────────────────────────────────────────────────────

    fn next(&mut self) -> Next {
        let core = self.core.borrow();
        if core.stage == Stage::Ended {
            return Next::Ended;
        }
        let blocked = core.tasks.len() >= core.limits.handlers;
        let can_run = !core.resumable.is_empty() || (!core.ready.is_empty() && !blocked);
        if can_run || core.peers.probe_due {
            return Next::Now;
        }
        match core.timers.next_deadline() {
            Some(at) if at <= core.now => Next::Now,
            Some(at) => Next::At(at),
            None => Next::Idle,
        }
    }

    /// Lets nobody wait for a node that has ended.
    fn say_goodbye(&mut self, io: &mut dyn Io) {
        let mut core = self.core.borrow_mut();
        if core.stage == Stage::Ended && !self.left {
            self.left = true;
            core.leave(io);
            core.report_unreceived();
        }
    }

    fn say_ready(&mut self) {
        if !self.ready_said && self.is_ready() {
            self.ready_said = true;
            let core = self.core.borrow();
            tracing::info!(node = %core.name, instances = core.instances.len(), "ready");
        }
    }
}

impl Node for Container {
    fn turn(&mut self, io: &mut dyn Io) -> Next {
        let budget = {
            let mut core = self.core.borrow_mut();
            core.now = io.now();
            core.wall_micros = io.wall_micros();
            core.counters.add(Counter::Turns);
            core.turn_budget
        };
        if self.progress.is_none() {
            self.first_turn(io);
        }
        self.receive(io);
        {
            let mut core = self.core.borrow_mut();
            core.fire_timers();
            core.probe(io);
        }
        self.drop_discarded();
        self.drain(io, budget);
        self.wind_down(io);
        self.drop_discarded();
        self.hand_over_jobs(io);
        self.core.borrow_mut().flush(io);
        self.flush_due = None;
        self.say_goodbye(io);
        self.say_ready();
        if self
            .core
            .borrow()
            .counters
            .get(Counter::Turns)
            .is_multiple_of(TRIM_EVERY_TURNS)
        {
            self.stacks.trim();
        }
        self.next()
    }
}

impl Drop for Container {
    /// Unwinds what is suspended. No destructor of a handler can do anything any more.
    fn drop(&mut self) {
        self.core.borrow_mut().dead = true;
        let mut fibers: Vec<_> = self.fibers.drain().collect();
        fibers.sort_unstable_by_key(|(task, _)| *task);
        drop(fibers);
        {
            let mut core = self.core.borrow_mut();
            let instances = std::mem::take(&mut core.instances);
            let mut streams: Vec<_> = std::mem::take(&mut core.streams).into_iter().collect();
            streams.sort_unstable_by_key(|(id, _)| *id);
            core.discard(instances);
            core.discard(streams);
        }
        self.drop_discarded();
    }
}

impl fmt::Debug for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let core = self.core.borrow();
        f.debug_struct("Container")
            .field("name", &core.name)
            .field("node", &core.node)
            .field("instances", &core.instances.len())
            .field("stacks", &self.stacks.used())
            .finish_non_exhaustive()
    }
}
