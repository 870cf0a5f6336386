//! One step of k-means (Lloyd) from counts and sums: four clusters of three numbers within 0 and 1.

/// Numbers of a person.
pub const NUMBERS: usize = 3;
/// Fewer persons than this (the count is noised) leave a centre where it is.
const PERSONS_MIN: f64 = 100.0;

/// Age, education and hours on public scales.
pub fn point([age, education, hours]: [f64; NUMBERS]) -> [f64; NUMBERS] {
    let share = |value: f64, min: f64, max: f64| (value.clamp(min, max) - min) / (max - min);
    [share(age, 17.0, 90.0), share(education, 1.0, 16.0), share(hours, 1.0, 99.0)]
}

/// The nearest centre.
pub fn nearest(centres: &[f64], point: &[f64; NUMBERS]) -> usize {
    let distance = |centre: &[f64]| centre.iter().zip(point).map(|(c, p)| (c - p) * (c - p)).sum::<f64>();
    let all = centres.chunks_exact(NUMBERS).map(distance).enumerate();
    all.min_by(|(_, a), (_, b)| a.total_cmp(b)).map_or(0, |(cluster, _)| cluster)
}

/// The next centres: of each cluster (count, sums of distances from one half) are summed.
pub fn moved(centres: &[f64], sums: &[f64]) -> Vec<f64> {
    let of = |(centre, sums): (&[f64], &[f64])| match sums.split_first() {
        Some((count, sums)) if *count >= PERSONS_MIN => sums.iter().map(|sum| (0.5 + sum / count).clamp(0.0, 1.0)).collect(),
        _ => centre.to_vec(),
    };
    centres.chunks_exact(NUMBERS).zip(sums.chunks_exact(NUMBERS + 1)).flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn centres_move_to_the_mean_of_their_points() {
        let centres = [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.5, 0.0, 0.5, 0.2, 0.2, 0.9];
        assert_eq!(nearest(&centres, &[0.9, 0.8, 0.7]), 1);
        let mut sums = [0.0; 16];
        sums[4..8].copy_from_slice(&[200.0, 80.0, 60.0, 0.0]);
        sums[8..12].copy_from_slice(&[99.0, 80.0, 60.0, 0.0]);
        let next = moved(&centres, &sums);
        assert_eq!(next[3..6], [0.9, 0.8, 0.5]);
        assert_eq!((&next[..3], &next[6..]), (&centres[..3], &centres[6..]), "too few persons");
    }
}
