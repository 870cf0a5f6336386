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
//! | [`other_build`] | the same job | the same job in the build that `FUSEBOX_BASELINE` names |
//!
//! Run by `cargo xtask bench`, which tells where modules and binaries are. Absolute times say as much about the machine as
//! about the product; only ratios are compared with targets.
#![allow(clippy::disallowed_methods, reason = "a tool for developers, on files of its own")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a tool for developers")]

mod data;
mod encrypted_scan;
mod fold;
mod handover;
mod interruption;
mod kernels;
mod measure;
mod noop_job;
mod other_build;
mod papers;
mod place;
mod plain;
mod private;
mod server;
mod warm_query;

use anyhow::Result;
use measure::Outcome;
use std::process::ExitCode;

/// A measure: its name and what runs it.
type Measure = (&'static str, fn() -> Result<Outcome>);

const MEASURES: [Measure; 12] = [
    ("kernels", kernels::measure),
    ("interruption", interruption::measure),
    ("fold", fold::measure),
    ("handover", handover::measure),
    ("encrypted_scan", encrypted_scan::measure),
    ("warm_query", warm_query::measure),
    ("noop_job", noop_job::measure),
    ("private_built_in", private::built_in),
    ("private_blocks", private::blocks),
    ("private_noise", private::noise),
    ("private_gradient", private::gradient),
    ("other_build", other_build::measure),
];

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
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
        eprintln!("remedy: fusebox-bench [{}] [--json]", MEASURES.map(|(name, _)| name).join(" | "));
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
