//! Table requests of a module, and what the engine computes for them: exact values and the evidence for every cell.

use serde::{Deserialize, Serialize};

use crate::limits::{LimitExceeded, Limits};
use crate::schema::is_name;

/// A group-by table over granted or derived columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRequest {
    /// Name, unique in the job.
    pub name: String,
    /// Columns whose values make the cells: categories, dates, hours, whole numbers. Empty: one cell.
    pub keys: Vec<String>,
    /// What is computed in each cell.
    pub measures: Vec<MeasureRequest>,
    /// Which totals over keys are cells too.
    pub margins: Margins,
}

/// Totals over keys. A margin's cells are computed from rows, not from other cells: distinct units do not add up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Margins {
    /// No totals.
    #[default]
    None,
    /// Totals over the last key, over the last two, and so on to the grand total.
    Rollup,
    /// Totals over every set of keys.
    Cube,
}

impl Margins {
    /// The sets of keys that are totalled in a table of `keys` keys, smallest number first, the empty one (the table's own cells)
    /// before all. Bit `i` stands for key `i`.
    pub fn totals(self, keys: usize) -> Vec<u32> {
        let all = 1u32.checked_shl(u32::try_from(keys).unwrap_or(u32::MAX)).map_or(u32::MAX, |bit| bit - 1);
        match self {
            Self::None => vec![0],
            Self::Cube => (0..=all).collect(),
            Self::Rollup => {
                let mut sets: Vec<u32> = (0..=keys).map(|kept| all & !((1u32 << kept.min(31)) - 1)).collect();
                sets.sort_unstable();
                sets
            }
        }
    }
}

/// One measure of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasureRequest {
    /// Name, unique in the table.
    pub name: String,
    /// What is computed.
    pub op: MeasureOp,
    /// The number column it is computed over; `None` for counts.
    pub column: Option<String>,
}

/// What is computed in a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MeasureOp {
    /// Rows.
    Count,
    /// Distinct privacy units.
    Units,
    /// Sum.
    Sum,
    /// Arithmetic mean, rounded half to even to the column's resolution.
    Mean,
    /// Population variance, rounded half to even to the square of the column's resolution.
    Variance,
    /// Lower order statistic: the ⌈n·permille/1000⌉-th smallest value (the first for 0).
    Quantile {
        /// 0 to 1000.
        permille: u16,
    },
    /// Smallest value; released only where the column is bottom-coded.
    Min,
    /// Largest value; released only where the column is top-coded.
    Max,
}

impl MeasureOp {
    /// Whether it needs a column.
    pub fn needs_column(self) -> bool {
        !matches!(self, Self::Count | Self::Units)
    }
}

/// Why a table request is refused. Names are the module author's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum TableError {
    /// A name is not `[a-z][a-z0-9_]{0,62}`.
    #[error("`{0}` is not a name")]
    Name(String),
    /// A name is used twice.
    #[error("`{0}` is there twice")]
    Duplicate(String),
    /// No measure.
    #[error("a table needs a measure")]
    Empty,
    /// A measure needs a column, or has one that it does not need.
    #[error("measure `{0}` needs a column, or has one too many")]
    Column(String),
    /// A quantile beyond 1000 permille.
    #[error("a quantile lies between 0 and 1000 permille")]
    Quantile,
    /// No granted or derived column of this name.
    #[error("column `{0}` is not granted")]
    NotGranted(String),
    /// A column whose type cannot be a key or be summed.
    #[error("column `{0}` has not the type for this")]
    Type(String),
    /// A limit.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// No table of this name with just these measures stands in the manifest.
    #[error("table `{0}` with just these measures, in their order, is not declared in the module's manifest (`tables`)")]
    Undeclared(String),
}

impl TableRequest {
    /// Checks all that does not need the view.
    ///
    /// # Errors
    /// The first thing wrong.
    pub fn validate(&self) -> Result<(), TableError> {
        let l = &Limits::STANDARD;
        LimitExceeded::check("table_keys_max", l.table_keys_max.into(), 0, self.keys.len() as u64)?;
        LimitExceeded::check("table_measures_max", l.table_measures_max.into(), 0, self.measures.len() as u64)?;
        if self.measures.is_empty() {
            return Err(TableError::Empty);
        }
        let mut seen = std::collections::BTreeSet::new();
        for name in std::iter::once(&self.name).chain(&self.keys).chain(self.measures.iter().map(|m| &m.name)) {
            if !is_name(name) {
                return Err(TableError::Name(name.chars().take(64).collect()));
            }
        }
        for name in self.keys.iter().chain(self.measures.iter().map(|m| &m.name)) {
            if !seen.insert(name) {
                return Err(TableError::Duplicate(name.clone()));
            }
        }
        for m in &self.measures {
            if m.op.needs_column() != m.column.is_some() {
                return Err(TableError::Column(m.name.clone()));
            }
            if matches!(m.op, MeasureOp::Quantile { permille } if permille > 1000) {
                return Err(TableError::Quantile);
            }
        }
        Ok(())
    }
}

/// A key's values: what the codes or integers of [`Cell::keys`] stand for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyDomain {
    /// Codes into a declared domain: cells of the whole domain exist, empty ones too.
    Declared(Vec<String>),
    /// Codes into labels found in the data, sorted; only those that occur in a cell.
    Found(Vec<String>),
    /// Days since 1970-01-01.
    Date,
    /// Hours since 1970-01-01T00.
    Hour,
    /// Integers at this scale.
    Number(u8),
}

/// One cell with its evidence. Nothing here is fit to be shown: the gate decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// The keys that are totalled: bit `i` for key `i`; 0 for the table's own cells. One of [`Margins::totals`].
    pub totals: u32,
    /// One value a key (code or integer); `None`: missing, or totalled.
    pub keys: Vec<Option<i64>>,
    /// Rows.
    pub rows: u64,
    /// Distinct privacy units.
    pub units: u64,
    /// Distinct privacy units with a row in a member that the operator does not own: the ones that count.
    pub units_counting: u64,
    /// Sum, modulo 2^128, of a keyed 128-bit digest of each row's identity: equal for equal sets of rows, whatever their order.
    pub contributors: u128,
    /// One for each measure that has a column; `None` for counts.
    pub measures: Vec<Option<MeasureEvidence>>,
}

/// Exact value and evidence of one measure over a column, in the column's stored integers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasureEvidence {
    /// Rows with a value.
    pub n: u64,
    /// Counting units with a value.
    pub units: u64,
    /// Sum.
    pub sum: i128,
    /// Sum of squares (variance only, else 0).
    pub sum_of_squares: i128,
    /// The order statistic (quantile, min, max).
    pub order: Option<i64>,
    /// Largest absolute total of one privacy unit.
    pub largest: i128,
    /// Second largest absolute total of one privacy unit.
    pub second: i128,
    /// Sum of the absolute totals of all privacy units.
    pub total: i128,
    /// The largest units of a column that cannot be negative, largest first, at most [`TOP_UNITS`]: all of them where there are fewer.
    /// Empty for other columns, and where contributors are not asked for.
    pub top: Vec<UnitShare>,
    /// How the column's values are spread in the cell, where the operator owns it.
    pub own: Option<OwnSpread>,
}

/// Units that [`MeasureEvidence::top`] names.
pub const TOP_UNITS: usize = 16;

/// What one privacy unit holds of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitShare {
    /// Namespace ordinal of the unit.
    pub unit: i64,
    /// Its total.
    pub total: i128,
}

/// How the values of a column that the operator owns are spread in a cell. Whoever chose the values reads from a figure over them how
/// often each occurs in the cell, so that a figure is a table by value in disguise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnSpread {
    /// Fewest counting units of a value (or of none at all, where it is missing) that occurs in the cell; 0 where there are more
    /// values than a table has cells.
    pub least: u64,
    /// Whether a value that occurs in the view does not in the cell.
    pub absent: bool,
}

/// What precedes a table's cells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableHeader {
    /// The request, as it was asked.
    pub request: TableRequest,
    /// One a key.
    pub domains: Vec<KeyDomain>,
    /// Scale and bounds of each measure's column; `None` for counts.
    pub columns: Vec<Option<MeasureColumn>>,
    /// How many cells follow, sorted by the keys that are totalled, then by key.
    pub cells: u64,
}

/// What is known of a measure's column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasureColumn {
    /// Decimal digits after the point.
    pub scale: u8,
    /// Smallest stored integer that can occur.
    pub min: i64,
    /// Largest stored integer that can occur.
    pub max: i64,
}

/// A whole table with its evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableOutput {
    /// Request, domains and columns.
    pub header: TableHeader,
    /// Cells, sorted by the keys that are totalled, then by key (missing first): the table's own cells come first.
    pub cells: Vec<Cell>,
}

impl Cell {
    /// Whether key `i` is totalled.
    pub fn is_total(&self, i: usize) -> bool {
        u32::try_from(i).is_ok_and(|i| self.totals.checked_shr(i).is_some_and(|bits| bits & 1 == 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rollup_totals_from_the_last_key_on_and_cube_every_set() {
        assert_eq!(Margins::None.totals(3), [0]);
        assert_eq!(Margins::Rollup.totals(3), [0b000, 0b100, 0b110, 0b111]);
        assert_eq!(Margins::Cube.totals(2), [0, 1, 2, 3]);
        assert_eq!((Margins::Rollup.totals(0), Margins::Cube.totals(0)), (vec![0], vec![0]));
        assert_eq!((Margins::Cube.totals(6).len(), Margins::Rollup.totals(6).len()), (64, 7));
        let cell = Cell { totals: 0b10, keys: vec![None, None], rows: 0, units: 0, units_counting: 0, contributors: 0, measures: vec![] };
        assert_eq!([0, 1, 40].map(|i| cell.is_total(i)), [false, true, false]);
    }
}
