//! Limits of all instances of a component in the network: who there is, and asking for this instance's part.

use std::time::Duration;

use super::limit::{GroupLimits, Limit};
use super::share::{Part, Share};
use super::{Load, refused};
use crate::CallError;
use crate::core::Core;
use crate::instance::Instance;
use crate::peers::Peer;

/// How long an instance waits before it takes what others had, and before it takes anything after its start: by then
/// everybody has heard, where nobody is cut off.
pub(crate) const SETTLES: Duration = Duration::from_secs(5);

impl Core {
    /// Makes what an instance needs to share limits with others, if there are such.
    pub(crate) fn share_of(&self, limits: &GroupLimits) -> Option<Box<Share>> {
        let is_shared = *limits != GroupLimits::default();
        is_shared.then(|| self.new_share(limits))
    }

    fn new_share(&self, limits: &GroupLimits) -> Box<Share> {
        // Where nodes are told of each other, all of them know from the beginning.
        let finds = self.membership.is_some() || self.membership_config.is_some();
        let settles = if finds { SETTLES } else { Duration::ZERO };
        Box::new(Share::new(|limit| limit.of_group(limits), settles))
    }

    /// Admits a message to an instance's part of what all have, or says of what there is too much.
    pub(super) fn check_share(
        &mut self,
        index: usize,
        load: Load,
        bytes: u64,
    ) -> Result<(), CallError> {
        self.look_at_share(index);
        let now = self.now;
        let share = self.instances[index].share.as_mut();
        let checked = share.map_or(Ok(()), |share| share.check(now, load, bytes));
        let instance = &self.instances[index];
        checked.map_err(|refusal| refused(&refusal, "network", &instance.name, instance, now))
    }

    /// Sets what all instances have together.
    pub(super) fn set_share(&mut self, index: usize, limit: Limit, whole: u64) {
        let now = self.now;
        if self.instances[index].share.is_none() {
            // Those that are not limited have been counted for as long as they are there.
            let none = GroupLimits::default();
            self.instances[index].share = Some(self.new_share(&none));
            self.look_at_share(index);
        }
        if let Some(share) = &mut self.instances[index].share {
            share.set(now, limit, whole);
        }
    }

    /// Looks who there is, on behalf of each instance that shares limits.
    pub(crate) fn look_at_shares(&mut self) {
        for index in 0..self.instances.len() {
            self.look_at_share(index);
        }
    }

    /// Looks who there is, if that may be others than when somebody looked last.
    fn look_at_share(&mut self, index: usize) {
        let (now, knowledge) = (self.now, self.knowledge());
        let share = self.instances[index].share.as_ref();
        if !share.is_some_and(|share| share.is_stale(now, knowledge)) {
            return;
        }
        let part = self.part_of(&self.instances[index]);
        if let Some(share) = &mut self.instances[index].share {
            share.look(now, knowledge, part);
        }
    }

    /// Finds an instance's place among all that are known to run its component.
    fn part_of(&self, instance: &Instance) -> Part {
        let (name, own) = (
            instance.name.as_str(),
            self.groups[instance.group()].len() as u64,
        );
        let (before, others) = match &self.membership {
            Some(membership) => membership.members.sharers(name, self.now),
            None => {
                let endpoints = self.directory.locate(name).iter();
                let others = endpoints.filter_map(|it| self.peers.by_endpoint(it));
                let others = others.filter_map(|index| self.peers.get(index));
                // Which of them is the first nobody says: what cannot be divided is nobody's.
                let count = others
                    .filter(|peer: &&Peer| peer.node != Some(self.node))
                    .count();
                (count as u64, count as u64)
            }
        };
        Part {
            before: before + u64::from(instance.number),
            all: others + own,
        }
    }
}
