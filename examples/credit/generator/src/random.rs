//! SplitMix64 (Steele, Lea, Flood: *Fast Splittable Pseudorandom Number Generators*, OOPSLA 2014). For made-up data only.

pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        // The high half of the product is even enough for made-up data.
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// True `n` times out of a thousand.
    pub(crate) fn permille(&mut self, n: u32) -> bool {
        self.below(1000) < u64::from(n)
    }

    /// An index, as likely as its weight.
    pub(crate) fn choose(&mut self, weights: &[u32]) -> usize {
        let mut at = self.below(weights.iter().copied().map(u64::from).sum());
        for (i, weight) in weights.iter().enumerate() {
            match at.checked_sub(u64::from(*weight)) {
                Some(rest) => at = rest,
                None => return i,
            }
        }
        0
    }
}
