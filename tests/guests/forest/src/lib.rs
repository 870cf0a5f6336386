//! Hands in a small forest and a small network, and two models that no rule lets through: a tree with a leaf for a single unit, and a
//! network whose weights hold as many bits of the rows as they can.

use fusebox_guest::{Activation, Error, Feature, Layer, Link, Tree, View};

fusebox_guest::module! {
    name: "forest",
    version: "0.1.0",
    models: ["forest", "net", "narrow", "hoard"],
    run: run,
}

fn run(view: &View) -> Result<(), Error> {
    let column = |name: &str| -> Result<Vec<f64>, Error> {
        let column = view.number(name)?;
        Ok(view.chunks().flat_map(|rows| column.f64s(rows)).collect())
    };
    let (arrears, kwh, outcome) = (column("arrears_days")?, column("kwh")?, column("default_12m")?);
    let grade = view.category("tax_grade")?;
    let best = grade.labels.iter().position(|l| l == "A").ok_or("no grade is called A")?;
    let is_best: Vec<bool> =
        view.chunks().flat_map(|rows| grade.read(rows).iter().map(|c| c == u32::try_from(best).ok()).collect::<Vec<_>>()).collect();
    let features = [view.feature("arrears_days")?, view.feature("kwh")?, view.level("tax_grade", "A")?];

    let mean = |of: &dyn Fn(usize) -> bool| {
        let chosen: Vec<f64> = (0..outcome.len()).filter(|i| of(*i)).map(|i| outcome[i]).collect();
        Tree::Leaf(chosen.iter().sum::<f64>() / chosen.len().max(1) as f64)
    };
    let mut sorted = kwh.clone();
    sorted.sort_by(f64::total_cmp);
    let (least, median) = (sorted[0], sorted[sorted.len() / 2]);
    let by_arrears = Tree::split(
        0,
        20.0,
        Tree::split(2, 0.0, mean(&|i| arrears[i] <= 20.0 && !is_best[i]), mean(&|i| arrears[i] <= 20.0 && is_best[i])),
        mean(&|i| arrears[i] > 20.0),
    );
    let by_kwh = Tree::split(1, median, mean(&|i| kwh[i] <= median), mean(&|i| kwh[i] > median));
    view.submit_trees("forest", Link::Identity, &features, -1.0 / 3.0, &[by_arrears, by_kwh])?;

    let hidden = Layer { activation: Activation::Tanh, weights: vec![0.05, 0.0, 1.0, 0.0, 0.000_123_456, -1.0], biases: vec![0.0, 0.5] };
    let last = Layer { activation: Activation::Sigmoid, weights: vec![1.0 / 7.0, -2.0], biases: vec![0.25] };
    view.submit_network("net", Link::Identity, &features, &[hidden, last])?;

    view.submit_trees(
        "narrow",
        Link::Identity,
        &features[1..2],
        0.0,
        &[Tree::split(0, least, mean(&|i| kwh[i] <= least), Tree::Leaf(0.0))],
    )?;
    hoard(view, &features[..2], &kwh)
}

/// Forty hidden units, whose weights are the rows.
fn hoard(view: &View, features: &[Feature], rows: &[f64]) -> Result<(), Error> {
    let weights = |n: usize| rows.iter().cycle().copied().take(n).collect();
    let hidden = Layer { activation: Activation::Relu, weights: weights(80), biases: weights(40) };
    let last = Layer { activation: Activation::Identity, weights: weights(40), biases: weights(1) };
    view.submit_network("hoard", Link::Identity, features, &[hidden, last])
}
