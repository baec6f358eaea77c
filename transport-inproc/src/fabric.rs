//! What all nodes share: time, the agenda, links, connections, and what waits for each node.

use std::cell::OnceCell;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use monofil_transport::record::Recorder;
use monofil_transport::{
    Endpoint, Instant, JobId, JobOutcome, LocalEndpoints, Plane, Progress, Shutdown, Stream,
};

use crate::agenda::{Agenda, Way, What};
use crate::connection::Connections;
use crate::jobs::{Flying, Job};
use crate::link::Link;
use crate::paced::HelperJob;
use crate::slab::Slab;
use crate::thread::{Clocks, ThreadTime};
use crate::trace::{NOBODY, Trace, TraceKind};
use crate::{LinkModel, NodeKey, Stats, WorldConfig};

/// Says how the way from one node to another behaves, by their names.
pub(crate) type LinkRule = Box<dyn Fn(&str, &str) -> LinkModel>;

/// Whether a node lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// It runs.
    Up,
    /// It is not started, or it crashed.
    Down,
    /// It ended by itself.
    Ended,
}

/// What waits for a node until it receives.
pub(crate) enum Mail {
    Frame {
        slot: u32,
        session: u32,
        generation: u32,
        way: Way,
        plane: Plane,
        frame: Bytes,
    },
    Datagram {
        from: SocketAddr,
        payload: Bytes,
    },
    Connection {
        slot: u32,
        generation: u32,
        change: Change,
    },
    Job(JobId, Box<JobOutcome>),
    Shutdown(Shutdown),
}

/// What became of a connection, for its owner.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    Connected,
    Gone,
    Writable,
}

/// A frame that has just been taken, as a schedule sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FrameOnTheWay {
    /// How many have left since there is a schedule, this one included.
    pub number: u64,
    /// When it leaves.
    pub at: Instant,
    /// Where it comes from.
    pub from: NodeKey,
    /// Where it goes.
    pub to: NodeKey,
    /// On which plane.
    pub plane: Plane,
    /// How long it is on the way, as its link has it.
    pub latency: Duration,
    /// Nothing arrives on this way for so long, because it is clogged.
    pub clogged: Duration,
    /// Along which direction of which connection: frames with the same one arrive in their order.
    pub lane: u64,
}

/// Decides when frames arrive, instead of links.
///
/// Frames of one direction of a connection stay in their order, whatever is decided. A link that is cut, or a connection
/// that breaks, does what it does all the same: not all frames that leave arrive.
pub trait Arrivals {
    /// A frame leaves. Returns how long it is on the way.
    fn leaves(&mut self, frame: &FrameOnTheWay) -> Duration;

    /// The frame with this number is there. Returns nothing to let it arrive, or after how long it is to be asked again;
    /// meanwhile those behind it wait.
    fn arrives(&mut self, now: Instant, number: u64) -> Option<Duration> {
        let _ = (now, number);
        None
    }
}

impl<F: FnMut(&FrameOnTheWay) -> Duration> Arrivals for F {
    fn leaves(&mut self, frame: &FrameOnTheWay) -> Duration {
        self(frame)
    }
}

/// One node, as the fabric sees it.
pub(crate) struct NodeState {
    pub(crate) name: Arc<str>,
    pub(crate) local: LocalEndpoints,
    pub(crate) life: Life,
    pub(crate) paused: bool,
    /// Its thread computes, and is free again when [`What::Free`] comes due.
    pub(crate) busy: bool,
    pub(crate) busy_until: u64,
    /// It was to turn while it was busy.
    pub(crate) missed: bool,
    /// What each of its turns takes.
    pub(crate) slow_by: u64,
    /// `None` as long as its clocks go as the world does.
    pub(crate) clocks: Option<Box<Clocks>>,
    /// Whether a program turns; otherwise somebody uses its handle.
    pub(crate) has_program: bool,
    /// Whether it is in the queue of those that turn next.
    pub(crate) queued: bool,
    pub(crate) incarnation: u64,
    /// When its program wants to turn; `u64::MAX` for never.
    pub(crate) wake_at: u64,
    /// The time of its wake-up on the agenda; others of it are stale.
    pub(crate) armed_at: u64,
    pub(crate) mail: VecDeque<Mail>,
    pub(crate) datagrams_waiting: u32,
    pub(crate) jobs: usize,
    /// Connections that it opened.
    pub(crate) owned: BTreeSet<u32>,
    /// Connections that were opened to it and that it believes are up.
    pub(crate) accepted: BTreeSet<u32>,
    /// Connections (slot, generation) that wait until it can be reached.
    pub(crate) waiting: Vec<(u32, u32)>,
    pub(crate) entropy: Option<Box<Stream>>,
    pub(crate) progress: OnceCell<Arc<Progress>>,
}

/// Everything but the programs.
pub(crate) struct Fabric {
    pub(crate) config: WorldConfig,
    pub(crate) now: u64,
    pub(crate) agenda: Agenda,
    /// Nodes that turn next, in the order in which they became ready.
    pub(crate) ready: VecDeque<u32>,
    pub(crate) nodes: Vec<NodeState>,
    pub(crate) connections: Connections,
    pub(crate) links: Vec<Link>,
    /// How links behave that are not there yet; `None` for all as the configuration says.
    pub(crate) link_rule: Option<LinkRule>,
    link_numbers: HashMap<u64, u32, BuildHasherDefault<PairHasher>>,
    pub(crate) endpoints: HashMap<Endpoint, (u32, Plane)>,
    pub(crate) addresses: HashMap<SocketAddr, u32>,
    /// Connections to endpoints that no node has.
    pub(crate) unresolved: HashMap<Endpoint, Vec<(u32, u32)>>,
    pub(crate) datagrams: Slab<Flying>,
    pub(crate) jobs: Slab<Job>,
    /// In a paced world, jobs on their way to helper threads.
    pub(crate) helper_jobs: Option<Vec<HelperJob>>,
    pub(crate) thread: ThreadTime,
    pub(crate) schedule: Option<Box<dyn Arrivals>>,
    /// How many frames the schedule has decided about.
    pub(crate) scheduled: u64,
    pub(crate) trace: Trace,
    pub(crate) stats: Stats,
}

impl Fabric {
    pub(crate) fn new(config: WorldConfig) -> Self {
        let recorder = (config.records_max > 0).then(|| Recorder::new(config.records_max));
        Self {
            now: 0,
            agenda: Agenda::default(),
            ready: VecDeque::new(),
            nodes: Vec::new(),
            connections: Connections::default(),
            links: Vec::new(),
            link_rule: None,
            link_numbers: HashMap::default(),
            endpoints: HashMap::new(),
            addresses: HashMap::new(),
            unresolved: HashMap::new(),
            datagrams: Slab::default(),
            jobs: Slab::default(),
            helper_jobs: None,
            thread: ThreadTime::default(),
            schedule: None,
            scheduled: 0,
            trace: Trace::new(recorder),
            stats: Stats::default(),
            config,
        }
    }

    #[inline]
    pub(crate) fn node(&mut self, node: u32) -> &mut NodeState {
        &mut self.nodes[node as usize]
    }

    /// Returns the number of the link from one node to another.
    pub(crate) fn link(&mut self, from: u32, to: u32) -> u32 {
        let pair = u64::from(from) << 32 | u64::from(to);
        if let Some(number) = self.link_numbers.get(&pair) {
            return *number;
        }
        let number = u32::try_from(self.links.len()).expect("a world has fewer than 2^32 links");
        let [from_name, to_name] = [from, to].map(|node| &*self.nodes[node as usize].name);
        let model = match &self.link_rule {
            Some(rule) => rule(from_name, to_name),
            None => self.config.link.clone(),
        };
        let (ends, names) = ([from, to], [from_name, to_name]);
        let link = Link::new(model, self.config.seed, ends, names);
        self.links.push(link);
        self.link_numbers.insert(pair, number);
        number
    }

    /// Returns the ways that are cut, in the order in which they came up.
    pub(crate) fn cut_pairs(&self) -> Vec<(u32, u32)> {
        let cut = self.links.iter().filter(|link| link.is_cut());
        cut.map(|link| (link.from, link.to)).collect()
    }

    /// Lets a node with a program turn soon.
    #[inline]
    pub(crate) fn make_ready(&mut self, node: u32) {
        let state = &mut self.nodes[node as usize];
        state.missed |= state.busy;
        let can_turn = state.life == Life::Up && !state.paused && !state.busy;
        if state.has_program && !state.queued && can_turn {
            state.queued = true;
            self.ready.push_back(node);
        }
    }

    /// Puts something into a node's mail and lets it turn.
    #[inline]
    pub(crate) fn deliver(&mut self, node: u32, mail: Mail) {
        self.node(node).mail.push_back(mail);
        self.make_ready(node);
    }

    /// Tells the owner of a connection what became of it.
    pub(crate) fn report(&mut self, slot: u32, change: Change) {
        let connection = self.connections.get(slot);
        let (owner, target, generation) =
            (connection.owner, connection.target, connection.generation);
        let kind = match change {
            Change::Connected => TraceKind::Connected,
            Change::Gone => TraceKind::PeerGone,
            Change::Writable => TraceKind::Writable,
        };
        self.trace.add(self.now, kind, owner, target, 0);
        let mail = Mail::Connection {
            slot,
            generation,
            change,
        };
        self.deliver(owner, mail);
    }

    /// Remembers when a node wants to turn.
    #[inline]
    pub(crate) fn wake_at(&mut self, node: u32, time: u64) {
        if time <= self.now {
            self.make_ready(node);
            return;
        }
        let state = &mut self.nodes[node as usize];
        state.wake_at = time;
        if time < state.armed_at {
            state.armed_at = time;
            self.agenda.add(self.now, time, What::Wake { node });
        }
    }

    /// A wake-up came due: the node turns if that is still what it wants.
    pub(crate) fn woken(&mut self, node: u32) {
        let now = self.now;
        let state = &mut self.nodes[node as usize];
        if state.armed_at <= now {
            state.armed_at = u64::MAX;
        }
        if state.wake_at <= now {
            state.wake_at = u64::MAX;
            self.make_ready(node);
        } else {
            self.rearm(node);
        }
    }

    /// Notes that the node which has just turned computes for so long.
    #[cold]
    pub(crate) fn keep_busy(&mut self, node: u32, nanos: u64) {
        let until = self.now.saturating_add(nanos);
        let state = &mut self.nodes[node as usize];
        (state.busy, state.busy_until, state.missed) = (true, until, false);
        self.agenda.add(self.now, until, What::Free { node });
    }

    /// A node's thread may be free again.
    pub(crate) fn free(&mut self, node: u32) {
        let state = &mut self.nodes[node as usize];
        if state.busy && state.busy_until <= self.now {
            state.busy = false;
            if state.missed {
                self.make_ready(node);
            }
        }
    }

    fn rearm(&mut self, node: u32) {
        let state = &mut self.nodes[node as usize];
        if state.wake_at < state.armed_at {
            state.armed_at = state.wake_at;
            let time = state.wake_at;
            self.agenda.add(self.now, time, What::Wake { node });
        }
    }

    /// Returns when the next thing in the future happens, dropping wake-ups that nobody wants.
    pub(crate) fn next_time(&mut self) -> Option<u64> {
        loop {
            let (time, what) = self.agenda.peek()?;
            let What::Wake { node } = what else {
                return Some(time);
            };
            let state = &mut self.nodes[node as usize];
            if state.armed_at == time && state.wake_at <= time {
                return Some(time);
            }
            self.agenda.skip();
            if state.armed_at == time {
                state.armed_at = u64::MAX;
                self.rearm(node);
            }
        }
    }

    /// Counts frames that were lost.
    pub(crate) fn count_lost(&mut self, frames: usize, to: u32, from: u32) {
        if frames > 0 {
            self.stats.frames_lost += frames as u64;
            self.trace
                .add(self.now, TraceKind::FramesLost, to, from, frames as u64);
        }
    }

    pub(crate) fn record(&mut self, kind: TraceKind, node: u32) {
        self.trace.add(self.now, kind, node, NOBODY, 0);
    }
}

/// Hashes a pair of node numbers: one multiplication.
#[derive(Default)]
pub(crate) struct PairHasher(u64);

impl Hasher for PairHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word ^ 0x9e37_79b9_7f4a_7c15) * 0xa076_1d64_78bd_642f;
        self.0 = (product as u64) ^ ((product >> 64) as u64);
    }
}
