//! From a request to the place it goes to, and to another one when that does not take it.

use monofil_proto::wire::Kind;

use crate::calls::{Destination, Origin};
use crate::core::Core;
use crate::counters::Counter;
use crate::envelope::Envelope;
use crate::instance::Instance;
use crate::parcel::Parcel;
use crate::resilience::{CandidateId, GuardKey, is_of_callee};
use crate::routing::{Choice, Distance, Reach, Sought, Standing, Where};
use crate::{CallError, ComponentKind, Horizon, Name, Rejection};

/// Places where one call is tried at most.
const TRIED_MAX: usize = 16;

/// What it takes to try a call again.
#[derive(Debug)]
pub(crate) struct Again {
    envelope: Parcel,
    /// Where it has been.
    tried: Vec<CandidateId>,
    /// How often it was tried after the first time, by a place that may have run it or had no room.
    retries: u32,
}

impl Core {
    /// Gives a request to an instance here, or to a node that runs one.
    pub(crate) fn route(&mut self, mut envelope: Parcel) -> Result<Destination, CallError> {
        if let Some(group) = envelope.heading().group().flatten()
            && self.is_only_here(group)
        {
            let index = self.choose_instance(group, &envelope)?;
            self.deliver_to(index, envelope)?;
            return Ok(Destination::Local);
        }
        if let Some(peer) = self.sole(&envelope) {
            if let (Origin::LocalCall { id }, true) = (envelope.origin, envelope.idempotent) {
                let place = Where::Peer(peer);
                self.keep_for_again(id, &envelope, false, place);
            }
            self.offer(peer, envelope)?;
            return Ok(Destination::Peer(peer));
        }
        let guard = self.guard_key(&envelope);
        let sought = Sought::of(&envelope, guard);
        let reach = self.reach_of(&envelope);
        let choice = self.choose(&sought, envelope.key(), reach.horizon.distance);
        envelope.horizon = (!reach.is_endless()).then_some(reach);
        let (place, standing, several) = match choice {
            Choice::Goes {
                place,
                standing,
                one_of_several,
            } => (place, standing, one_of_several),
            Choice::TooFar(nearest) => {
                return self.beyond_horizon(&envelope, reach, nearest);
            }
            Choice::Draining if self.membership.is_none() => {
                return Err(CallError::Draining(envelope.heading().target.clone()));
            }
            Choice::Draining | Choice::Nobody => {
                let peer = self.whoever_comes(&envelope.heading().target, reach)?;
                (Where::Peer(peer), Standing::Away, false)
            }
        };
        if let Origin::LocalCall { id } = envelope.origin {
            self.keep_for_again(id, &envelope, several, place);
        }
        self.send_to(place, standing, envelope)
    }

    /// A component of which there should be one goes nowhere else when it runs here.
    fn is_only_here(&self, group: usize) -> bool {
        let first = self.groups[group].first();
        first.is_some_and(|index| self.instances[*index].definition.kind == ComponentKind::Single)
    }

    fn send_to(
        &mut self,
        place: Where,
        standing: Standing,
        envelope: Parcel,
    ) -> Result<Destination, CallError> {
        let peer = match place {
            Where::Here(_) if standing == Standing::Waits => return Err(self.cycle(&envelope)),
            Where::Here(index) => {
                self.deliver_to(index, envelope)?;
                return Ok(Destination::Local);
            }
            Where::Peer(peer) => peer,
            Where::Gone => {
                return Err(CallError::Unreachable(format!(
                    "`{}` is gone",
                    envelope.heading().target
                )));
            }
            Where::Member(index) => {
                let places = self.places(&envelope.heading().target);
                let reached = places.get(index).and_then(|place| self.reach(place));
                reached.ok_or_else(|| self.too_many_peers())?
            }
        };
        self.offer(peer, envelope)?;
        Ok(Destination::Peer(peer))
    }

    pub(crate) fn too_many_peers(&self) -> CallError {
        let of = (self.limits.peers as u64, self.peers.len() as u64);
        // Those who are gone are forgotten rarely.
        CallError::rejected("node.peers", of, &self.name, Instance::RETRY_MOST)
    }

    /// Lets a request wait for whoever will run its target, where nodes find each other; says why not, otherwise.
    fn whoever_comes(&mut self, target: &Name, reach: Reach) -> Result<usize, CallError> {
        if reach.horizon.distance == Distance::Process {
            return Err(too_far(target, reach, None));
        }
        if self.membership.is_some() {
            return self.seek(target);
        }
        let endpoints = self.directory.locate(target.as_str());
        if let Some(first) = endpoints.first() {
            let first = first.as_str();
            return Err(CallError::Unreachable(format!(
                "`{target}` is at {first}, which this node cannot connect to"
            )));
        }
        let known = self.directory.components();
        let known: Vec<_> = known.iter().map(Name::as_str).collect();
        let known = if known.is_empty() {
            "none".to_owned()
        } else {
            known.join(", ")
        };
        Err(CallError::Unreachable(format!(
            "no node is known to run `{target}`; known are: {known}"
        )))
    }

    /// Returns how far a request may travel.
    pub(crate) fn reach_of(&self, envelope: &Envelope) -> Reach {
        let heading = envelope.heading();
        if self.routing.is_endless {
            let endless = Reach::own(Horizon::default());
            return envelope.horizon.unwrap_or(endless);
        }
        let target = heading.target.as_str();
        let app = target.split_once('/').map_or("", |(app, _)| app);
        let own = app == self.app.as_str();
        let horizons = &self.routing.horizons;
        horizons.of(envelope.horizon, &heading.target, &heading.flow, own)
    }

    /// A request would have to go farther than it may.
    fn beyond_horizon(
        &mut self,
        envelope: &Envelope,
        reach: Reach,
        nearest: Distance,
    ) -> Result<Destination, CallError> {
        if !reach.horizon.bounce && matches!(envelope.origin, Origin::LocalCast { .. }) {
            self.counters.add(Counter::CastsBeyondHorizon);
            return Ok(Destination::Nowhere);
        }
        let target = &envelope.heading().target;
        Err(too_far(target, reach, Some(nearest)))
    }

    /// Tells the guard of a call where it goes, and keeps what it takes to try it elsewhere.
    fn keep_for_again(&mut self, id: u64, envelope: &Parcel, several: bool, place: Where) {
        let now = self.now;
        let candidate = self.candidate_id(place);
        let Some(call) = self.calls.get_mut(id) else {
            return;
        };
        if let (true, Some(candidate)) = (several, candidate)
            && let Some((key, ticket)) = &mut call.guarded
            && let Some((guard, _)) = self.resilience.guard(*key)
        {
            guard.goes_to(now, ticket, candidate);
        }
        let is_stream = envelope.credit > 0;
        if is_stream || !(several || envelope.idempotent) {
            return;
        }
        let again = call.again.get_or_insert_with(|| {
            Box::new(Again {
                envelope: envelope.clone(),
                tried: Vec::new(),
                retries: 0,
            })
        });
        again.tried.extend(candidate);
    }

    /// A call was refused: remembers by whom, if that was another node that had no room.
    #[cold]
    pub(crate) fn note_refusal(&mut self, id: u64, rejection: &Rejection) {
        let Some(call) = self.calls.get(id) else {
            return;
        };
        let Destination::Peer(peer) = call.destination else {
            return;
        };
        if is_of_callee(&rejection.limit)
            && let Some(peer) = self.peers.get_mut(peer)
        {
            peer.refuses(self.now, &call.heading.target, rejection.clone());
        }
    }

    /// One try of a call has failed. Tells whether it goes on elsewhere, or at the same place that has begun anew.
    ///
    /// What a place did not run because it finishes, or waits for this very call, may always go to another. All else
    /// is a retry: only of what may be run twice, and within the budget.
    pub(crate) fn goes_on(&mut self, id: u64, error: &CallError) -> bool {
        let Some(call) = self.calls.get_mut(id) else {
            return false;
        };
        if call.again.is_none() || call.is_over() {
            return false;
        }
        let deadline = call.deadline;
        let Some(mut again) = call.again.take() else {
            return false;
        };
        let moves = matches!(error, CallError::Draining(_) | CallError::Cycle(_));
        let retries = again.envelope.idempotent && is_worth_a_retry(error);
        let is_late = deadline <= self.now || again.tried.len() >= TRIED_MAX;
        if is_late || !(moves || retries) {
            return false;
        }
        let guard = self.guard_key(&again.envelope);
        let sought = Sought {
            tried: &again.tried,
            ..Sought::of(&again.envelope, guard)
        };
        let horizon = self.reach_of(&again.envelope).horizon;
        let choice = self.choose(&sought, again.envelope.key(), horizon.distance);
        let Choice::Goes {
            place,
            standing,
            one_of_several,
        } = choice
        else {
            return false;
        };
        if !self.passes_again(id, deadline, error, (!moves).then_some(&mut again.retries)) {
            return false;
        }
        let envelope = again.envelope.clone();
        if let Some(call) = self.calls.get_mut(id) {
            call.again = Some(again);
            call.destination = Destination::Nowhere;
        }
        self.counters.add(Counter::CallsRetried);
        // Whoever was asked before is asked no more.
        let several = one_of_several || moves;
        self.keep_for_again(id, &envelope, several, place);
        match self.send_to(place, standing, envelope) {
            Ok(destination) => {
                if let Some(call) = self.calls.get_mut(id)
                    && !call.is_over()
                {
                    call.destination = destination;
                }
            }
            Err(error) => self.end_call(id, Err(error)),
        }
        true
    }

    /// A node is gone for now: what has waited to leave for it goes to another, if there is one that is there.
    pub(crate) fn send_elsewhere(&mut self, index: usize) {
        let Some(peer) = self.peers.get_mut(index) else {
            return;
        };
        let tried = [CandidateId::There(peer.link_key(index))];
        for envelope in peer.link.take_requests() {
            let guard = self.guard_key(&envelope);
            let sought = Sought {
                tried: &tried,
                ..Sought::of(&envelope, guard)
            };
            let horizon = self.reach_of(&envelope).horizon;
            let choice = self.choose(&sought, envelope.key(), horizon.distance);
            let sent = match choice {
                Choice::Goes {
                    place, standing, ..
                } if standing < Standing::Away => {
                    if let Origin::LocalCall { id } = envelope.origin {
                        // The one that is gone was another.
                        self.keep_for_again(id, &envelope, true, place);
                    }
                    self.send_to(place, standing, envelope.clone())
                }
                _ => self
                    .offer(index, envelope.clone())
                    .map(|()| Destination::Peer(index)),
            };
            self.has_moved(&envelope, sent);
        }
    }

    /// Routes what has waited for somebody to run its target: each by its own key and horizon.
    pub(crate) fn route_again(&mut self, requests: Vec<Parcel>) {
        for envelope in requests {
            let sent = self.route(envelope.clone());
            self.has_moved(&envelope, sent);
        }
    }

    /// A request that had not left was sent to where it is now, or to nobody.
    fn has_moved(&mut self, envelope: &Envelope, sent: Result<Destination, CallError>) {
        match sent {
            Ok(destination) if envelope.kind == Kind::Call => {
                if let Some(call) = self.calls.get_mut(envelope.id)
                    && !call.is_over()
                {
                    call.destination = destination;
                }
            }
            Ok(_) => {}
            Err(error) => self.request_failed(envelope, error),
        }
    }

    /// Tells whether somebody is known to run a component, near or far.
    pub(crate) fn is_found(&mut self, component: &Name) -> bool {
        let sought = Sought {
            name: component,
            for_casts: true,
            group: None,
            waiting: &None,
            guard: None,
            tried: &[],
            heading: None,
        };
        let choice = self.choose(&sought, &[], Distance::Remote);
        matches!(choice, Choice::Goes { .. })
    }

    /// Finds what stands between the sender of a request and its target.
    fn guard_key(&self, envelope: &Envelope) -> Option<GuardKey> {
        let instance = match envelope.origin {
            Origin::LocalCall { id } => self.calls.get(id)?.caller,
            Origin::LocalCast { sender, .. } => sender,
            Origin::Remote { .. } => return None,
        };
        let group = instance.map(|index| self.instances[index].group());
        let caller = group.map_or(0, |group| group + 1);
        let callee = envelope.heading().callee()?;
        Some(GuardKey { callee, caller })
    }
}

/// Tells whether another place, or the same a moment later, may well answer.
fn is_worth_a_retry(error: &CallError) -> bool {
    match error {
        CallError::PeerLost(_) | CallError::Rejected(_) | CallError::Panicked(_) => true,
        CallError::Remote(status) => status.code() == crate::Code::Unavailable,
        _ => false,
    }
}

fn too_far(target: &Name, reach: Reach, nearest: Option<Distance>) -> CallError {
    let text = match nearest {
        Some(nearest) => format!(
            "the nearest `{target}` is at the distance `{nearest}`, and this message may travel to {reach}"
        ),
        None => format!(
            "`{target}` does not run in this container, and this message may travel to {reach}"
        ),
    };
    CallError::HorizonExceeded(text)
}
