use proptest::prelude::*;

use super::*;

fn number(name: &str) -> Feature {
    Feature { column: name.to_owned(), level: None }
}

fn level(name: &str, level: u32) -> Feature {
    Feature { column: name.to_owned(), level: Some(level) }
}

fn features() -> Vec<Feature> {
    vec![number("income"), level("grade", 2), number("age")]
}

/// x ≤ 1 ? 10 : (level ? 20 : 30), and a tree of one leaf.
fn flat() -> FlatTrees {
    FlatTrees {
        roots: vec![0, 5],
        feature: vec![0, LEAF, 1, LEAF, LEAF, LEAF],
        threshold: vec![1.0, f64::NAN, 7.0, 0.0, 0.0, 0.0],
        left: vec![1, 9, 3, 9, 9, 9],
        right: vec![2, 9, 4, 9, 9, 9],
        value: vec![f64::INFINITY, 10.0, 0.0, 30.0, 20.0, -1.0],
    }
}

fn trees(flat: &FlatTrees) -> Result<Model, ModelError> {
    TreesModel::new("forest".into(), Link::Logit, features(), 0.5, flat).map(Model::Trees)
}

fn network() -> (FlatNetwork, Model) {
    let flat = FlatNetwork {
        widths: vec![2, 1],
        activations: vec![1, 0],
        weights: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0],
        biases: vec![0.1, 0.2, -0.0],
    };
    let model = NetworkModel::new("net".into(), Link::Identity, features(), &flat).unwrap();
    (flat, Model::Network(model))
}

fn linear() -> Model {
    Model::Linear(LinearModel::new("score".into(), Link::Logit, features(), vec![0.5, -0.0, 2.0], -1.0))
}

#[test]
fn nodes_are_kept_in_preorder_and_what_is_not_read_is_gone() {
    let model = trees(&flat()).unwrap();
    model.validate().unwrap();
    let Model::Trees(told) = &model else { panic!() };
    let split = |feature, threshold| Node::Split { feature, threshold };
    let leaf = |value| Node::Leaf { value };
    assert_eq!(told.trees, [vec![split(0, 1.0), leaf(10.0), split(1, LEVEL_THRESHOLD), leaf(30.0), leaf(20.0)], vec![leaf(-1.0)]]);
    assert_eq!(right_children(&told.trees[0]).unwrap(), [2, 0, 4, 0, 0]);
    // The threshold of a level is no parameter.
    assert_eq!(model.parameters(), [1.0, 10.0, 30.0, 20.0, -1.0, 0.5]);
}

#[test]
fn nodes_that_are_no_trees_are_refused() {
    let refused = |change: &dyn Fn(&mut FlatTrees)| {
        let mut other = flat();
        change(&mut other);
        trees(&other).unwrap_err()
    };
    assert_eq!(refused(&|f| f.left[2] = 0), ModelError::Tree, "a cycle");
    assert_eq!(refused(&|f| f.left[0] = 0), ModelError::Tree, "its own child");
    assert_eq!(refused(&|f| f.right[2] = 1), ModelError::Tree, "a node of two parents");
    assert_eq!(refused(&|f| f.roots = vec![0]), ModelError::Tree, "a node that nobody reaches");
    assert_eq!(refused(&|f| f.roots = vec![0, 0, 5]), ModelError::Tree, "a root twice");
    assert_eq!(refused(&|f| f.roots = vec![0, 2, 5]), ModelError::Tree, "a root inside a tree");
    assert_eq!(refused(&|f| f.left[0] = 6), ModelError::Tree, "outside");
    assert_eq!(refused(&|f| f.roots[1] = u32::MAX), ModelError::Tree);
    assert_eq!(refused(&|f| f.feature[0] = 3), ModelError::Feature);
    assert_eq!(refused(&|f| f.roots.clear()), ModelError::Shape);
    assert_eq!(refused(&|f| f.value.truncate(5)), ModelError::Shape);
    assert_eq!(trees(&FlatTrees { roots: vec![0], ..FlatTrees::default() }).unwrap_err(), ModelError::Tree);
    let limit = |flat: &FlatTrees| match trees(flat).unwrap_err() {
        ModelError::Limit(l) => l.name,
        other => panic!("{other}"),
    };
    let leaves = |n: usize| FlatTrees {
        roots: (0..n as u32).collect(),
        feature: vec![LEAF; n],
        threshold: vec![0.0; n],
        left: vec![0; n],
        right: vec![0; n],
        value: vec![0.0; n],
    };
    assert!(trees(&leaves(256)).is_ok());
    assert_eq!((limit(&leaves(257)), limit(&leaves(4097))), ("model_trees_max".into(), "model_trees_max".into()));
    assert_eq!(limit(&FlatTrees { roots: vec![0], ..leaves(4097) }), "model_nodes_max");
}

/// A comb: each split has a leaf on the left and the next split on the right.
fn comb(depth: u32) -> FlatTrees {
    let (mut f, n) = (FlatTrees { roots: vec![0], ..FlatTrees::default() }, 2 * depth + 1);
    for i in 0..n {
        f.feature.push(if i % 2 == 0 && i + 1 < n { 0 } else { LEAF });
        f.left.push(i + 1);
        f.right.push(i + 2);
        f.threshold.push(f64::from(i));
        f.value.push(f64::from(i));
    }
    f
}

#[test]
fn a_tree_is_as_deep_as_allowed_and_no_deeper() {
    let Model::Trees(model) = trees(&comb(16)).unwrap() else { panic!() };
    assert!(right_children(&model.trees[0]).is_ok());
    let too_deep = |error: ModelError| matches!(error, ModelError::Limit(l) if l.name == "model_depth_max");
    assert!(too_deep(trees(&comb(17)).unwrap_err()));
    // From a worker, without the arrays.
    let mut deeper = model.trees[0].clone();
    deeper.pop();
    deeper.extend([Node::Split { feature: 0, threshold: 0.0 }, Node::Leaf { value: 0.0 }, Node::Leaf { value: 0.0 }]);
    assert!(too_deep(right_children(&deeper).unwrap_err()));
    for wrong in [&[][..], &[Node::Leaf { value: 0.0 }; 2], &[Node::Split { feature: 0, threshold: 0.0 }], &deeper[..4]] {
        assert_eq!(right_children(wrong), Err(ModelError::Tree), "{wrong:?}");
    }
}

#[test]
fn layers_fit_each_other() {
    let (flat, model) = network();
    model.validate().unwrap();
    let Model::Network(told) = &model else { panic!() };
    assert_eq!(told.layers[0], Layer { activation: Activation::Relu, weights: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], biases: vec![0.1, 0.2] });
    assert_eq!(model.parameters(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 0.1, 0.2, 7.0, 8.0, 0.0]);
    assert!(model.parameters()[10].is_sign_positive(), "zero has one spelling");
    let changes: [&dyn Fn(&mut FlatNetwork); 7] = [
        &|f| f.weights.truncate(7),
        &|f| f.weights.push(0.0),
        &|f| f.biases.push(0.0),
        &|f| f.activations[0] = 4,
        &|f| f.activations.truncate(1),
        &|f| f.widths = vec![u32::MAX, 1],
        &|f| f.widths.clear(),
    ];
    for (i, change) in changes.into_iter().enumerate() {
        let mut other = flat.clone();
        change(&mut other);
        assert_eq!(other.parse(3), Err(ModelError::Shape), "{i}");
    }
    let deep = FlatNetwork { widths: vec![1; 5], activations: vec![0; 5], weights: vec![1.0; 7], biases: vec![0.0; 5] };
    assert!(matches!(deep.parse(3), Err(ModelError::Limit(l)) if l.name == "model_layers_max"));
    let wide = FlatNetwork { widths: vec![1], activations: vec![0], weights: vec![1.0; 4097], biases: vec![0.0] };
    assert!(matches!(wide.parse(4097), Err(ModelError::Limit(l)) if l.name == "model_coefficients_max"));
    let nothing = FlatNetwork { widths: vec![0], activations: vec![0], ..FlatNetwork::default() };
    let model = NetworkModel::new("net".into(), Link::Log, features(), &nothing).unwrap();
    assert_eq!(Model::Network(model).validate(), Err(ModelError::Shape));
}

#[test]
fn no_parameter_is_anything_but_a_plain_number() {
    for model in [linear(), trees(&flat()).unwrap(), network().1] {
        model.validate().unwrap();
        let count = model.parameters().len();
        for at in 0..count {
            for wrong in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0] {
                let (mut other, mut i) = (model.clone(), 0);
                other.for_each_parameter(&mut |value| {
                    if i == at {
                        *value = wrong;
                    }
                    i += 1;
                });
                assert_eq!(other.validate(), Err(ModelError::NotFinite), "{at} {wrong}");
                assert!(other.same_form(&model));
            }
        }
    }
    // A level's threshold, which is no parameter, is one number.
    let Model::Trees(mut model) = trees(&flat()).unwrap() else { panic!() };
    model.trees[0][2] = Node::Split { feature: 1, threshold: 0.25 };
    assert_eq!(Model::Trees(model).validate(), Err(ModelError::Shape));
}

#[test]
fn a_form_is_all_but_the_numbers() {
    let (a, b, c) = (linear(), trees(&flat()).unwrap(), network().1);
    assert!(!a.same_form(&b) && !b.same_form(&c) && !a.same_form(&c));
    let mut other = flat();
    other.value[1] = 99.0;
    assert!(trees(&other).unwrap().same_form(&b));
    other.feature[0] = 2;
    assert!(!trees(&other).unwrap().same_form(&b));
}

#[test]
fn features_are_columns_that_have_numbers() {
    let ty = |name: &str| match name {
        "income" | "age" => Some(ViewType::Number { scale: 0, min: 0, max: 9 }),
        "grade" => Some(ViewType::Category { declared: false }),
        "day" => Some(ViewType::Date),
        "person" => Some(ViewType::Pseudonym),
        _ => None,
    };
    let of = |features: Vec<Feature>| {
        let coefficients = vec![1.0; features.len()];
        let model = Model::Linear(LinearModel::new("m".into(), Link::Log, features, coefficients, 0.0));
        model.validate().and_then(|()| model.validate_features(ty))
    };
    assert_eq!(of(features()), Ok(()));
    assert_eq!(of(vec![number("day"), level("grade", 0), level("grade", 1)]), Ok(()));
    for wrong in [number("grade"), level("income", 0), number("person"), level("person", 0), number("text of a guest")] {
        assert_eq!(of(vec![wrong.clone()]), Err(ModelError::Feature), "{wrong:?}");
    }
    assert_eq!(of(vec![number("age"), number("age")]), Err(ModelError::Feature));
    assert_eq!(of(Vec::new()), Err(ModelError::Shape));
    assert_eq!(
        Model::Linear(LinearModel { name: "No name".into(), ..LinearModel::new(String::new(), Link::Log, features(), vec![1.0; 3], 0.0) })
            .validate(),
        Err(ModelError::Name)
    );
}

#[test]
fn evidence_has_the_shape_of_its_model() {
    let model = trees(&flat()).unwrap();
    let group = Group { units: 3, units_counting: 2 };
    let good = ModelEvidence {
        labels: vec![None, Some("C".into()), None],
        levels: vec![None, Some(group), None],
        leaves: vec![vec![group; 3], vec![group]],
        features_possible: 3,
    };
    assert!(good.is_of(&model) && !good.is_of(&linear()) && !good.is_of(&network().1));
    let changes: [&dyn Fn(&mut ModelEvidence); 7] = [
        &|e| e.labels[0] = Some("x".into()),
        &|e| e.labels[1] = None,
        &|e| e.levels[1] = None,
        &|e| e.leaves[0].truncate(2),
        &|e| e.leaves.push(Vec::new()),
        &|e| e.leaves[0][0].units_counting = 4,
        &|e| e.features_possible = 2,
    ];
    for (i, change) in changes.into_iter().enumerate() {
        let mut other = good.clone();
        change(&mut other);
        assert!(!other.is_of(&model), "{i}");
    }
}

/// A tree of any shape within the depth, as nested pairs.
#[derive(Debug, Clone)]
enum Shape {
    Leaf(f64),
    Split(u32, f64, Box<[Shape; 2]>),
}

fn shape() -> impl Strategy<Value = Shape> {
    let leaf = (-1e3..1e3f64).prop_map(Shape::Leaf);
    leaf.prop_recursive(6, 40, 2, |inner| {
        (0..3u32, -1e3..1e3f64, inner.clone(), inner).prop_map(|(f, t, a, b)| Shape::Split(f, t, Box::new([a, b])))
    })
}

/// Nodes with their children, before they are shuffled.
fn lay(shape: &Shape, nodes: &mut Vec<(u32, f64, usize, usize, f64)>) -> usize {
    let at = nodes.len();
    match shape {
        Shape::Leaf(value) => nodes.push((LEAF, 0.0, 0, 0, *value)),
        Shape::Split(feature, threshold, children) => {
            nodes.push((*feature, *threshold, 0, 0, 0.0));
            let [left, right] = [lay(&children[0], nodes), lay(&children[1], nodes)];
            (nodes[at].2, nodes[at].3) = (left, right);
        }
    }
    at
}

fn shuffled(shapes: &[Shape], order: impl Fn(usize) -> usize) -> FlatTrees {
    let mut nodes = Vec::new();
    let roots: Vec<usize> = shapes.iter().map(|s| lay(s, &mut nodes)).collect();
    let n = nodes.len();
    let mut flat = FlatTrees {
        roots: roots.iter().map(|r| order(*r) as u32).collect(),
        feature: vec![0; n],
        threshold: vec![0.0; n],
        left: vec![0; n],
        right: vec![0; n],
        value: vec![0.0; n],
    };
    for (i, (feature, threshold, left, right, value)) in nodes.into_iter().enumerate() {
        let at = order(i);
        (flat.feature[at], flat.threshold[at], flat.value[at]) = (feature, threshold, value);
        (flat.left[at], flat.right[at]) = (order(left) as u32, order(right) as u32);
    }
    flat
}

proptest! {
    /// The order in which a guest lays its nodes says nothing.
    #[test]
    fn one_tree_has_one_spelling(shapes in prop::collection::vec(shape(), 1..5), by in 0..97usize) {
        let n = { let mut nodes = Vec::new(); shapes.iter().for_each(|s| { lay(s, &mut nodes); }); nodes.len() };
        let straight = trees(&shuffled(&shapes, |i| i)).unwrap();
        straight.validate().unwrap();
        prop_assert_eq!(&trees(&shuffled(&shapes, |i| (i + by) % n)).unwrap(), &straight);
        prop_assert_eq!(&trees(&shuffled(&shapes, |i| n - 1 - i)).unwrap(), &straight);
        let crossed: Model = postcard::from_bytes(&postcard::to_stdvec(&straight).unwrap()).unwrap();
        prop_assert_eq!(crossed, straight);
    }

    /// Whatever a guest points at, the walk ends, and what passes is a forest.
    #[test]
    fn any_arrays_end(
        roots in prop::collection::vec(0..12u32, 0..4),
        nodes in prop::collection::vec((prop::sample::select(vec![0, 1, 2, 3, LEAF, LEAF, LEAF]), 0..12u32, 0..12u32, any::<f64>(), any::<f64>()), 0..12),
    ) {
        let flat = FlatTrees {
            roots,
            feature: nodes.iter().map(|n| n.0).collect(),
            left: nodes.iter().map(|n| n.1).collect(),
            right: nodes.iter().map(|n| n.2).collect(),
            threshold: nodes.iter().map(|n| n.3).collect(),
            value: nodes.iter().map(|n| n.4).collect(),
        };
        if let Ok(model) = trees(&flat) {
            let Model::Trees(told) = &model else { panic!() };
            prop_assert_eq!(told.nodes().count(), nodes.len());
            prop_assert!(matches!(model.validate(), Ok(()) | Err(ModelError::NotFinite)));
        }
    }

    /// A worker that was taken over sends any bytes: what is read is judged without a fault, and what passes has one spelling.
    #[test]
    fn any_bytes_are_judged(at in any::<prop::sample::Index>(), bit in 0..8u32, which in 0..3usize, cut in any::<prop::sample::Index>()) {
        let model = match which { 0 => linear(), 1 => trees(&flat()).unwrap(), _ => network().1 };
        let mut bytes = postcard::to_stdvec(&model).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        for bytes in [&bytes[..], &bytes[..cut.index(bytes.len())]] {
            let Ok(read) = postcard::from_bytes::<Model>(bytes) else { continue };
            if read.validate().is_ok() {
                prop_assert!(read.parameters().iter().all(|p| p.is_finite()));
                prop_assert_eq!(postcard::from_bytes::<Model>(&postcard::to_stdvec(&read).unwrap()).unwrap(), read);
            }
        }
    }
}
