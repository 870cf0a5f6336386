//! Columns of the view, read a range of rows at a time.

use crate::bindings::fusebox::analysis::view as host;
use crate::view::Rows;

/// Which values of a range are present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validity {
    bits: Vec<u8>,
}

impl Validity {
    /// One bit a row, least significant first; no bytes at all: every value is present.
    pub fn new(bits: Vec<u8>) -> Self {
        Self { bits }
    }
    /// Whether every value is present for certain.
    pub fn is_full(&self) -> bool {
        self.bits.is_empty()
    }
    /// Whether row `i` of the range has a value.
    #[inline]
    pub fn get(&self, i: usize) -> bool {
        self.bits.is_empty() || self.bits.get(i / 8).is_some_and(|byte| byte >> (i % 8) & 1 == 1)
    }
}

/// A column of numbers, dates, hours or pseudonyms.
#[derive(Debug, Clone, Copy)]
pub struct IntegerColumn {
    pub(crate) index: u32,
    /// Decimal digits after the point: value = stored integer / 10^scale. 0 for all but numbers.
    pub scale: u8,
    /// Smallest stored integer that can occur.
    pub min: i64,
    /// Largest stored integer that can occur.
    pub max: i64,
}

/// Stored integers of a range of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Integers {
    /// One a row, zero where missing.
    pub values: Vec<i64>,
    /// Which are present.
    pub validity: Validity,
}

impl Integers {
    /// The values, `None` where missing.
    pub fn iter(&self) -> impl Iterator<Item = Option<i64>> {
        self.values.iter().enumerate().map(|(i, v)| self.validity.get(i).then_some(*v))
    }
}

impl IntegerColumn {
    /// Stored integers and which are present.
    pub fn read(&self, rows: Rows) -> Integers {
        Integers { values: self.values(rows), validity: self.validity(rows) }
    }
    /// Stored integers alone, zero where missing.
    pub fn values(&self, rows: Rows) -> Vec<i64> {
        host::read_integers(self.index, rows.start, rows.len)
    }
    /// Numbers as floating point, NaN where missing. Dates, hours and pseudonyms have none: reading them ends the run.
    pub fn f64s(&self, rows: Rows) -> Vec<f64> {
        host::read_numbers(self.index, rows.start, rows.len)
    }
    /// Which values are present.
    pub fn validity(&self, rows: Rows) -> Validity {
        Validity::new(host::read_validity(self.index, rows.start, rows.len))
    }
}

/// A column of categories.
#[derive(Debug, Clone)]
pub struct Category {
    pub(crate) index: u32,
    /// Its labels; a code is an index into them.
    pub labels: Vec<String>,
}

/// Codes of a range of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Codes {
    /// One a row, zero where missing.
    pub codes: Vec<u32>,
    /// Which are present.
    pub validity: Validity,
}

impl Codes {
    /// The codes, `None` where missing.
    pub fn iter(&self) -> impl Iterator<Item = Option<u32>> {
        self.codes.iter().enumerate().map(|(i, c)| self.validity.get(i).then_some(*c))
    }
}

impl Category {
    pub(crate) fn open(index: u32) -> Self {
        let dictionary = host::read_dictionary(index);
        let label = |ends: &[u32]| {
            let (start, end) = (ends.first().copied().unwrap_or(0) as usize, ends.last().copied().unwrap_or(0) as usize);
            String::from_utf8_lossy(dictionary.bytes.get(start..end).unwrap_or(&[])).into_owned()
        };
        Self { index, labels: dictionary.offsets.windows(2).map(label).collect() }
    }
    /// The code of a label.
    pub fn code(&self, label: &str) -> Option<u32> {
        self.labels.iter().position(|l| l == label).and_then(|i| u32::try_from(i).ok())
    }
    /// Codes and which are present.
    pub fn read(&self, rows: Rows) -> Codes {
        Codes { codes: self.codes(rows), validity: Validity::new(host::read_validity(self.index, rows.start, rows.len)) }
    }
    /// Codes alone, zero where missing.
    pub fn codes(&self, rows: Rows) -> Vec<u32> {
        host::read_codes(self.index, rows.start, rows.len)
    }
}
