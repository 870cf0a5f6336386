//! Messages of the `ingest` role.

use serde::{Deserialize, Serialize};

use crate::limits::LimitExceeded;
use crate::schema::ColumnSchema;

/// Server to `ingest`. Descriptor: the upload (sealed memfd).
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
