//! One run.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::fmt;
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::time::Duration;

use monofil_container::{ComponentSpec, Container, ContainerConfig, Context, Name, Payload};
use monofil_inproc::{
    Fault, Latency, LinkModel, NodeKey, NodeStart, TraceHash, World, WorldConfig,
};
use monofil_transport::Instant;

use crate::gatekeeper::{Gatekeeper, Selects, is_named};
use crate::mentioned::Interfaces;
use crate::property::Properties;
use crate::service::Service;
use crate::tape::{Fixed, Tape};
use crate::task::Client;
use crate::weather::Weather;
use crate::{
    Cluster, Failure, Injection, Listening, NodeDef, Nodes, Plan, Received, ServiceTime, Task,
    guard,
};

type Action = Box<dyn FnOnce(&mut Sim)>;
type Adjust = Rc<dyn Fn(&mut ContainerConfig)>;

/// How long a task that a test waits for may take, in virtual time.
const PATIENCE: Duration = Duration::from_secs(600);

/// One run of an app in a world of its own.
///
/// Nothing happens, and no time passes, except inside the methods that say so: [`run`](Self::run),
/// [`run_for`](Self::run_for), [`run_until`](Self::run_until) and [`step`](Self::step). Virtual time jumps to
/// whatever happens next; nothing ever sleeps.
pub struct Sim {
    pub(crate) app: Name,
    pub(crate) cluster: Cluster,
    /// Nodes that were described and not started yet: each is to know of all.
    described: Vec<NodeDef>,
    adjust: Adjust,
    actions: BinaryHeap<Reverse<At>>,
    pub(crate) clients: BTreeMap<String, Client>,
    /// Nodes that only call.
    pub(crate) callers: BTreeSet<String>,
    pub(crate) seed: u64,
    pub(crate) tape: Tape,
    pub(crate) gatekeeper: Gatekeeper,
    pub(crate) service: Service,
    pub(crate) weather: Weather,
    pub(crate) interfaces: Interfaces,
    /// Names that faults may have though nothing is called so.
    pub(crate) allowed: BTreeSet<String>,
    pub(crate) properties: Properties,
    pub(crate) marks: BTreeMap<String, bool>,
    pub(crate) failure: Option<Failure>,
    /// Whether somebody else looks at what failed; otherwise whoever lets time pass panics.
    pub(crate) judged: bool,
    pub(crate) may_panic: bool,
    /// What components themselves say.
    pub(crate) listening: Listening,
    /// Clients whose work must end.
    pub(crate) work: Vec<Work>,
    /// How many actions there have been; orders those of one time.
    sequence: u64,
}

/// What a client has been given to do.
pub(crate) struct Work {
    pub(crate) client: String,
    pub(crate) is_done: Box<dyn Fn() -> bool>,
}

/// Something that is to be done at a time.
struct At {
    time: Instant,
    sequence: u64,
    action: Action,
}

impl PartialEq for At {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for At {}

impl PartialOrd for At {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for At {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.time, self.sequence).cmp(&(other.time, other.sequence))
    }
}

/// Something whose components can be simulated: an app.
pub trait Simulate {
    /// Returns its name.
    fn name(&self) -> &str;

    /// Adds its components to a run, each on a node of its own, which has the component's name.
    fn join(&self, sim: &mut Sim);
}

impl Sim {
    /// Makes a world with the components of an app, each on a node of its own.
    pub fn of(app: &impl Simulate, seed: u64) -> Self {
        let mut sim = Self::new(app.name(), seed);
        app.join(&mut sim);
        sim
    }

    /// Makes an empty world for an app's components, with a latency of one to two milliseconds. It remembers what
    /// happened last, to tell and draw it when the test fails.
    pub fn new(app: impl Into<Name>, seed: u64) -> Self {
        let link = LinkModel::with_latency(Latency::Uniform {
            min: Duration::from_millis(1),
            max: Duration::from_millis(2),
        });
        Self::with(
            app,
            WorldConfig {
                link,
                records_max: crate::farewell::RECORDS,
                ..WorldConfig::with_seed(seed)
            },
        )
    }

    /// Makes an empty world that is otherwise.
    ///
    /// If no hash table of the standard library was made on this thread before, those that components make are in an
    /// order that the seed decides. Keys of tables are drawn once for each thread: a test that makes tables should make
    /// its `Sim` first.
    pub fn with(app: impl Into<Name>, config: WorldConfig) -> Self {
        let seed = config.seed;
        guard::arm(seed);
        let listening = Listening::begin();
        let cluster = Cluster::new(config);
        let gatekeeper = Gatekeeper::new(seed, cluster.world().recorder().cloned());
        let service = Service {
            seed,
            thread: cluster.world().thread_time(),
            times: Rc::default(),
        };
        Self {
            app: app.into(),
            cluster,
            described: Vec::new(),
            adjust: Rc::new(|_| {}),
            actions: BinaryHeap::new(),
            clients: BTreeMap::new(),
            callers: BTreeSet::new(),
            seed,
            tape: Tape::new(seed, Fixed::new()),
            gatekeeper,
            service,
            weather: Weather::default(),
            interfaces: Interfaces::default(),
            allowed: BTreeSet::new(),
            properties: Properties::default(),
            marks: BTreeMap::new(),
            failure: None,
            judged: false,
            may_panic: false,
            listening,
            work: Vec::new(),
            sequence: 0,
        }
    }

    // ── What there is ────────────────────────────────────────────────────────────────────────────────

    /// Changes the configuration of each container that is described from now on.
    pub fn configure(&mut self, adjust: impl Fn(&mut ContainerConfig) + 'static) -> &mut Self {
        self.adjust = Rc::new(adjust);
        self
    }

    /// Takes handlers that panic as something that happens. Otherwise whoever lets time pass panics as well.
    pub const fn may_panic(&mut self) -> &mut Self {
        self.may_panic = true;
        self
    }

    /// Adds a component on a node of its own, which has the same name. `spec` is asked at each start of the node;
    /// the app's name is put before the component's.
    pub fn component(
        &mut self,
        name: &str,
        spec: impl Fn() -> ComponentSpec + 'static,
    ) -> &mut Self {
        self.node_with(name, vec![Rc::new(spec)])
    }

    /// Adds a node that runs several components.
    pub fn node_with(
        &mut self,
        name: &str,
        specs: Vec<Rc<dyn Fn() -> ComponentSpec>>,
    ) -> &mut Self {
        let node = self.describe(name, specs);
        self.node(node)
    }

    /// Adds a node that was described in full.
    ///
    /// # Panics
    ///
    /// When one of its components is called as a client is.
    #[track_caller]
    pub fn node(&mut self, mut node: NodeDef) -> &mut Self {
        if !node.reachable {
            self.callers.insert(node.name.clone());
        }
        for (component, ..) in node.places.iter().filter(|_| node.reachable) {
            let is_taken = self.clients.keys().any(|it| is_named(component, it));
            assert!(
                !is_taken,
                "no component can be called `{component}`: a client is"
            );
        }
        let configure = node.configure;
        let (gate, service) = (self.gatekeeper.clone(), self.service.clone());
        let interfaces = self.interfaces.clone();
        node.configure = Rc::new(move |start| {
            let mut config = configure(start);
            let app = config.app.clone();
            let timed = |spec: ComponentSpec| {
                let full = Name::from(qualified(&app, &spec.name));
                interfaces.note(&full, &spec.interfaces);
                service.slow_down(spec, full, start.incarnation)
            };
            config.components = config.components.into_iter().map(timed).collect();
            config.gate = Some(Box::new(gate.at(start.key)));
            config
        });
        self.described.push(node);
        self
    }

    fn describe(&self, name: &str, specs: Vec<Rc<dyn Fn() -> ComponentSpec>>) -> NodeDef {
        let places: Vec<_> = specs.iter().map(|spec| spec()).collect();
        let (app, adjust, node) = (self.app.clone(), self.adjust.clone(), name.to_owned());
        let configure = move |start: &NodeStart| {
            let mut config = ContainerConfig::new(&app, node.as_str());
            config.incarnation = start.incarnation;
            config.components = specs.iter().map(|spec| spec()).collect();
            adjust(&mut config);
            config
        };
        let app = &self.app;
        places
            .iter()
            .fold(NodeDef::new(name, configure), |node, spec| {
                node.place(qualified(app, &spec.name), &spec.subscriptions)
            })
    }

    /// Starts the nodes that were described and not started; each way of letting time pass does so first.
    ///
    /// # Panics
    ///
    /// When two nodes have the same name, or a name makes no endpoint.
    #[track_caller]
    pub fn start(&mut self) {
        let described = std::mem::take(&mut self.described);
        if !described.is_empty()
            && let Err(error) = self.cluster.add(described)
        {
            panic!("a node of the simulation was refused: {error}");
        }
    }

    /// Returns the node of this name.
    ///
    /// # Panics
    ///
    /// When there is none, or it is not [started](Self::start) yet.
    #[must_use]
    #[track_caller]
    pub fn key(&self, name: &str) -> NodeKey {
        let Some(key) = self.cluster.world().node(name) else {
            panic!("{}", self.missing(name))
        };
        key
    }

    /// Says why there is no node of this name, and what to do.
    fn missing(&self, name: &str) -> String {
        if self.described.iter().any(|node| node.name == name) {
            return format!(
                "the node `{name}` is not started yet: let time pass before, or call `sim.start()`"
            );
        }
        let known: Vec<_> = self.node_names().collect();
        format!(
            "there is no node `{name}` in this simulation; there are {known:?}. If it is a client: it is there from its \
             first `run` or `spawn` on, or once `sim.client({name:?})` was called"
        )
    }

    /// Returns the names of all nodes, those included that are not started yet.
    pub(crate) fn node_names(&self) -> impl Iterator<Item = &str> {
        let described = self.described.iter().map(|node| node.name.as_str());
        self.world().names().chain(described)
    }

    /// Returns the names of all nodes that there are, in the order in which they were added.
    #[must_use]
    pub fn nodes(&self) -> Nodes {
        let world = self.cluster.world();
        let (clients, members) = world
            .names()
            .map(str::to_owned)
            .partition(|name| self.callers.contains(name));
        let machines = self.cluster.machines();
        Nodes {
            members,
            clients,
            machines,
        }
    }

    // ── Work ─────────────────────────────────────────────────────────────────────────────────────────

    /// Adds a client: a node that runs what [`run`](Self::run) and [`spawn`](Self::spawn) give it. Both add the ones
    /// that are missing; this is for those that something is to happen to before. Whoever it calls sees it as `app/name`
    /// ([`Received::from`]).
    ///
    /// # Panics
    ///
    /// When a component is called the same.
    #[track_caller]
    pub fn client(&mut self, name: &str) -> &mut Self {
        if !self.clients.contains_key(name) {
            let is_taken = self.components().iter().any(|it| is_named(it, name));
            assert!(
                !is_taken,
                "no client can be called `{name}`: a component is"
            );
            let client = Client::default();
            self.clients.insert(name.to_owned(), client.clone());
            let called = name.to_owned();
            let node = self.describe(name, vec![Rc::new(move || client.spec(&called))]);
            self.node(node.client());
        }
        self
    }

    /// Runs code as a client, and lets time pass until it returns.
    ///
    /// # Panics
    ///
    /// When the code panics, or does not return within ten minutes of virtual time, and when the client still runs what it
    /// was given before.
    #[track_caller]
    pub fn run<R: 'static>(
        &mut self,
        client: &str,
        run: impl FnOnce(&mut Context) -> R + 'static,
    ) -> R {
        let task = self.spawn(client, run);
        let began = self.now();
        let limit = began + PATIENCE;
        while !task.is_done() && self.now() < limit && self.step() {}
        let Some(result) = task.take() else {
            let waited = self.now().since(began);
            panic!(
                "`{client}` has not returned after {waited:?} of virtual time; what may take longer is given to `spawn`"
            )
        };
        result
    }

    /// Runs code as a client while time passes. Each time the client's process starts anew. In an exploration the code
    /// has to return once all is healed.
    ///
    /// # Panics
    ///
    /// When the client has not returned from what it ran before.
    #[track_caller]
    pub fn spawn<R: 'static>(
        &mut self,
        client: &str,
        run: impl FnOnce(&mut Context) -> R + 'static,
    ) -> Task<R> {
        self.client(client);
        let known = self.clients[client].clone();
        assert!(
            !known.is_busy(),
            "`{client}` still runs what it was given before"
        );
        let task = known.give(client, run);
        let watched = task.clone();
        self.work.push(Work {
            client: client.to_owned(),
            is_done: Box::new(move || watched.is_done()),
        });
        let is_started = self.cluster.world().node(client).is_some();
        self.start();
        if is_started {
            self.restart(client);
        }
        task
    }

    // ── Time ─────────────────────────────────────────────────────────────────────────────────────────

    /// Says that in an exploration something has to be done once all is healed, as a client's work has.
    pub fn must_end(&mut self, what: impl Into<String>, is_done: impl Fn() -> bool + 'static) {
        self.work.push(Work {
            client: what.into(),
            is_done: Box::new(is_done),
        });
    }

    /// Returns the virtual time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.cluster.world().now()
    }

    /// Does the next thing, one event or one node's turn, and lets time pass until then. Returns false if nothing
    /// will ever happen.
    pub fn step(&mut self) -> bool {
        self.step_until(Instant::FAR_FUTURE)
    }

    /// Like [`step`](Self::step), if the next thing happens at `limit` or before.
    pub(crate) fn step_until(&mut self, limit: Instant) -> bool {
        self.start();
        if self.failure.is_some() {
            return false;
        }
        let next = self.cluster.world_mut().next_time();
        let stepped = if let Some(Reverse(first)) = self.actions.peek()
            && first.time <= limit
            && next.is_none_or(|next| first.time <= next)
            && let Some(Reverse(first)) = self.actions.pop()
        {
            self.cluster.world_mut().run_until(first.time);
            self.tape.set_now(first.time);
            (first.action)(self);
            true
        } else {
            match next {
                Some(next) if next <= limit => {
                    self.tape.set_now(next);
                    self.cluster.world_mut().step()
                }
                _ => false,
            }
        };
        if stepped {
            self.look();
        }
        stepped && self.failure.is_none()
    }

    /// Runs until `time`, which is the time then, whether anything happened or not.
    pub fn run_until(&mut self, time: Instant) {
        while self.step_until(time) {}
        if self.failure.is_none() {
            self.cluster.world_mut().run_until(time);
        }
    }

    /// Runs for a while.
    pub fn run_for(&mut self, duration: Duration) {
        self.run_until(self.now() + duration);
    }

    /// Does something when a time since the beginning has come, before the nodes that are due at that time turn.
    pub fn at(&mut self, since: Duration, action: impl FnOnce(&mut Self) + 'static) {
        self.sequence += 1;
        self.actions.push(Reverse(At {
            time: Instant::ZERO + since,
            sequence: self.sequence,
            action: Box::new(action),
        }));
    }

    // ── Faults by hand ───────────────────────────────────────────────────────────────────────────────

    /// Cuts both ways between two nodes. A client is a node from its first [`run`](Self::run) on; before that,
    /// [`client`](Self::client) makes it one.
    ///
    /// # Panics
    ///
    /// When there is no such node.
    #[track_caller]
    pub fn cut(&mut self, one: &str, other: &str) {
        let (one, other) = self.pair(one, other);
        self.cluster.world_mut().cut(one, other);
    }

    /// Heals both ways between two nodes.
    ///
    /// # Panics
    ///
    /// When there is no such node.
    #[track_caller]
    pub fn heal(&mut self, one: &str, other: &str) {
        let (one, other) = self.pair(one, other);
        self.cluster.world_mut().heal(one, other);
    }

    #[track_caller]
    fn pair(&mut self, one: &str, other: &str) -> (NodeKey, NodeKey) {
        self.start();
        (self.key(one), self.key(other))
    }

    /// Kills a node: its memory is gone, and it says nothing to anybody.
    ///
    /// # Panics
    ///
    /// When there is no such node.
    #[track_caller]
    pub fn crash(&mut self, node: &str) {
        self.fault(node, Fault::Crash);
    }

    /// Starts a node anew, with an empty memory and a higher incarnation.
    ///
    /// # Panics
    ///
    /// When there is no such node.
    #[track_caller]
    pub fn restart(&mut self, node: &str) {
        self.fault(node, Fault::Restart);
    }

    /// Stops a node from doing anything until it is resumed.
    ///
    /// # Panics
    ///
    /// When there is no such node.
    #[track_caller]
    pub fn pause(&mut self, node: &str) {
        self.fault(node, Fault::Pause);
    }

    /// Lets a paused node go on.
    ///
    /// # Panics
    ///
    /// When there is no such node.
    #[track_caller]
    pub fn resume(&mut self, node: &str) {
        self.fault(node, Fault::Resume);
    }

    #[track_caller]
    fn fault(&mut self, node: &str, fault: fn(NodeKey) -> Fault) {
        self.start();
        let key = self.key(node);
        self.cluster.world_mut().apply(fault(key));
    }

    /// Does something to messages from now on, until all heals. An exploration in none of whose runs it is done to any
    /// message fails, as with a mark that is never reached.
    ///
    /// # Panics
    ///
    /// When no component of this name is there, or no method; see [`allow_name`](Self::allow_name).
    #[track_caller]
    pub fn inject(&mut self, injection: Injection) {
        self.inject_into(injection, None);
    }

    /// Like [`inject`](Self::inject), for those messages only whose payload is selected; an error has none. Code is not
    /// part of a plan: a scenario says this where it says what there is.
    ///
    /// ```
    /// # use monofil_container::Payload;
    /// # use monofil_sim::{Injection, Sim};
    /// # use monofil_container::{Component, ComponentSpec, Context, HandlerError, Message, Reply};
    /// # struct Till;
    /// # impl Component for Till {
    /// #     fn handle(&mut self, _: &mut Context, _: Message) -> Result<Reply, HandlerError> {
    /// #         Ok(Reply::Empty)
    /// #     }
    /// # }
    /// let mut sim = Sim::new("shop", 7);
    /// sim.component("till", || ComponentSpec::new("till", || Till));
    /// // Of a generated message it would be `payload.to_protobuf::<Charge>()`.
    /// let is_dear = |payload: &Payload| payload.to_json::<u64>().is_ok_and(|cents| cents > 100_00);
    /// sim.inject_where(Injection::request("till").of_method("Charge"), is_dear);
    /// ```
    ///
    /// # Panics
    ///
    /// As `inject` does.
    #[track_caller]
    pub fn inject_where(
        &mut self,
        injection: Injection,
        selects: impl Fn(&Payload) -> bool + 'static,
    ) {
        self.inject_into(injection, Some(Box::new(selects)));
    }

    #[track_caller]
    fn inject_into(&mut self, injection: Injection, selects: Option<Selects>) {
        let written = Plan {
            messages: vec![injection.clone()],
            ..Plan::default()
        };
        self.check_names(&written);
        if self.judged {
            self.expects(&injection.to_string());
        }
        self.gatekeeper.add(injection, selects);
    }

    /// Lets all messages pass that an injection holds.
    pub fn release(&mut self) {
        self.gatekeeper.release(self.now());
    }

    /// Makes handlers take time from now on: the first of these that is meant counts.
    ///
    /// # Panics
    ///
    /// When no component of a name is there, or no method; see [`allow_name`](Self::allow_name).
    #[track_caller]
    pub fn service_times(&mut self, times: Vec<ServiceTime>) {
        let written = Plan {
            service: times,
            ..Plan::default()
        };
        self.check_names(&written);
        self.set_service_times(written.service);
    }

    pub(crate) fn set_service_times(&self, times: Vec<ServiceTime>) {
        *self.service.times.borrow_mut() = times;
    }

    // ── Drawing ──────────────────────────────────────────────────────────────────────────────────────

    /// Returns the seed.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Returns what a run draws from, for the code of clients.
    #[must_use]
    pub fn tape(&self) -> Tape {
        self.tape.clone()
    }

    /// Draws a number from a range; see [`Tape::draw`].
    ///
    /// # Panics
    ///
    /// When the range is empty.
    pub fn draw(&self, site: &str, range: RangeInclusive<u64>) -> u64 {
        self.tape.draw(site, range)
    }

    // ── Looking ──────────────────────────────────────────────────────────────────────────────────────

    /// Returns the world.
    #[must_use]
    pub const fn world(&self) -> &World {
        self.cluster.world()
    }

    /// Returns the world, to do more to it than there are methods for here.
    pub fn world_mut(&mut self) -> &mut World {
        self.start();
        self.cluster.world_mut()
    }

    /// Returns how many requests came to components until now.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.gatekeeper.count()
    }

    /// Returns the requests that came to a component, the first one first, whether they were handled or not. A run
    /// keeps the last 100,000 to all components together, and no older ones; [`requests`](Self::requests) counts all.
    ///
    /// # Panics
    ///
    /// When no node runs a component of this name.
    #[must_use]
    #[track_caller]
    pub fn received(&self, component: &str) -> Vec<Received> {
        let received = self.gatekeeper.received(component);
        if received.is_empty() {
            self.must_run(component);
        }
        received
    }

    /// Returns what is called somehow: components, and clients.
    pub(crate) fn components(&self) -> Vec<Name> {
        let described = self.described.iter().flat_map(|node| &node.places);
        let mut known = self.cluster.components();
        known.extend(described.map(|(name, ..)| name.clone()));
        known
    }

    /// Whoever waits for messages to a component that there is not would wait for ever.
    #[track_caller]
    fn must_run(&self, component: &str) {
        let known = self.components();
        let is_known = known.iter().any(|name| is_named(name, component));
        assert!(
            is_known,
            "no node of this simulation runs a component `{component}`; there are {known:?}"
        );
    }

    /// Calls a function with a node's container, if the node is up.
    ///
    /// # Panics
    ///
    /// When there is no such node.
    #[track_caller]
    pub fn container<R>(&self, node: &str, look: impl FnOnce(&Container) -> R) -> Option<R> {
        self.cluster.container(self.key(node), look)
    }

    /// Returns the hash of everything that happened until now.
    #[must_use]
    pub fn trace_hash(&self) -> TraceHash {
        self.cluster.world().trace_hash()
    }
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sim")
            .field("app", &self.app)
            .field("cluster", &self.cluster)
            .finish_non_exhaustive()
    }
}

/// Puts the app's name before a component's that has none.
fn qualified(app: &Name, component: &Name) -> String {
    match component.as_str().contains('/') {
        true => component.to_string(),
        false => format!("{app}/{component}"),
    }
}
