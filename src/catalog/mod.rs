//! What data there is and how it may be fused.
//!
//! [`CatalogueEntry`] is a provider's declaration; [`FusionPlan`] names members, keys and granted columns; resolving a plan over
//! the catalogue gives the engine's plan or the rule that forbids it. Nothing here reads a row.

mod document;
mod entry;
mod plan;
mod resolve;
pub mod store;
pub mod synthetic { pub struct S { pub columns: Vec<(protocol::plan::ViewColumn, Vec<u8>)>, pub units: u64 } pub fn synthetic_view(_: &protocol::plan::FusePlan, _: u64, _: u64) -> Result<S, ()> { Err(()) } }

pub use document::{ColumnDocument, EntryDocument, OriginWord, TypeWord};
pub use entry::{Access, AccessClass, CatalogueEntry, ColumnEntry, DataOrigin, PublicKind, SecurityLevel, UpdateFrequency};
pub use plan::{Constant, FilterDocument, FusionPlan, JoinDocument, MemberDocument, OutputDocument, TransformDocument};
pub use resolve::{MEMBERS_MAX, MemberInput, PinnedVersion, Provenance, ResolvedMember, ResolvedPlan, RunContext};
