//! The engines that compile and run modules: one set of settings a world, so that code of one process loads in another.

use std::hash::{Hash, Hasher};

use protocol::limits::Limits;
use protocol::message::World;
use wasmtime::{Config, Engine, WasmFeatures};

/// What a module may use: WebAssembly 2.0 with 128-bit SIMD, extended constant expressions and components. Everything else
/// is off: threads, 64-bit memories, garbage collection, exceptions, tail calls, several memories, and relaxed SIMD, whose
/// results differ between processors.
pub const FEATURES: WasmFeatures = WasmFeatures::WASM2
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::BULK_MEMORY_OPT)
    .union(WasmFeatures::CALL_INDIRECT_OVERLONG)
    .union(WasmFeatures::COMPONENT_MODEL)
    .difference(WasmFeatures::GC_TYPES);

/// The engine of `analysis` modules, in both `compile` and `guest`.
///
/// # Errors
/// The settings do not suit this machine.
pub fn engine() -> wasmtime::Result<Engine> {
    Engine::new(&config()?)
}

/// The settings of folds, a fresh instance a block, each with fuel of its own, and of verifications.
///
/// # Errors
/// As [`config`].
pub fn fold_config() -> wasmtime::Result<Config> {
    let mut config = config()?;
    // What a block may compute is the same on every machine and at every load, so it is counted.
    config.consume_fuel(true).memory_init_cow(true);
    Ok(config)
}

/// The engine that `compile` uses for a world.
///
/// # Errors
/// As [`engine`].
pub fn engine_of(world: World) -> wasmtime::Result<Engine> {
    match world {
        World::Analysis => engine(),
        World::Fold | World::Verify => Engine::new(&fold_config()?),
    }
}

/// Its settings.
///
/// # Errors
/// A limit does not fit this machine's words.
pub fn config() -> wasmtime::Result<Config> {
    let mut config = Config::new();
    config
        .wasm_features(WasmFeatures::all().difference(FEATURES), false)
        .wasm_features(FEATURES, true)
        .concurrency_support(false)
        .relaxed_simd_deterministic(true)
        // NaN bits are not canonicalised in compiled code (2 to 5 times slower loops) but where values cross to the host.
        .cranelift_nan_canonicalization(false)
        // A run is ended from outside, by a signal; counting inside costs 1.3 to 6 times in tight loops.
        .consume_fuel(false)
        .epoch_interruption(false)
        .max_wasm_stack(usize::try_from(Limits::STANDARD.guest_stack_bytes_max)?)
        .memory_reservation(4 << 30)
        .memory_may_move(false)
        // One instance a process: a copy-on-write image would only be one more descriptor in the jail.
        .memory_init_cow(false)
        // No text of a module's functions is ever shown.
        .wasm_backtrace_max_frames(None)
        .native_unwind_info(false)
        .generate_address_map(false);
    Ok(config)
}

struct Sha256(ring::digest::Context);

impl Hasher for Sha256 {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
    fn finish(&self) -> u64 {
        0
    }
}

/// SHA-256 over all that compiled code of any world depends on: wasmtime's version, its settings, the compiler's flags, the
/// processor's features, and the size limits it was compiled under. Code is loaded under the same digest only.
///
/// # Errors
/// As [`engine`].
pub fn engine_digest() -> wasmtime::Result<[u8; 32]> {
    let mut hasher = Sha256(ring::digest::Context::new(&ring::digest::SHA256));
    hasher.write(b"fusebox engine v2\0");
    for world in [World::Analysis, World::Fold] {
        engine_of(world)?.precompile_compatibility_hash().hash(&mut hasher);
    }
    hasher.write(&Limits::STANDARD.guest_stack_bytes_max.to_le_bytes());
    let mut digest = [0; 32];
    digest.iter_mut().zip(hasher.0.finish().as_ref()).for_each(|(to, from)| *to = *from);
    Ok(digest)
}
