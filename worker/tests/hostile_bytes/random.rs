//! Random choices that a printed seed repeats.

/// SplitMix64.
pub struct Random(u64);

impl Random {
    /// From `FUSEBOX_SEED`, else from the system. The seed is printed, so that a failed run can be had again.
    pub fn seeded(test: &str) -> Self {
        let seed = std::env::var("FUSEBOX_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| {
            let mut bytes = [0u8; 8];
            ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes).unwrap();
            u64::from_le_bytes(bytes)
        });
        eprintln!("{test}: FUSEBOX_SEED={seed}");
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// The same choices again for one case of many: a failed case is had by its seed and number.
    pub fn fork(&self, case: u64) -> Self {
        let mut forked = Self(self.0 ^ case.wrapping_mul(0xD134_2543_DE82_EF95));
        forked.next();
        forked
    }

    /// One of `0..n`; 0 where there is none.
    pub fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % (n.max(1) as u64)).unwrap()
    }

    /// One of these.
    pub fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}
