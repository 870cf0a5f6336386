//! What a module asks for.

use crate::bindings::fusebox::analysis::{job, tables};

pub use tables::Margins;

/// A group-by table in the making.
#[derive(Debug)]
#[must_use = "a table is asked for with `request`"]
pub struct Table {
    name: String,
    keys: Vec<String>,
    measures: Vec<tables::Measure>,
    margins: Margins,
}

/// A table over granted and derived columns, of a name that the module declares, with its measures, in `tables`.
pub fn table(name: &str) -> Table {
    Table { name: name.to_owned(), keys: Vec::new(), measures: Vec::new(), margins: Margins::None }
}

impl Table {
    /// Adds a column whose values make the cells.
    pub fn key(mut self, column: &str) -> Self {
        self.keys.push(column.to_owned());
        self
    }
    /// Adds several.
    pub fn keys<'a>(mut self, columns: impl IntoIterator<Item = &'a str>) -> Self {
        self.keys.extend(columns.into_iter().map(str::to_owned));
        self
    }
    fn measure(mut self, name: &str, op: tables::Op, column: Option<&str>) -> Self {
        self.measures.push(tables::Measure { name: name.to_owned(), op, column: column.map(str::to_owned) });
        self
    }
    /// Rows of a cell.
    pub fn count(self, name: &str) -> Self {
        self.measure(name, tables::Op::Count, None)
    }
    /// Distinct privacy units of a cell.
    pub fn units(self, name: &str) -> Self {
        self.measure(name, tables::Op::Units, None)
    }
    /// Sum of a number column.
    pub fn sum(self, name: &str, column: &str) -> Self {
        self.measure(name, tables::Op::Sum, Some(column))
    }
    /// Arithmetic mean.
    pub fn mean(self, name: &str, column: &str) -> Self {
        self.measure(name, tables::Op::Mean, Some(column))
    }
    /// Population variance.
    pub fn variance(self, name: &str, column: &str) -> Self {
        self.measure(name, tables::Op::Variance, Some(column))
    }
    /// Lower order statistic at `permille` (0 to 1000).
    pub fn quantile(self, name: &str, column: &str, permille: u16) -> Self {
        self.measure(name, tables::Op::Quantile(permille), Some(column))
    }
    /// Smallest value; released only where the column is bottom-coded.
    pub fn min(self, name: &str, column: &str) -> Self {
        self.measure(name, tables::Op::Min, Some(column))
    }
    /// Largest value; released only where the column is top-coded.
    pub fn max(self, name: &str, column: &str) -> Self {
        self.measure(name, tables::Op::Max, Some(column))
    }
    /// Totals over the last key, over the last two, and so on to the grand total.
    pub fn rollup(mut self) -> Self {
        self.margins = Margins::Rollup;
        self
    }
    /// Totals over every set of keys.
    pub fn cube(mut self) -> Self {
        self.margins = Margins::Cube;
        self
    }
    /// Asks for it. The host computes it after the module returned.
    pub fn request(self) {
        tables::request(&self.name, &self.keys, &self.measures, self.margins);
    }
}

/// The job's seed: the only randomness there is, the same in a replay.
pub fn seed() -> u64 {
    job::seed()
}

/// Text for the author: passed on where the rows are synthetic, else dropped.
pub fn log(text: &str) {
    job::log(text);
}
