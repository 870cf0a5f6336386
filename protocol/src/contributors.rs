//! Which base rows lie in which cells of the tables of one run, as an engine tells it: a partition, so that a row and a table take
//! twelve bytes however many cells there are.
//!
//! ```text
//! u32 rows, u32 tables, rows × (i64 identity, i64 unit's ordinal), by identity
//! tables × (u32 memberships, memberships × (u32 row, u32 cell, u32 times)), by row, then cell
//! u32 parts, parts × (u32 table, u32 measure, u32 cells, cells × (u32 cell, u32 present, i64 value), u32 memberships, memberships)
//! ```
//! A part splits the cells of a table by the values of a column that the operator owns and a measure is over.
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
    /// Of each of the operator's own columns that a table measures.
    pub parts: Vec<Part>,
}

/// The cells of a table, split by the values of one column.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part {
    /// Index of the table.
    pub table: u32,
    /// Index of the first measure over the column.
    pub measure: u32,
    /// What it splits them into, in order, each once: cell of the table, and value.
    pub cells: Vec<(u32, Option<i64>)>,
    /// [`Membership::cell`] is an index into `cells`.
    pub members: Vec<Membership>,
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
        let mut out = Vec::with_capacity(12 + 16 * self.rows.len() + self.tables.iter().map(|t| 4 + 12 * t.len()).sum::<usize>());
        out.extend(count(self.rows.len())?.to_le_bytes());
        out.extend(count(self.tables.len())?.to_le_bytes());
        for row in &self.rows {
            out.extend(row.identity.to_le_bytes());
            out.extend(row.unit.to_le_bytes());
        }
        for table in &self.tables {
            members(table, &mut out)?;
        }
        out.extend(count(self.parts.len())?.to_le_bytes());
        for part in &self.parts {
            out.extend([part.table, part.measure, count(part.cells.len())?].iter().flat_map(|v| v.to_le_bytes()));
            for (cell, value) in &part.cells {
                out.extend([*cell, u32::from(value.is_some())].iter().flat_map(|v| v.to_le_bytes()));
                out.extend(value.unwrap_or(0).to_le_bytes());
            }
            members(&part.members, &mut out)?;
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
        let mut all = Self { rows: Vec::with_capacity(rows), tables: Vec::new(), parts: Vec::new() };
        for _ in 0..rows {
            all.rows.push(BaseRow { identity: take_i64(&mut bytes)?, unit: take_i64(&mut bytes)? });
        }
        for _ in 0..tables {
            all.tables.push(take_members(&mut bytes, rows, Limits::STANDARD.table_cells_max)?);
        }
        for _ in 0..take_u32(&mut bytes)? {
            all.parts.push(take_part(&mut bytes, rows, tables)?);
        }
        let sorted = all.rows.is_sorted_by(|a, b| a.identity < b.identity);
        if sorted && bytes.is_empty() { Ok(all) } else { Err(ContributorsError) }
    }
}

fn members(members: &[Membership], out: &mut Vec<u8>) -> Result<(), ContributorsError> {
    out.extend(u32::try_from(members.len()).map_err(|_| ContributorsError)?.to_le_bytes());
    out.extend(members.iter().flat_map(|m| [m.row, m.cell, m.times]).flat_map(u32::to_le_bytes));
    Ok(())
}

fn take_members(bytes: &mut &[u8], rows: usize, cells: u64) -> Result<Vec<Membership>, ContributorsError> {
    let count = take_u32(bytes)? as usize;
    if bytes.len() / 12 < count {
        return Err(ContributorsError);
    }
    let mut table = Vec::with_capacity(count);
    for _ in 0..count {
        let (row, cell, times) = (take_u32(bytes)?, take_u32(bytes)?, take_u32(bytes)?);
        if row as usize >= rows || u64::from(cell) >= cells || times == 0 {
            return Err(ContributorsError);
        }
        table.push(Membership { row, cell, times });
    }
    if table.is_sorted_by(|a, b| (a.row, a.cell) < (b.row, b.cell)) { Ok(table) } else { Err(ContributorsError) }
}

fn take_part(bytes: &mut &[u8], rows: usize, tables: u32) -> Result<Part, ContributorsError> {
    let (table, measure, count) = (take_u32(bytes)?, take_u32(bytes)?, take_u32(bytes)?);
    if table >= tables || measure >= Limits::STANDARD.table_measures_max || u64::from(count) > Limits::STANDARD.table_cells_max {
        return Err(ContributorsError);
    }
    let mut cells = Vec::new();
    for _ in 0..count {
        let (cell, present, value) = (take_u32(bytes)?, take_u32(bytes)?, take_i64(bytes)?);
        if u64::from(cell) >= Limits::STANDARD.table_cells_max || present > 1 || (present == 0 && value != 0) {
            return Err(ContributorsError);
        }
        cells.push((cell, (present == 1).then_some(value)));
    }
    if !cells.is_sorted_by(|a, b| a < b) {
        return Err(ContributorsError);
    }
    let members = take_members(bytes, rows, count.into())?;
    Ok(Part { table, measure, cells, members })
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
        let part = Part { table: 1, measure: 0, cells: vec![(0, None), (0, Some(-7)), (4, Some(2))], members: vec![m(0, 2), m(2, 0)] };
        let tables = vec![vec![m(0, 0), m(0, 3), m(2, 1)], vec![]];
        Contributors { rows: vec![row(1), row(5), row(9)], tables, parts: vec![part] }
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
        assert!(wrong(&|c| c.parts[0].table = 2));
        assert!(wrong(&|c| c.parts[0].measure = 1000));
        assert!(wrong(&|c| c.parts[0].cells.swap(1, 2)));
        assert!(wrong(&|c| c.parts[0].cells[2].0 = 100_000));
        assert!(wrong(&|c| c.parts[0].members[0].cell = 3));
    }
}
