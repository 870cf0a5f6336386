//! Rounding of counts to the policy's base. Sums and means are not rounded.

use ring::hmac;

use super::exact;
use crate::policy::release::{Rounding, TableRules};

/// The key of random rounding. Whoever holds it can tell which way a count was rounded.
pub struct RoundingKey(hmac::Key);

impl RoundingKey {
    /// A key of these bytes.
    pub fn new(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// A count as it is shown. At random: up with probability (rest / base), so that it is unbiased. The draw is an HMAC over the
    /// contributors' digest and the count: a repeat over the same contributors repeats, whoever asks, whatever the measure is called and
    /// in whichever job, so that nothing averages out. Rows and units that are equal are rounded alike for the same reason.
    pub(super) fn round(&self, count: u64, contributors: u128, rules: &TableRules) -> i128 {
        let base = rules.rounding_base;
        if base < 2 || rules.rounding == Rounding::Nearest {
            return exact::to_multiple(count, base);
        }
        let (base, wide) = (u128::from(base), u128::from(count));
        let rest = wide % base;
        let message = [&contributors.to_be_bytes()[..], &count.to_be_bytes()].concat();
        let tag = hmac::sign(&self.0, &message);
        let draw = tag.as_ref().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        // Up where draw / 2^64 < rest / base; the same draw for every base.
        let up = u128::from(draw) * base < rest << 64;
        i128::try_from(wide - rest + if up { base } else { 0 }).unwrap_or(i128::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::ReleasePolicy;

    fn rules(base: u32) -> TableRules {
        let standard = ReleasePolicy::parse(include_str!("../../policies/release/standard.toml")).unwrap();
        TableRules { rounding: Rounding::Random, rounding_base: base, ..standard.table }
    }

    #[test]
    fn random_rounding_repeats_and_is_unbiased() {
        let (key, other) = (RoundingKey::new(b"a"), RoundingKey::new(b"b"));
        for base in [5u32, 10, 100] {
            for count in [0u64, 1, 4, 5, 13, 99, 100, 137] {
                let drawn: Vec<i128> = (0..4000u128).map(|set| key.round(count, set, &rules(base))).collect();
                let (down, up) = (i128::from(count - count % u64::from(base)), i128::from(count.div_ceil(base.into()) * u64::from(base)));
                assert!(drawn.iter().all(|v| *v == down || *v == up), "{count} to {base}");
                // 4,000 draws: the mean is within five standard deviations, each at most base / 2.
                let mean = drawn.iter().sum::<i128>() as f64 / 4000.0;
                assert!((mean - count as f64).abs() < 5.0 * f64::from(base) / 2.0 / 4000f64.sqrt(), "{count} to {base}: {mean}");
                assert_eq!(drawn[7], key.round(count, 7, &rules(base)));
            }
        }
        // Another key, other contributors: other draws.
        let of = |key: &RoundingKey, from: u128| (from..from + 64).map(|set| key.round(7, set, &rules(10))).collect::<Vec<_>>();
        assert!(of(&key, 0) != of(&other, 0) && of(&key, 0) != of(&key, 64));
        let nearest = TableRules { rounding: Rounding::Nearest, ..rules(10) };
        assert_eq!((key.round(13, 1, &nearest), key.round(13, 1, &rules(1))), (10, 13));
    }
}
