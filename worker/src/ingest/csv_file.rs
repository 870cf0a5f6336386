//! CSV (RFC 4180, header line) to rows, streaming.

use std::cell::Cell;
use std::io::Read;
use std::rc::Rc;

use csv::{ErrorKind, ReaderBuilder, StringRecord};
use flate2::read::MultiGzDecoder;
use protocol::limits::Limits;
use protocol::message::{IngestFailure, RowRule};

use super::Stop;
use super::build::{Raw, Table};
use super::upload::{Bounded, Gb18030, PerRecord, Upload, failure_of};

/// Bytes read ahead.
const BUFFER_BYTES: usize = 1 << 16;

/// Reads an upload into the table.
pub(super) fn read(upload: Upload, gzip: bool, gb18030: bool, limits: &Limits, table: &mut Table<'_, '_>) -> Result<(), Stop> {
    // Every field at its longest, quoted; reading ahead comes on top.
    let record_bytes_max = 2 * u64::from(limits.columns_max) * u64::from(limits.text_bytes_max) + 2 * BUFFER_BYTES as u64;
    let left = Rc::new(Cell::new(record_bytes_max));
    let plain: Box<dyn Read> = if gzip { Box::new(MultiGzDecoder::new(upload)) } else { Box::new(upload) };
    let bounded = Bounded::new(plain, "upload_expanded_bytes_max", limits.upload_expanded_bytes_max);
    let text: Box<dyn Read> = if gb18030 { Box::new(Gb18030::new(bounded)) } else { Box::new(bounded) };
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .buffer_capacity(BUFFER_BYTES)
        .from_reader(PerRecord::new(text, Rc::clone(&left)));

    let mut record = StringRecord::new();
    let mut next = |record: &mut StringRecord| -> Result<bool, IngestFailure> {
        let more = reader.read_record(record).map_err(|e| match e.into_kind() {
            ErrorKind::Io(e) => failure_of(&e),
            ErrorKind::Utf8 { .. } => IngestFailure::Encoding,
            _ => IngestFailure::Format,
        })?;
        left.set(record_bytes_max);
        Ok(more)
    };
    if !next(&mut record)? {
        return Err(IngestFailure::Format.into());
    }
    let names: Vec<&str> = record.iter().map(str::trim).collect();
    let fields = names.len();
    let places = super::places(table.schema(), &names)?;
    while next(&mut record)? {
        if record.len() != fields {
            table.reject(None, RowRule::Fields)?;
            continue;
        }
        table.row(|column| match places.get(column).and_then(|place| record.get(*place)) {
            None | Some("") => Raw::Missing,
            Some(text) => Raw::Text(text),
        })?;
    }
    Ok(())
}
