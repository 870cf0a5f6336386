//! Changes of a sound upload.

use std::sync::LazyLock;

use protocol::message::UploadFormat;

use crate::random::Random;
use crate::seeds;

/// Numbers that decoders get wrong, as little-endian words, as varints, or as text.
const NUMBERS: [u64; 12] =
    [0, 1, 0x7f, 0x80, 0x7fff, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0x7fff_ffff_ffff_ffff, 0x8000_0000_0000_0000, u64::MAX];
/// Fields of a CSV that are no such value, or nearly.
const FIELDS: [&str; 40] = [
    "NaN",
    "inf",
    "-inf",
    "Infinity",
    "1e308",
    "1e-308",
    "-0",
    "-0.00",
    "+1",
    "0x10",
    "1_000",
    "1,5",
    "1.",
    ".5",
    "--1",
    "１２",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "99999999999999999999999999999999999999",
    "0.0000000001",
    "92233720368.54775807",
    "2024-02-30",
    "0000-00-00",
    "9999-12-31",
    "10000-01-01",
    "-001-01-01",
    "2024-1-1",
    "2024-01-01 24",
    "2024-01-01T00:00:00Z",
    "1970-01-01 00:30",
    "\u{202e}abc",
    "a\u{0}b",
    "\"",
    "\"\"\"",
    "=cmd|' /C calc'!A0",
    "\u{feff}",
    "null",
    "91350100M000100Y44",
    "甲",
];

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A place that is worth a change: for Parquet half of the time in the footer, whose length stands at the end, or in a page's header.
fn place(format: UploadFormat, bytes: &[u8], random: &mut Random) -> usize {
    let footer = bytes.len().checked_sub(8).map(|at| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize);
    match (format, footer) {
        (UploadFormat::Parquet, Some(length)) if length < bytes.len() && random.below(2) == 0 => {
            bytes.len() - 8 - length.min(bytes.len() - 8) + random.below(length)
        }
        (UploadFormat::Parquet, _) if random.below(2) == 0 => random.below(bytes.len().min(60)),
        (UploadFormat::CsvGz | UploadFormat::CsvGb18030Gz, _) if random.below(4) == 0 => random.below(bytes.len().min(20)),
        _ => random.below(bytes.len()),
    }
}

/// Puts `new` in the place of `count` bytes; a Parquet footer's length follows, so that the change is read where it stands.
fn splice(format: UploadFormat, bytes: &mut Vec<u8>, at: usize, count: usize, new: &[u8]) {
    let before = bytes.len();
    let end = (at + count).min(before);
    bytes.splice(at.min(before)..end, new.iter().copied());
    if format == UploadFormat::Parquet && before >= 12 && bytes.len() >= 12 {
        let tail = bytes.len() - 8;
        let length = u32::from_le_bytes(bytes[tail..tail + 4].try_into().unwrap());
        if at + 8 + (length as usize) > before {
            let grown = i64::from(length) + bytes.len() as i64 - before as i64;
            bytes[tail..tail + 4].copy_from_slice(&(grown as u32).to_le_bytes());
        }
    }
}

/// One change of any format.
pub fn change(format: UploadFormat, bytes: &mut Vec<u8>, random: &mut Random) -> &'static str {
    if bytes.is_empty() {
        return "empty";
    }
    let at = place(format, bytes, random);
    match random.below(10) {
        0 | 1 => {
            bytes[at] ^= 1 << random.below(8);
            "bit"
        }
        2 => {
            bytes[at] = random.next() as u8;
            "byte"
        }
        3 => {
            bytes.truncate(at);
            "truncation"
        }
        4 => {
            let number = *random.of(&NUMBERS);
            splice(format, bytes, at, 1, &varint(number));
            "length as varint"
        }
        5 => {
            let number = random.of(&NUMBERS).to_le_bytes();
            let width = [2, 4, 8][random.below(3)];
            splice(format, bytes, at, width, &number[..width]);
            "length as word"
        }
        6 => {
            let (from, count) = (random.below(bytes.len()), random.below(200));
            let piece = bytes[from..(from + count).min(bytes.len())].to_vec();
            splice(format, bytes, at, 0, &piece);
            "doubled piece"
        }
        7 => {
            let count = random.below(200);
            splice(format, bytes, at, count, &[]);
            "missing piece"
        }
        8 => {
            let piece =
                [&[0u8; 16][..], &[0xff; 5], b"PAR1", b"\r\n\r\n", b"\"", &[0x81, 0x30, 0x81, 0x30], &[0xc3, 0x28], &[0xed, 0xa0, 0x80]];
            let piece = random.of(&piece).to_vec();
            splice(format, bytes, at, 0, &piece);
            "foreign piece"
        }
        _ => {
            static FILES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| (0..12).map(seeds::parquet).collect());
            let other = random.of(&FILES);
            let count = random.below(400);
            let from = random.below(other.len());
            splice(format, bytes, at, count, &other[from..(from + count).min(other.len())]);
            "splice of another file"
        }
    }
}

/// One change of a CSV's text.
fn change_text(text: &mut Vec<u8>, random: &mut Random) -> &'static str {
    let mut lines: Vec<Vec<u8>> = text.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
    let at = random.below(lines.len());
    let label = match random.below(9) {
        0..=3 => {
            let mut fields: Vec<Vec<u8>> = lines[at].split(|b| *b == b',').map(<[u8]>::to_vec).collect();
            let field = random.below(fields.len());
            fields[field] = random.of(&FIELDS).as_bytes().to_vec();
            lines[at] = fields.join(&b","[..]);
            "field"
        }
        4 => {
            let copy = lines[at].clone();
            lines.extend((0..random.below(40)).map(|_| copy.clone()));
            "same row again"
        }
        5 => {
            lines.truncate(1);
            "no rows"
        }
        6 => {
            let header = lines[0].clone();
            let mut names: Vec<&[u8]> = header.split(|b| *b == b',').collect();
            let (i, j) = (random.below(names.len()), random.below(names.len()));
            match random.below(3) {
                0 => names.swap(i, j),
                1 => names[i] = names[j],
                _ => names.push(b"more"),
            }
            lines[0] = names.join(&b","[..]);
            "header"
        }
        7 => {
            for line in &mut lines {
                match random.below(4) {
                    0 => line.push(b'\r'),
                    1 => line.extend(b"\r\r"),
                    _ => {}
                }
            }
            "line ends"
        }
        _ => {
            lines[at].extend(vec![*random.of(b",\"\0 a\xff"); random.below(5000)]);
            "long line"
        }
    };
    *text = lines.join(&b"\n"[..]);
    label
}

/// Case `number` of a run: what was done, the format that is announced, the bytes.
pub fn case(seeds: &[(UploadFormat, Vec<u8>)], random: &mut Random) -> (String, UploadFormat, Vec<u8>) {
    let (mut format, mut bytes) = random.of(seeds).clone();
    let mut done = Vec::new();
    // What is compressed is changed within, too: a change outside would only ever be a broken checksum.
    if format != UploadFormat::Parquet && random.below(3) > 0 {
        let mut text = seeds::csv();
        for _ in 0..=random.below(3) {
            done.push(change_text(&mut text, random));
        }
        bytes = match format {
            UploadFormat::CsvGz | UploadFormat::CsvGb18030Gz => seeds::gz(&text),
            _ => text,
        };
    }
    if format == UploadFormat::Parquet || random.below(2) == 0 {
        for _ in 0..=random.below(3) {
            done.push(change(format, &mut bytes, random));
        }
    }
    if random.below(25) == 0 {
        format = *random.of(&[
            UploadFormat::Csv,
            UploadFormat::CsvGz,
            UploadFormat::CsvGb18030,
            UploadFormat::CsvGb18030Gz,
            UploadFormat::Parquet,
        ]);
        done.push("another format");
    }
    (format!("{format:?}: {}", done.join(", ")), format, bytes)
}
