//! Mean age: the sum of distances from the middle of a public range, and a count, in one vector. Clip: L2, bound 1.42 (both coordinates
//! lie within -1 and 1). The state is the answer.

use fusebox_guest::fold::{Block, Contribution};

fusebox_guest::fold! {
    name: "clipped_mean",
    version: "0.1.0",
    columns: { "age": number(0) },
    dimension: 2,
    state: 1,
    contribute: contribute,
    update: update,
}

const YOUNGEST: f64 = 17.0;
const OLDEST: f64 = 90.0;
const MIDDLE: f64 = (YOUNGEST + OLDEST) / 2.0;
const HALF: f64 = (OLDEST - YOUNGEST) / 2.0;

fn contribute(_state: &[f64], block: &Block) -> Contribution {
    match block.numbers(column("age")).next() {
        Some(age) => [(age.clamp(YOUNGEST, OLDEST) - MIDDLE) / HALF, 1.0].into(),
        None => Contribution::nothing(),
    }
}

fn update(_round: u32, _state: &[f64], noised: &[f64]) -> Vec<f64> {
    match noised {
        [distances, count] => vec![(MIDDLE + HALF * distances / count.max(1.0)).clamp(YOUNGEST, OLDEST)],
        _ => Vec::new(),
    }
}
