//! The interface over a real socket: what it refuses, to whom, and that its description is true.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    missing_docs,
    reason = "test code"
)]

mod bodies;
mod budgets;
mod description;
mod freezes;
mod papers;
mod reviews;
mod roles;
mod server;
mod start;
mod supervision;
