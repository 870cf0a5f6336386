//! Counts people: 1 for each block. `state[0]` is what it does besides, `state[1]` the `who` of the person it is done to: 1 traps, 2
//! spins, 3 gives everything that there is.

use std::hint::black_box;

use fusebox_guest::fold::{Block, Contribution};

fusebox_guest::fold! {
    name: "fold_ones",
    version: "0.1.0",
    columns: { "who": number(0) },
    dimension: 1,
    state: 2,
    contribute: contribute,
    update: update,
}

fn contribute(state: &[f64], block: &Block) -> Contribution {
    let meant = (0..block.rows()).any(|row| block.value(column("who"), row) == Some(state[1] as i64));
    match (state[0] as i64, meant) {
        (1, true) => std::process::abort(),
        (2, true) => loop {
            black_box(0);
        },
        (3, true) => [1e308].into(),
        _ => [1.0].into(),
    }
}

fn update(_round: u32, _state: &[f64], noised: &[f64]) -> Vec<f64> {
    vec![noised[0], 0.0]
}
