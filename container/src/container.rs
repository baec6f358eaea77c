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
use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use monofil_transport::{Event, Inbox, Instant, Io, JobOutcome, Next, Node, Plane, Shutdown};
use tracing::Span;

use crate::calls::TaskId;
use crate::core::{Core, Shared, Stage};
use crate::counters::Counter;
use crate::current;
use crate::fiber::{Pause, Suspender, Worker, WorkerPool, current_span, panic_message};
use crate::liveness::BusyAnswer;
use crate::routing::token;
use crate::{ContainerConfig, Health, LimitChange, LimitError, LimitInfo, MemberInfo, Name, work};

/// What has been waiting in the outbox for so long leaves between two handlers.
const FLUSH_WITHIN: Duration = Duration::from_micros(100);
/// Handlers that may run between two looks at the clock, if those before them were short.
const HANDLERS_PER_LOOK: usize = 16;
/// Stacks that were not needed for so many turns go back to the operating system.
const TRIM_EVERY_TURNS: u64 = 4096;

/// One node: its instances, and everything they need.
///
/// A value with a [`turn`](Node::turn); a driver calls it. It reads no clock, opens no socket and spawns no
/// thread: all of that comes through [`Io`].
pub struct Container {
    core: Shared,
    /// Those whose handlers wait, by the place of the task.
    waiting: Vec<Option<Worker>>,
    workers: WorkerPool,
    /// How many handlers may run before the next look at the clock.
    batch: usize,
    inbox: Inbox,
    ready_said: bool,
    /// It has told the others that it has ended.
    left: bool,
    flush_due: Option<Instant>,
}

impl Container {
    /// Makes a container; nothing happens before its first turn.
    #[must_use]
    pub fn new(config: ContainerConfig) -> Self {
        Self {
            core: Rc::new(RefCell::new(Core::new(config))),
            waiting: Vec::new(),
            workers: WorkerPool::default(),
            batch: 1,
            inbox: Inbox::new(),
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
        gauges.insert("monofil_stacks_used", self.workers.used() as u64);
        gauges
    }

    /// Changes a limit of the running node, and returns it as it is now: once, or for each instance of a component.
    ///
    /// # Errors
    ///
    /// [`LimitError`]; then nothing was changed.
    pub fn set_limit(&mut self, change: LimitChange) -> Result<Vec<LimitInfo>, LimitError> {
        self.core.borrow_mut().set_limit(change)
    }

    /// Returns every limit that can be changed, as it is: of the node, of its instances, and of limited flows.
    #[must_use]
    pub fn limits(&self) -> Vec<LimitInfo> {
        self.core.borrow().limits()
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

    /// Returns the members of the network that this node knows of, itself excepted.
    #[must_use]
    pub fn members(&self) -> Vec<MemberInfo> {
        let core = self.core.borrow();
        let members = core.members().into_iter();
        members.map(|(info, ..)| info).collect()
    }

    /// Returns one of these members, if it is known.
    #[must_use]
    pub fn member(&self, node: &crate::NodeId) -> Option<MemberInfo> {
        self.core.borrow().member(node)
    }

    /// Tells whether every instance's `start` is done.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.core.borrow().node_state() == monofil_proto::control::NodeState::Ready
    }

    /// Asks the node to end; the next turns do so. With [`Shutdown::Drain`] it finishes what it has first,
    /// with [`Shutdown::Now`] the next turn is the last. Either way its peers are told.
    pub fn shut_down(&mut self, how: Shutdown) {
        self.core.borrow_mut().request_stop(how);
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
            busy_max: core.busy_max,
        }));
        core.progress = Some(progress);
        core.recorder = io.recorder();
        let own = io.local().application;
        core.routing.own_token = own.map_or(0, |own| token(own.as_str()));
        core.connect_all(io);
        core.start_membership(io);
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
        let base = current_span();
        let mut left = budget;
        self.core.borrow_mut().now = io.now();
        while left > 0 {
            let batch = left.min(self.batch);
            let resumed = {
                let mut core = self.core.borrow_mut();
                if core.stage == Stage::Ended {
                    return;
                }
                core.handlers_left = batch;
                core.resumable.pop_front()
            };
            let ran = match resumed {
                Some(task) => self.resume(task, base.as_ref()),
                None => self.begin(base.as_ref()),
            };
            if !ran {
                return;
            }
            left -= self.look_back(io.now(), batch).min(left);
            let did = [
                self.hand_over_jobs(io),
                self.drop_discarded(),
                self.flush_if_due(io),
            ];
            if did.contains(&true) {
                // That took a while, which is not the next handler's.
                self.core.borrow_mut().now = io.now();
            }
        }
    }

    /// Notes what time it is and so how long handlers took, and returns how many there were.
    fn look_back(&mut self, now: Instant, batch: usize) -> usize {
        let mut core = self.core.borrow_mut();
        let took = now.since(core.now);
        core.now = now;
        let ran = (batch - core.handlers_left).max(1);
        let each = if ran == 1 {
            took
        } else {
            took / u32::try_from(ran).unwrap_or(u32::MAX)
        };
        if let Some(index) = core.sampled.take() {
            core.instances[index].took(each);
        }
        self.batch = if each > work::SHORT {
            1
        } else {
            HANDLERS_PER_LOOK
        };
        ran
    }

    /// Lets the handler go on whose wait is over.
    fn resume(&mut self, task: TaskId, base: Option<&Span>) -> bool {
        let Some(worker) = self.waiting.get_mut(task.place()).and_then(Option::take) else {
            return true;
        };
        let component = {
            let mut core = self.core.borrow_mut();
            let state = core.tasks.get(task.0).cloned();
            let state = state.expect("invariant: a handler that waits is under way");
            core.running = Some(state.clone());
            core.record_resumed(task);
            if let Some(progress) = &core.progress {
                progress.enter(state.handler);
            }
            state.sender.component.clone()
        };
        self.run(worker, Some(&component), base);
        true
    }

    /// Lets a worker begin what is next. Tells whether there was something.
    fn begin(&mut self, base: Option<&Span>) -> bool {
        let Some(bytes) = self.core.borrow_mut().next_stack_bytes() else {
            return false;
        };
        let core = self.core.clone();
        let serve = move || move |suspender: &Suspender<'_>| work::serve(&core, bytes, suspender);
        let used = self.workers.used() as u64;
        match self.workers.take(bytes, serve) {
            Ok(worker) => self.run(worker, None, base),
            Err(error) => {
                let mut core = self.core.borrow_mut();
                tracing::error!(node = %core.name, bytes, used, %error, "no stack could be had for a handler");
                let error = core.too_few_stacks(used);
                core.refuse_next(error);
            }
        }
        true
    }

    fn run(&mut self, mut worker: Worker, waiting: Option<&Name>, base: Option<&Span>) {
        let pause = worker.resume(waiting, base);
        let mut core = self.core.borrow_mut();
        core.running = None;
        if let Some(progress) = &core.progress {
            progress.leave();
        }
        match (pause, core.suspended.take()) {
            (Pause::Waits, Some(task)) => {
                let place = task.place();
                if place >= self.waiting.len() {
                    self.waiting.resize_with(place + 1, || None);
                }
                self.waiting[place] = Some(worker);
            }
            _ => self.workers.give_back(worker),
        }
    }

    /// Drops what handlers left behind, and tells whether there was something. A destructor that panics harms
    /// nobody else.
    fn drop_discarded(&mut self) -> bool {
        let mut did = false;
        loop {
            let discarded = std::mem::take(&mut self.core.borrow_mut().discarded);
            if discarded.is_empty() {
                return did;
            }
            did = true;
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

    // ── 4: what leaves ───────────────────────────────────────────────────────────────────────────────

    /// Gives the helper threads what handlers want of them; tells whether there was something.
    fn hand_over_jobs(&mut self, io: &mut dyn Io) -> bool {
        let jobs = std::mem::take(&mut self.core.borrow_mut().jobs);
        let did = !jobs.is_empty();
        for job in jobs {
            if let Err(full) = io.offload(job) {
                let mut core = self.core.borrow_mut();
                let error = core.too_many_jobs(full.limit as u64);
                core.rejected(&error);
                core.job_done(full.job.id, JobOutcome::Returned(Box::new(error)));
            }
        }
        did
    }

    /// Sends what has waited long enough, so that slow handlers hold back nothing; tells whether there was
    /// something.
    fn flush_if_due(&mut self, io: &mut dyn Io) -> bool {
        let mut core = self.core.borrow_mut();
        if !core.peers.has_dirty() {
            self.flush_due = None;
            return false;
        }
        let due = *self.flush_due.get_or_insert(core.now + FLUSH_WITHIN);
        if core.now < due {
            return false;
        }
        core.flush(io);
        self.flush_due = None;
        true
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
                        Some(index) => {
                            let mut core = self.core.borrow_mut();
                            core.to_stop = Some(index);
                            core.handlers_left = 0;
                            drop(core);
                            self.begin(current_span().as_ref());
                        }
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

    // ── 5: when again ────────────────────────────────────────────────────────────────────────────────

    fn next(&mut self) -> Next {
        let core = self.core.borrow();
        if core.stage == Stage::Ended {
            return Next::Ended;
        }
        let blocked = core.tasks.len() >= core.handlers_max();
        let can_run = !core.resumable.is_empty() || (core.ready.first().is_some() && !blocked);
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
            core.leave_network(io);
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
        let before = current::enter(&self.core);
        if self.core.borrow().progress.is_none() {
            self.first_turn(io);
        }
        self.receive(io);
        {
            let mut core = self.core.borrow_mut();
            core.fire_timers();
            core.probe(io);
            core.tend_membership(io);
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
            self.workers.trim();
        }
        current::leave(before);
        self.next()
    }
}

impl Drop for Container {
    /// Unwinds what is suspended. No destructor of a handler can do anything any more.
    fn drop(&mut self) {
        self.core.borrow_mut().dead = true;
        let mut waiting = {
            let core = self.core.borrow();
            let tasks = core
                .tasks
                .iter()
                .map(|(id, task)| (task.number, TaskId(id)));
            let worker = |(number, task): (u64, TaskId)| {
                let worker = self.waiting.get_mut(task.place())?.take()?;
                Some((number, worker))
            };
            tasks.filter_map(worker).collect::<Vec<_>>()
        };
        waiting.sort_unstable_by_key(|(number, _)| *number);
        drop(waiting);
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
            .field("stacks", &self.workers.used())
            .finish_non_exhaustive()
    }
}
