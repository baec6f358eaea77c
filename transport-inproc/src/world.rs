//! The world: nodes, time, and what is done to them.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use monofil_transport::record::{Recorder, Recording, What as Recorded};
use monofil_transport::{Instant, Next, Node, Plane, Shutdown};

use crate::agenda::{Way, What};
use crate::fabric::{Fabric, Life, Mail, NodeState};
use crate::link::nanos;
use crate::node::{AddNodeError, Factory, NodeKey, NodeSpec, NodeStart};
use crate::sessions::End;
use crate::slab::Slab;
use crate::trace::{TraceHash, TraceKind, TraceRecord};
use crate::{Arrivals, Fault, LinkModel, NodeIo, Stats, ThreadTime, WorldConfig};

type Hook = Box<dyn FnOnce(&mut World)>;

/// A deterministic world of nodes in one thread.
///
/// Time is virtual: it jumps to the next thing that happens. See the [crate] for an example.
pub struct World {
    pub(crate) fabric: Fabric,
    programs: Vec<Program>,
    names: HashMap<std::sync::Arc<str>, NodeKey>,
    hooks: Slab<Hook>,
    /// How many nodes with a program have not ended, including those that are down.
    pub(crate) unfinished: usize,
}

struct Program {
    factory: Option<Factory>,
    /// Present while the node is up.
    node: Option<Box<dyn Node>>,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World")
            .field("now", &self.now())
            .field("nodes", &self.fabric.nodes.len())
            .field("trace_hash", &self.trace_hash())
            .finish_non_exhaustive()
    }
}

impl World {
    /// Makes a world without nodes, at time zero.
    #[must_use]
    pub fn new(config: WorldConfig) -> Self {
        Self {
            fabric: Fabric::new(config),
            programs: Vec::new(),
            names: HashMap::new(),
            hooks: Slab::default(),
            unfinished: 0,
        }
    }

    /// Adds a node with a program, which `factory` makes now and after each crash.
    ///
    /// # Errors
    ///
    /// See [`AddNodeError`].
    pub fn add_node(
        &mut self,
        spec: NodeSpec,
        factory: impl FnMut(&NodeStart) -> Box<dyn Node> + 'static,
    ) -> Result<NodeKey, AddNodeError> {
        let started = spec.started;
        let key = self.insert(spec, Some(Box::new(factory)))?;
        self.unfinished += 1;
        if started {
            self.start(key);
        }
        Ok(key)
    }

    /// Adds a node without a program: somebody uses [`World::io`] in its place.
    ///
    /// # Errors
    ///
    /// See [`AddNodeError`].
    pub fn add_bare_node(&mut self, spec: NodeSpec) -> Result<NodeKey, AddNodeError> {
        let started = spec.started;
        let key = self.insert(spec, None)?;
        if started {
            self.start(key);
        }
        Ok(key)
    }

    fn insert(
        &mut self,
        spec: NodeSpec,
        factory: Option<Factory>,
    ) -> Result<NodeKey, AddNodeError> {
        let key = NodeKey(
            u32::try_from(self.fabric.nodes.len()).expect("a world has fewer than 2^32 nodes"),
        );
        if self.names.contains_key(&*spec.name) {
            return Err(AddNodeError::NameTaken(spec.name));
        }
        let local = spec.local(key.0)?;
        let endpoints = Plane::ALL.map(|plane| (plane, local.plane(plane).cloned()));
        for endpoint in endpoints
            .iter()
            .filter_map(|(_, endpoint)| endpoint.as_ref())
        {
            if self.fabric.endpoints.contains_key(endpoint) {
                return Err(AddNodeError::EndpointTaken(endpoint.clone()));
            }
        }
        if let Some(address) = local.datagram {
            if self.fabric.addresses.contains_key(&address) {
                return Err(AddNodeError::AddressTaken(address));
            }
            self.fabric.addresses.insert(address, key.0);
        }
        for (plane, endpoint) in endpoints {
            if let Some(endpoint) = endpoint {
                self.fabric.endpoints.insert(endpoint, (key.0, plane));
            }
        }
        let name: std::sync::Arc<str> = spec.name.into();
        if let Some(recorder) = self.recorder() {
            recorder.add_node(&name);
        }
        self.names.insert(name.clone(), key);
        self.fabric.nodes.push(NodeState {
            name,
            local,
            life: Life::Down,
            paused: false,
            busy: false,
            busy_until: 0,
            missed: false,
            slow_by: 0,
            clocks: None,
            has_program: factory.is_some(),
            queued: false,
            incarnation: 0,
            wake_at: u64::MAX,
            armed_at: u64::MAX,
            mail: VecDeque::new(),
            datagrams_waiting: 0,
            jobs: 0,
            owned: BTreeSet::new(),
            accepted: BTreeSet::new(),
            waiting: Vec::new(),
            entropy: None,
            progress: Default::default(),
        });
        self.programs.push(Program {
            factory,
            node: None,
        });
        Ok(key)
    }

    /// Starts a node that is not up.
    fn start(&mut self, key: NodeKey) {
        let now = self.now();
        let state = self.fabric.node(key.0);
        state.life = Life::Up;
        state.paused = false;
        state.busy = false;
        state.incarnation += 1;
        let start = NodeStart {
            key,
            name: state.name.clone(),
            incarnation: state.incarnation,
            now,
            local: state.local.clone(),
        };
        self.fabric.trace.add(
            self.fabric.now,
            TraceKind::Started,
            key.0,
            crate::trace::NOBODY,
            start.incarnation,
        );
        let program = &mut self.programs[key.index()];
        program.node = program.factory.as_mut().map(|factory| factory(&start));
        self.fabric.make_ready(key.0);
        self.fabric.try_waiting(key.0);
    }

    /// Takes a node down, or lets it end.
    fn stop(&mut self, key: NodeKey, life: Life, end: End) {
        let state = self.fabric.node(key.0);
        if state.life != Life::Up {
            return;
        }
        state.life = life;
        state.wake_at = u64::MAX;
        state.mail.clear();
        state.datagrams_waiting = 0;
        state.jobs = 0;
        state.entropy = None;
        state.progress = Default::default();
        let kind = match life {
            Life::Ended => TraceKind::Ended,
            _ => TraceKind::Crashed,
        };
        self.fabric.record(kind, key.0);
        self.fabric.close_all(key.0, end);
        drop(self.programs[key.index()].node.take());
        if life == Life::Ended {
            self.unfinished -= 1;
        }
    }

    /// Does something to the world, now.
    pub fn apply(&mut self, fault: Fault) {
        match fault {
            Fault::Crash(node) => self.stop(node, Life::Down, End::Killed),
            Fault::Vanish(node) => self.stop(node, Life::Down, End::Vanished),
            Fault::Restart(node) => {
                self.stop(node, Life::Down, End::Killed);
                if self.has_ended(node) {
                    self.unfinished += 1;
                }
                self.start(node);
            }
            Fault::Pause(node) => {
                self.fabric.node(node.0).paused = true;
                self.fabric.record(TraceKind::Paused, node.0);
            }
            Fault::Resume(node) => {
                self.fabric.node(node.0).paused = false;
                self.fabric.record(TraceKind::Resumed, node.0);
                self.fabric.make_ready(node.0);
            }
            Fault::Disconnect(one, other) => {
                for slot in self.fabric.between(one.0, other.0) {
                    self.fabric.sever(slot);
                }
            }
            Fault::Cut { from, to } => self.fabric.cut(from.0, to.0),
            Fault::Heal { from, to } => self.fabric.heal(from.0, to.0),
            Fault::SetLink { from, to, model } => {
                let link = self.fabric.link(from.0, to.0);
                self.fabric.links[link as usize].model = model;
                self.fabric
                    .trace
                    .add(self.fabric.now, TraceKind::LinkChanged, from.0, to.0, 0);
            }
            Fault::Clog { from, to, duration } => {
                let (number, duration) = (self.fabric.link(from.0, to.0), nanos(duration));
                let link = &mut self.fabric.links[number as usize];
                let until = self.fabric.now.saturating_add(duration);
                link.clogged_until = link.clogged_until.max(until);
                let now = self.fabric.now;
                let trace = &mut self.fabric.trace;
                trace.add(now, TraceKind::Clogged, from.0, to.0, duration);
                let (to, lasts) = (to.0, Duration::from_nanos(duration));
                trace.write(now, from.0, || Recorded::Clogged { to, lasts });
            }
            Fault::Slow(node, each_turn) => {
                let each_turn = nanos(each_turn);
                self.fabric.node(node.0).slow_by = each_turn;
                self.changed(TraceKind::Slowed, node, each_turn, || {
                    let each_turn = Duration::from_nanos(each_turn);
                    Recorded::Slowed { each_turn }
                });
            }
            Fault::Drift(node, ppm) => {
                let now = self.fabric.now;
                let clocks = self.fabric.node(node.0).clocks.get_or_insert_default();
                clocks.drift(now, ppm);
                let detail = u64::from(ppm as u32);
                self.changed(TraceKind::ClockChanged, node, detail, || {
                    Recorded::ClockDrifts { ppm }
                });
                // When it wanted to turn was said by the clock as it was.
                self.fabric.make_ready(node.0);
            }
            Fault::StepWallClock(node, micros) => {
                let clocks = self.fabric.node(node.0).clocks.get_or_insert_default();
                clocks.step_wall(micros);
                self.changed(TraceKind::ClockChanged, node, micros as u64, || {
                    Recorded::ClockStepped { micros }
                });
            }
            Fault::Shutdown(node, how) => {
                if self.fabric.node(node.0).life == Life::Up {
                    self.fabric.record(TraceKind::ShutdownAsked, node.0);
                    self.fabric.deliver(node.0, Mail::Shutdown(how));
                }
            }
        }
    }

    /// Notes that a node changed: for the hash, and for people.
    fn changed(
        &mut self,
        kind: TraceKind,
        node: NodeKey,
        detail: u64,
        what: impl FnOnce() -> Recorded,
    ) {
        let now = self.fabric.now;
        let nobody = crate::trace::NOBODY;
        self.fabric.trace.add(now, kind, node.0, nobody, detail);
        self.fabric.trace.write(now, node.0, what);
    }

    /// Returns where the node that turns says how long it computes.
    #[must_use]
    pub fn thread_time(&self) -> ThreadTime {
        self.fabric.thread.clone()
    }

    /// Has `schedule` decide when frames arrive, instead of their links: in full as [`Arrivals`], or as a function that
    /// says how long each frame is on the way.
    pub fn schedule(&mut self, schedule: impl Arrivals + 'static) {
        self.fabric.schedule = Some(Box::new(schedule));
    }

    /// Does something to the world when `time` has come.
    pub fn apply_at(&mut self, time: Instant, fault: Fault) {
        self.at(time, move |world| world.apply(fault));
    }

    /// Calls `hook` when `time` has come, before the nodes that are due at that time turn.
    pub fn at(&mut self, time: Instant, hook: impl FnOnce(&mut Self) + 'static) {
        let index = self.hooks.insert(Box::new(hook));
        let now = self.fabric.now;
        self.fabric
            .agenda
            .add(now, time.as_nanos(), What::Hook { index });
    }

    /// Kills a node's process; see [`Fault::Crash`].
    pub fn crash(&mut self, node: NodeKey) {
        self.apply(Fault::Crash(node));
    }

    /// Takes a node away without a word; see [`Fault::Vanish`].
    pub fn vanish(&mut self, node: NodeKey) {
        self.apply(Fault::Vanish(node));
    }

    /// Starts a node with a higher incarnation; see [`Fault::Restart`].
    pub fn restart(&mut self, node: NodeKey) {
        self.apply(Fault::Restart(node));
    }

    /// Stops a node from turning; see [`Fault::Pause`].
    pub fn pause(&mut self, node: NodeKey) {
        self.apply(Fault::Pause(node));
    }

    /// Lets a paused node go on.
    pub fn resume(&mut self, node: NodeKey) {
        self.apply(Fault::Resume(node));
    }

    /// Tells whether there is a connection between two nodes that is up, as one of its ends believes.
    pub fn are_connected(&mut self, one: NodeKey, other: NodeKey) -> bool {
        let between = self.fabric.between(one.0, other.0);
        between.into_iter().any(|slot| {
            let connection = self.fabric.connections.get(slot);
            connection.near || connection.far
        })
    }

    /// Breaks all connections between two nodes; see [`Fault::Disconnect`].
    pub fn disconnect(&mut self, one: NodeKey, other: NodeKey) {
        self.apply(Fault::Disconnect(one, other));
    }

    /// Cuts both ways between two nodes; [`Fault::Cut`] cuts one.
    pub fn cut(&mut self, one: NodeKey, other: NodeKey) {
        for (from, to) in [(one, other), (other, one)] {
            self.apply(Fault::Cut { from, to });
        }
    }

    /// Heals both ways between two nodes.
    pub fn heal(&mut self, one: NodeKey, other: NodeKey) {
        for (from, to) in [(one, other), (other, one)] {
            self.apply(Fault::Heal { from, to });
        }
    }

    /// Changes how both ways between two nodes behave; [`Fault::SetLink`] changes one.
    pub fn set_link(&mut self, one: NodeKey, other: NodeKey, model: &LinkModel) {
        for (from, to) in [(one, other), (other, one)] {
            let model = model.clone();
            self.apply(Fault::SetLink { from, to, model });
        }
    }

    /// Changes how all links behave, those included that are not there yet.
    pub fn set_all_links(&mut self, model: &LinkModel) {
        self.fabric.config.link = model.clone();
        let model = model.clone();
        self.set_links(move |_, _| model.clone());
    }

    /// Changes how each link behaves, those included that are not there yet: as a function says, which is given the
    /// names of the node that sends and of the one that receives.
    pub fn set_links(&mut self, rule: impl Fn(&str, &str) -> LinkModel + 'static) {
        let nodes = &self.fabric.nodes;
        let name = |node: u32| &*nodes[node as usize].name;
        for link in &mut self.fabric.links {
            link.model = rule(name(link.from), name(link.to));
        }
        self.fabric.link_rule = Some(Box::new(rule));
        let nobody = crate::trace::NOBODY;
        let now = self.fabric.now;
        let trace = &mut self.fabric.trace;
        trace.add(now, TraceKind::LinkChanged, nobody, nobody, 0);
    }

    /// Asks a node to end.
    pub fn shutdown(&mut self, node: NodeKey, how: Shutdown) {
        self.apply(Fault::Shutdown(node, how));
    }

    /// Asks all nodes to end.
    pub fn shutdown_all(&mut self, how: Shutdown) {
        for index in 0..self.fabric.nodes.len() as u32 {
            self.shutdown(NodeKey(index), how);
        }
    }

    /// Does one thing that is due now; returns false if there is none.
    pub(crate) fn step_due(&mut self) -> bool {
        if self.event_due() {
            return true;
        }
        match self.fabric.ready.pop_front() {
            Some(node) => {
                self.turn(node);
                true
            }
            None => false,
        }
    }

    /// Lets one thing happen that is due now, other than a node's turn; returns false if there is none.
    pub(crate) fn event_due(&mut self) -> bool {
        let due = self.fabric.agenda.pop_due(self.fabric.now);
        let is_due = due.is_some();
        if let Some(what) = due {
            self.happen(what);
        }
        is_due
    }

    /// Tells whether a node turns next.
    pub(crate) fn turn_due(&self) -> bool {
        !self.fabric.ready.is_empty()
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Arrive { slot, session, way } => self.fabric.arrive(slot, session, way),
            What::Wake { node } => self.fabric.woken(node),
            What::Free { node } => self.fabric.free(node),
            What::Attempt { slot, generation } => self.fabric.attempt(slot, generation),
            What::NearGone { slot, session } => {
                match self.fabric.still_arriving(slot, session, Way::Back) {
                    Some(until) => self.fabric.agenda.add(self.fabric.now, until, what),
                    None => self.fabric.near_gone(slot, session),
                }
            }
            What::FarGone { slot, session } => {
                match self.fabric.still_arriving(slot, session, Way::Forth) {
                    Some(until) => self.fabric.agenda.add(self.fabric.now, until, what),
                    None => self.fabric.far_gone(slot, session),
                }
            }
            What::Silent { slot, session } => self.fabric.check_silence(slot, session),
            What::Datagram { index } => self.fabric.datagram_due(index),
            What::Job { index } => self.fabric.job_due(index),
            What::Hook { index } => {
                if let Some(hook) = self.hooks.take(index) {
                    hook(self);
                }
            }
        }
    }

    fn turn(&mut self, node: u32) {
        let state = self.fabric.node(node);
        state.queued = false;
        if state.life != Life::Up || state.paused {
            return;
        }
        state.wake_at = u64::MAX;
        let slow_by = state.slow_by;
        let Some(program) = &mut self.programs[node as usize].node else {
            return;
        };
        self.fabric.stats.turns += 1;
        self.fabric.thread.begin(slow_by);
        self.fabric.record(TraceKind::Turned, node);
        let next = program.turn(&mut NodeIo {
            fabric: &mut self.fabric,
            node,
        });
        let spent = self.fabric.thread.take();
        if spent > 0 {
            self.fabric.keep_busy(node, spent);
        }
        match next {
            Next::Now => self.fabric.make_ready(node),
            Next::At(time) => {
                let clocks = &self.fabric.nodes[node as usize].clocks;
                let time = time.as_nanos();
                let time = clocks.as_ref().map_or(time, |clocks| clocks.world(time));
                self.fabric.wake_at(node, time);
            }
            Next::Idle => {}
            Next::Ended => self.stop(NodeKey(node), Life::Ended, End::Orderly),
        }
    }

    /// Returns a node's view of the world, to use by hand.
    pub fn io(&mut self, node: NodeKey) -> NodeIo<'_> {
        NodeIo {
            fabric: &mut self.fabric,
            node: node.0,
        }
    }

    /// Returns the node of this name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<NodeKey> {
        self.names.get(name).copied()
    }

    /// Heals all ways that are cut, and ends what clogs them.
    pub fn heal_everything(&mut self) {
        for (from, to) in self.fabric.cut_pairs() {
            self.apply(Fault::Heal {
                from: NodeKey(from),
                to: NodeKey(to),
            });
        }
        let now = self.fabric.now;
        for link in &mut self.fabric.links {
            if std::mem::take(&mut link.clogged_until) > now {
                let (to, lasts) = (link.to, Duration::ZERO);
                let clogged = || Recorded::Clogged { to, lasts };
                self.fabric.trace.write(now, link.from, clogged);
            }
        }
    }

    /// Returns all nodes, in the order in which they were added.
    pub fn keys(&self) -> impl Iterator<Item = NodeKey> + use<> {
        (0..self.fabric.nodes.len() as u32).map(NodeKey)
    }

    /// Tells whether nothing passes from one node to another.
    #[must_use]
    pub fn is_cut(&self, from: NodeKey, to: NodeKey) -> bool {
        let cut = self.fabric.cut_pairs();
        cut.contains(&(from.0, to.0))
    }

    /// Tells whether a node is paused.
    #[must_use]
    pub fn is_paused(&self, node: NodeKey) -> bool {
        self.fabric.nodes[node.index()].paused
    }

    /// Returns the names of all nodes, in the order in which they were added.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fabric.nodes.iter().map(|node| &*node.name)
    }

    /// Returns a node's name.
    #[must_use]
    pub fn name(&self, node: NodeKey) -> &str {
        &self.fabric.nodes[node.index()].name
    }

    /// Tells whether a node is up.
    #[must_use]
    pub fn is_up(&self, node: NodeKey) -> bool {
        self.fabric.nodes[node.index()].life == Life::Up
    }

    /// Tells whether a node ended by itself.
    #[must_use]
    pub fn has_ended(&self, node: NodeKey) -> bool {
        self.fabric.nodes[node.index()].life == Life::Ended
    }

    /// Returns how often a node started.
    #[must_use]
    pub fn incarnation(&self, node: NodeKey) -> u64 {
        self.fabric.nodes[node.index()].incarnation
    }

    /// Tells whether something waits for a node to receive it.
    #[must_use]
    pub fn has_mail(&self, node: NodeKey) -> bool {
        !self.fabric.nodes[node.index()].mail.is_empty()
    }

    /// Returns the virtual time.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::from_nanos(self.fabric.now)
    }

    /// Returns the time since the world's beginning.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.fabric.now)
    }

    /// Returns what was counted until now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.fabric.stats
    }

    /// Returns the hash of everything that happened until now.
    #[must_use]
    pub fn trace_hash(&self) -> TraceHash {
        self.fabric.trace.hash()
    }

    /// Returns where what happens is recorded, to record more there; `None` unless
    /// [`records_max`](WorldConfig::records_max) asks for records.
    #[must_use]
    pub fn recorder(&self) -> Option<&Recorder> {
        self.fabric.trace.recorder()
    }

    /// Returns what was recorded until now; nothing unless
    /// [`records_max`](WorldConfig::records_max) asks for records.
    #[must_use]
    pub fn recording(&self) -> Recording {
        self.recorder().map(Recorder::recording).unwrap_or_default()
    }

    /// Calls `listener` for everything that happens from now on.
    pub fn on_event(&mut self, listener: impl FnMut(&TraceRecord) + 'static) {
        self.fabric.trace.listen(Box::new(listener));
    }
}
