//! Bytes from outside against everything that reads them: uploads through real `ingest` processes ([`parsers`]), and the fuzz targets
//! of every decoder over a corpus of their own ([`corpus`]).
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

mod corpus;
mod forged;
mod mutate;
mod parsers;
mod processes;
mod random;
mod seeds;
