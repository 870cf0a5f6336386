//! One column in Arrow's buffer layout, in one piece of memory.
//!
//! ```text
//! 64-byte header: magic "FBXCOL01" · physical u8 · has_validity u8 · 6 zero bytes · rows u64 · entries u64 · bytes u64 · zeroes
//! then, each at the next multiple of 64 and zero-padded to it:
//!   validity   ceil(rows / 8) bytes, least significant bit first, 1 = present   (only if has_validity)
//!   values     i64 × rows | u32 codes × rows | u32 offsets × (rows + 1)
//!   offsets    u32 × (entries + 1)   dictionary of codes only
//!   bytes      UTF-8 of the dictionary or of the texts
//! ```
//! All integers little-endian. The layout follows from the header alone, so a decoder has nothing to trust but three
//! numbers. A missing value's slot holds zero (an empty text), so nothing hides behind the bitmap.
//! Layout after: Arrow columnar format 1.5, "Physical Memory Layout".

use crate::limits::Limits;

/// Bytes of the header, and the alignment of every part.
pub const ALIGN: u64 = 64;
const MAGIC: &[u8; 8] = b"FBXCOL01";

/// How values are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Physical {
    /// `i64` values.
    I64,
    /// `u32` indexes into a dictionary of labels.
    Code,
    /// UTF-8 text.
    Text,
}

/// Why bytes are not a column. Holds positions, never values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ColumnError {
    /// Shorter or longer than its header says.
    #[error("the column's length is not what its header says")]
    Length,
    /// No such magic, physical type or flag, or padding that is not zero.
    #[error("the column's header is not of the documented form")]
    Header,
    /// More rows, entries or bytes than the limits allow.
    #[error("the column is larger than allowed")]
    TooLarge,
    /// The memory is not aligned for its type.
    #[error("the column's memory is not aligned")]
    Alignment,
    /// A code at or beyond the dictionary's length.
    #[error("a code lies outside the dictionary")]
    Code,
    /// Offsets that fall or do not end at the last byte.
    #[error("the offsets are not monotone or do not end at the last byte")]
    Offsets,
    /// Bytes that are not UTF-8, or a boundary inside a character.
    #[error("a text is not UTF-8")]
    Utf8,
    /// A missing value with content, or bits beyond the last row.
    #[error("the validity bitmap is not canonical")]
    Validity,
}

/// Shape of a column: all that its layout depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// How values are stored.
    pub physical: Physical,
    /// Whether a validity bitmap is there.
    pub has_validity: bool,
    /// Rows.
    pub rows: u64,
    /// Dictionary entries (codes only, else 0).
    pub entries: u64,
    /// Bytes of text (codes: of the dictionary; `i64`: 0).
    pub bytes: u64,
}

/// Byte ranges of a column's parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Validity bitmap, empty where there is none.
    pub validity: std::ops::Range<u64>,
    /// Values, codes or text offsets.
    pub values: std::ops::Range<u64>,
    /// Dictionary offsets, empty where there is none.
    pub offsets: std::ops::Range<u64>,
    /// Text bytes.
    pub text: std::ops::Range<u64>,
    /// Length of the whole.
    pub total: u64,
}

impl Shape {
    /// The layout that follows from this shape.
    ///
    /// # Errors
    /// [`ColumnError::TooLarge`] beyond the standard limits, so that no later sum can overflow.
    pub fn layout(&self) -> Result<Layout, ColumnError> {
        let l = &Limits::STANDARD;
        if self.rows > l.rows_max || self.entries > u64::from(l.dictionary_entries_max) || self.bytes > u64::from(u32::MAX) {
            return Err(ColumnError::TooLarge);
        }
        let mut at = ALIGN;
        let mut part = |len: u64| {
            let start = at;
            at = (start + len).next_multiple_of(ALIGN);
            start..start + len
        };
        let validity = part(if self.has_validity { self.rows.div_ceil(8) } else { 0 });
        let values = part(match self.physical {
            Physical::I64 => self.rows * 8,
            Physical::Code => self.rows * 4,
            Physical::Text => (self.rows + 1) * 4,
        });
        let offsets = part(if self.physical == Physical::Code { (self.entries + 1) * 4 } else { 0 });
        let text = part(self.bytes);
        if at > l.column_bytes_max {
            return Err(ColumnError::TooLarge);
        }
        Ok(Layout { validity, values, offsets, text, total: at })
    }

    fn header(&self) -> [u8; 64] {
        let mut h = [0u8; 64];
        let physical = match self.physical {
            Physical::I64 => 1,
            Physical::Code => 2,
            Physical::Text => 3,
        };
        let fields = MAGIC
            .iter()
            .copied()
            .chain([physical, u8::from(self.has_validity), 0, 0, 0, 0, 0, 0])
            .chain(self.rows.to_le_bytes())
            .chain(self.entries.to_le_bytes())
            .chain(self.bytes.to_le_bytes());
        for (to, from) in h.iter_mut().zip(fields) {
            *to = from;
        }
        h
    }

    fn parse(header: &[u8; 64]) -> Result<Self, ColumnError> {
        let word = |at: usize| -> u64 { header.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes) };
        let physical = match header.get(8) {
            Some(1) => Physical::I64,
            Some(2) => Physical::Code,
            Some(3) => Physical::Text,
            _ => return Err(ColumnError::Header),
        };
        let has_validity = match header.get(9) {
            Some(0) => false,
            Some(1) => true,
            _ => return Err(ColumnError::Header),
        };
        let shape = Self { physical, has_validity, rows: word(16), entries: word(24), bytes: word(32) };
        // The header has one spelling: anything else (magic, padding) is refused by comparing it whole.
        let no_dictionary = physical == Physical::Code || shape.entries == 0;
        let no_text = physical != Physical::I64 || shape.bytes == 0;
        if shape.header() != *header || !no_dictionary || !no_text {
            return Err(ColumnError::Header);
        }
        Ok(shape)
    }
}

/// A column over borrowed memory. [`Column::parse`] checks the layout (constant time); [`Column::validate`] reads every value.
#[derive(Debug, Clone, Copy)]
pub struct Column<'a> {
    shape: Shape,
    validity: &'a [u8],
    values: &'a [u8],
    offsets: &'a [u32],
    text: &'a [u8],
}

impl<'a> Column<'a> {
    /// Reads the header and cuts the parts; checks lengths and alignment only.
    ///
    /// # Errors
    /// What is wrong with the layout.
    pub fn parse(memory: &'a [u8]) -> Result<Self, ColumnError> {
        let header: &[u8; 64] = memory.first_chunk().ok_or(ColumnError::Length)?;
        let shape = Shape::parse(header)?;
        let layout = shape.layout()?;
        if memory.len() as u64 != layout.total {
            return Err(ColumnError::Length);
        }
        let cut = |r: &std::ops::Range<u64>| -> Result<&'a [u8], ColumnError> {
            let start = usize::try_from(r.start).map_err(|_| ColumnError::TooLarge)?;
            let end = usize::try_from(r.end).map_err(|_| ColumnError::TooLarge)?;
            memory.get(start..end).ok_or(ColumnError::Length)
        };
        let offsets = bytemuck::try_cast_slice(cut(&layout.offsets)?).map_err(|_| ColumnError::Alignment)?;
        Ok(Self { shape, validity: cut(&layout.validity)?, values: cut(&layout.values)?, offsets, text: cut(&layout.text)? })
    }

    /// Its shape.
    pub fn shape(&self) -> Shape {
        self.shape
    }
    /// Rows.
    pub fn rows(&self) -> u64 {
        self.shape.rows
    }
    /// The validity bitmap; `None` means that every value is present.
    pub fn validity(&self) -> Option<&'a [u8]> {
        self.shape.has_validity.then_some(self.validity)
    }
    /// Whether row `i` has a value.
    pub fn is_valid(&self, i: usize) -> bool {
        !self.shape.has_validity || self.validity.get(i / 8).is_some_and(|b| b >> (i % 8) & 1 == 1)
    }
    /// The values of an `i64` column.
    pub fn i64s(&self) -> Option<&'a [i64]> {
        (self.shape.physical == Physical::I64).then(|| bytemuck::try_cast_slice(self.values).ok()).flatten()
    }
    /// The codes of a code column.
    pub fn codes(&self) -> Option<&'a [u32]> {
        (self.shape.physical == Physical::Code).then(|| bytemuck::try_cast_slice(self.values).ok()).flatten()
    }
    /// Offsets and bytes of a text column (`rows + 1` offsets).
    pub fn texts(&self) -> Option<(&'a [u32], &'a [u8])> {
        if self.shape.physical != Physical::Text {
            return None;
        }
        Some((bytemuck::try_cast_slice(self.values).ok()?, self.text))
    }
    /// Offsets and bytes of a code column's dictionary (`entries + 1` offsets).
    pub fn dictionary(&self) -> Option<(&'a [u32], &'a [u8])> {
        (self.shape.physical == Physical::Code).then_some((self.offsets, self.text))
    }
    /// The dictionary's labels. Entries that are not UTF-8 (only before [`Column::validate`]) read as empty.
    pub fn labels(&self) -> Vec<&'a str> {
        self.offsets.windows(2).map(|w| slice_text(w, self.text)).collect()
    }
    /// Text of row `i` (`None` outside; not-UTF-8 reads as empty before validation).
    pub fn text(&self, i: usize) -> Option<&'a str> {
        let (offsets, bytes) = self.texts()?;
        Some(slice_text(offsets.get(i..i + 2)?, bytes))
    }

    /// Reads every value: codes in range, offsets monotone, text UTF-8, missing slots zero, trailing bits zero.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<(), ColumnError> {
        let rows = usize::try_from(self.shape.rows).map_err(|_| ColumnError::TooLarge)?;
        if let Some(bits) = self.validity() {
            let tail = rows % 8;
            if tail != 0 && bits.last().is_some_and(|b| b >> tail != 0) {
                return Err(ColumnError::Validity);
            }
        }
        match self.shape.physical {
            Physical::I64 => {
                let v = self.i64s().ok_or(ColumnError::Alignment)?;
                self.missing_slots_are(v.iter().map(|x| *x == 0))
            }
            Physical::Code => {
                let v = self.codes().ok_or(ColumnError::Alignment)?;
                check_texts(self.offsets, self.text)?;
                let entries = self.shape.entries;
                if v.iter().enumerate().any(|(i, c)| u64::from(*c) >= entries && self.is_valid(i)) {
                    return Err(ColumnError::Code);
                }
                self.missing_slots_are(v.iter().map(|x| *x == 0))
            }
            Physical::Text => {
                let (offsets, bytes) = self.texts().ok_or(ColumnError::Alignment)?;
                check_texts(offsets, bytes)?;
                self.missing_slots_are(offsets.windows(2).map(|w| w.first() == w.last()))
            }
        }
    }

    fn missing_slots_are(&self, mut zero: impl Iterator<Item = bool>) -> Result<(), ColumnError> {
        if !self.shape.has_validity {
            return Ok(());
        }
        let mut i = 0;
        if zero.all(|z| {
            let ok = z || self.is_valid(i);
            i += 1;
            ok
        }) {
            Ok(())
        } else {
            Err(ColumnError::Validity)
        }
    }
}

fn slice_text<'a>(window: &[u32], bytes: &'a [u8]) -> &'a str {
    let (Some(a), Some(b)) = (window.first(), window.last()) else { return "" };
    bytes.get(*a as usize..*b as usize).and_then(|b| std::str::from_utf8(b).ok()).unwrap_or("")
}

fn check_texts(offsets: &[u32], bytes: &[u8]) -> Result<(), ColumnError> {
    if offsets.first() != Some(&0) || offsets.last().map(|o| *o as usize) != Some(bytes.len()) || !offsets.is_sorted() {
        return Err(ColumnError::Offsets);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| ColumnError::Utf8)?;
    if offsets.iter().all(|o| text.is_char_boundary(*o as usize)) { Ok(()) } else { Err(ColumnError::Utf8) }
}

/// A column's parts before they are laid out. Missing slots must hold zero / be empty (see [`Column::validate`]).
#[derive(Debug, Clone, Copy)]
pub enum Parts<'a> {
    /// `i64` values.
    I64(&'a [i64]),
    /// Codes, dictionary offsets (`entries + 1`) and dictionary bytes.
    Code(&'a [u32], &'a [u32], &'a [u8]),
    /// Text offsets (`rows + 1`) and bytes.
    Text(&'a [u32], &'a [u8]),
}

/// Writes a column piece by piece to `sink` (header, then padded parts); returns the bytes written.
///
/// # Errors
/// [`ColumnError::TooLarge`] as an I/O error of kind `InvalidInput`, or the sink's own error.
pub fn write_column(parts: Parts<'_>, validity: Option<&[u8]>, sink: &mut impl std::io::Write) -> std::io::Result<u64> {
    let (physical, rows, entries, bytes) = match parts {
        Parts::I64(v) => (Physical::I64, v.len(), 0, 0),
        Parts::Code(c, o, b) => (Physical::Code, c.len(), o.len().saturating_sub(1), b.len()),
        Parts::Text(o, b) => (Physical::Text, o.len().saturating_sub(1), 0, b.len()),
    };
    let shape = Shape { physical, has_validity: validity.is_some(), rows: rows as u64, entries: entries as u64, bytes: bytes as u64 };
    let layout = shape.layout().map_err(|e| std::io::Error::new(std::io::ErrorKind::InvalidInput, e))?;
    sink.write_all(&shape.header())?;
    let mut put = |data: &[u8], range: &std::ops::Range<u64>| -> std::io::Result<()> {
        if data.len() as u64 != range.end - range.start {
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, ColumnError::Length));
        }
        sink.write_all(data)?;
        let pad = usize::try_from(range.end.next_multiple_of(ALIGN) - range.end).unwrap_or(0);
        sink.write_all([0u8; 64].get(..pad).unwrap_or(&[]))
    };
    put(validity.unwrap_or(&[]), &layout.validity)?;
    match parts {
        Parts::I64(v) => put(bytemuck::cast_slice(v), &layout.values)?,
        Parts::Code(c, o, b) => {
            put(bytemuck::cast_slice(c), &layout.values)?;
            put(bytemuck::cast_slice(o), &layout.offsets)?;
            put(b, &layout.text)?;
        }
        Parts::Text(o, b) => {
            put(bytemuck::cast_slice(o), &layout.values)?;
            put(b, &layout.text)?;
        }
    }
    Ok(layout.total)
}

/// Bytes aligned for every type of a column: a copy of shared memory that nobody else can change.
#[derive(Debug, Clone, Default)]
pub struct AlignedBytes {
    words: Vec<u64>,
    len: usize,
}

impl AlignedBytes {
    /// `len` zero bytes.
    pub fn zeroed(len: usize) -> Self {
        Self { words: vec![0; len.div_ceil(8)], len }
    }
    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        bytemuck::cast_slice(&self.words).get(..self.len).unwrap_or(&[])
    }
    /// The bytes, writable.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        let len = self.len;
        bytemuck::cast_slice_mut(&mut self.words).get_mut(..len).unwrap_or(&mut [])
    }
}

impl zeroize::Zeroize for AlignedBytes {
    fn zeroize(&mut self) {
        self.words.zeroize();
        self.len = 0;
    }
}

impl From<&[u8]> for AlignedBytes {
    fn from(bytes: &[u8]) -> Self {
        let mut b = Self::zeroed(bytes.len());
        b.as_mut_slice().copy_from_slice(bytes);
        b
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(parts: Parts<'_>, validity: Option<&[u8]>) -> AlignedBytes {
        let mut out = Vec::new();
        write_column(parts, validity, &mut out).unwrap();
        out.as_slice().into()
    }

    #[test]
    fn what_is_written_is_read() {
        let b = bytes(Parts::I64(&[1, 0, -3]), Some(&[0b101]));
        let c = Column::parse(b.as_slice()).unwrap();
        c.validate().unwrap();
        assert_eq!(c.i64s().unwrap(), &[1, 0, -3]);
        assert!(c.is_valid(0) && !c.is_valid(1) && c.is_valid(2));
        let b = bytes(Parts::Code(&[1, 0], &[0, 1, 4], "a中".as_bytes()), None);
        let c = Column::parse(b.as_slice()).unwrap();
        c.validate().unwrap();
        assert_eq!(c.labels(), ["a", "中"]);
        let b = bytes(Parts::Text(&[0, 2, 2], b"xy"), None);
        let c = Column::parse(b.as_slice()).unwrap();
        c.validate().unwrap();
        assert_eq!((c.text(0), c.text(1), c.text(2)), (Some("xy"), Some(""), None));
    }

    #[test]
    fn what_is_not_canonical_is_refused() {
        let c = |parts, validity| {
            let b = bytes(parts, validity);
            Column::parse(b.as_slice()).unwrap().validate()
        };
        assert_eq!(c(Parts::I64(&[1, 5]), Some(&[0b01])), Err(ColumnError::Validity));
        assert_eq!(c(Parts::I64(&[1]), Some(&[0b11])), Err(ColumnError::Validity));
        assert_eq!(c(Parts::Code(&[2], &[0, 1, 2], b"ab"), None), Err(ColumnError::Code));
        assert_eq!(c(Parts::Text(&[0, 3, 2], b"xy"), None), Err(ColumnError::Offsets));
        assert_eq!(c(Parts::Text(&[0, 1, 3], "中".as_bytes()), None), Err(ColumnError::Utf8));
        let b = bytes(Parts::I64(&[7; 9]), None);
        for i in 0..64 {
            let mut x = b.clone();
            x.as_mut_slice()[i] ^= 0x55;
            assert!(Column::parse(x.as_slice()).is_err(), "header byte {i}");
        }
        for cut in 0..b.as_slice().len() {
            assert!(Column::parse(&b.as_slice()[..cut]).is_err());
        }
    }
}
