//! Room for those who come: the table of members is bounded, and the dead give way to the living.
//!
//! Whoever finds no room is left out, and nobody else: what a packet says of those who are in the table is heard
//! whoever else is in it. And whoever finds none is still answered that this node lives: it may be known to others that
//! have room, and would tell them that this node is down.

use foca::State;
use monofil_transport::Instant;

use super::members::KEEPS;
use super::packet::{Identity, Packet, Refused, answer_alive};
use super::{Event, Membership};
use crate::NodeId;
use crate::core::Core;
use crate::counters::Counter;

impl Core {
    /// Leaves those out of a packet for whom there is no room, and returns its bytes if there was anybody.
    pub(super) fn let_in(
        &mut self,
        membership: &mut Membership,
        packet: &mut Packet,
        bytes: &[u8],
    ) -> Result<Option<Vec<u8>>, Refused> {
        let source = packet.header.src.node;
        let members = packet.members.iter().map(|member| member.id().node);
        let mut strangers: Vec<NodeId> = Vec::new();
        for node in [source].into_iter().chain(members) {
            let known = node == self.node || membership.members.get(&node).is_some();
            if !known && !strangers.contains(&node) {
                strangers.push(node);
            }
        }
        let room = self.make_room(membership, strangers.len());
        let refused = strangers.split_off(room);
        if refused.is_empty() {
            return Ok(None);
        }
        if refused.contains(&source) {
            let header = &packet.header;
            let is_asked = header.dst == *membership.foca.identity();
            let answer = answer_alive(bytes, self.node, self.incarnation);
            let answer = answer.filter(|_| is_asked);
            let to = header.src.clone();
            membership.out.sends.extend(answer.map(|it| (to, it)));
            return Err(Refused("there is no room for its sender"));
        }
        packet
            .members
            .retain(|member| !refused.contains(&member.id().node));
        Ok(Some(packet.write(bytes)))
    }

    /// Makes room for so many, and returns for how many there is. Who has been down longest gives way; those who have
    /// not been for long may be cut off and work on, and are asked for again.
    pub(super) fn make_room(&mut self, membership: &mut Membership, wanted: usize) -> usize {
        let most = membership.config.members_max;
        let lacking = (membership.size() + wanted).saturating_sub(most);
        if lacking > 0 {
            for (_, identity) in membership.long_down(self.now).into_iter().take(lacking) {
                self.forget_member(membership, identity);
            }
        }
        let room = wanted.min(most.saturating_sub(membership.size()));
        if room < wanted {
            self.report_full(membership, wanted - room);
        }
        room
    }

    fn report_full(&mut self, membership: &mut Membership, refused: usize) {
        for _ in 0..refused {
            self.counters.add(Counter::MembersWithoutRoom);
        }
        let again = membership.config.rejoin_interval;
        let said = membership.said_full;
        if said.is_none_or(|said| self.now.since(said) >= again) {
            membership.said_full = Some(self.now);
            tracing::error!(
                node = %self.name, members_max = membership.config.members_max,
                "there is no room for a member that comes: this node does not see it. Is `membership.members_max` \
                 more than there are nodes?"
            );
        }
    }

    /// Forgets members that have been down for long, and what was said by those who are no members.
    pub(super) fn forget_long_down(&mut self, membership: &mut Membership) {
        let (now, after) = (self.now, membership.config.forget_after);
        let long_down = membership.long_down(now).into_iter();
        for (since, identity) in long_down {
            if since.is_none_or(|since| now.since(since) >= after) {
                self.forget_member(membership, identity);
            }
        }
        let members = &membership.members;
        let mut cards = membership.cards.borrow_mut();
        cards.keep(|node| members.get(node).is_some());
    }

    fn forget_member(&mut self, membership: &mut Membership, identity: Identity) {
        membership.members.forget(&identity.node);
        membership.cards.borrow_mut().forget(&identity.node);
        let forgotten = membership
            .foca
            .handle_timer(Event::RemoveDown(identity), &mut membership.out);
        if let Err(error) = forgotten {
            tracing::debug!(node = %self.name, %error, "membership");
        }
    }
}

impl Membership {
    /// Returns how many are remembered. Of some the protocol knows only that they are down.
    fn size(&self) -> usize {
        let known = self.foca.iter_membership_state().len();
        known.max(self.members.len())
    }

    /// Returns those who have been down for a while, those in front of whom nothing else was ever known, then who has
    /// been for longest.
    fn long_down(&self, now: Instant) -> Vec<(Option<Instant>, Identity)> {
        let protocol = self.foca.iter_membership_state();
        let rumours = protocol.filter(|it| it.state() == State::Down);
        let rumours = rumours.filter(|it| self.members.get(&it.id().node).is_none());
        let known = self.members.iter().filter(|known| !known.up);
        let known = known.filter(|known| now.since(known.since) >= KEEPS);
        let mut all: Vec<_> = rumours
            .map(|it| (None, it.id().clone()))
            .chain(known.map(|it| (Some(it.since), it.identity.clone())))
            .collect();
        all.sort_by_key(|(since, _)| *since);
        all
    }
}
