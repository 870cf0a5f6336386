//! Differential privacy: what a fold costs, how its noise is scaled and drawn, what an answer is worth. Pure: no files, no clock, no
//! store; the ledger is [`crate::gate`]'s.
//!
//! | module | what it is |
//! |---|---|
//! | `request` | a fold as an operator asks for it |
//! | `resolve` | the same over what a plan grants: what the engine gets, how its sums are read |

mod request;
mod resolve;

pub use request::{BlocksDocument, ClipDocument, FoldDocument, MapDocument, MechanismKind, ModuleMap};
pub use resolve::{BinType, GrantedColumn, Reading, ResolvedFold, granted_columns};
