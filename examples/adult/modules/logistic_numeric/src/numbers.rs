//! Five numbers on public scales: what lies beyond a bound counts as the bound.

/// Features of one person: a constant and five numbers.
pub const NUMBERS: usize = 6;

/// (1, age, education, capital gain, capital loss, hours), each within -1 and 1.
pub fn numbers([age, education, gain, loss, hours]: [f64; 5]) -> [f64; NUMBERS] {
    let share = |value: f64, min: f64, max: f64| (value.clamp(min, max) - min) / (max - min);
    [
        1.0,
        2.0 * share(age, 17.0, 50.0) - 1.0,
        2.0 * share(education, 1.0, 16.0) - 1.0,
        share(gain, 0.0, 10_000.0),
        share(loss, 0.0, 2_000.0),
        2.0 * share(hours, 20.0, 60.0) - 1.0,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_cut_to_their_bounds() {
        assert_eq!(numbers([17.0, 16.0, 0.0, 9e9, 40.0]), [1.0, -1.0, 1.0, 0.0, 1.0, 0.0]);
        assert_eq!(numbers([90.0, 1.0, 5_000.0, 0.0, 99.0]), [1.0, 1.0, -1.0, 0.5, 0.0, 1.0]);
    }
}
