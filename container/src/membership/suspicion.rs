//! Before a member that is suspect is down: whoever is about to say so asks it, and some others, for the last time.
//!
//! Whoever hears that it is suspect says that it is there, to a few, and they pass that on so many times and not more.
//! Where packets are lost, one in thirty thousand suspicions ended with somebody who had not heard the answer, and said of
//! a member in good health that it is down. So whoever hears of a suspicion and knows it to be over says so to whom it
//! heard it from.

use foca::{Identity as _, Message, State};
use monofil_transport::Io;

use super::packet::{self, Identity, Packet};
use super::{Membership, SwimTimer};
use crate::core::{Core, Timer};

impl Core {
    /// Asks once more for a member that will be down otherwise. The answers have as long as those to a probe.
    pub(super) fn ask_first(
        &mut self,
        io: &mut dyn Io,
        membership: &mut Membership,
        timer: SwimTimer,
    ) {
        if let Some(suspect) = membership.accused(&timer.event) {
            let own = membership.foca.identity().clone();
            let up = membership.members.up().map(|known| &known.identity);
            let mut others: Vec<Identity> = up.filter(|it| *it != suspect.id()).cloned().collect();
            membership.random.shuffle(&mut others);
            others.truncate(membership.config.indirect_probes);
            for other in others {
                let told = packet::tell(&own, &other, Message::Gossip, &suspect);
                self.send_packet(io, other.address, told);
            }
            // It answers by a name that clears it. The number is that of no probe, or of one that it may answer.
            let told = packet::tell(&own, suspect.id(), Message::Ping(0), &suspect);
            self.send_packet(io, suspect.id().address, told);
        }
        let at = self.now + membership.config.probe_timeout;
        let timer = SwimTimer {
            at,
            asks: false,
            put_off: false,
            ..timer
        };
        self.timers.set(at, Timer::Swim(Box::new(timer)));
    }

    /// Tells whoever holds a member to be suspect that it is not any more. Of one at a time: nobody gets more packets
    /// in answer than it sent.
    pub(super) fn tell_better(
        &mut self,
        io: &mut dyn Io,
        membership: &mut Membership,
        packet: &Packet,
    ) {
        let members = packet.members.iter();
        let mut suspects = members.filter(|it| it.state() == State::Suspect);
        if let Some(better) = suspects.find_map(|it| membership.later(it)) {
            let source = &packet.header.src;
            let own = membership.foca.identity();
            let told = packet::tell(own, source, Message::Gossip, better);
            self.send_packet(io, source.address, told);
        }
    }

    /// Clears a member of suspicion that cannot speak for itself, because a handler holds its thread.
    pub(super) fn vouch(
        &mut self,
        io: &mut dyn Io,
        membership: &mut Membership,
        identity: &Identity,
    ) {
        let member = membership.active(identity).cloned();
        let Some(member) = member.filter(|member| member.state() == State::Suspect) else {
            return;
        };
        let Some(incarnation) = member.incarnation().checked_add(1) else {
            return;
        };
        let alive = foca::Member::new(member.id().clone(), incarnation, State::Alive);
        let applied = membership
            .foca
            .apply_many([alive].into_iter(), true, &mut membership.out);
        if let Err(error) = applied {
            tracing::debug!(node = %self.name, %error, "membership");
        }
        self.settle(io, membership);
    }
}

impl Membership {
    /// Returns the member that an event would have down.
    fn accused(&self, event: &super::Event) -> Option<foca::Member<Identity>> {
        let super::Event::ChangeSuspectToDown {
            member_id,
            incarnation,
            ..
        } = event
        else {
            return None;
        };
        let member = self
            .active(member_id)
            .filter(|it| it.state() == State::Suspect && it.incarnation() == *incarnation);
        member.cloned()
    }

    /// Returns what is known of a member that is later than what is said of it.
    fn later(&self, said: &foca::Member<Identity>) -> Option<&foca::Member<Identity>> {
        let mut members = self.foca.iter_members();
        let known = members.find(|known| known.id().node == said.id().node)?;
        let is_later = known.id().win_addr_conflict(said.id())
            || (known.id() == said.id() && known.incarnation() > said.incarnation());
        is_later.then_some(known)
    }
}
