//! The three papers in the store. A paper is never changed: what happens to it stands beside it.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension, Row};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::document::{AgreementDocument, AgreementTerms, ApplicationDocument, AuthorisationDocument, Digest, is_text};
use super::in_force::{Agreement, Application, Authorisation, Countersignature, Ending, InForce, JobFacts, ProviderDecision, in_force};
use crate::clock::Timestamp;
use crate::id::{AgreementId, Name, OrgId};
use crate::policy::{ActionType, Permit, PolicyError, actions};
use crate::refusal::{self, Refused, Rule};
use crate::store::{Migration, StoreError, Tx};

/// The tables of this module.
pub const MIGRATIONS: &[Migration] = &[Migration {
    name: "agreement-1",
    sql: "
CREATE TABLE authorisation (
    id         TEXT NOT NULL PRIMARY KEY,
    operator   TEXT NOT NULL,
    document   TEXT NOT NULL,
    granted_by TEXT NOT NULL,
    granted_at INTEGER NOT NULL,
    ended_by TEXT, ended_at INTEGER, ended_reason TEXT
) STRICT;
CREATE TABLE application (
    id           TEXT NOT NULL PRIMARY KEY,
    operator     TEXT NOT NULL,
    document     TEXT NOT NULL,
    providers    TEXT NOT NULL,
    submitted_by TEXT NOT NULL,
    submitted_at INTEGER NOT NULL
) STRICT;
CREATE TABLE application_decision (
    application TEXT NOT NULL REFERENCES application (id),
    org         TEXT NOT NULL,
    granted     INTEGER NOT NULL,
    reason      TEXT NOT NULL,
    basis       TEXT NOT NULL,
    decided_by  TEXT NOT NULL,
    decided_at  INTEGER NOT NULL,
    PRIMARY KEY (application, org)
) STRICT, WITHOUT ROWID;
CREATE TABLE agreement (
    id         TEXT NOT NULL PRIMARY KEY,
    operator   TEXT NOT NULL,
    terms      TEXT NOT NULL,
    drafted_by TEXT NOT NULL,
    drafted_at INTEGER NOT NULL,
    ended_by TEXT, ended_at INTEGER, ended_reason TEXT
) STRICT;
CREATE TABLE countersignature (
    agreement TEXT NOT NULL REFERENCES agreement (id),
    org       TEXT NOT NULL,
    digest    BLOB NOT NULL,
    signed_by TEXT NOT NULL,
    signed_at INTEGER NOT NULL,
    PRIMARY KEY (agreement, org)
) STRICT, WITHOUT ROWID;
",
}];

fn to_json(value: &impl Serialize) -> Result<String, PolicyError> {
    serde_json::to_string(value).map_err(|_| StoreError::Malformed("a paper").into())
}

fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, PolicyError> {
    serde_json::from_str(text).map_err(|_| StoreError::Malformed("a paper").into())
}

fn refuse<T>(rule: &'static Rule, subject: &str) -> Result<T, PolicyError> {
    Err(Refused::new(rule).subject(subject).into())
}

/// A permit for another thing than the one in hand is no permit for it. A fault of ours, so a plain denial.
fn same<T: PartialEq>(permitted: &T, in_hand: &T) -> Result<(), PolicyError> {
    if permitted == in_hand { Ok(()) } else { Err(Refused::new(&refusal::FORBIDDEN).into()) }
}

fn by<A: ActionType>(permit: &Permit<A>) -> &str {
    permit.caller().principal().id.as_str()
}

fn ending(row: &Row<'_>) -> rusqlite::Result<Option<Ending>> {
    let Some(at) = row.get("ended_at")? else { return Ok(None) };
    Ok(Some(Ending { by: row.get("ended_by")?, at, reason: row.get("ended_reason")? }))
}

/// Inserts, or refuses with `request.conflict` where the key is taken.
fn insert(tx: &Tx<'_>, sql: &str, values: impl rusqlite::Params, id: &str) -> Result<(), PolicyError> {
    match tx.execute(sql, values) {
        Err(rusqlite::Error::SqliteFailure(e, _)) if e.code == rusqlite::ErrorCode::ConstraintViolation => refuse(&refusal::CONFLICT, id),
        other => other.map(drop).map_err(Into::into),
    }
}

/// Records a granted authorisation.
///
/// # Errors
/// As [`AuthorisationDocument::validate`]; `request.conflict` where the identifier is taken.
pub fn grant(
    tx: &Tx<'_>,
    permit: Permit<actions::AuthorisationGrant>,
    document: &AuthorisationDocument,
    now: Timestamp,
) -> Result<(), PolicyError> {
    document.validate()?;
    same(&(&permit.resource().id, &permit.resource().org), &(&document.id, &document.operator))?;
    let values = (&document.id, &document.operator, to_json(document)?, by(&permit), now);
    let sql = "INSERT INTO authorisation (id, operator, document, granted_by, granted_at) VALUES (?1, ?2, ?3, ?4, ?5)";
    insert(tx, sql, values, document.id.as_str())
}

/// Revokes an authorisation. Stopping its jobs is for the caller, in the same transaction.
///
/// # Errors
/// `request.malformed` without a reason, `request.conflict` where there is none in force.
pub fn revoke(tx: &Tx<'_>, permit: Permit<actions::AuthorisationRevoke>, reason: &str, now: Timestamp) -> Result<(), PolicyError> {
    end(tx, "authorisation", permit.resource().id.as_str(), by(&permit), reason, now)
}

/// Terminates an agreement. Stopping its jobs and disposal are for the caller, in the same transaction.
///
/// # Errors
/// As [`revoke`].
pub fn terminate(tx: &Tx<'_>, permit: Permit<actions::AgreementTerminate>, reason: &str, now: Timestamp) -> Result<(), PolicyError> {
    end(tx, "agreement", permit.resource().id.as_str(), by(&permit), reason, now)
}

fn end(tx: &Tx<'_>, table: &'static str, id: &str, by: &str, reason: &str, now: Timestamp) -> Result<(), PolicyError> {
    if !is_text(reason) {
        return refuse(&refusal::MALFORMED, "reason");
    }
    let sql = format!("UPDATE {table} SET ended_by = ?2, ended_at = ?3, ended_reason = ?4 WHERE id = ?1 AND ended_at IS NULL");
    if tx.execute(&sql, (id, by, now, reason))? == 1 { Ok(()) } else { refuse(&refusal::CONFLICT, id) }
}

/// Records an application; the permit's thing names the providers who decide.
///
/// # Errors
/// As [`ApplicationDocument::validate`]; `request.conflict` where the identifier is taken.
pub fn submit(
    tx: &Tx<'_>,
    permit: Permit<actions::ApplicationSubmit>,
    document: &ApplicationDocument,
    now: Timestamp,
) -> Result<(), PolicyError> {
    document.validate()?;
    let thing = permit.resource();
    same(&(&thing.id, &thing.org), &(&document.id, &document.operator))?;
    let values = (&document.id, &document.operator, to_json(document)?, to_json(&thing.providers)?, by(&permit), now);
    insert(tx, "INSERT INTO application VALUES (?1, ?2, ?3, ?4, ?5, ?6)", values, document.id.as_str())
}

/// Records the decision of the caller's organisation; it is given once.
///
/// # Errors
/// `application.reason` for a refusal without reason or basis, `request.conflict` where it has decided.
pub fn decide(
    tx: &Tx<'_>,
    permit: Permit<actions::ApplicationDecide>,
    granted: bool,
    reason: &str,
    basis: &str,
    now: Timestamp,
) -> Result<(), PolicyError> {
    let reasoned = is_text(reason) && is_text(basis);
    if !granted && !reasoned {
        return refuse(&refusal::APPLICATION_REASON, if is_text(reason) { "basis" } else { "reason" });
    }
    let (id, org) = (&permit.resource().id, &permit.caller().principal().org);
    let values = (id, org, granted, reason, basis, by(&permit), now);
    insert(tx, "INSERT INTO application_decision VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)", values, id.as_str())
}

/// Records the draft of an agreement and gives the digest that providers counter-sign.
///
/// # Errors
/// As [`AgreementDocument::validate`] and [`AgreementDocument::within`]; `authorisation.missing`, `application.incomplete` where the
/// papers named are not there, `request.conflict` where the identifier is taken.
pub fn draft(
    tx: &Tx<'_>,
    permit: Permit<actions::AgreementDraft>,
    document: &AgreementDocument,
    plan_digest: Digest,
    now: Timestamp,
) -> Result<Digest, PolicyError> {
    document.validate()?;
    let thing = permit.resource();
    same(&(&thing.id, &thing.org), &(&document.id, &document.operator))?;
    let Some(application) = application(tx, &document.application)? else {
        return refuse(&refusal::APPLICATION_INCOMPLETE, document.application.as_str());
    };
    document.within(&application.document)?;
    match authorisation(tx, &document.authorisation)? {
        Some(a) if a.document.operator == document.operator => {}
        _ => return refuse(&refusal::AUTHORISATION_MISSING, document.authorisation.as_str()),
    }
    let terms = AgreementTerms { agreement: document.clone(), plan_digest, providers: thing.providers.clone() };
    let values = (&document.id, &document.operator, to_json(&terms)?, by(&permit), now);
    let sql = "INSERT INTO agreement (id, operator, terms, drafted_by, drafted_at) VALUES (?1, ?2, ?3, ?4, ?5)";
    insert(tx, sql, values, document.id.as_str())?;
    Ok(terms.digest())
}

/// Records the signature of the caller's organisation over the terms it has read, given by their digest.
///
/// # Errors
/// `request.conflict` where the terms are others, are terminated, or were signed; `request.not_found`.
pub fn countersign(tx: &Tx<'_>, permit: Permit<actions::AgreementCountersign>, read: Digest, now: Timestamp) -> Result<(), PolicyError> {
    let (id, org) = (&permit.resource().id, &permit.caller().principal().org);
    let Some(agreement) = agreement(tx, id)? else { return refuse(&refusal::NOT_FOUND, id.as_str()) };
    if agreement.terms.digest() != read || agreement.terminated.is_some() {
        return refuse(&refusal::CONFLICT, id.as_str());
    }
    let values = (id, org, read.0.as_slice(), by(&permit), now);
    insert(tx, "INSERT INTO countersignature VALUES (?1, ?2, ?3, ?4, ?5)", values, id.as_str())
}

/// The authorisation of this name.
pub fn authorisation(connection: &Connection, id: &Name) -> Result<Option<Authorisation>, PolicyError> {
    let mut statement =
        connection.prepare_cached("SELECT document, granted_at, ended_by, ended_at, ended_reason FROM authorisation WHERE id = ?1")?;
    let found = statement.query_row([id], |row| Ok((row.get::<_, String>(0)?, row.get(1)?, ending(row)?))).optional()?;
    found.map(|(document, granted_at, revoked)| Ok(Authorisation { document: from_json(&document)?, granted_at, revoked })).transpose()
}

/// The application of this name, with its decisions.
pub fn application(connection: &Connection, id: &Name) -> Result<Option<Application>, PolicyError> {
    let mut statement = connection.prepare_cached("SELECT document, providers, submitted_at FROM application WHERE id = ?1")?;
    let found = statement.query_row([id], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get(2)?))).optional()?;
    let Some((document, providers, submitted_at)) = found else { return Ok(None) };
    let mut statement = connection
        .prepare_cached("SELECT org, granted, reason, basis, decided_by, decided_at FROM application_decision WHERE application = ?1")?;
    let decisions = statement.query_map([id], |row| {
        let decision = ProviderDecision { granted: row.get(1)?, reason: row.get(2)?, basis: row.get(3)?, by: row.get(4)?, at: row.get(5)? };
        Ok((row.get::<_, OrgId>(0)?, decision))
    })?;
    let decisions = decisions.collect::<Result<BTreeMap<_, _>, _>>()?;
    let providers: BTreeSet<OrgId> = from_json(&providers)?;
    Ok(Some(Application { document: from_json(&document)?, providers, submitted_at, decisions }))
}

/// The agreement of this name, with its signatures.
pub fn agreement(connection: &Connection, id: &AgreementId) -> Result<Option<Agreement>, PolicyError> {
    let mut statement =
        connection.prepare_cached("SELECT terms, drafted_at, ended_by, ended_at, ended_reason FROM agreement WHERE id = ?1")?;
    let found = statement.query_row([id], |row| Ok((row.get::<_, String>(0)?, row.get(1)?, ending(row)?))).optional()?;
    let Some((terms, drafted_at, terminated)) = found else { return Ok(None) };
    let mut statement = connection.prepare_cached("SELECT org, digest, signed_by, signed_at FROM countersignature WHERE agreement = ?1")?;
    let signatures = statement.query_map([id], |row| {
        let signature = Countersignature { digest: Digest(row.get(1)?), by: row.get(2)?, at: row.get(3)? };
        Ok((row.get::<_, OrgId>(0)?, signature))
    })?;
    let countersignatures = signatures.collect::<Result<BTreeMap<_, _>, _>>()?;
    Ok(Some(Agreement { terms: from_json(&terms)?, drafted_at, countersignatures, terminated }))
}

/// Identifiers of all papers of a kind, in order; the caller leaves out what may not be seen.
fn ids<T: rusqlite::types::FromSql>(connection: &Connection, sql: &str) -> Result<Vec<T>, PolicyError> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Every authorisation.
pub fn authorisation_ids(connection: &Connection) -> Result<Vec<Name>, PolicyError> {
    ids(connection, "SELECT id FROM authorisation ORDER BY id")
}

/// Every application.
pub fn application_ids(connection: &Connection) -> Result<Vec<Name>, PolicyError> {
    ids(connection, "SELECT id FROM application ORDER BY id")
}

/// Every agreement.
pub fn agreement_ids(connection: &Connection) -> Result<Vec<AgreementId>, PolicyError> {
    ids(connection, "SELECT id FROM agreement ORDER BY id")
}

/// Agreements whose term is over at `now` and that were not terminated: their disposal is due.
pub fn expired(connection: &Connection, now: Timestamp) -> Result<Vec<AgreementId>, PolicyError> {
    let mut due = Vec::new();
    for id in agreement_ids(connection)? {
        if agreement(connection, &id)?.is_some_and(|a| a.terminated.is_none() && a.terms.agreement.term.over(now)) {
            due.push(id);
        }
    }
    Ok(due)
}

/// Judges a job under an agreement by what the store holds.
///
/// # Errors
/// `agreement.missing`, `authorisation.missing`, and as [`in_force`].
pub fn check(connection: &Connection, id: &AgreementId, job: &JobFacts<'_>) -> Result<InForce, PolicyError> {
    let Some(agreement) = agreement(connection, id)? else { return refuse(&refusal::AGREEMENT_MISSING, id.as_str()) };
    let terms = &agreement.terms.agreement;
    let Some(authorisation) = authorisation(connection, &terms.authorisation)? else {
        return refuse(&refusal::AUTHORISATION_MISSING, terms.authorisation.as_str());
    };
    let Some(application) = application(connection, &terms.application)? else {
        return refuse(&refusal::APPLICATION_UNDECIDED, terms.application.as_str());
    };
    Ok(in_force(&agreement, &authorisation, &application, job)?)
}

#[cfg(test)]
mod tests;
