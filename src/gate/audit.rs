//! The audit's place at the gate: what each released table's cells consist of is kept, sealed beside its artefact, and every new table is
//! judged against all that was released on its namespace over the same base rows, by whatever operator.
//!
//! A table that a checker releases later counts from then on: what is read is the state of the releases themselves. A table that fails
//! waits for a checker, under the one text of everything that waits; the cause stands in the evidence and in a leaf that neither the
//! operator nor a provider reads. How many tables of an operator on a namespace ended for a reason that depends on data is counted, for
//! each is a bit; beyond the policy's number every further one waits.

use std::collections::{BTreeMap, HashMap};

use protocol::contributors::{BaseRow, Contributors, Membership};
use protocol::seal::SealKey;
use protocol::table::{MeasureOp, TableOutput};
use rusqlite::{Connection, params};
use serde::Serialize;

use super::checks::Check;
use super::decide::{Decision, JobFacts, Outcome, canonical};
use super::own;
use super::record::ReleaseState;
use super::recovery;
use crate::clock::Timestamp;
use crate::id::{Name, OrgId, ReleaseId};
use crate::policy::ActivePolicy;
use crate::sdc::audit::{Cell, Found, Prime, Verdict, audit};
use crate::sdc::{self, Fate, NotReleased};
use crate::store::artefacts::Artefacts;
use crate::store::{Migration, StoreError, Tx};
use crate::tlog::{Journal, LeafKind};

/// Tables of the audit. What cells consist of lies sealed with each release.
pub const MIGRATION: Migration = Migration {
    name: "gate-audit-1",
    sql: "CREATE TABLE audit_table (
              release TEXT PRIMARY KEY, namespace TEXT NOT NULL, base TEXT NOT NULL, equations INTEGER NOT NULL) STRICT, WITHOUT ROWID;
          CREATE INDEX audit_table_namespace ON audit_table (namespace, base);
          CREATE TABLE audit_hold (
              id INTEGER PRIMARY KEY, namespace TEXT NOT NULL, org TEXT NOT NULL, release TEXT NOT NULL, cause TEXT NOT NULL, at INTEGER NOT NULL) STRICT;
          CREATE INDEX audit_hold_org ON audit_hold (org, namespace, at);",
};

/// Memberships of released cells that are read for one audit; beyond, the table is held.
const MEMBERSHIPS_MAX: usize = 40_000_000;

/// Why a table ended as it did, for a reason that depends on data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Cause {
    /// Two cells, or a cell alone, differ by too few units.
    Difference,
    /// A combination of cells tells of too few units.
    Combination,
    /// More cells and rows than can be judged.
    Bound,
    /// Too many ends of this kind before.
    Holds,
    /// A hidden cell could not be protected.
    Attacker,
    /// A rule refused the whole table for what its data is.
    Refused,
    /// Too few units behind a version of the operator's own data.
    OwnUnits,
    /// A version of the operator's own data that is too near to an earlier one.
    OwnVersion,
}

/// What the audit knows of one table.
#[derive(Default)]
struct Table {
    /// Base rows of the shown cells.
    sets: Option<Contributors>,
    /// Whether a figure of a cell is an equation.
    equations: bool,
    cause: Option<Cause>,
}

/// The audit of one job's tables, which come first among its outputs.
#[derive(Default)]
pub(super) struct Audit {
    on: Option<(Name, String)>,
    contributors: Option<Contributors>,
    tables: Vec<Table>,
    /// Tables that were released when this one was judged; `None`: not judged.
    seen: Option<u64>,
    /// Versions of the operator's own data, and their units.
    own: Option<own::Used>,
}

impl Audit {
    pub(super) fn of(contributors: Option<(Name, String, Option<Contributors>)>) -> Self {
        let (on, contributors) = contributors.map_or((None, None), |(namespace, base, sets)| (Some((namespace, base)), sets));
        Self { on, contributors, ..Self::default() }
    }

    /// Notes what the cell rules said of the next table.
    pub(super) fn note(&mut self, table: &TableOutput, verdict: &Result<sdc::Verdict, NotReleased>) {
        let linear = |op: MeasureOp| !matches!(op, MeasureOp::Quantile { .. } | MeasureOp::Min | MeasureOp::Max);
        let mut noted = Table { equations: table.header.request.measures.iter().any(|m| linear(m.op)), ..Table::default() };
        match verdict {
            Ok(verdict) => {
                noted.cause = verdict.held.as_ref().map(|_| Cause::Attacker);
                let fates: Vec<Fate> = verdict.evidence.cells.iter().map(|c| c.fate).collect();
                let told = self.contributors.as_ref().and_then(|c| Some((&c.rows, c.tables.get(self.tables.len())?)));
                noted.sets = told.map(|(rows, members)| shown(table, &fates, rows, members));
            }
            Err(NotReleased::RefusedByData { .. }) => noted.cause = Some(Cause::Refused),
            Err(_) => {}
        }
        self.tables.push(noted);
    }

    /// What an output's cells consist of, to be sealed.
    pub(super) fn sets(&self, at: usize) -> Result<Option<Vec<u8>>, StoreError> {
        let sets = self.tables.get(at).and_then(|t| t.sets.as_ref());
        sets.map(|s| s.encode().map_err(|_| StoreError::Malformed("contributors"))).transpose()
    }

    /// Whether another table was released since these were judged, or they never were: then none of them is released.
    pub(super) fn is_stale(&self, tx: &Tx<'_>) -> Result<bool, StoreError> {
        let Some((namespace, base)) = &self.on else { return Ok(!self.tables.is_empty()) };
        Ok(self.seen != Some(released(tx, namespace, base)?.len() as u64))
    }

    /// Whether tables that left are not known, so that none can be judged beside them: then none of these is released.
    pub(super) fn lost(&self, tx: &Tx<'_>) -> Result<bool, StoreError> {
        self.on.as_ref().map_or(Ok(false), |(namespace, _)| recovery::tables_wait(tx, namespace))
    }

    /// Judges versions of the operator's own data by all units that count in the view.
    fn judge_own(
        &mut self,
        connection: &Connection,
        key: &SealKey,
        facts: &JobFacts,
        namespace: &Name,
        least: u32,
    ) -> Result<Option<Cause>, StoreError> {
        let Some(contributors) = &self.contributors else { return Ok(None) };
        let mut units: Vec<i64> = contributors.rows.iter().map(|row| row.unit).collect();
        units.sort_unstable();
        units.dedup();
        let Some((used, wrong)) = own::judge(connection, key, facts, namespace, &units, least)? else { return Ok(None) };
        self.own = Some(used);
        Ok(wrong.map(|wrong| match wrong {
            own::Wrong::Few => Cause::OwnUnits,
            own::Wrong::Near => Cause::OwnVersion,
        }))
    }

    /// Notes an output in the transaction that decides it.
    pub(super) fn record(
        &self,
        tx: &Tx<'_>,
        journal: &Journal,
        at: usize,
        (release, state): (&ReleaseId, ReleaseState),
        facts: &JobFacts,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (Some(table), Some((namespace, base))) = (self.tables.get(at), &self.on) else { return Ok(()) };
        if let Some(used) = self.own.as_ref().filter(|_| at == 0) {
            used.record(tx, facts, namespace)?;
        }
        if table.sets.is_some() && state != ReleaseState::Refused {
            let sql = "INSERT INTO audit_table (release, namespace, base, equations) VALUES (?1, ?2, ?3, ?4)";
            tx.prepare_cached(sql)?.execute(params![release, namespace, base, table.equations])?;
        }
        if let Some(cause) = table.cause {
            let word = serde_json::to_value(cause).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default();
            let sql = "INSERT INTO audit_hold (namespace, org, release, cause, at) VALUES (?1, ?2, ?3, ?4, ?5)";
            tx.prepare_cached(sql)?.execute(params![namespace, facts.org, release, word, now])?;
            let body = serde_json::json!({ "release": release, "org": facts.org, "namespace": namespace, "cause": word });
            let _ = journal.append(tx, LeafKind::Audit, &body, &[])?;
        }
        Ok(())
    }
}

/// Base rows of the shown cells of a table, cells numbered anew; a total holds the rows of every cell that it totals.
fn shown(table: &TableOutput, fates: &[Fate], rows: &[BaseRow], members: &[Membership]) -> Contributors {
    let mut numbers: HashMap<(u32, Vec<Option<i64>>), u32> = HashMap::new();
    for (cell, _) in table.cells.iter().zip(fates).filter(|(_, fate)| **fate == Fate::Shown) {
        let next = numbers.len() as u32;
        numbers.insert((cell.totals, cell.keys.clone()), next);
    }
    let totals = table.header.request.margins.totals(table.header.request.keys.len());
    let within = |cell: &protocol::table::Cell| -> Vec<u32> {
        let totalled = |set: u32| cell.keys.iter().enumerate().map(|(i, k)| if set >> i & 1 == 1 { None } else { *k }).collect();
        totals.iter().filter_map(|set| numbers.get(&(*set, totalled(*set))).copied()).collect()
    };
    let within: Vec<Vec<u32>> = table.cells.iter().take_while(|c| c.totals == 0).map(within).collect();
    let mut times: BTreeMap<(u32, u32), u32> = BTreeMap::new();
    for member in members {
        for number in within.get(member.cell as usize).into_iter().flatten() {
            let slot = times.entry((member.row, *number)).or_insert(0);
            *slot = slot.saturating_add(member.times);
        }
    }
    let (mut kept, mut told, mut last): (Vec<BaseRow>, Vec<Membership>, Option<u32>) = (Vec::new(), Vec::new(), None);
    for ((row, cell), times) in times {
        if last != Some(row) {
            last = Some(row);
            kept.extend(rows.get(row as usize));
        }
        told.push(Membership { row: kept.len().saturating_sub(1) as u32, cell, times });
    }
    Contributors { rows: kept, tables: vec![told] }
}

/// Released tables on a namespace over the rows of a dataset, and whether they hold equations.
fn released(connection: &Connection, namespace: &Name, base: &str) -> Result<Vec<(ReleaseId, bool)>, StoreError> {
    let sql = "SELECT a.release, a.equations FROM audit_table a JOIN release r ON r.id = a.release
               WHERE a.namespace = ?1 AND a.base = ?2 AND r.state = 'released' ORDER BY r.rowid";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![namespace, base], |r| Ok((r.get(0)?, r.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Ends of an operator's tables on a namespace that depended on data, since `since`.
fn holds(connection: &Connection, org: &OrgId, namespace: &Name, since: Timestamp) -> Result<u32, StoreError> {
    let sql = "SELECT count(*) FROM audit_hold WHERE org = ?1 AND namespace = ?2 AND at >= ?3";
    Ok(connection.prepare_cached(sql)?.query_row(params![org, namespace, since], |r| r.get(0))?)
}

/// Everything shown on a namespace, over one numbering of rows and units.
#[derive(Default)]
struct Universe {
    rows: HashMap<i64, u32>,
    units: HashMap<i64, u32>,
    unit_of: Vec<u32>,
    cells: Vec<Cell>,
    /// The release of each cell; `None` for this job's.
    releases: Vec<Option<ReleaseId>>,
    memberships: usize,
}

impl Universe {
    fn add(&mut self, sets: &Contributors, equation: bool, release: Option<&ReleaseId>) {
        let numbered: Vec<u32> = sets.rows.iter().map(|row| self.row(row)).collect();
        let mut cells: Vec<Vec<(u32, u32)>> = Vec::new();
        for member in sets.tables.first().into_iter().flatten() {
            let cell = member.cell as usize;
            if cells.len() <= cell {
                cells.resize(cell + 1, Vec::new());
            }
            if let (Some(cell), Some(row)) = (cells.get_mut(cell), numbered.get(member.row as usize)) {
                cell.push((*row, member.times));
                self.memberships += 1;
            }
        }
        self.releases.extend(cells.iter().map(|_| release.cloned()));
        self.cells.extend(cells.into_iter().map(|rows| Cell { rows, equation }));
    }

    fn row(&mut self, row: &BaseRow) -> u32 {
        let (units, next) = (&mut self.units, self.unit_of.len() as u32);
        let unit_of = &mut self.unit_of;
        *self.rows.entry(row.identity).or_insert_with(|| {
            let unit = units.len() as u32;
            unit_of.push(*units.entry(row.unit).or_insert(unit));
            next
        })
    }

    /// Takes back what was added after the first `cells` cells.
    fn truncate(&mut self, cells: usize) {
        self.cells.truncate(cells);
        self.releases.truncate(cells);
    }
}

impl Decision {
    /// Judges every table against all that was released before on its namespace, and against the job's tables before it. To be called
    /// before [`Decision::seal`], one job at a time: a table that was released meanwhile makes these wait.
    ///
    /// # Errors
    /// What the store says.
    pub fn audit(
        &mut self,
        connection: &Connection,
        artefacts: &Artefacts,
        policy: &ActivePolicy,
        own_key: &SealKey,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let Some((namespace, base)) = self.audit.on.clone() else { return Ok(()) };
        let rules = policy.rules();
        let earlier = released(connection, &namespace, &base)?;
        self.audit.seen = Some(earlier.len() as u64);
        if self.audit.tables.is_empty() {
            return Ok(());
        }
        let own_cause = self.audit.judge_own(connection, own_key, &self.facts, &namespace, rules.audit.own_units_min)?;
        let mut universe = Universe::default();
        for (release, equations) in &earlier {
            if universe.memberships > MEMBERSHIPS_MAX {
                break;
            }
            let bytes = artefacts.read(connection, release, &"contributors".parse()?)?.ok_or(StoreError::Malformed("contributors"))?;
            let sets = Contributors::parse(&bytes).map_err(|_| StoreError::Malformed("contributors"))?;
            universe.add(&sets, *equations, Some(release));
        }
        let since = now.plus_s(-86_400 * i64::from(rules.audit.holds_window_days));
        let mut held = holds(connection, &self.facts.org, &namespace, since)?;
        let k = rules.table.min_frequency;
        for (table, decided) in self.audit.tables.iter_mut().zip(&mut self.outputs) {
            if table.cause.is_none() && !matches!(decided.outcome, Outcome::Refuse(_)) {
                let (cause, told) = judge(&mut universe, table, k, earlier.len())?;
                table.cause = own_cause.or(cause).or((held >= rules.audit.holds_max).then_some(Cause::Holds));
                let mut evidence: serde_json::Value = serde_json::from_slice(&decided.evidence).unwrap_or_default();
                if let Some(fields) = evidence.as_object_mut() {
                    fields.insert("audit".to_owned(), told);
                }
                decided.evidence = canonical(&evidence)?;
                decided.checks.push(check(k));
            }
            if table.cause.is_some() && decided.outcome == Outcome::Release {
                decided.outcome = Outcome::Hold;
            }
            held = held.saturating_add(u32::from(table.cause.is_some()));
        }
        Ok(())
    }
}

/// The verdict on one table, and what checkers are told. What passes counts for the job's next table.
fn judge(universe: &mut Universe, table: &Table, k: u32, earlier: usize) -> Result<(Option<Cause>, serde_json::Value), StoreError> {
    let first_new = universe.cells.len();
    let verdict = match &table.sets {
        Some(sets) if universe.memberships <= MEMBERSHIPS_MAX => {
            universe.add(sets, table.equations, None);
            audit(&universe.unit_of, &universe.cells, first_new, k as usize, secret()?)
        }
        _ => Verdict::TooLarge,
    };
    let cause = match &verdict {
        Verdict::Clear => None,
        Verdict::Found(found) if found.cells.is_empty() => Some(Cause::Combination),
        Verdict::Found(_) => Some(Cause::Difference),
        Verdict::TooLarge => Some(Cause::Bound),
    };
    let told = match &verdict {
        Verdict::Found(Found { cells, units }) => {
            let against: Vec<&ReleaseId> = cells.iter().filter_map(|c| universe.releases.get(*c)?.as_ref()).collect();
            serde_json::json!({ "verdict": cause, "units": units, "against": against })
        }
        _ => serde_json::json!({ "verdict": cause }),
    };
    let told = serde_json::json!({
        "found": told, "earlier_tables": earlier, "earlier_cells": first_new, "rows": universe.unit_of.len(), "units": universe.units.len(),
    });
    if cause.is_some() {
        universe.truncate(first_new);
    }
    Ok((cause, told))
}

/// A prime and a seed that nobody knows.
fn secret() -> Result<(Prime, u64), StoreError> {
    let key = SealKey::random()?;
    let word = |at: usize| key.as_bytes().get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes);
    Ok((Prime::from_random(word(0)), word(8)))
}

/// The same for every table, whatever came of it.
fn check(k: u32) -> Check {
    Check {
        rule: "audit.differences".to_owned(),
        clauses: ["Q41", "C26", "X55"].map(str::to_owned).to_vec(),
        threshold: format!("{k} units"),
        outcome: "applied, with all that was released before".to_owned(),
        withheld: false,
    }
}
