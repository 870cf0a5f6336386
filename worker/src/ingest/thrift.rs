//! A look at Parquet's metadata before its own decoder sees it.
//!
//! The decoder reserves memory for as many elements as a list claims and for as many bytes as a page claims to become, and reads a
//! field as what it should be, whatever type is written beside it. Here every claim is held against the bytes that are there and
//! every type against the format's, so that a short file cannot ask for gigabytes and both readers read the same. Encoding:
//! <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>; structures: parquet-format 2.11, `parquet.thrift`.

/// Structures within structures.
const DEPTH_MAX: u8 = 32;

/// Types of a structure's fields by number, from 1: `i` whole number, `y` byte, `t` boolean, `b` bytes, `s` structure; `I`, `B`, `S`
/// lists of those; `.` anything (the decoder skips it by the type that is written). Each with the path to the structure:
/// see [`path`].
pub(super) type Grammar = [(u64, &'static str)];

/// The path from the outermost structure through these fields; a list adds nothing of its own.
pub(super) const fn path(fields: &[u8]) -> u64 {
    match fields {
        [] => 0,
        [before @ .., last] => path(before) << 5 | *last as u64,
    }
}

const STATISTICS: &str = "bbiibbtt";
/// `FileMetaData`.
pub(super) const FILE: &Grammar = &[
    (path(&[]), "iSiSSbS"),
    (path(&[2]), "iiibiiiiis"),
    (path(&[2, 10]), "ssssssss.sssssss"),
    (path(&[2, 10, 5]), "ii"),
    (path(&[2, 10, 7]), "ts"),
    (path(&[2, 10, 8]), "ts"),
    (path(&[2, 10, 10]), "yt"),
    (path(&[4]), "SiiSiii"),
    (path(&[4, 1]), "bisiiiisb"),
    (path(&[4, 1, 3]), "iIBiiiiSiiisSii"),
    (path(&[4, 1, 3, 8]), "bb"),
    (path(&[4, 1, 3, 12]), STATISTICS),
    (path(&[4, 1, 3, 13]), "iii"),
    (path(&[4, 4]), "itt"),
    (path(&[5]), "bb"),
    (path(&[7]), "s"),
];
/// `PageHeader`.
pub(super) const PAGE: &Grammar = &[
    (path(&[]), "iiiissss"),
    (path(&[5]), "iiiis"),
    (path(&[5, 5]), STATISTICS),
    (path(&[7]), "iit"),
    (path(&[8]), "iiiiiits"),
    (path(&[8, 8]), STATISTICS),
];

/// A whole number, or the length of a list: the path to the field, the value.
pub(super) type Visit<'v> = dyn FnMut(u64, i64) + 'v;

/// Reads one structure at the start of `bytes`; returns its length. `None`: it is none, is not of the grammar, or claims more than is
/// there.
pub(super) fn structure(bytes: &[u8], grammar: &Grammar, visit: &mut Visit<'_>) -> Option<usize> {
    let mut reader = Reader { bytes, at: 0, grammar, visit };
    reader.structure(0, 0)?;
    Some(reader.at)
}

struct Reader<'r, 'v> {
    bytes: &'r [u8],
    at: usize,
    grammar: &'r Grammar,
    visit: &'r mut Visit<'v>,
}

impl Reader<'_, '_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.at = self.at.checked_add(count).filter(|at| *at <= self.bytes.len())?;
        Some(())
    }

    /// ULEB128 of at most ten bytes.
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn zigzag(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// A count of elements or bytes, each of which takes a byte at least.
    fn count(&mut self) -> Option<usize> {
        let count = usize::try_from(self.varint()?).ok()?;
        (count <= self.bytes.len() - self.at).then_some(count)
    }

    /// What stands in the grammar for a field; `.` where nothing does.
    fn expected(&self, path: u64, field: i16) -> u8 {
        let place = usize::try_from(field).ok().and_then(|f| f.checked_sub(1));
        let fields = self.grammar.iter().find(|(p, _)| *p == path).map_or("", |(_, fields)| fields);
        place.and_then(|p| fields.as_bytes().get(p)).copied().unwrap_or(b'.')
    }

    fn structure(&mut self, path: u64, depth: u8) -> Option<()> {
        let depth = (depth < DEPTH_MAX).then_some(depth + 1)?;
        let mut field = 0i16;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Some(());
            }
            field = match head >> 4 {
                0 => i16::try_from(self.zigzag()?).ok()?,
                more => field.checked_add(i16::from(more))?,
            };
            let (ty, expected) = (head & 0x0f, self.expected(path, field));
            if !fits(expected, ty) {
                return None;
            }
            // A path that the grammar does not know leads nowhere that it knows.
            let inner = if expected == b'.' { u64::MAX } else { path << 5 | u64::try_from(field).ok()? };
            // The value of a boolean field is its type.
            if !matches!(ty, 1 | 2) {
                self.value(ty, expected, inner, depth)?;
            }
        }
    }

    fn value(&mut self, ty: u8, expected: u8, path: u64, depth: u8) -> Option<()> {
        match ty {
            1..=3 => self.skip(1),
            4..=6 => {
                let value = self.zigzag()?;
                (self.visit)(path, value);
                Some(())
            }
            7 => self.skip(8),
            8 => {
                let count = self.count()?;
                self.skip(count)
            }
            9 | 10 => self.list(expected.to_ascii_lowercase(), path, depth),
            12 => self.structure(path, depth),
            // Parquet has no maps and no other types.
            _ => None,
        }
    }

    fn list(&mut self, expected: u8, path: u64, depth: u8) -> Option<()> {
        let depth = (depth < DEPTH_MAX).then_some(depth + 1)?;
        let head = self.byte()?;
        let count = match head >> 4 {
            15 => self.count()?,
            few => usize::from(few),
        };
        (self.visit)(path, i64::try_from(count).ok()?);
        if count > 0 && !fits(expected, head & 0x0f) {
            return None;
        }
        // Numbers of a list are nobody's.
        let path = if expected == b'i' { u64::MAX } else { path };
        (0..count).try_for_each(|_| self.value(head & 0x0f, expected, path, depth))
    }
}

/// Whether a type of the encoding is the expected one.
fn fits(expected: u8, ty: u8) -> bool {
    match expected {
        b'.' => true,
        b'i' => matches!(ty, 4..=6),
        b'y' => ty == 3,
        b't' => matches!(ty, 1 | 2),
        b'b' => ty == 8,
        b's' => ty == 12,
        _ => ty == 9,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(bytes: &[u8]) -> Option<(usize, Vec<(u64, i64)>)> {
        let grammar: &Grammar = &[(path(&[]), "i.sIb"), (path(&[3]), "it")];
        let mut seen = Vec::new();
        structure(bytes, grammar, &mut |path, value| seen.push((path, value))).map(|length| (length, seen))
    }

    #[test]
    fn numbers_lists_and_inner_structures_are_seen() {
        // 1: i32 = -1, 3: { 1: i64 = 300, 2: true }, 4: list of 2 numbers, 5: "ab"; a byte of something else.
        let bytes = [0x15, 0x01, 0x2c, 0x16, 0xd8, 0x04, 0x11, 0x00, 0x19, 0x25, 7, 8, 0x18, 2, b'a', b'b', 0x00, 0xff];
        let expected = vec![(path(&[1]), -1), (path(&[3, 1]), 300), (path(&[4]), 2), (u64::MAX, -4), (u64::MAX, 4)];
        assert_eq!(seen(&bytes), Some((17, expected)));
        for cut in 0..17 {
            assert_eq!(seen(&bytes[..cut]), None, "{cut}");
        }
        // Another type than the grammar's, in the field and in the list.
        for (at, ty) in [(0, 0x18), (6, 0x13), (8, 0x18), (9, 0x28)] {
            let mut bytes = bytes;
            bytes[at] = ty;
            assert_eq!(seen(&bytes), None, "{at}");
        }
    }

    #[test]
    fn claims_beyond_the_bytes_are_none() {
        // A list of 2^31 structures; a text of 2^40 bytes; a number of eleven bytes; a map: all in fields that nobody knows.
        let unknown = |rest: &[u8]| seen(&[&[0x25], rest].concat());
        assert_eq!(unknown(&[0x00, 0x00]), Some((3, vec![(u64::MAX, 0)])));
        assert_eq!(seen(&[0x29, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07, 0, 0]), None);
        assert_eq!(seen(&[0x28, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20, 0]), None);
        assert_eq!(unknown(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01, 0]), None);
        assert_eq!(seen(&[0x2b, 0x00, 0]), None);
        let nested = |depth: usize| [vec![0x2c; depth], vec![0; depth + 1]].concat();
        assert!(seen(&nested(20)).is_some());
        assert_eq!(seen(&nested(100_000)), None);
        assert_eq!(seen(&vec![0x29; 100_000]), None);
    }
}
