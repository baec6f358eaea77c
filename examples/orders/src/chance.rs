//! Chance that is the same everywhere: a pure function of a seed and of what it is about.

/// Numbers that look random. Neither the layout nor what else happens has a say in them.
pub(crate) struct Chance(u64);

impl Chance {
    /// Begins the numbers for one thing.
    pub(crate) fn new(seed: u64, about: &str) -> Self {
        // FNV-1a, from a start that the seed chooses.
        let start = mix(seed) ^ 0xcbf2_9ce4_8422_2325;
        let hash = about.bytes().fold(start, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self(hash)
    }

    /// Draws a number from 0 to below a bound, which is far below 2³².
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        ((mix(self.0) >> 32) * bound) >> 32
    }

    /// Draws one of several.
    pub(crate) fn one_of<T: Copy>(&mut self, several: &[T]) -> T {
        several[self.below(several.len() as u64) as usize]
    }
}

/// SplitMix64's (Steele, Lea, Flood 2014).
const fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
