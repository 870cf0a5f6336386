//! Versions of an operator's own data: what an operator uploads decides who is in a view, so two uploads that differ by one person would
//! ask about that person.
//!
//! Of each version that a job used, the units behind the job's view are kept, sealed: those only that have rows in data the operator
//! does not own, so that invented units neither fill a version nor tell two apart. Under one plan, a version whose view has fewer units
//! than the policy's `own_units_min`, or differs from that of an earlier version by at least one unit and fewer than that, waits for a
//! checker. Views of different plans are told apart by the audit of rows. Values that an operator writes beside its units do not tell two
//! versions apart here: figures over them count in the audit as tables by them, so that a value changed for one unit is a difference of one.

use protocol::seal::{self, SealKey};
use rusqlite::{Connection, params};

use super::decide::JobFacts;
use crate::id::Name;
use crate::store::{Migration, StoreError, Tx};

/// Units of the versions that were used.
pub const MIGRATION: Migration = Migration {
    name: "gate-own-1",
    sql: "CREATE TABLE own_version (
              org TEXT NOT NULL, namespace TEXT NOT NULL, plan TEXT NOT NULL, versions TEXT NOT NULL, units BLOB NOT NULL,
              PRIMARY KEY (org, namespace, plan, versions)) STRICT, WITHOUT ROWID;",
};

/// What is wrong with a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    /// Too few units.
    Few,
    /// Too near to an earlier version.
    Near,
}

/// The units of the versions that a job used, sealed.
pub(super) struct Used {
    versions: String,
    sealed: Vec<u8>,
}

/// The operator's own inputs with their versions; `None` where it has none.
fn versions(facts: &JobFacts) -> Option<String> {
    let own: Vec<String> = facts.sources.iter().filter(|s| s.owner == facts.org).map(|s| format!("{}@{}", s.dataset, s.version)).collect();
    if own.is_empty() { None } else { Some(own.join(",")) }
}

fn context(facts: &JobFacts, namespace: &Name, versions: &str) -> String {
    format!("own-versions/{}/{namespace}/{}/{versions}", facts.org, facts.plan_digest)
}

/// Judges the versions that a job used by the units behind its view, sorted and each once.
///
/// # Errors
/// What the store says.
pub(super) fn judge(
    connection: &Connection,
    key: &SealKey,
    facts: &JobFacts,
    namespace: &Name,
    units: &[i64],
    least: u32,
) -> Result<Option<(Used, Option<Wrong>)>, StoreError> {
    let Some(versions) = versions(facts) else { return Ok(None) };
    let bytes: Vec<u8> = units.iter().flat_map(|u| u.to_le_bytes()).collect();
    let sealed = seal::seal(key, context(facts, namespace, &versions).as_bytes(), &bytes)?;
    let least = least as usize;
    let mut wrong = (units.len() < least).then_some(Wrong::Few);
    let sql = "SELECT versions, units FROM own_version WHERE org = ?1 AND namespace = ?2 AND plan = ?3 AND versions <> ?4";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![facts.org, namespace, facts.plan_digest, versions])?;
    while let Some(row) = rows.next()? {
        let (earlier, sealed): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
        let opened = seal::open_all(key, context(facts, namespace, &earlier).as_bytes(), &sealed, 1)?;
        let before: Vec<i64> = opened.chunks_exact(8).filter_map(|b| b.try_into().ok().map(i64::from_le_bytes)).collect();
        if (1..least).contains(&difference(units, &before)) {
            wrong = Some(Wrong::Near);
        }
    }
    Ok(Some((Used { versions, sealed }, wrong)))
}

/// Elements that stand in one of two sorted sets only.
fn difference(a: &[i64], b: &[i64]) -> usize {
    let only = |x: &[i64], y: &[i64]| x.iter().filter(|u| y.binary_search(u).is_err()).count();
    only(a, b) + only(b, a)
}

impl Used {
    /// Keeps the units, in the transaction that decides the job.
    ///
    /// # Errors
    /// What the store says.
    pub(super) fn record(&self, tx: &Tx<'_>, facts: &JobFacts, namespace: &Name) -> Result<(), StoreError> {
        let sql = "INSERT OR REPLACE INTO own_version (org, namespace, plan, versions, units) VALUES (?1, ?2, ?3, ?4, ?5)";
        tx.prepare_cached(sql)?.execute(params![facts.org, namespace, facts.plan_digest, self.versions, self.sealed])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_count_both_ways() {
        assert_eq!(difference(&[1, 2, 3], &[2, 3, 4]), 2);
        assert_eq!(difference(&[1, 2], &[1, 2]), 0);
        assert_eq!(difference(&[], &[5]), 1);
    }
}
