//! The numbers of a rounded model as safetensors. Derived from what is shown, and carrying nothing beside it: dtypes, names and shapes follow
//! from the form, and the one entry of metadata is the list of features.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::model::{Model, Node, TreesModel, right_children};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::super::table::NotReleased;

const FAILED: NotReleased = NotReleased::Malformed("a model has no tensors");

/// Name, type, shape, little-endian bytes.
type Tensor = (String, Dtype, Vec<usize>, Vec<u8>);

/// Safetensors in base64.
pub(super) fn encode(model: &Model, features: &[String]) -> Result<String, NotReleased> {
    let tensors = match model {
        Model::Linear(m) => {
            vec![floats("coefficients", vec![m.coefficients.len()], &m.coefficients), floats("intercept", vec![1], &[m.intercept])]
        }
        Model::Trees(m) => trees(m)?,
        Model::Network(m) => {
            let layers = m.layers.iter().enumerate().flat_map(|(i, layer)| {
                let outputs = layer.biases.len();
                let inputs = layer.weights.len() / outputs.max(1);
                [
                    floats(&format!("{i}.weights"), vec![outputs, inputs], &layer.weights),
                    floats(&format!("{i}.biases"), vec![outputs], &layer.biases),
                ]
            });
            layers.collect()
        }
    };
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        TensorView::new(*dtype, shape.clone(), bytes).map(|view| (name.as_str(), view)).map_err(|_| FAILED)
    });
    let features = serde_json::to_string(features).map_err(|_| FAILED)?;
    // One entry: the order of several would differ from run to run.
    let metadata = HashMap::from([("features".to_owned(), features)]);
    let bytes = safetensors::serialize(views.collect::<Result<Vec<_>, _>>()?, Some(metadata)).map_err(|_| FAILED)?;
    Ok(STANDARD.encode(bytes))
}

fn floats(name: &str, shape: Vec<usize>, values: &[f64]) -> Tensor {
    (name.to_owned(), Dtype::F64, shape, values.iter().flat_map(|v| v.to_le_bytes()).collect())
}

fn integers(name: &str, values: &[i32]) -> Tensor {
    (name.to_owned(), Dtype::I32, vec![values.len()], values.iter().flat_map(|v| v.to_le_bytes()).collect())
}

fn trees(model: &TreesModel) -> Result<Vec<Tensor>, NotReleased> {
    let (mut roots, mut feature, mut left, mut right) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut threshold, mut value) = (Vec::new(), Vec::new());
    let small = |of: usize| i32::try_from(of).map_err(|_| FAILED);
    for tree in &model.trees {
        let first = feature.len();
        roots.push(small(first)?);
        for (i, (node, child)) in tree.iter().zip(right_children(tree).map_err(|_| FAILED)?).enumerate() {
            let (f, t, l, r, v) = match node {
                Node::Split { feature, threshold } => {
                    (small(*feature as usize)?, *threshold, small(first + i + 1)?, small(first + child as usize)?, 0.0)
                }
                Node::Leaf { value } => (-1, 0.0, -1, -1, *value),
            };
            feature.push(f);
            threshold.push(t);
            left.push(l);
            right.push(r);
            value.push(v);
        }
    }
    let nodes = vec![feature.len()];
    Ok(vec![
        integers("roots", &roots),
        integers("feature", &feature),
        integers("left", &left),
        integers("right", &right),
        floats("threshold", nodes.clone(), &threshold),
        floats("value", nodes, &value),
        floats("base", vec![1], &[model.base]),
    ])
}
