//! Which of the places where a component runs a message goes to: the decision, without anything around it.
//!
//! [`narrow`] says of each place whether a message may go there and, if not, why; [`pick`] draws one of those that
//! are left. What explains the decision to people is what makes it.

use monofil_transport::{Instant, Stream};

use super::key::weight;
use super::{ComponentKind, Distance};

/// How a place is, the best first. A message goes to the best there are, however many worse ones are nearer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    Fit,
    /// A handler holds its thread.
    Held,
    /// It is at a bound, and would turn the message away.
    Full,
    /// Calls are kept from it until then.
    Ejected {
        until: Instant,
    },
    /// Nobody has answered there yet, or the way to it is gone.
    Away,
    /// It takes nothing, because a limit is 0.
    Closed,
    /// As many instances there wait for this very call as there are, as far as is known here.
    MayWait,
    /// This instance waits for this very call.
    Waits,
    /// It finishes what it has. Nothing goes there, nor to those below.
    Draining,
    /// It is gone.
    Down,
}

/// What becomes of a place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The message goes here, or to one of the others of which this is so.
    #[default]
    Chosen,
    /// It is farther away than messages may go.
    BeyondHorizon,
    /// There is another that is better off.
    Unfit(Standing),
    /// There is another that is nearer.
    Farther,
    /// Another has this key.
    OtherKey,
    /// A component of which there should be one runs here as well.
    Second,
}

/// One place where the component runs: an instance here, or another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate<I> {
    pub(crate) id: I,
    /// Made from where its node is: the same, whoever asks.
    pub(crate) token: u64,
    /// Which of its node's instances it is.
    pub(crate) instance: u32,
    pub(crate) distance: Distance,
    pub(crate) standing: Standing,
    /// Messages before a new one.
    pub(crate) load: u64,
    /// How many instances share them. Never 0.
    pub(crate) instances: u32,
    /// Messages that its instances take; 0: not known.
    pub(crate) capacity: u64,
    pub(crate) verdict: Verdict,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) kind: ComponentKind,
    /// Empty: none.
    pub(crate) key: &'a [u8],
    pub(crate) horizon: Distance,
}

/// Says of each place whether the message may go there.
pub(crate) fn narrow<I>(ask: &Ask<'_>, candidates: &mut [Candidate<I>]) {
    for candidate in candidates.iter_mut() {
        candidate.verdict = if candidate.distance > ask.horizon {
            Verdict::BeyondHorizon
        } else if candidate.standing >= Standing::Draining {
            Verdict::Unfit(candidate.standing)
        } else {
            Verdict::Chosen
        };
    }
    if ask.kind == ComponentKind::Keyed && !ask.key.is_empty() {
        return own(ask.key, candidates);
    }
    let best = left(candidates).map(|it| rank(it.standing)).min();
    let standing = |it: &Candidate<I>| (Some(rank(it.standing)) != best).then_some(it.standing);
    strike(candidates, |it| standing(it).map(Verdict::Unfit));
    let nearest = left(candidates).map(|it| it.distance).min();
    strike(candidates, |it| {
        (Some(it.distance) != nearest).then_some(Verdict::Farther)
    });
    if ask.kind == ComponentKind::Single {
        // Everybody takes the same, unless they are of one container: that was on purpose.
        let first = left(candidates).map(|it| it.token).min();
        strike(candidates, |it| {
            (Some(it.token) != first).then_some(Verdict::Second)
        });
    }
}

/// A key belongs to one node, whatever its state, and to one of its instances: what it has of the key nobody else
/// has. Only one that finishes gives its keys up, and whoever is gone.
fn own<I>(key: &[u8], candidates: &mut [Candidate<I>]) {
    let owner = left(candidates)
        .map(|it| (weight(it.token, key), it.token))
        .max();
    strike(candidates, |it| {
        let is_owner = owner.is_some_and(|(_, token)| token == it.token);
        (!is_owner).then_some(Verdict::OtherKey)
    });
    let of_node = |it: &Candidate<I>| {
        (
            weight(it.token ^ u64::from(it.instance + 1), key),
            it.instance,
        )
    };
    let instance = left(candidates).map(of_node).max();
    strike(candidates, |it| {
        (Some(of_node(it)) != instance).then_some(Verdict::OtherKey)
    });
}

/// Draws one of those that are left: of two drawn the one with less before it (Mitzenmacher, "The Power of Two
/// Choices in Randomized Load Balancing", 2001), for each of its instances. Never simply the best, which all would run to at once before they
/// hear that it is not any more. Here, where loads are not hearsay, it is the best.
pub(crate) fn pick<I>(candidates: &[Candidate<I>], random: &mut Stream) -> Option<usize> {
    let count = left(candidates).count();
    let is_here = left(candidates).next()?.distance == Distance::Process;
    if count == 1 || is_here {
        let indices = 0..candidates.len();
        return indices
            .filter(|index| candidates[*index].verdict == Verdict::Chosen)
            .min_by_key(|index| candidates[*index].load);
    }
    let first = random.below(count as u64);
    let second = random.below(count as u64 - 1);
    let second = second + u64::from(second >= first);
    let at = |place: u64| nth(candidates, place);
    let (first, second) = (at(first)?, at(second)?);
    // For each of its instances.
    let scaled = |of: usize, by: usize| candidates[of].load * u64::from(candidates[by].instances);
    let is_less = scaled(second, first) < scaled(first, second);
    Some(if is_less { second } else { first })
}

fn nth<I>(candidates: &[Candidate<I>], place: u64) -> Option<usize> {
    let place = usize::try_from(place).ok()?;
    let mut indices =
        (0..candidates.len()).filter(|index| candidates[*index].verdict == Verdict::Chosen);
    indices.nth(place)
}

/// Two that are ejected are ejected, for however long.
const fn rank(standing: Standing) -> Standing {
    match standing {
        Standing::Ejected { .. } => Standing::Ejected {
            until: Instant::ZERO,
        },
        other => other,
    }
}

fn left<I>(candidates: &[Candidate<I>]) -> impl Iterator<Item = &Candidate<I>> {
    let is_left = |it: &&Candidate<I>| it.verdict == Verdict::Chosen;
    candidates.iter().filter(is_left)
}

fn strike<I>(candidates: &mut [Candidate<I>], verdict: impl Fn(&Candidate<I>) -> Option<Verdict>) {
    for candidate in candidates.iter_mut() {
        if candidate.verdict == Verdict::Chosen
            && let Some(verdict) = verdict(candidate)
        {
            candidate.verdict = verdict;
        }
    }
}

#[cfg(test)]
mod tests;
