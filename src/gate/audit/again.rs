//! A held table is judged once more when reviewers let it leave: they decided on what was known then, and others have been released since.

use rusqlite::{Connection, OptionalExtension, params};

use super::super::decide::DecideError;
use super::shown::Shown;
use super::{Earlier, released, universe};
use crate::clock::Timestamp;
use crate::id::{Name, OrgId, ReleaseId};
use crate::policy::ActivePolicy;
use crate::store::artefacts::Artefacts;
use crate::store::{StoreError, Tx};

/// Whether a held table tells of too few units together with what was released after it was judged. What it told before is for its
/// reviewers, who had that in the evidence: where it stood out then, it is judged beside the later tables alone, and what takes an
/// earlier one too is not seen. `policy` is asked for where there is something to judge.
///
/// # Errors
/// What `policy` and the store say.
pub(in crate::gate) fn meanwhile(
    connection: &Connection,
    artefacts: &Artefacts,
    release: &ReleaseId,
    policy: impl FnOnce() -> Result<ActivePolicy, DecideError>,
) -> Result<bool, DecideError> {
    let sql = "SELECT namespace, base, equations, seen FROM audit_table WHERE release = ?1";
    let row = |r: &rusqlite::Row<'_>| Ok((r.get::<_, Name>(0)?, r.get::<_, String>(1)?, r.get::<_, bool>(2)?, r.get::<_, u64>(3)?));
    // Of what was never told cell by cell there is nothing to judge: it was held for that, and its reviewers know.
    let found = connection.prepare_cached(sql).and_then(|mut statement| statement.query_row([release], row).optional());
    let Some((namespace, base, equations, seen)) = found.map_err(StoreError::from)? else { return Ok(false) };
    let all = released(connection, &namespace)?;
    let (since, before): (Vec<&Earlier>, Vec<&Earlier>) = all.iter().partition(|earlier| earlier.leaf > seen);
    if since.is_empty() {
        return Ok(false);
    }
    let sets = Shown::read(connection, artefacts, release)?.ok_or(StoreError::Malformed("contributors"))?;
    let policy = policy()?;
    let told = |earlier: &[&Earlier]| -> Result<bool, StoreError> {
        let mut universe = universe(connection, artefacts, &base, policy.rules(), earlier)?;
        Ok(universe.judge(Some(&sets), equations, earlier.len())?.0.is_some())
    };
    Ok(if told(&before)? { told(&since)? } else { told(&all.iter().collect::<Vec<_>>())? })
}

/// Counts a table that may not leave beside later ones among the ends that depended on data.
///
/// # Errors
/// What the store says.
pub(in crate::gate) fn count_hold(tx: &Tx<'_>, org: &OrgId, release: &ReleaseId, now: Timestamp) -> Result<(), StoreError> {
    let sql = "INSERT INTO audit_hold (namespace, org, release, cause, at)
               SELECT namespace, ?1, release, 'meanwhile', ?3 FROM audit_table WHERE release = ?2";
    tx.prepare_cached(sql)?.execute(params![org, release, now])?;
    Ok(())
}
