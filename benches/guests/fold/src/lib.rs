//! Sums one number.

use fusebox_guest::fold::{Block, Contribution};

fusebox_guest::fold! {
    name: "bench_fold",
    version: "0.1.0",
    columns: { "value": number(0) },
    dimension: 1,
    state: 1,
    contribute: contribute,
    update: update,
}

fn contribute(_state: &[f64], block: &Block) -> Contribution {
    Contribution::from([block.numbers(column("value")).sum::<f64>()])
}

fn update(_round: u32, _state: &[f64], noised: &[f64]) -> Vec<f64> {
    noised.to_vec()
}
