//! Messages in chains, each of which was caused by the one before it: found as messages come.
//!
//! After Agarwal and Garg, "Efficient dependency tracking for relevant events in concurrent systems" (Distributed
//! Computing 19, 2007). Chains are in groups, the first of one chain, the second of two, and so on. A message goes to
//! the end of the first chain whose last message came before it, group by group; then that group and the one before it
//! change places, so that the chains which are hard to extend are tried last. If no more than `w` messages are
//! independent of each other, there are never more than `w (w + 1) / 2` chains.

/// How far each chain had come before a message: by the chain's number, how many of its messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Past(Vec<u32>);

impl Past {
    /// Returns the past of what comes after both.
    pub(super) fn join(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine = (*mine).max(*theirs);
        }
    }

    fn of(&self, chain: usize) -> u32 {
        self.0.get(chain).copied().unwrap_or(0)
    }
}

/// All chains.
#[derive(Debug, Default)]
pub(super) struct Chains {
    /// How many messages each has.
    lengths: Vec<u32>,
    /// Chains by their numbers. Invariant: the first group has at most one, the next at most two, and so on.
    groups: Vec<Vec<usize>>,
}

impl Chains {
    /// Puts a message into a chain, given what came before it; returns the chain's number, and the past of what comes
    /// after the message.
    pub(super) fn add(&mut self, mut past: Past) -> (usize, Past) {
        let lengths = &self.lengths;
        let extends = |chain: &usize| past.of(*chain) == lengths[*chain];
        let found = self.groups.iter().enumerate().find_map(|(group, chains)| {
            let place = chains.iter().position(extends);
            match place {
                None if chains.len() > group => None,
                place => Some((group, place)),
            }
        });
        let (group, place) = found.unwrap_or((self.groups.len(), None));
        if group == self.groups.len() {
            self.groups.push(Vec::new());
        }
        let place = place.unwrap_or_else(|| {
            self.groups[group].push(self.lengths.len());
            self.lengths.push(0);
            self.groups[group].len() - 1
        });
        let chain = self.groups[group][place];
        if group > 0 {
            // The chain stays with its own size of group: the others of this group make the one before.
            self.groups[group].swap_remove(place);
            self.groups[group - 1].push(chain);
            self.groups.swap(group - 1, group);
        }
        self.lengths[chain] += 1;
        past.0.resize(past.0.len().max(chain + 1), 0);
        past.0[chain] = self.lengths[chain];
        (chain, past)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use monofil_transport::Stream;

    use super::*;

    /// A message: what it directly comes after, and all that it comes after.
    struct Message {
        before: BTreeSet<usize>,
        past: Past,
        chain: usize,
    }

    /// Makes orders of messages by a few processes that do one thing after the other and hear of each other, in which
    /// so at most as many messages are independent as there are processes.
    fn random(seed: u64, processes: u64, count: usize) -> (Vec<Message>, Chains) {
        let mut random = Stream::new(seed, "orders");
        let (mut chains, mut messages) = (Chains::default(), Vec::<Message>::new());
        let mut last: Vec<Option<usize>> = vec![None; processes as usize];
        for number in 0..count {
            let process = random.below(processes) as usize;
            let mut after: Vec<usize> = last[process].into_iter().collect();
            if random.below(3) == 0 {
                after.extend(last[random.below(processes) as usize]);
            }
            let (mut before, mut past) = (BTreeSet::new(), Past::default());
            for one in after {
                before.insert(one);
                before.extend(&messages[one].before);
                past.join(&messages[one].past);
            }
            let (chain, past) = chains.add(past);
            let message = Message {
                before,
                past,
                chain,
            };
            messages.push(message);
            last[process] = Some(number);
        }
        (messages, chains)
    }

    #[test]
    fn each_message_of_a_chain_comes_after_the_one_before_it() {
        for seed in 0..200 {
            let (messages, _) = random(seed, 1 + seed % 6, 120);
            for (number, message) in messages.iter().enumerate() {
                let earlier = messages[..number].iter().enumerate();
                for (other, _) in earlier.filter(|(_, it)| it.chain == message.chain) {
                    assert!(
                        message.before.contains(&other),
                        "seed {seed}: {other}, {number}"
                    );
                }
            }
        }
    }

    #[test]
    fn there_are_no_more_chains_than_the_paper_promises() {
        let mut most = 0;
        for seed in 0..500 {
            let width = 1 + seed % 8;
            let (_, chains) = random(seed, width, 200);
            let bound = (width * (width + 1) / 2) as usize;
            assert!(
                chains.lengths.len() <= bound,
                "seed {seed}: {}",
                chains.lengths.len()
            );
            most = most.max(chains.lengths.len());
        }
        // There would be fewer tests in it if each process were one chain.
        assert!(most > 8, "{most}");
    }
}
