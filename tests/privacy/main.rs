//! Differential privacy, audited from samples: each mechanism as it is used, and mechanisms with planted bugs, which the same audit
//! has to catch.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    clippy::print_stdout,
    missing_docs,
    reason = "test code"
)]

#[path = "../support/audit.rs"]
mod audit;
mod mechanisms;
