//! What a fold reads and says.

use std::ops::Range;

/// The rows of one block. Columns are numbered as in the manifest; `column("name")` gives the number of one.
#[derive(Debug, Clone, Copy)]
pub struct Block<'a> {
    units: &'a [u32],
    values: &'a [i64],
    missing: &'a [u8],
    /// Of each column 10^scale.
    divisors: &'a [f64],
    rows: usize,
}

impl<'a> Block<'a> {
    /// A block as the host hands it over: rows of each unit, values column by column, one byte a value that is 1 where it is missing
    /// (or none at all). `divisors`: of each column 10^scale, 1 for what is no number.
    pub fn new(units: &'a [u32], values: &'a [i64], missing: &'a [u8], divisors: &'a [f64]) -> Self {
        let rows = units.iter().map(|n| *n as usize).sum();
        Self { units, values, missing, divisors, rows }
    }

    /// Privacy units of the block.
    pub fn units(&self) -> usize {
        self.units.len()
    }

    /// Rows of the block.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The rows of each unit.
    pub fn rows_by_unit(&self) -> impl Iterator<Item = Range<usize>> + use<'a> {
        self.units.iter().scan(0, |next, n| {
            let start = *next;
            *next += *n as usize;
            Some(start..*next)
        })
    }

    /// Stored integer of a number, number of a label (-1: none of the declared), day or hour; none where missing.
    #[inline]
    pub fn value(&self, column: usize, row: usize) -> Option<i64> {
        let at = column * self.rows + row;
        match self.missing.get(at) {
            None | Some(0) => self.values.get(at).copied(),
            Some(_) => None,
        }
    }

    /// A number; none where missing.
    #[inline]
    pub fn number(&self, column: usize, row: usize) -> Option<f64> {
        Some(self.value(column, row)? as f64 / self.divisors.get(column).copied()?)
    }

    /// Which of the declared labels; none where missing or another.
    #[inline]
    pub fn label(&self, column: usize, row: usize) -> Option<usize> {
        usize::try_from(self.value(column, row)?).ok()
    }

    /// The numbers of a column that are there.
    pub fn numbers(&self, column: usize) -> impl Iterator<Item = f64> + use<'_, 'a> {
        (0..self.rows).filter_map(move |row| self.number(column, row))
    }
}

/// What a block contributes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Contribution {
    /// Rising coordinates; none: `values` has one for every coordinate.
    pub coordinates: Vec<u32>,
    /// The values.
    pub values: Vec<f64>,
}

impl Contribution {
    /// Nothing.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// One coordinate; the others are zero.
    pub fn at(coordinate: usize, value: f64) -> Self {
        Self { coordinates: vec![coordinate as u32], values: vec![value] }
    }

    /// Some coordinates, rising; the others are zero.
    pub fn sparse(coordinates: Vec<u32>, values: Vec<f64>) -> Self {
        Self { coordinates, values }
    }
}

impl From<Vec<f64>> for Contribution {
    /// One value a coordinate.
    fn from(values: Vec<f64>) -> Self {
        Self { coordinates: Vec::new(), values }
    }
}

impl<const N: usize> From<[f64; N]> for Contribution {
    /// One value a coordinate.
    fn from(values: [f64; N]) -> Self {
        values.to_vec().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_column_and_row() {
        // Two units of 2 and 1 rows, two columns.
        let block = Block::new(&[2, 1], &[150, 0, 250, 1, -1, 0], &[0, 1, 0, 0, 0, 0], &[100.0, 1.0]);
        assert_eq!((block.units(), block.rows()), (2, 3));
        assert_eq!(block.rows_by_unit().collect::<Vec<_>>(), [0..2, 2..3]);
        assert_eq!([block.value(0, 0), block.value(0, 1), block.value(0, 2), block.value(0, 6)], [Some(150), None, Some(250), None]);
        assert_eq!(block.numbers(0).collect::<Vec<_>>(), [1.5, 2.5]);
        assert_eq!([block.label(1, 0), block.label(1, 1), block.label(1, 2)], [Some(1), None, Some(0)]);
        let whole = Block::new(&[1], &[7], &[], &[1.0]);
        assert_eq!((whole.value(0, 0), whole.number(3, 0)), (Some(7), None));
    }

    #[test]
    fn a_contribution_is_dense_or_sparse() {
        assert_eq!(Contribution::from([1.0, 2.0]), Contribution { coordinates: vec![], values: vec![1.0, 2.0] });
        assert_eq!(Contribution::at(3, 1.0), Contribution { coordinates: vec![3], values: vec![1.0] });
    }
}
