//! The `ingest` role: parsers of uploads. An upload is hostile; so is what this role says, to the server.
//!
//! | module | what it is |
//! |---|---|
//! | [`upload`] | the bytes: size, gzip, character encoding, length of a record |
//! | [`csv_file`], [`parquet_file`] | rows of raw values |
//! | [`thrift`] | Parquet's metadata, its claims held against the bytes that are there |
//! | [`build`] | raw values against the schema, columns in memory |

use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use protocol::frame::{Channel, FrameError};
use protocol::limits::{LimitExceeded, Limits};
use protocol::message::{IngestFailure, IngestReply, IngestRequest, UploadFormat};

use crate::jail::Jailed;

mod build;
mod csv_file;
mod parquet_file;
mod thrift;
mod upload;

use build::Table;

/// Why an import ends early.
#[derive(Debug)]
enum Stop {
    /// The upload is refused.
    Failed(IngestFailure),
    /// The server is gone.
    Channel(FrameError),
}

impl From<IngestFailure> for Stop {
    fn from(f: IngestFailure) -> Self {
        Self::Failed(f)
    }
}

impl From<LimitExceeded> for Stop {
    fn from(l: LimitExceeded) -> Self {
        Self::Failed(l.into())
    }
}

/// Where replies go, a column with its descriptor.
pub type Sink<'a> = dyn FnMut(IngestReply, Option<OwnedFd>) -> Result<(), FrameError> + 'a;

/// Serves one conversation: one request, its columns, the end.
///
/// # Errors
/// What the socket says; the server sees a closed conversation.
pub fn serve(channel: &mut Channel, _jailed: &Jailed) -> Result<(), FrameError> {
    // A panic's text could repeat a value of the upload.
    std::panic::set_hook(Box::new(|_| {}));
    converse(channel)
}

fn converse(channel: &mut Channel) -> Result<(), FrameError> {
    let (request, descriptors) = channel.receive::<IngestRequest>()?;
    let Ok([upload]) = <[OwnedFd; 1]>::try_from(descriptors) else { return Err(FrameError::Descriptors) };
    let mut send = |reply: IngestReply, column: Option<OwnedFd>| match &column {
        Some(fd) => channel.send(&reply, &[fd.as_fd()]),
        None => channel.send(&reply, &[]),
    };
    match guarded(&request, upload, &Limits::STANDARD, &mut send) {
        Ok(()) => Ok(()),
        Err(Stop::Failed(failure)) => send(IngestReply::Failed(failure), None),
        Err(Stop::Channel(e)) => Err(e),
    }
}

/// One import without a conversation: for fuzzing.
///
/// # Errors
/// Why the upload is refused; [`IngestFailure::Internal`] too where `sink` fails.
pub fn ingest(request: &IngestRequest, upload: OwnedFd, limits: &Limits, sink: &mut Sink<'_>) -> Result<(), IngestFailure> {
    guarded(request, upload, limits, sink).map_err(|stop| match stop {
        Stop::Failed(failure) => failure,
        Stop::Channel(_) => IngestFailure::Internal,
    })
}

/// As [`import`], but a panic of a parser is a failure like others.
fn guarded(request: &IngestRequest, upload: OwnedFd, limits: &Limits, sink: &mut Sink<'_>) -> Result<(), Stop> {
    catch_unwind(AssertUnwindSafe(|| import(request, upload, limits, sink))).unwrap_or(Err(Stop::Failed(IngestFailure::Internal)))
}

fn import(request: &IngestRequest, upload: OwnedFd, limits: &Limits, sink: &mut Sink<'_>) -> Result<(), Stop> {
    let columns = request.schema.len();
    if columns == 0 || columns > limits.columns_max as usize || request.unique.iter().any(|i| usize::from(*i) >= columns) {
        return Err(IngestFailure::Internal.into());
    }
    let bytes = upload::Upload::open(upload, limits)?;
    let mut table = Table::new(request, limits, sink);
    match request.format {
        UploadFormat::Csv => csv_file::read(bytes, false, false, limits, &mut table)?,
        UploadFormat::CsvGb18030 => csv_file::read(bytes, false, true, limits, &mut table)?,
        UploadFormat::CsvGz => csv_file::read(bytes, true, false, limits, &mut table)?,
        UploadFormat::CsvGb18030Gz => csv_file::read(bytes, true, true, limits, &mut table)?,
        UploadFormat::Parquet => parquet_file::read(bytes, limits, &mut table)?,
    }
    table.finish()
}

/// For every declared column its place in the upload, by name.
fn places(schema: &[protocol::schema::ColumnSchema], names: &[&str]) -> Result<Vec<usize>, IngestFailure> {
    let mut used = vec![false; names.len()];
    let mut places = Vec::with_capacity(schema.len());
    for (index, column) in (0u16..).zip(schema) {
        let place = names.iter().position(|n| *n == column.name).ok_or(IngestFailure::MissingColumn(index))?;
        if let Some(slot) = used.get_mut(place) {
            *slot = true;
        }
        places.push(place);
    }
    match (1u16..).zip(&used).find(|(_, used)| !**used) {
        Some((position, _)) => Err(IngestFailure::UndeclaredColumn(position)),
        None => Ok(places),
    }
}

#[cfg(test)]
mod tests;
