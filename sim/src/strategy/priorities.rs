//! PCTCP: chains of messages have priorities, and a few of these change.

use std::collections::BTreeMap;
use std::time::Duration;

use monofil_inproc::{FrameOnTheWay, NodeKey};
use monofil_transport::{Instant, Stream};

use super::chains::{Chains, Past};
use super::turns::Choose;

/// Chooses the frame whose chain has the highest priority; see [`Strategy::Pct`](crate::Strategy::Pct).
pub(super) struct Priorities {
    stream: Stream,
    chains: Chains,
    /// Of each chain; the highest is first. Those that were lowered are less than [`INITIAL`].
    priorities: Vec<u64>,
    /// Frames at whose turn the priority of their chain falls, each to the place that it has here.
    points: Vec<u64>,
    /// Frames on the way.
    frames: BTreeMap<u64, Frame>,
    /// The past of what comes after the last frame along each direction of a connection.
    lanes: BTreeMap<u64, Past>,
    /// When the last frame arrived at each node, and the past of what comes after it.
    heard: BTreeMap<NodeKey, (Instant, Past)>,
}

struct Frame {
    to: NodeKey,
    chain: usize,
    past: Past,
}

/// No chain has a lower priority before a change.
const INITIAL: u64 = 1 << 32;

/// A run is taken to have at most as many frames as one of these, as powers of two.
const FRAMES_LOG2: std::ops::Range<u32> = 4..14;

/// A beat is one of these.
const BEATS: [Duration; 3] = [
    Duration::from_micros(50),
    Duration::from_micros(500),
    Duration::from_millis(5),
];

impl Priorities {
    pub(super) fn new(seed: u64, depth: u32) -> Self {
        let mut stream = Stream::new(seed, "schedule/priorities");
        let logs = u64::from(FRAMES_LOG2.end - FRAMES_LOG2.start);
        let frames = 1 << (u64::from(FRAMES_LOG2.start) + stream.below(logs));
        let mut points: Vec<u64> = Vec::new();
        // There are no more points than frames.
        while (points.len() as u64) < u64::from(depth - 1).min(frames) {
            let point = 1 + stream.below(frames);
            if !points.contains(&point) {
                points.push(point);
            }
        }
        Self {
            stream,
            chains: Chains::default(),
            priorities: Vec::new(),
            points,
            frames: BTreeMap::new(),
            lanes: BTreeMap::new(),
            heard: BTreeMap::new(),
        }
    }

    /// Returns how long a beat of this run is. Time-outs and messages come in another order with each.
    pub(super) fn beat(seed: u64) -> Duration {
        let mut stream = Stream::new(seed, "schedule/beat");
        let place = stream.below(BEATS.len() as u64);
        BEATS[usize::try_from(place).unwrap_or(0)]
    }
}

impl Choose for Priorities {
    fn leaves(&mut self, frame: &FrameOnTheWay) {
        let mut past = self.lanes.get(&frame.lane).cloned().unwrap_or_default();
        // What is sent the moment a frame arrives is sent because of it.
        if let Some((at, because)) = self.heard.get(&frame.from)
            && *at == frame.at
        {
            past.join(because);
        }
        let (chain, past) = self.chains.add(past);
        if chain == self.priorities.len() {
            let priority = INITIAL + self.stream.below(u64::MAX - INITIAL);
            self.priorities.push(priority);
        }
        self.lanes.insert(frame.lane, past.clone());
        let to = frame.to;
        self.frames.insert(frame.number, Frame { to, chain, past });
    }

    fn choose(&mut self, there: &[u64]) -> u64 {
        loop {
            let chain = |number: &u64| self.frames.get(number).map_or(0, |frame| frame.chain);
            let first = there
                .iter()
                .rev()
                .max_by_key(|number| self.priorities[chain(number)]);
            let first = first.copied().unwrap_or_default();
            match self.points.iter().position(|point| *point == first) {
                None => return first,
                Some(place) => {
                    self.points[place] = 0;
                    let chain = chain(&first);
                    self.priorities[chain] = place as u64;
                }
            }
        }
    }

    fn arrives(&mut self, now: Instant, number: u64) {
        if let Some(frame) = self.frames.remove(&number) {
            self.heard.insert(frame.to, (now, frame.past));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use monofil_inproc::{FrameOnTheWay, World, WorldConfig};

    use super::*;

    thread_local! {
        /// Frames as a world makes them, which alone knows how to.
        static FRAMES: Vec<FrameOnTheWay> = {
            let world = World::new(WorldConfig::with_seed(1));
            crate::strategy::tests::frames_of(world, 2, 2)
        };
    }

    /// Has frames of two connections arrive, two of each, and returns in which order: `AABB`.
    fn order(seed: u64, depth: u32) -> String {
        let mut priorities = Priorities::new(seed, depth);
        let frames = FRAMES.with(Vec::clone);
        let mut waiting: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for frame in &frames {
            priorities.leaves(frame);
            waiting.entry(frame.lane).or_default().push(frame.number);
        }
        let lanes: Vec<u64> = waiting.keys().copied().collect();
        let mut order = String::new();
        for _ in &frames {
            let mut heads: Vec<u64> = waiting
                .values()
                .filter_map(|it| it.first().copied())
                .collect();
            heads.sort_unstable();
            let chosen = priorities.choose(&heads);
            priorities.arrives(Instant::ZERO, chosen);
            for (lane, waiting) in &mut waiting {
                if waiting.first() == Some(&chosen) {
                    waiting.remove(0);
                    order.push(if *lane == lanes[0] { 'A' } else { 'B' });
                }
            }
        }
        order
    }

    /// Returns how often each order comes up.
    fn orders(depth: u32, seeds: u64) -> BTreeMap<String, u64> {
        let mut orders = BTreeMap::new();
        for seed in 0..seeds {
            *orders.entry(order(seed, depth)).or_default() += 1;
        }
        orders
    }

    /// The first of B goes into a chain of its own, and the second into another: three chains, where two might do.
    #[test]
    fn priorities_alone_reach_what_needs_no_change_and_changes_reach_the_rest() {
        let seen = |depth| orders(depth, 3_000).into_keys().collect::<Vec<_>>();
        assert_eq!(seen(1), ["AABB", "BAAB", "BBAA"]);
        assert!(seen(2).contains(&"ABBA".to_owned()), "{:?}", seen(2));
        assert_eq!(seen(3), ["AABB", "ABAB", "ABBA", "BAAB", "BABA", "BBAA"]);
    }

    /// What the paper promises for two independent messages at most and four in all, taken for sixteen, which one run
    /// in ten does.
    #[test]
    fn an_order_that_needs_two_events_is_as_likely_as_is_promised() {
        let seeds = 4_000;
        let orders = orders(2, seeds);
        let promised = seeds / 10 / (2 * 2 * 16);
        for pair in [["ABBA", "BABA"], ["BAAB", "ABAB"]] {
            let times: u64 = pair.iter().filter_map(|order| orders.get(*order)).sum();
            assert!(
                times >= promised,
                "{pair:?}: {times}, promised {promised}: {orders:?}"
            );
        }
    }

    #[test]
    fn chains_are_as_likely_to_be_first() {
        let first = (0..2_000)
            .filter(|seed| order(*seed, 1).starts_with('A'))
            .count();
        assert!((900..1_100).contains(&first), "{first} of 2000");
    }
}
