//! The gradient of a logistic regression on five numbers, summed over all rows of the block.

use fusebox_guest::fold::{Block, Contribution};

fusebox_guest::fold! {
    name: "bench_gradient",
    version: "0.1.0",
    columns: {
        "age": number(0),
        "education_num": number(0),
        "capital_gain": number(0),
        "capital_loss": number(0),
        "hours_per_week": number(0),
        "income": category["<=50K", ">50K"],
    },
    dimension: 6,
    state: 6,
    contribute: contribute,
    update: update,
}

const LARGEST: [f64; 5] = [90.0, 16.0, 99_999.0, 4_356.0, 99.0];

fn contribute(state: &[f64], block: &Block) -> Contribution {
    let mut sum = [0.0; DIMENSION];
    for row in 0..block.rows() {
        let mut features = [1.0; DIMENSION];
        for (i, largest) in LARGEST.iter().enumerate() {
            features[i + 1] = block.number(i, row).unwrap_or(0.0) / largest;
        }
        let score: f64 = features.iter().zip(state).map(|(x, w)| x * w).sum();
        let error = 1.0 / (1.0 + (-score).exp()) - f64::from(u8::from(block.label(5, row) == Some(1)));
        sum.iter_mut().zip(features).for_each(|(sum, x)| *sum += error * x);
    }
    sum.into()
}

fn update(_round: u32, _state: &[f64], noised: &[f64]) -> Vec<f64> {
    noised.to_vec()
}
