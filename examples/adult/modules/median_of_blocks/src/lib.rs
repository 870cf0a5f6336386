//! Sample and aggregate by the median: each shared block says in which bin of a public range its estimate lies; the answer is the middle
//! of the noised bins. Blocks that are far off move it little. Clip: L2, bound 1. State: (which estimate, answer); the first is given
//! with the job.

#[path = "../../mean_of_blocks/src/estimate.rs"]
mod estimate;

use fusebox_guest::fold::{Block, Contribution};

fusebox_guest::fold! {
    name: "median_of_blocks",
    version: "0.1.0",
    columns: { "age": number(0) },
    dimension: 146,
    state: 2,
    contribute: contribute,
    update: update,
}

const YOUNGEST: f64 = 17.0;
const OLDEST: f64 = 90.0;
/// Half a year.
const WIDTH: f64 = (OLDEST - YOUNGEST) / DIMENSION as f64;

fn contribute(state: &[f64], block: &Block) -> Contribution {
    let mut ages: Vec<f64> = block.numbers(column("age")).collect();
    match estimate::estimate(state.first().copied().unwrap_or(0.0), &mut ages) {
        Some(estimate) => Contribution::at((((estimate - YOUNGEST) / WIDTH).max(0.0) as usize).min(DIMENSION - 1), 1.0),
        None => Contribution::nothing(),
    }
}

fn update(_round: u32, state: &[f64], noised: &[f64]) -> Vec<f64> {
    let half = noised.iter().sum::<f64>() / 2.0;
    let mut below = 0.0;
    let bin = noised.iter().position(|count| {
        below += count;
        below >= half
    });
    let answer = YOUNGEST + WIDTH * (bin.unwrap_or(0) as f64 + 0.5);
    vec![state.first().copied().unwrap_or(0.0), answer]
}
