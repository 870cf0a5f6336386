//! Which base rows lie in which cells of the tables of one run, as an engine tells it: a partition, so that a row and a table take
//! twelve bytes however many cells there are.
//!
//! ```text
//! u32 rows, u32 tables, rows × (i64 identity, i64 unit's ordinal), by identity
//! tables × (u32 memberships, memberships × (u32 row, u32 cell, u32 times)), by row, then cell
//! ```
//! Everything little-endian. Only rows that count stand here: those with a part in data that the operator does not own.

use crate::limits::Limits;

/// Base rows that one layout holds: beyond, an engine tells none, and what rests on them is held.
pub const CONTRIBUTORS_ROWS_MAX: usize = 1 << 22;

/// A base row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BaseRow {
    /// Keyed identity.
    pub identity: i64,
    /// Namespace ordinal of its unit.
    pub unit: i64,
}

/// A base row in a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Membership {
    /// Index of the row.
    pub row: u32,
    /// Index of the cell among the table's own, as the engine told them.
    pub cell: u32,
    /// How many rows of the view it became there (a join can multiply it).
    pub times: u32,
}

/// All of one run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contributors {
    /// The rows, by identity.
    pub rows: Vec<BaseRow>,
    /// Of each table.
    pub tables: Vec<Vec<Membership>>,
}

/// Bytes that are no such layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a layout of contributors")]
pub struct ContributorsError;

impl Contributors {
    /// The layout.
    ///
    /// # Errors
    /// More rows or tables than it holds.
    pub fn encode(&self) -> Result<Vec<u8>, ContributorsError> {
        let count = |n: usize| u32::try_from(n).map_err(|_| ContributorsError);
        let mut out = Vec::with_capacity(8 + 16 * self.rows.len() + self.tables.iter().map(|t| 4 + 12 * t.len()).sum::<usize>());
        out.extend(count(self.rows.len())?.to_le_bytes());
        out.extend(count(self.tables.len())?.to_le_bytes());
        for row in &self.rows {
            out.extend(row.identity.to_le_bytes());
            out.extend(row.unit.to_le_bytes());
        }
        for table in &self.tables {
            out.extend(count(table.len())?.to_le_bytes());
            for m in table {
                out.extend([m.row, m.cell, m.times].iter().flat_map(|v| v.to_le_bytes()));
            }
        }
        Ok(out)
    }

    /// Reads and checks a layout: orders, bounds, and that nothing is left over.
    ///
    /// # Errors
    /// [`ContributorsError`].
    pub fn parse(mut bytes: &[u8]) -> Result<Self, ContributorsError> {
        let (rows, tables) = (take_u32(&mut bytes)? as usize, take_u32(&mut bytes)?);
        if rows > CONTRIBUTORS_ROWS_MAX || tables > Limits::STANDARD.tables_max || bytes.len() / 16 < rows {
            return Err(ContributorsError);
        }
        let mut all = Self { rows: Vec::with_capacity(rows), tables: Vec::new() };
        for _ in 0..rows {
            all.rows.push(BaseRow { identity: take_i64(&mut bytes)?, unit: take_i64(&mut bytes)? });
        }
        for _ in 0..tables {
            let count = take_u32(&mut bytes)? as usize;
            if bytes.len() / 12 < count {
                return Err(ContributorsError);
            }
            let mut table = Vec::with_capacity(count);
            for _ in 0..count {
                let (row, cell, times) = (take_u32(&mut bytes)?, take_u32(&mut bytes)?, take_u32(&mut bytes)?);
                if row as usize >= rows || u64::from(cell) >= Limits::STANDARD.table_cells_max || times == 0 {
                    return Err(ContributorsError);
                }
                table.push(Membership { row, cell, times });
            }
            if !table.is_sorted_by(|a, b| (a.row, a.cell) < (b.row, b.cell)) {
                return Err(ContributorsError);
            }
            all.tables.push(table);
        }
        let sorted = all.rows.is_sorted_by(|a, b| a.identity < b.identity);
        if sorted && bytes.is_empty() { Ok(all) } else { Err(ContributorsError) }
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], ContributorsError> {
    let (first, rest) = bytes.split_first_chunk().ok_or(ContributorsError)?;
    *bytes = rest;
    Ok(*first)
}

fn take_u32(bytes: &mut &[u8]) -> Result<u32, ContributorsError> {
    Ok(u32::from_le_bytes(take(bytes)?))
}

fn take_i64(bytes: &mut &[u8]) -> Result<i64, ContributorsError> {
    Ok(i64::from_le_bytes(take(bytes)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Contributors {
        let row = |identity| BaseRow { identity, unit: identity * 7 };
        let m = |row, cell| Membership { row, cell, times: 1 + cell };
        Contributors { rows: vec![row(1), row(5), row(9)], tables: vec![vec![m(0, 0), m(0, 3), m(2, 1)], vec![]] }
    }

    #[test]
    fn a_layout_crosses_and_every_cut_and_disorder_is_refused() {
        let bytes = some().encode().unwrap();
        assert_eq!(Contributors::parse(&bytes).unwrap(), some());
        for end in 0..bytes.len() {
            assert!(Contributors::parse(&bytes[..end]).is_err(), "{end}");
        }
        assert!(Contributors::parse(&[bytes.as_slice(), &[0]].concat()).is_err());
        let wrong = |change: &dyn Fn(&mut Contributors)| {
            let mut all = some();
            change(&mut all);
            Contributors::parse(&all.encode().unwrap()).is_err()
        };
        assert!(wrong(&|c| c.rows.swap(0, 1)));
        assert!(wrong(&|c| c.tables[0].swap(0, 1)));
        assert!(wrong(&|c| c.tables[0][1].row = 3));
        assert!(wrong(&|c| c.tables[0][1].times = 0));
        assert!(wrong(&|c| c.tables[0][2].cell = 100_000));
        assert!(wrong(&|c| c.tables = vec![Vec::new(); 17]));
    }
}
