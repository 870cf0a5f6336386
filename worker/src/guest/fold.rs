//! A fold in its sandbox: every block, and every update, in an instance of its own that ends with it.
//!
//! What ends a block (a trap, its fuel, its memory, an answer that is none) makes it contribute nothing, and is told to nobody. Blocks
//! come from the engine over a socket of their own, so that no row passes through the server; a process that updates never sees one.
//! Instances are made from a pool: a fresh one is a reset of memory that stays mapped (copy-on-write image of the module's data).
//!
//! What a block costs besides its own arithmetic is measured by `cargo xtask bench fold`; figures in `docs/development.md`.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use protocol::fold::{BlockBatch, Contribution, Floats, FoldStart, Indexes, MapReply, MapRequest, UpdateReply, UpdateRequest};
use protocol::frame::{Channel, FrameError};
use protocol::limits::{LimitExceeded, Limits};
use wasmtime::component::{ComponentExportIndex, Instance, InstancePre, Linker};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store};

use super::host::Growth;
use super::{Confine, load};
use crate::compile::fold_config;
use crate::jail::{Confined, Last};

/// Bytes of a linear memory that are reset by copying, and stay: all of a small module's. What lies beyond is given back to the kernel,
/// which costs a call and a fault a touched page.
const KEEP_RESIDENT_BYTES: usize = 128 << 10;

/// Maps blocks until the engine hangs up. Descriptors: the code, the socket to the engine.
///
/// # Errors
/// What the socket says, a batch that is none, or code that cannot be loaded; the engine sees a closed conversation.
pub fn map(start: &FoldStart, fds: Vec<OwnedFd>, confine: Confine<'_>) -> Result<(), FrameError> {
    let [code, socket] = <[OwnedFd; 2]>::try_from(fds).map_err(|_| FrameError::Descriptors)?;
    let mut channel = Channel::plain(UnixStream::from(socket));
    let fold = Fold::load(start, code, "contribute", confine).ok_or(FrameError::Malformed)?;
    let mut state = Vec::new();
    loop {
        match channel.receive::<MapRequest>()?.0 {
            MapRequest::State(Floats(next)) => state = next,
            MapRequest::Blocks(batch) => {
                let contributions = fold.batch(&state, &batch).ok_or(FrameError::Malformed)?;
                channel.send(&MapReply(contributions), &[])?;
            }
        }
    }
}

/// Updates until the server hangs up. Descriptor: the code.
///
/// # Errors
/// As [`map`]; the server sees a closed conversation.
pub fn update(channel: &Channel, start: &FoldStart, fds: Vec<OwnedFd>, confine: Confine<'_>) -> Result<(), FrameError> {
    let [code] = <[OwnedFd; 1]>::try_from(fds).map_err(|_| FrameError::Descriptors)?;
    // From the first guest instruction on no descriptor can be received: the same socket, without them.
    let socket = channel.as_fd().try_clone_to_owned().map_err(FrameError::Io)?;
    let mut channel = Channel::plain(UnixStream::from(socket));
    let fold = Fold::load(start, code, "update", confine).ok_or(FrameError::Malformed)?;
    loop {
        let (request, _) = channel.receive::<UpdateRequest>()?;
        channel.send(&UpdateReply(fold.update(&request)), &[])?;
    }
}

/// A fold that is loaded.
struct Fold<'s> {
    sandbox: Sandbox,
    start: &'s FoldStart,
}

/// What an instance may use.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowance {
    /// Fuel.
    pub fuel: u64,
    /// Linear memory.
    pub memory_bytes_max: u64,
    /// What the host may allocate for its answer.
    pub answer_bytes_max: usize,
}

/// A loaded module, ready for as many instances as come.
pub(super) struct Sandbox {
    engine: Engine,
    ready: InstancePre<Growth>,
    pub(super) function: ComponentExportIndex,
    allowance: Allowance,
    _confined: Confined,
}

impl Sandbox {
    /// Loads the code and gives up what is needed for it. Nothing of the module runs here.
    pub(super) fn load(allowance: Allowance, code: OwnedFd, function: &str, confine: Confine<'_>) -> Option<Self> {
        LimitExceeded::check("fold_memory_bytes_max", Limits::STANDARD.fold_memory_bytes_max, 0, allowance.memory_bytes_max).ok()?;
        LimitExceeded::check("fold_fuel_max", Limits::STANDARD.fold_fuel_max, 0, allowance.fuel).ok()?;
        let engine = Engine::new(&pooled().ok()?).ok()?;
        let component = load::load(&engine, code).ok()?;
        // Nothing is linked: a fold imports nothing.
        let ready = Linker::new(&engine).instantiate_pre(&component).ok()?;
        let function = component.get_export_index(None, function)?;
        // The image is a file of its own, which cannot be made later.
        component.initialize_copy_on_write_image().ok()?;
        let confined = confine(Last::Fold).ok()?;
        Some(Self { engine, ready, function, allowance, _confined: confined })
    }

    /// A fresh instance with its fuel; a start function runs here.
    pub(super) fn fresh(&self) -> wasmtime::Result<(Store<Growth>, Instance)> {
        let mut store = Store::new(&self.engine, Growth::new(self.allowance.memory_bytes_max));
        store.limiter(|growth| growth);
        store.set_fuel(self.allowance.fuel)?;
        store.set_hostcall_fuel(self.allowance.answer_bytes_max);
        let instance = self.ready.instantiate(&mut store)?;
        Ok((store, instance))
    }
}

impl<'s> Fold<'s> {
    fn load(start: &'s FoldStart, code: OwnedFd, function: &str, confine: Confine<'_>) -> Option<Self> {
        start.manifest.validate().ok()?;
        // Twice the longest answer that is one.
        let answer_bytes_max = usize::try_from(start.manifest.dimension.max(start.manifest.state)).ok()?.checked_mul(24)?.max(1 << 10);
        let allowance = Allowance { fuel: start.fuel, memory_bytes_max: start.memory_bytes_max, answer_bytes_max };
        Some(Self { sandbox: Sandbox::load(allowance, code, function, confine)?, start })
    }

    /// One contribution a block; none where the batch is not one.
    fn batch(&self, state: &[f64], batch: &BlockBatch) -> Option<Vec<Contribution>> {
        let columns = self.start.manifest.columns.len();
        let (Floats(state), mut units, mut values, mut missing) =
            (Floats(state.to_vec()), batch.units.as_slice(), batch.values.0.as_slice(), batch.missing.0.as_slice());
        if state.len() as u64 != u64::from(self.start.manifest.state) || !(missing.is_empty() || missing.len() == values.len()) {
            return None;
        }
        let mut contributions = Vec::with_capacity(batch.blocks.len());
        for count in &batch.blocks {
            let (own, rest) = units.split_at_checked(usize::try_from(*count).ok()?)?;
            units = rest;
            let rows = own.iter().try_fold(0usize, |sum, rows| sum.checked_add(usize::try_from(*rows).ok()?))?;
            let size = rows.checked_mul(columns)?;
            let (own_values, rest) = values.split_at_checked(size)?;
            values = rest;
            let (own_missing, rest) = missing.split_at_checked(if missing.is_empty() { 0 } else { size })?;
            missing = rest;
            contributions.push(self.contribute(&state, own, own_values, own_missing));
        }
        (units.is_empty() && values.is_empty()).then_some(contributions)
    }

    fn contribute(&self, state: &[f64], units: &[u32], values: &[i64], missing: &[u8]) -> Contribution {
        let answer = self.sandbox.fresh().and_then(|(mut store, instance)| {
            let contribute =
                instance.get_typed_func::<(&[f64], &[u32], &[i64], &[u8]), ((Vec<u32>, Vec<f64>),)>(&mut store, &self.sandbox.function)?;
            contribute.call(&mut store, (state, units, values, missing))
        });
        match answer {
            Ok(((coordinates, values),)) => checked(self.start.manifest.dimension, coordinates, values),
            Err(_) => Contribution::Nothing,
        }
    }

    fn update(&self, request: &UpdateRequest) -> Option<Floats> {
        let (mut store, instance) = self.sandbox.fresh().ok()?;
        let update = instance.get_typed_func::<(u32, &[f64], &[f64]), (Vec<f64>,)>(&mut store, &self.sandbox.function).ok()?;
        let (next,) = update.call(&mut store, (request.round, &request.state.0, &request.noised.0)).ok()?;
        let good = next.len() as u64 == u64::from(self.start.manifest.state) && next.iter().all(|value| value.is_finite());
        good.then_some(Floats(next))
    }
}

/// The answer as a contribution of the declared length; nothing where it is none. The engine believes none of it.
fn checked(dimension: u32, coordinates: Vec<u32>, values: Vec<f64>) -> Contribution {
    if !values.iter().all(|value| value.is_finite()) {
        return Contribution::Nothing;
    }
    let Ok(length) = usize::try_from(dimension) else { return Contribution::Nothing };
    if coordinates.is_empty() {
        return if values.len() == length { Contribution::Dense(Floats(values)) } else { Contribution::Nothing };
    }
    let rising = coordinates.is_sorted_by(|a, b| a < b) && coordinates.last().is_some_and(|last| *last < dimension);
    if !rising || coordinates.len() != values.len() {
        return Contribution::Nothing;
    }
    // Twelve bytes a coordinate against eight.
    if coordinates.len().saturating_mul(3) < length.saturating_mul(2) {
        return Contribution::Sparse(Indexes(coordinates), Floats(values));
    }
    let mut dense = vec![0.0; length];
    for (coordinate, value) in coordinates.into_iter().zip(values) {
        if let Some(at) = usize::try_from(coordinate).ok().and_then(|i| dense.get_mut(i)) {
            *at = value;
        }
    }
    Contribution::Dense(Floats(dense))
}

/// The settings under which folds were compiled, with a pool for one instance at a time, however many parts it has.
fn pooled() -> wasmtime::Result<Config> {
    let l = &Limits::STANDARD;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(1)
        .total_core_instances(u32::try_from(l.guest_instances_max)?)
        .total_memories(u32::try_from(l.guest_memories_max)?)
        .total_tables(u32::try_from(l.guest_tables_max)?)
        .max_tables_per_module(u32::try_from(l.guest_tables_max)?)
        .table_elements(usize::try_from(l.guest_table_elements_max)?)
        .max_memory_size(usize::try_from(l.fold_memory_bytes_max)?)
        .max_core_instance_size(16 << 20)
        .max_component_instance_size(16 << 20)
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .table_keep_resident(KEEP_RESIDENT_BYTES);
    let mut config = fold_config()?;
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Ok(config)
}

#[cfg(test)]
mod tests;
