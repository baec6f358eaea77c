//! What becomes of a message that an instance has no room for.
//!
//! ```text
//!   bounce   it is refused: its sender hears which limit that was
//!   queue    it waits in what room the node has, beyond the instance's own; then it is refused
//!   spill    another node that runs the component gets it, and its answer comes back the same way; or it is refused
//!   drop     a cast is gone, and counted; a call is refused
//! ```
//!
//! A call that is spilled is a call of this node from then on, whose answer is passed on ([`Answer::Passed`]). A cast
//! stays in this node's ledger until the other one has settled it, and only then is it settled here: if either node
//! dies its sender hears of that. A message carries how often it was passed on, and at which distances. It is not spilled
//! twice at one, and never to where it came from: from machine to machine once, and once on each machine at most.

use std::collections::BTreeMap;
use std::fmt;

use monofil_proto::wire::Kind;

use super::spill::{Spill, Target, choose};
use crate::calls::{Answer, Destination, Origin, OutgoingCall, Served};
use crate::core::{Core, Timer};
use crate::counters::Counter;
use crate::envelope::Envelope;
use crate::parcel::Parcel;
use crate::{CallError, ComponentKind, Distance, Horizon, Limit, Name};

/// Returns the bit of [`Envelope::spilled`] that says that it was spilled at a distance.
const fn bit(distance: Distance) -> u8 {
    1 << distance as u8
}

/// What becomes of a message that an instance has no room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// It is refused, and its sender hears of it.
    #[default]
    Bounce,
    /// It waits beyond the instance's own limit, as long as the node has room; then it is refused.
    Queue,
    /// Another node that runs the component gets it, if that may have several instances: a growing share from nine
    /// tenths of a limit on, or while messages stand in the queue for too long, and everything that has no room. The
    /// nearest is chosen; the share goes only to who is less full by ten points at least. Where nobody is known to have
    /// room it is refused. So are calls that are answered with a stream, messages with a key, and all of a component of
    /// which there is to be one.
    Spill,
    /// A cast is gone, and counted. A call is refused.
    Drop,
}

impl Overflow {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Bounce, Self::Queue, Self::Spill, Self::Drop];

    /// Returns its name, as it is set.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bounce => "bounce",
            Self::Queue => "queue",
            Self::Spill => "spill",
            Self::Drop => "drop",
        }
    }

    /// Finds the policy with a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }
}

impl fmt::Display for Overflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who says what becomes of it: the flow, or else the component ([`InstanceLimits`](crate::InstanceLimits)), or else
/// the app, or else the network. If nobody does, it bounces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OverflowConfig {
    /// In this network.
    pub network: Option<Overflow>,
    /// In this app.
    pub app: Option<Overflow>,
    /// In these flows.
    pub flows: BTreeMap<Name, Overflow>,
}

impl OverflowConfig {
    fn of(&self, flow: &Name, component: Option<Overflow>) -> Overflow {
        let of_flow = match flow.is_empty() {
            true => None,
            false => self.flows.get(flow).copied(),
        };
        let said = of_flow.or(component).or(self.app).or(self.network);
        said.unwrap_or_default()
    }

    /// Makes what an instance needs if anything of it may be spilled.
    pub(crate) fn spill(&self, component: Option<Overflow>) -> Option<Box<Spill>> {
        self.may_be(Overflow::Spill, component)
            .then(|| Box::new(Spill::new()))
    }

    /// Tells whether this is what becomes of a component's messages, or of those of some flow.
    pub(crate) fn may_be(&self, policy: Overflow, component: Option<Overflow>) -> bool {
        let of_flow = self.flows.values().any(|it| *it == policy);
        of_flow || self.of(&Name::empty(), component) == policy
    }
}

impl Core {
    fn overflow_of(&self, index: usize, flow: &Name) -> Overflow {
        self.capacity
            .overflow
            .of(flow, self.instances[index].definition.limits.overflow)
    }

    /// Spills a message that there may be room for, if it is one of the share that goes elsewhere. Returns it if not.
    #[cold]
    pub(crate) fn spill_early(
        &mut self,
        index: usize,
        envelope: Parcel,
    ) -> Result<Result<(), CallError>, Parcel> {
        let now = self.now;
        let instance = &mut self.instances[index];
        let part = instance.guard.part(now, instance.occupancy());
        let goes = (instance.spill.as_mut()).is_some_and(|spill| spill.goes(now, part));
        if !goes || self.overflow_of(index, &envelope.heading().flow) != Overflow::Spill {
            return Err(envelope);
        }
        match self.spill_target(index, &envelope, Some(part)) {
            Ok(target) => Ok(self.pass_on(target, envelope)),
            Err(_) => Err(envelope),
        }
    }

    /// Does with a message that has no room what its flow, component, app or network says.
    #[cold]
    pub(crate) fn overflow(
        &mut self,
        index: usize,
        envelope: Parcel,
        error: CallError,
    ) -> Result<(), CallError> {
        let policy = match &error {
            CallError::Rejected(_) => self.overflow_of(index, &envelope.heading().flow),
            _ => Overflow::Bounce,
        };
        let error = match policy {
            Overflow::Queue => {
                let bytes = envelope.payload.len();
                match self.check_room(index, &envelope.heading().flow, bytes, true) {
                    Ok(()) => {
                        self.enqueue(index, envelope);
                        return Ok(());
                    }
                    Err(error) => error,
                }
            }
            Overflow::Spill => match self.spill_target(index, &envelope, None) {
                Ok(target) => return self.pass_on(target, envelope),
                Err(Stays::BeyondHorizon) if envelope.kind != Kind::Call => {
                    self.drop_cast(&envelope, Counter::CastsBeyondHorizon);
                    return Ok(());
                }
                Err(_) => error,
            },
            Overflow::Drop if envelope.kind != Kind::Call => {
                self.drop_cast(&envelope, Counter::Dropped);
                return Ok(());
            }
            Overflow::Drop | Overflow::Bounce => error,
        };
        self.instances[index].rejected += 1;
        Err(error)
    }

    /// A cast is gone, and nobody hears of it.
    fn drop_cast(&mut self, envelope: &Envelope, counter: Counter) {
        self.counters.add(counter);
        if let Origin::Remote { link, sequence, .. } = envelope.origin {
            self.settle_cast(link, sequence);
        }
    }

    /// Finds a node that may take a message, within all horizons that were set where it has been and here. `own`: how
    /// full the instance is, if it could keep it.
    fn spill_target(
        &mut self,
        index: usize,
        envelope: &Envelope,
        own: Option<u64>,
    ) -> Result<Target, Stays> {
        let streams = envelope.kind == Kind::Call && envelope.credit > 0;
        if streams || self.calls.len() >= self.calls_max() {
            return Err(Stays::Here);
        }
        let from = match envelope.origin {
            Origin::Remote { link, .. } => Some(link.peer),
            Origin::LocalCall { .. } | Origin::LocalCast { .. } => None,
        };
        let elsewhere_too = match self.instances[index].definition.kind {
            ComponentKind::Stateless => true,
            // Nobody else has what belongs to the key.
            ComponentKind::Keyed => envelope.key().is_empty(),
            // There is to be one at work, wherever else it is kept in readiness.
            ComponentKind::Single => false,
        };
        if !elsewhere_too {
            return Err(Stays::Here);
        }
        let own_limit = self.instances[index].guard.get(Limit::QueueMessages);
        let mut targets = self.spill_targets(envelope, own_limit);
        targets.retain(|it| {
            let peer = self.peers.get(it.peer);
            // Whoever numbers nothing does not say what became of a cast.
            let tells = peer.is_some_and(|peer| !peer.link.is_unnumbered());
            Some(it.peer) != from && tells && envelope.spilled & bit(it.distance) == 0
        });
        let Horizon { distance, bounce } = self.reach_of(envelope).horizon;
        let all = targets.len();
        targets.retain(|it| it.distance <= distance);
        let stays = match targets.len() < all && !bounce {
            true => Stays::BeyondHorizon,
            false => Stays::Here,
        };
        choose(own, targets, &mut self.random).ok_or(stays)
    }

    /// Passes a message on. What comes of it there comes of it here.
    fn pass_on(&mut self, target: Target, mut envelope: Parcel) -> Result<(), CallError> {
        let peer = target.peer;
        let reach = self.reach_of(&envelope);
        envelope.horizon = (!reach.is_endless()).then_some(reach);
        envelope.hops = envelope.hops.saturating_add(1);
        envelope.spilled |= bit(target.distance);
        self.counters.add(Counter::Spilled);
        let origin = envelope.origin;
        if envelope.kind != Kind::Call {
            if let Origin::Remote { .. } = origin {
                envelope.id = self.fresh_id();
            }
            return self.offer(peer, envelope);
        }
        let deadline = envelope
            .deadline
            .unwrap_or(self.now + self.default_deadline);
        let heading = envelope.heading.clone();
        let heading = heading.expect("invariant: requests have one");
        let answer = Answer::Passed(Box::new(origin));
        let call = OutgoingCall::new(heading, Destination::Peer(peer), deadline, answer);
        let id = self.calls.insert(call);
        envelope.origin = Origin::LocalCall { id };
        envelope.id = id;
        if let Err(error) = self.offer(peer, envelope) {
            self.calls.remove(id);
            return Err(error);
        }
        let timer = self.timers.set(deadline, Timer::Call(id));
        if let Some(call) = self.calls.get_mut(id) {
            call.timer = Some(timer);
        }
        self.capacity.passed += 1;
        if let Some(key) = origin.served_key() {
            self.set_served(key, Some(Served::Passed(id)));
        }
        Ok(())
    }

    /// A call that was passed on has ended: so does the one it came from.
    pub(crate) fn passed_call_ended(
        &mut self,
        origin: Origin,
        result: Result<crate::Payload, CallError>,
    ) {
        self.capacity.passed -= 1;
        if let Some(key) = origin.served_key() {
            self.set_served(key, None);
        }
        self.conclude(&origin, result);
    }

    /// A call that was passed on is given up by who waits for it.
    pub(crate) fn cancel_passed(&mut self, id: u64) {
        let Some(Answer::Passed(origin)) = self.calls.get(id).map(|call| &call.answer) else {
            return;
        };
        let origin = **origin;
        self.drop_call(id);
        self.capacity.passed -= 1;
        if let Some(key) = origin.served_key() {
            self.set_served(key, None);
        }
        self.conclude(&origin, Err(CallError::Cancelled));
    }
}

/// Why a message is not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stays {
    /// It may not be, or nobody is known to have room.
    Here,
    /// Those who may have room are farther away than it may go, and then it is to be dropped.
    BeyondHorizon,
}
