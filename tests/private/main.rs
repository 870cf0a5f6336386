//! The private door through the public surface: what leaves is noised, paid for and said to be so, whatever the module does.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "test code"
)]

#[path = "../support/mod.rs"]
mod support;

mod adult;
mod audit;
mod built_in;
mod crash;
mod freeze;
mod hostile;
mod rolled_back;
mod world;
