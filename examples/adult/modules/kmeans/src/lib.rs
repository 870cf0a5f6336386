//! Clusters of age, education and hours of work. Clip: L2, bound 1.33 (a count and three distances of at most one half). The state is
//! four centres of three numbers within 0 and 1; the first ones are public and come with the job.
//!
//! Su, Cao, Li, Bertino, Jin, *Differentially private k-means clustering*, CODASPY 2016.

mod centres;

use centres::{NUMBERS, moved, nearest, point};
use fusebox_guest::fold::{Block, Contribution};

fusebox_guest::fold! {
    name: "kmeans",
    version: "0.1.0",
    columns: { "age": number(0), "education_num": number(0), "hours_per_week": number(0) },
    dimension: 16,
    state: 12,
    contribute: contribute,
    update: update,
}

fn contribute(state: &[f64], block: &Block) -> Contribution {
    let (Some(age), Some(education), Some(hours)) = (block.number(0, 0), block.number(1, 0), block.number(2, 0)) else {
        return Contribution::nothing();
    };
    let point = point([age, education, hours]);
    let first = nearest(state, &point) * (NUMBERS + 1);
    let values = std::iter::once(1.0).chain(point.into_iter().map(|p| p - 0.5)).collect();
    Contribution::sparse((first..=first + NUMBERS).map(|at| at as u32).collect(), values)
}

fn update(_round: u32, state: &[f64], noised: &[f64]) -> Vec<f64> {
    moved(state, noised)
}
