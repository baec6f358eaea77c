//! Randomness: one seed, one stream for each site that draws, integers only.
//!
//! A *site* is a place that makes random choices: the latency of the frames from one node to another,
//! the loss of their datagrams, one incarnation's entropy. Each has a stream of its own, so a draw that
//! is added at one site shifts nothing at any other. The sampling is ours, because that of `rand`
//! changes between releases; the vectors in the tests below pin it.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::draws::Notes;

/// How likely something is, in parts per million.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Probability(u32);

impl Probability {
    /// It never happens.
    pub const NEVER: Self = Self(0);
    /// It always happens.
    pub const ALWAYS: Self = Self(1_000_000);

    /// Makes a probability from parts per million; more than a million is always.
    #[must_use]
    pub const fn ppm(parts: u32) -> Self {
        if parts > 1_000_000 {
            return Self::ALWAYS;
        }
        Self(parts)
    }

    /// Makes a probability from percents.
    #[must_use]
    pub const fn percent(percents: u32) -> Self {
        Self::ppm(percents.saturating_mul(10_000))
    }

    /// Returns the parts per million.
    #[must_use]
    pub const fn as_ppm(self) -> u32 {
        self.0
    }
}

/// The random choices of one site. They can be [written down](crate::draws).
#[derive(Clone, Debug)]
pub struct Stream {
    source: Source,
    notes: Notes,
}

impl Stream {
    /// Opens the stream of `site` under `seed`.
    #[must_use]
    pub fn new(seed: u64, site: &str) -> Self {
        Self {
            source: Source::new(seed, site),
            notes: Notes::of(site),
        }
    }

    /// Draws 64 random bits.
    pub fn bits(&mut self) -> u64 {
        let bits = self.source.bits();
        self.notes.add(0, u64::MAX, bits);
        bits
    }

    /// Fills `bytes` with random ones.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.source.0.fill_bytes(bytes);
        self.notes.add_bytes(bytes);
    }

    /// Draws a number less than `bound`, each equally likely (Lemire, "Fast random integer generation
    /// in an interval", 2019). A bound of zero gives zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        let number = self.source.below(bound);
        self.notes.add(0, bound.saturating_sub(1), number);
        number
    }

    /// Draws a duration from `min` to `max`, both included, to the nanosecond.
    pub fn between(&mut self, min: Duration, max: Duration) -> Duration {
        let drawn = self.source.between(min, max);
        self.notes.add(nanos(min), nanos(max), nanos(drawn));
        drawn
    }

    /// Draws whether something happens. Certain answers draw nothing.
    pub fn chance(&mut self, probability: Probability) -> bool {
        match probability {
            Probability::NEVER => false,
            Probability::ALWAYS => true,
            Probability(parts) => {
                let happens = self.source.below(1_000_000) < u64::from(parts);
                self.notes.add(0, 1, happens.into());
                happens
            }
        }
    }

    /// Draws a duration that is exponentially distributed with the given mean.
    ///
    /// The logarithm is computed bit by bit in integers, by repeated squaring, because `f64::ln` differs
    /// between platforms and builds.
    pub fn exponential(&mut self, mean: Duration) -> Duration {
        let drawn = self.source.exponential(mean);
        self.notes.add(0, u64::MAX, nanos(drawn));
        drawn
    }

    /// Draws a duration whose logarithm is normally distributed (Box–Muller): half are shorter than `median`, and
    /// `sigma_percent` hundredths are the standard deviation of the logarithm. With 100, one in six is longer than
    /// e times the median, and one in fifty longer than e² times.
    ///
    /// The functions are those of the `libm` crate, which compute the same in every build.
    pub fn log_normal(&mut self, median: Duration, sigma_percent: u32) -> Duration {
        let drawn = self.source.log_normal(median, sigma_percent);
        self.notes.add(0, u64::MAX, nanos(drawn));
        drawn
    }

    /// Draws a duration from a table of quantiles: the first is the shortest, the last the longest, and between two
    /// neighbours all are equally likely. An empty table gives zero.
    pub fn quantile(&mut self, table: &[Duration]) -> Duration {
        let drawn = self.source.quantile(table);
        if let [first, .., last] = table {
            self.notes.add(nanos(*first), nanos(*last), nanos(drawn));
        }
        drawn
    }

    /// Puts `items` into a random order, each equally likely (Fisher–Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let chosen = self.below(last as u64 + 1) as usize;
            items.swap(last, chosen);
        }
    }
}

/// Where the numbers come from, and how they become others.
#[derive(Clone, Debug)]
struct Source(ChaCha8Rng);

impl Source {
    fn new(seed: u64, site: &str) -> Self {
        let mut key = [0; 32];
        let mut state = seed;
        for word in key.chunks_exact_mut(8) {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            word.copy_from_slice(&mix(state).to_le_bytes());
        }
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(site_number(site));
        Self(rng)
    }

    fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 {
            return 0;
        }
        let mut product = u128::from(self.bits()) * u128::from(bound);
        if (product as u64) < bound {
            let threshold = bound.wrapping_neg() % bound;
            while (product as u64) < threshold {
                product = u128::from(self.bits()) * u128::from(bound);
            }
        }
        (product >> 64) as u64
    }

    fn between(&mut self, min: Duration, max: Duration) -> Duration {
        let span = nanos(max).saturating_sub(nanos(min));
        min + Duration::from_nanos(self.below(span.saturating_add(1)))
    }

    fn exponential(&mut self, mean: Duration) -> Duration {
        const FRACTION_BITS: u32 = 24;
        /// The natural logarithm of two, times 2^32.
        const LN_2: u64 = 2_977_044_472;
        let uniform = self.bits() | 1;
        let zeros = uniform.leading_zeros();
        // In [1, 2) with 63 bits of fraction.
        let mut mantissa = uniform << zeros;
        let mut fraction = 0_u64;
        for _ in 0..FRACTION_BITS {
            let square = (u128::from(mantissa) * u128::from(mantissa)) >> 63;
            let carry = (square >> 64) as u64;
            fraction = fraction << 1 | carry;
            mantissa = (square >> carry) as u64;
        }
        let minus_log2 = (u64::from(zeros + 1) << FRACTION_BITS) - fraction;
        let minus_ln = (u128::from(minus_log2) * u128::from(LN_2)) >> 32;
        let nanos = (u128::from(nanos(mean)) * minus_ln) >> FRACTION_BITS;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn log_normal(&mut self, median: Duration, sigma_percent: u32) -> Duration {
        const UNIT: f64 = 1.0 / (1_u64 << 53) as f64;
        // In (0, 1], so that the logarithm is finite, and in [0, 1).
        let radius = ((self.bits() >> 11) + 1) as f64 * UNIT;
        let angle = (self.bits() >> 11) as f64 * UNIT;
        let normal =
            libm::sqrt(-2.0 * libm::log(radius)) * libm::cos(2.0 * std::f64::consts::PI * angle);
        let factor = libm::exp(normal * f64::from(sigma_percent) / 100.0);
        // Beyond the range of the type it is its end: five centuries.
        Duration::from_nanos((nanos(median) as f64 * factor) as u64)
    }

    fn quantile(&mut self, table: &[Duration]) -> Duration {
        let (Some(only), steps) = (table.first(), table.len().saturating_sub(1)) else {
            return Duration::ZERO;
        };
        if steps == 0 {
            return *only;
        }
        let step = self.below(steps as u64) as usize;
        let (min, max) = (table[step], table[step + 1]);
        self.between(min, max.max(min))
    }
}

/// Returns a duration's nanoseconds; five centuries for longer ones.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Names a site's stream: FNV-1a, then mixed.
fn site_number(site: &str) -> u64 {
    let fnv = site.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    mix(fnv)
}

/// The finaliser of SplitMix64.
fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PINNED: &str = "([418, 609, 814, 436, 329, 65], [1351445, 1714008, 915082, 1245351], \
                          [7, 4, 1, 3, 5, 0, 6, 2], \
                          [true, false, true, true, false, false, true, false], \
                          18169728390800858415)";

    #[test]
    fn sampling_is_pinned() {
        let mut stream = Stream::new(42, "frames/a>b");
        let below: Vec<u64> = (0..6).map(|_| stream.below(1_000)).collect();
        let exponential: Vec<u128> = (0..4)
            .map(|_| stream.exponential(Duration::from_millis(1)).as_nanos())
            .collect();
        let mut order = [0, 1, 2, 3, 4, 5, 6, 7];
        stream.shuffle(&mut order);
        let chances: Vec<bool> = (0..8)
            .map(|_| stream.chance(Probability::percent(50)))
            .collect();
        let drawn = (below, exponential, order, chances, stream.bits());
        assert_eq!(format!("{drawn:?}"), PINNED);
    }

    #[test]
    fn the_shapes_of_latency_are_pinned() {
        let mut stream = Stream::new(42, "shapes");
        let median = Duration::from_millis(1);
        let normal: Vec<u128> = (0..4)
            .map(|_| stream.log_normal(median, 50).as_nanos())
            .collect();
        let table = [1, 2, 10, 500].map(Duration::from_millis);
        let drawn: Vec<u128> = (0..4).map(|_| stream.quantile(&table).as_nanos()).collect();
        assert_eq!(
            format!("{normal:?} {drawn:?}"),
            "[1245705, 1755795, 1526758, 1177335] [4366778, 7208540, 5359497, 1644996]"
        );
        assert_eq!(stream.quantile(&[]), Duration::ZERO);
        assert_eq!(stream.quantile(&[median]), median);
    }

    #[test]
    fn the_log_normal_distribution_has_its_median_and_its_spread() {
        let mut stream = Stream::new(7, "log-normal");
        let median = Duration::from_nanos(1_000_000);
        let mut draws: Vec<u64> = (0..100_000)
            .map(|_| nanos(stream.log_normal(median, 100)))
            .collect();
        draws.sort_unstable();
        let middle = draws[draws.len() / 2];
        assert!((980_000..1_020_000).contains(&middle), "{middle}");
        // One standard deviation: e times as long.
        let high = draws[draws.len() * 8413 / 10_000];
        assert!((2_650_000..2_790_000).contains(&high), "{high}");
    }

    #[test]
    fn streams_of_two_sites_or_seeds_differ() {
        let first = Stream::new(1, "a").bits();
        assert_ne!(first, Stream::new(1, "b").bits());
        assert_ne!(first, Stream::new(2, "a").bits());
        assert_eq!(first, Stream::new(1, "a").bits());
    }

    #[test]
    fn the_exponential_distribution_has_its_mean_and_median() {
        let mut stream = Stream::new(7, "exponential");
        let mut draws: Vec<u64> = (0..100_000)
            .map(|_| nanos(stream.exponential(Duration::from_nanos(1_000_000))))
            .collect();
        draws.sort_unstable();
        let mean = draws.iter().sum::<u64>() / draws.len() as u64;
        assert!((990_000..1_010_000).contains(&mean), "{mean}");
        let median = draws[draws.len() / 2];
        assert!((683_000..703_000).contains(&median), "{median}");
    }

    #[test]
    fn a_range_is_covered_evenly_and_never_left() {
        let mut stream = Stream::new(7, "range");
        let mut counts = [0_u32; 7];
        for _ in 0..70_000 {
            counts[stream.below(7) as usize] += 1;
        }
        assert!(
            counts.iter().all(|count| (9_500..10_500).contains(count)),
            "{counts:?}"
        );
        let (min, max) = (Duration::from_nanos(5), Duration::from_nanos(6));
        assert!((0..100).all(|_| (min..=max).contains(&stream.between(min, max))));
        assert_eq!(stream.below(0), 0);
        assert_eq!(stream.below(1), 0);
    }
}
