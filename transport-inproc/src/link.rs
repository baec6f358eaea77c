//! The way from one node to another.

use std::sync::Arc;
use std::time::Duration;

use monofil_transport::{Probability, Stream};

/// How long messages are on the way. Each message has its own: messages in flight overlap, and frames
/// of one connection wait for the ones before them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Latency {
    /// Always the same.
    Constant(Duration),
    /// Equally likely between two bounds, both included.
    Uniform {
        /// The shortest.
        min: Duration,
        /// The longest.
        max: Duration,
    },
    /// A fixed part, and on top of it an exponentially distributed one.
    Exponential {
        /// The fixed part.
        min: Duration,
        /// The mean of what comes on top.
        mean: Duration,
    },
    /// Its logarithm is normally distributed: most are near the median, a few take very much longer, as in real
    /// networks.
    LogNormal {
        /// Half are shorter.
        median: Duration,
        /// The standard deviation of the logarithm, in hundredths; see
        /// [`Stream::log_normal`](monofil_transport::Stream::log_normal).
        sigma_percent: u32,
    },
    /// As it was measured somewhere: quantiles at equal distances, the shortest first; see
    /// [`Stream::quantile`](monofil_transport::Stream::quantile).
    Table(Arc<[Duration]>),
}

impl Latency {
    /// None at all.
    pub const ZERO: Self = Self::Constant(Duration::ZERO);

    /// Draws one.
    #[must_use]
    pub fn sample(&self, stream: &mut Stream) -> Duration {
        match self {
            Self::Constant(always) => *always,
            Self::Uniform { min, max } => stream.between(*min, *max),
            Self::Exponential { min, mean } => min.saturating_add(stream.exponential(*mean)),
            Self::LogNormal {
                median,
                sigma_percent,
            } => stream.log_normal(*median, *sigma_percent),
            Self::Table(quantiles) => stream.quantile(quantiles),
        }
    }
}

impl Default for Latency {
    fn default() -> Self {
        Self::ZERO
    }
}

/// Bursts of loss (Gilbert, "Capacity of a burst-noise channel", 1960; Elliott, 1963): a link is well or ill, and
/// each datagram may change that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bursts {
    /// How likely a datagram is to be the first of a burst.
    pub begin: Probability,
    /// How likely one in a burst is to be its last.
    pub end: Probability,
    /// How many are lost in a burst.
    pub loss: Probability,
}

/// What a link carries at most. Each frame and datagram takes its bytes' time on the link, after those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bandwidth {
    /// At least 1.
    pub bytes_per_second: u64,
    /// Datagrams that would wait behind more bytes than these are lost; frames wait, until their connection is full.
    pub queue_bytes: u64,
}

/// Frames that take longer than others, and hold up those behind them: what a connection makes of a lost packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stalls {
    /// How many frames stall.
    pub probability: Probability,
    /// For how long.
    pub duration: Duration,
}

/// How one direction between two nodes behaves. Plain data: a scenario can hold, compare and change it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkModel {
    /// How long frames are on the way.
    pub frame_latency: Latency,
    /// How long datagrams are on the way; longer for some than for others means that they overtake.
    pub datagram_latency: Latency,
    /// How many datagrams are lost.
    pub datagram_loss: Probability,
    /// Bursts, in which more are lost.
    pub datagram_bursts: Option<Bursts>,
    /// How many arrive twice.
    pub datagram_duplication: Probability,
    /// How many are held back, for up to as long as [`datagram_reordering_max`](Self::datagram_reordering_max), so
    /// that later ones overtake them.
    pub datagram_reordering: Probability,
    /// Default 10 ms.
    pub datagram_reordering_max: Duration,
    /// How many arrive with one bit turned. (Frames never do: what carries them has checksums.)
    pub datagram_corruption: Probability,
    /// Frames that stall.
    pub frame_stalls: Option<Stalls>,
    /// What passes at most; `None` for any number of bytes.
    pub bandwidth: Option<Bandwidth>,
    /// How many frames of one connection may be on the way or waiting to be received; the next one
    /// meets [`SendError::Full`](monofil_transport::SendError::Full). Default 32, at least 1.
    pub frames_max: u32,
}

impl LinkModel {
    /// Returns the default model with the same latency for frames and datagrams.
    #[must_use]
    pub fn with_latency(latency: Latency) -> Self {
        Self {
            frame_latency: latency.clone(),
            datagram_latency: latency,
            ..Self::default()
        }
    }
}

impl Default for LinkModel {
    fn default() -> Self {
        Self {
            frame_latency: Latency::ZERO,
            datagram_latency: Latency::ZERO,
            datagram_loss: Probability::NEVER,
            datagram_bursts: None,
            datagram_duplication: Probability::NEVER,
            datagram_reordering: Probability::NEVER,
            datagram_reordering_max: Duration::from_millis(10),
            datagram_corruption: Probability::NEVER,
            frame_stalls: None,
            bandwidth: None,
            frames_max: 32,
        }
    }
}

/// Returns a duration's nanoseconds; five centuries for longer ones.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The sites of a link: what is drawn for one shifts nothing for the others.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Site {
    Application,
    Control,
    Handshake,
    Datagram,
    Loss,
    Duplication,
    Burst,
    Reordering,
    Corruption,
    Stall,
}

const SITES: usize = 10;

impl Site {
    fn name(self) -> &'static str {
        match self {
            Self::Application => "application",
            Self::Control => "control",
            Self::Handshake => "handshake",
            Self::Datagram => "datagram",
            Self::Loss => "loss",
            Self::Duplication => "duplication",
            Self::Burst => "burst",
            Self::Reordering => "reordering",
            Self::Corruption => "corruption",
            Self::Stall => "stall",
        }
    }
}

/// One direction between two nodes that have to do with each other.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) from: u32,
    pub(crate) to: u32,
    pub(crate) model: LinkModel,
    /// Since when nothing passes.
    pub(crate) cut_since: Option<u64>,
    /// Until when what is sent now does not arrive.
    pub(crate) clogged_until: u64,
    /// When the last byte that was sent has left, if there is a bandwidth.
    left_at: u64,
    /// Whether datagrams are in a burst of loss.
    ill: bool,
    sites: Sites,
}

/// The streams of a link.
#[derive(Debug)]
struct Sites {
    seed: u64,
    /// `from>to`, by name: what its sites are called after.
    name: Box<str>,
    streams: [Option<Box<Stream>>; SITES],
}

impl Sites {
    fn stream(&mut self, site: Site) -> &mut Stream {
        let (seed, name) = (self.seed, &self.name);
        self.streams[site as usize]
            .get_or_insert_with(|| Box::new(Stream::new(seed, &format!("{}/{name}", site.name()))))
    }

    /// Draws, unless the answer is certain.
    fn chance(&mut self, site: Site, probability: Probability) -> bool {
        probability != Probability::NEVER && self.stream(site).chance(probability)
    }

    #[inline]
    fn latency(&mut self, site: Site, latency: &Latency) -> u64 {
        match latency {
            Latency::Constant(always) => nanos(*always),
            drawn => nanos(drawn.sample(self.stream(site))),
        }
    }
}

impl Link {
    pub(crate) fn new(model: LinkModel, seed: u64, ends: [u32; 2], names: [&str; 2]) -> Self {
        let ([from, to], [from_name, to_name]) = (ends, names);
        Self {
            from,
            to,
            model,
            cut_since: None,
            clogged_until: 0,
            left_at: 0,
            ill: false,
            sites: Sites {
                seed,
                name: format!("{from_name}>{to_name}").into(),
                streams: Default::default(),
            },
        }
    }

    /// Draws how long a frame of no length is on the way, in nanoseconds: one of a handshake.
    #[inline]
    pub(crate) fn frame_nanos(&mut self, site: Site) -> u64 {
        self.sites.latency(site, &self.model.frame_latency)
    }

    /// Draws how long a frame that leaves at `now` is on the way, in nanoseconds.
    #[inline]
    pub(crate) fn carry_frame(&mut self, site: Site, now: u64, bytes: usize) -> u64 {
        let mut on_the_way = self.frame_nanos(site);
        if let Some(stalls) = self.model.frame_stalls
            && self.sites.chance(Site::Stall, stalls.probability)
        {
            on_the_way = on_the_way.saturating_add(nanos(stalls.duration));
        }
        if let Some(bandwidth) = self.model.bandwidth {
            on_the_way = on_the_way.saturating_add(self.transmit(bandwidth, now, bytes));
        }
        on_the_way.max(self.clogged_until.saturating_sub(now))
    }

    /// Draws how long a datagram that leaves at `now` is on the way, in nanoseconds; `None` if it is lost.
    pub(crate) fn carry_datagram(&mut self, now: u64, bytes: usize) -> Option<u64> {
        let mut on_the_way = self
            .sites
            .latency(Site::Datagram, &self.model.datagram_latency);
        if self
            .sites
            .chance(Site::Reordering, self.model.datagram_reordering)
        {
            let most = self.model.datagram_reordering_max;
            let held = self.sites.stream(Site::Reordering);
            on_the_way = on_the_way.saturating_add(nanos(held.between(Duration::ZERO, most)));
        }
        if let Some(bandwidth) = self.model.bandwidth {
            let waiting = self.left_at.saturating_sub(now);
            if waiting > transmission(bandwidth, bandwidth.queue_bytes) {
                return None;
            }
            on_the_way = on_the_way.saturating_add(self.transmit(bandwidth, now, bytes));
        }
        Some(on_the_way.max(self.clogged_until.saturating_sub(now)))
    }

    /// Puts bytes behind those that have not left yet; returns how long it takes until they have.
    fn transmit(&mut self, bandwidth: Bandwidth, now: u64, bytes: usize) -> u64 {
        let takes = transmission(bandwidth, bytes as u64);
        self.left_at = self.left_at.max(now).saturating_add(takes);
        self.left_at - now
    }

    pub(crate) fn loses(&mut self) -> bool {
        let Some(bursts) = self.model.datagram_bursts else {
            return self.sites.chance(Site::Loss, self.model.datagram_loss);
        };
        let change = if self.ill { bursts.end } else { bursts.begin };
        self.ill ^= self.sites.chance(Site::Burst, change);
        let loss = if self.ill {
            bursts.loss
        } else {
            self.model.datagram_loss
        };
        self.sites.chance(Site::Loss, loss)
    }

    pub(crate) fn duplicates(&mut self) -> bool {
        let probability = self.model.datagram_duplication;
        self.sites.chance(Site::Duplication, probability)
    }

    /// Draws which bit of a datagram is turned, if one is.
    pub(crate) fn corrupts(&mut self, bytes: usize) -> Option<usize> {
        let probability = self.model.datagram_corruption;
        if bytes == 0 || !self.sites.chance(Site::Corruption, probability) {
            return None;
        }
        let bits = bytes as u64 * 8;
        Some(self.sites.stream(Site::Corruption).below(bits) as usize)
    }

    /// Draws how long until the next attempt to connect, at most `most` nanoseconds.
    pub(crate) fn back_off_nanos(&mut self, most: u64) -> u64 {
        let stream = self.sites.stream(Site::Handshake);
        stream.below(most.saturating_add(1))
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.cut_since.is_some()
    }
}

/// Returns how many nanoseconds bytes take to leave.
fn transmission(bandwidth: Bandwidth, bytes: u64) -> u64 {
    let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(bandwidth.bytes_per_second.max(1));
    u64::try_from(nanos).unwrap_or(u64::MAX)
}
