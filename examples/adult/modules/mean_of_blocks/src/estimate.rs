//! Any estimate of the rows of one block: what stands here is never read by the host, and need not be.

/// Which estimate: the state's first number.
pub fn estimate(which: f64, ages: &mut [f64]) -> Option<f64> {
    if ages.is_empty() {
        return None;
    }
    ages.sort_unstable_by(f64::total_cmp);
    match which as i64 {
        1 => median(ages),
        // Without the lowest and the highest tenth.
        2 => mean(ages.get(ages.len() / 10..ages.len() - ages.len() / 10)?),
        _ => mean(ages),
    }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn median(sorted: &[f64]) -> Option<f64> {
    sorted.get((sorted.len() - 1) / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::estimate;

    #[test]
    fn estimates_are_what_they_are_called() {
        let ages = || vec![90.0, 20.0, 30.0, 40.0, 20.0];
        assert_eq!(estimate(0.0, &mut ages()), Some(40.0));
        assert_eq!(estimate(1.0, &mut ages()), Some(30.0));
        let mut many: Vec<f64> = (0..20).map(f64::from).collect();
        many.extend([1e9]);
        assert_eq!(estimate(2.0, &mut many), Some((2..19).map(f64::from).sum::<f64>() / 17.0));
        assert_eq!(estimate(0.0, &mut []), None);
    }
}
