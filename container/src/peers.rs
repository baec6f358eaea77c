//! The other nodes a container has to do with.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use monofil_transport::{ConnectionId, Endpoint, Instant, Route};

use crate::calls::LinkKey;
use crate::hash::{Table, seeded};
use crate::link::{Link, LinkConfig};
use crate::parcel::Parcel;
use crate::timers::TimerKey;
use crate::{CallError, Name, NodeId, Rejection};

/// How another node is, as far as one can tell from here. It is a hint about reachability, never about
/// data: no link ends because of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// It has not introduced itself yet.
    Unknown,
    /// It was heard of lately.
    Alive,
    /// A handler holds its thread; somebody there says so.
    Busy {
        /// `component/method`
        handler: Name,
    },
    /// It says nothing.
    Silent,
    /// It said that it was about to end.
    Left,
}

/// What a node is called in errors and logs.
fn place_of(name: &Name, endpoint: Option<&Endpoint>) -> Name {
    match endpoint {
        _ if !name.is_empty() => name.clone(),
        Some(endpoint) => endpoint.as_str().into(),
        None => "a node without a name".into(),
    }
}

/// What a node says of its load is out of date after this.
const LOAD_LASTS: Duration = Duration::from_secs(5);
/// Components of a node whose refusals are remembered.
const REFUSED_MAX: usize = 16;

/// How this node looks after others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch {
    pub(crate) silent_after: Duration,
    /// It can ask them whether they live.
    pub(crate) asks: bool,
}

/// What a node said when it had no room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) rejection: Rejection,
    pub(crate) at: Instant,
}

impl Refused {
    /// Returns when trying again makes sense, by what it said.
    pub(crate) fn until(&self) -> Instant {
        let pause = self.rejection.retry_after;
        self.at + pause.unwrap_or(crate::instance::Instance::RETRY_LEAST)
    }
}

/// One other node.
pub(crate) struct Peer {
    /// `None` until it has introduced itself.
    pub(crate) node: Option<NodeId>,
    /// 0 until it has introduced itself.
    pub(crate) incarnation: u64,
    /// Drawn when this entry was made, higher than for any entry before: a node that was forgotten and comes
    /// again meets another epoch.
    pub(crate) epoch: u64,
    /// The same of the other side; 0 until it has said it.
    pub(crate) their_epoch: u64,
    /// Its epoch in a link that it closed: what still says so is late.
    pub(crate) closed_epoch: u64,
    /// It closed the link. It is greeted again when there is something for it.
    pub(crate) dormant: bool,
    /// Changes each time the link ends and begins anew. Known to this side only.
    pub(crate) link_number: u64,
    /// When it was last told that what it sends is of a link or a life that is over.
    pub(crate) corrected: Option<Instant>,
    /// A life of it before the one that is known, which spoke nevertheless.
    pub(crate) outdated: u64,
    /// The directory knows it: it is not forgotten.
    pub(crate) lasting: bool,
    /// It is nobody yet: what is for whoever runs this component waits here until a member says that it does.
    pub(crate) sought: Option<Name>,
    /// A connection to it is opened with what leaves next.
    pub(crate) undialed: bool,
    pub(crate) name: Name,
    pub(crate) application: Option<Endpoint>,
    /// What it calls its endpoint, if the directory calls it otherwise.
    pub(crate) alias: Option<Endpoint>,
    pub(crate) control: Option<Endpoint>,
    pub(crate) datagram: Option<SocketAddr>,
    pub(crate) components: Vec<Name>,
    /// The connection this node opened to it.
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) connected: bool,
    /// The connection it opened to this node.
    pub(crate) way_back: Option<Route>,
    /// It has introduced itself since the connection was last made.
    pub(crate) introduced: bool,
    pub(crate) link: Link,
    /// A frame that the transport did not take yet.
    pub(crate) unsent: Option<Bytes>,
    /// It has something to send.
    pub(crate) dirty: bool,
    /// When the link's timer is set for.
    pub(crate) link_timer: Option<(Instant, TimerKey)>,
    /// How often it was greeted in vain.
    pub(crate) greetings: u32,
    pub(crate) greeting_set: bool,
    /// It finishes what it has.
    pub(crate) draining: bool,
    /// Messages that waited or were being handled there when it said so, and when it did.
    said_load: (u64, Instant),
    /// Components whose calls it refused for want of room, and what it said the last time. At most [`REFUSED_MAX`].
    refused: Vec<(Name, Refused)>,
    pub(crate) health: Health,
    pub(crate) health_since: Instant,
    pub(crate) heard: Instant,
}

impl Peer {
    fn new(link: LinkConfig, epoch: u64, now: Instant) -> Self {
        Self {
            node: None,
            incarnation: 0,
            epoch,
            their_epoch: 0,
            closed_epoch: 0,
            dormant: false,
            link_number: epoch,
            corrected: None,
            outdated: 0,
            lasting: false,
            sought: None,
            undialed: false,
            name: Name::empty(),
            application: None,
            alias: None,
            control: None,
            datagram: None,
            components: Vec::new(),
            connection: None,
            connected: false,
            way_back: None,
            introduced: false,
            link: Link::new(link),
            unsent: None,
            dirty: false,
            link_timer: None,
            greetings: 0,
            greeting_set: false,
            draining: false,
            said_load: (0, Instant::ZERO),
            refused: Vec::new(),
            health: Health::Unknown,
            health_since: now,
            heard: now,
        }
    }

    /// Returns where its frames go: along our own connection once that is made, or back along its. One that
    /// is still being made may take a second, while the other side is there already.
    pub(crate) fn route(&self) -> Option<Route> {
        let own = self.connection.map(Route::Connection);
        if self.connected {
            own
        } else {
            self.way_back.clone().or(own)
        }
    }

    /// Names the link to it as it is now; `index` is its place.
    pub(crate) const fn link_key(&self, index: usize) -> LinkKey {
        LinkKey {
            peer: index,
            number: self.link_number,
        }
    }

    /// Notes how much there is to do, as it says.
    pub(crate) const fn says_load(&mut self, now: Instant, load: u64) {
        self.said_load = (load, now);
    }

    /// Notes that it had no room for a call to one of its components.
    pub(crate) fn refuses(&mut self, now: Instant, component: &Name, rejection: Rejection) {
        let refused = Refused { rejection, at: now };
        let known = self.refused.iter_mut().find(|(name, _)| name == component);
        if let Some((_, last)) = known {
            *last = refused;
            return;
        }
        if self.refused.len() >= REFUSED_MAX {
            let oldest = self.refused.iter().enumerate();
            let oldest = oldest.min_by_key(|(_, (_, it))| it.at);
            let oldest = oldest.map(|(place, _)| place);
            oldest.map(|place| self.refused.swap_remove(place));
        }
        self.refused.push((component.clone(), refused));
    }

    /// It has begun anew.
    pub(crate) fn forget_refusals(&mut self) {
        self.refused.clear();
    }

    /// Returns what it said when it refused a call to a component the last time.
    pub(crate) fn refusal(&self, component: &Name) -> Option<&Refused> {
        let mut refused = self.refused.iter();
        let found = refused.find(|(name, _)| name == component);
        found.map(|(_, refused)| refused)
    }

    /// Returns how much there is to do before a new message: what it said, if that is not too long ago, and what was
    /// sent to it since.
    pub(crate) fn load(&self, now: Instant) -> u64 {
        let (load, said) = self.said_load;
        let said = if now.since(said) <= LOAD_LASTS {
            load
        } else {
            0
        };
        said + self.link.requests_open()
    }

    /// Returns what it is called in texts for people.
    pub(crate) fn place(&self) -> Name {
        place_of(&self.name, self.application.as_ref())
    }

    /// Gives a request to the link.
    pub(crate) fn offer(
        &mut self,
        now: Instant,
        envelope: Parcel,
    ) -> Result<(), Box<(CallError, Parcel)>> {
        let (name, endpoint) = (&self.name, self.application.as_ref());
        self.link.offer(now, envelope, || place_of(name, endpoint))
    }

    /// Records may leave: both sides know who the other is and which link this is.
    pub(crate) const fn is_established(&self) -> bool {
        self.introduced && (self.their_epoch > 0 || self.link.is_unnumbered())
    }

    /// Says why nothing that waited for it has left.
    pub(crate) fn absence(&self) -> String {
        if let Some(component) = &self.sought {
            return format!(
                "no member of the network was found to run `{component}` before the deadline"
            );
        }
        let place = self.place();
        if self.connected {
            format!(
                "`{place}` is there and has not introduced itself before the deadline; \
                 a handler may hold its thread, and its log says which"
            )
        } else {
            format!("`{place}` could not be reached before the deadline")
        }
    }

    /// Nothing has been heard of it for so long that nothing will be soon. A connection that breaks and is made
    /// again is no reason to think so; nor is a node that cannot be asked, unless it has said nothing at all.
    pub(crate) fn is_lost_sight_of(&self, now: Instant, watch: Watch) -> bool {
        let asked = watch.asks && self.datagram.is_some() && self.is_established();
        let quiet = now.since(self.heard) >= watch.silent_after;
        quiet && (!asked || self.health == Health::Silent)
    }

    /// It has not taken what is meant for it, or may never say what became of what it took.
    pub(crate) fn keeps_waiting(&self, now: Instant, watch: Watch) -> bool {
        let doubtful = !self.is_established() || self.is_lost_sight_of(now, watch);
        self.link.has_fresh_requests() || (doubtful && self.link.unsettled() > 0)
    }

    /// How a request ends whose time was over before it left.
    pub(crate) fn not_sent(&self) -> CallError {
        if self.is_established() {
            let place = self.place();
            CallError::Expired(format!("`{place}` made no room for it before the deadline"))
        } else {
            CallError::Unreachable(self.absence())
        }
    }

    /// It is there and has not introduced itself, but should.
    pub(crate) fn wants_greeting(&self) -> bool {
        let wanted = !self.dormant || self.link.has_fresh_requests();
        self.connected && !self.is_established() && wanted
    }

    /// It said that it was about to end: what comes now is late.
    pub(crate) fn has_left(&self) -> bool {
        self.health == Health::Left
    }

    /// It is nobody yet, and something waits until it is somebody.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.sought.is_some() && self.link.has_fresh_requests()
    }

    /// It said where it is, and nobody is there so far.
    const fn is_unproven(&self) -> bool {
        !self.lasting && self.connection.is_some() && !self.connected
    }

    /// There is no way to it.
    pub(crate) const fn is_gone(&self) -> bool {
        !self.introduced && !self.connected
    }

    /// Forgetting it costs nothing, because it is nobody (0) or nothing is under way (1), or no more than is lost
    /// already (2).
    fn cost(&self) -> Option<u8> {
        if self.lasting {
            None
        } else if !self.connected && self.link.is_idle() {
            Some(u8::from(self.sought.is_none()))
        } else {
            self.is_gone().then_some(2)
        }
    }
}

/// All of them, by what one may know of them.
#[derive(Default)]
pub(crate) struct Peers {
    all: Vec<Option<Peer>>,
    by_node: Table<NodeId, usize>,
    by_endpoint: Table<Endpoint, usize>,
    by_connection: Table<ConnectionId, usize>,
    /// Those with something to send, in the order in which they got it.
    dirty: Vec<usize>,
    pub(crate) probe_due: bool,
    /// When they were last asked whether they live.
    pub(crate) probed: Instant,
    pub(crate) sweep_set: bool,
    /// Grows with each change in who is where.
    changes: u64,
}

impl Peers {
    /// Returns a number that is another once somebody has come, gone or moved.
    pub(crate) const fn changes(&self) -> u64 {
        self.changes
    }

    /// Seeds the tables, which are empty so far.
    pub(crate) fn seed(&mut self, seed: u64) {
        self.by_node = seeded(seed);
        self.by_endpoint = seeded(seed);
    }

    pub(crate) fn get(&self, index: usize) -> Option<&Peer> {
        self.all.get(index)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut Peer> {
        self.all.get_mut(index)?.as_mut()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &Peer)> {
        self.all
            .iter()
            .enumerate()
            .filter_map(|(index, peer)| Some((index, peer.as_ref()?)))
    }

    pub(crate) fn indices(&self) -> Vec<usize> {
        self.iter().map(|(index, _)| index).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.all.iter().flatten().count()
    }

    pub(crate) fn by_node(&self, node: &NodeId) -> Option<usize> {
        self.by_node.get(node).copied()
    }

    pub(crate) fn by_endpoint(&self, endpoint: &Endpoint) -> Option<usize> {
        self.by_endpoint.get(endpoint).copied()
    }

    pub(crate) fn by_connection(&self, connection: ConnectionId) -> Option<usize> {
        self.by_connection.get(&connection).copied()
    }

    pub(crate) fn node(&self, index: usize) -> Option<NodeId> {
        self.get(index)?.node
    }

    pub(crate) fn incarnation(&self, index: usize) -> Option<u64> {
        self.get(index).map(|peer| peer.incarnation)
    }

    /// Finds the node at the other end of a link, if that link is still there.
    pub(crate) fn on_link(&mut self, link: LinkKey) -> Option<&mut Peer> {
        self.get_mut(link.peer)
            .filter(|peer| peer.link_number == link.number)
    }

    pub(crate) fn place(&self, index: usize) -> Name {
        self.get(index).map_or_else(Name::empty, Peer::place)
    }

    /// Returns the node whose loss costs least, and of these the one that was not heard of for longest.
    pub(crate) fn expendable(&self) -> Option<usize> {
        self.iter()
            .filter_map(|(index, peer)| Some((peer.cost()?, peer.heard, index)))
            .min()
            .map(|(_, _, index)| index)
    }

    /// Returns the oldest of those that are nobody yet and for which nothing waits; if there is none, and it is to be
    /// one in any case, the oldest for which something does.
    pub(crate) fn expendable_name(&self, in_any_case: bool) -> Option<usize> {
        self.iter()
            .filter(|(_, peer)| peer.sought.is_some())
            .map(|(index, peer)| (peer.is_waited_for(), peer.heard, index))
            .filter(|(is_waited_for, ..)| in_any_case || !is_waited_for)
            .min()
            .map(|(_, _, index)| index)
    }

    pub(crate) fn add(&mut self, link: LinkConfig, epoch: u64, now: Instant) -> usize {
        self.changes += 1;
        let peer = Some(Peer::new(link, epoch, now));
        if let Some(free) = self.all.iter().position(Option::is_none) {
            self.all[free] = peer;
            return free;
        }
        self.all.push(peer);
        self.all.len() - 1
    }

    pub(crate) fn remove(&mut self, index: usize) -> Option<Peer> {
        self.changes += 1;
        let peer = self.all.get_mut(index)?.take()?;
        if let Some(node) = &peer.node {
            self.by_node.remove(node);
        }
        if let Some(connection) = &peer.connection {
            self.by_connection.remove(connection);
        }
        self.by_endpoint.retain(|_, known| *known != index);
        self.dirty.retain(|known| *known != index);
        Some(peer)
    }

    pub(crate) fn name_node(&mut self, index: usize, node: NodeId) {
        self.changes += 1;
        if let Some(peer) = self.get_mut(index) {
            peer.node = Some(node);
            self.by_node.insert(node, index);
        }
    }

    pub(crate) fn forget_node(&mut self, index: usize) {
        self.changes += 1;
        if let Some(peer) = self.get_mut(index) {
            peer.incarnation = 0;
            if let Some(node) = peer.node.take() {
                self.by_node.remove(&node);
            }
        }
    }

    pub(crate) fn name_endpoint(&mut self, index: usize, endpoint: Endpoint) {
        self.changes += 1;
        if let Some(peer) = self.get_mut(index) {
            peer.application = Some(endpoint.clone());
            self.by_endpoint.insert(endpoint, index);
        }
    }

    /// Notes where a node says that it is. Nobody takes the endpoint of one that the directory knows, and what
    /// a node said before leads nowhere any more.
    pub(crate) fn advertise(&mut self, index: usize, endpoint: Endpoint) {
        self.changes += 1;
        let taken = self.by_endpoint.get(&endpoint).copied();
        if taken.is_some_and(|other| self.get(other).is_some_and(|peer| peer.lasting)) {
            return;
        }
        let Some(peer) = self.get_mut(index) else {
            return;
        };
        let place = if peer.lasting {
            &mut peer.alias
        } else {
            &mut peer.application
        };
        if let Some(old) = place.replace(endpoint.clone())
            && self.by_endpoint.get(&old) == Some(&index)
        {
            self.by_endpoint.remove(&old);
        }
        self.by_endpoint.insert(endpoint, index);
    }

    /// Counts the connections that were opened because a stranger said so, and that nobody has taken.
    pub(crate) fn unproven(&self) -> usize {
        self.iter().filter(|(_, peer)| peer.is_unproven()).count()
    }

    /// Lets a second endpoint lead to the same node.
    pub(crate) fn alias(&mut self, endpoint: Endpoint, index: usize) {
        self.changes += 1;
        self.by_endpoint.insert(endpoint, index);
    }

    pub(crate) fn name_connection(&mut self, index: usize, connection: ConnectionId) {
        if let Some(peer) = self.get_mut(index) {
            peer.connection = Some(connection);
            self.by_connection.insert(connection, index);
        }
    }

    pub(crate) fn mark_dirty(&mut self, index: usize) {
        if let Some(peer) = self.get_mut(index)
            && !peer.dirty
        {
            peer.dirty = true;
            self.dirty.push(index);
        }
    }

    pub(crate) fn take_dirty(&mut self) -> Vec<usize> {
        let dirty = std::mem::take(&mut self.dirty);
        for index in &dirty {
            if let Some(peer) = self.get_mut(*index) {
                peer.dirty = false;
            }
        }
        dirty
    }

    pub(crate) const fn has_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Takes back a request that has not left; tells whether there was one.
    pub(crate) fn withdraw(&mut self, index: usize, id: u64) -> bool {
        self.get_mut(index)
            .is_some_and(|peer| peer.link.withdraw(id).is_some())
    }
}

#[cfg(test)]
mod tests;
