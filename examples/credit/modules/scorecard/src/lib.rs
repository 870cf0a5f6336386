//! A logistic scorecard of default within twelve months, fitted by Newton's method (iteratively reweighted least squares).

mod newton;

use fusebox_guest::{Error, Feature, Link, View, log};
use newton::{FEATURES, Normal};

fusebox_guest::module! {
    name: "scorecard",
    version: "0.2.0",
    models: ["scorecard"],
    run: run,
}

/// The tax authority's grades but the best (A), which is the base level.
const GRADES: [&str; 4] = ["B", "M", "C", "D"];
/// Number columns, each divided by this before it enters the fit, so that coefficients are of like size.
const NUMBERS: [(&str, f64); 3] = [("arrears_days", 30.0), ("penalties_24m", 1.0), ("kwh", 10_000.0)];
const STEPS: usize = 8;

fn run(view: &View) -> Result<(), Error> {
    let outcome = view.number("default_12m")?;
    let grade = view.category("tax_grade")?;
    let levels: Vec<Option<usize>> = grade.labels.iter().map(|label| GRADES.iter().position(|g| g == label)).collect();
    let mut numbers = Vec::new();
    for (name, unit) in NUMBERS {
        numbers.push((view.number(name)?, unit));
    }
    let mut beta = [0.0; FEATURES];
    for _ in 0..STEPS {
        let mut normal = Normal::new(beta);
        for rows in view.chunks() {
            let outcomes = outcome.f64s(rows);
            let grades = grade.read(rows);
            let columns: Vec<Vec<f64>> = numbers.iter().map(|(column, _)| column.f64s(rows)).collect();
            for (i, (outcome, code)) in outcomes.iter().zip(grades.iter()).enumerate() {
                let Some(code) = code else { continue };
                let mut x = [0.0; FEATURES];
                x[0] = 1.0;
                if let Some(level) = levels.get(code as usize).copied().flatten() {
                    x[1 + level] = 1.0;
                }
                for (j, (column, (_, unit))) in columns.iter().zip(&numbers).enumerate() {
                    x[1 + GRADES.len() + j] = column[i] / unit;
                }
                // A missing value reads as NaN and takes its row out.
                if outcome.is_finite() && x.iter().all(|v| v.is_finite()) {
                    normal.add(&x, *outcome);
                }
            }
        }
        beta = normal.step().ok_or("the fit has no solution")?;
    }
    log(&format!("coefficients {beta:?}"));
    let grades = GRADES.iter().map(|grade| Ok((view.level("tax_grade", grade)?, 1.0)));
    let numbers = NUMBERS.iter().map(|(name, unit)| Ok((view.feature(name)?, *unit)));
    let features = grades.chain(numbers).collect::<Result<Vec<(Feature, f64)>, Error>>()?;
    let terms: Vec<(Feature, f64)> = features.iter().zip(&beta[1..]).map(|((feature, unit), b)| (*feature, b / unit)).collect();
    view.submit_linear("scorecard", Link::Logit, &terms, beta[0])?;
    Ok(())
}
