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

    /// From a number that another choice gave.
    #[allow(dead_code, reason = "each test uses its part")]
    pub fn from(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// One of `0..n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}
