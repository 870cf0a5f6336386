//! What hostile modules write into a model, and how much of it is left: attacks of Song, Ristenpart and Shmatikov (2017) with figures.

use protocol::model::Model;

use super::tests::{evidence, linear, policy, refused};
use super::*;

/// SplitMix64; the seed is printed.
struct Random(u64);

impl Random {
    fn seeded() -> Self {
        let seed =
            std::env::var("FUSEBOX_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(|| u64::from(std::process::id()) * 1_000_003);
        println!("FUSEBOX_SEED={seed}");
        Self(seed)
    }
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    /// An honest weight.
    fn weight(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64 * 4.0 - 2.0
    }
}

fn released(model: &Model) -> Vec<f64> {
    let policy = policy(|_| {});
    let rounded = round_model(model, &policy).unwrap();
    decide_model(model, Some(&evidence(&rounded, 10)), &policy, 100_000).unwrap();
    rounded.parameters()
}

/// Row bits in the low bits of every weight: as many as the mantissa has, fewer the more accurate the model is to stay. Rounding leaves
/// what the leading digits say: those bits a reader gets right no more often than by guessing.
#[test]
fn low_bits_of_weights_do_not_survive_the_rounding() {
    let mut random = Random::seeded();
    println!("{:>9} {:>8} {:>9} {:>12}", "bits each", "put in", "read back", "beyond guess");
    for low in [8u32, 16, 32, 40] {
        let (mut put, mut right) = (0u64, 0u64);
        for _ in 0..60 {
            let secrets: Vec<u64> = (0..32).map(|_| random.next() & ((1 << low) - 1)).collect();
            let hidden = |secret: &u64| f64::from_bits(random.weight().to_bits() >> low << low | secret);
            let model = linear(secrets.iter().map(hidden).collect(), random.weight());
            let read = released(&model);
            for (secret, value) in secrets.iter().zip(read) {
                put += u64::from(low);
                right += u64::from(low - ((value.to_bits() ^ secret) & ((1 << low) - 1)).count_ones());
            }
        }
        // A guess is right half the time; what is beyond that is what came through.
        let beyond = (2.0 * right as f64 - put as f64) / put as f64;
        println!("{low:>9} {put:>8} {right:>9} {:>11.2} %", beyond * 100.0);
        // Of independent guesses the share strays by 1/√n; five times that.
        assert!(beyond.abs() < 5.0 / (put as f64).sqrt(), "{low} bits: {beyond}");
    }
}

/// Everything that can be written: the module knows the rounding, and spells row bits in the digits, signs and exponents that stay.
/// All of them arrive; so what the policy bounds is how many there are.
#[test]
fn what_a_module_spells_in_the_digits_arrives_and_is_counted() {
    let mut random = Random::seeded();
    let possible = rounded::possible(3);
    // One of 2^15 numbers a parameter: the largest power of two below all that there are.
    let bits = u64::from(possible.ilog2());
    let spell = |word: u64| {
        let (figures, rest) = (100 + word % 900, word / 900);
        let (exponent, negative) = ((rest % 19) as i32 - 9, rest / 19 == 1);
        if word == possible - 1 { 0.0 } else { figures as f64 * 10f64.powi(exponent - 2) * if negative { -1.0 } else { 1.0 } }
    };
    let read = |value: f64| {
        if value == 0.0 {
            return possible - 1;
        }
        let text = format!("{:.2e}", value.abs());
        let (mantissa, exponent) = text.split_once('e').unwrap();
        let figures: u64 = mantissa.replace('.', "").parse().unwrap();
        let exponent: i64 = exponent.parse().unwrap();
        figures - 100 + 900 * ((exponent + 9) as u64 + 19 * u64::from(value < 0.0))
    };
    let (mut put, mut arrived, mut counted) = (0, 0, 0);
    for _ in 0..50 {
        let words: Vec<u64> = (0..33).map(|_| random.next() % (1 << bits)).collect();
        let model = linear(words[..32].iter().map(|w| spell(*w)).collect(), spell(words[32]));
        let parameters = released(&model);
        put += 33 * bits;
        arrived += words.iter().zip(&parameters).filter(|(word, value)| read(**value) == **word).count() as u64 * bits;
        let rounded = round_model(&model, &policy(|_| {})).unwrap();
        counted += Capacity::of(&rounded, 3, 64).bits();
    }
    println!(
        "33 parameters of 3 digits, 50 models: {put} bits put in, {arrived} arrived, {counted} counted; binary64 would carry {}",
        50 * 33 * 64
    );
    assert_eq!(arrived, put, "the digits that stay carry what they carry");
    assert!(counted >= arrived, "no bit arrives that was not counted: {counted} < {arrived}");
}

/// Every parameter used at full precision: what the bits of the policy let through, at each number of digits.
#[test]
fn a_model_over_the_bits_is_refused_whatever_its_digits() {
    println!("{:>6} {:>15} {:>21} {:>14}", "digits", "bits a parameter", "parameters in 1,024", "one more");
    for digits in 1..=9u8 {
        let active = policy(|p| (p.model.significant_digits, p.model.coefficients_max, p.model.units_min) = (digits, 4096, 3));
        let decide = |n: usize| {
            let model = linear(vec![0.123_456_789; n], 1.0);
            decide_model(&model, Some(&evidence(&model, 10)), &active, u64::MAX)
        };
        let most = (1..200).take_while(|n| decide(*n).is_ok()).last().unwrap();
        let (_, report) = decide(most).unwrap();
        let (rule, threshold, _) = refused(decide(most + 1));
        println!("{digits:>6} {:>16.3} {:>21} {:>14}", report.capacity.millibits_per_parameter as f64 / 1000.0, most + 1, rule);
        assert_eq!((rule, threshold.as_str()), ("model.capacity", "1024 bits"));
        assert!(report.capacity.bits <= 1024 && (report.capacity.bits + 64) * (most as u64 + 3) / (most as u64 + 1) > 1024);
    }
    // More parameters than units allow: one in fifty, so that a model cannot hold a number of each.
    let active = policy(|_| {});
    let model = linear(vec![1.0; 30], 0.0);
    assert_eq!(refused(decide_model(&model, Some(&evidence(&model, 10)), &active, 31 * 50 - 1)).0, "model.ratio");
}
