//! A checker decides what is held.

use rusqlite::params;
use serde::{Deserialize, Serialize};

use super::decide::DecideError;
use super::freeze;
use super::record::{ReleaseState, find, release_leaf};
use crate::clock::Timestamp;
use crate::id::OrgId;
use crate::policy::{Permit, actions};
use crate::refusal::{self, Refused};
use crate::store::Tx;
use crate::tlog::{Journal, LeafKind};

/// The closed list of reasons, with the articles that they rest on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReviewReason {
    /// Fit for its purpose and disclosive of nobody (Q41, X31).
    Sound,
    /// May disclose a unit (C26, X55).
    Disclosive,
    /// Not what the purpose needs (X27).
    BeyondPurpose,
    /// More numbers than the purpose needs (Q35, X27).
    Capacity,
    /// Statement or context missing (X27, C16).
    Unexplained,
    /// Data quality does not carry it (X23).
    Quality,
}

/// Every reason, and whether it approves.
pub const REASONS: &[(ReviewReason, bool, &[&str])] = &[
    (ReviewReason::Sound, true, &["Q41", "X31"]),
    (ReviewReason::Disclosive, false, &["C26", "X55"]),
    (ReviewReason::BeyondPurpose, false, &["X27"]),
    (ReviewReason::Capacity, false, &["Q35", "X27"]),
    (ReviewReason::Unexplained, false, &["X27", "C16"]),
    (ReviewReason::Quality, false, &["X23"]),
];

#[derive(Serialize)]
struct ReviewBody<'a> {
    release: &'a crate::id::ReleaseId,
    by: &'a crate::id::PrincipalId,
    org: &'a OrgId,
    approve: bool,
    reason: ReviewReason,
    clauses: &'a [&'a str],
    artefact_commitment: &'a str,
}

/// Approves or denies a held output. The reviewer is neither of the operator's nor of the module author's organisation.
///
/// # Errors
/// `auth.own_review`, `review.reason` where the reason does not fit the vote, `request.conflict` where it is not held,
/// `release.frozen` where an approval meets a freeze.
pub fn review(
    tx: &Tx<'_>,
    journal: &Journal,
    permit: Permit<actions::ReleaseReview>,
    approve: bool,
    reason: ReviewReason,
    now: Timestamp,
) -> Result<ReleaseState, DecideError> {
    let row = find(tx, &permit.resource().id)?.ok_or(Refused::new(&refusal::NOT_FOUND))?;
    let who = permit.caller().principal();
    if who.org == row.org || who.org == row.facts.author_org {
        return Err(Refused::new(&refusal::OWN_REVIEW).into());
    }
    let clauses = REASONS
        .iter()
        .find(|(r, approves, _)| *r == reason && *approves == approve)
        .map(|(_, _, c)| *c)
        .ok_or_else(|| Refused::new(&refusal::REVIEW_REASON))?;
    if row.state != ReleaseState::Held {
        return Err(Refused::new(&refusal::CONFLICT).into());
    }
    if approve && freeze::standing(tx, &row.providers, &row.org)?.is_some() {
        return Err(Refused::new(&refusal::FROZEN).into());
    }
    let readers: Vec<&OrgId> = row.providers.iter().chain([&row.org, &who.org]).collect();
    let body = ReviewBody { release: &row.id, by: &who.id, org: &who.org, approve, reason, clauses, artefact_commitment: &row.commitment };
    let _ = journal.append(tx, LeafKind::Review, &body, &readers)?;
    let (state, leaf) = if approve {
        let leaf = release_leaf(tx, journal, &row.id, row.decision_leaf, row.facts.recipient.as_str(), &row.commitment, &readers)?;
        (ReleaseState::Released, Some(leaf))
    } else {
        (ReleaseState::Denied, None)
    };
    let reason = serde_json::to_value(reason).ok().and_then(|v| v.as_str().map(str::to_owned));
    tx.prepare_cached("UPDATE release SET state = ?2, reason = ?3, reviewer = ?4, decided_at = ?5, release_leaf = ?6 WHERE id = ?1")
        .map_err(crate::store::StoreError::from)?
        .execute(params![row.id, state.word(), reason, who.id, now, leaf])
        .map_err(crate::store::StoreError::from)?;
    Ok(state)
}

/// A provider objects to a held output that rests on its data: it does not leave (S8, X31).
///
/// # Errors
/// `request.malformed` without a reason, `request.conflict` where it is not held.
pub fn veto(tx: &Tx<'_>, journal: &Journal, permit: Permit<actions::ReleaseVeto>, reason: &str, now: Timestamp) -> Result<(), DecideError> {
    let row = find(tx, &permit.resource().id)?.ok_or(Refused::new(&refusal::NOT_FOUND))?;
    let who = permit.caller().principal();
    let reason: String = reason.trim().chars().filter(|c| !c.is_control()).take(500).collect();
    if reason.is_empty() {
        return Err(Refused::new(&refusal::MALFORMED).subject("reason").into());
    }
    if row.state != ReleaseState::Held {
        return Err(Refused::new(&refusal::CONFLICT).into());
    }
    let readers: Vec<&OrgId> = row.providers.iter().chain([&row.org]).collect();
    let body = serde_json::json!({ "release": row.id, "by": who.id, "org": who.org, "veto": true, "reason": reason, "artefact_commitment": row.commitment });
    let _ = journal.append(tx, LeafKind::Review, &body, &readers)?;
    tx.prepare_cached("UPDATE release SET state = ?2, reason = 'veto', reviewer = ?3, decided_at = ?4 WHERE id = ?1")
        .map_err(crate::store::StoreError::from)?
        .execute(params![row.id, ReleaseState::Denied.word(), who.id, now])
        .map_err(crate::store::StoreError::from)?;
    Ok(())
}

