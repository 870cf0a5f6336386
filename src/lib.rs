//! fusebox: the trusted side.
//!
//! # Map
//!
//! Each module imports only what stands above it (`tests/tidy.rs` keeps the order):
//!
//! | module | what it is |
//! |---|---|
//! | [`id`], [`limits`], [`clock`], [`refusal`] | names, numbers, time, closed reasons |
//! | [`store`] | SQLite state, encrypted segments and artefacts, keys |
//! | [`tlog`], [`policy`], [`catalog`], [`agreement`], [`sdc`], [`dp`] | release log; authorisation and release policy; datasets and plans; agreements; disclosure rules; privacy accounting |
//! | [`gate`] | the one exit: decides, logs, releases |
//! | [`workers`] | the untrusted processes and what is said to them |
//! | [`jobs`] | queue and life of a job |
//! | [`api`] | HTTP; alone knows status codes |
//! | [`config`], [`cli`] | settings and commands |
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods))]

pub mod id;
pub mod limits;
pub mod clock;
pub mod refusal;
pub mod store;
pub mod tlog;
pub mod policy;
pub mod catalog;
pub mod agreement;
pub mod sdc;
pub mod dp;
pub mod gate;
pub mod workers;
pub mod jobs;
pub mod api;
pub mod config;
pub mod cli;
