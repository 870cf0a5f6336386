//! Whether a person earns more than 50K, from five numbers and eight categories, one coordinate a label. Clip: L2, bound 1. Rounds: 20.
//! State: 105 weights, 105 velocities, from zeros. A person has 14 features at most, so contributions are sparse.

#[path = "../../logistic_numeric/src/descent.rs"]
mod descent;
#[path = "../../logistic_numeric/src/numbers.rs"]
mod numbers;

use descent::Pace;
use fusebox_guest::fold::{Block, Contribution};
use numbers::NUMBERS;

fusebox_guest::fold! {
    name: "logistic_one_hot",
    version: "0.1.0",
    columns: {
        "age": number(0),
        "education_num": number(0),
        "capital_gain": number(0),
        "capital_loss": number(0),
        "hours_per_week": number(0),
        "income": category["<=50K", ">50K"],
        "workclass": category[
            "Federal-gov", "Local-gov", "Never-worked", "Private", "Self-emp-inc", "Self-emp-not-inc", "State-gov",
            "Without-pay",
        ],
        "education": category[
            "Preschool", "1st-4th", "5th-6th", "7th-8th", "9th", "10th", "11th", "12th", "HS-grad", "Some-college", "Assoc-voc",
            "Assoc-acdm", "Bachelors", "Masters", "Prof-school", "Doctorate",
        ],
        "marital_status": category[
            "Divorced", "Married-AF-spouse", "Married-civ-spouse", "Married-spouse-absent", "Never-married", "Separated",
            "Widowed",
        ],
        "occupation": category[
            "Adm-clerical", "Armed-Forces", "Craft-repair", "Exec-managerial", "Farming-fishing", "Handlers-cleaners",
            "Machine-op-inspct", "Other-service", "Priv-house-serv", "Prof-specialty", "Protective-serv", "Sales",
            "Tech-support", "Transport-moving",
        ],
        "relationship": category[
            "Husband", "Not-in-family", "Other-relative", "Own-child", "Unmarried", "Wife",
        ],
        "race": category[
            "Amer-Indian-Eskimo", "Asian-Pac-Islander", "Black", "Other", "White",
        ],
        "sex": category[
            "Female", "Male",
        ],
        "native_country": category[
            "Cambodia", "Canada", "China", "Columbia", "Cuba", "Dominican-Republic", "Ecuador", "El-Salvador", "England",
            "France", "Germany", "Greece", "Guatemala", "Haiti", "Holand-Netherlands", "Honduras", "Hong", "Hungary", "India",
            "Iran", "Ireland", "Italy", "Jamaica", "Japan", "Laos", "Mexico", "Nicaragua", "Outlying-US(Guam-USVI-etc)", "Peru",
            "Philippines", "Poland", "Portugal", "Puerto-Rico", "Scotland", "South", "Taiwan", "Thailand", "Trinadad&Tobago",
            "United-States", "Vietnam", "Yugoslavia",
        ],
    },
    dimension: 105,
    state: 210,
    contribute: contribute,
    update: update,
}

const PACE: Pace = Pace { rate: 8.0, momentum: 0.8 };
/// The first category, and how many labels each has.
const CATEGORIES: usize = column("workclass");
const LABELS: [usize; 8] = [8, 16, 7, 14, 6, 5, 2, 41];

fn contribute(state: &[f64], block: &Block) -> Contribution {
    let number = |column| block.number(column, 0).unwrap_or(0.0);
    let Some(outcome) = block.label(column("income"), 0) else { return Contribution::nothing() };
    let mut features: Vec<(usize, f64)> = Vec::with_capacity(NUMBERS + LABELS.len());
    features.extend(numbers::numbers([0, 1, 2, 3, 4].map(number)).into_iter().enumerate());
    let mut first = NUMBERS;
    for (category, labels) in LABELS.into_iter().enumerate() {
        features.extend(block.label(CATEGORIES + category, 0).map(|label| (first + label, 1.0)));
        first += labels;
    }
    let values = descent::gradient(&state[..DIMENSION], &features, outcome == 1);
    Contribution::sparse(features.into_iter().map(|(at, _)| at as u32).collect(), values)
}

fn update(_round: u32, state: &[f64], noised: &[f64]) -> Vec<f64> {
    descent::step(PACE, state, noised)
}
