//! Release policies in the store: the floor, and each organisation's own.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension};

use super::PolicyError;
use crate::clock::Timestamp;
use crate::id::OrgId;
use crate::policy::{ActivePolicy, Permit, ReleasePolicy, actions};
use crate::refusal::{self, Refused};
use crate::store::{Migration, StoreError, Tx};

/// Table of the floor (scope '') and of each organisation's own policy.
pub const MIGRATION: Migration = Migration {
    name: "release-policy-1",
    sql: "
CREATE TABLE release_policy (
    scope  TEXT NOT NULL PRIMARY KEY,
    policy TEXT NOT NULL,
    set_by TEXT NOT NULL,
    set_at INTEGER NOT NULL
) STRICT;
",
};

/// Sets the platform's floor.
pub fn set_floor(tx: &Tx<'_>, permit: Permit<actions::PolicyFloorSet>, policy: &ReleasePolicy, now: Timestamp) -> Result<(), PolicyError> {
    if permit.resource().org.is_some() {
        return Err(Refused::new(&refusal::FORBIDDEN).into());
    }
    set(tx, "", policy, permit.caller().principal().id.as_str(), now)
}

/// Sets the policy for data of the permitted organisation.
///
/// # Errors
/// `policy.weaker` where a field is weaker than the floor's, `policy.missing` without a floor.
pub fn tighten(tx: &Tx<'_>, permit: Permit<actions::PolicyTighten>, policy: &ReleasePolicy, now: Timestamp) -> Result<(), PolicyError> {
    let org = permit.resource().org.as_ref().ok_or(Refused::new(&refusal::FORBIDDEN))?;
    let floor = stored(tx, "")?.ok_or(Refused::new(&refusal::POLICY_MISSING))?;
    if !policy.at_least_as_strict_as(&floor) {
        return Err(Refused::new(&refusal::POLICY_WEAKER).into());
    }
    set(tx, org.as_str(), policy, permit.caller().principal().id.as_str(), now)
}

fn set(tx: &Tx<'_>, scope: &str, policy: &ReleasePolicy, by: &str, now: Timestamp) -> Result<(), PolicyError> {
    if policy.validate().is_err() {
        return Err(Refused::new(&refusal::MALFORMED).into());
    }
    tx.execute("INSERT OR REPLACE INTO release_policy VALUES (?1, ?2, ?3, ?4)", (scope, to_json(policy)?, by, now))?;
    Ok(())
}

/// The policy for a job with data of `owners`.
///
/// # Errors
/// `policy.missing` where the authority has set no floor: nothing is released then.
pub fn active(connection: &Connection, owners: &BTreeSet<OrgId>) -> Result<ActivePolicy, PolicyError> {
    let floor = stored(connection, "")?.ok_or(Refused::new(&refusal::POLICY_MISSING))?;
    let own = owners.iter().filter_map(|o| stored(connection, o.as_str()).transpose()).collect::<Result<Vec<_>, _>>()?;
    Ok(ActivePolicy::of(&floor, &own))
}

/// The floor, where it is set.
pub fn floor(connection: &Connection) -> Result<Option<ReleasePolicy>, PolicyError> {
    stored(connection, "")
}

/// Every policy that is set, the floor (`None`) first.
pub fn all(connection: &Connection) -> Result<Vec<(Option<OrgId>, ReleasePolicy)>, PolicyError> {
    let mut statement = connection.prepare_cached("SELECT scope, policy FROM release_policy ORDER BY scope")?;
    let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
    rows.map(|row| {
        let (scope, text) = row?;
        let org = if scope.is_empty() { None } else { Some(scope.parse()?) };
        Ok((org, from_json(&text)?))
    })
    .collect()
}

fn stored(connection: &Connection, scope: &str) -> Result<Option<ReleasePolicy>, PolicyError> {
    let mut statement = connection.prepare_cached("SELECT policy FROM release_policy WHERE scope = ?1")?;
    let text = statement.query_row([scope], |row| row.get::<_, String>(0)).optional()?;
    text.map(|t| from_json(&t)).transpose()
}

fn to_json(policy: &ReleasePolicy) -> Result<String, PolicyError> {
    serde_json::to_string(policy).map_err(|_| StoreError::Malformed("a release policy").into())
}

fn from_json(text: &str) -> Result<ReleasePolicy, PolicyError> {
    let policy: ReleasePolicy = serde_json::from_str(text).map_err(|_| StoreError::Malformed("a release policy"))?;
    policy.validate().map_err(|_| StoreError::Malformed("a release policy"))?;
    Ok(policy)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANDARD: &str = include_str!("../../../policies/release/standard.toml");

    #[test]
    fn without_a_floor_nothing_applies_and_providers_only_tighten() {
        use crate::policy::records::MIGRATIONS;
        use crate::policy::{Authz, Caller, Role, resource::PolicyScope};
        let temp = crate::store::testing::TempDir::create();
        let db = crate::store::Db::open(&temp.roots(), MIGRATIONS, 1).unwrap();
        let authz = Authz::new().unwrap();
        let (tax, bank): (OrgId, OrgId) = ("tax".parse().unwrap(), "bank".parse().unwrap());
        let owners = BTreeSet::from([tax.clone(), bank]);
        let rule = |e: PolicyError| match e {
            PolicyError::Refused(r) => r.rule().id,
            PolicyError::Store(e) => panic!("{}", e.log_text()),
        };
        let now = Timestamp::from_unix_s(0);
        assert_eq!(rule(db.read_blocking(|c| active(c, &owners)).unwrap_err()), "policy.missing");

        let standard = ReleasePolicy::parse(STANDARD).unwrap();
        let authority = Caller::for_tests("ada", "city", Role::Authority);
        let provider = Caller::for_tests("tao", "tax", Role::Provider);
        let (permit, floor_policy) = (authz.authorize(&authority, PolicyScope { org: None }).unwrap(), standard.clone());
        db.write_blocking(move |tx| set_floor(tx, permit, &floor_policy, now)).unwrap();
        assert_eq!(db.read_blocking(|c| active(c, &owners)).unwrap().rules(), &standard);

        let mut weaker = standard.clone();
        weaker.table.min_frequency -= 1;
        let mut stricter = standard.clone();
        stricter.table.min_frequency += 5;
        for (policy, told) in [(weaker, Some("policy.weaker")), (stricter, None)] {
            let permit = authz.authorize(&provider, PolicyScope { org: Some(tax.clone()) }).unwrap();
            let result = db.write_blocking(move |tx| tighten(tx, permit, &policy, now));
            assert_eq!(result.err().map(rule), told);
        }
        assert_eq!(db.read_blocking(|c| active(c, &owners)).unwrap().rules().table.min_frequency, 15);
        assert_eq!(db.read_blocking(|c| active(c, &BTreeSet::new())).unwrap().rules(), &standard);
    }
}
