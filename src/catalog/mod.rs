//! What data there is and how it may be fused.
//!
//! [`CatalogueEntry`] is a provider's declaration; [`FusionPlan`] names members, keys and granted columns; resolving a plan over
//! the catalogue gives the engine's plan or the rule that forbids it; a synthetic view has a plan's declared domains. Nothing here
//! reads a row. [`store`] keeps entries, versions and plans.

mod constants;
mod document;
mod entry;
mod identity;
mod plan;
mod private;
mod resolve;
pub mod store;
mod synthetic;

pub use document::{ColumnDocument, EntryDocument, OriginWord, TypeWord};
pub use entry::{Access, AccessClass, CatalogueEntry, ColumnEntry, DataOrigin, PublicKind, SecurityLevel, UpdateFrequency};
pub use plan::{Constant, FilterDocument, FusionPlan, JoinDocument, MemberDocument, OutputDocument, TransformDocument};
pub use resolve::{MEMBERS_MAX, MemberInput, PinnedVersion, Provenance, ResolvedMember, ResolvedPlan, RunContext};
pub use synthetic::{SYNTHETIC_ROWS_MAX, SyntheticError, SyntheticView, synthetic_view, view_columns};
