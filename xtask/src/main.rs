//! The project's own commands: `cargo xtask demo`, `test`, `guests`, `fetch`, `bench`.
//!
//! What cargo alone cannot do from a bare machine is here: a compiler for guests, test data, one environment for every test.
//! Everything fetched or built lies in a cache outside the tree ([`cache`]).
#![allow(clippy::disallowed_methods, reason = "a build tool works on the developer's own files; no data of a provider is here")]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod cache;
mod guests;
mod run;
mod toolchain;

use anyhow::Result;
use clap::{Parser, Subcommand};
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
    /// Build every guest module to wasm and print the folder they are in.
    Guests,
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
        Command::Guests => println!("{}", guests::build(&cache)?.display()),
    }
    Ok(())
}
