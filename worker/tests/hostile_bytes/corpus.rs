//! Every fuzz target over a corpus of its own: noise, the seeds, and changes of the seeds.

use std::time::{Duration, Instant};

use protocol::message::UploadFormat;

use crate::random::Random;
use crate::{mutate, parsers, seeds};

#[path = "../../../fuzz/src/seeds.rs"]
mod fuzz_seeds;
#[path = "../../../fuzz/src/targets.rs"]
mod targets;

/// Inputs of each target.
const CASES: u64 = 5_000;
/// No input takes longer, on a busy machine.
const LONGEST: Duration = Duration::from_secs(20);

/// The seeds of a target, with files that the fuzz crate cannot make.
fn seeds_of(target: &str) -> Vec<Vec<u8>> {
    let mut all = fuzz_seeds::of(target);
    match target {
        "module" => {
            let folder = std::env::var_os("FUSEBOX_GUESTS").expect("FUSEBOX_GUESTS is not set; remedy: `cargo xtask test`");
            for name in ["bare", "no-manifest", "control-label", "spins", "wasi-import"] {
                all.push(std::fs::read(std::path::Path::new(&folder).join(format!("{name}.wasm"))).unwrap());
            }
        }
        "upload" => {
            all.push([&[2], seeds::gz(b"a,b,c,d\n1,x,x,2024-01-01\n").as_slice()].concat());
            all.extend((0..6).map(|variant| [&[4], seeds::small_parquet(variant).as_slice()].concat()));
        }
        _ => {}
    }
    all
}

fn run(name: &str, target: fn(&[u8]), cases: u64) {
    let (random, seeds, started) = (Random::seeded(name), seeds_of(name), Instant::now());
    for seed in &seeds {
        target(seed);
    }
    for case in 0..cases {
        let mut random = random.fork(case);
        let mut bytes = random.of(&seeds).clone();
        if random.below(10) == 0 {
            bytes = (0..random.below(400)).map(|_| random.next() as u8).collect();
        }
        for _ in 0..=random.below(4) {
            mutate::change(UploadFormat::Csv, &mut bytes, &mut random);
        }
        let begun = Instant::now();
        // Parsers of others panic and are caught within: told without their stacks, whose symbols take seconds to read.
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let ended = std::panic::catch_unwind(|| target(&bytes));
        std::panic::set_hook(hook);
        if let Err(panic) = ended {
            let hex: String = bytes.iter().take(300).map(|b| format!("{b:02x}")).collect();
            let said = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            panic!("{name}: case {case} of {} bytes: {}; {hex}", bytes.len(), said.unwrap_or_default());
        }
        assert!(begun.elapsed() < LONGEST, "{name}: case {case} took {:?}", begun.elapsed());
    }
    eprintln!("{name}: {} seeds, {cases} changes, {:.1} s", seeds.len(), started.elapsed().as_secs_f64());
}

#[test]
fn every_decoder_takes_or_refuses_what_comes() {
    let _alone = parsers::alone();
    targets::TARGETS.iter().for_each(|(name, target)| run(name, *target, CASES));
}

#[test]
#[ignore = "takes about twenty minutes"]
fn every_decoder_takes_or_refuses_what_comes_in_bulk() {
    let _alone = parsers::alone();
    targets::TARGETS.iter().for_each(|(name, target)| run(name, *target, 100_000));
}

/// The seeds reach what lies behind each decoder: all but those that are there to be refused are taken.
#[test]
fn seeds_are_sound() {
    use fusebox::tlog::Checkpoint;
    let signer = targets::signer();
    assert!(fuzz_seeds::of("note").iter().filter(|note| Checkpoint::verify(note, signer.verifier()).is_ok()).count() >= 3);
    let is_entry = |entry: &Vec<u8>| fusebox::catalog::CatalogueEntry::parse(std::str::from_utf8(entry).unwrap()).is_ok();
    assert!(fuzz_seeds::of("entry").iter().all(is_entry));
    let is_plan = |plan: &Vec<u8>| fusebox::catalog::FusionPlan::parse(std::str::from_utf8(plan).unwrap()).is_ok();
    assert!(fuzz_seeds::of("plan").iter().all(is_plan));
    let examined = seeds_of("module").iter().filter(|m| fusebox_worker::compile::examine(m).is_ok()).count();
    assert!(examined > 0, "a module passes");
}

/// Each target is one of the fuzz crate's programs.
#[test]
fn every_target_has_its_program() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    for (name, _) in targets::TARGETS {
        let program = std::fs::read_to_string(folder.join(format!("fuzz_targets/{name}.rs"))).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(program.contains(&format!("targets::{name}(data)")), "{name}");
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
    }
}
