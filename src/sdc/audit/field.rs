//! Arithmetic modulo a prime of 61 bits that is drawn at random and kept secret.
//!
//! A matrix of small integers has the same echelon form over the rationals and modulo a prime unless the prime divides one of its minors.
//! A minor of a thousand cells has fewer than 10,000 bits, so at most 170 prime factors of 61 bits, of some 2^54 that could be drawn:
//! nobody who does not know the prime can make cells that fool it. Scaling columns at random under a known prime would not do: it
//! multiplies every minor by something that is not zero.

/// A prime between 2^60 and 2^61, with what reduces by it without a division.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prime {
    p: u64,
    /// ⌊2^122 / p⌋.
    reciprocal: u64,
}

/// 2^61 - 1 is a prime (Mersenne's ninth).
const LARGEST: u64 = (1 << 61) - 1;

impl Prime {
    /// The first prime from a random number of 60 bits on.
    pub fn from_random(random: u64) -> Self {
        let start = (1 << 60) | (random >> 4) | 1;
        Self::new((start..LARGEST).step_by(2).find(|n| is_prime(*n)).unwrap_or(LARGEST))
    }

    fn new(p: u64) -> Self {
        // Above 2^60, so below 2^62.
        Self { p, reciprocal: ((1u128 << 122) / u128::from(p)) as u64 }
    }

    /// The product of two residues. Barrett's reduction: the quotient is estimated from the product's upper bits, at most two too small
    /// (Menezes, van Oorschot, Vanstone 1996, 14.42); a division of 128 bits takes several times as long, and this is nearly all of an
    /// audit's work.
    pub(super) fn mul(self, a: u64, b: u64) -> u64 {
        let product = u128::from(a) * u128::from(b);
        let quotient = ((product >> 60) * u128::from(self.reciprocal)) >> 62;
        // Below 3p, so below 2^63: the lower halves are enough.
        let mut rest = (product as u64).wrapping_sub((quotient as u64).wrapping_mul(self.p));
        while rest >= self.p {
            rest -= self.p;
        }
        rest
    }

    /// `a - b * c`.
    pub(super) fn sub_mul(self, a: u64, b: u64, c: u64) -> u64 {
        let product = self.mul(b, c);
        if a >= product { a - product } else { a + (self.p - product) }
    }

    /// The inverse of what is not zero (Fermat).
    pub(super) fn inverse(self, a: u64) -> u64 {
        power(a, self.p - 2, self.p)
    }
}

fn mul(a: u64, b: u64, p: u64) -> u64 {
    // Below p by the remainder.
    (u128::from(a) * u128::from(b) % u128::from(p)) as u64
}

fn power(base: u64, mut exponent: u64, p: u64) -> u64 {
    let (mut square, mut out) = (base % p, 1);
    while exponent > 0 {
        if exponent & 1 == 1 {
            out = mul(out, square, p);
        }
        square = mul(square, square, p);
        exponent >>= 1;
    }
    out
}

/// Miller–Rabin with the first twelve primes, which decides every number of 64 bits (Sorenson, Webster 2015).
fn is_prime(n: u64) -> bool {
    const WITNESSES: [u64; 12] = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37];
    if n < 2 || WITNESSES.iter().any(|w| n != *w && n.is_multiple_of(*w)) {
        return false;
    }
    if WITNESSES.contains(&n) {
        return true;
    }
    let twos = (n - 1).trailing_zeros();
    let odd = (n - 1) >> twos;
    WITNESSES.iter().all(|w| {
        let mut x = power(*w, odd, n);
        if x == 1 || x == n - 1 {
            return true;
        }
        (1..twos).any(|_| {
            x = mul(x, x, n);
            x == n - 1
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primes_are_found_and_inverses_invert() {
        let small = (2..200).filter(|n| is_prime(*n)).count();
        assert_eq!(small, 46);
        assert!(is_prime(LARGEST) && !is_prime(LARGEST - 2) && !is_prime(3_215_031_751), "a strong pseudoprime to 2, 3, 5, 7");
        for random in [0, 1, u64::MAX, 0x1234_5678_9abc_def0] {
            let p = Prime::from_random(random);
            assert!(is_prime(p.p) && p.p >= 1 << 60 && p.p < 1 << 61);
            for a in [1, 2, 12_345_678_901, p.p - 1] {
                assert_eq!(p.mul(a, p.inverse(a)), 1);
                assert_eq!(p.sub_mul(a, a, 1), 0);
            }
        }
        // The ends of what is drawn from, where an estimate would err first.
        for p in [Prime::new(LARGEST), Prime::from_random(0), Prime::from_random(u64::MAX)] {
            for a in [0, 1, 2, p.p / 2, p.p - 2, p.p - 1] {
                for b in [0, 1, 3, 1 << 59, p.p / 3, p.p - 1] {
                    assert_eq!(p.mul(a, b), mul(a, b, p.p), "{a} times {b} modulo {}", p.p);
                }
            }
        }
        assert_ne!(Prime::from_random(1 << 40), Prime::from_random(1 << 41));
    }
}
