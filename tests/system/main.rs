//! The whole system from outside: the real server process and its workers, driven through HTTP and the command line. One binary for
//! all of it, so that it is linked once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    missing_docs,
    reason = "test code, on the developer's own files"
)]

mod bundle;
mod canary;
mod crash;
mod differences;
mod lifecycle;
mod log;
mod midnight;
mod models;
mod probe;
mod quantum;
mod random;
mod refusals;
mod replay;
mod residue;
mod rolled_back;
#[path = "../support/mod.rs"]
mod support;
mod witness;
mod world;
