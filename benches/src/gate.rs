//! The gate in this process: a store with its log and the standard policy, and tables to decide. No server, no worker.

use crate::place::Scratch;
use anyhow::{Context, Result, anyhow, ensure};
use fusebox::clock::{Clock, SystemClock};
use fusebox::gate::{Decision, JobFacts, Prepared, RawOutput, ReleaseState};
use fusebox::id::{JobId, ReleaseId};
use fusebox::policy::{ActivePolicy, ReleasePolicy, release};
use fusebox::sdc::RoundingKey;
use fusebox::store::{KeyUse, MasterKey, Roots, Store, StoreError};
use fusebox::tlog::{Journal, LogDir, RememberedFile, Signer, journal};
use protocol::contributors::Contributors;
use protocol::seal::SealKey;
use protocol::table::{
    Cell, KeyDomain, Margins, MeasureColumn, MeasureEvidence, MeasureOp, MeasureRequest, TableHeader, TableOutput, TableRequest,
};
use serde_json::json;
use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;

const POLICY: &str = include_str!("../../policies/release/standard.toml");

/// A store, a log, a policy, keys.
pub struct Gate {
    /// The store.
    pub store: Store,
    /// The policy in force.
    pub policy: ActivePolicy,
    /// The log.
    pub journal: Journal,
    rounding: RoundingKey,
    job_key: SealKey,
    own_key: SealKey,
    scratch: Scratch,
}

impl Gate {
    /// A fresh one.
    pub fn open(name: &str) -> Result<Self> {
        let scratch = Scratch::new(name)?;
        let said = |error: StoreError| anyhow!("the store: {}", error.log_text());
        let roots = Roots::open(&scratch.0, cap_std::ambient_authority()).map_err(said)?;
        let store = Store::open(&roots, Arc::new(MasterKey::random().map_err(said)?), &fusebox::api::migrations(), 4).map_err(said)?;
        let signer = Signer::from_seed("bench.example/log", &[7; 32])?;
        let (remembered, _) = RememberedFile::open(roots.remembered(), signer.verifier()).map_err(said)?;
        journal::attach(&store.db, signer, LogDir::new(roots.log().try_clone()?), remembered).map_err(said)?;
        let quantum = NonZeroU64::new(60).context("zero")?;
        let journal = Journal::new(store.keyring.derive(KeyUse::LeafBody), quantum, Arc::new(SystemClock));
        let rules = serde_json::to_string(&ReleasePolicy::parse(POLICY)?)?;
        let set = move |tx: &fusebox::store::Tx<'_>| -> Result<(), StoreError> {
            tx.execute("INSERT INTO release_policy VALUES ('', ?1, 'bench', 0)", (rules,))?;
            Ok(())
        };
        store.db.write_blocking(set).map_err(said)?;
        let policy = store.db.read_blocking(|c| release::active(c, &BTreeSet::new()))?;
        let (rounding, job_key) = (RoundingKey::new(b"bench"), SealKey::random()?);
        let own_key = store.keyring.derive(KeyUse::NamespaceKey).derive("own-versions");
        Ok(Self { store, policy, journal, rounding, job_key, own_key, scratch })
    }

    /// A folder on the store's file system.
    pub fn folder(&self) -> &Path {
        &self.scratch.0
    }

    /// What a job with one table returned, of units of the kind `namespace`.
    pub fn raw(table: TableOutput, namespace: &str, contributors: Contributors) -> Result<RawOutput> {
        let units = table.cells.iter().filter(|c| c.totals == 0).map(|c| c.units).sum();
        let raw = RawOutput::seal(vec![table], Vec::new(), Vec::new(), BTreeSet::new(), units);
        Ok(raw.with_contributors(namespace.parse()?, "readings".to_owned(), Some(contributors)))
    }

    /// Decided by the cell rules, not audited.
    pub fn decide(&self, raw: RawOutput) -> Result<Decision> {
        Ok(Decision::decide(raw, facts()?, &self.policy, &self.job_key, &self.rounding)?)
    }

    /// Judged beside all that was released before.
    pub fn audit(&self, decision: &mut Decision) -> Result<()> {
        let audit = |c: &_| decision.audit(c, &self.store.artefacts, &self.policy, &self.own_key, SystemClock.now());
        self.store.db.read_blocking(audit).map_err(|e: StoreError| anyhow!("the audit: {}", e.log_text()))
    }

    /// Sealed, before its transaction.
    pub fn seal(&self, decision: Decision) -> Result<Prepared> {
        Ok(decision.seal(&self.store.artefacts, &self.job_key)?)
    }

    /// Recorded, durable.
    pub fn record(&self, prepared: Prepared) -> Result<(ReleaseId, ReleaseState)> {
        let journal = self.journal.clone();
        let told = self.store.db.write_blocking(move |tx| prepared.record(tx, &journal, SystemClock.now()));
        told.map_err(|e: StoreError| anyhow!("the commit: {}", e.log_text()))?.pop().context("nothing was recorded")
    }

    /// The whole way of one release.
    pub fn release(&self, raw: RawOutput) -> Result<ReleaseId> {
        let mut decision = self.decide(raw)?;
        self.audit(&mut decision)?;
        let (id, state) = self.record(self.seal(decision)?)?;
        ensure!(state == ReleaseState::Released, "the table was {state:?}");
        Ok(id)
    }

    /// Puts a table among those that were released, as if a checker had let it pass, without an audit of its own: many of them are needed.
    pub fn put(&self, raw: RawOutput) -> Result<()> {
        let decision = self.decide(raw)?;
        let (id, _) = self.record(self.seal(decision)?)?;
        let let_pass = move |tx: &fusebox::store::Tx<'_>| -> Result<usize, StoreError> {
            Ok(tx.execute("UPDATE release SET state = 'released' WHERE id = ?1", (id,))?)
        };
        let put = self.store.db.write_blocking(let_pass).map_err(|e| anyhow!("the commit: {}", e.log_text()))?;
        ensure!(put == 1, "the table is not there");
        Ok(())
    }
}

fn facts() -> Result<JobFacts> {
    Ok(serde_json::from_value(json!({
        "job": JobId::random()?, "org": "opco", "principal": "operator", "author_org": "opco", "agreement": "bench", "plan": "bench",
        "plan_digest": "0".repeat(64), "module": null, "engine_digest": "0".repeat(64), "purpose": "measuring", "recipient": "opco",
        "sources": [{ "dataset": "readings", "owner": "bureau", "version": 1, "consent_version": null, "columns": ["meter", "value"] }],
        "today": "2026-01-01",
    }))?)
}

/// Largest value of a measure.
pub const VALUE_MAX: i64 = 1000;

/// A table over two declared keys of so many labels; `values` has the measure of each row, by cell, and each row is a unit of its own.
pub fn table([a, b]: [usize; 2], margins: Margins, ops: &[MeasureOp], values: &[Vec<i64>]) -> TableOutput {
    let mut cells = Vec::new();
    for totals in margins.totals(2) {
        let labels = |key: usize, of: usize| -> Vec<Option<i64>> {
            if totals >> key & 1 == 1 { vec![None] } else { (0..of as i64).map(Some).collect() }
        };
        for i in labels(0, a) {
            for j in labels(1, b) {
                let inside = |key: Option<i64>, at: usize| key.is_none_or(|k| k as usize == at);
                let places = (0..a * b).filter(|at| inside(i, at / b) && inside(j, at % b));
                let rows: Vec<(u64, i64)> =
                    places.flat_map(|at| values[at].iter().enumerate().map(move |(n, v)| ((at << 24 | n) as u64, *v))).collect();
                let contributors = rows.iter().fold(0u128, |sum, (row, _)| sum.wrapping_add(u128::from(*row + 1) << 40));
                let n = rows.len() as u64;
                let measures = ops.iter().map(|op| op.needs_column().then(|| evidence(&rows))).collect();
                cells.push(Cell { totals, keys: vec![i, j], rows: n, units: n, units_counting: n, contributors, measures });
            }
        }
    }
    let measure = |(i, op): (usize, &MeasureOp)| MeasureRequest {
        name: format!("m{i}"),
        op: *op,
        column: op.needs_column().then(|| "value".to_owned()),
    };
    let labels = |of: usize| KeyDomain::Declared((0..of).map(|l| format!("l{l:03}")).collect());
    let column = |op: &MeasureOp| op.needs_column().then_some(MeasureColumn { scale: 0, min: 0, max: VALUE_MAX });
    TableOutput {
        header: TableHeader {
            request: TableRequest {
                name: "bench".to_owned(),
                keys: vec!["first".to_owned(), "second".to_owned()],
                measures: ops.iter().enumerate().map(measure).collect(),
                margins,
            },
            domains: vec![labels(a), labels(b)],
            columns: ops.iter().map(column).collect(),
            cells: cells.len() as u64,
        },
        cells,
    }
}

fn evidence(rows: &[(u64, i64)]) -> MeasureEvidence {
    let (mut largest, mut second) = (0, 0);
    for (_, value) in rows {
        (largest, second) = if *value > largest { (*value, largest) } else { (largest, second.max(*value)) };
    }
    let sum: i128 = rows.iter().map(|(_, v)| i128::from(*v)).sum();
    let units = rows.len() as u64;
    let (largest, second) = (largest.into(), second.into());
    MeasureEvidence { n: units, units, sum, sum_of_squares: 0, order: None, largest, second, total: sum }
}
