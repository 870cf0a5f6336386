//! fusebox-worker: the untrusted side. One process, one role, one job; it holds what it was handed and nothing else.
//!
//! | module | what it is |
//! |---|---|
//! | [`jail`] | what a worker gives up before it reads a byte of work |
//! | [`map`] | shared memory, mapped read-only after its seals were verified |
//! | [`ingest`] | parsers of uploads |
//! | [`compile`] | validation and compilation of modules |
//! | [`engine`] | fusion and exact aggregates with their evidence (polars) |
//! | [`guest`] | a module in its sandbox (wasmtime) |
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods))]

pub mod compile;
pub mod engine;
pub mod guest;
pub mod ingest;
pub mod jail;
pub mod map;
