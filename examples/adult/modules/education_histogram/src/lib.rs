//! Persons by education: a sum over a public domain. Clip: L2 or L1, bound 1. The state is the answer.

use fusebox_guest::fold::{Block, Contribution};

fusebox_guest::fold! {
    name: "education_histogram",
    version: "0.1.0",
    columns: {
        "education": category[
            "Preschool", "1st-4th", "5th-6th", "7th-8th", "9th", "10th", "11th", "12th", "HS-grad", "Some-college", "Assoc-voc",
            "Assoc-acdm", "Bachelors", "Masters", "Prof-school", "Doctorate",
        ],
    },
    dimension: 16,
    state: 16,
    contribute: contribute,
    update: update,
}

fn contribute(_state: &[f64], block: &Block) -> Contribution {
    block.label(column("education"), 0).map_or_else(Contribution::nothing, |label| Contribution::at(label, 1.0))
}

fn update(_round: u32, _state: &[f64], noised: &[f64]) -> Vec<f64> {
    noised.to_vec()
}
