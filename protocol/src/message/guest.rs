//! Messages of the `guest` role.

use serde::{Deserialize, Serialize};

use crate::fold::FoldStart;
use crate::limits::LimitExceeded;
use crate::manifest::Manifest;
use crate::model::{Model, ModelError};
use crate::plan::ViewColumn;
use crate::table::TableError;
use crate::table::TableRequest;
use crate::verify::VerifyStart;

/// Server to `guest`: what it is for. The first message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum GuestOpening {
    /// Run a module over a view.
    Run(GuestRequest),
    /// Map blocks that the engine hands over ([`crate::fold::MapRequest`]).
    Map(FoldStart),
    /// Turn noised sums into the next state ([`crate::fold::UpdateRequest`]).
    Update(FoldStart),
    /// Answer about the subject whose rows the engine hands over ([`crate::verify::SubjectRows`]).
    Answer(VerifyStart),
}

/// A module over a view. Descriptors: the compiled code (sealed memfd), then one sealed memfd a column, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestRequest {
    /// The granted columns.
    pub columns: Vec<ViewColumn>,
    /// Rows of the view.
    pub rows: u64,
    /// What the module declared.
    pub manifest: Manifest,
    /// Seed of the job: the only randomness there is.
    pub seed: u64,
    /// Whether the rows are synthetic: only then is log text passed on.
    pub synthetic: bool,
    /// Linear memory.
    pub memory_bytes_max: u64,
}

/// `guest` to server. Every byte is hostile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum GuestReply {
    /// A derived column: index into the manifest. Descriptor: sealed memfd.
    Derived {
        /// Index into [`Manifest::derived`].
        index: u16,
    },
    /// A table is asked for.
    Table(TableRequest),
    /// A model is handed in.
    Model(Model),
    /// Log text (synthetic data only).
    Log(String),
    /// The module returned.
    Finished,
    /// The module did not return.
    Failed(GuestFailure),
}

/// Why a run ended without a result. On real data for checkers only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum GuestFailure {
    /// A trap (unreachable, out of bounds, division, stack).
    #[error("the module trapped")]
    Trap,
    /// The module returned an error of its own; its text only on synthetic data.
    #[error("the module returned an error")]
    Error(Option<String>),
    /// A limit.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// A table request.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A derived column that was not declared, came twice, has another length, or values outside its declaration.
    #[error("derived column `{0}` is not what the module declared")]
    Derived(String),
    /// The code could not be loaded.
    #[error("the compiled code could not be loaded")]
    Code,
    /// The worker itself failed.
    #[error("the guest failed")]
    Internal,
}
