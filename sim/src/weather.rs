//! Faults of a plan: they come, and they go again.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::slice;
use std::time::Duration;

use monofil_inproc::{Fault, NodeKey};
use monofil_transport::record::What;

use crate::plan::ANY;
use crate::{Event, Happening, Plan, Sim, Span};

/// What is wrong just now because of a plan. Faults of one kind may overlap: what ends first ends nothing else's.
#[derive(Default)]
pub(crate) struct Weather {
    cuts: BTreeMap<(NodeKey, NodeKey), u32>,
    pauses: BTreeMap<NodeKey, u32>,
    crashes: BTreeMap<NodeKey, u32>,
    slow: BTreeMap<NodeKey, u32>,
    drifting: BTreeMap<NodeKey, u32>,
    /// Events of the plan that are not over.
    open: BTreeSet<u32>,
    /// All is healed, and no plan is followed since.
    pub(crate) calm: Rc<Cell<bool>>,
    /// How often all was healed. What a plan has for later happens only if it was not since.
    healed: u64,
    /// How many faults plans had until now: the next one's number.
    numbered: u32,
    /// When the last fault began or ended.
    pub(crate) changed: Span,
}

impl Sim {
    /// Has the faults of a plan happen, from now on and until [`heal_all`](Self::heal_all).
    ///
    /// # Panics
    ///
    /// When nothing has a name that is in the plan. A client is a node from its first [`run`](Self::run) on;
    /// [`client`](Self::client) makes it one before, and [`allow_name`](Self::allow_name) is for what comes later.
    #[track_caller]
    pub fn follow(&mut self, plan: &Plan) {
        self.start();
        self.check_names(plan);
        self.follow_as_it_is(plan);
    }

    /// Has the faults of a plan happen for which there is something.
    pub(crate) fn follow_as_it_is(&mut self, plan: &Plan) {
        self.start();
        self.weather.calm.set(false);
        self.link_up(plan);
        self.set_service_times(plan.service.clone());
        for injection in &plan.messages {
            self.gatekeeper.add(injection.clone(), None);
        }
        let now = self.now().as_nanos();
        for event in &plan.events {
            let (number, event) = (self.number(), event.clone());
            let at = Duration::from_nanos(now.saturating_add(event.at.nanos()));
            self.unless_healed(at, move |sim| sim.begin(number, &event));
        }
    }

    /// Returns the number of the next fault.
    fn number(&mut self) -> u32 {
        let number = self.weather.numbered;
        self.weather.numbered = number.saturating_add(1);
        number
    }

    /// Does something at a time, unless all is healed before.
    fn unless_healed(&mut self, at: Duration, action: impl FnOnce(&mut Self) + 'static) {
        let healed = self.weather.healed;
        self.at(at, move |sim| {
            if sim.weather.healed == healed {
                action(sim);
            }
        });
    }

    /// Has links behave as a plan says. What is otherwise one way is told as a fault; the numbers of ways come first.
    fn link_up(&mut self, plan: &Plan) {
        for way in &plan.ways {
            let number = self.number();
            self.weather.open.insert(number);
            self.note(|sim| What::FaultBegan {
                fault: number,
                name: way.to_string().into(),
                nodes: sim.numbers([&way.from, &way.to].into_iter().filter(|it| *it != ANY)),
            });
        }
        let (plan, model, machines) = (plan.clone(), plan.link.to_model(), self.cluster.machines());
        self.cluster.world_mut().set_links(move |from, to| {
            match (machines.are_one(from, to), plan.ways.is_empty()) {
                (true, _) => plan.within(from, to).to_model(),
                (false, true) => model.clone(),
                (false, false) => plan.between(from, to).to_model(),
            }
        });
    }

    /// Ends all that is wrong and starts what is down: the network is as it is in good times, and so are all nodes.
    /// Faults that were planned for later do not happen; those of a plan that is [followed](Self::follow) after it do.
    pub fn heal_all(&mut self) {
        self.start();
        self.weather.calm.set(true);
        self.gatekeeper.clear(self.now());
        self.set_service_times(Vec::new());
        self.link_up(&Plan::default());
        let world = self.cluster.world_mut();
        world.heal_everything();
        let keys: Vec<_> = world.keys().collect();
        for node in keys {
            let world = self.cluster.world_mut();
            if self.weather.pauses.contains_key(&node) || world.is_paused(node) {
                world.apply(Fault::Resume(node));
            }
            if self.weather.slow.contains_key(&node) {
                world.apply(Fault::Slow(node, Duration::ZERO));
            }
            if self.weather.drifting.contains_key(&node) {
                world.apply(Fault::Drift(node, 0));
            }
            if !world.is_up(node) && !world.has_ended(node) {
                world.apply(Fault::Restart(node));
            }
        }
        for fault in std::mem::take(&mut self.weather.open) {
            self.note(|_| What::FaultEnded { fault });
        }
        self.weather = Weather {
            calm: self.weather.calm.clone(),
            healed: self.weather.healed + 1,
            numbered: self.weather.numbered,
            changed: self.elapsed(),
            ..Weather::default()
        };
    }

    pub(crate) fn elapsed(&self) -> Span {
        Span(self.cluster.world().elapsed())
    }

    /// Returns the nodes that a name means: one, all, or none.
    pub(crate) fn find(&self, name: &str) -> Vec<NodeKey> {
        let world = self.cluster.world();
        match name {
            ANY => world.keys().collect(),
            name => world.node(name).into_iter().collect(),
        }
    }

    /// Returns the pairs of two different nodes that names mean. Nothing comes between processes of one machine.
    pub(crate) fn pairs(&self, from: &[String], to: &[String]) -> BTreeSet<(NodeKey, NodeKey)> {
        let all = |names: &[String]| -> Vec<_> {
            names.iter().flat_map(|name| self.find(name)).collect()
        };
        let (from, to) = (all(from), all(to));
        let pairs = from
            .iter()
            .flat_map(|from| to.iter().map(|to| (*from, *to)));
        pairs
            .filter(|(from, to)| from != to && !self.are_one_machine(*from, *to))
            .collect()
    }

    fn numbers<'a>(&self, names: impl IntoIterator<Item = &'a String>) -> Box<[u32]> {
        let keys = names.into_iter().flat_map(|name| self.find(name));
        keys.filter_map(|key| u32::try_from(key.index()).ok())
            .collect()
    }

    fn begin(&mut self, number: u32, event: &Event) {
        self.weather.changed = self.elapsed();
        self.note(|sim| What::FaultBegan {
            fault: number,
            name: event.what.to_string().into(),
            nodes: sim.concerned(&event.what),
        });
        self.weather.open.insert(number);
        let lasts = event.lasts.unwrap_or_default();
        if self.change(&event.what, true, lasts)
            && let Some(reached) = self.marks.get_mut(&event.to_string())
        {
            *reached = true;
        }
        let until = self.elapsed().0.saturating_add(lasts.0);
        let what = event.what.clone();
        if let Happening::Partition {
            flaps: Some(every), ..
        } = what
        {
            self.flap(&what, every, until);
        }
        self.unless_healed(until, move |sim| {
            sim.change(&what, false, lasts);
            sim.weather.changed = sim.elapsed();
            sim.weather.open.remove(&number);
            sim.note(|_| What::FaultEnded { fault: number });
        });
    }

    /// Has a partition end and begin again until it is over.
    fn flap(&mut self, what: &Happening, every: Span, until: Duration) {
        let mut at = self.elapsed().0 + every.0;
        let mut begins = false;
        // An odd number of changes would leave it open when it is over.
        let mut changes = Vec::new();
        while at < until && changes.len() < 1_000 && !every.0.is_zero() {
            changes.push((at, begins));
            begins = !begins;
            at += every.0;
        }
        if changes.len() % 2 == 1 {
            changes.pop();
        }
        for (at, begins) in changes {
            let what = what.clone();
            self.unless_healed(at, move |sim| {
                sim.change(&what, begins, Span::default());
            });
        }
    }

    fn note(&self, what: impl FnOnce(&Self) -> What) {
        if let Some(recorder) = self.cluster.world().recorder() {
            recorder.add(self.now(), what(self));
        }
    }

    fn concerned(&self, what: &Happening) -> Box<[u32]> {
        let names: Vec<&String> = match what {
            Happening::Partition { from, to, .. } => from.iter().chain(to).collect(),
            Happening::Disconnect { node, peer } | Happening::Clog { node, peer } => {
                vec![node, peer]
            }
            Happening::Crash { node, .. }
            | Happening::Pause { node }
            | Happening::Slow { node, .. }
            | Happening::Drift { node, .. }
            | Happening::StepClock { node, .. } => vec![node],
        };
        self.numbers(names)
    }

    /// Begins something, or ends it. Tells whether there is anything that it happens to.
    fn change(&mut self, what: &Happening, begins: bool, lasts: Span) -> bool {
        match what {
            Happening::Partition {
                from, to, one_way, ..
            } => {
                let mut cuts = self.pairs(from, to);
                if !one_way {
                    cuts.extend(self.pairs(to, from));
                }
                for &(from, to) in &cuts {
                    self.change_cut(from, to, begins);
                }
                !cuts.is_empty()
            }
            Happening::Disconnect { node, peer } if begins => {
                let pairs = self.pairs(slice::from_ref(node), slice::from_ref(peer));
                let mut is_broken = false;
                for &(one, other) in &pairs {
                    is_broken |= self.cluster.world_mut().are_connected(one, other);
                    self.apply(Fault::Disconnect(one, other));
                }
                is_broken
            }
            Happening::Clog { node, peer } if begins => {
                let pairs = self.pairs(slice::from_ref(node), slice::from_ref(peer));
                for &(from, to) in &pairs {
                    let duration = lasts.0;
                    self.apply(Fault::Clog { from, to, duration });
                }
                !pairs.is_empty()
            }
            Happening::Disconnect { .. } | Happening::Clog { .. } => false,
            Happening::Crash { node, .. }
            | Happening::Pause { node }
            | Happening::Slow { node, .. }
            | Happening::Drift { node, .. }
            | Happening::StepClock { node, .. } => {
                let mut nodes = self.find(node);
                if matches!(what, Happening::Crash { machine: true, .. }) {
                    nodes = self.with_neighbours(nodes);
                }
                let world = self.cluster.world();
                let is_there = nodes.iter().any(|node| !world.has_ended(*node));
                for node in nodes {
                    self.change_node(node, what, begins);
                }
                is_there
            }
        }
    }

    /// Begins something that happens to one node, or ends it.
    fn change_node(&mut self, node: NodeKey, what: &Happening, begins: bool) {
        match what {
            Happening::Crash { machine, .. } => {
                let is_over = counted(&mut self.weather.crashes, node, begins);
                let world = self.cluster.world();
                match (begins, world.is_up(node), world.has_ended(node)) {
                    (true, true, _) if *machine => self.apply(Fault::Vanish(node)),
                    (true, true, _) => self.apply(Fault::Crash(node)),
                    (false, false, false) if is_over => self.apply(Fault::Restart(node)),
                    _ => {}
                }
            }
            Happening::Pause { .. } => {
                if counted(&mut self.weather.pauses, node, begins) {
                    self.apply(match begins {
                        true => Fault::Pause(node),
                        false => Fault::Resume(node),
                    });
                }
            }
            Happening::Slow { each_turn, .. } => {
                let is_over = counted(&mut self.weather.slow, node, begins);
                match (begins, is_over) {
                    (true, _) => self.apply(Fault::Slow(node, each_turn.0)),
                    (false, true) => self.apply(Fault::Slow(node, Duration::ZERO)),
                    _ => {}
                }
            }
            Happening::Drift { ppm, .. } => {
                let is_over = counted(&mut self.weather.drifting, node, begins);
                match (begins, is_over) {
                    (true, _) => self.apply(Fault::Drift(node, *ppm)),
                    (false, true) => self.apply(Fault::Drift(node, 0)),
                    _ => {}
                }
            }
            Happening::StepClock { millis, .. } => {
                let micros = millis.saturating_mul(if begins { 1_000 } else { -1_000 });
                self.apply(Fault::StepWallClock(node, micros));
            }
            Happening::Partition { .. } | Happening::Disconnect { .. } | Happening::Clog { .. } => {
            }
        }
    }

    /// Adds to some nodes the others on their machines, but for clients: nothing happens to them but that they are cut off.
    fn with_neighbours(&self, mut nodes: Vec<NodeKey>) -> Vec<NodeKey> {
        let world = self.cluster.world();
        let is_meant = |key: &NodeKey| {
            let is_beside = nodes.iter().any(|node| self.are_one_machine(*node, *key));
            is_beside && !nodes.contains(key) && !self.callers.contains(world.name(*key))
        };
        let neighbours: Vec<_> = world.keys().filter(is_meant).collect();
        nodes.extend(neighbours);
        nodes
    }

    fn are_one_machine(&self, one: NodeKey, other: NodeKey) -> bool {
        let world = self.cluster.world();
        let machines = self.cluster.machines();
        machines.are_one(world.name(one), world.name(other))
    }

    fn apply(&mut self, fault: Fault) {
        self.cluster.world_mut().apply(fault);
    }

    fn change_cut(&mut self, from: NodeKey, to: NodeKey, begins: bool) {
        if counted(&mut self.weather.cuts, (from, to), begins) {
            self.apply(match begins {
                true => Fault::Cut { from, to },
                false => Fault::Heal { from, to },
            });
        }
    }
}

/// Counts one more or one less; tells whether it is the first, or the last.
fn counted<K: Ord>(counts: &mut BTreeMap<K, u32>, key: K, begins: bool) -> bool {
    if begins {
        let count = counts.entry(key).or_default();
        *count += 1;
        return *count == 1;
    }
    match counts.get_mut(&key) {
        Some(1) => counts.remove(&key).is_some(),
        Some(count) => {
            *count -= 1;
            false
        }
        None => false,
    }
}

impl std::fmt::Display for Event {
    /// Says what happens and when: `crash orders at 3s`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {}", self.what, self.at)
    }
}

impl std::fmt::Display for Happening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Partition {
                from,
                to,
                one_way,
                flaps,
            } => {
                let way = if *one_way { "one-way " } else { "" };
                let flapping = if flaps.is_some() { "flapping " } else { "" };
                let (from, to) = (from.join(","), to.join(","));
                write!(f, "{flapping}{way}partition {from} | {to}")
            }
            Self::Disconnect { node, peer } => write!(f, "disconnect {node} {peer}"),
            Self::Clog { node, peer } => write!(f, "clog {node} > {peer}"),
            Self::Crash {
                node,
                machine: true,
            } => write!(f, "outage {node}"),
            Self::Crash { node, .. } => write!(f, "crash {node}"),
            Self::Pause { node } => write!(f, "pause {node}"),
            Self::Slow { node, each_turn } => write!(f, "slow {node}, {each_turn} a turn"),
            Self::Drift { node, ppm } => write!(f, "drift {node}, {ppm} ppm"),
            Self::StepClock { node, millis } => write!(f, "step clock {node}, {millis} ms"),
        }
    }
}
