//! How often which rule denied whom: counts by day, beside the leaves that hold each denial.

use rusqlite::{Connection, params};

use crate::clock::{CHINA_UTC_OFFSET_S, Timestamp};
use crate::id::OrgId;
use crate::store::{StoreError, Tx};

/// Counts one denial, in the transaction that appends its leaf.
///
/// # Errors
/// What the store says.
pub fn denied(tx: &Tx<'_>, org: &OrgId, rule: &str, now: Timestamp) -> Result<(), StoreError> {
    let sql = "INSERT INTO denial_count (day, org, rule, count) VALUES (?1, ?2, ?3, 1) ON CONFLICT DO UPDATE SET count = count + 1";
    tx.prepare_cached(sql)?.execute(params![day(now), org, rule])?;
    Ok(())
}

/// Denials since the day of `from`, by organisation and rule.
pub(super) fn since(connection: &Connection, from: Timestamp) -> Result<Vec<(OrgId, String, u64)>, StoreError> {
    let sql = "SELECT org, rule, sum(count) FROM denial_count WHERE day >= ?1 GROUP BY org, rule ORDER BY org, rule";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([day(from)], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn day(at: Timestamp) -> i64 {
    at.date(CHINA_UTC_OFFSET_S).days()
}
