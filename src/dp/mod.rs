//! Differential privacy: what a fold costs, how its noise is scaled and drawn, what an answer is worth. Pure: no files, no clock, no
//! store; the ledger is [`crate::gate`]'s.
//!
//! | module | what it is |
//! |---|---|
//! | `request` | a fold as an operator asks for it |
//! | `resolve` | the same over what a plan grants: what the engine gets, how its sums are read |
//! | [`units`] | ρ and ε in whole units of 10^-12 |
//! | [`convert`] | between ρ and (ε, δ) |
//! | [`calibration`] | sensitivity, how much noise, what it costs |
//! | `noise` | one round's draw |
//! | `answer` | noised sums read as an answer |
//! | [`preview`] | the expected error before spending, and the planner |

pub mod calibration;
pub mod convert;
mod answer;
mod noise;
pub mod preview;
mod request;
mod resolve;
pub mod units;

pub use answer::{Answer, Named, Value, number, numbers};
pub use calibration::{Calibration, Cost, Sensitivity};
pub use noise::{Noise, NoiseError, RANDOMNESS};
pub use request::{BlocksDocument, ClipDocument, FoldDocument, MapDocument, MechanismKind, ModuleMap};
pub use resolve::{BinType, GrantedColumn, Reading, ResolvedFold, granted_columns};
pub use units::{Epsilon, Rho, UnitsError};
