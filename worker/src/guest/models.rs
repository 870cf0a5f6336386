//! The functions by which a module hands in a model. Lists of primitives alone: each is copied in one step.
// `derive(Lift)` implements wasmtime's unsafe traits; nothing else here does.
#![allow(unsafe_code)]

use protocol::message::GuestFailure;
use protocol::model::{Feature, FlatNetwork, FlatTrees, LinearModel, Model, NetworkModel, TreesModel};
use wasmtime::component::{ComponentType, Lift, Linker};

use super::host::Host;
use super::link::{Store, end};

#[derive(ComponentType, Lift, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code, reason = "made by lifting alone")]
enum Link {
    #[component(name = "identity")]
    Identity,
    #[component(name = "logit")]
    Logit,
    #[component(name = "log")]
    Log,
}

impl From<Link> for protocol::model::Link {
    fn from(link: Link) -> Self {
        match link {
            Link::Identity => Self::Identity,
            Link::Logit => Self::Logit,
            Link::Log => Self::Log,
        }
    }
}

#[derive(ComponentType, Lift)]
#[component(record)]
struct Features {
    columns: Vec<u32>,
    levels: Vec<i64>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
struct Linear {
    model: u32,
    link: Link,
    features: Features,
    coefficients: Vec<f64>,
    intercept: f64,
}

#[derive(ComponentType, Lift)]
#[component(record)]
struct Trees {
    model: u32,
    link: Link,
    features: Features,
    base: f64,
    roots: Vec<u32>,
    feature: Vec<u32>,
    threshold: Vec<f64>,
    left: Vec<u32>,
    right: Vec<u32>,
    value: Vec<f64>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
struct Network {
    model: u32,
    link: Link,
    features: Features,
    widths: Vec<u32>,
    activations: Vec<u8>,
    weights: Vec<f64>,
    biases: Vec<f64>,
}

/// Links the interface `models`.
///
/// # Errors
/// A name is there twice.
pub(super) fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    let mut models = linker.instance("fusebox:analysis/models@0.3.0")?;
    models.func_wrap("submit-linear", |mut store: Store<'_>, (m,): (Linear,)| {
        let make = |name, features| Ok(Model::Linear(LinearModel::new(name, m.link.into(), features, m.coefficients, m.intercept)));
        submit(store.data_mut(), m.model, &m.features, make).map_err(end)
    })?;
    models.func_wrap("submit-trees", |mut store: Store<'_>, (m,): (Trees,)| {
        let flat = FlatTrees { roots: m.roots, feature: m.feature, threshold: m.threshold, left: m.left, right: m.right, value: m.value };
        let make = |name, features| Ok(Model::Trees(TreesModel::new(name, m.link.into(), features, m.base, &flat)?));
        submit(store.data_mut(), m.model, &m.features, make).map_err(end)
    })?;
    models.func_wrap("submit-network", |mut store: Store<'_>, (m,): (Network,)| {
        let flat = FlatNetwork { widths: m.widths, activations: m.activations, weights: m.weights, biases: m.biases };
        let make = |name, features| Ok(Model::Network(NetworkModel::new(name, m.link.into(), features, &flat)?));
        submit(store.data_mut(), m.model, &m.features, make).map_err(end)
    })
}

fn submit(
    host: &mut Host,
    model: u32,
    features: &Features,
    make: impl FnOnce(String, Vec<Feature>) -> Result<Model, GuestFailure>,
) -> Result<(), GuestFailure> {
    let model = make(host.model_name(model)?, host.features(&features.columns, &features.levels)?)?;
    host.submit(model)
}
