//! What is said between server and worker: one enum a direction and role. Descriptors ride on the frame, in the order that
//! each variant's documentation gives. A worker handles one conversation and exits.

use serde::{Deserialize, Serialize};

use crate::limits::LimitExceeded;
use crate::manifest::{DerivedColumn, Manifest, ManifestError};
use crate::model::{LinearModel, ModelError};
use crate::plan::{FusePlan, FusionReport, ViewColumn};
use crate::schema::ColumnSchema;
use crate::table::{Cell, TableError, TableHeader, TableRequest};

/// Roles of a worker, as given on its command line. Its socket is its standard input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WorkerRole {
    /// Parses uploads.
    Ingest,
    /// Validates and compiles modules.
    Compile,
    /// Fuses and aggregates.
    Engine,
    /// Runs a module.
    Guest,
}

impl WorkerRole {
    /// Its word on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Compile => "compile",
            Self::Engine => "engine",
            Self::Guest => "guest",
        }
    }
}

// ---- ingest ----

/// Server to `ingest`. Descriptor: the upload (read-only file or memfd).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngestRequest {
    /// Format of the upload.
    pub format: UploadFormat,
    /// Declared columns, in the order in which they are answered.
    pub schema: Vec<ColumnSchema>,
    /// A row that repeats nothing of another: no rule of uniqueness is checked where this is empty; else the indexes of the
    /// columns that together must be unique.
    pub unique: Vec<u16>,
}

/// Format of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UploadFormat {
    /// RFC 4180 with a header line, UTF-8 (a byte order mark is skipped).
    Csv,
    /// The same in GB18030.
    CsvGb18030,
    /// UTF-8 CSV, gzip.
    CsvGz,
    /// GB18030 CSV, gzip.
    CsvGb18030Gz,
    /// Apache Parquet.
    Parquet,
}

/// `ingest` to server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum IngestReply {
    /// Rows read so far.
    Progress {
        /// Rows.
        rows: u64,
    },
    /// A row that is left out. Repeats no value.
    Rejected(RejectedRow),
    /// Column `index` of the schema. Descriptor: sealed memfd in the layout of [`crate::column`].
    Column {
        /// Index into the schema.
        index: u16,
    },
    /// The end.
    Done {
        /// Rows taken.
        rows: u64,
        /// Rows left out.
        rejected: u64,
    },
    /// Nothing was taken.
    Failed(IngestFailure),
}

/// A row that was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedRow {
    /// Row number, the first row of data being 1.
    pub row: u64,
    /// Index into the schema; `None` where the row as a whole is meant.
    pub column: Option<u16>,
    /// Which rule it broke.
    pub rule: RowRule,
}

/// What a value must satisfy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowRule {
    /// Missing where a value is needed.
    Missing,
    /// Not a number of the declared resolution.
    Number,
    /// Outside the declared bounds.
    Bounds,
    /// Not of the declared domain.
    Domain,
    /// Not a date `YYYY-MM-DD`.
    Date,
    /// Not an hour `YYYY-MM-DD HH` (also `YYYY-MM-DDTHH:00[:00][Z]`).
    Hour,
    /// Longer than declared, or control characters.
    Text,
    /// Not of the form of its linkage key, check digit included.
    LinkageKey,
    /// A number of fields other than the header's.
    Fields,
    /// Repeats the unique columns of an earlier row.
    Unique,
}

/// Why a whole upload is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum IngestFailure {
    /// Not of the announced format; byte or row position where known.
    #[error("the upload is not of the announced format")]
    Format,
    /// Bytes that are not of the announced encoding.
    #[error("the upload is not of the announced character encoding")]
    Encoding,
    /// A declared column (index into the schema) is missing.
    #[error("a declared column is missing")]
    MissingColumn(u16),
    /// A column (position in the upload, from 1) that was not declared.
    #[error("a column was not declared")]
    UndeclaredColumn(u16),
    /// No rows were left.
    #[error("no row is valid")]
    Empty,
    /// A limit.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// The worker itself failed.
    #[error("the import failed")]
    Internal,
}

// ---- compile ----

/// Server to `compile`. Descriptor: the module's bytes (sealed memfd).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompileRequest {
    /// The world that the module is for.
    pub world: World,
}

/// A world of `guest-sdk/wit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum World {
    /// Tables and typed models.
    Analysis,
}

/// `compile` to server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CompileReply {
    /// Compiled. Descriptor: sealed memfd with the code.
    Compiled {
        /// What the module declares.
        manifest: Manifest,
        /// Imported interfaces and functions, sorted: its capabilities.
        imports: Vec<String>,
        /// Digest of the engine that the code is for: wasmtime's version, its settings, the processor.
        engine: [u8; 32],
    },
    /// Refused.
    Refused(ModuleRefusal),
}

/// Why a module is refused. Names are the author's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ModuleRefusal {
    /// Not WebAssembly, or not valid under the features that are on.
    #[error("the module is not valid WebAssembly under the features that are on")]
    Invalid,
    /// An import that the world does not offer.
    #[error("import `{0}` is not offered by the world")]
    UndeclaredImport(String),
    /// The world's export is missing or has another type.
    #[error("the world's export is missing or has another type")]
    MissingExport,
    /// The manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A limit.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// The compiler failed.
    #[error("the module could not be compiled")]
    Compiler,
}

// ---- engine ----

/// Server to `engine`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    },
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
    /// The unit that a consent record names (text).
    ConsentUnit,
    /// The purpose that it allows (category or text).
    ConsentPurpose,
    /// The day on which it ends, inclusive (date).
    ConsentExpiry,
}

/// 32 secret bytes; wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, zeroize::Zeroize, zeroize::ZeroizeOnDrop)]
pub struct SecretKey(pub [u8; 32]);

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretKey")
    }
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
    /// All tables are told.
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
    /// A limit.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// A sum that 128 bits cannot hold.
    #[error("a sum is too large")]
    Overflow,
    /// The worker itself failed.
    #[error("the engine failed")]
    Internal,
}

// ---- guest ----

/// Server to `guest`. Descriptors: the compiled code (sealed memfd), then one sealed memfd a column, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestRequest {
    /// The world.
    pub world: World,
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
    Linear(LinearModel),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::DerivedType;
    use crate::plan::{
        ColumnRef, DateBucket, FilterOp, JoinKind, Literal, PlanJoin, PlanMember, PlanOutput, RowFilter, Transform, ViewType, Visibility,
    };
    use crate::schema::{ColumnType, LinkageKey, Role};
    use serde::de::DeserializeOwned;

    fn crosses<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(message: T) {
        let bytes = postcard::to_stdvec(&message).unwrap();
        assert_eq!(postcard::from_bytes::<T>(&bytes).unwrap(), message);
    }

    fn types() -> Vec<ColumnType> {
        let number = ColumnType::Number { scale: 2, min: i64::MIN, max: i64::MAX };
        vec![number, ColumnType::Category { domain: vec!["A".into()] }, ColumnType::Date, ColumnType::Hour, ColumnType::Text { bytes_max: 18 }]
    }

    fn schema() -> Vec<ColumnSchema> {
        let column = |ty| ColumnSchema { name: "c".into(), role: Role::Measure, ty, linkage: Some(LinkageKey::Uscc), nullable: true };
        types().into_iter().map(column).collect()
    }

    fn view() -> Vec<ViewColumn> {
        let number = ViewType::Number { scale: 1, min: -1, max: 1 };
        let types = [number, ViewType::Category { declared: true }, ViewType::Date, ViewType::Hour, ViewType::Pseudonym];
        let column = |ty| ViewColumn { name: "c".into(), ty, visibility: Visibility::Foreign, provenance: "a.c".into() };
        types.into_iter().map(column).collect()
    }

    /// The wire format describes nothing of itself: a type that needs to look ahead (flattened, tagged inside, untagged) would
    /// pass the compiler and fail on the wire.
    #[test]
    fn every_message_crosses() {
        crosses(IngestRequest { format: UploadFormat::CsvGz, schema: schema(), unique: vec![0, 4] });
        crosses(IngestReply::Rejected(RejectedRow { row: 1, column: Some(2), rule: RowRule::LinkageKey }));
        crosses(IngestReply::Failed(IngestFailure::Limit(LimitExceeded { name: "n".into(), limit: 1, current: 2, requested: 3 })));
        let transforms = [
            Transform::Keep,
            Transform::Pseudonym,
            Transform::Prefix { characters: 6 },
            Transform::Bands { cuts: vec![1], labels: vec!["a".into(), "b".into()] },
            Transform::Bucket(DateBucket::Quarter),
            Transform::Clamp { min: 0, max: 1 },
            Transform::Mask,
        ];
        let at = ColumnRef { member: 0, column: 1 };
        let plan = FusePlan {
            members: vec![PlanMember {
                alias: "a".into(),
                columns: schema(),
                rows: 9,
                operator_owned: true,
                consent_unit: Some(0),
                filters: vec![RowFilter { column: 0, op: FilterOp::In, values: vec![Literal::Int(1), Literal::Text("x".into())] }],
            }],
            joins: vec![PlanJoin { kind: JoinKind::Left, on: vec![(at, 3)] }],
            outputs: transforms.into_iter().map(|transform| PlanOutput { name: "o".into(), from: at, transform }).collect(),
            unit: at,
            purpose: "p".into(),
            today: 20_000,
            threads: 2,
        };
        let source = |column| Source { member: 0, column, key: SecretKey([7; 32]), context: "c".into() };
        crosses(EngineRequest::Fuse {
            plan,
            sources: vec![source(SourceColumn::Data(3)), source(SourceColumn::ConsentExpiry)],
            pseudonym_key: SecretKey([1; 32]),
            namespace_key: SecretKey([2; 32]),
        });
        crosses(EngineRequest::View { columns: view(), threads: 1, units: 3 });
        let derived = vec![
            DerivedColumn { name: "d".into(), ty: DerivedType::Number { scale: 0, min: 0, max: 9 } },
            DerivedColumn { name: "e".into(), ty: DerivedType::Category { labels: vec!["x".into()] } },
        ];
        crosses(EngineRequest::Reduce { tables: vec![], derived: derived.clone() });
        let report = FusionReport { members: vec![], rows: 1, units: 1 };
        crosses(EngineReply::Fused { columns: view(), report });
        let manifest = Manifest { name: "m".into(), version: "1".into(), derived };
        crosses(CompileReply::Compiled { manifest: manifest.clone(), imports: vec!["i".into()], engine: [9; 32] });
        crosses(CompileReply::Refused(ModuleRefusal::Manifest(ManifestError::Column("c".into()))));
        crosses(GuestRequest { world: World::Analysis, columns: view(), rows: 1, manifest, seed: 1, synthetic: true, memory_bytes_max: 1 });
        crosses(GuestReply::Failed(GuestFailure::Error(Some("e".into()))));
    }
}
