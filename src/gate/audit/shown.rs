//! What is kept of a table for the audit of later ones: the base rows of its shown cells, and of each cell what describes it and the
//! largest units of its sums. Sealed beside the artefact. Magnitudes are rounded up to five binary digits.

use std::collections::{BTreeMap, HashMap};

use protocol::contributors::{BaseRow, Contributors, Membership, Part};
use protocol::table::{Cell, MeasureOp, TOP_UNITS, TableOutput};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::super::conditions::Conditions;
use crate::id::ReleaseId;
use crate::sdc::Fate;
use crate::store::StoreError;
use crate::store::artefacts::Artefacts;

/// A shown table.
pub(super) struct Shown {
    /// Its cells' base rows; the only table of the layout. After the cells, where a measure is over a column of the operator's, their
    /// parts by its values.
    pub(super) rows: Contributors,
    pub(super) cells: Cells,
}

/// Of each cell, and then of each part, what describes it.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Cells {
    pub(super) labels: Vec<u128>,
    pub(super) sums: Vec<Column>,
}

/// Sums of one column of the catalogue.
#[derive(Serialize, Deserialize)]
pub(super) struct Column {
    /// Dataset and column; [`AS`] and what the plan made of its values, where it made anything of them.
    pub(super) origin: String,
    pub(super) sums: Vec<Sum>,
}

/// Before what a plan made of a column. No name has it.
pub(super) const AS: char = '\0';

/// The sum of one cell.
#[derive(Serialize, Deserialize)]
pub(super) struct Sum {
    pub(super) cell: u32,
    pub(super) total: i128,
    /// Namespace ordinals with no less than what each has.
    pub(super) top: Vec<(i64, u64)>,
    /// Whether no other unit has a part.
    pub(super) whole: bool,
}

impl Cells {
    pub(super) fn encode(&self) -> Result<Vec<u8>, StoreError> {
        postcard::to_stdvec(self).map_err(|_| StoreError::Malformed("cells"))
    }
}

/// `value` rounded up to five binary digits.
fn coarse(value: i128) -> u64 {
    let value = u64::try_from(value.max(0)).unwrap_or(u64::MAX);
    let low = (u64::BITS - value.leading_zeros()).saturating_sub(5);
    value.checked_add((1 << low) - 1).map_or(u64::MAX, |up| up >> low << low)
}

impl Shown {
    /// Of a decided table, the job's `at`-th; `None` where not all that is needed was told.
    pub(super) fn of(table: &TableOutput, fates: &[Fate], told: &Contributors, at: usize, conditions: &Conditions) -> Option<Self> {
        let members = told.tables.get(at)?;
        let parts: Vec<&Part> = told.parts.iter().filter(|part| part.table as usize == at).collect();
        let shown: Vec<&Cell> = table.cells.iter().zip(fates).filter(|(_, fate)| **fate == Fate::Shown).map(|(cell, _)| cell).collect();
        if !split(table, &shown, &parts) {
            return None;
        }
        let mut numbers = Numbers::new(table, &shown, conditions);
        let within = numbers.within(table);
        let mut times: BTreeMap<(u32, u32), u32> = BTreeMap::new();
        let mut add = |row: u32, number: u32, more: u32| {
            let slot = times.entry((row, number)).or_insert(0);
            *slot = slot.saturating_add(more);
        };
        for member in members {
            within.get(member.cell as usize).into_iter().flatten().for_each(|number| add(member.row, *number, member.times));
        }
        for part in parts {
            let column = table.header.request.measures.get(part.measure as usize).and_then(|m| m.column.as_deref())?;
            let numbered: Vec<Vec<u32>> = part
                .cells
                .iter()
                .map(|(cell, value)| {
                    let within = within.get(*cell as usize).into_iter().flatten();
                    within.map(|number| numbers.part(*number, (column, *value), (table, &shown), conditions)).collect()
                })
                .collect();
            for member in &part.members {
                numbered.get(member.cell as usize).into_iter().flatten().for_each(|number| add(member.row, *number, member.times));
            }
        }
        let sums = sums(table, &shown, conditions);
        Some(Self { rows: layout(times, &told.rows), cells: Cells { labels: numbers.labels, sums } })
    }

    /// What was kept of a release; `None` where nothing was.
    pub(super) fn read(connection: &Connection, artefacts: &Artefacts, release: &ReleaseId) -> Result<Option<Self>, StoreError> {
        let Some(rows) = artefacts.read(connection, release, &"contributors".parse()?)? else { return Ok(None) };
        let rows = Contributors::parse(&rows).map_err(|_| StoreError::Malformed("contributors"))?;
        let cells = match artefacts.read(connection, release, &"cells".parse()?)? {
            Some(bytes) => postcard::from_bytes(&bytes).map_err(|_| StoreError::Malformed("cells"))?,
            None => Cells::default(),
        };
        Ok(Some(Self { rows, cells }))
    }
}

/// Whether every column of the operator's that a shown figure is over has its parts.
fn split(table: &TableOutput, shown: &[&Cell], parts: &[&Part]) -> bool {
    let column = |at: usize| table.header.request.measures.get(at).map(|m| &m.column);
    let is_own = |at: usize| shown.iter().any(|cell| cell.measures.get(at).and_then(Option::as_ref).is_some_and(|e| e.own.is_some()));
    let has_parts = |at: usize| parts.iter().any(|part| column(part.measure as usize) == column(at));
    (0..table.header.request.measures.len()).all(|at| !is_own(at) || has_parts(at))
}

/// The shown cells, numbered, and after them the parts.
struct Numbers {
    of_cells: HashMap<(u32, Vec<Option<i64>>), u32>,
    of_parts: HashMap<(u32, String, Option<i64>), u32>,
    labels: Vec<u128>,
}

impl Numbers {
    fn new(table: &TableOutput, shown: &[&Cell], conditions: &Conditions) -> Self {
        let of_cells = shown.iter().zip(0u32..).map(|(cell, number)| ((cell.totals, cell.keys.clone()), number)).collect();
        let labels = shown.iter().map(|cell| conditions.digest(&table.header, cell, None)).collect();
        Self { of_cells, of_parts: HashMap::new(), labels }
    }

    /// Of each of the table's own cells itself and the totals that it is part of, where they are shown.
    fn within(&self, table: &TableOutput) -> Vec<Vec<u32>> {
        let totals = table.header.request.margins.totals(table.header.request.keys.len());
        let within = |cell: &Cell| -> Vec<u32> {
            let totalled = |set: u32| cell.keys.iter().enumerate().map(|(i, k)| if set >> i & 1 == 1 { None } else { *k }).collect();
            totals.iter().filter_map(|set| self.of_cells.get(&(*set, totalled(*set))).copied()).collect()
        };
        table.cells.iter().take_while(|c| c.totals == 0).map(within).collect()
    }

    /// The number of the part of a shown cell with this value.
    fn part(
        &mut self,
        cell: u32,
        (column, value): (&str, Option<i64>),
        (table, shown): (&TableOutput, &[&Cell]),
        conditions: &Conditions,
    ) -> u32 {
        let next = self.labels.len() as u32;
        let number = *self.of_parts.entry((cell, column.to_owned(), value)).or_insert(next);
        if number == next {
            let label = shown.get(cell as usize).map_or(0, |c| conditions.digest(&table.header, c, Some((column, value))));
            self.labels.push(label);
        }
        number
    }
}

/// Rows that lie in a cell, numbered anew.
fn layout(times: BTreeMap<(u32, u32), u32>, rows: &[BaseRow]) -> Contributors {
    let (mut kept, mut told, mut last): (Vec<BaseRow>, Vec<Membership>, Option<u32>) = (Vec::new(), Vec::new(), None);
    for ((row, cell), times) in times {
        if last != Some(row) {
            last = Some(row);
            kept.extend(rows.get(row as usize));
        }
        told.push(Membership { row: kept.len().saturating_sub(1) as u32, cell, times });
    }
    Contributors { rows: kept, tables: vec![told], parts: Vec::new() }
}

/// The sums that a table shows, or that follow from its means and variances, of columns of the catalogue that cannot be negative.
fn sums(table: &TableOutput, shown: &[&Cell], conditions: &Conditions) -> Vec<Column> {
    let mut found: BTreeMap<String, Column> = BTreeMap::new();
    for (at, (measure, column)) in table.header.request.measures.iter().zip(&table.header.columns).enumerate() {
        let origin = measure.column.as_deref().and_then(|name| conditions.origin(name));
        let summed = matches!(measure.op, MeasureOp::Sum | MeasureOp::Mean | MeasureOp::Variance);
        let Some((path, made)) = origin.filter(|_| summed && column.as_ref().is_some_and(|c| c.min >= 0)) else { continue };
        let origin = made.map_or_else(|| path.to_owned(), |made| format!("{path}{AS}{made}"));
        let told = shown.iter().zip(0u32..).filter_map(|(cell, number)| {
            let e = cell.measures.get(at)?.as_ref()?;
            let top = e.top.iter().map(|share| (share.unit, coarse(share.total))).collect();
            Some(Sum { cell: number, total: e.sum, top, whole: e.top.len() < TOP_UNITS })
        });
        // Once for a sum and a mean of one column.
        found.entry(origin.clone()).or_insert_with(|| Column { origin, sums: told.collect() });
    }
    found.into_values().collect()
}

#[cfg(test)]
mod tests {
    use protocol::table::{Margins, MeasureEvidence, MeasureRequest, OwnSpread, TableHeader, TableRequest};

    use super::*;

    #[test]
    fn magnitudes_are_rounded_up_by_less_than_a_sixteenth() {
        for value in (0..200).chain([4095, 4096, 4097, 123_456_789, (1 << 40) + 1]) {
            let up = i128::from(coarse(value));
            assert!(up >= value && (up - value) * 16 <= value, "{value} to {up}");
        }
        assert_eq!((coarse(-5), coarse(i128::MAX)), (0, u64::MAX));
    }

    #[test]
    fn a_table_over_two_columns_of_the_operators_needs_the_parts_of_both() {
        let own = |name: &str| MeasureRequest { name: name.into(), op: MeasureOp::Max, column: Some(name.into()) };
        let request = TableRequest { name: "t".into(), keys: Vec::new(), measures: vec![own("a"), own("b")], margins: Margins::None };
        let evidence = MeasureEvidence {
            n: 20,
            units: 20,
            sum: 0,
            sum_of_squares: 0,
            order: None,
            largest: 0,
            second: 0,
            total: 0,
            top: Vec::new(),
            own: Some(OwnSpread { least: 20, absent: false }),
        };
        let measures = vec![Some(evidence.clone()), Some(evidence)];
        let cell = Cell { totals: 0, keys: Vec::new(), rows: 20, units: 20, units_counting: 20, contributors: 0, measures };
        let header = TableHeader { request, domains: Vec::new(), columns: vec![None, None], cells: 1 };
        let table = TableOutput { header, cells: vec![cell] };
        let of = |measures: &[u32]| {
            let part = |measure: &u32| Part { table: 0, measure: *measure, cells: vec![(0, Some(1))], members: Vec::new() };
            let told = Contributors { rows: Vec::new(), tables: vec![Vec::new()], parts: measures.iter().map(part).collect() };
            Shown::of(&table, &[Fate::Shown], &told, 0, &Conditions::default()).is_some()
        };
        assert_eq!([of(&[]), of(&[0]), of(&[1]), of(&[0, 1])], [false, false, false, true]);
    }
}
