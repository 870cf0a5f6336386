//! The project's own commands: `cargo xtask demo`, `test`, `guests`, `hostile`, `attacks`, `accuracy`, `fetch`, `bench`.
//!
//! What cargo alone cannot do from a bare machine is here: a compiler for guests, test data, one environment for every test.
//! Everything fetched or built lies in a cache outside the tree ([`cache`]).
#![allow(clippy::disallowed_methods, reason = "a build tool works on the developer's own files; no data of a provider is here")]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod browser;
mod cache;
mod fetch;
mod guests;
mod hostile;
mod run;
mod steps;
mod toolchain;
mod wit_lock;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The project's own commands.
#[derive(Parser)]
#[command(name = "cargo xtask", disable_version_flag = true)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build all, then run the demo to its end.
    Demo {
        /// Where the demo keeps its data; a fresh folder in the cache when left out.
        #[arg(long)]
        data: Option<PathBuf>,
    },
    /// Build, lint and test all; fetch what the tests need.
    Test {
        /// Only tests whose name contains this, without lints.
        filter: Option<String>,
    },
    /// As `test`, with the tests that take long.
    Nightly,
    /// Build for release and measure; prints one line a measure.
    Bench {
        /// Only this measure.
        name: Option<String>,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
        /// Lets every sync of a file take so many milliseconds longer, on both sides, as a slower disk would (needs `strace`).
        #[arg(long)]
        slower_sync_ms: Option<u32>,
    },
    /// Build every guest module to wasm and print the folder they are in.
    Guests,
    /// Run the hostile modules and taken-over workers against the real processes; prints what was tried and contained.
    Hostile {
        /// Only this case.
        name: Option<String>,
        /// Print the cases, one a line, and run none.
        #[arg(long)]
        list: bool,
    },
    /// Run every attack on what is released through a server; prints what was tried and what succeeded, by class.
    Attacks {
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Repeat the private folds over the census through a server; prints how far their answers lie from the truth.
    Accuracy {
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Fetch test data into the cache and print the folder it is in.
    Fetch {
        /// What to fetch.
        #[arg(value_parser = fetch::names())]
        name: String,
    },
    /// Record the interface text of `guest-sdk/wit/` under its raised version.
    WitLock,
}

fn main() -> ExitCode {
    match perform(Args::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(command: Command) -> Result<()> {
    let cache = cache::Cache::open()?;
    match command {
        Command::Demo { data } => steps::demo(&cache, data),
        Command::Test { filter } => steps::test(&cache, &steps::Tests { filter, ignored: false }),
        Command::Nightly => steps::test(&cache, &steps::Tests { filter: None, ignored: true }),
        Command::Bench { name, json, slower_sync_ms } => steps::bench(&cache, name.as_deref(), json, slower_sync_ms),
        Command::Guests => print_path(&guests::build(&cache)?),
        Command::Hostile { list: true, .. } => {
            hostile::list();
            Ok(())
        }
        Command::Hostile { name, .. } => {
            name.as_deref().map_or(Ok(()), hostile::known)?;
            steps::hostile(&cache, name.as_deref())
        }
        Command::Attacks { json } => steps::attacks(&cache, json),
        Command::Accuracy { json } => steps::accuracy(&cache, json),
        Command::Fetch { name } => print_path(&fetch::fetch(&cache, &name)?),
        Command::WitLock => wit_lock::refresh(&cache::tree()?),
    }
}

fn print_path(path: &Path) -> Result<()> {
    println!("{}", path.display());
    Ok(())
}
