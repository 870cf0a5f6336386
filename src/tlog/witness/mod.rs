//! The witness, <https://c2sp.org/tlog-witness>: cosigns a log's checkpoint once it has verified that it extends the one it cosigned last.
//!
//! | file | what it is |
//! |---|---|
//! | `request` | what a log sends, and whether it is cosigned: pure |
//! | `keeper` | the key and the newest checkpoint of each log in a folder; what is kept is durable before a signature leaves |
//!
//! A log that shows two histories is found by whoever compares: the witness signs one of them only. It is a process of its own, with a key of
//! its own, run by another hand than the log's.

mod keeper;
mod request;

pub use keeper::{Keeper, KeeperError};
pub use request::{AddCheckpoint, BODY_BYTES_MAX, WitnessRefusal, judge};
