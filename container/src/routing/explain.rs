//! Why a message goes where it goes, for people: the decision itself, put into words.

use std::time::Duration;

use monofil_proto::control::{Explain, Explanation, FullPlace, PlaceExplanation};
use monofil_transport::Instant;

use super::{
    Ask, Candidate, ComponentKind, Distance, Reach, Sought, Standing, Verdict, Where, narrow,
};
use crate::core::Core;
use crate::error::micros;
use crate::membership::{Known, Place, kind_on_wire};
use crate::resilience::GuardKey;
use crate::{Name, NodeId, Rejection};

/// Places that are told of.
const PLACES_MAX: usize = 1024;
/// So long is told that a place has turned a call away.
const TOLD_FOR: Duration = Duration::from_secs(5);

impl Core {
    /// Says where a call would go now, and why not elsewhere.
    pub(crate) fn explain(&mut self, asked: &Explain) -> Explanation {
        let name = self.qualified(&asked.component.as_str().into());
        let guard = self.guard_of(&asked.caller.as_str().into(), &name);
        let sought = Sought {
            name: &name,
            for_casts: false,
            group: self.group_of(&name),
            waiting: &None,
            guard,
            tried: &[],
            heading: None,
        };
        let own = name.as_str().split('/').next() == Some(self.app.as_str());
        let flow = asked.flow.as_str().into();
        let reach = self.routing.horizons.of(None, &name, &flow, own);
        let mut candidates = Vec::new();
        let kind = self.gather(&sought, &mut candidates);
        let mut places: Vec<_> = candidates
            .iter()
            .map(|candidate| self.describe_place(candidate, &name))
            .collect();
        self.add_gone(&name, &mut candidates, &mut places);
        let ask = Ask {
            kind,
            key: &asked.key,
            horizon: reach.horizon.distance,
        };
        narrow(&ask, &mut candidates);
        for (candidate, place) in candidates.iter().zip(&mut places) {
            place.chosen = candidate.verdict == Verdict::Chosen;
            word(candidate).clone_into(&mut place.verdict);
            place.full = self.full_place(candidate, &name, &place.name);
            place.reason = self.reason(candidate, place.full.as_ref(), &candidates, &ask, guard);
        }
        let outcome = self.outcome(&name, &ask, reach, &candidates, &places, guard);
        let mut sorted: Vec<_> = candidates.iter().zip(places).collect();
        sorted.sort_by(|a, b| {
            let order = |(candidate, place): &(&Candidate<Where>, PlaceExplanation)| {
                (candidate.distance, place.name.clone(), place.instance)
            };
            order(a).cmp(&order(b))
        });
        let left_out = sorted.len().saturating_sub(PLACES_MAX) as u64;
        let places = sorted.into_iter().map(|(_, place)| place);
        Explanation {
            component: name.as_str().to_owned(),
            kind: kind_on_wire(kind).into(),
            outcome,
            places: places.take(PLACES_MAX).collect(),
            left_out,
        }
    }

    /// Finds what stands between a caller and a component, if anything has happened between them.
    fn guard_of(&self, caller: &Name, callee: &Name) -> Option<GuardKey> {
        let caller = if caller.is_empty() {
            0
        } else {
            self.group_of(&self.qualified(caller))? + 1
        };
        let callee = self.resilience.known(callee)?;
        Some(GuardKey { callee, caller })
    }

    fn describe_place(&self, candidate: &Candidate<Where>, name: &Name) -> PlaceExplanation {
        let described = PlaceExplanation {
            distance: candidate.distance.to_string(),
            load: candidate.load,
            ..PlaceExplanation::default()
        };
        match candidate.id {
            Where::Here(index) => PlaceExplanation {
                node: self.node.0.to_vec(),
                name: self.name.as_str().to_owned(),
                instance: candidate.instance,
                instances: 1,
                version: self.instances[index].definition.version.as_str().to_owned(),
                ..described
            },
            Where::Peer(index) => {
                let Some(peer) = self.peers.get(index) else {
                    return described;
                };
                let places = self.places(name);
                let mut places = places.iter();
                let place = places.find(|it| peer.application.as_ref() == Some(&it.endpoint));
                match peer.node.or(place.map(|place| place.node)) {
                    Some(node) => self.describe_node(&node, &peer.place(), name, described),
                    None => PlaceExplanation {
                        name: peer.place().as_str().to_owned(),
                        ..described
                    },
                }
            }
            Where::Member(index) => match self.places(name).get(index) {
                Some(place) => {
                    let called = place.endpoint.as_str().into();
                    self.describe_node(&place.node, &called, name, described)
                }
                None => described,
            },
            Where::Gone => described,
        }
    }

    /// Says what is known of another node and of what it runs; `called`: while it has not said its name.
    fn describe_node(
        &self,
        node: &NodeId,
        called: &Name,
        name: &Name,
        described: PlaceExplanation,
    ) -> PlaceExplanation {
        let known = self.membership.as_ref().and_then(|it| it.members.get(node));
        let entry = known.and_then(|known| known.entry.as_ref());
        let mut components = entry.iter().flat_map(|entry| &entry.components);
        let own = components.find(|it| it.name == name.as_str());
        let called = known.map_or_else(|| called.clone(), Known::name);
        PlaceExplanation {
            node: node.0.to_vec(),
            name: called.as_str().to_owned(),
            instances: own.map_or(0, |own| own.instances),
            version: own.map_or_else(String::new, |own| own.version.clone()),
            ..described
        }
    }

    /// Adds the members that ran it and are no choice any more.
    fn add_gone(
        &self,
        name: &Name,
        candidates: &mut Vec<Candidate<Where>>,
        places: &mut Vec<PlaceExplanation>,
    ) {
        for known in self.membership.iter().flat_map(|it| it.members.iter()) {
            let Some(entry) = &known.entry else {
                continue;
            };
            let runs = entry.components.iter().any(|it| it.name == name.as_str());
            let leaves = entry.leaving.iter().any(|it| it == name.as_str());
            let standing = match known.up {
                false if runs || leaves => Standing::Down,
                true if leaves => Standing::Draining,
                _ => continue,
            };
            let endpoint = entry.application.parse().ok();
            let distance = endpoint.map_or(Distance::Network, |endpoint| {
                self.routing
                    .distance(&entry.host.as_str().into(), &endpoint)
            });
            // Whoever finishes is no choice: nobody goes there as a last resort, or it would never be done.
            candidates.push(Candidate {
                id: Where::Gone,
                token: 0,
                instance: 0,
                distance,
                standing,
                load: 0,
                instances: 1,
                capacity: 0,
                verdict: Verdict::Chosen,
            });
            places.push(PlaceExplanation {
                node: known.identity.node.0.to_vec(),
                name: known.name().as_str().to_owned(),
                distance: distance.to_string(),
                ..PlaceExplanation::default()
            });
        }
    }

    /// Says what a place has no room for, as far as that is known here: by its own limits, by what its node says of
    /// it, or by what it said when it turned a call away the last time. `called`: its node.
    fn full_place(
        &self,
        candidate: &Candidate<Where>,
        component: &Name,
        called: &str,
    ) -> Option<FullPlace> {
        match candidate.id {
            Where::Here(index) => {
                let rejection = self.refuses(index)?;
                Some(full(&rejection, self.now, self.now))
            }
            Where::Peer(index) => {
                let peer = self.peers.get(index)?;
                let places = self.places(component);
                let place = places.iter().find(|it| {
                    peer.node == Some(it.node) || peer.application.as_ref() == Some(&it.endpoint)
                });
                self.closed_place(place, component, called)
                    .or_else(|| {
                        let (value, observed) = peer.link.records_open();
                        (observed >= value).then(|| FullPlace {
                            limit: "link.records".to_owned(),
                            value,
                            observed,
                            r#where: called.to_owned(),
                            ..FullPlace::default()
                        })
                    })
                    .or_else(|| {
                        let last = peer.refusal(component)?;
                        let is_recent = last.at + TOLD_FOR > self.now || last.until() > self.now;
                        is_recent.then(|| full(&last.rejection, last.at, self.now))
                    })
                    .or_else(|| {
                        let is_full =
                            candidate.capacity > 0 && candidate.load >= candidate.capacity;
                        is_full.then(|| FullPlace {
                            value: candidate.capacity,
                            observed: candidate.load,
                            r#where: called.to_owned(),
                            ..FullPlace::default()
                        })
                    })
            }
            Where::Member(index) => {
                let places = self.places(component);
                self.closed_place(places.get(index), component, called)
            }
            Where::Gone => None,
        }
    }

    /// A place that takes nothing says by which limit.
    fn closed_place(
        &self,
        place: Option<&Place>,
        component: &Name,
        called: &str,
    ) -> Option<FullPlace> {
        let closed_by = place.map(|it| &it.closed_by);
        let closed_by = closed_by.filter(|it| !it.is_empty())?;
        let owner = match closed_by.as_str().starts_with("node.") {
            true => called,
            false => component.as_str(),
        };
        Some(FullPlace {
            limit: closed_by.as_str().to_owned(),
            r#where: owner.to_owned(),
            ..FullPlace::default()
        })
    }

    fn reason(
        &self,
        candidate: &Candidate<Where>,
        full: Option<&FullPlace>,
        all: &[Candidate<Where>],
        ask: &Ask<'_>,
        guard: Option<GuardKey>,
    ) -> String {
        let chosen = all.iter().filter(|it| it.verdict == Verdict::Chosen);
        match candidate.verdict {
            Verdict::Chosen => {
                let count = chosen.count();
                let why = match ask.kind {
                    ComponentKind::Keyed if !ask.key.is_empty() => "the key is its own".to_owned(),
                    _ if count == 1 => "it is the nearest that can take a message".to_owned(),
                    _ if candidate.distance == Distance::Process => {
                        format!("one of {count} here; the one with the least before it is taken")
                    }
                    _ => format!(
                        "one of {count} that are equally near; two are drawn, and the one with less before it is taken"
                    ),
                };
                match (candidate.standing, full) {
                    (Standing::Fit, None) => why,
                    (Standing::Fit, Some(full)) => format!("{why}, although {}", text_of(full)),
                    (standing, full) => {
                        let but = self.flaw(standing, candidate, full, guard);
                        format!("{why}, although {but}")
                    }
                }
            }
            Verdict::BeyondHorizon => format!(
                "it is at the distance `{}`, and messages for it may travel to `{}`",
                candidate.distance, ask.horizon
            ),
            Verdict::Unfit(standing) => self.flaw(standing, candidate, full, guard),
            Verdict::Farther => {
                let nearest = chosen.map(|it| it.distance).min().unwrap_or_default();
                format!("there is one at the distance `{nearest}`")
            }
            Verdict::OtherKey => "the key is another's".to_owned(),
            Verdict::Second => "there should be one, and everybody takes another".to_owned(),
        }
    }

    fn flaw(
        &self,
        standing: Standing,
        candidate: &Candidate<Where>,
        full: Option<&FullPlace>,
        guard: Option<GuardKey>,
    ) -> String {
        match standing {
            Standing::Fit => "nothing is wrong with it".to_owned(),
            Standing::Held => "a handler holds its thread".to_owned(),
            Standing::Full => match full {
                Some(full) => text_of(full),
                None => {
                    "the way to it is full: it has not taken what was sent there before".to_owned()
                }
            },
            Standing::Ejected { until } => {
                let id = self.candidate_id(candidate.id);
                let ejected = guard.zip(id).and_then(|(guard, id)| {
                    let ejected = self.resilience.is_out(self.now, guard, id)?;
                    Some(ejected.cause.to_string())
                });
                let cause = ejected.unwrap_or_default();
                format!(
                    "calls are kept from it for {} more: {cause}",
                    seconds(self.now.until(until))
                )
            }
            Standing::Closed => full.map_or_else(
                || "it takes nothing: a limit of it is 0".to_owned(),
                text_of,
            ),
            Standing::Away => "nobody has answered there yet, or the way to it is gone".to_owned(),
            Standing::MayWait | Standing::Waits => "it waits for this very call".to_owned(),
            Standing::Draining => "it finishes what it has and takes nothing new".to_owned(),
            Standing::Down => "it left, or does not answer other members".to_owned(),
        }
    }

    fn outcome(
        &mut self,
        name: &Name,
        ask: &Ask<'_>,
        reach: Reach,
        candidates: &[Candidate<Where>],
        places: &[PlaceExplanation],
        guard: Option<GuardKey>,
    ) -> String {
        let now = self.now;
        let mut throttled = String::new();
        if let Some((guard, random)) = guard.and_then(|key| self.resilience.guard(key)) {
            if let Some(refusal) = guard.refuses(now, random) {
                return refusal;
            }
            throttled = throttle(guard.throttle_ppm(now));
        }
        let outcome = self.whereto(name, ask, reach, candidates, places);
        format!("{throttled}{outcome}")
    }

    fn whereto(
        &self,
        name: &Name,
        ask: &Ask<'_>,
        reach: Reach,
        candidates: &[Candidate<Where>],
        places: &[PlaceExplanation],
    ) -> String {
        let chosen: Vec<_> = candidates
            .iter()
            .zip(places)
            .filter(|(candidate, _)| candidate.verdict == Verdict::Chosen)
            .map(|(_, place)| {
                (
                    place.full.as_ref().map(text_of),
                    format!("`{}`", place.name),
                )
            })
            .collect();
        let too_far = |it: &Candidate<Where>| it.verdict == Verdict::BeyondHorizon;
        match chosen.len() {
            0 if candidates.iter().any(too_far) => {
                format!("it ends with HORIZON_EXCEEDED: nobody runs `{name}` within {reach}")
            }
            0 if self.membership.is_some() => format!(
                "it waits, until its deadline, for somebody who runs `{name}`: nobody is known to"
            ),
            0 => format!("it ends with UNREACHABLE: nobody is known to run `{name}`"),
            _ if chosen.iter().all(|(full, _)| full.is_some()) => {
                let (full, first) = &chosen[0];
                let full = full.as_deref().unwrap_or_default();
                format!("it goes to {first}, although {full}")
            }
            1 => format!("it goes to {}", chosen[0].1),
            count if ask.kind == ComponentKind::Keyed => {
                format!("it has no key, and goes to one of {count}")
            }
            count => format!("it goes to one of {count}"),
        }
    }
}

fn full(rejection: &Rejection, at: Instant, now: Instant) -> FullPlace {
    FullPlace {
        limit: rejection.limit.as_str().to_owned(),
        value: rejection.value,
        observed: rejection.observed,
        r#where: rejection.place.as_str().to_owned(),
        since_micros: micros(now.since(at)),
        retry_after_micros: rejection.retry_after.map_or(0, micros),
    }
}

/// Puts into words what a place has no room for.
fn text_of(full: &FullPlace) -> String {
    let FullPlace {
        limit,
        value,
        observed,
        r#where,
        since_micros,
        ..
    } = full;
    if limit.is_empty() {
        return format!("its instances queue {value}, and `{where}` says that it has {observed}");
    }
    let what = match value {
        0 => format!("`{limit}` of `{where}` is 0"),
        _ => format!("`{limit}` of `{where}` is {value}, and {observed} was observed"),
    };
    match (since_micros, value) {
        (0, 0) => format!("it takes nothing: {what}"),
        (0, _) => format!("it is full: {what}"),
        (since, _) => {
            let ago = seconds(Duration::from_micros(*since));
            format!("it turned a call away {ago} ago: {what}")
        }
    }
}

/// Says how many calls do not get as far as to a place.
fn throttle(ppm: u32) -> String {
    match ppm {
        0 => String::new(),
        _ => format!(
            "of 100 calls {} end with REJECTED by `caller.throttle_ppm`, because too many were rejected before; of the others: ",
            ppm.div_ceil(10_000)
        ),
    }
}

/// Returns the word for what becomes of a place.
const fn word(candidate: &Candidate<Where>) -> &'static str {
    match candidate.verdict {
        Verdict::Chosen => "chosen",
        Verdict::BeyondHorizon => "beyond-horizon",
        Verdict::Farther => "farther",
        Verdict::OtherKey => "other-key",
        Verdict::Second => "second",
        Verdict::Unfit(standing) => match standing {
            Standing::Fit => "fit",
            Standing::Held => "held",
            Standing::Full => "full",
            Standing::Ejected { .. } => "ejected",
            Standing::Closed => "closed",
            Standing::Away => "away",
            Standing::MayWait | Standing::Waits => "waits",
            Standing::Draining => "draining",
            Standing::Down => "down",
        },
    }
}

fn seconds(duration: std::time::Duration) -> String {
    format!(
        "{}.{} s",
        duration.as_secs(),
        duration.subsec_millis() / 100
    )
}
