//! Calls pass the guards of their container, and tell them how they ended.

use monofil_proto::control::{BreakerReport, Breakers};
use monofil_transport::Instant;

use crate::core::{Core, Sender};
use crate::counters::Counter;
use crate::heading::Heading;
use crate::instance;
use crate::peers::{Peer, Peers};
use crate::resilience::{CandidateId, Cause, GuardKey, Named, Ticket};
use crate::{CallError, Name, NodeId};

impl Core {
    /// Lets a call begin unless a guard is against it.
    pub(crate) fn guard_call(
        &mut self,
        id: u64,
        sender: &Sender,
        heading: &Heading,
        deadline: Instant,
    ) -> Result<(), CallError> {
        let known = heading
            .callee()
            .filter(|key| self.resilience.is_known(*key));
        let callee = match known {
            Some(callee) => callee,
            None => {
                let Some(callee) = self.resilience.key(self.now, &heading.target) else {
                    return Ok(());
                };
                heading.set_callee(callee);
                callee
            }
        };
        let group = sender.instance.map(|index| self.instances[index].group());
        let caller = group.map_or(0, |group| group + 1);
        let key = GuardKey { callee, caller };
        let ticket = match self.resilience.admit(self.now, key, deadline) {
            Ok(ticket) => ticket,
            Err(error) => {
                self.counters.add(match error {
                    CallError::Open { .. } => Counter::CallsOpen,
                    _ => Counter::CallsThrottled,
                });
                self.note_change(key);
                return Err(error);
            }
        };
        if let Some(call) = self.calls.get_mut(id) {
            call.guarded = ticket.map(|ticket| (key, ticket));
        }
        Ok(())
    }

    /// A call is over, and will not be tried again.
    pub(crate) fn guarded_call_ended(
        &mut self,
        guarded: Option<(GuardKey, Ticket)>,
        error: Option<&CallError>,
    ) {
        let Some((key, ticket)) = guarded else {
            return;
        };
        self.try_ended(key, &ticket, error);
        if let Some((guard, _)) = self.resilience.guard(key) {
            guard.over(&ticket);
        }
    }

    /// One try of a call has ended with an error: lets it be tried again, if guard and budget are for it. `retries`:
    /// how often it was, if it pays for that.
    pub(crate) fn passes_again(
        &mut self,
        id: u64,
        deadline: Instant,
        error: &CallError,
        retries: Option<&mut u32>,
    ) -> bool {
        let most = self.resilience.retries_max();
        if retries.as_ref().is_some_and(|retries| **retries >= most) {
            return false;
        }
        let call = self.calls.get_mut(id);
        let Some((key, mut ticket)) = call.and_then(|call| call.guarded.take()) else {
            // Without a guard there is no budget.
            return retries.is_none();
        };
        self.try_ended(key, &ticket, Some(error));
        let now = self.now;
        let Some((guard, random)) = self.resilience.guard(key) else {
            return false;
        };
        if !guard.try_again(now, deadline, &mut ticket, retries.is_some(), random) {
            guard.over(&ticket);
            return false;
        }
        if let Some(retries) = retries {
            *retries += 1;
        }
        if let Some(call) = self.calls.get_mut(id) {
            call.guarded = Some((key, ticket));
        }
        true
    }

    /// One try of a call has ended.
    fn try_ended(&mut self, key: GuardKey, ticket: &Ticket, error: Option<&CallError>) {
        let now = self.now;
        let Some((guard, random)) = self.resilience.guard(key) else {
            return;
        };
        let end = guard.end(now, ticket, error);
        if let Some((candidate, cause)) = guard.tried(now, ticket, end, random) {
            self.eject(key, ticket, candidate, cause);
        }
        self.note_change(key);
    }

    /// Keeps calls from an instance that does not work, if there are enough others.
    fn eject(&mut self, key: GuardKey, ticket: &Ticket, candidate: CandidateId, cause: Cause) {
        let now = self.now;
        let component = self.resilience.name(key);
        let there = self.all_candidates(&component);
        let Some((guard, random)) = self.resilience.guard(key) else {
            return;
        };
        if guard.eject(now, ticket, (candidate, cause), &there, random) {
            let Named { name, instance, .. } =
                named(&self.peers, &self.instances, self.node, &self.name)(candidate);
            tracing::warn!(
                node = %self.name, %component, at = %name, instance, %cause,
                "calls are kept from an instance for a while"
            );
        }
    }

    fn note_change(&mut self, key: GuardKey) {
        let Some((guard, _)) = self.resilience.guard(key) else {
            return;
        };
        if let Some((state, reason)) = guard.take_news() {
            let component = self.resilience.name(key);
            tracing::warn!(node = %self.name, %component, ?state, %reason, "a circuit breaker has changed");
        }
    }

    /// Does what somebody wants of the breakers here, and says how they are.
    pub(crate) fn answer_about_breakers(&mut self, asked: &Breakers) -> BreakerReport {
        let mut callers = vec![Name::empty(); self.groups.len()];
        for instance in &self.instances {
            callers[instance.group()] = instance.name.clone();
        }
        let called = named(&self.peers, &self.instances, self.node, &self.name);
        self.resilience.answer(self.now, asked, &callers, called)
    }
}

/// Finds out what a candidate is called.
fn named(
    peers: &Peers,
    instances: &[instance::Instance],
    node: NodeId,
    name: &Name,
) -> impl Fn(CandidateId) -> Named {
    move |id| match id {
        CandidateId::Here(index) => Named {
            node: Some(node),
            name: name.clone(),
            instance: instances.get(index).map_or(0, |it| it.number),
        },
        CandidateId::There(link) => {
            let peer = peers.get(link.peer);
            let peer = peer.filter(|peer| peer.link_number == link.number);
            Named {
                node: peer.and_then(|peer| peer.node),
                name: peer.map_or_else(|| "a node that is gone".into(), Peer::place),
                instance: 0,
            }
        }
    }
}
