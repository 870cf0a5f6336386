//! Differential privacy: what a fold costs, how its noise is scaled and drawn, what an answer is worth. Pure: no files, no clock, no
//! store; the ledger is [`crate::gate`]'s.
//!
//! | module | what it is |
//! |---|---|
//! | `request` | a fold as an operator asks for it |

mod request;

pub use request::{BlocksDocument, ClipDocument, FoldDocument, MapDocument, MechanismKind, ModuleMap};
