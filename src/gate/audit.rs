//! The audit's place at the gate: what each released table's cells consist of is kept, sealed beside its artefact, and every new table is
//! judged against all that was released on its namespace, by whatever operator: row by row where both begin at the same dataset, by units
//! alone where not.
//!
//! A table that reviewers release later counts from then on: what is read is the state of the releases themselves. It is judged once more
//! in the transaction that releases it, against what was released meanwhile (`again`). A table that fails waits for a checker, under the
//! one text of everything that waits; the cause stands in the evidence and in a leaf that neither the operator nor a provider reads. How
//! many outputs of an operator on a namespace, tables and models, ended for a reason that depends on data is counted, for each is a bit;
//! beyond the policy's number every further one waits, whatever its data says (`cap`).

mod again;
mod cap;
mod shown;
mod universe;

pub(in crate::gate) use again::{count_hold, meanwhile};
pub(in crate::gate) use cap::never_leaves;

use protocol::contributors::Contributors;
use protocol::seal::SealKey;
use protocol::table::{MeasureOp, TableOutput};
use rusqlite::{Connection, params};
use serde::Serialize;

use self::shown::Shown;
use self::universe::Universe;
use super::checks::Check;
use super::conditions::Conditions;
use super::decide::{Decision, JobFacts, Outcome, canonical};
use super::own;
use super::record::ReleaseState;
use super::recovery;
use crate::clock::Timestamp;
use crate::id::{Name, ReleaseId};
use crate::policy::{ActivePolicy, ReleasePolicy};
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

/// At which leaf of the log a table was judged: what was released before was looked at.
pub const MIGRATION_SEEN: Migration =
    Migration { name: "gate-audit-2", sql: "ALTER TABLE audit_table ADD COLUMN seen INTEGER NOT NULL DEFAULT 0;" };

/// Memberships of released cells that are read for one audit; beyond, the table is held.
const MEMBERSHIPS_MAX: usize = 20_000_000;

/// Why an output ended as it did, for a reason that depends on data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Cause {
    /// Two cells, or a cell alone, differ by too few units.
    Difference,
    /// Two cells of other conditions are of the same rows: nobody lies between them.
    Zero,
    /// A sum that follows is dominated.
    Dominance,
    /// A combination of cells tells of too few units.
    Combination,
    /// More cells and rows than can be judged.
    Bound,
    /// Too many ends of this kind before.
    Holds,
    /// A hidden cell could not be protected.
    Attacker,
    /// A rule refused the whole table, or the model, for what its data is.
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
    sets: Option<Shown>,
    /// Whether a figure of a cell is an equation.
    equations: bool,
    cause: Option<Cause>,
}

/// Which base rows lie in which cells of a job's tables: what [`super::RawOutput`] brings for the audit.
pub(super) struct Told {
    pub(super) namespace: Name,
    pub(super) base: String,
    pub(super) contributors: Option<Contributors>,
    pub(super) conditions: Conditions,
}

/// The audit of one job's tables, which come first among its outputs, and what the data refused of its models, which come last.
#[derive(Default)]
pub(super) struct Audit {
    on: Option<(Name, String)>,
    contributors: Option<Contributors>,
    conditions: Conditions,
    tables: Vec<Table>,
    models: Vec<Option<Cause>>,
    /// Leaf of the last table that was released on the namespace when these were judged, 0 for none; `None`: not judged.
    seen: Option<u64>,
    /// Versions of the operator's own data, and their units.
    own: Option<own::Used>,
}

impl Audit {
    pub(super) fn of(told: Option<Told>) -> Self {
        let Some(Told { namespace, base, contributors, conditions }) = told else { return Self::default() };
        Self { on: Some((namespace, base)), contributors, conditions, ..Self::default() }
    }

    /// Notes what the cell rules said of the next table.
    pub(super) fn note(&mut self, table: &TableOutput, verdict: &Result<sdc::Verdict, NotReleased>) {
        let linear = |op: MeasureOp| !matches!(op, MeasureOp::Quantile { .. } | MeasureOp::Min | MeasureOp::Max);
        let mut noted = Table { equations: table.header.request.measures.iter().any(|m| linear(m.op)), ..Table::default() };
        match verdict {
            Ok(verdict) => {
                noted.cause = verdict.held.as_ref().map(|_| Cause::Attacker);
                let fates: Vec<Fate> = verdict.evidence.cells.iter().map(|c| c.fate).collect();
                noted.sets =
                    self.contributors.as_ref().and_then(|told| Shown::of(table, &fates, told, self.tables.len(), &self.conditions));
            }
            Err(NotReleased::RefusedByData { .. }) => noted.cause = Some(Cause::Refused),
            Err(_) => {}
        }
        self.tables.push(noted);
    }

    /// Notes what the rules said of the next model. That it waits is no news: every model does.
    pub(super) fn note_model<T>(&mut self, verdict: &Result<T, NotReleased>) {
        self.models.push(matches!(verdict, Err(NotReleased::RefusedByData { .. })).then_some(Cause::Refused));
    }

    /// What an output's cells consist of, to be sealed.
    pub(super) fn sets(&self, at: usize) -> Result<Option<Vec<u8>>, StoreError> {
        let sets = self.tables.get(at).and_then(|t| t.sets.as_ref());
        sets.map(|s| s.rows.encode().map_err(|_| StoreError::Malformed("contributors"))).transpose()
    }

    /// What is kept of an output's cells beside that, to be sealed.
    pub(super) fn cells(&self, at: usize) -> Result<Option<Vec<u8>>, StoreError> {
        self.tables.get(at).and_then(|t| t.sets.as_ref()).map(|s| s.cells.encode()).transpose()
    }

    /// Whether another table was released since these were judged, or they never were: then none of them is released.
    pub(super) fn is_stale(&self, tx: &Tx<'_>) -> Result<bool, StoreError> {
        let Some((namespace, _)) = &self.on else { return Ok(!self.tables.is_empty()) };
        Ok(self.seen != Some(newest(tx, namespace)?))
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
        let Some((namespace, base)) = &self.on else { return Ok(()) };
        if let Some(used) = self.own.as_ref().filter(|_| at == 0) {
            used.record(tx, facts, namespace)?;
        }
        if let Some(table) = self.tables.get(at).filter(|table| table.sets.is_some())
            && state != ReleaseState::Refused
        {
            let sql = "INSERT INTO audit_table (release, namespace, base, equations, seen) VALUES (?1, ?2, ?3, ?4, ?5)";
            tx.prepare_cached(sql)?.execute(params![release, namespace, base, table.equations, self.seen.unwrap_or(0)])?;
        }
        if let Some(cause) = self.cause(at) {
            let word = serde_json::to_value(cause).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default();
            let sql = "INSERT INTO audit_hold (namespace, org, release, cause, at) VALUES (?1, ?2, ?3, ?4, ?5)";
            tx.prepare_cached(sql)?.execute(params![namespace, facts.org, release, word, now])?;
            let body = serde_json::json!({ "release": release, "org": facts.org, "namespace": namespace, "cause": word });
            let _ = journal.append(tx, LeafKind::Audit, &body, &[])?;
        }
        Ok(())
    }
}

/// A released table.
struct Earlier {
    release: ReleaseId,
    base: String,
    equations: bool,
    leaf: u64,
}

/// Released tables on a namespace, in the order in which they reached the gate.
fn released(connection: &Connection, namespace: &Name) -> Result<Vec<Earlier>, StoreError> {
    let sql = "SELECT a.release, a.base, a.equations, coalesce(r.release_leaf, 0) FROM audit_table a JOIN release r ON r.id = a.release
               WHERE a.namespace = ?1 AND r.state = 'released' ORDER BY r.rowid";
    let mut statement = connection.prepare_cached(sql)?;
    let row = |r: &rusqlite::Row<'_>| Ok(Earlier { release: r.get(0)?, base: r.get(1)?, equations: r.get(2)?, leaf: r.get(3)? });
    let rows = statement.query_map([namespace], row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Leaf of the last one that was released, 0 where none was.
fn newest(connection: &Connection, namespace: &Name) -> Result<u64, StoreError> {
    let sql = "SELECT coalesce(max(r.release_leaf), 0) FROM audit_table a JOIN release r ON r.id = a.release
               WHERE a.namespace = ?1 AND r.state = 'released'";
    Ok(connection.prepare_cached(sql)?.query_row([namespace], |r| r.get(0))?)
}

/// Everything that was released, beside tables over the rows of `base`.
fn universe<'a>(
    connection: &Connection,
    artefacts: &Artefacts,
    base: &str,
    rules: &'a ReleasePolicy,
    earlier: &[&Earlier],
) -> Result<Universe<'a>, StoreError> {
    let mut universe = Universe::new(rules);
    for table in earlier {
        if universe.memberships > MEMBERSHIPS_MAX {
            break;
        }
        let shown = Shown::read(connection, artefacts, &table.release)?.ok_or(StoreError::Malformed("contributors"))?;
        if table.base == base {
            universe.add(&shown, table.equations, Some(&table.release));
        } else {
            universe.add_other(&shown, &table.release);
        }
    }
    Ok(universe)
}

impl Decision {
    /// Judges every table against all that was released before on its namespace, and against the job's tables before it; then counts what
    /// depended on data, and makes wait what is one too many. To be called before [`Decision::seal`], one job at a time: a table that was
    /// released meanwhile makes these wait.
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
        self.audit.seen = Some(newest(connection, &namespace)?);
        if !self.audit.tables.is_empty() {
            self.judge_tables(connection, artefacts, rules, own_key, (&namespace, &base))?;
        }
        self.cap(connection, &namespace, &rules.audit, now)
    }

    fn judge_tables(
        &mut self,
        connection: &Connection,
        artefacts: &Artefacts,
        rules: &ReleasePolicy,
        own_key: &SealKey,
        (namespace, base): (&Name, &str),
    ) -> Result<(), StoreError> {
        let earlier = released(connection, namespace)?;
        let own_cause = self.audit.judge_own(connection, own_key, &self.facts, namespace, rules.audit.own_units_min)?;
        let mut universe = universe(connection, artefacts, base, rules, &earlier.iter().collect::<Vec<_>>())?;
        let k = rules.table.min_frequency;
        for (table, decided) in self.audit.tables.iter_mut().zip(&mut self.outputs) {
            // One that waits for another reason too: its reviewers decide on what it tells beside the others.
            if !matches!(decided.outcome, Outcome::Refuse(_)) {
                let (cause, told) = universe.judge(table.sets.as_ref(), table.equations, earlier.len())?;
                table.cause = table.cause.or(own_cause).or(cause);
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
        }
        Ok(())
    }
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
