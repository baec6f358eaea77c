//! Capacity: what an instance, a node and a flow take at most, and how that is changed while the node runs.
//!
//! ```text
//!   a message ──▶ instance's limits, its part of the network's ──▶ node's ──▶ its flow's ──▶ queue ──▶ time in it ──▶ handler
//!                      └──────────── refused: limit, value, observed, where, retry after ─────────────────┘
//! ```
//!
//! [`guard`] has the limits of one of them and what is observed against them, with [`rate`] and [`delay`] as its
//! instruments; [`changes`] remembers who changed what, and until when. All of these are values that are told the time.
//! What is here asks them at the two places where a message enters and leaves a queue, and carries changes out.

mod changes;
mod control;
mod delay;
mod flows;
mod guard;
mod limit;
mod network;
mod overflow;
mod rate;
mod share;
mod spill;
mod turnover;

use std::collections::BTreeMap;
use std::time::Duration;

use monofil_transport::Instant;

use self::changes::{Changes, Note};
use self::flows::{FLOWS_MAX, Flows};
pub(crate) use self::guard::{Guard, Load, Refusal};
use self::limit::UNLIMITED;
pub use self::limit::{
    GroupLimits, Limit, LimitChange, LimitChanged, LimitError, LimitInfo, LimitScope, LimitValue,
};
pub use self::overflow::{Overflow, OverflowConfig};
pub(crate) use self::share::Share;
pub(crate) use self::spill::{Spill, Target, may_take, part_of};
pub(crate) use self::turnover::{Turnover, Turnovers};
use crate::core::{Core, Purpose, Timer};
use crate::counters::Counter;
use crate::error::Rejection;
use crate::instance::Instance;
use crate::timers::TimerKey;
use crate::{CallError, Name, NodeLimits};

/// Who has limits: an instance by its place, the node, a flow by its name; an instance and all others of its component
/// in the network together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Holder {
    Instance(usize),
    Network(usize),
    Node,
    Flow(Name),
}

/// What a container keeps of this. Its instances have their own guards.
#[derive(Debug)]
pub(crate) struct Capacity {
    node: Guard,
    pub(crate) flows: Flows,
    overflow: OverflowConfig,
    /// Calls that were passed on and have no answer yet.
    passed: usize,
    changes: Changes<(Holder, Limit)>,
    timer: Option<(Instant, TimerKey)>,
}

impl Capacity {
    pub(crate) fn new(
        limits: &NodeLimits,
        flows: BTreeMap<Name, GroupLimits>,
        overflow: OverflowConfig,
    ) -> Self {
        Self {
            overflow,
            passed: 0,
            node: Guard::new(|limit| limit.of_node(limits)),
            flows: Flows::new(flows),
            changes: Changes::default(),
            timer: None,
        }
    }
}

impl Capacity {
    /// Makes what an instance needs to send some of what comes to it elsewhere, if that may be.
    pub(crate) fn spill(&self, component: Option<Overflow>) -> Option<Box<Spill>> {
        self.overflow.spill(component)
    }

    /// Tells whether messages for a component may wait beyond the limits of its queue.
    pub(crate) fn may_queue(&self, component: Option<Overflow>) -> bool {
        self.overflow.may_be(Overflow::Queue, component)
    }

    /// Tells whether calls that were passed on have no answer yet.
    pub(crate) const fn has_passed(&self) -> bool {
        self.passed > 0
    }
}

impl Core {
    /// Admits a message to an instance's queue, or says which limit it is over. `beyond` the limits of that queue there
    /// is still the room of the node.
    pub(crate) fn check_room(
        &mut self,
        index: usize,
        flow: &Name,
        bytes: usize,
        beyond: bool,
    ) -> Result<(), CallError> {
        let (now, bytes) = (self.now, bytes as u64);
        let instance = &self.instances[index];
        instance.check_state(now)?;
        let load = instance.occupancy();
        let own = match beyond {
            true => Load {
                in_flight: load.in_flight,
                ..Load::default()
            },
            false => load,
        };
        if let Err(refusal) = instance.guard.check(now, own, bytes) {
            return Err(refused(&refusal, "instance", &instance.name, instance, now));
        }
        if instance.share.is_some() {
            self.check_share(index, load, bytes)?;
        }
        let instance = &self.instances[index];
        let load = self.node_load_for(instance);
        if let Err(refusal) = self.capacity.node.check(now, load, bytes) {
            return Err(refused(&refusal, "node", &self.name, instance, now));
        }
        if let Some(limited) = self.capacity.flows.get_mut(flow) {
            if let Err(refusal) = limited.guard.check(now, limited.load(), bytes) {
                return Err(refused(&refusal, "flow", flow, instance, now));
            }
            limited.guard.admitted(now, bytes);
        }
        let instance = &mut self.instances[index];
        instance.guard.admitted(now, bytes);
        if let Some(share) = &mut instance.share {
            share.admitted(now, bytes);
        }
        self.capacity.node.admitted(now, bytes);
        Ok(())
    }

    /// Says why an instance would refuse a message, however short, if it would.
    pub(crate) fn refuses(&self, index: usize) -> Option<Rejection> {
        let now = self.now;
        let instance = &self.instances[index];
        let load = instance.occupancy();
        let of_instance = || {
            let refusal = instance.guard.check(now, load, 0).err()?;
            Some(refused(&refusal, "instance", &instance.name, instance, now))
        };
        let of_share = || {
            let refusal = instance.share.as_ref()?.refuses(now, load)?;
            Some(refused(&refusal, "network", &instance.name, instance, now))
        };
        let of_node = || {
            let load = self.node_load_for(instance);
            let refusal = self.capacity.node.check(now, load, 0).err()?;
            Some(refused(&refusal, "node", &self.name, instance, now))
        };
        let error = instance.check_state(now).err();
        let error = error.or_else(of_instance).or_else(of_share);
        match error.or_else(of_node)? {
            CallError::Rejected(rejection) => Some(*rejection),
            _ => None,
        }
    }

    /// Tells whether an instance would turn a message away, however short.
    pub(crate) fn is_full(&self, instance: &Instance) -> bool {
        let of_node = || {
            let load = self.node_load_for(instance);
            self.capacity.node.check(self.now, load, 0).is_err()
        };
        instance.is_full(self.now) || of_node()
    }

    /// Returns what the node holds, as far as an instance has to share its room: for one within its guarantee it is empty.
    fn node_load_for(&self, instance: &Instance) -> Load {
        match instance.queue.len() < self.limits.guaranteed_messages {
            true => Load::default(),
            false => self.node_load(),
        }
    }

    /// Finds the limit because of which an instance takes nothing.
    pub(crate) fn closed_by(&self, instance: &Instance) -> Option<(&'static str, Limit)> {
        let share = |limit| (instance.share.as_ref()).is_some_and(|it| it.whole(limit) == 0);
        let queues = self.capacity.may_queue(instance.definition.limits.overflow);
        let mut closing = Limit::ALL.into_iter().filter(|it| it.closes());
        closing.find_map(|limit| {
            let is_own = !(queues && limit == Limit::QueueMessages);
            let scope = if is_own && instance.guard.get(limit) == 0 {
                "instance"
            } else if share(limit) {
                "network"
            } else if self.capacity.node.get(limit) == 0 {
                "node"
            } else {
                return None;
            };
            Some((scope, limit))
        })
    }

    /// Tells whether a message that comes out of an instance's queue has been there for too long.
    #[inline]
    pub(crate) fn check_delay(&mut self, index: usize, since: Instant) -> Option<CallError> {
        let now = self.now;
        let instance = &mut self.instances[index];
        let refusal = instance.guard.dequeued(now, since)?;
        Some(refused(&refusal, "instance", &instance.name, instance, now))
    }

    // ── Changes ──────────────────────────────────────────────────────────────────────────────────────

    /// Changes a limit, of each instance if it is a component's, and returns what there is now.
    pub(crate) fn set_limit(&mut self, change: LimitChange) -> Result<Vec<LimitInfo>, LimitError> {
        let LimitChange {
            scope,
            limit,
            value,
            lasts,
            author,
        } = change;
        if author.is_empty() {
            return Err(LimitError::NoAuthor);
        }
        check_value(&scope, limit, value)?;
        let holders = self.holders(&scope)?;
        self.change_all(&holders, limit, value, lasts, author);
        Ok(holders
            .iter()
            .map(|it| self.limit_info(it, limit))
            .collect())
    }

    /// Changes a limit of one instance, on its own behalf.
    pub(crate) fn set_own_limit(
        &mut self,
        index: usize,
        limit: Limit,
        value: LimitValue,
        lasts: Option<Duration>,
    ) -> Result<(), LimitError> {
        let name = self.instances[index].name.clone();
        check_value(&LimitScope::Component(name.clone()), limit, value)?;
        self.change_all(&[Holder::Instance(index)], limit, value, lasts, name);
        Ok(())
    }

    fn change_all(
        &mut self,
        holders: &[Holder],
        limit: Limit,
        value: LimitValue,
        lasts: Option<Duration>,
        author: Name,
    ) {
        let note = Note {
            value: match value {
                LimitValue::At(value) => Some(value),
                LimitValue::Unlimited => Some(UNLIMITED),
                LimitValue::Configured => None,
            },
            until: lasts.map(|lasts| self.now + lasts),
            author: author.clipped(),
            at_micros: self.wall_micros,
        };
        let epoch = self.capacity.changes.begin();
        for holder in holders {
            let configured = self.configured(holder, limit);
            let key = (holder.clone(), limit);
            let value = self.capacity.changes.set(key, configured, note.clone());
            self.apply(holder, limit, value);
        }
        let scope = holders.first().map(|holder| self.scope(holder).0);
        tracing::info!(
            node = %self.name, ?scope, %limit, ?value, ?lasts, author = %note.author, epoch,
            "a limit was changed"
        );
        self.watch_changes();
    }

    /// Finds who is meant.
    fn holders(&mut self, scope: &LimitScope) -> Result<Vec<Holder>, LimitError> {
        match scope {
            LimitScope::Node => Ok(vec![Holder::Node]),
            LimitScope::Component(name) => {
                let component = self.qualified(name);
                let instances = self.instances_of(&component);
                if instances.is_empty() {
                    let node = self.name.clone();
                    return Err(LimitError::NoComponent { node, component });
                }
                Ok(instances.iter().copied().map(Holder::Instance).collect())
            }
            LimitScope::Network(name) => {
                let all = self.holders(&LimitScope::Component(name.clone()))?;
                let shared = |holder| match holder {
                    Holder::Instance(index) => Holder::Network(index),
                    other => other,
                };
                Ok(all.into_iter().map(shared).collect())
            }
            LimitScope::Flow(name) => {
                if name.is_empty() || name.as_str().len() > Name::BYTES_MAX {
                    return Err(LimitError::BadFlow);
                }
                if self.capacity.flows.get(name).is_none() {
                    if self.capacity.flows.len() >= FLOWS_MAX {
                        return Err(LimitError::TooManyFlows(FLOWS_MAX));
                    }
                    let there = self.count_flow(name);
                    self.capacity.flows.begin(name.clone(), there);
                }
                Ok(vec![Holder::Flow(name.clone())])
            }
        }
    }

    /// Counts what is there of a flow: messages queued, their bytes, handlers under way.
    fn count_flow(&self, flow: &Name) -> (u64, u64, u64) {
        let queues = self.instances.iter().flat_map(|it| &it.queue);
        let of_it = queues.filter(|it| it.is_request() && it.heading().flow == *flow);
        let (queued, bytes) = of_it.fold((0, 0), |(count, bytes), message| {
            (count + 1, bytes + message.payload.len() as u64)
        });
        let handled = self
            .under_way()
            .filter(|it| it.purpose == Purpose::Handle && it.sender.flow == *flow);
        (queued, bytes, handled.count() as u64)
    }

    fn apply(&mut self, holder: &Holder, limit: Limit, value: u64) {
        let now = self.now;
        match holder {
            Holder::Instance(index) => self.instances[*index].guard.set(now, limit, value),
            Holder::Network(index) => self.set_share(*index, limit, value),
            Holder::Node => self.capacity.node.set(now, limit, value),
            Holder::Flow(name) => {
                let Capacity { flows, changes, .. } = &mut self.capacity;
                if let Some(flow) = flows.get_mut(name) {
                    flow.guard.set(now, limit, value);
                }
                let key = |limit| (Holder::Flow(name.clone()), limit);
                if Limit::ALL
                    .into_iter()
                    .all(|limit| changes.is_undone(&key(limit)))
                {
                    flows.end(name);
                    Limit::ALL
                        .into_iter()
                        .for_each(|limit| changes.forget(&key(limit)));
                }
            }
        }
    }

    /// Sees to it that what was changed for a while ends in time.
    fn watch_changes(&mut self) {
        if let Some(at) = self.capacity.changes.next_deadline() {
            self.timers
                .hasten(&mut self.capacity.timer, at, Timer::Limits);
        }
    }

    /// Changes that were to last until now are over.
    pub(crate) fn limits_due(&mut self) {
        self.capacity.timer = None;
        for ((holder, limit), value) in self.capacity.changes.expire(self.now, self.wall_micros) {
            self.apply(&holder, limit, value);
            let scope = self.scope(&holder).0;
            tracing::info!(node = %self.name, ?scope, %limit, value, "a limit is what it was before");
        }
        self.watch_changes();
    }

    fn configured(&self, holder: &Holder, limit: Limit) -> u64 {
        match holder {
            Holder::Instance(index) => limit.of_instance(&self.instances[*index].definition.limits),
            Holder::Network(index) => {
                limit.of_group(&self.instances[*index].definition.limits.network)
            }
            Holder::Node => limit.of_node(&self.limits),
            Holder::Flow(name) => {
                let flow = self.capacity.flows.get(name);
                let limits = flow.map(flows::Flow::configured).unwrap_or_default();
                limit.of_group(&limits)
            }
        }
    }

    // ── Looking ──────────────────────────────────────────────────────────────────────────────────────

    /// Returns every limit there may be, as it is.
    pub(crate) fn limits(&self) -> Vec<LimitInfo> {
        let instances = (0..self.instances.len()).map(Holder::Instance);
        let has_share = |index: &usize| self.instances[*index].share.is_some();
        let shares = (0..self.instances.len()).filter(has_share);
        let flows = self.capacity.flows.iter();
        let flows = flows.map(|(name, _)| Holder::Flow(name.clone()));
        let holders = std::iter::once(Holder::Node).chain(instances);
        let holders = holders.chain(shares.map(Holder::Network)).chain(flows);
        holders.flat_map(|holder| self.limits_of(&holder)).collect()
    }

    /// The same of one instance.
    pub(crate) fn limits_of_instance(&self, index: usize) -> Vec<LimitInfo> {
        self.limits_of(&Holder::Instance(index))
    }

    fn limits_of(&self, holder: &Holder) -> Vec<LimitInfo> {
        let has =
            |limit: &Limit| *limit != Limit::QueueTime || matches!(holder, Holder::Instance(_));
        let all = Limit::ALL.into_iter().filter(has);
        all.map(|limit| self.limit_info(holder, limit)).collect()
    }

    fn scope(&self, holder: &Holder) -> (LimitScope, u32) {
        match holder {
            Holder::Instance(index) => {
                let instance = &self.instances[*index];
                (
                    LimitScope::Component(instance.name.clone()),
                    instance.number,
                )
            }
            Holder::Network(index) => {
                let instance = &self.instances[*index];
                (LimitScope::Network(instance.name.clone()), instance.number)
            }
            Holder::Node => (LimitScope::Node, 0),
            Holder::Flow(name) => (LimitScope::Flow(name.clone()), 0),
        }
    }

    fn limit_info(&self, holder: &Holder, limit: Limit) -> LimitInfo {
        let flow = |name| self.capacity.flows.get(name);
        let (value, load) = match holder {
            Holder::Instance(index) => {
                let instance = &self.instances[*index];
                (instance.guard.get(limit), instance.occupancy())
            }
            Holder::Network(index) => {
                let instance = &self.instances[*index];
                let whole = instance.share.as_ref().map(|share| share.whole(limit));
                (whole.unwrap_or(UNLIMITED), instance.occupancy())
            }
            Holder::Node => (self.capacity.node.get(limit), self.node_load()),
            Holder::Flow(name) => (
                flow(name).map_or(UNLIMITED, |it| it.guard.get(limit)),
                flow(name).map_or_else(Load::default, flows::Flow::load),
            ),
        };
        let (scope, instance) = self.scope(holder);
        let some = |value: u64| (value != UNLIMITED).then_some(value);
        LimitInfo {
            scope,
            instance,
            limit,
            value: some(value),
            configured: some(self.configured(holder, limit)),
            observed: match limit {
                Limit::QueueMessages => load.messages,
                Limit::QueueBytes => load.bytes,
                Limit::InFlight => load.in_flight,
                Limit::QueueTime => self.oldest_micros(holder),
                Limit::RateMessages | Limit::RateBytes => 0,
            },
            change: self
                .capacity
                .changes
                .last(&(holder.clone(), limit), self.now),
        }
    }

    fn node_load(&self) -> Load {
        Load {
            messages: self.queued_messages as u64,
            bytes: self.queued_bytes as u64,
            in_flight: (self.queued_messages + self.handlers_under_way()) as u64,
        }
    }

    /// Returns how long the first in an instance's queue has waited, in microseconds.
    fn oldest_micros(&self, holder: &Holder) -> u64 {
        let Holder::Instance(index) = holder else {
            return 0;
        };
        let mut messages = self.instances[*index].queue.iter();
        let first = messages.find(|record| record.is_request());
        first.map_or(0, |first| {
            crate::error::micros(self.now.since(first.queued_at))
        })
    }
}

impl Instance {
    /// Returns how much of what is limited it has.
    #[inline]
    pub(crate) fn occupancy(&self) -> Load {
        let messages = self.queue.len() as u64 - u64::from(self.returned);
        Load {
            messages,
            bytes: self.queued_bytes as u64,
            in_flight: messages + u64::from(self.is_busy()),
        }
    }
}

/// Refuses a value that a limit cannot have.
fn check_value(scope: &LimitScope, limit: Limit, value: LimitValue) -> Result<(), LimitError> {
    let is_queue = matches!(limit, Limit::QueueMessages | Limit::QueueBytes);
    if limit == Limit::QueueTime && !matches!(scope, LimitScope::Component(_)) {
        return Err(LimitError::OnlyOfComponents);
    }
    // What is there of a flow, or of all in the network, is within what the instances take.
    let is_of_one = matches!(scope, LimitScope::Component(_) | LimitScope::Node);
    if is_queue && value == LimitValue::Unlimited && is_of_one {
        return Err(LimitError::AlwaysLimited(limit));
    }
    Ok(())
}

/// Says to whoever sent a message why it was refused.
#[cold]
fn refused(
    refusal: &Refusal,
    scope: &str,
    place: &Name,
    instance: &Instance,
    now: Instant,
) -> CallError {
    let guess = || match refusal.is_for_good() {
        true => Instance::RETRY_MOST,
        false => instance.retry_after(now),
    };
    let exact = |it: Duration| it.clamp(Instance::RETRY_LEAST, Instance::RETRY_MOST);
    CallError::Rejected(Box::new(Rejection {
        limit: format!("{scope}.{}", refusal.limit).into(),
        value: refusal.value,
        observed: refusal.observed,
        place: place.clone(),
        retry_after: Some(refusal.retry_after.map_or_else(guess, exact)),
    }))
}

/// What is refused because a table of the node is full.
impl Core {
    #[cold]
    pub(crate) fn too_many_calls(&mut self) -> CallError {
        // The one that is refused is there already, and ends as others do.
        let of = (self.calls_max() as u64, self.calls.len() as u64 - 1);
        let ended = [Counter::CallsReplied, Counter::CallsFailed];
        let ended: u64 = ended.iter().map(|it| self.counters.get(*it)).sum();
        let turnover = &mut self.turnovers.calls;
        let after = turnover.refuses(self.now, ended.saturating_sub(turnover.refused()));
        CallError::rejected("node.calls", of, &self.name, after)
    }

    #[cold]
    pub(crate) fn too_many_streams(&mut self) -> CallError {
        let of = (self.limits.streams as u64, self.streams.len() as u64);
        let gone = self.turnovers.streams_begun - of.1;
        let after = self.turnovers.streams.refuses(self.now, gone);
        CallError::rejected("node.streams", of, &self.name, after)
    }

    #[cold]
    pub(crate) fn too_many_delayed(&mut self) -> CallError {
        let of = (self.limits.delayed as u64, self.delayed as u64);
        let gone = self.turnovers.delayed_begun - of.1;
        let after = self.turnovers.delayed.refuses(self.now, gone);
        CallError::rejected("node.delayed", of, &self.name, after)
    }

    #[cold]
    pub(crate) fn too_many_jobs(&mut self, limit: u64) -> CallError {
        // As with calls: those that are refused are counted as well.
        let counted = self.counters.get(Counter::BlockingJobs);
        let turnover = &mut self.turnovers.jobs;
        let there = self.job_owners.len() as u64 + turnover.refused();
        let after = turnover.refuses(self.now, counted.saturating_sub(there));
        CallError::rejected("node.blocking_jobs", (limit, limit), &self.name, after)
    }

    #[cold]
    pub(crate) fn too_few_stacks(&mut self, used: u64) -> CallError {
        let begun = self.counters.get(Counter::HandlersStarted);
        let gone = begun.saturating_sub(self.handlers_under_way() as u64);
        let after = self.turnovers.stacks.refuses(self.now, gone);
        CallError::rejected("node.stacks", (used, used), &self.name, after)
    }
}
