//! Sample and aggregate by the mean: the estimate of each shared block, averaged. Nothing of the estimate is believed; its range is
//! public. Clip: any norm, bound 1. State: (which estimate, number of blocks, answer); the first two are given with the job.
//!
//! Mohan et al., *GUPT: privacy preserving data analysis made easy*, SIGMOD 2012; Nissim, Raskhodnikova, Smith, STOC 2007.

mod estimate;

use fusebox_guest::fold::{Block, Contribution};

fusebox_guest::fold! {
    name: "mean_of_blocks",
    version: "0.1.0",
    columns: { "age": number(0) },
    dimension: 1,
    state: 3,
    contribute: contribute,
    update: update,
}

const YOUNGEST: f64 = 17.0;
const OLDEST: f64 = 90.0;
const MIDDLE: f64 = (YOUNGEST + OLDEST) / 2.0;
const HALF: f64 = (OLDEST - YOUNGEST) / 2.0;

fn contribute(state: &[f64], block: &Block) -> Contribution {
    let mut ages: Vec<f64> = block.numbers(column("age")).collect();
    match estimate::estimate(state.first().copied().unwrap_or(0.0), &mut ages) {
        Some(estimate) => [(estimate.clamp(YOUNGEST, OLDEST) - MIDDLE) / HALF].into(),
        None => Contribution::nothing(),
    }
}

fn update(_round: u32, state: &[f64], noised: &[f64]) -> Vec<f64> {
    match (state, noised) {
        ([which, blocks, _], [sum]) => vec![*which, *blocks, (MIDDLE + HALF * sum / blocks.max(1.0)).clamp(YOUNGEST, OLDEST)],
        _ => Vec::new(),
    }
}
