//! Messages of the `engine` role.

use serde::{Deserialize, Serialize};

use crate::fold::{Floats, FoldError, FoldPlan};
use crate::limits::LimitExceeded;
use crate::manifest::DerivedColumn;
use crate::message::GuestFailure;
use crate::model::{Model, ModelError, ModelEvidence};
use crate::neighbour::{RankRequest, Ranked};
use crate::plan::FusePlan;
use crate::plan::FusionReport;
use crate::plan::ViewColumn;
use crate::secret::SecretKey;
use crate::table::Cell;
use crate::table::TableError;
use crate::table::TableHeader;
use crate::table::TableRequest;
use crate::verify::SubjectPlan;

/// Server to `engine`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum EngineRequest {
    /// Fuse. Descriptors: one sealed segment file a source, in order. Answer: [`EngineReply::Fused`].
    Fuse {
        /// The plan.
        plan: FusePlan,
        /// One a descriptor.
        sources: Vec<Source>,
        /// Key of the project's pseudonyms.
        pseudonym_key: SecretKey,
        /// Key of the namespace's ordinals.
        namespace_key: SecretKey,
    },
    /// Take a view that was fused before. Descriptors: one sealed memfd a column, in order. No answer.
    View {
        /// One a descriptor.
        columns: Vec<ViewColumn>,
        /// Worker threads.
        threads: u16,
        /// Distinct privacy units of the view, as fusing counted them.
        units: u64,
    },
    /// Compute tables over the view. Descriptors: one sealed memfd a derived column. Answer: for each table
    /// [`EngineReply::Table`] and its [`EngineReply::Cells`], then [`EngineReply::Done`].
    Reduce {
        /// The tables.
        tables: Vec<TableRequest>,
        /// One a descriptor.
        derived: Vec<DerivedColumn>,
        /// Granted columns that the operator owns: figures over them come with [`crate::table::OwnSpread`].
        own: Vec<String>,
        /// Whether [`EngineReply::Contributors`] is wanted before the end.
        contributors: bool,
    },
    /// Put the view's rows through models. Descriptors: one sealed memfd a derived column. Answer: [`EngineReply::Models`].
    Models {
        /// The models, with the numbers that would be released.
        models: Vec<Model>,
        /// One a descriptor.
        derived: Vec<DerivedColumn>,
    },
    /// Make the blocks of a fold over the view. Answer: [`EngineReply::Ready`].
    Fold(FoldPlan),
    /// A guest process for the blocks to come. Descriptor: the socket to it. No answer.
    Guest,
    /// Map every block under this state, clip, sum. Answer: [`EngineReply::GuestWanted`] whenever a guest is needed, then
    /// [`EngineReply::Sums`], then [`EngineReply::Done`].
    Round(Floats),
    /// Measure units, and name those that stand out. Answer: [`EngineReply::Ranked`].
    Rank(RankRequest),
    /// The granted columns without the rows of the unit at this place. Answer: [`EngineReply::Rest`].
    Without {
        /// Place in the engine's order of units.
        unit: u64,
    },
    /// Hand one subject's rows to a guest. Descriptor: the socket to it. Answer: [`EngineReply::Answer`].
    Subject(SubjectPlan),
}

/// A sealed column segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Index of the member.
    pub member: u16,
    /// What the column is to the plan.
    pub column: SourceColumn,
    /// Key of this column.
    pub key: SecretKey,
    /// The context under which it was sealed.
    pub context: String,
}

/// What a segment is to the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SourceColumn {
    /// Column of this index of the member.
    Data(u16),
    /// Column of this index of [`crate::plan::RowIdentity::columns`], read for that alone.
    Identity(u16),
    /// The unit that a consent record names (text).
    ConsentUnit,
    /// The purpose that it allows (category or text).
    ConsentPurpose,
    /// The day on which it ends, inclusive (date).
    ConsentExpiry,
}

/// `engine` to server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EngineReply {
    /// The view. Descriptors: one sealed memfd a column, in order.
    Fused {
        /// One a descriptor: the granted ones in the plan's order, then the hidden ones.
        columns: Vec<ViewColumn>,
        /// What fusing did.
        report: FusionReport,
    },
    /// A table begins.
    Table(TableHeader),
    /// More cells of the table that began last.
    Cells(Vec<Cell>),
    /// Which base rows lie in which cells. Descriptor: sealed memory in the layout of [`crate::contributors`]; none where there are
    /// more rows than it holds.
    Contributors,
    /// One a model, in order.
    Models(Vec<ModelEvidence>),
    /// The blocks of a fold are made.
    Ready,
    /// The next block needs a guest process that has not been used.
    GuestWanted,
    /// More coordinates of the exact sums, in steps of the grid.
    Sums(Vec<i128>),
    /// Units as they are measured.
    Ranked(Ranked),
    /// The view without a unit. Descriptors: one sealed memfd a granted column, in the view's order.
    Rest {
        /// Rows that are left.
        rows: u64,
    },
    /// A verification came to an end.
    Answer {
        /// Number of the label; 0 where the subject has no rows, whatever the guest said, and where it gave no answer.
        label: u32,
        /// Why the guest gave none.
        failure: Option<GuestFailure>,
    },
    /// All tables, or all sums, are told.
    Done,
    /// Nothing more will come.
    Failed(EngineFailure),
}

/// Why the engine gave up. Closed reasons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum EngineFailure {
    /// A segment is not what was sealed.
    #[error("a segment did not open under its key")]
    Segment,
    /// A column is not of the declared form.
    #[error("a column is not of the declared form")]
    Column,
    /// The plan is not one (an index out of range, a transform that does not apply).
    #[error("the plan is not valid")]
    Plan,
    /// A derived column has another length than the view, or values outside its declaration.
    #[error("derived column `{0}` is not what the module declared")]
    Derived(String),
    /// A table request.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A limit.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// A fold.
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// A sum that 128 bits cannot hold.
    #[error("a sum is too large")]
    Overflow,
    /// The worker itself failed.
    #[error("the engine failed")]
    Internal,
}
