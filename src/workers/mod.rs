//! The untrusted processes and what is said to them.
//!
//! One process serves one conversation in one role and is never used again. Every byte that comes back is hostile: frames are
//! bounded and typed ([`protocol::frame`]), shared memory is taken only once its seals are verified on the received
//! descriptor, columns are copied before they are validated. All calls here block: they run on threads of their own.
//!
//! | module | what it is |
//! |---|---|
//! | `process` | a child, its deadline, its kill switch |
//! | `closed` | why a conversation failed, in fixed words |
//! | `memory` | the memory that all workers may have, and who gets it next |
//! | `probe` | the layers of the jail that this machine offers |
//! | `pool` | children that wait, started before they are needed |
//! | `ingest`, `compile`, `engine`, `guest` | one conversation each |
//! | `neighbour` | units measured, and the view without one of them |
//! | `fold` | rounds of exact sums, the guests that map blocks, the guest that updates |
//! | `verify` | one question about one subject |
//! | `cache` | fused views as sealed memory, held and never mapped |

mod cache;
mod closed;
mod compile;
mod engine;
mod fold;
mod guest;
mod ingest;
mod memory;
mod neighbour;
mod pool;
mod probe;
mod process;
mod verify;

pub use cache::{CacheKey, ViewCache};
pub use compile::{CompileError, Compiled};
pub use engine::{EngineSession, FuseInput, View};
pub use fold::{FoldCode, FoldSession, Mappers, Updater};
pub use guest::{GuestInput, GuestOutput};
pub use ingest::{IngestError, Ingested};
pub use memory::{CALLS_WAITING_MAX, Patience, Share};
pub use pool::{WorkerSettings, Workers};
pub use probe::{Jail, ProbeError, RoleJail};
pub use process::{KillSwitch, WorkerError, spawn};
pub use verify::{Answering, SubjectAnswer};
