//! The fused view and the columns derived from it.

use crate::Error;
use crate::bindings::fusebox::analysis::{derive, view as host};
use crate::column::{Category, IntegerColumn};
use crate::manifest::Declared;
use crate::models::Feature;

/// Rows read in one call: 512 KiB of integers, which stay in a core's cache.
const CHUNK: u32 = 1 << 16;

/// A range of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rows {
    /// The first row; a multiple of 8.
    pub start: u64,
    /// How many, at most 1048576.
    pub len: u32,
}

/// The fused view that the module was granted.
#[derive(Debug)]
pub struct View {
    rows: u64,
    columns: Vec<host::Column>,
    derived: &'static [Declared],
    models: &'static [&'static str],
}

/// Values of a derived column, a range of rows at a time.
#[derive(Debug, Default)]
pub struct Out<T> {
    values: Vec<T>,
    validity: Vec<u8>,
}

impl<T: Default> Out<T> {
    /// The next row's value, `None` where it is missing.
    #[inline]
    pub fn push(&mut self, value: Option<T>) {
        let bit = self.values.len() % 8;
        if bit == 0 {
            self.validity.push(0);
        }
        if let (Some(last), true) = (self.validity.last_mut(), value.is_some()) {
            *last |= 1 << bit;
        }
        self.values.push(value.unwrap_or_default());
    }

    fn clear(&mut self) {
        self.values.clear();
        self.validity.clear();
    }
}

impl<T: Default> Extend<Option<T>> for Out<T> {
    fn extend<I: IntoIterator<Item = Option<T>>>(&mut self, values: I) {
        values.into_iter().for_each(|value| self.push(value));
    }
}

impl View {
    /// Asks the host what was granted.
    #[doc(hidden)]
    pub fn open(derived: &'static [Declared], models: &'static [&'static str]) -> Self {
        Self { rows: host::rows(), columns: host::columns(), derived, models }
    }

    /// Rows of the view.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Names of the granted columns.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|c| c.name.as_str())
    }

    /// All rows, in ranges that fit a core's cache.
    pub fn chunks(&self) -> impl Iterator<Item = Rows> + use<> {
        let rows = self.rows;
        (0..rows.div_ceil(u64::from(CHUNK))).map(move |i| {
            let start = i * u64::from(CHUNK);
            Rows { start, len: u32::try_from(rows - start).unwrap_or(CHUNK).min(CHUNK) }
        })
    }

    fn find(&self, name: &str) -> Result<(u32, &host::ColumnType), Error> {
        let found = self.columns.iter().zip(0u32..).find(|(c, _)| c.name == name);
        found.map(|(c, i)| (i, &c.ty)).ok_or_else(|| Error(format!("no column `{name}` was granted")))
    }

    fn integers(&self, name: &str, wanted: fn(&host::ColumnType) -> bool, what: &str) -> Result<IntegerColumn, Error> {
        let (index, ty) = self.find(name)?;
        if !wanted(ty) {
            return Err(Error(format!("column `{name}` is not {what}")));
        }
        Ok(match ty {
            host::ColumnType::Number(n) => IntegerColumn { index, scale: n.scale, min: n.min, max: n.max },
            _ => IntegerColumn { index, scale: 0, min: i64::MIN, max: i64::MAX },
        })
    }

    /// A number column.
    ///
    /// # Errors
    /// It was not granted or has another type; so below.
    pub fn number(&self, name: &str) -> Result<IntegerColumn, Error> {
        self.integers(name, |ty| matches!(ty, host::ColumnType::Number(_)), "a number")
    }
    /// A column of days since 1970-01-01.
    #[allow(clippy::missing_errors_doc)]
    pub fn date(&self, name: &str) -> Result<IntegerColumn, Error> {
        self.integers(name, |ty| matches!(ty, host::ColumnType::Date), "a date")
    }
    /// A column of hours since 1970-01-01T00.
    #[allow(clippy::missing_errors_doc)]
    pub fn hour(&self, name: &str) -> Result<IntegerColumn, Error> {
        self.integers(name, |ty| matches!(ty, host::ColumnType::Hour), "an hour")
    }
    /// A column of pseudonyms.
    #[allow(clippy::missing_errors_doc)]
    pub fn pseudonym(&self, name: &str) -> Result<IntegerColumn, Error> {
        self.integers(name, |ty| matches!(ty, host::ColumnType::Pseudonym), "a pseudonym")
    }
    /// A column of categories, with its labels.
    #[allow(clippy::missing_errors_doc)]
    pub fn category(&self, name: &str) -> Result<Category, Error> {
        match self.find(name)? {
            (index, host::ColumnType::Category) => Ok(Category::open(index)),
            _ => Err(Error(format!("column `{name}` is not a category"))),
        }
    }

    /// Index of a model among those declared.
    pub(crate) fn model(&self, name: &str) -> Result<u32, Error> {
        let found = self.models.iter().zip(0u32..).find(|(n, _)| **n == name);
        found.map(|(_, i)| i).ok_or_else(|| Error(format!("`{name}` is not declared in `models`")))
    }

    /// A column's index as models name it: granted ones, then derived ones.
    fn for_models(&self, name: &str) -> Result<u32, Error> {
        let names = self.columns.iter().map(|c| c.name.as_str()).chain(self.derived.iter().map(|d| d.name));
        let found = names.zip(0u32..).find(|(n, _)| *n == name);
        found.map(|(_, i)| i).ok_or_else(|| Error(format!("no column `{name}` was granted or declared")))
    }

    /// The value of a number, date or hour, granted or derived, as what a model reads.
    ///
    /// # Errors
    /// There is no such column.
    pub fn feature(&self, column: &str) -> Result<Feature, Error> {
        Ok(Feature { column: self.for_models(column)?, level: -1 })
    }

    /// 1 where a category has this label and 0 elsewhere, as what a model reads.
    ///
    /// # Errors
    /// There is no such column, or it has no such label.
    pub fn level(&self, column: &str, label: &str) -> Result<Feature, Error> {
        let index = self.for_models(column)?;
        let declared = self.derived.iter().find(|d| d.name == column);
        let found = match declared {
            Some(declared) => declared.labels.iter().position(|l| *l == label),
            None => self.category(column)?.labels.iter().position(|l| l == label),
        };
        let level = found.and_then(|at| i64::try_from(at).ok());
        Ok(Feature { column: index, level: level.ok_or_else(|| Error(format!("`{column}` has no label `{label}`")))? })
    }

    fn declared(&self, name: &str, category: bool) -> Result<u32, Error> {
        let found = self.derived.iter().zip(0u32..).find(|(d, _)| d.name == name && d.labels.is_empty() != category);
        found.map(|(_, i)| i).ok_or_else(|| Error(format!("`{name}` is not declared in `derived` with this type")))
    }

    fn derive<T: Default>(&self, mut fill: impl FnMut(Rows, &mut Out<T>), append: impl Fn(&[T], &[u8])) -> Result<(), Error> {
        let mut out = Out::default();
        for rows in self.chunks() {
            out.clear();
            fill(rows, &mut out);
            if out.values.len() != rows.len as usize {
                return Err(Error(format!("{} values were derived for {} rows", out.values.len(), rows.len)));
            }
            append(&out.values, &out.validity);
        }
        Ok(())
    }

    /// Derives a declared category: `fill` pushes one code a row, an index into the declared labels.
    ///
    /// # Errors
    /// It is not declared, or `fill` pushed fewer or more values than there are rows.
    pub fn derive_category(&self, name: &str, fill: impl FnMut(Rows, &mut Out<u32>)) -> Result<(), Error> {
        let index = self.declared(name, true)?;
        self.derive(fill, |values, validity| derive::append_codes(index, values, validity))
    }

    /// Derives a declared number: `fill` pushes one stored integer a row.
    ///
    /// # Errors
    /// It is not declared, or `fill` pushed fewer or more values than there are rows.
    pub fn derive_number(&self, name: &str, fill: impl FnMut(Rows, &mut Out<i64>)) -> Result<(), Error> {
        let index = self.declared(name, false)?;
        self.derive(fill, |values, validity| derive::append_integers(index, values, validity))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validity_is_packed_least_significant_first() {
        let mut out = Out::default();
        out.extend([Some(5u32), None, Some(7), None, None, None, None, None, Some(1)]);
        assert_eq!((out.values, out.validity), (vec![5, 0, 7, 0, 0, 0, 0, 0, 1], vec![0b101, 1]));
    }

    #[test]
    fn chunks_cover_every_row_once() {
        for rows in [0, 1, 65_535, 65_536, 65_537, 200_000] {
            let view = View { rows, columns: Vec::new(), derived: &[], models: &[] };
            let mut next = 0;
            for chunk in view.chunks() {
                assert_eq!((chunk.start, chunk.start % 8), (next, 0));
                next += u64::from(chunk.len);
            }
            assert_eq!(next, rows);
        }
    }
}
