//! A vote is cast: its leaf commits to it, it lies sealed, and nobody is told what it says until there are two.

use protocol::seal;
use ring::rand::{SecureRandom, SystemRandom};
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use super::super::decide::DecideError;
use super::super::freeze;
use super::super::record::{ReleaseRow, ReleaseState, find, hex};
use super::endorsed::Endorsed;
use super::rounds::{Round, RoundOutcome, open_round, papers_stand, parties};
use super::signed::{Choice, CountedVote, ReviewReason, SignedVote};
use super::{Airlock, keys};
use crate::id::{Name, OrgId, PrincipalId, ReleaseId};
use crate::policy::{Permit, Principal, actions};
use crate::refusal::{self, Refused};
use crate::store::StoreError;
use crate::tlog::LeafKind;
use crate::tlog::leaf::commit;

/// A vote as it comes in.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, expecting = "a vote")]
pub struct NewVote {
    /// What is decided.
    pub decision: Choice,
    /// Why: `sound` approves; `disclosive`, `beyond_purpose`, `capacity`, `unexplained`, `quality` deny or return.
    pub reason: ReviewReason,
    /// Ed25519 signature over the review message, 64 bytes in base64.
    pub signature: String,
}

/// What became of a vote.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Cast {
    /// The output.
    pub id: ReleaseId,
    /// The round.
    pub round: u32,
    /// Its state now.
    #[schema(value_type = String)]
    pub state: ReleaseState,
    /// Votes that are in.
    pub votes: u32,
    /// What two votes came to; `None` while the other one is wanted.
    pub outcome: Option<RoundOutcome>,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    vote: SignedVote,
    salt: [u8; 32],
}

/// A vote that is in, not yet told.
struct In {
    kept: Kept,
    leaf: u64,
}

impl In {
    fn counted(self) -> CountedVote {
        let clauses = self.kept.vote.reason.clauses().iter().map(|c| (*c).to_owned()).collect();
        CountedVote { vote: self.kept.vote, clauses, leaf: self.leaf, salt: hex(&self.kept.salt) }
    }
}

/// What two votes come to: a denial weighs most, for what left cannot be taken back; then a return; two approvals approve.
pub fn consolidate(votes: [Choice; 2]) -> RoundOutcome {
    if votes.contains(&Choice::Deny) {
        RoundOutcome::Denied
    } else if votes.contains(&Choice::Return) {
        RoundOutcome::Returned
    } else {
        RoundOutcome::Approved
    }
}

/// Votes of a round that count so far: under keys that stand, by accounts that are open.
const STANDING: &str = "FROM release_vote v JOIN reviewer_key k ON k.id = v.key JOIN principal p ON p.id = v.reviewer
     WHERE v.release = ?1 AND v.round = ?2 AND k.revoked_at IS NULL AND k.confirmed_at IS NOT NULL AND p.active";

/// Who has a standing vote in a round. What it says is not read.
pub(super) fn voters(connection: &Connection, release: &ReleaseId, round: u32) -> Result<Vec<PrincipalId>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("SELECT v.reviewer {STANDING} ORDER BY v.leaf"))?;
    let rows = statement.query_map(params![release, round], |r| r.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Whether `who` may review the output at all (clauses §3, separation of people): of neither the operator's nor the module author's
/// organisation, not the one who approved its module, and, after an appeal, not one of those who voted before it.
pub(super) fn eligible(connection: &Connection, row: &ReleaseRow, who: &Principal) -> Result<(), DecideError> {
    if who.org == row.org || who.org == row.facts.author_org {
        return Err(Refused::new(&refusal::OWN_REVIEW).into());
    }
    let sql = "SELECT EXISTS (SELECT 1 FROM release_vote v JOIN release_round a ON a.release = v.release AND a.origin = 'appeal' AND a.round > v.round
               WHERE v.release = ?1 AND v.reviewer = ?2)";
    let before: bool =
        connection.prepare_cached(sql).and_then(|mut s| s.query_row(params![row.id, who.id], |r| r.get(0))).map_err(StoreError::from)?;
    if before || row.facts.module_approver.as_ref() == Some(&who.id) {
        return Err(Refused::new(&refusal::REVIEW_SEPARATION).into());
    }
    Ok(())
}

/// Whether a vote of `who` on the output is wanted.
pub(in crate::gate) fn has_duty(connection: &Connection, row: &ReleaseRow, who: &Principal) -> Result<bool, DecideError> {
    let Some(round) = open_round(connection, &row.id)?.filter(|_| row.state == ReleaseState::Held) else { return Ok(false) };
    match eligible(connection, row, who) {
        Err(DecideError::Refused(_)) => return Ok(false),
        other => other?,
    }
    Ok(!voters(connection, &row.id, round.round)?.contains(&who.id))
}

impl Airlock<'_> {
    fn context(release: &ReleaseId, round: u32, reviewer: &PrincipalId) -> Vec<u8> {
        format!("vote/{release}/{round}/{reviewer}").into_bytes()
    }

    fn votes_in(&self, release: &ReleaseId, round: u32) -> Result<Vec<In>, StoreError> {
        let mut statement = self.tx.prepare_cached(&format!("SELECT v.reviewer, v.sealed, v.leaf {STANDING} ORDER BY v.leaf"))?;
        let rows =
            statement.query_map(params![release, round], |r| Ok((r.get::<_, PrincipalId>(0)?, r.get::<_, Vec<u8>>(1)?, r.get(2)?)))?;
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        let open = |(reviewer, sealed, leaf): (PrincipalId, Vec<u8>, u64)| {
            let clear = seal::open_all(self.key, &Self::context(release, round, &reviewer), &sealed, 1)?;
            Ok(In { kept: serde_json::from_slice(&clear).map_err(|_| StoreError::Malformed("a vote"))?, leaf })
        };
        rows.into_iter().map(open).collect()
    }

    /// Casts a signed vote; with the second one of a round both are counted, in this transaction.
    ///
    /// Whatever refuses a vote depends on the output, its papers and who votes: never on what this or the other vote says, but for a
    /// reason that does not fit. A freeze therefore refuses every vote, not approvals only.
    ///
    /// # Errors
    /// `auth.own_review`, `review.separation`, `review.not_filed`, `review.reason`, `review.key`, `review.signature`, `release.frozen`,
    /// the rule under which papers ended, `request.conflict` where it is not held or the caller has voted.
    pub fn vote(&self, permit: Permit<actions::ReleaseReview>, new: NewVote) -> Result<Cast, DecideError> {
        let row = find(self.tx, &permit.resource().id)?.ok_or(Refused::new(&refusal::NOT_FOUND))?;
        let who = permit.caller().principal();
        eligible(self.tx, &row, who)?;
        if (new.decision == Choice::Approve) != new.reason.approves() {
            return Err(Refused::new(&refusal::REVIEW_REASON).threshold(super::reason_words()).into());
        }
        if row.state != ReleaseState::Held {
            return Err(Refused::new(&refusal::CONFLICT).into());
        }
        let round = open_round(self.tx, &row.id)?.ok_or(Refused::new(&refusal::REVIEW_NOT_FILED))?;
        papers_stand(self.tx, &row, self.now)?;
        if let Some(refused) = freeze::stopped(self.tx, &row.reach())? {
            return Err(refused.into());
        }
        let mut votes = self.votes_in(&row.id, round.round)?;
        if votes.iter().any(|v| v.kept.vote.by == who.id) {
            return Err(Refused::new(&refusal::CONFLICT).subject("vote").into());
        }
        let vote = self.signed(&row, round.round, who, new)?;
        votes.push(self.keep(&row, vote)?);
        let told = |state, votes, outcome| Cast { id: row.id.clone(), round: round.round, state, votes, outcome };
        match <[In; 2]>::try_from(votes) {
            Ok(both) => {
                let (state, outcome) = self.count(&row, &round, both.map(In::counted))?;
                Ok(told(state, 2, Some(outcome)))
            }
            Err(votes) => Ok(told(row.state, u32::try_from(votes.len()).unwrap_or(u32::MAX), None)),
        }
    }

    /// The vote under the one of the caller's confirmed keys that made its signature.
    fn signed(&self, row: &ReleaseRow, round: u32, who: &Principal, new: NewVote) -> Result<SignedVote, DecideError> {
        let keys = keys::confirmed(self.tx, &who.id)?;
        if keys.is_empty() {
            return Err(Refused::new(&refusal::REVIEW_KEY).into());
        }
        let vote = |key: Name, public_key: String| SignedVote {
            release: row.id.clone(),
            round,
            artefact_commitment: row.commitment.clone(),
            decision: new.decision,
            reason: new.reason,
            by: who.id.clone(),
            org: who.org.clone(),
            key,
            public_key,
            signature: new.signature.clone(),
        };
        let signed = keys.into_iter().map(|k| vote(k.id, k.public_key)).find(SignedVote::verify);
        signed.ok_or_else(|| Refused::new(&refusal::REVIEW_SIGNATURE).into())
    }

    /// Leaf and row of a vote: the leaf's body holds a commitment, which [`CountedVote`] opens once both are in.
    fn keep(&self, row: &ReleaseRow, vote: SignedVote) -> Result<In, DecideError> {
        let mut salt = [0u8; 32];
        SystemRandom::new().fill(&mut salt).map_err(|_| StoreError::Fault)?;
        let committed = commit(&salt, &super::super::decide::canonical(&vote)?);
        let body = serde_json::json!({
            "release": row.id, "round": vote.round, "by": vote.by, "org": vote.org, "artefact_commitment": row.commitment,
            "vote_commitment": hex(&committed),
        });
        let leaf = self.journal.append(self.tx, LeafKind::Vote, &body, &[&vote.org])?.number();
        let kept = Kept { vote, salt };
        let clear = serde_json::to_vec(&kept).map_err(|_| StoreError::Fault)?;
        let v = &kept.vote;
        let sealed = seal::seal(self.key, &Self::context(&v.release, v.round, &v.by), &clear).map_err(StoreError::from)?;
        // In place of a vote whose key was revoked before it was counted.
        let sql = "INSERT OR REPLACE INTO release_vote (release, round, reviewer, key, sealed, leaf, cast_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        self.tx.execute(sql, params![v.release, v.round, v.by, v.key, sealed, leaf, self.now]).map_err(StoreError::from)?;
        Ok(In { kept, leaf })
    }

    /// Counts both votes: one leaf holds them, and what they come to is done at once.
    fn count(&self, row: &ReleaseRow, round: &Round, votes: [CountedVote; 2]) -> Result<(ReleaseState, RoundOutcome), DecideError> {
        let outcome = consolidate([votes[0].vote.decision, votes[1].vote.decision]);
        let window = match outcome {
            RoundOutcome::Approved => self.veto_window(row)?.filter(|days| *days > 0),
            _ => None,
        };
        let orgs: [OrgId; 2] = [votes[0].vote.org.clone(), votes[1].vote.org.clone()];
        let body = serde_json::json!({
            "release": row.id, "round": round.round, "outcome": outcome, "artefact_commitment": row.commitment, "votes": votes,
            "veto_window_working_days": window,
        });
        let readers = parties(row, &[&orgs[0], &orgs[1]]);
        let leaf = self.journal.append(self.tx, LeafKind::Review, &body, &readers)?.number();
        let text = serde_json::to_string(&votes).map_err(|_| StoreError::Fault)?;
        let sql = "UPDATE release_round SET outcome = ?3, votes = ?4, ended_at = ?5, window_days = ?6, review_leaf = ?7 WHERE release = ?1 AND round = ?2";
        self.tx.execute(sql, params![row.id, round.round, outcome.word(), text, self.now, window, leaf]).map_err(StoreError::from)?;
        let state = match outcome {
            RoundOutcome::Approved => {
                let endorsed = Endorsed::of(self.tx, row, round.round, &votes)?;
                match window {
                    Some(_) => self.pend(row)?,
                    None => self.release(row, endorsed, &readers)?,
                }
            }
            RoundOutcome::Denied => {
                let reason = votes.iter().find(|v| v.vote.decision == Choice::Deny).map_or("", |v| v.vote.reason.word());
                self.deny(row, reason, None)?
            }
            RoundOutcome::Returned | RoundOutcome::Stopped => row.state,
        };
        Ok((state, outcome))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_weighs_most_then_a_return_and_the_order_of_votes_nothing() {
        use Choice::{Approve, Deny, Return};
        for (a, b, outcome) in [
            (Approve, Approve, RoundOutcome::Approved),
            (Approve, Deny, RoundOutcome::Denied),
            (Approve, Return, RoundOutcome::Returned),
            (Deny, Deny, RoundOutcome::Denied),
            (Deny, Return, RoundOutcome::Denied),
            (Return, Return, RoundOutcome::Returned),
        ] {
            assert_eq!((consolidate([a, b]), consolidate([b, a])), (outcome, outcome), "{a:?} {b:?}");
        }
    }
}
