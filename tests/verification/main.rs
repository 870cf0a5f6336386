//! The verification door through the public surface: one label about one consenting subject, once, and nothing else, whatever the module does
//! and whoever asks.
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

mod hostile;
mod refusals;
mod rolled_back;
mod tenancy;
mod timing;
mod world;
