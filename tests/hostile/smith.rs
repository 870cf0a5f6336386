//! Modules out of random bytes, in bulk: each is refused with a closed reason or compiles, and what compiles runs to a closed end. The
//! seeds are printed; one module again: `FUSEBOX_SMITH_SEED=N`.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use arbitrary::Unstructured;
use fusebox::workers::{CompileError, KillSwitch, Patience, WorkerError, WorkerSettings, Workers};
use wasm_smith::{Component, Config, Module};

use crate::cases::Rows;
use crate::{NORMAL, modules, run};

/// Modules of every run of the tests, and of a long one.
const MODULES: u64 = 2_000;
const MANY_MODULES: u64 = 50_000;
/// Where the seeds of a run begin.
const FIRST: u64 = 20_261_122;
/// Bytes that a module is made of.
const BYTES: usize = 3 << 10;

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).take(count).collect()
    }
}

/// What may be in a module. With `offered`, only what is on here.
fn config(offered: bool) -> Config {
    let all = Config { max_memory32_bytes: 1 << 24, generate_custom_sections: true, ..Config::default() };
    if !offered {
        return Config { memory64_enabled: true, shared_everything_threads_enabled: false, wide_arithmetic_enabled: true, ..all };
    }
    Config {
        max_imports: 0,
        reference_types_enabled: false,
        threads_enabled: false,
        gc_enabled: false,
        exceptions_enabled: false,
        tail_call_enabled: false,
        relaxed_simd_enabled: false,
        memory64_enabled: false,
        max_memories: 1,
        max_tables: 4,
        max_table_elements: 10_000,
        max_instructions: 400,
        ..all
    }
}

/// A core module as a part of a component with a good `run`.
fn part(core: &Module) -> Vec<u8> {
    [modules::beside(""), modules::section(1, &core.to_bytes())].concat()
}

/// What a seed stands for: a core module that is instantiated beside a good `run`; one with imports, which is compiled there; whatever
/// the generator knows, as a component or as a core module; a good module with some bytes changed.
fn module(seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let bytes = random.bytes(BYTES);
    let mut bytes = Unstructured::new(&bytes);
    match seed % 8 {
        0 | 4 => {
            let mut core = Module::new(config(true), &mut bytes).unwrap();
            core.ensure_termination(10_000).unwrap();
            // The good module's place is 0; an instance of the module at 1, which is handed nothing.
            [part(&core), modules::section(2, &[1, 0, 1, 0])].concat()
        }
        1 | 5 => part(&Module::new(Config { max_imports: 20, ..config(true) }, &mut bytes).unwrap()),
        2 => modules::with_manifest(Component::new(config(false), &mut bytes).unwrap().to_bytes(), modules::MANIFEST),
        6 => Module::new(config(false), &mut bytes).unwrap().to_bytes(),
        _ => {
            let mut good = modules::good(modules::MANIFEST);
            for _ in 0..1 + random.next() % 4 {
                let at = random.next() as usize % good.len();
                good[at] = random.next() as u8;
            }
            good
        }
    }
}

/// What came of a module, if it is closed.
fn outcome(workers: &Workers, seed: u64) -> Result<String, String> {
    let compiled = match workers.compile(&module(seed), Patience::Job, &KillSwitch::default()) {
        Ok(compiled) => compiled,
        Err(CompileError::Refused(refusal)) => return Ok(format!("refused: {}", run::refusal(&refusal))),
        Err(CompileError::Worker(error)) => return Err(format!("compile: {error}")),
    };
    match run::run(workers, &compiled.code, &compiled.manifest, Rows::Synthetic, seed, run::LONG) {
        Ok(_) => Ok("ran".to_owned()),
        Err((WorkerError::Guest(failure), _)) => Ok(format!("ran, failed: {}", run::failure(&failure))),
        Err((WorkerError::Cancelled, _)) => Ok("ran, stopped".to_owned()),
        Err((error, _)) => Err(format!("run: {error}")),
    }
}

fn all(count: u64) {
    let only = std::env::var("FUSEBOX_SMITH_SEED").ok().map(|seed| seed.parse::<u64>().unwrap());
    let seeds = only.map_or(FIRST..FIRST + count, |seed| seed..seed + 1);
    println!("seeds {} to {}", seeds.start, seeds.end - 1);
    let workers = Workers::new(WorkerSettings::alone(run::binary(), 1, 2));
    let (next, wrong, ended) = (AtomicU64::new(seeds.start), Mutex::new(Vec::new()), Mutex::new(BTreeMap::<String, u64>::new()));
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    match outcome(&workers, seed) {
                        Ok(what) => *ended.lock().unwrap().entry(what).or_default() += 1,
                        Err(came) => wrong.lock().unwrap().push(format!("seed {seed}: {came}")),
                    }
                }
            });
        }
    });
    for (what, count) in ended.into_inner().unwrap() {
        println!("{what:<28} {count:>6}");
    }
    println!("{:<28} {:>6}   {:.1} s", "all", seeds.end - seeds.start, started.elapsed().as_secs_f64());
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    run::check(&workers, &NORMAL).unwrap();
}

#[test]
fn random_modules_end_with_a_closed_reason() {
    all(MODULES);
}

#[test]
#[ignore = "long"]
fn many_random_modules_end_with_a_closed_reason() {
    all(MANY_MODULES);
}
