//! The canonical zip: entries stored, in a fixed order, without times, modes, comments or further fields. Reading it writes it again and
//! compares, so that what a zip may say in many ways is said in one.

use std::io::{Cursor, Read, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, System, ZipArchive, ZipWriter};

use super::fault::{Cause, Fault};
use super::{BUNDLE_BYTES_MAX, Part};

/// Entries looked at before a zip is refused.
const ENTRIES_MAX: usize = 32;
/// Bytes of a zip's local header without the name.
const LOCAL_HEADER_BYTES: usize = 30;

/// Files in their order.
pub(super) type Files = Vec<(Part, Vec<u8>)>;

fn options() -> SimpleFileOptions {
    SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::DEFAULT)
        .system(System::Unix)
        .unix_permissions(0o644)
        .large_file(false)
}

/// The zip of these files, in this order; `None` where it would be too large.
pub(super) fn write(files: &[(Part, Vec<u8>)]) -> Option<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (part, bytes) in files {
        zip.start_file(part.file(), options()).ok()?;
        zip.write_all(bytes).ok()?;
    }
    let bytes = zip.finish().ok()?.into_inner();
    (bytes.len() <= BUNDLE_BYTES_MAX).then_some(bytes)
}

/// The files of a zip that is spelled in the one way.
///
/// # Errors
/// Which entry or header is wrong.
pub(super) fn read(bytes: &[u8]) -> Result<Files, Fault> {
    if bytes.len() > BUNDLE_BYTES_MAX {
        return Err(Fault::new(Part::Zip, Cause::TooLarge));
    }
    let no_zip = || Fault::new(Part::Zip, Cause::NoZip);
    let mut zip = ZipArchive::new(Cursor::new(bytes)).map_err(|_| no_zip())?;
    if zip.len() > ENTRIES_MAX {
        return Err(Fault::new(Part::Zip, Cause::Extra("more than 32 entries".into())));
    }
    let (mut files, mut left) = (Files::new(), bytes.len());
    for at in 0..zip.len() {
        let entry = zip.by_index_raw(at).map_err(|_| no_zip())?;
        let name = entry.name().map_err(|_| no_zip())?.into_owned();
        let stored = entry.compression() == CompressionMethod::Stored;
        drop(entry);
        let part = Part::named(&name).ok_or_else(|| Fault::new(Part::Zip, Cause::Extra(name)))?;
        if !stored {
            return Err(Fault::new(part, Cause::Compressed));
        }
        if files.last().is_some_and(|(before, _)| *before >= part) {
            return Err(Fault::new(part, Cause::Order));
        }
        let mut content = Vec::new();
        // Entries may claim the same bytes: together they are no more than the zip.
        let entry = zip.by_index(at).map_err(|_| no_zip())?;
        // The reader compares the checksum at the end.
        let read = entry.take(left as u64 + 1).read_to_end(&mut content);
        left = left.checked_sub(content.len()).ok_or_else(|| Fault::new(Part::Zip, Cause::TooLarge))?;
        read.map_err(|_| Fault::new(part, Cause::Checksum))?;
        files.push((part, content));
    }
    let canonical = write(&files).ok_or_else(|| Fault::new(Part::Zip, Cause::TooLarge))?;
    if canonical == bytes {
        return Ok(files);
    }
    let at = canonical.iter().zip(bytes).position(|(a, b)| a != b);
    Err(header(&files, at.unwrap_or(canonical.len().min(bytes.len()))))
}

/// Whose header the byte at `at` belongs to.
fn header(files: &[(Part, Vec<u8>)], at: usize) -> Fault {
    let mut from = 0;
    for (part, bytes) in files {
        from += LOCAL_HEADER_BYTES + part.file().len() + bytes.len();
        if at < from {
            return Fault::new(Part::Zip, Cause::Header(Some(*part)));
        }
    }
    Fault::new(Part::Zip, Cause::Header(None))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Files {
        vec![(Part::Manifest, b"{}".to_vec()), (Part::Artefact, b"[1]".to_vec()), (Part::Checkpoint, b"x\n".to_vec())]
    }

    #[test]
    fn the_zip_is_the_same_whenever_it_is_made_and_says_nothing_else() {
        let bytes = write(&files()).unwrap();
        assert_eq!(bytes, write(&files()).unwrap());
        assert_eq!(read(&bytes).unwrap(), files());
        // Local headers, central headers, end: the names twice, and no further field.
        let names: usize = files().iter().map(|(p, _)| p.file().len()).sum();
        let content: usize = files().iter().map(|(_, b)| b.len()).sum();
        assert_eq!(bytes.len(), 3 * 30 + 3 * 46 + 22 + 2 * names + content);
    }

    #[test]
    fn another_way_to_say_the_same_is_refused() {
        let zip = |change: &dyn Fn(SimpleFileOptions) -> SimpleFileOptions, names: [&str; 2]| {
            let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
            for name in names {
                zip.start_file(name, change(options())).unwrap();
                zip.write_all(b"{}").unwrap();
            }
            zip.finish().unwrap().into_inner()
        };
        let same = |o: SimpleFileOptions| o;
        let good = zip(&same, ["manifest.json", "artefact.json"]);
        assert!(read(&good).is_ok());
        let cause = |bytes: &[u8]| read(bytes).unwrap_err().cause;
        assert_eq!(cause(&zip(&same, ["artefact.json", "manifest.json"])), Cause::Order);
        assert_eq!(cause(&zip(&same, ["manifest.json", "../artefact.json"])), Cause::Extra("../artefact.json".into()));
        assert_eq!(cause(&zip(&same, ["manifest.json", "manifest.json/"])), Cause::Extra("manifest.json/".into()));
        for change in [
            (|o| o.unix_permissions(0o600)) as fn(SimpleFileOptions) -> SimpleFileOptions,
            |o| o.last_modified_time(DateTime::from_date_and_time(2026, 1, 1, 0, 0, 0).unwrap()),
            |o| o.system(System::Dos),
            |o| o.large_file(true),
            |o| o.with_alignment(64),
        ] {
            let fault = read(&zip(&change, ["manifest.json", "artefact.json"])).unwrap_err();
            assert!(fault.part == Part::Zip && matches!(fault.cause, Cause::Header(_)), "{fault}");
        }
        for bytes in [[&good[..], b"x"].concat(), [b"x", &good[..]].concat(), good[..good.len() - 1].to_vec(), Vec::new()] {
            assert!(read(&bytes).is_err());
        }
        assert_eq!(cause(&vec![0; BUNDLE_BYTES_MAX + 1]), Cause::TooLarge);
    }
}
