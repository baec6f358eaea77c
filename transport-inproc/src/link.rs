//! The way from one node to another.

use std::time::Duration;

use monofil_transport::{Probability, Stream};

/// How long messages are on the way. Each message has its own: messages in flight overlap, and frames
/// of one connection wait for the ones before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
}

impl Latency {
    /// None at all.
    pub const ZERO: Self = Self::Constant(Duration::ZERO);

    fn sample(&self, stream: &mut Stream) -> Duration {
        match *self {
            Self::Constant(always) => always,
            Self::Uniform { min, max } => stream.between(min, max),
            Self::Exponential { min, mean } => min.saturating_add(stream.exponential(mean)),
        }
    }
}

impl Default for Latency {
    fn default() -> Self {
        Self::ZERO
    }
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
    /// How many arrive twice.
    pub datagram_duplication: Probability,
    /// How many frames of one connection may be on the way or waiting to be received; the next one
    /// meets [`SendError::Full`](monofil_transport::SendError::Full). Default 32, at least 1.
    pub frames_max: u32,
}

impl LinkModel {
    /// Returns the default model with the same latency for frames and datagrams.
    #[must_use]
    pub fn with_latency(latency: Latency) -> Self {
        Self {
            frame_latency: latency,
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
            datagram_duplication: Probability::NEVER,
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
}

const SITES: usize = 6;

impl Site {
    fn name(self) -> &'static str {
        match self {
            Self::Application => "application",
            Self::Control => "control",
            Self::Handshake => "handshake",
            Self::Datagram => "datagram",
            Self::Loss => "loss",
            Self::Duplication => "duplication",
        }
    }
}

/// One direction between two nodes that have to do with each other.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) model: LinkModel,
    /// Since when nothing passes.
    pub(crate) cut_since: Option<u64>,
    seed: u64,
    /// `from>to`, by name: what its sites are called after.
    name: Box<str>,
    streams: [Option<Box<Stream>>; SITES],
}

impl Link {
    pub(crate) fn new(model: LinkModel, seed: u64, from: &str, to: &str) -> Self {
        Self {
            model,
            cut_since: None,
            seed,
            name: format!("{from}>{to}").into(),
            streams: Default::default(),
        }
    }

    fn stream(&mut self, site: Site) -> &mut Stream {
        let (seed, name) = (self.seed, &self.name);
        self.streams[site as usize]
            .get_or_insert_with(|| Box::new(Stream::new(seed, &format!("{}/{name}", site.name()))))
    }

    /// Draws how long a frame is on the way, in nanoseconds.
    #[inline]
    pub(crate) fn frame_nanos(&mut self, site: Site) -> u64 {
        self.latency_nanos(self.model.frame_latency, site)
    }

    /// Draws how long a datagram is on the way, in nanoseconds.
    pub(crate) fn datagram_nanos(&mut self) -> u64 {
        self.latency_nanos(self.model.datagram_latency, Site::Datagram)
    }

    #[inline]
    fn latency_nanos(&mut self, latency: Latency, site: Site) -> u64 {
        match latency {
            Latency::Constant(always) => nanos(always),
            drawn => nanos(drawn.sample(self.stream(site))),
        }
    }

    pub(crate) fn loses(&mut self) -> bool {
        let probability = self.model.datagram_loss;
        probability != Probability::NEVER && self.stream(Site::Loss).chance(probability)
    }

    pub(crate) fn duplicates(&mut self) -> bool {
        let probability = self.model.datagram_duplication;
        probability != Probability::NEVER && self.stream(Site::Duplication).chance(probability)
    }

    /// Draws how long until the next attempt to connect, at most `most` nanoseconds.
    pub(crate) fn back_off_nanos(&mut self, most: u64) -> u64 {
        self.stream(Site::Handshake).below(most.saturating_add(1))
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.cut_since.is_some()
    }
}
