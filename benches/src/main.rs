//! Ratios of the product against the plain thing, both measured in one run, in turns: `fusebox-bench [NAME] [--json]`.
//!
//! | measure | one side | other side |
//! |---|---|---|
//! | [`kernels`] | kernels compiled to wasm | the same source, native |
//! | [`interruption`] | kernels in a guest that counts fuel (epochs) | the same that counts nothing |
//! | [`fold`] | blocks through a module, a fresh instance each | the same sums in a plain thread |
//! | [`handover`] | a module reads a column through its world | memcpy of the same bytes |
//! | [`encrypted_scan`] | a sealed segment read, opened, summed | a plain one read and summed |
//! | [`warm_query`] | a job that asks for a table | the same query in polars, in a plain process |
//! | [`noop_job`] | a job that asks for one number | a process start and one fdatasync |
//! | [`private`] | the private door: built in, blocks, noise, a gradient round | polars, a process start, the bare sampler, one instance |
//! | [`audit`] | the next decision after many releases; the audit where combinations are hardest | the promised 5 s |
//! | [`suppression`] | the cell rules with the attacker's search on the largest table | the promised 10 s |
//! | [`release`] | the gate's commit, of one and of 64 clients | the same bytes and one fdatasync; single commits of SQLite |
//! | [`other_build`] | the same job | the same job in the build that `FUSEBOX_BASELINE` names |
//!
//! Without the feature `engines` neither polars nor wasmtime is built, and only what needs neither is measured:
//! `cargo run --release -p fusebox-benches --no-default-features -- release`.
//!
//! Run by `cargo xtask bench`, which tells where modules and binaries are. Absolute times say as much about the machine as
//! about the product; only ratios are compared with targets.
#![cfg_attr(not(feature = "engines"), allow(dead_code, reason = "what only those measures use that need engines"))]
#![allow(clippy::disallowed_methods, reason = "a tool for developers, on files of its own")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a tool for developers")]

mod audit;
mod data;
mod encrypted_scan;
#[cfg(feature = "engines")]
mod fold;
mod gate;
#[cfg(feature = "engines")]
mod handover;
#[cfg(feature = "engines")]
mod interruption;
#[cfg(feature = "engines")]
mod kernels;
mod measure;
mod noop_job;
mod other_build;
mod papers;
mod place;
#[cfg(feature = "engines")]
mod plain;
#[cfg(feature = "engines")]
mod private;
mod release;
mod server;
#[path = "../guests/kernels/src/kernels.rs"]
mod shared;
mod suppression;
#[cfg(feature = "engines")]
mod warm_query;

use anyhow::Result;
use measure::Outcome;
use std::process::ExitCode;

/// A measure: its name and what runs it.
type Measure = (&'static str, fn() -> Result<Outcome>);

const MEASURES: &[Measure] = &[
    #[cfg(feature = "engines")]
    ("kernels", kernels::measure),
    #[cfg(feature = "engines")]
    ("interruption", interruption::measure),
    #[cfg(feature = "engines")]
    ("fold", fold::measure),
    #[cfg(feature = "engines")]
    ("handover", handover::measure),
    ("encrypted_scan", encrypted_scan::measure),
    #[cfg(feature = "engines")]
    ("warm_query", warm_query::measure),
    ("noop_job", noop_job::measure),
    #[cfg(feature = "engines")]
    ("private_built_in", private::built_in),
    #[cfg(feature = "engines")]
    ("private_blocks", private::blocks),
    #[cfg(feature = "engines")]
    ("private_noise", private::noise),
    #[cfg(feature = "engines")]
    ("private_gradient", private::gradient),
    ("audit_earlier", audit::earlier),
    ("audit_combinations", audit::combinations),
    ("suppression", suppression::measure),
    ("release_latency", release::latency),
    ("release_throughput", release::throughput),
    ("other_build", other_build::measure),
];

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    #[cfg(feature = "engines")]
    if arguments.first().is_some_and(|a| a == plain::ARGUMENT) {
        return if plain::serve().is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let all = arguments.len();
    arguments.retain(|a| a != "--json");
    let json = arguments.len() < all;
    let chosen: Vec<&Measure> = match arguments.as_slice() {
        // The last one needs another build: by name only.
        [] => MEASURES.iter().filter(|(n, _)| *n != "other_build").collect(),
        // A name, or the beginning of several: `private`.
        [name] => {
            MEASURES.iter().filter(|(n, _)| n == name || n.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('_'))).collect()
        }
        _ => Vec::new(),
    };
    if chosen.is_empty() {
        let names: Vec<&str> = MEASURES.iter().map(|(name, _)| *name).collect();
        eprintln!("remedy: fusebox-bench [{}] [--json]", names.join(" | "));
        return ExitCode::from(2);
    }
    let mut failed = false;
    if !json {
        println!("{}", measure::HEADING);
    }
    for (name, run) in chosen {
        match run() {
            Ok(outcome) if json => println!("{}", outcome.json(name)),
            Ok(outcome) => println!("{}", outcome.row(name)),
            Err(error) => {
                failed = true;
                let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
                eprintln!("{name}: not measured: {}", causes.join(": "));
            }
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
