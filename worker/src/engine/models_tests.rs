//! Models against a naive computation: nested loops over decoded rows.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

use protocol::column::{Column, Parts, write_column};
use protocol::manifest::{DerivedColumn, DerivedType};
use protocol::memfd::{SealedFd, sealed};
use protocol::message::EngineFailure;
use protocol::model::{
    Feature, FlatTrees, Group, LEAF, LinearModel, Link, Model, ModelError, ModelEvidence, Node, TreesModel, right_children,
};

use super::fuse::Fused;
use super::models;
use super::testing::{Opt, Rng, Row, Val, case, decoded, view_of};

const FEATURES: [(&str, Option<u32>); 9] = [
    ("arrears", None),
    ("opened", None),
    ("amount", None),
    ("grade", Some(0)),
    ("band", Some(1)),
    ("band", Some(2)),
    ("words", Some(0)),
    ("flag", Some(1)),
    ("twice", None),
];

fn features() -> Vec<Feature> {
    FEATURES.iter().map(|(column, level)| Feature { column: (*column).to_owned(), level: *level }).collect()
}

/// A tree of random splits, up to `depth` deep.
fn grow(r: &mut Rng, features: usize, depth: u32, flat: &mut FlatTrees) -> u32 {
    let at = flat.feature.len();
    let split = depth > 0 && r.below(4) > 0;
    flat.feature.push(if split { r.below(features as u64) as u32 } else { LEAF });
    flat.threshold.push(r.below(1200) as f64 / 100.0 - 2.0);
    flat.value.push(r.below(9) as f64);
    flat.left.push(0);
    flat.right.push(0);
    if split {
        flat.left[at] = grow(r, features, depth - 1, flat);
        flat.right[at] = grow(r, features, depth - 1, flat);
    }
    at as u32
}

/// What a row's feature is, for the naive walk: the number, or whether it has the level.
fn goes_left(value: &Opt, feature: &Feature, label: Option<&String>, threshold: f64) -> bool {
    match (value, label) {
        (value, Some(label)) => *value != Some(Val::Text(label.clone())),
        (Some(Val::Int(v)), None) => *v as f64 / if feature.column == "arrears" { 100.0 } else { 1.0 } <= threshold,
        (_, None) => false,
    }
}

fn group(rows: &[&Row]) -> Group {
    let units = |rows: &mut dyn Iterator<Item = &&Row>| rows.map(|r| r.1.clone()).collect::<BTreeSet<_>>().len() as u64;
    Group { units: units(&mut rows.iter()), units_counting: units(&mut rows.iter().filter(|r| r.2)) }
}

/// The view's columns and the derived ones beside them, with the labels of each.
struct Seen {
    names: Vec<String>,
    labels: Vec<Vec<String>>,
    rows: Vec<Row>,
}

fn seen(fused: &Fused) -> Seen {
    let labels = |fd: &OwnedFd| {
        let bytes = SealedFd::verify(fd.try_clone().unwrap(), 1 << 30).unwrap().read().unwrap();
        Column::parse(bytes.as_slice()).unwrap().labels().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let granted = fused.columns.len() - 3;
    let mut names: Vec<String> = fused.columns[..granted].iter().map(|c| c.name.clone()).collect();
    names.extend(["flag".to_owned(), "twice".to_owned()]);
    let mut all: Vec<Vec<String>> = fused.descriptors[..granted].iter().map(labels).collect();
    all.extend([vec!["no".to_owned(), "yes".to_owned()], Vec::new()]);
    let mut rows = decoded(fused);
    for (i, row) in rows.iter_mut().enumerate() {
        row.0.extend([Some(Val::Text(["no", "yes"][i % 3 / 2].to_owned())), Some(Val::Int((i % 7) as i64))]);
    }
    Seen { names, labels: all, rows }
}

fn derived(rows: usize) -> (Vec<DerivedColumn>, Vec<OwnedFd>) {
    let (mut flag, mut twice) = (Vec::new(), Vec::new());
    write_column(Parts::Code(&(0..rows).map(|i| (i % 3 / 2) as u32).collect::<Vec<_>>(), &[0], b""), None, &mut flag).unwrap();
    write_column(Parts::I64(&(0..rows).map(|i| (i % 7) as i64).collect::<Vec<_>>()), None, &mut twice).unwrap();
    let declared = vec![
        DerivedColumn { name: "flag".into(), ty: DerivedType::Category { labels: vec!["no".into(), "yes".into()] } },
        DerivedColumn { name: "twice".into(), ty: DerivedType::Number { scale: 0, min: 0, max: 9 } },
    ];
    (declared, [flag, twice].iter().map(|bytes| sealed("d", bytes).unwrap()).collect())
}

fn naive(seen: &Seen, model: &TreesModel) -> ModelEvidence {
    let column = |f: &Feature| seen.names.iter().position(|n| *n == f.column).unwrap();
    let label = |f: &Feature| f.level.map(|level| seen.labels[column(f)][level as usize].clone());
    let labels: Vec<Option<String>> = model.features.iter().map(label).collect();
    let level = |(feature, label): (&Feature, &Option<String>)| {
        let has = |row: &&Row| row.0[column(feature)] == label.clone().map(Val::Text);
        label.as_ref().map(|_| group(&seen.rows.iter().filter(has).collect::<Vec<_>>()))
    };
    let levels = model.features.iter().zip(&labels).map(level).collect();
    let leaves_of = |tree: &Vec<Node>| -> Vec<Group> {
        let right = right_children(tree).unwrap();
        let mut reached: Vec<Vec<&Row>> = vec![Vec::new(); tree.len()];
        for row in &seen.rows {
            let mut at = 0;
            while let Node::Split { feature, threshold } = tree[at] {
                let f = &model.features[feature as usize];
                let left = goes_left(&row.0[column(f)], f, labels[feature as usize].as_ref(), threshold);
                at = if left { at + 1 } else { right[at] as usize };
            }
            reached[at].push(row);
        }
        let leaves = reached.iter().zip(tree).filter(|(_, node)| matches!(node, Node::Leaf { .. }));
        leaves.map(|(rows, _)| group(rows)).collect()
    };
    let leaves = model.trees.iter().map(leaves_of).collect();
    // Of the view arrears, opened, amount; the labels of grade, band, words and gone; what was derived.
    let of_labels: usize = seen.labels.iter().map(Vec::len).sum();
    ModelEvidence { labels, levels, leaves, features_possible: 3 + of_labels as u64 + 1 }
}

#[test]
fn evidence_equals_a_naive_computation_on_any_number_of_threads() {
    let (mut leaves, mut shared) = (0, 0);
    for seed in 300..380 {
        let fused = case(seed).fuse(1).unwrap();
        let seen = seen(&fused);
        if seen.labels[seen.names.iter().position(|n| n == "words").unwrap()].is_empty() {
            continue;
        }
        let mut r = Rng(seed | 1);
        let mut flat = FlatTrees::default();
        for _ in 0..3 {
            let root = grow(&mut r, FEATURES.len(), 4, &mut flat);
            flat.roots.push(root);
        }
        let model = TreesModel::new("forest".into(), Link::Logit, features(), 0.0, &flat).unwrap();
        let expected = naive(&seen, &model);
        leaves += expected.leaves.iter().flatten().count();
        shared += expected.leaves.iter().flatten().filter(|g| g.units != g.units_counting).count();
        let model = Model::Trees(model);
        assert!(expected.is_of(&model));
        for threads in [1, 3] {
            let view = view_of(case(seed).fuse(1).unwrap(), threads);
            let (declared, fds) = derived(view.rows);
            assert_eq!(
                models::judge(&view, &[model.clone(), model.clone()], declared, fds).unwrap(),
                [expected.clone(), expected.clone()],
                "seed {seed}"
            );
        }
    }
    assert!(leaves > 300 && shared > 10, "{leaves} leaves, {shared} with units that do not count: the cases no longer test both");
}

#[test]
fn a_model_of_other_columns_is_refused() {
    let view = view_of(case(301).fuse(1).unwrap(), 1);
    let with = |column: &str, level: Option<u32>| {
        let features = vec![Feature { column: column.to_owned(), level }];
        let model = Model::Linear(LinearModel::new("m".into(), Link::Log, features, vec![1.0], 0.0));
        models::judge(&view, &[model], Vec::new(), Vec::new()).map(|found| found[0].labels.clone())
    };
    let wrong = Err(EngineFailure::Model(ModelError::Feature));
    assert_eq!(with("arrears", None), Ok(vec![None]));
    assert_eq!(with("band", Some(2)), Ok(vec![Some("high".into())]));
    for (column, level) in [
        ("band", Some(3)),
        ("band", None),
        ("arrears", Some(0)),
        ("who", None),
        ("who", Some(0)),
        ("flag", Some(0)),
        ("unit_ordinal", None),
    ] {
        assert_eq!(with(column, level), wrong, "{column} {level:?}");
    }
}
