//! Who may take a message, as far as is known here.

use std::rc::Rc;

use monofil_proto::wire::Kind;

use super::{Ask, Candidate, ComponentKind, Distance, Standing, Verdict, narrow, pick, token};
use crate::capacity::{Target, may_take, part_of};
use crate::core::Core;
use crate::envelope::{Chain, Envelope, chain_links};
use crate::heading::Heading;
use crate::membership::Place;
use crate::peers::Health;
use crate::resilience::{CandidateId, GuardKey};
use crate::{CallError, Name};

/// Nodes that are members and run the same component are connected to for it, so many of them; those that are there
/// already count as well.
const DIALED_MAX: usize = 8;

/// Where a candidate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Where {
    /// An instance of this container.
    Here(usize),
    /// A node that this one has to do with.
    Peer(usize),
    /// A member that nobody has spoken to yet, by its place among those that run the component.
    Member(usize),
    /// A member that is no choice any more.
    Gone,
}

/// For what a place is sought.
#[derive(Clone, Copy)]
pub(crate) struct Sought<'a> {
    pub(crate) name: &'a Name,
    /// For casts, and not for calls.
    pub(crate) for_casts: bool,
    /// The instances here.
    pub(crate) group: Option<usize>,
    /// Who waits for it.
    pub(crate) waiting: &'a Chain,
    /// What stands between its sender and it.
    pub(crate) guard: Option<GuardKey>,
    /// Where it has been.
    pub(crate) tried: &'a [CandidateId],
    /// What remembers where it runs, if that is the only place.
    pub(crate) heading: Option<&'a Heading>,
}

impl<'a> Sought<'a> {
    pub(crate) fn of(envelope: &'a Envelope, guard: Option<GuardKey>) -> Self {
        let heading = envelope.heading();
        Self {
            name: &heading.target,
            for_casts: envelope.kind != Kind::Call,
            group: heading.group().flatten(),
            waiting: &envelope.waiting,
            guard,
            tried: &[],
            heading: Some(heading),
        }
    }
}

/// What was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// A place.
    Goes {
        place: Where,
        standing: Standing,
        /// There are others, fit or not.
        one_of_several: bool,
    },
    /// The nearest is farther away than the message may go.
    TooFar(Distance),
    /// All that run it finish what they have.
    Draining,
    /// Nobody is known to run it.
    Nobody,
}

/// What is known of a node that runs it.
#[derive(Clone, Copy)]
struct Site {
    token: u64,
    distance: Distance,
    /// 0: it does not say.
    instances: u32,
    /// Messages that they take; 0: it does not say.
    capacity: u64,
    /// They take nothing.
    is_closed: bool,
}

impl Core {
    /// Returns a number that is another once somebody may run something who did not, or the other way round.
    pub(crate) fn knowledge(&self) -> u64 {
        let found = self
            .membership
            .as_ref()
            .map_or(0, |it| it.members.changes());
        self.peers.changes() + found
    }

    /// Returns the only node that runs a component, if nothing has changed since that was found out, and nothing is
    /// to be said against it. Most messages end up here, and need not look around.
    pub(crate) fn sole(&self, envelope: &Envelope) -> Option<usize> {
        let index = envelope.heading().sole(self.knowledge())?;
        let peer = self.peers.get(index)?;
        let fits = peer.is_established()
            && !peer.draining
            && self.routing.is_endless
            && envelope.horizon.is_none();
        fits.then_some(index)
    }

    /// Chooses among the instances here and all other nodes that are known to run the component.
    pub(crate) fn choose(&mut self, sought: &Sought<'_>, key: &[u8], horizon: Distance) -> Choice {
        let mut candidates = std::mem::take(&mut self.routing.candidates);
        let kind = self.gather(sought, &mut candidates);
        let ask = Ask { kind, key, horizon };
        narrow(&ask, &mut candidates);
        let chosen = pick(&candidates, &mut self.routing.random);
        let nearest = candidates.iter().map(|candidate| candidate.distance).min();
        if let ([only], Some(heading)) = (&candidates[..], sought.heading)
            && let (Where::Peer(peer), Standing::Fit) = (only.id, only.standing)
        {
            heading.set_sole(peer, self.knowledge());
        }
        let choice = match (chosen, nearest) {
            (Some(index), _) => Choice::Goes {
                place: candidates[index].id,
                standing: candidates[index].standing,
                one_of_several: candidates.len() > 1,
            },
            (None, Some(nearest)) if nearest > horizon => Choice::TooFar(nearest),
            (None, Some(_)) => Choice::Draining,
            (None, None) => Choice::Nobody,
        };
        candidates.clear();
        self.routing.candidates = candidates;
        choice
    }

    /// Chooses among the instances here for a message that has come to this node.
    pub(crate) fn choose_here(
        &mut self,
        group: usize,
        envelope: &Envelope,
    ) -> Result<usize, CallError> {
        let sought = Sought::of(envelope, None);
        let mut candidates = std::mem::take(&mut self.routing.candidates);
        self.gather_here(&sought, &mut candidates);
        let ask = Ask {
            kind: self.kind_of_group(group),
            key: envelope.key(),
            horizon: Distance::Process,
        };
        narrow(&ask, &mut candidates);
        let chosen = pick(&candidates, &mut self.routing.random)
            .map(|index| (candidates[index].id, candidates[index].standing));
        candidates.clear();
        self.routing.candidates = candidates;
        match chosen {
            Some((Where::Here(index), standing)) if standing != Standing::Waits => Ok(index),
            _ => Err(self.cycle(envelope)),
        }
    }

    /// Tells whether an instance here is one of those that wait.
    pub(crate) fn waits_here(&self, index: usize, waiting: &Chain) -> bool {
        let instance = &self.instances[index];
        chain_links(waiting).any(|link| {
            link.node == self.node
                && link.component == instance.name
                && link.instance == instance.number
        })
    }

    fn kind_of_group(&self, group: usize) -> ComponentKind {
        let first = self.groups[group].first();
        first.map_or(ComponentKind::Single, |index| {
            self.instances[*index].definition.kind
        })
    }

    /// Notes everybody who is known to run a component, and returns of what kind it is: where nodes disagree, of the
    /// strictest that one of them says.
    pub(super) fn gather(
        &mut self,
        sought: &Sought<'_>,
        out: &mut Vec<Candidate<Where>>,
    ) -> ComponentKind {
        self.gather_here(sought, out);
        let mut kind = match sought.group {
            Some(group) => self.kind_of_group(group),
            None => ComponentKind::Stateless,
        };
        let endpoints = self.directory.locate(sought.name.as_str()).len();
        if endpoints > 0 {
            kind = kind.min(self.directory.kind(sought.name.as_str()));
        }
        for index in 0..endpoints {
            let endpoint = self.directory.locate(sought.name.as_str())[index].clone();
            if let Some(peer) = self.peers.by_endpoint(&endpoint) {
                let site = Site {
                    token: token(endpoint.as_str()),
                    distance: self.routing.distance(&Name::empty(), &endpoint),
                    instances: 0,
                    capacity: 0,
                    is_closed: false,
                };
                self.add_node(sought, out, peer, site);
            }
        }
        let places = self.places(sought.name);
        let is_keyed = places
            .iter()
            .any(|place| place.kind == ComponentKind::Keyed);
        for (index, place) in places.iter().enumerate() {
            kind = kind.min(place.kind);
            let site = Site {
                token: place.token,
                distance: self.routing.distance(&place.host, &place.endpoint),
                instances: place.instances,
                capacity: place.capacity,
                is_closed: !place.closed_by.is_empty(),
            };
            // Not everybody who runs it is connected to, only because it could be. A key's owner is, whoever it is.
            let peer = if index < DIALED_MAX && !is_keyed {
                self.reach(place)
            } else {
                self.known(place)
            };
            match peer {
                Some(peer) => self.add_node(sought, out, peer, site),
                None => out.push(Candidate {
                    id: Where::Member(index),
                    token: site.token,
                    instance: 0,
                    distance: site.distance,
                    standing: match site.is_closed {
                        true => Standing::Closed,
                        false => Standing::Away,
                    },
                    load: 0,
                    instances: site.instances.max(1),
                    capacity: site.capacity,
                    verdict: Verdict::Chosen,
                }),
            }
        }
        if out.is_empty() {
            ComponentKind::Single
        } else {
            kind
        }
    }

    /// Returns where members say that a component runs.
    pub(crate) fn places(&self, name: &Name) -> Rc<Vec<Place>> {
        let membership = self.membership.as_ref();
        let located = membership.map(|it| it.members.locate(name.as_str()));
        located.unwrap_or_default()
    }

    fn gather_here(&self, sought: &Sought<'_>, out: &mut Vec<Candidate<Where>>) {
        let Some(group) = sought.group else {
            return;
        };
        for index in &self.groups[group] {
            let id = CandidateId::Here(*index);
            if sought.tried.contains(&id) {
                continue;
            }
            let instance = &self.instances[*index];
            let standing = if self.waits_here(*index, sought.waiting) {
                Standing::Waits
            } else if let Some(until) = self.ejected_until(sought.guard, id) {
                Standing::Ejected { until }
            } else if self.is_full(instance) {
                match self.closed_by(instance) {
                    Some(_) => Standing::Closed,
                    None => Standing::Full,
                }
            } else {
                Standing::Fit
            };
            out.push(Candidate {
                id: Where::Here(*index),
                token: self.routing.own_token,
                instance: instance.number,
                distance: Distance::Process,
                standing,
                load: instance.load() as u64,
                instances: 1,
                capacity: 0,
                verdict: Verdict::Chosen,
            });
        }
    }

    fn add_node(
        &self,
        sought: &Sought<'_>,
        out: &mut Vec<Candidate<Where>>,
        index: usize,
        site: Site,
    ) {
        let Some(peer) = self.peers.get(index) else {
            return;
        };
        let id = CandidateId::There(peer.link_key(index));
        let is_known = |it: &Candidate<Where>| it.id == Where::Peer(index);
        if sought.tried.contains(&id) || out.iter().any(is_known) {
            return;
        }
        let waiting = |node| {
            let links = chain_links(sought.waiting);
            links
                .filter(|link| link.node == node && link.component == *sought.name)
                .count()
        };
        // Where one waits another may be free: that node knows.
        let waits = peer.node.map_or(0, waiting) >= site.instances.max(1) as usize;
        let standing = if peer.draining {
            Standing::Draining
        } else if waits {
            Standing::MayWait
        } else if site.is_closed {
            Standing::Closed
        } else if !peer.is_established() || peer.health == Health::Silent {
            Standing::Away
        } else if let Some(until) = self.ejected_until(sought.guard, id) {
            Standing::Ejected { until }
        } else if peer.link.is_full(sought.for_casts) {
            Standing::Full
        } else if matches!(peer.health, Health::Busy { .. }) {
            Standing::Held
        } else {
            Standing::Fit
        };
        out.push(Candidate {
            id: Where::Peer(index),
            token: site.token,
            instance: 0,
            distance: site.distance,
            standing,
            load: peer.load(self.now),
            instances: site.instances.max(1),
            capacity: site.capacity,
            verdict: Verdict::Chosen,
        });
    }

    fn ejected_until(
        &self,
        guard: Option<GuardKey>,
        id: CandidateId,
    ) -> Option<monofil_transport::Instant> {
        let ejected = self.resilience.is_out(self.now, guard?, id)?;
        Some(ejected.until)
    }

    /// Returns the other nodes that can take a message now, as far as is known here, and how full they are. Who does
    /// not say how much it takes is believed to take `usual`.
    pub(crate) fn spill_targets(&mut self, envelope: &Envelope, usual: u64) -> Vec<Target> {
        let mut candidates = Vec::new();
        self.gather(&Sought::of(envelope, None), &mut candidates);
        let target = |it: &Candidate<Where>| match it.id {
            Where::Peer(peer) if it.standing == Standing::Fit => {
                let said = (it.capacity > 0).then(|| part_of(it.load, it.capacity));
                let known = self.peers.get(peer);
                let refused = known.and_then(|it| it.refusal(&envelope.heading().target));
                may_take(self.now, said, refused).then(|| Target {
                    peer,
                    distance: it.distance,
                    part: said.unwrap_or_else(|| part_of(it.load, usual)),
                    instances: it.instances,
                })
            }
            _ => None,
        };
        candidates.iter().filter_map(target).collect()
    }

    /// Returns all that a call may go to, for one that is to be taken out.
    pub(crate) fn all_candidates(&mut self, name: &Name) -> Vec<CandidateId> {
        let sought = Sought {
            name,
            for_casts: false,
            group: self.group_of(name),
            waiting: &None,
            guard: None,
            tried: &[],
            heading: None,
        };
        let mut candidates = Vec::new();
        self.gather(&sought, &mut candidates);
        let id = |candidate: &Candidate<Where>| self.candidate_id(candidate.id);
        candidates.iter().filter_map(id).collect()
    }

    /// Names a place for as long as it is the same.
    pub(crate) fn candidate_id(&self, place: Where) -> Option<CandidateId> {
        match place {
            Where::Here(index) => Some(CandidateId::Here(index)),
            Where::Peer(index) => {
                let peer = self.peers.get(index)?;
                Some(CandidateId::There(peer.link_key(index)))
            }
            Where::Member(_) | Where::Gone => None,
        }
    }
}
