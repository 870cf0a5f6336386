//! Everything shown on a namespace, over one numbering of rows and units, and the verdict on a table beside it.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use protocol::contributors::BaseRow;
use protocol::seal::SealKey;

use super::shown::{AS, Shown};
use super::{Cause, MEMBERSHIPS_MAX};
use crate::id::ReleaseId;
use crate::policy::ReleasePolicy;
use crate::policy::release::ZeroCells;
use crate::sdc::audit::{Cell, Found, Limits, Prime, Sum, Verdict, across, audit, dominated};
use crate::store::StoreError;

/// Everything shown on a namespace.
pub(super) struct Universe<'a> {
    rules: &'a ReleasePolicy,
    /// Identities and numbers, by identity.
    rows: Vec<(i64, u32)>,
    units: HashMap<i64, u32>,
    unit_of: Vec<u32>,
    cells: Vec<Cell>,
    /// The release of each cell; `None` for this job's.
    releases: Vec<Option<ReleaseId>>,
    /// By column of the catalogue, and what plans made of it.
    sums: BTreeMap<String, Vec<Sum>>,
    /// Cells over the rows of other datasets, as sets of units.
    others: Vec<(Cell, ReleaseId)>,
    pub(super) memberships: usize,
}

impl<'a> Universe<'a> {
    pub(super) fn new(rules: &'a ReleasePolicy) -> Self {
        Self {
            rules,
            rows: Vec::new(),
            units: HashMap::new(),
            unit_of: Vec::new(),
            cells: Vec::new(),
            releases: Vec::new(),
            sums: BTreeMap::new(),
            others: Vec::new(),
            memberships: 0,
        }
    }

    /// Adds a table over the same rows.
    pub(super) fn add(&mut self, shown: &Shown, equation: bool, release: Option<&ReleaseId>) {
        let numbered = self.number(&shown.rows.rows);
        let first = self.cells.len();
        let labelled = self.rules.table.zero_cells == ZeroCells::Suppress;
        for (cell, rows) in self.members(shown, &numbered).into_iter().enumerate() {
            let label = shown.cells.labels.get(cell).copied().filter(|_| labelled);
            self.cells.push(Cell { rows, equation, label });
            self.releases.push(release.cloned());
        }
        let last = self.cells.len();
        for column in &shown.cells.sums {
            for told in column.sums.iter().filter(|told| first + (told.cell as usize) < last) {
                let top = told.top.iter().map(|(unit, most)| (self.unit(*unit), *most)).collect();
                let sum = Sum { cell: first + told.cell as usize, total: told.total, top, whole: told.whole };
                self.sums.entry(column.origin.clone()).or_default().push(sum);
            }
        }
    }

    /// Adds a table over the rows of another dataset.
    pub(super) fn add_other(&mut self, shown: &Shown, release: &ReleaseId) {
        for cell in self.as_units(shown) {
            self.others.push((cell, release.clone()));
        }
    }

    /// The cells of a table as sets of units.
    fn as_units(&mut self, shown: &Shown) -> Vec<Cell> {
        let units: Vec<u32> = shown.rows.rows.iter().map(|row| self.unit(row.unit)).collect();
        let cells = self.members(shown, &units).into_iter().map(|mut rows| {
            rows.iter_mut().for_each(|(_, times)| *times = 1);
            rows.sort_unstable();
            rows.dedup();
            Cell { rows, equation: false, label: None }
        });
        cells.collect()
    }

    /// Rows of each cell, under the numbers that they have here.
    fn members(&mut self, shown: &Shown, numbered: &[u32]) -> Vec<Vec<(u32, u32)>> {
        let mut cells: Vec<Vec<(u32, u32)>> = vec![Vec::new(); shown.cells.labels.len()];
        for member in shown.rows.tables.first().into_iter().flatten() {
            let cell = member.cell as usize;
            if cells.len() <= cell {
                cells.resize(cell + 1, Vec::new());
            }
            if let (Some(cell), Some(row)) = (cells.get_mut(cell), numbered.get(member.row as usize)) {
                cell.push((*row, member.times));
                self.memberships += 1;
            }
        }
        cells
    }

    /// The numbers of a table's rows, which a layout has by identity, so that what is known is walked through beside them: a lookup a
    /// row in a map of a million misses the cache each time.
    fn number(&mut self, rows: &[BaseRow]) -> Vec<u32> {
        let known = std::mem::take(&mut self.rows);
        let (mut rest, mut fresh) = (known.as_slice(), Vec::new());
        let numbered = rows
            .iter()
            .map(|row| {
                rest = from(rest, row.identity);
                if let Some((_, number)) = rest.first().filter(|(identity, _)| *identity == row.identity) {
                    return *number;
                }
                let (number, unit) = (self.unit_of.len() as u32, self.unit(row.unit));
                self.unit_of.push(unit);
                fresh.push((row.identity, number));
                number
            })
            .collect();
        self.rows = merged(known, fresh);
        numbered
    }

    fn unit(&mut self, unit: i64) -> u32 {
        let next = self.units.len() as u32;
        *self.units.entry(unit).or_insert(next)
    }

    /// Takes back what was added after the first `cells` cells.
    fn truncate(&mut self, cells: usize) {
        self.cells.truncate(cells);
        self.releases.truncate(cells);
        self.sums.values_mut().for_each(|sums| sums.retain(|sum| sum.cell < cells));
    }

    /// The verdict on one table, and what checkers are told. What passes counts for the job's next table.
    pub(super) fn judge(
        &mut self,
        sets: Option<&Shown>,
        equations: bool,
        earlier: usize,
    ) -> Result<(Option<Cause>, serde_json::Value), StoreError> {
        let first_new = self.cells.len();
        let (cause, found) = match sets {
            Some(sets) if self.memberships <= MEMBERSHIPS_MAX => {
                self.add(sets, equations, None);
                self.verdict(sets, first_new)?
            }
            _ => (Some(Cause::Bound), None),
        };
        let told = match &found {
            Some((units, against)) => serde_json::json!({ "verdict": cause, "units": units, "against": against }),
            None => serde_json::json!({ "verdict": cause }),
        };
        let told = serde_json::json!({
            "found": told, "earlier_tables": earlier, "earlier_cells": first_new + self.others.len(), "rows": self.unit_of.len(),
            "units": self.units.len(),
        });
        if cause.is_some() {
            self.truncate(first_new);
        }
        Ok((cause, told))
    }

    /// Sums of each column as each plan made them; and, where plans made different things of one, all of them together, the first of each cell.
    /// A bound that cuts nothing off makes other values of none.
    fn by_values(&self) -> Vec<Cow<'_, [Sum]>> {
        let mut columns: BTreeMap<&str, Vec<&[Sum]>> = BTreeMap::new();
        for (origin, sums) in &self.sums {
            columns.entry(origin.split(AS).next().unwrap_or_default()).or_default().push(sums);
        }
        let mut all = Vec::new();
        for made in columns.into_values() {
            if made.len() > 1 {
                let mut together: Vec<Sum> = made.iter().flat_map(|sums| sums.iter().cloned()).collect();
                together.sort_by_key(|sum| sum.cell);
                all.push(Cow::Owned(together));
            }
            all.extend(made.into_iter().map(Cow::Borrowed));
        }
        all
    }

    /// What is wrong with the cells from `first_new` on: how many units are told of, and the releases that it takes.
    #[allow(clippy::type_complexity, reason = "a pair for one caller")]
    fn verdict(&mut self, sets: &Shown, first_new: usize) -> Result<(Option<Cause>, Option<(usize, Vec<ReleaseId>)>), StoreError> {
        let k = self.rules.table.min_frequency as usize;
        let secret = secret()?;
        let of = |cells: &[usize], releases: &[Option<ReleaseId>]| -> Vec<ReleaseId> {
            cells.iter().filter_map(|c| releases.get(*c)?.clone()).collect()
        };
        match audit(&self.unit_of, &self.cells, first_new, k, secret) {
            Verdict::Clear => {}
            Verdict::TooLarge => return Ok((Some(Cause::Bound), None)),
            Verdict::Found(Found { cells, units }) => {
                let cause = match (cells.is_empty(), units) {
                    (true, _) => Cause::Combination,
                    (false, 0) => Cause::Zero,
                    (false, _) => Cause::Difference,
                };
                return Ok((Some(cause), Some((units, of(&cells, &self.releases)))));
            }
        }
        let table = &self.rules.table;
        let limits = Limits {
            largest_permille: table.largest_permille_max,
            largest_two_permille: table.largest_two_permille_max,
            p_permille: table.p_permille,
            zero: table.zero_cells == ZeroCells::Suppress,
        };
        for sums in self.by_values() {
            match dominated(&self.unit_of, &self.cells, &sums, first_new, (k, &limits), secret) {
                Verdict::Clear => {}
                Verdict::TooLarge => return Ok((Some(Cause::Bound), None)),
                Verdict::Found(found) => return Ok((Some(Cause::Dominance), Some((found.units, Vec::new())))),
            }
        }
        if self.others.is_empty() {
            return Ok((None, None));
        }
        let mine = self.as_units(sets);
        let releases: Vec<Option<ReleaseId>> = self.others.iter().map(|(_, release)| Some(release.clone())).collect();
        let cells: Vec<Cell> = self.others.iter().map(|(cell, _)| cell.clone()).chain(mine).collect();
        Ok(match across(self.units.len(), &cells, releases.len(), k, secret.1) {
            Verdict::Clear => (None, None),
            Verdict::TooLarge => (Some(Cause::Bound), None),
            Verdict::Found(Found { cells, units }) => (Some(Cause::Difference), Some((units, of(&cells, &releases)))),
        })
    }
}

/// `sorted` from the first identity on that is not below `least`, sought in steps that double.
fn from(sorted: &[(i64, u32)], least: i64) -> &[(i64, u32)] {
    let mut step = 1;
    while sorted.get(step).is_some_and(|(identity, _)| *identity < least) {
        step *= 2;
    }
    let within = sorted.get(..=step).unwrap_or(sorted);
    sorted.get(within.partition_point(|(identity, _)| *identity < least)..).unwrap_or_default()
}

/// Both, by identity.
fn merged(known: Vec<(i64, u32)>, fresh: Vec<(i64, u32)>) -> Vec<(i64, u32)> {
    if fresh.is_empty() || known.is_empty() {
        return if fresh.is_empty() { known } else { fresh };
    }
    let mut all = known;
    all.extend(fresh);
    // Two runs that are sorted each: the stable sort finds and merges them.
    all.sort();
    all
}

/// A prime and a seed that nobody knows.
fn secret() -> Result<(Prime, u64), StoreError> {
    let key = SealKey::random()?;
    let word = |at: usize| key.as_bytes().get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes);
    Ok((Prime::from_random(word(0)), word(8)))
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use protocol::contributors::{Contributors, Membership};
    use protocol::table::TOP_UNITS;

    use proptest::prelude::*;

    use super::super::shown::{Cells, Column, Sum as Told};
    use super::*;

    /// One of fifteen has nearly all that the fifteen have.
    fn kept(unit: u32) -> u64 {
        [100_000, 10, 20_000][usize::from(unit > 0) + usize::from(unit > 14)]
    }

    /// A column, and the value of each unit in it.
    type Valued = (&'static str, fn(u32) -> u64);

    /// A table of one cell, with a row of each of `units`, and the sums of these columns over it.
    fn table(units: Range<u32>, columns: &[Valued]) -> Shown {
        let row = |unit: u32| BaseRow { identity: unit.into(), unit: unit.into() };
        let members = (0..units.len() as u32).map(|row| Membership { row, cell: 0, times: 1 });
        let rows = Contributors { rows: units.clone().map(row).collect(), tables: vec![members.collect()], parts: Vec::new() };
        let column = |(origin, value): &Valued| {
            let mut top: Vec<(i64, u64)> = units.clone().map(|unit| (unit.into(), value(unit))).collect();
            top.sort_by_key(|(_, value)| std::cmp::Reverse(*value));
            top.truncate(TOP_UNITS);
            let total = units.clone().map(|unit| i128::from(value(unit))).sum();
            Column { origin: (*origin).to_owned(), sums: vec![Told { cell: 0, total, top, whole: false }] }
        };
        Shown { rows, cells: Cells { labels: vec![0], sums: columns.iter().map(column).collect() } }
    }

    /// What is said of all forty, and then of all but the fifteen.
    fn told(whole: &[Valued], part: &[Valued]) -> [Option<Cause>; 2] {
        let rules = ReleasePolicy::parse(include_str!("../../../policies/release/standard.toml")).unwrap();
        let mut universe = Universe::new(&rules);
        [table(0..40, whole), table(15..40, part)].map(|table| universe.judge(Some(&table), true, 0).unwrap().0)
    }

    #[test]
    fn a_column_cut_off_hides_no_other_sum_of_it() {
        let (cut, whole): (Valued, Valued) = (("d.kept\0Clamp 1", |_| 1), ("d.kept", kept));
        assert_eq!(told(&[cut], &[cut]), [None, None]);
        assert_eq!(told(&[whole], &[whole]), [None, Some(Cause::Dominance)]);
        assert_eq!(told(&[cut, whole], &[cut, whole]), [None, Some(Cause::Dominance)]);
        // By bounds that cut nothing off the same is asked under another name.
        assert_eq!(told(&[("d.kept\0Clamp 900000", kept)], &[whole]), [None, Some(Cause::Dominance)]);
        assert_eq!(told(&[("d.other", kept)], &[whole]), [None, None]);
    }

    proptest! {
        #[test]
        fn a_row_has_one_number_whatever_tables_it_comes_in(tables in prop::collection::vec(prop::collection::btree_set(-40i64..40, 0..50), 0..9)) {
            let rules = ReleasePolicy::parse(include_str!("../../../policies/release/standard.toml")).unwrap();
            let (mut universe, mut known) = (Universe::new(&rules), HashMap::new());
            for identities in tables {
                let rows: Vec<BaseRow> = identities.iter().map(|identity| BaseRow { identity: *identity, unit: identity / 3 }).collect();
                for (row, number) in rows.iter().zip(universe.number(&rows)) {
                    prop_assert_eq!(*known.entry(row.identity).or_insert(number), number);
                    prop_assert_eq!(universe.unit_of[number as usize], universe.units[&row.unit]);
                }
                prop_assert_eq!(universe.rows.len(), known.len());
                prop_assert_eq!(universe.unit_of.len(), known.len());
                prop_assert!(universe.rows.is_sorted());
            }
        }
    }
}
