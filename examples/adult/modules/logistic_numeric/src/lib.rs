//! Whether a person earns more than 50K, from five numbers. Clip: L2, bound 1. Rounds: 20. State: six weights, six velocities, from
//! zeros. The pace was chosen on a part of the training rows (`converter/tests/simulated.rs`).

mod descent;
mod numbers;

use descent::Pace;
use fusebox_guest::fold::{Block, Contribution};

fusebox_guest::fold! {
    name: "logistic_numeric",
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
    state: 12,
    contribute: contribute,
    update: update,
}

const PACE: Pace = Pace { rate: 4.0, momentum: 0.9 };

fn contribute(state: &[f64], block: &Block) -> Contribution {
    let number = |column| block.number(column, 0).unwrap_or(0.0);
    let Some(outcome) = block.label(column("income"), 0) else { return Contribution::nothing() };
    let numbers = numbers::numbers([0, 1, 2, 3, 4].map(number));
    let features: Vec<(usize, f64)> = numbers.into_iter().enumerate().collect();
    descent::gradient(&state[..DIMENSION], &features, outcome == 1).into()
}

fn update(_round: u32, state: &[f64], noised: &[f64]) -> Vec<f64> {
    descent::step(PACE, state, noised)
}
