//! Exact arithmetic: means and variances as rationals, rounded once, half to even. No floating point.

/// `whole + numerator / denominator` to the nearest integer, half to even. `None` on overflow or `denominator < 1`.
fn round(whole: i128, numerator: i128, denominator: i128) -> Option<i128> {
    if denominator < 1 {
        return None;
    }
    let floor = whole.checked_add(numerator.div_euclid(denominator))?;
    let rest = numerator.rem_euclid(denominator);
    let up = match rest.cmp(&(denominator - rest)) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => floor % 2 != 0,
        std::cmp::Ordering::Greater => true,
    };
    floor.checked_add(i128::from(up))
}

/// Arithmetic mean in the column's stored integers. `None` for no values.
pub(super) fn mean(sum: i128, n: u64) -> Option<i128> {
    round(0, sum, n.into())
}

/// Population variance in squares of the column's stored integers. `None` for no values, on overflow, and where the sums cannot be
/// those of `n` integers.
///
/// With `sum = q·n + r`: Σ(x − q)² = s, and the variance is s/n − (r/n)², so that no square of a sum is formed.
pub(super) fn variance(sum: i128, sum_of_squares: i128, n: u64) -> Option<i128> {
    let n = i128::from(n);
    // Below, n² must fit.
    if !(1..1 << 62).contains(&n) {
        return None;
    }
    let (q, r) = (sum.div_euclid(n), sum.rem_euclid(n));
    let s = sum_of_squares.checked_sub(q.checked_mul(q)?.checked_mul(n)?)?.checked_sub(q.checked_mul(r)?.checked_mul(2)?)?;
    let (whole, rest) = (s.div_euclid(n), s.rem_euclid(n));
    round(whole, rest * n - r * r, n * n).filter(|v| *v >= 0)
}

/// `value` to the nearest multiple of `base`, half to even. As it is for a base below 2.
pub(super) fn to_multiple(value: u64, base: u32) -> i128 {
    let (value, base) = (i128::from(value), i128::from(base));
    if base < 2 { value } else { round(0, value, base).map_or(value, |steps| steps * base) }
}

/// The decimal text of `value` × 10^-scale, with exactly `scale` digits after the point.
pub(super) fn decimal(value: i128, scale: u8) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let scale = usize::from(scale);
    let digits = format!("{:0width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at_checked(digits.len() - scale).unwrap_or((&digits, ""));
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// A finite number at `digits` significant decimal digits (at least 1), as plain decimal text. The nearest such decimal to the exact
/// binary value. `None` for NaN and infinities.
pub(super) fn significant(value: f64, digits: u8) -> Option<String> {
    if !value.is_finite() {
        return None;
    }
    let text = format!("{:.*e}", usize::from(digits.max(1)) - 1, value.abs());
    let (mantissa, exponent) = text.split_once('e')?;
    let exponent: i32 = exponent.parse().ok()?;
    let figures: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    if figures.bytes().all(|b| b == b'0') {
        return Some("0".to_owned());
    }
    let sign = if value < 0.0 { "-" } else { "" };
    // The point stands after `before` of the figures.
    let before = exponent + 1;
    let Ok(before) = usize::try_from(before) else {
        return Some(format!("{sign}0.{}{figures}", "0".repeat(before.unsigned_abs() as usize)));
    };
    Some(match figures.split_at_checked(before) {
        Some(("", fraction)) => format!("{sign}0.{fraction}"),
        Some((whole, "")) => format!("{sign}{whole}"),
        Some((whole, fraction)) => format!("{sign}{whole}.{fraction}"),
        None => format!("{sign}{figures}{}", "0".repeat(before - figures.len())),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Whether `value` is `numerator / denominator` rounded half to even, by the definition and not by dividing.
    fn nearest(value: i128, numerator: i128, denominator: i128) -> bool {
        let twice_off = 2 * (numerator - value * denominator);
        twice_off.abs() < denominator || (twice_off.abs() == denominator && value % 2 == 0)
    }

    proptest! {
        #[test]
        fn mean_and_variance_are_the_nearest(values in prop::collection::vec(-1_000_000_000_000i64..=1_000_000_000_000, 1..60)) {
            let n = values.len() as i128;
            let sum: i128 = values.iter().map(|x| i128::from(*x)).sum();
            let squares: i128 = values.iter().map(|x| i128::from(*x).pow(2)).sum();
            prop_assert!(nearest(mean(sum, n as u64).unwrap(), sum, n));
            // Var = (n·Σx² − (Σx)²) / n², which fits here.
            prop_assert!(nearest(variance(sum, squares, n as u64).unwrap(), n * squares - sum * sum, n * n));
        }

        /// Small values make ties and zeros.
        #[test]
        fn ties_go_to_even(values in prop::collection::vec(-3i64..=3, 1..9)) {
            let n = values.len() as i128;
            let sum: i128 = values.iter().map(|x| i128::from(*x)).sum();
            let squares: i128 = values.iter().map(|x| i128::from(*x).pow(2)).sum();
            prop_assert!(nearest(mean(sum, n as u64).unwrap(), sum, n));
            prop_assert!(nearest(variance(sum, squares, n as u64).unwrap(), n * squares - sum * sum, n * n));
        }

        /// Moving every value by the same amount does not change the variance: far out, where (Σx)² would overflow.
        #[test]
        fn variance_far_out(values in prop::collection::vec(0i64..1_000_000, 1..7), far in prop::sample::select(vec![1i128 << 62, -(1 << 62)])) {
            let sums = |shift: i128| {
                let moved = values.iter().map(|x| i128::from(*x) + shift);
                (moved.clone().sum::<i128>(), moved.map(|x| x * x).sum::<i128>())
            };
            let ((sum, squares), (far_sum, far_squares), n) = (sums(0), sums(far), values.len() as u64);
            prop_assert_eq!(variance(far_sum, far_squares, n), variance(sum, squares, n));
        }

        #[test]
        fn significant_digits_are_near_and_few(value in prop::num::f64::NORMAL.prop_filter("size", |v| (1e-30..1e30).contains(&v.abs())), digits in 1..=9u8) {
            let text = significant(value, digits).unwrap();
            let back: f64 = text.parse().unwrap();
            prop_assert!((back - value).abs() <= value.abs() * 0.500001 * 10f64.powi(1 - i32::from(digits)));
            let figures = text.trim_start_matches(['-', '0', '.']).replace('.', "");
            prop_assert!(figures.trim_end_matches('0').len() <= usize::from(digits), "{}", text);
            prop_assert!(text.bytes().all(|b| b.is_ascii_digit() || b == b'-' || b == b'.'));
            prop_assert_eq!(significant(back, digits), Some(text));
        }
    }

    #[test]
    fn known_values() {
        assert_eq!((mean(5, 2), mean(7, 2), mean(-5, 2), mean(-7, 2)), (Some(2), Some(4), Some(-2), Some(-4)));
        assert_eq!((mean(1, 0), variance(0, 0, 0)), (None, None));
        // 1, 2: ¼, to 0. 0, 3: 2¼, to 2. 0, 0, 0, 2: ¾, to 1.
        assert_eq!((variance(3, 5, 2), variance(3, 9, 2), variance(2, 4, 4)), (Some(0), Some(2), Some(1)));
        // One value of 10^19 squares to more than fits: not computed rather than wrong.
        assert_eq!(variance(i128::MAX / 2, i128::MAX, 2), None);
        // Sums that no values have.
        assert_eq!(variance(10, 0, 2), None);
        assert_eq!([0, 2, 3, 5, 7, 8, 15].map(|v| to_multiple(v, 5)), [0, 0, 5, 5, 5, 10, 15]);
        assert_eq!([5, 15, 25].map(|v| to_multiple(v, 10)), [0, 20, 20]);
        assert_eq!(to_multiple(u64::MAX, 1), i128::from(u64::MAX));
        assert_eq!(
            [(0, 2), (-5, 2), (-105, 2), (7, 0), (-7, 0), (1, 9)].map(|(v, s)| decimal(v, s)),
            ["0.00", "-0.05", "-1.05", "7", "-7", "0.000000001"]
        );
        for (value, digits, text) in [
            (0.0, 3, "0"),
            (-0.0, 3, "0"),
            (1234.0, 3, "1230"),
            (0.001_234_9, 3, "0.00123"),
            (-9.996, 3, "-10.0"),
            (0.5, 1, "0.5"),
            (12.345, 4, "12.35"),
            (999.96, 4, "1000"),
            (1e21, 2, "1000000000000000000000"),
            (123.0, 3, "123"),
        ] {
            assert_eq!(significant(value, digits).as_deref(), Some(text));
        }
        assert_eq!((significant(f64::NAN, 3), significant(f64::INFINITY, 3)), (None, None));
    }
}
