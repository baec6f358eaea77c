//! What may go wrong, family by family, and how a seed makes a plan of it.

use std::fmt;
use std::time::Duration;

use monofil_transport::{Probability, Stream};
use serde::{Deserialize, Serialize};

use crate::plan::{
    ANY, BandwidthPlan, BurstPlan, Event, Happening, LinkPlan, Plan, ServiceTime, Shape, StallPlan,
    Way,
};
use crate::{Chance, Injection, Machines, Span, SpanRange};

/// What may go wrong. A seed draws a [`Plan`] from it: which families are on, how bad they are, what happens when.
///
/// Plain data, in Rust or TOML:
///
/// ```
/// use monofil_sim::{Episodes, Faults, SpanRange};
///
/// let faults: Faults = toml::from_str(r#"
///     lasts = "20s"
///     latency = [{ shape = "uniform", range = "1ms..50ms" }]
///     [partitions]
///     every = "5s"
///     lasts = "100ms..8s"
/// "#)?;
/// let same = Faults {
///     latency: Some(Faults::all().latency.unwrap()[1..2].to_vec()),
///     partitions: Some(Episodes::every(monofil_sim::Span::secs(5), SpanRange::millis(100, 8_000))),
///     ..Faults::none()
/// };
/// assert_eq!(faults.partitions, same.partitions);
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// How long things go wrong, from the beginning; then all heals. Default 20 s.
    pub lasts: Span,
    /// Whether each seed leaves about half of the families out, so that some runs have only one of them and some
    /// none (Groce et al., "Swarm testing", ISSTA 2012); and whether some of what is drawn for links is only so one way,
    /// to or from one node. What is written down as it is to be (ways, events, messages) is never left out. Default true.
    pub swarm: bool,
    /// Latencies, one of which is drawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Vec<Shape>>,
    /// The most datagrams that are lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<Chance>,
    /// Bursts in which datagrams are lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bursts: Option<BurstPlan>,
    /// The most datagrams that arrive twice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplication: Option<Chance>,
    /// The most datagrams that are overtaken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reordering: Option<Chance>,
    /// The most datagrams that arrive with a bit turned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corruption: Option<Chance>,
    /// Frames that stall.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stalls: Option<StallPlan>,
    /// What links carry at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<BandwidthPlan>,
    /// Partitions: one-way, both ways, bridged, flapping.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partitions: Option<Episodes>,
    /// Connections that break.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disconnects: Option<Episodes>,
    /// Links on which nothing arrives for a while.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clogs: Option<Episodes>,
    /// Nodes that are killed and start again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crashes: Option<Episodes>,
    /// Machines that are gone, and come back with a node that has forgotten everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outages: Option<Episodes>,
    /// Nodes that do nothing for a while.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pauses: Option<Episodes>,
    /// Nodes whose turns take longer, by up to 20 ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slowness: Option<Episodes>,
    /// Clocks that drift, by up to a tenth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift: Option<Episodes>,
    /// Wall clocks that jump, by up to a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_steps: Option<Episodes>,
    /// How long handlers take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<Vec<ServiceTime>>,
    /// What is otherwise on single ways between nodes, whatever is drawn.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ways: Vec<Way>,
    /// What happens, whatever is drawn.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Event>,
    /// What is done to messages. No network does this, so [`Faults::all`] does not either: what is dropped here is
    /// lost although links lose nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<Injection>,
}

/// Something that happens again and again, at random times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Episodes {
    /// The mean time from the beginning of one to that of the next.
    pub every: Span,
    /// How long each lasts.
    pub lasts: SpanRange,
    /// To which nodes; empty for all that are no clients. Partitions, broken connections and clogged links come
    /// between any two nodes of which one is meant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<String>,
}

impl Episodes {
    /// Makes one that may happen to any node.
    #[must_use]
    pub const fn every(every: Span, lasts: SpanRange) -> Self {
        Self {
            every,
            lasts,
            nodes: Vec::new(),
        }
    }

    /// Makes it happen to these nodes only.
    #[must_use]
    pub fn to(mut self, nodes: &[&str]) -> Self {
        self.nodes = nodes.iter().map(|&node| node.to_owned()).collect();
        self
    }
}

/// A kind of fault, which a seed has or has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "they are the fields of `Faults`")]
pub enum Family {
    Latency,
    Loss,
    Bursts,
    Duplication,
    Reordering,
    Corruption,
    Stalls,
    Bandwidth,
    Partitions,
    Disconnects,
    Clogs,
    Crashes,
    Outages,
    Pauses,
    Slowness,
    Drift,
    ClockSteps,
    Service,
    Ways,
    Events,
    Messages,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 21] = [
        Self::Latency,
        Self::Loss,
        Self::Bursts,
        Self::Duplication,
        Self::Reordering,
        Self::Corruption,
        Self::Stalls,
        Self::Bandwidth,
        Self::Partitions,
        Self::Disconnects,
        Self::Clogs,
        Self::Crashes,
        Self::Outages,
        Self::Pauses,
        Self::Slowness,
        Self::Drift,
        Self::ClockSteps,
        Self::Service,
        Self::Ways,
        Self::Events,
        Self::Messages,
    ];

    /// Returns its name, as in a file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::Loss => "loss",
            Self::Bursts => "bursts",
            Self::Duplication => "duplication",
            Self::Reordering => "reordering",
            Self::Corruption => "corruption",
            Self::Stalls => "stalls",
            Self::Bandwidth => "bandwidth",
            Self::Partitions => "partitions",
            Self::Disconnects => "disconnects",
            Self::Clogs => "clogs",
            Self::Crashes => "crashes",
            Self::Outages => "outages",
            Self::Pauses => "pauses",
            Self::Slowness => "slowness",
            Self::Drift => "drift",
            Self::ClockSteps => "clock_steps",
            Self::Service => "service",
            Self::Ways => "ways",
            Self::Events => "events",
            Self::Messages => "messages",
        }
    }

    /// Tells whether somebody wrote down how it is to be: nothing of it is drawn.
    const fn is_written(self) -> bool {
        matches!(self, Self::Ways | Self::Events | Self::Messages)
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self::none()
    }
}

/// How many things of one family may be expected in a run; faults with more that somebody wrote down are refused.
pub(crate) const EPISODES_EXPECTED_MAX: u64 = 5_000;

/// How many things of one family happen in a run at most. As times are drawn it is never as many if no more are
/// expected: it is seventy standard deviations more.
const EPISODES_MAX: u64 = 2 * EPISODES_EXPECTED_MAX;

impl Faults {
    /// Nothing goes wrong.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            lasts: Span::secs(20),
            swarm: true,
            latency: None,
            loss: None,
            bursts: None,
            duplication: None,
            reordering: None,
            corruption: None,
            stalls: None,
            bandwidth: None,
            partitions: None,
            disconnects: None,
            clogs: None,
            crashes: None,
            outages: None,
            pauses: None,
            slowness: None,
            drift: None,
            clock_steps: None,
            service: None,
            ways: Vec::new(),
            events: Vec::new(),
            messages: Vec::new(),
        }
    }

    /// Everything that may go wrong between nodes goes wrong; no node loses its memory, and clocks go right.
    #[must_use]
    pub fn network() -> Self {
        let some = |every, min, max| {
            Some(Episodes::every(
                Span::millis(every),
                SpanRange::millis(min, max),
            ))
        };
        Self {
            latency: Some(vec![
                Shape::constant(Span::millis(1)),
                Shape::Uniform {
                    range: SpanRange::millis(1, 50),
                },
                Shape::Exponential {
                    min: Span::millis(1),
                    mean: Span::millis(20),
                },
                Shape::LogNormal {
                    median: Span::millis(5),
                    sigma_percent: 120,
                },
                Shape::Table {
                    quantiles: [1, 2, 3, 5, 400].map(Span::millis).to_vec(),
                },
            ]),
            loss: Some(Chance::percent(20)),
            bursts: Some(BurstPlan {
                begin: Chance::percent(1),
                end: Chance::percent(10),
                loss: Chance::percent(90),
            }),
            duplication: Some(Chance::percent(20)),
            reordering: Some(Chance::percent(20)),
            corruption: Some(Chance::percent(2)),
            stalls: Some(StallPlan {
                probability: Chance::percent(2),
                lasts: Span::millis(200),
            }),
            bandwidth: Some(BandwidthPlan {
                bytes_per_second: 100_000,
                queue_bytes: 65_536,
            }),
            partitions: some(6_000, 50, 8_000),
            disconnects: some(4_000, 0, 0),
            clogs: some(4_000, 50, 3_000),
            ..Self::none()
        }
    }

    /// Everything that may go wrong goes wrong, except that nothing is done to single messages.
    #[must_use]
    pub fn all() -> Self {
        let some = |every, min, max| {
            Some(Episodes::every(
                Span::millis(every),
                SpanRange::millis(min, max),
            ))
        };
        Self {
            crashes: some(6_000, 10, 4_000),
            outages: some(12_000, 10, 9_000),
            pauses: some(6_000, 50, 6_000),
            slowness: some(6_000, 100, 5_000),
            drift: some(6_000, 100, 20_000),
            clock_steps: some(6_000, 100, 10_000),
            service: Some(vec![ServiceTime {
                component: String::new(),
                method: String::new(),
                takes: Shape::Exponential {
                    min: Span::default(),
                    mean: Span::millis(1),
                },
            }]),
            ..Self::network()
        }
    }

    /// Returns what happens again and again, with the names of the families.
    pub(crate) fn written_episodes(&self) -> impl Iterator<Item = (&'static str, &Episodes)> {
        let all = [
            (Family::Partitions, &self.partitions),
            (Family::Disconnects, &self.disconnects),
            (Family::Clogs, &self.clogs),
            (Family::Crashes, &self.crashes),
            (Family::Outages, &self.outages),
            (Family::Pauses, &self.pauses),
            (Family::Slowness, &self.slowness),
            (Family::Drift, &self.drift),
            (Family::ClockSteps, &self.clock_steps),
        ];
        let all = all.into_iter();
        all.filter_map(|(family, episodes)| Some((family.name(), episodes.as_ref()?)))
    }

    /// Returns which families there are.
    #[must_use]
    pub fn families(&self) -> Vec<Family> {
        let has = |family: &Family| match family {
            Family::Latency => self.latency.is_some(),
            Family::Loss => self.loss.is_some(),
            Family::Bursts => self.bursts.is_some(),
            Family::Duplication => self.duplication.is_some(),
            Family::Reordering => self.reordering.is_some(),
            Family::Corruption => self.corruption.is_some(),
            Family::Stalls => self.stalls.is_some(),
            Family::Bandwidth => self.bandwidth.is_some(),
            Family::Partitions => self.partitions.is_some(),
            Family::Disconnects => self.disconnects.is_some(),
            Family::Clogs => self.clogs.is_some(),
            Family::Crashes => self.crashes.is_some(),
            Family::Outages => self.outages.is_some(),
            Family::Pauses => self.pauses.is_some(),
            Family::Slowness => self.slowness.is_some(),
            Family::Drift => self.drift.is_some(),
            Family::ClockSteps => self.clock_steps.is_some(),
            Family::Service => self.service.is_some(),
            Family::Ways => !self.ways.is_empty(),
            Family::Events => !self.events.is_empty(),
            Family::Messages => !self.messages.is_empty(),
        };
        Family::ALL.into_iter().filter(has).collect()
    }

    /// Returns which families are on in the run of a seed.
    #[must_use]
    pub fn on(&self, seed: u64) -> Vec<Family> {
        let is_on = |family: &Family| {
            let mut stream = Stream::new(seed, &format!("swarm/{family}"));
            !self.swarm || family.is_written() || stream.chance(Probability::percent(50))
        };
        self.families().into_iter().filter(is_on).collect()
    }

    /// Draws what goes wrong in the run of a seed, with these nodes. Each family has a stream of its own: one more,
    /// or one more node for another, changes nothing about it. Of what happens again and again there are at most 10,000.
    #[must_use]
    pub fn draw(&self, seed: u64, nodes: &Nodes) -> Plan {
        let mut drawing = Drawing {
            faults: self,
            seed,
            nodes,
            plan: Plan::default(),
        };
        for family in self.on(seed) {
            let mut stream = Stream::new(seed, &format!("faults/{family}"));
            drawing.family(family, &mut stream);
        }
        let mut plan = drawing.plan;
        plan.events.sort_by_key(|event| event.at);
        plan
    }
}

/// The nodes of a run, by what may happen to them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nodes {
    /// Those of the app.
    pub members: Vec<String>,
    /// Those that only call: they are cut off as others are, and nothing else happens to them.
    pub clients: Vec<String>,
    /// On which machines they are: nothing is drawn for what is between two on one.
    pub machines: Machines,
}

struct Drawing<'a> {
    faults: &'a Faults,
    seed: u64,
    nodes: &'a Nodes,
    plan: Plan,
}

impl Drawing<'_> {
    fn family(&mut self, family: Family, stream: &mut Stream) {
        let faults = self.faults;
        let mut link = LinkPlan::default();
        match family {
            Family::Latency => link.latency = pick(&faults.latency, stream),
            Family::Loss => link.loss = up_to(faults.loss, stream),
            Family::Bursts => link.bursts = faults.bursts,
            Family::Duplication => link.duplication = up_to(faults.duplication, stream),
            Family::Reordering => link.reordering = up_to(faults.reordering, stream),
            Family::Corruption => link.corruption = up_to(faults.corruption, stream),
            Family::Stalls => link.stalls = faults.stalls,
            Family::Bandwidth => link.bandwidth = faults.bandwidth,
            Family::Service => self.plan.service = faults.service.clone().unwrap_or_default(),
            Family::Ways => self.plan.ways.extend(faults.ways.iter().cloned()),
            Family::Events => self.plan.events.extend(faults.events.iter().cloned()),
            Family::Messages => self.plan.messages.clone_from(&faults.messages),
            Family::Partitions => self.episodes(family, &faults.partitions, stream),
            Family::Disconnects => self.episodes(family, &faults.disconnects, stream),
            Family::Clogs => self.episodes(family, &faults.clogs, stream),
            Family::Crashes => self.episodes(family, &faults.crashes, stream),
            Family::Outages => self.episodes(family, &faults.outages, stream),
            Family::Pauses => self.episodes(family, &faults.pauses, stream),
            Family::Slowness => self.episodes(family, &faults.slowness, stream),
            Family::Drift => self.episodes(family, &faults.drift, stream),
            Family::ClockSteps => self.episodes(family, &faults.clock_steps, stream),
        }
        if link != LinkPlan::default() {
            self.link(family, link);
        }
    }

    /// Has links behave like that: all of them, or some one way only. Networks are often not the same both ways: one
    /// cable is broken, one queue is full.
    fn link(&mut self, family: Family, link: LinkPlan) {
        let mut choices = Stream::new(self.seed, &format!("faults/{family}/way"));
        let is_one_way = self.faults.swarm && choices.below(3) == 0;
        match is_one_way.then(|| self.way(&mut choices)).flatten() {
            Some((from, to)) => self.plan.ways.push(Way { from, to, link }),
            None => self.plan.link = link.or(std::mem::take(&mut self.plan.link)),
        }
    }

    /// Draws a way: to or from a node, mostly from or to all others.
    fn way(&self, choices: &mut Stream) -> Option<(String, String)> {
        let node = choose(&self.nodes.members, choices)?.clone();
        let peer = match choices.below(3) {
            0 => self.peer(&node, choices)?,
            _ => ANY.to_owned(),
        };
        Some(match choices.below(2) {
            0 => (node, peer),
            _ => (peer, node),
        })
    }

    fn episodes(&mut self, family: Family, episodes: &Option<Episodes>, times: &mut Stream) {
        let Some(episodes) = episodes else {
            return;
        };
        let mut choices = Stream::new(self.seed, &format!("faults/{family}/what"));
        let mut at = Duration::ZERO;
        for _ in 0..EPISODES_MAX {
            at = at.saturating_add(times.exponential(episodes.every.0));
            if at >= self.faults.lasts.0 {
                return;
            }
            let lasts = episodes.lasts.draw(times);
            if let Some(what) = self.happening(family, episodes, &mut choices) {
                // Microseconds read better, and are fine enough.
                self.plan.events.push(Event {
                    at: Span::of_nanos(Span(at).nanos() / 1_000 * 1_000),
                    lasts: (family != Family::Disconnects)
                        .then(|| Span::of_nanos(lasts.nanos() / 1_000 * 1_000)),
                    what,
                });
            }
        }
    }

    fn happening(
        &self,
        family: Family,
        episodes: &Episodes,
        choices: &mut Stream,
    ) -> Option<Happening> {
        let meant = match episodes.nodes.is_empty() {
            true => &self.nodes.members,
            false => &episodes.nodes,
        };
        let node = choose(meant, choices)?.clone();
        Some(match family {
            Family::Partitions => return self.partition(meant, choices),
            Family::Disconnects => Happening::Disconnect {
                peer: self.peer(&node, choices)?,
                node,
            },
            Family::Clogs => Happening::Clog {
                peer: self.peer(&node, choices)?,
                node,
            },
            Family::Crashes => Happening::Crash {
                node,
                machine: false,
            },
            Family::Outages => Happening::Crash {
                node,
                machine: true,
            },
            Family::Pauses => Happening::Pause { node },
            Family::Slowness => Happening::Slow {
                node,
                each_turn: Span(Duration::from_micros(1 + choices.below(20_000))),
            },
            Family::Drift => Happening::Drift {
                node,
                ppm: signed(choices.below(200_001), 100_000),
            },
            Family::ClockSteps => Happening::StepClock {
                node,
                millis: signed(choices.below(120_001), 60_000).into(),
            },
            _ => return None,
        })
    }

    /// Returns a node on another machine, a client perhaps.
    fn peer(&self, node: &str, choices: &mut Stream) -> Option<String> {
        let all = self.nodes.members.iter().chain(&self.nodes.clients);
        let is_near = |other: &str| self.nodes.machines.are_one(node, other);
        let others: Vec<_> = all
            .filter(|other| *other != node && !is_near(other))
            .collect();
        choose(&others, choices).map(|peer| (*peer).clone())
    }

    fn partition(&self, meant: &[String], choices: &mut Stream) -> Option<Happening> {
        let all = self.nodes.members.iter().chain(&self.nodes.clients);
        let mut all: Vec<_> = all.cloned().collect();
        choices.shuffle(&mut all);
        let (kind, size) = (choices.below(8), choices.below(all.len() as u64));
        let first = choose(meant, choices)?;
        // At least one that is meant on one side, and somebody on the other.
        all.retain(|node| node != first);
        let size = usize::try_from(size)
            .unwrap_or(0)
            .min(all.len().checked_sub(1)?);
        let mut from: Vec<_> = all.drain(..size).collect();
        from.push(first.clone());
        let mut to = all;
        // One node in neither group bridges them.
        if kind == 4 && to.len() > 1 {
            to.pop();
        }
        from.sort();
        to.sort();
        Some(Happening::Partition {
            from,
            to,
            one_way: kind < 2,
            flaps: (kind >= 6).then(|| Span::millis(20 + choices.below(500))),
        })
    }
}

fn choose<'a, T>(from: &'a [T], choices: &mut Stream) -> Option<&'a T> {
    let index = choices.below(from.len() as u64);
    from.get(usize::try_from(index).ok()?)
}

fn pick(shapes: &Option<Vec<Shape>>, stream: &mut Stream) -> Option<Shape> {
    choose(shapes.as_deref().unwrap_or_default(), stream).cloned()
}

/// Draws how bad it is, from a tenth of the most to the most.
fn up_to(most: Option<Chance>, stream: &mut Stream) -> Option<Chance> {
    let most = u64::from(most?.0.as_ppm());
    let least = most / 10;
    let drawn = least + stream.below(most - least + 1);
    Some(Chance::ppm(u32::try_from(drawn).unwrap_or(u32::MAX)))
}

/// Moves a number from `0..=2 * most` to `-most..=most`.
fn signed(number: u64, most: i32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX) - most
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn shop() -> Nodes {
        Nodes {
            members: ["orders", "payments", "stock"].map(str::to_owned).to_vec(),
            clients: vec!["customers".to_owned()],
            ..Nodes::default()
        }
    }

    #[test]
    fn the_faults_on_the_page_are_what_it_says() {
        let page = include_str!("../../docs/simulation.md");
        let mut texts = page.split("```toml\n").skip(1).map(|rest| {
            let (text, _) = rest.split_once("```").expect("their end");
            toml::from_str::<Faults>(text).expect("faults")
        });
        let faults = texts.next().expect("faults on the page");
        let third = Injection::reply("payments").on_flow("checkout").nth(3);
        let time = Span::millis(300);
        let delayed = third.does(crate::Deed::Delay { time });
        assert_eq!(faults.messages, [delayed]);
        assert!(faults.partitions.is_some() && faults.crashes.is_none());
        let faults = texts.next().expect("faults of ways");
        let plan = faults.draw(1, &shop());
        let (forth, back) = (
            plan.between("orders", "payments"),
            plan.between("payments", "orders"),
        );
        assert_eq!(forth.loss, Some(Chance::percent(20)));
        assert!(forth.latency.is_some() && forth.bandwidth.is_some());
        assert_eq!(back, LinkPlan::default());
        assert_eq!(plan.events.len(), 1);
    }

    #[test]
    fn a_seed_is_one_plan_and_a_plan_is_a_file() {
        let faults = Faults::all();
        for seed in 0..50 {
            let plan = faults.draw(seed, &shop());
            assert_eq!(plan, faults.draw(seed, &shop()));
            let text = toml::to_string(&plan).expect("a plan can be written");
            assert_eq!(toml::from_str(&text), Ok(plan), "{text}");
        }
        let text = toml::to_string(&faults).expect("faults can be written");
        assert_eq!(toml::from_str(&text), Ok(faults));
    }

    #[test]
    fn a_plan_says_which_families_it_has() {
        let calm = Plan::default().families();
        assert!(calm.is_empty(), "{calm:?}");
        let faults = Faults::all();
        let mut found = BTreeSet::new();
        for seed in 0..40 {
            let on = BTreeSet::from_iter(faults.on(seed));
            let has = faults.draw(seed, &shop()).families();
            assert!(has.is_subset(&on), "seed {seed}: {has:?} of {on:?}");
            found.extend(has);
        }
        assert_eq!(found, BTreeSet::from_iter(faults.families()));
    }

    #[test]
    fn a_seed_leaves_about_half_of_the_families_out() {
        let faults = Faults::all();
        let plans: Vec<_> = (0..400).map(|seed| faults.draw(seed, &shop())).collect();
        let share = |has: fn(&Plan) -> bool| plans.iter().filter(|plan| has(plan)).count();
        /// On all links, or on one way.
        fn has(plan: &Plan, is_said: fn(&LinkPlan) -> bool) -> bool {
            is_said(&plan.link) || plan.ways.iter().any(|way| is_said(&way.link))
        }
        let has_crash = |plan: &Plan| {
            let is_crash =
                |event: &Event| matches!(event.what, Happening::Crash { machine: false, .. });
            plan.events.iter().any(is_crash)
        };
        for share in [
            share(|plan| has(plan, |link| link.latency.is_some())),
            share(|plan| has(plan, |link| link.bandwidth.is_some())),
            share(|plan| !plan.service.is_empty()),
            share(has_crash),
        ] {
            assert!((140..=240).contains(&share), "{share}");
        }
    }

    #[test]
    fn links_are_not_always_the_same_both_ways() {
        let plans: Vec<_> = (0..400)
            .map(|seed| Faults::all().draw(seed, &shop()))
            .collect();
        for (from, to) in [("orders", "payments"), ("payments", "orders")] {
            let is_worse = |plan: &&Plan| {
                let (forth, back) = (plan.between(from, to), plan.between(to, from));
                forth.loss.is_some() && back.loss.is_none()
            };
            let count = plans.iter().filter(is_worse).count();
            assert!(count > 10, "{from} to {to}: {count}");
        }
        let both = |plan: &&Plan| plan.link.loss.is_some() && plan.ways.is_empty();
        assert!(plans.iter().any(|plan| both(&plan)));
    }

    #[test]
    fn what_is_written_down_is_never_left_out() {
        let faults: Faults = toml::from_str(
            r#"
            partitions = { every = "1s", lasts = "1s" }
            [[ways]]
            from = "orders"
            to = "*"
            link.loss = "20%"
            [[events]]
            event = "clog"
            at = "2s"
            lasts = "1s"
            node = "orders"
            peer = "*"
            [[messages]]
            component = "payments"
            deed = "drop"
            "#,
        )
        .expect("faults");
        let mut with_partitions = 0;
        for seed in 0..40 {
            let plan = faults.draw(seed, &shop());
            assert_eq!(
                (&plan.ways, &plan.messages),
                (&faults.ways, &faults.messages)
            );
            assert!(plan.events.contains(&faults.events[0]));
            with_partitions += u32::from(plan.events.len() > 1);
        }
        // Those are drawn.
        assert!((10..30).contains(&with_partitions), "{with_partitions}");
    }

    #[test]
    fn a_family_more_changes_nothing_about_the_others() {
        let faults = Faults {
            swarm: false,
            ..Faults::all()
        };
        let without = Faults {
            pauses: None,
            ..faults.clone()
        };
        let (with, without) = (faults.draw(7, &shop()), without.draw(7, &shop()));
        let is_pause = |event: &Event| matches!(event.what, Happening::Pause { .. });
        let rest: Vec<_> = with
            .events
            .iter()
            .filter(|it| !is_pause(it))
            .cloned()
            .collect();
        assert!(with.events.iter().any(is_pause));
        assert_eq!(rest, without.events);
    }

    #[test]
    fn only_the_nodes_that_are_meant_crash_and_clients_never() {
        let faults = Faults {
            swarm: false,
            crashes: Some(Episodes::every(Span::secs(1), SpanRange::millis(1, 2)).to(&["stock"])),
            partitions: Some(
                Episodes::every(Span::secs(1), SpanRange::millis(1, 2)).to(&["stock"]),
            ),
            pauses: Some(Episodes::every(Span::secs(1), SpanRange::millis(1, 2))),
            ..Faults::none()
        };
        for seed in 0..50 {
            for event in faults.draw(seed, &shop()).events {
                match event.what {
                    Happening::Crash { node, .. } => assert_eq!(node, "stock"),
                    Happening::Pause { node } => assert_ne!(node, "customers"),
                    Happening::Partition { from, to, .. } => {
                        assert!(from.contains(&"stock".to_owned()) && !to.is_empty());
                        assert!(from.iter().all(|node| !to.contains(node)));
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    #[test]
    fn what_happens_again_and_again_does_so_until_all_heals() {
        let often = |every| Faults {
            lasts: Span::secs(200),
            swarm: false,
            pauses: Some(Episodes::every(every, SpanRange::millis(1, 2))),
            ..Faults::none()
        };
        for seed in 0..20 {
            let events = often(Span::secs(1)).draw(seed, &shop()).events;
            let last = events.last().expect("a pause").at;
            assert!((150..250).contains(&events.len()), "{}", events.len());
            assert!(last > Span::secs(180), "{last}");
        }
        let bounded = often(Span::of_nanos(1)).draw(1, &shop()).events;
        assert_eq!(bounded.len(), 10_000);
    }

    #[test]
    fn a_family_that_nobody_knows_is_named() {
        let error = toml::from_str::<Faults>("partitons = 1").expect_err("a misspelt family");
        assert!(error.to_string().contains("partitons"), "{error}");
    }

    #[test]
    fn plans_are_pinned() {
        let plan = Faults::all().draw(42, &shop());
        let text = toml::to_string(&plan).expect("a plan can be written");
        let first: Vec<_> = text.lines().take(3).collect();
        let expected = ["[link]", "corruption = \"0.5265%\"", ""];
        assert_eq!((first, text.len()), (expected.to_vec(), 1_141));
    }
}
