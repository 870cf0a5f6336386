//! The witness over HTTP: served by its own process, asked by the log's.
//!
//! | file | what it is |
//! |---|---|
//! | `serve` | the witness's server, <https://c2sp.org/tlog-witness> |
//! | `ask` | the log's side: submits what is new, keeps what comes back |

mod ask;
mod serve;

pub use serve::serve_witness;

pub(super) use ask::{ask_on, known_of};
