//! One import: an upload goes in, validated columns come out.

use std::os::fd::{AsFd, OwnedFd};

use protocol::column::{AlignedBytes, Column, ColumnError, Physical};
use protocol::limits::Limits;
use protocol::message::{IngestFailure, IngestReply, IngestRequest, RejectedRow, WorkerRole};
use protocol::schema::{ColumnSchema, ColumnType};
use zeroize::Zeroizing;

use super::memory::Patience;
use super::pool::Workers;
use super::process::{KillSwitch, WorkerError, one_sealed};

/// What an import brought.
#[derive(Debug)]
pub struct Ingested {
    /// One a schema column, in [`protocol::column`]'s layout, validated here; wiped when dropped.
    pub columns: Vec<Zeroizing<AlignedBytes>>,
    /// Rows taken.
    pub rows: u64,
    /// Rows left out.
    pub rejected: u64,
    /// The first of them, one by one.
    pub rejected_rows: Vec<RejectedRow>,
}

/// Why an import brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The upload was refused.
    #[error("{failure}")]
    Refused {
        /// Why.
        failure: IngestFailure,
        /// Rows that were left out before.
        rejected_rows: Vec<RejectedRow>,
    },
    /// The worker failed.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// A column from the worker is not of the declared form.
    #[error("imported column: {0}")]
    Column(#[from] ColumnError),
}

impl Workers {
    /// Runs one import. `progress` is told the rows read so far. Not to be called while a share is held.
    ///
    /// # Errors
    /// [`IngestError`].
    pub fn ingest(
        &self,
        request: &IngestRequest,
        upload: &OwnedFd,
        switch: &KillSwitch,
        mut progress: impl FnMut(u64),
    ) -> Result<Ingested, IngestError> {
        let [share] = self.reserve([WorkerRole::Ingest], Patience::Call, switch)?;
        let mut worker = self.take(WorkerRole::Ingest, share, switch)?;
        worker.send(request, &[upload.as_fd()])?;
        let mut columns: Vec<Zeroizing<AlignedBytes>> = Vec::with_capacity(request.schema.len());
        let mut rejected_rows = Vec::new();
        let (mut read, mut held) = (0, 0u64);
        loop {
            let (reply, fds) = worker.receive()?;
            match reply {
                // Only progress earns time.
                IngestReply::Progress { rows } if rows <= read => return Err(WorkerError::OutOfTurn("progress that goes back").into()),
                IngestReply::Progress { rows } => {
                    read = rows;
                    worker.extend();
                    progress(rows);
                }
                IngestReply::Rejected(row) => {
                    if rejected_rows.len() < Limits::STANDARD.rejected_rows_reported_max as usize {
                        rejected_rows.push(row);
                    }
                }
                IngestReply::Column { index } => {
                    let schema = request.schema.get(columns.len()).filter(|_| usize::from(index) == columns.len());
                    let schema = schema.ok_or(WorkerError::OutOfTurn("a column out of order"))?;
                    // Copied before it is validated: what was checked is what is stored. A memfd may claim more than anyone holds, so
                    // all together are bounded by the memory in which an honest worker built them.
                    let left = Limits::STANDARD.ingest_memory_bytes_max.saturating_sub(held);
                    let sealed = one_sealed(fds, left.min(Limits::STANDARD.column_bytes_max))?;
                    held = held.saturating_add(sealed.len());
                    let bytes = sealed.read().map_err(WorkerError::from).map(Zeroizing::new)?;
                    check(&Column::parse(bytes.as_slice())?, schema)?;
                    columns.push(bytes);
                }
                IngestReply::Done { rows, rejected } => return finish(request, columns, rows, rejected, rejected_rows),
                IngestReply::Failed(failure) => return Err(IngestError::Refused { failure, rejected_rows }),
            }
        }
    }
}

fn finish(
    request: &IngestRequest,
    columns: Vec<Zeroizing<AlignedBytes>>,
    rows: u64,
    rejected: u64,
    rejected_rows: Vec<RejectedRow>,
) -> Result<Ingested, IngestError> {
    if columns.len() != request.schema.len() {
        return Err(WorkerError::OutOfTurn("columns are missing").into());
    }
    for bytes in &columns {
        if Column::parse(bytes.as_slice())?.rows() != rows {
            return Err(ColumnError::Length.into());
        }
    }
    Ok(Ingested { columns, rows, rejected, rejected_rows })
}

/// Whether a column is what its schema declares: physical type, bounds, domain, missing values.
fn check(column: &Column<'_>, schema: &ColumnSchema) -> Result<(), IngestError> {
    column.validate()?;
    if column.validity().is_some() && !schema.nullable {
        return Err(ColumnError::Validity.into());
    }
    let good = match (&schema.ty, column.shape().physical) {
        (ColumnType::Number { min, max, .. }, Physical::I64) => {
            column.i64s().unwrap_or(&[]).iter().enumerate().all(|(i, v)| (min..=max).contains(&v) || !column.is_valid(i))
        }
        (ColumnType::Date | ColumnType::Hour, Physical::I64) => true,
        (ColumnType::Category { domain }, Physical::Code) => column.labels().iter().eq(domain.iter()),
        (ColumnType::Text { bytes_max }, Physical::Text) => {
            let (offsets, _) = column.texts().unwrap_or((&[], &[]));
            offsets.windows(2).all(|w| matches!(w, [a, b] if b.saturating_sub(*a) <= *bytes_max))
        }
        _ => false,
    };
    if good { Ok(()) } else { Err(WorkerError::OutOfTurn("a column is not what its schema declares").into()) }
}
