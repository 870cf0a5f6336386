//! The view's columns as a map reads them: stored integers, or numbers of declared labels. A dictionary that was found in the data never
//! shows: a label's number is its place in the declaration.

use protocol::column::Column;
use protocol::fold::{FoldError, readable};
use protocol::manifest::{FoldColumn, FoldType};
use protocol::message::EngineFailure;

use super::super::view::View;

/// Columns in a map's order.
pub(in crate::engine) struct Columns<'v>(Vec<One<'v>>);

/// One column.
pub(in crate::engine) struct One<'v> {
    values: Values<'v>,
    column: Column<'v>,
}

enum Values<'v> {
    Integers(&'v [i64]),
    /// Codes, and the number of each.
    Codes(&'v [u32], Vec<i64>),
}

impl<'v> Columns<'v> {
    /// The wanted columns of `view`.
    ///
    /// # Errors
    /// [`FoldError::Column`] for one that is not granted, or of another type.
    pub(in crate::engine) fn of(view: &'v View, wanted: &[FoldColumn]) -> Result<Self, EngineFailure> {
        wanted.iter().map(|w| One::of(view, &w.name, &w.ty)).collect::<Result<_, _>>().map(Self)
    }

    /// How many.
    pub(in crate::engine) fn count(&self) -> usize {
        self.0.len()
    }

    /// Each.
    pub(in crate::engine) fn iter(&self) -> std::slice::Iter<'_, One<'v>> {
        self.0.iter()
    }
}

impl<'v> One<'v> {
    /// The column `name` of `view` as `ty`.
    ///
    /// # Errors
    /// As [`Columns::of`].
    pub(in crate::engine) fn of(view: &'v View, name: &str, ty: &FoldType) -> Result<Self, EngineFailure> {
        let (has, column) = view.granted(name).filter(|(has, _)| readable(ty, has)).ok_or(FoldError::Column)?;
        debug_assert_eq!(column.rows(), view.rows as u64, "{has:?}");
        let values = match ty {
            FoldType::Category { labels } => {
                let number = |label: &str| labels.iter().position(|l| l == label).and_then(|n| i64::try_from(n).ok()).unwrap_or(-1);
                let numbers = column.labels().into_iter().map(number).collect();
                Values::Codes(column.codes().ok_or(EngineFailure::Column)?, numbers)
            }
            FoldType::Number { .. } | FoldType::Date | FoldType::Hour => Values::Integers(column.i64s().ok_or(EngineFailure::Column)?),
        };
        Ok(Self { values, column })
    }

    /// The value of a row; `None` where it is missing.
    #[inline]
    pub(in crate::engine) fn get(&self, row: usize) -> Option<i64> {
        if !self.column.is_valid(row) {
            return None;
        }
        match &self.values {
            Values::Integers(values) => values.get(row).copied(),
            Values::Codes(codes, numbers) => codes.get(row).and_then(|code| numbers.get(*code as usize)).copied(),
        }
    }

    /// All values, where none is missing and they are integers: for passes that go through memory once.
    pub(in crate::engine) fn plain(&self) -> Option<&'v [i64]> {
        match &self.values {
            Values::Integers(values) if self.column.validity().is_none() => Some(values),
            _ => None,
        }
    }
}
