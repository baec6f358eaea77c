//! Who is there: nodes find each other from any one address, notice who comes, goes and dies, and know who runs
//! what.
//!
//! ```text
//!   seeds ──(lookup)──▶ addresses ── probe ──▶ alive: somebody is there ── announcement ──▶ feed: joined
//!
//!   members     SWIM over datagrams (`foca`): up, suspect, down; gossip carries changes and cards
//!   cards       version of an entry, and load; by gossip
//!   entries     components, subscriptions, endpoint; asked for over the control plane, by those who lack them
//! ```
//!
//! The protocol is `foca`'s; time, randomness, datagrams and everything that comes from a network are ours: its
//! timers are in the container's heap, its choices are drawn from the container's seed, and what it is given to read
//! was read here first. Membership is a hint about who can be reached, never about data: no link ends because of it.

mod config;
mod directory;
mod members;
mod packet;
mod room;
mod suspicion;
#[cfg(fuzzing)]
pub(crate) use packet::fuzz;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use foca::{BroadcastHandler, Foca, Invalidates, Notification, OwnedNotification, State};
use monofil_proto::control::{Datagram, Membership as Carried, Probe, datagram::Body};
use monofil_proto::encode;
use monofil_transport::{Endpoint, Instant, Io, Stream};

pub use self::config::MembershipConfig;
use self::directory::Pulls;
pub(crate) use self::directory::kind_on_wire;
use self::members::{Cards, HeardDown};
pub(crate) use self::members::{Known, Members, Place};
pub(crate) use self::packet::answer_alive;
use self::packet::{Bytes, Card, Identity, Packet, Refused};
use crate::core::{Core, Timer};
use crate::counters::Counter;
use crate::timers::TimerKey;
use crate::{Name, NodeId};

/// What of a datagram is left to a packet by what is around it.
const AROUND: usize = 64;
/// Datagrams are no longer than this, whatever the backend could carry.
const DATAGRAM_BYTES: usize = 1200;
/// Two members with the longest endpoints fit into as many.
const DATAGRAM_BYTES_LEAST: usize = 1024;
/// Addresses of seeds that are asked at once.
const SEEDS_MAX: usize = 32;
/// Answers of seeds without a word at the advertised address until that is reported.
const ANSWERS_IN_VAIN: u32 = 3;
/// Rounds without an answer of any seed until that is reported.
const ROUNDS_IN_VAIN: u32 = 5;

/// A member, as this node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberInfo {
    /// Who it is.
    pub node: NodeId,
    /// Its incarnation.
    pub incarnation: u64,
    /// What it calls itself; where it is, while that is not known.
    pub name: Name,
    /// How it is.
    pub state: MemberState,
    /// What it runs, as far as is known.
    pub components: Vec<Name>,
    /// It is down, and has told this node itself that it leaves. It tells a few, and no more: others only hear that it
    /// is down.
    pub left: bool,
}

/// How a member is, as one node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemberState {
    /// It is there.
    Up,
    /// It is there, and a handler holds its thread.
    Busy {
        /// `component/method`
        handler: Name,
    },
    /// It is there, finishes what it has, and takes nothing new.
    Draining,
    /// Somebody got no answer from it. It counts as up until it has had time to speak.
    Suspect,
    /// It left, or did not speak.
    Down,
    /// It is held to be down, and is heard: nothing reaches it where it says that it is.
    Unreachable,
}

impl MemberState {
    /// It is there, as far as is known.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        matches!(
            self,
            Self::Up | Self::Busy { .. } | Self::Draining | Self::Suspect
        )
    }
}

type Swim = Foca<Identity, Bytes, Draws, News>;
/// Something that the protocol does at some time.
type Event = foca::Timer<Identity>;

/// When it does that.
#[derive(Debug)]
pub(crate) struct SwimTimer {
    at: Instant,
    event: Event,
    /// Others are asked whether they know better, before it does that.
    asks: bool,
    /// It had to wait once.
    put_off: bool,
    /// Of which of the protocol's instances it is.
    begun: u32,
}

/// The protocol's random choices.
struct Draws(Stream);

impl rand_core::TryRng for Draws {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok((self.0.bits() >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.0.bits())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(bytes);
        Ok(())
    }
}

/// Cards that come with gossip, and are passed on if they are news.
struct News(Rc<RefCell<Cards>>);

/// Of two cards of a node the later one travels.
struct OfNode(Card);

impl Invalidates for OfNode {
    fn invalidates(&self, other: &Self) -> bool {
        self.0.node == other.0.node
    }
}

impl BroadcastHandler<Identity> for News {
    type Key = OfNode;
    type Error = Refused;

    fn receive_item(
        &mut self,
        data: &[u8],
        _sender: Option<&Identity>,
    ) -> Result<Option<OfNode>, Refused> {
        let card = Card::read(data)?;
        Ok(self.0.borrow_mut().take(card).then_some(OfNode(card)))
    }
}

/// What the protocol wants done.
#[derive(Default)]
struct Outbox {
    sends: Vec<(Identity, Vec<u8>)>,
    timers: Vec<(Duration, Event)>,
    news: Vec<OwnedNotification<Identity>>,
}

impl foca::Runtime<Identity> for Outbox {
    fn notify(&mut self, notification: Notification<'_, Identity>) {
        self.news.push(notification.to_owned());
    }

    fn send_to(&mut self, to: Identity, data: &[u8]) {
        self.sends.push((to, data.to_vec()));
    }

    fn submit_after(&mut self, event: Event, after: Duration) {
        self.timers.push((after, event));
    }
}

/// This node as a member.
pub(crate) struct Membership {
    config: MembershipConfig,
    probe_interval: Duration,
    packet_bytes: usize,
    foca: Swim,
    out: Outbox,
    /// How often the protocol began anew.
    begun: u32,
    due: Vec<SwimTimer>,
    pub(crate) members: Members,
    cards: Rc<RefCell<Cards>>,
    /// Said with each probe to a seed, so that nobody else can answer.
    nonce: u64,
    random: Stream,
    /// Somebody knows this node by its present name.
    joined: bool,
    join_due: bool,
    join_timer: Option<(Instant, TimerKey)>,
    /// Rounds in which no seed answered, since nobody was known.
    rounds: u32,
    /// Answers of seeds since nobody was known.
    answers: u32,
    /// Why this node is alone, if that is not in order.
    pub(crate) problem: Option<String>,
    /// When it was last logged that there is no room for those who come.
    said_full: Option<Instant>,
    refresh_due: bool,
    refresh_timer: Option<(Instant, TimerKey)>,
    pulls: Pulls,
    application: Option<Endpoint>,
    /// What this node says of itself.
    own: monofil_proto::control::Entry,
    card: Card,
    /// Those who come into view now have not heard it.
    say_again: bool,
    /// When this node last came back after it was held to be down.
    rejoined: Option<Instant>,
    /// When what others know is compared next.
    compare_at: Instant,
    /// There is something to say that need not wait until members say next what they have heard.
    hurries: bool,
    /// It may be said from then on.
    hurry_from: Instant,
}

impl Core {
    /// Makes this node a member of its network, if it is to be one.
    pub(crate) fn start_membership(&mut self, io: &mut dyn Io) {
        let Some(config) = self.membership_config.take() else {
            return;
        };
        let local = io.local();
        let Some(address) = local.datagram else {
            tracing::error!(
                node = %self.name,
                "this node receives no datagrams and so cannot be a member of its network"
            );
            return;
        };
        let control = packet::fitting(local.control);
        if control.is_none() {
            tracing::error!(
                node = %self.name,
                "this node has no control endpoint of at most 200 bytes: others cannot ask what it runs"
            );
        }
        let identity = Identity {
            node: self.node,
            life: self.incarnation,
            renewal: 0,
            address,
            control,
        };
        let cards = Rc::new(RefCell::new(Cards::default()));
        cards.borrow_mut().most = config.members_max;
        let datagram_bytes = io.limits().datagram_bytes_max.min(DATAGRAM_BYTES);
        if datagram_bytes < DATAGRAM_BYTES_LEAST {
            tracing::error!(
                node = %self.name, datagram_bytes, least = DATAGRAM_BYTES_LEAST,
                "datagrams are too short here for a member of a network"
            );
            return;
        }
        let packet_bytes = datagram_bytes - AROUND;
        let mut random = Stream::new(self.seed, "membership");
        let foca = Foca::with_custom_broadcast(
            identity,
            config.of_size(1, self.probe_interval, packet_bytes),
            Draws(Stream::new(self.seed, "membership/swim")),
            Bytes,
            News(cards.clone()),
        );
        let node = self.node;
        self.membership = Some(Box::new(Membership {
            config,
            probe_interval: self.probe_interval,
            packet_bytes,
            foca,
            out: Outbox::default(),
            begun: 0,
            due: Vec::new(),
            members: Members::new(node),
            cards,
            nonce: random.bits() | 1 << 63,
            random,
            joined: false,
            join_due: true,
            join_timer: None,
            rounds: 0,
            answers: 0,
            problem: None,
            said_full: None,
            refresh_due: true,
            refresh_timer: None,
            pulls: Pulls::default(),
            application: local.application,
            own: monofil_proto::control::Entry::default(),
            card: Card {
                node,
                life: self.incarnation,
                number: 0,
                version: 0,
                load: 0,
            },
            say_again: false,
            rejoined: None,
            compare_at: self.now,
            hurries: false,
            hurry_from: self.now,
        }));
    }

    /// Does what is due, in a turn.
    pub(crate) fn tend_membership(&mut self, io: &mut dyn Io) {
        let Some(mut membership) = self.membership.take() else {
            return;
        };
        if !self.outdated {
            for timer in std::mem::take(&mut membership.due) {
                if timer.asks {
                    self.ask_first(io, &mut membership, timer);
                    continue;
                }
                let event = timer.event;
                if let Err(error) = membership.foca.handle_timer(event, &mut membership.out) {
                    tracing::debug!(node = %self.name, %error, "membership");
                }
                self.settle(io, &mut membership);
            }
            if std::mem::take(&mut membership.join_due) {
                self.seek_seeds(io, &mut membership);
            }
            if std::mem::take(&mut membership.refresh_due) || membership.has_changed(self) {
                self.refresh(io, &mut membership);
            }
            self.spread(io, &mut membership);
        }
        let is_new = std::mem::take(&mut membership.members.news);
        let gone = std::mem::take(&mut membership.members.gone);
        let came = std::mem::take(&mut membership.members.came);
        self.membership = Some(membership);
        self.look_at_shares();
        for component in came {
            self.resilience.try_soon(self.now, &component);
        }
        for node in gone {
            if let Some(index) = self.peers.by_node(&node) {
                self.send_elsewhere(index);
            }
        }
        if is_new {
            self.settle_sought();
        }
    }

    /// Tells some others at once what has become known of a member: in a network of a thousand it would take six
    /// intervals to come to all. Once in an interval: whoever learns much at a time says it together.
    fn spread(&mut self, io: &mut dyn Io, membership: &mut Membership) {
        let hurries = std::mem::take(&mut membership.hurries);
        if !hurries || self.now < membership.hurry_from {
            return;
        }
        membership.hurry_from = self.now + membership.config.gossip_interval;
        if let Err(error) = membership.foca.gossip(&mut membership.out) {
            tracing::debug!(node = %self.name, %error, "membership");
        }
        self.settle(io, membership);
    }

    pub(crate) fn swim_due(&mut self, timer: SwimTimer) {
        let now = self.now;
        let Some(membership) = &mut self.membership else {
            return;
        };
        if timer.begun != membership.begun {
            return;
        }
        // A node whose thread was held, or that was stopped, has not read yet what others answered meanwhile. Its own
        // silence is nobody else's.
        let timeout = membership.config.probe_timeout;
        if !timer.put_off && now.since(timer.at) > timeout {
            let (at, put_off) = (now + timeout, true);
            let timer = SwimTimer {
                at,
                put_off,
                ..timer
            };
            self.timers.set(at, Timer::Swim(Box::new(timer)));
        } else {
            membership.due.push(timer);
        }
    }

    fn join_soon(&mut self, membership: &mut Membership) {
        let pause = membership.config.join_interval;
        let pause = membership.random.between(pause / 2, pause);
        self.timers
            .hasten(&mut membership.join_timer, self.now + pause, Timer::Join);
    }

    pub(crate) fn join_due(&mut self) {
        if let Some(membership) = &mut self.membership {
            membership.join_timer = None;
            membership.join_due = true;
        }
    }

    pub(crate) fn refresh_due(&mut self) {
        if let Some(membership) = &mut self.membership {
            membership.refresh_timer = None;
            membership.refresh_due = true;
        }
    }

    /// Asks at the seeds' addresses whether somebody is there: often while this node is alone, and from time to time
    /// afterwards, so that two parts of a network that have lost sight of each other find together.
    fn seek_seeds(&mut self, io: &mut dyn Io, membership: &mut Membership) {
        let alone = !membership.joined;
        let pause = if alone {
            membership.config.join_interval
        } else {
            membership.config.rejoin_interval
        };
        let pause = membership.random.between(pause / 2, pause + pause / 2);
        let at = self.now + pause;
        self.timers
            .hasten(&mut membership.join_timer, at, Timer::Join);
        if alone {
            self.seek_members(io, membership);
        }
        let own = membership.foca.identity().address;
        let is_met = |address: &SocketAddr| {
            let mut up = membership.members.up();
            up.any(|known| known.identity.address == *address)
        };
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for seed in &membership.config.seeds {
            for address in io.lookup(seed) {
                if address != own && !addresses.contains(&address) && !is_met(&address) {
                    addresses.push(address);
                }
            }
        }
        addresses.truncate(SEEDS_MAX);
        if alone && !addresses.is_empty() {
            membership.rounds += 1;
            if membership.rounds == ROUNDS_IN_VAIN && membership.answers == 0 {
                let text = format!(
                    "none of the seeds {} answers; this node is alone",
                    membership.config.seeds.join(", ")
                );
                tracing::warn!(node = %self.name, "{text}");
                membership.problem = Some(text);
            }
        }
        let probe = self.datagram(Body::Probe(Probe {
            nonce: membership.nonce,
        }));
        let probe = encode(&probe);
        for address in addresses {
            let _ = io.send_datagram(address, &probe);
        }
    }

    /// Speaks to some of those who were members once: the seeds may be gone for good.
    fn seek_members(&mut self, io: &mut dyn Io, membership: &mut Membership) {
        let known = membership.members.iter();
        let mut known: Vec<Identity> = known.map(|known| known.identity.clone()).collect();
        membership.random.shuffle(&mut known);
        for identity in known.into_iter().take(membership.config.gossip_to) {
            if let Err(error) = membership.foca.announce(identity, &mut membership.out) {
                tracing::debug!(node = %self.name, %error, "membership");
            }
        }
        self.settle(io, membership);
    }

    /// Somebody is at an address where a seed was sought.
    pub(crate) fn seed_answers(&mut self, io: &mut dyn Io, from: SocketAddr, answer: &Datagram) {
        let Some(mut membership) = self.membership.take() else {
            return;
        };
        let is_ours =
            matches!(answer.body, Some(Body::Alive(ref alive)) if alive.nonce == membership.nonce);
        let node = NodeId::from_wire(&answer.sender).filter(|node| *node != self.node);
        if let Some(node) = node.filter(|_| is_ours && !self.outdated) {
            if answer.network == self.network {
                self.announce(io, &mut membership, node, from, answer.sender_incarnation);
            } else {
                let text = format!("the node at {from} is of another network than this one");
                if membership.problem.as_ref() != Some(&text) {
                    tracing::error!(node = %self.name, "{text}: check `network.name` on both");
                    membership.problem = Some(text);
                }
            }
        }
        self.membership = Some(membership);
    }

    fn announce(
        &mut self,
        io: &mut dyn Io,
        membership: &mut Membership,
        node: NodeId,
        address: SocketAddr,
        life: u64,
    ) {
        if !membership.joined {
            membership.answers += 1;
            if membership.answers > ANSWERS_IN_VAIN && membership.problem.is_none() {
                let own = membership.foca.identity().address;
                let text = format!(
                    "the seed at {address} hears this node, and nothing reaches this node at {own}, where it says \
                     that it is"
                );
                tracing::error!(
                    node = %self.name,
                    "{text}: is `network.advertise` an address of this machine, are datagrams to it let through, and \
                     is `membership.members_max` there more than there are nodes?"
                );
                membership.problem = Some(text);
            }
        }
        let seed = Identity {
            node,
            life,
            renewal: 0,
            address,
            control: None,
        };
        if let Err(error) = membership.foca.announce(seed, &mut membership.out) {
            tracing::debug!(node = %self.name, %error, "membership");
        }
        self.settle(io, membership);
    }

    /// Takes a packet of another member; `busy`: from whoever stands in for its thread.
    pub(crate) fn handle_packet(
        &mut self,
        io: &mut dyn Io,
        datagram: &Datagram,
        packet: &[u8],
        busy: Option<&str>,
    ) {
        let Some(mut membership) = self.membership.take() else {
            return;
        };
        if datagram.network != self.network {
            // Named networks and the one without a name are kept apart here: they would be one for good.
            self.counters.add(Counter::FramesForeignNetwork);
        } else if !self.outdated {
            match self.check_packet(&mut membership, datagram, packet) {
                Ok((packet_read, shorter)) => {
                    self.counters.add(Counter::MembershipReceived);
                    let bytes = shorter.as_deref().unwrap_or(packet);
                    self.take_packet(io, &mut membership, bytes, &packet_read, busy);
                }
                Err(error) => {
                    self.counters.add(Counter::MembershipRefused);
                    tracing::debug!(node = %self.name, %error, "a membership packet was refused");
                    self.settle(io, &mut membership);
                }
            }
        }
        self.membership = Some(membership);
    }

    /// Reads a packet before the protocol does: nothing from a network makes it keep more than it should. Returns other
    /// bytes for it if there was somebody in it for whom there is no room.
    fn check_packet(
        &mut self,
        membership: &mut Membership,
        datagram: &Datagram,
        bytes: &[u8],
    ) -> Result<(Packet, Option<Vec<u8>>), Refused> {
        let mut packet = Packet::read(bytes)?;
        let source = &packet.header.src;
        if source.node.0 != datagram.sender[..] || source.life != datagram.sender_incarnation {
            return Err(Refused("it is not of its sender"));
        }
        let of_this = |identity: &&Identity| identity.node == self.node;
        let lives = packet.identities().filter(of_this).map(|it| it.life);
        if let Some(life) = lives.max().filter(|life| *life > self.incarnation) {
            self.outdated_by(life);
            return Err(Refused("a later life of this node is known"));
        }
        let shorter = self.let_in(membership, &mut packet, bytes)?;
        Ok((packet, shorter))
    }

    fn take_packet(
        &mut self,
        io: &mut dyn Io,
        membership: &mut Membership,
        bytes: &[u8],
        packet: &Packet,
        busy: Option<&str>,
    ) {
        let source = &packet.header.src;
        let later = membership.members.get(&source.node);
        if let Some(later) = later.filter(|known| known.identity.life > source.life) {
            // An earlier life that still runs. It would come back again and again if it were only held to be down.
            let later = foca::Member::alive(later.identity.clone());
            let own = membership.foca.identity();
            let told = packet::tell(own, source, foca::Message::Gossip, &later);
            return self.send_packet(io, source.address, told);
        }
        if membership.is_too_soon(packet, self.now) {
            return;
        }
        if let Err(error) = membership.foca.handle_data(bytes, &mut membership.out) {
            tracing::debug!(node = %self.name, %error, "membership");
        }
        self.settle(io, membership);
        let now = self.now;
        if let Some(known) = membership.members.get_mut(&source.node) {
            if known.up {
                known.busy = busy.map(|handler| (Name::from(handler), now));
            } else if known.identity == *source {
                known.left |= packet.is_farewell();
            }
        }
        if busy.is_some() {
            self.vouch(io, membership, source);
        }
        self.tell_better(io, membership, packet);
        if std::mem::take(&mut membership.cards.borrow_mut().news) {
            membership.hurries = true;
            self.refresh_soon(membership);
        }
    }

    /// Notes that a member says something that is held to be down: nothing reaches it, then, or it would have come
    /// back.
    pub(crate) fn hear_of_member(&mut self, from: SocketAddr, datagram: &Datagram) {
        let now = self.now;
        let Some(membership) = &mut self.membership else {
            return;
        };
        let interval = membership.probe_interval;
        let node = NodeId::from_wire(&datagram.sender);
        let known = node.and_then(|node| membership.members.get_mut(&node));
        let of_this_life =
            known.filter(|known| !known.up && known.identity.life == datagram.sender_incarnation);
        let Some(known) = of_this_life else {
            return;
        };
        // Whoever was stopped or cut off is heard before it has been told, and has a while to come back.
        let again = known
            .heard_down
            .filter(|heard| now.since(heard.last) < interval * 60);
        let first = again.map_or(now, |heard| heard.first);
        let unheeding = now.since(first) > interval * 3;
        if unheeding && !again.is_some_and(|heard| heard.reported) {
            tracing::warn!(
                node = %self.name, member = %known.name(), address = %known.identity.address, %from,
                "a member that is held to be down is heard: nothing reaches it where it says that it is"
            );
        }
        known.heard_down = Some(HeardDown {
            first,
            last: now,
            reported: unheeding,
        });
    }

    /// Does what the protocol wants done.
    fn settle(&mut self, io: &mut dyn Io, membership: &mut Membership) {
        let Outbox {
            sends,
            timers,
            news,
        } = std::mem::take(&mut membership.out);
        for (after, event) in timers {
            let asks = matches!(event, Event::ChangeSuspectToDown { .. });
            let earlier = match asks {
                true => membership.config.probe_timeout,
                false => Duration::ZERO,
            };
            let at = self.now + after.saturating_sub(earlier);
            let timer = SwimTimer {
                at,
                event,
                asks,
                put_off: false,
                begun: membership.begun,
            };
            self.timers.set(at, Timer::Swim(Box::new(timer)));
        }
        let begun = membership.begun;
        for notification in news {
            self.heed(membership, notification);
        }
        if membership.begun != begun {
            // What it had to say before does not count any more.
            return;
        }
        for (to, packet) in sends {
            match packet::message(&packet) {
                // Whoever is suspect hears of it from everybody who asks it, and not by chance (Dadgar, Phillips,
                // Currey, Lifeguard, 2018, section III.C).
                Some(foca::Message::Ping(_)) => {
                    let member = membership.active(&to);
                    if let Some(member) = member.filter(|it| it.state() == State::Suspect) {
                        let told = packet::tell(
                            membership.foca.identity(),
                            &to,
                            foca::Message::Gossip,
                            member,
                        );
                        self.send_packet(io, to.address, told);
                    }
                }
                // foca 2.0 says so at the end of every suspicion, of those too that were cleared.
                Some(foca::Message::TurnUndead) if membership.active(&to).is_some() => continue,
                _ => {}
            }
            self.send_packet(io, to.address, packet);
        }
    }

    fn send_packet(&mut self, io: &mut dyn Io, to: SocketAddr, packet: Vec<u8>) {
        let datagram = self.datagram(Body::Membership(Carried { packet }));
        self.counters.add(Counter::MembershipSent);
        // One that is not sent is like one that is lost.
        let _ = io.send_datagram(to, &encode(&datagram));
    }

    fn heed(&mut self, membership: &mut Membership, news: OwnedNotification<Identity>) {
        let now = self.now;
        membership.hurries |= matches!(
            news,
            OwnedNotification::MemberUp(_)
                | OwnedNotification::MemberDown(_)
                | OwnedNotification::Rename(..)
        );
        match news {
            OwnedNotification::MemberUp(identity) => {
                membership.members.set_up(&identity, now);
                tracing::info!(
                    node = %self.name, member = %identity.node, address = %identity.address, "a member is up"
                );
                membership.resize();
                self.refresh_soon(membership);
            }
            OwnedNotification::MemberDown(identity) => {
                membership.members.set_down(&identity, now);
                let member = membership.members.get(&identity.node);
                let name = member.map_or_else(Name::empty, members::Known::name);
                tracing::info!(
                    node = %self.name, member = %name, address = %identity.address, "a member is down"
                );
                membership.resize();
            }
            OwnedNotification::Rename(_, identity) => {
                membership.members.rename(&identity, now);
                self.refresh_soon(membership);
            }
            OwnedNotification::Active => {
                membership.joined = true;
                membership.problem = None;
                membership.rounds = 0;
                membership.answers = 0;
                membership.say_again = true;
                tracing::info!(node = %self.name, "joined the network");
                self.refresh_soon(membership);
            }
            OwnedNotification::Idle => {
                tracing::warn!(node = %self.name, "no other member of the network is left");
                membership.joined = false;
                self.join_soon(membership);
            }
            OwnedNotification::Rejoin(_) => {
                membership.rejoined = Some(now);
                // Until somebody answers to the new name.
                membership.joined = false;
                if membership.foca.num_members() == 0 {
                    membership.begin_anew();
                    membership.join_due = true;
                } else {
                    self.join_soon(membership);
                }
                tracing::warn!(
                    node = %self.name,
                    "others held this node to be down; it has come back"
                );
            }
            OwnedNotification::Defunct => {}
        }
    }

    /// Says goodbye to the network.
    pub(crate) fn leave_network(&mut self, io: &mut dyn Io) {
        let Some(mut membership) = self.membership.take() else {
            return;
        };
        if !self.outdated && membership.foca.num_members() > 0 {
            if let Err(error) = membership.foca.leave_cluster(&mut membership.out) {
                tracing::debug!(node = %self.name, %error, "membership");
            }
            self.settle(io, &mut membership);
        }
    }

    /// Returns the members this node knows of, itself excepted.
    pub(crate) fn members(&self) -> Vec<(MemberInfo, Duration, SocketAddr, u16)> {
        let Some(membership) = &self.membership else {
            return Vec::new();
        };
        let cards = membership.cards.borrow();
        let states: BTreeMap<NodeId, State> = membership
            .foca
            .iter_membership_state()
            .map(|member| (member.id().node, member.state()))
            .collect();
        let describe = |known: &Known| {
            let node = &known.identity.node;
            let info = membership.describe(known, states.get(node).copied(), self.now);
            let load = cards.get(node).map_or(0, |card| card.load);
            let since = self.now.since(known.since);
            (info, since, known.identity.address, load)
        };
        membership.members.iter().map(describe).collect()
    }

    /// Returns one of them.
    pub(crate) fn member(&self, node: &NodeId) -> Option<MemberInfo> {
        let membership = self.membership.as_ref()?;
        let known = membership.members.get(node)?;
        let mut states = membership.foca.iter_membership_state();
        let state = states.find(|member| member.id().node == *node);
        Some(membership.describe(known, state.map(foca::Member::state), self.now))
    }
}

impl Membership {
    /// Says how a member is, whom the protocol holds to be in a state.
    fn describe(&self, known: &Known, state: Option<State>, now: Instant) -> MemberInfo {
        let fresh =
            |heard: &HeardDown| heard.reported && now.since(heard.last) < self.probe_interval * 60;
        let state = match (state, &known.busy) {
            _ if !known.up && known.heard_down.as_ref().is_some_and(fresh) => {
                MemberState::Unreachable
            }
            _ if !known.up => MemberState::Down,
            (Some(State::Suspect), _) => MemberState::Suspect,
            (_, Some((handler, _))) => MemberState::Busy {
                handler: handler.clone(),
            },
            _ if known.entry.as_ref().is_some_and(|entry| entry.draining) => MemberState::Draining,
            _ => MemberState::Up,
        };
        MemberInfo {
            node: known.identity.node,
            incarnation: known.identity.life,
            name: known.name(),
            state,
            components: known.components().map(Name::from).collect(),
            left: known.left && !known.up,
        }
    }

    /// Forgets whom it holds to be down. It held everybody to be, and hears that all the others held it to be: it was cut
    /// off, and they were not. They would have to come back, each under another name, if they heard what it thought.
    fn begin_anew(&mut self) {
        let config = self
            .config
            .of_size(1, self.probe_interval, self.packet_bytes);
        self.foca = Foca::with_custom_broadcast(
            self.foca.identity().clone(),
            config,
            Draws(Stream::new(self.random.bits(), "membership/swim")),
            Bytes,
            News(self.cards.clone()),
        );
        self.begun += 1;
        self.due.clear();
    }

    /// Finds a member that is not down, under its present name.
    fn active(&self, identity: &Identity) -> Option<&foca::Member<Identity>> {
        let mut members = self.foca.iter_members();
        members.find(|member| member.id() == identity)
    }

    /// Tells whether a packet holds this node to be down that has just come back: whatever is wrong, coming back
    /// with each packet would only make it worse.
    fn is_too_soon(&self, packet: &Packet, now: Instant) -> bool {
        let down = |member: &foca::Member<_>| {
            member.id() == self.foca.identity() && member.state() == State::Down
        };
        let is_held_down =
            packet.header.message == foca::Message::TurnUndead || packet.members.iter().any(down);
        is_held_down
            && self
                .rejoined
                .is_some_and(|at| now.since(at) < self.probe_interval)
    }

    /// Adapts the protocol to the number of members.
    fn resize(&mut self) {
        let size = self.foca.num_members() + 1;
        let config = self
            .config
            .of_size(size, self.probe_interval, self.packet_bytes);
        self.foca
            .set_config(config)
            .expect("invariant: only what may change depends on the size");
    }
}
