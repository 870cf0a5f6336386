//! How a review stands. What a vote says is not here before both are in, nor, for whoever is still to vote, whether the other is.

use rusqlite::Connection;
use serde::Serialize;

use super::super::decide::DecideError;
use super::super::record::{ReleaseRow, ReleaseState};
use super::rounds::{Appeal, ReplyDue, Round, RoundOutcome, appeal, rounds};
use super::vote::{has_duty, voters};
use super::window::{veto_days, waived};
use crate::clock::{CHINA_UTC_OFFSET_S, Timestamp};
use crate::id::OrgId;
use crate::policy::city::CityProfile;
use crate::policy::{Principal, Role};

/// Where an output stands in its review.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The operator has not said what it is for.
    AwaitingStatement,
    /// Votes are wanted.
    InReview,
    /// Back with the operator.
    Returned,
    /// Approved; providers may object.
    VetoWindow,
    /// Denied; the authority decides an appeal.
    Appealed,
    /// Decided, by review or by rule.
    Decided,
}

/// A review as it is shown.
#[derive(Clone, Serialize, utoipa::ToSchema)]
pub struct ReviewShown {
    /// Where it stands.
    pub stage: Stage,
    /// Number of the last round: what is signed names it. 0 before the first.
    pub round: u32,
    /// Votes of the open round that are in; 0 for whoever is still to vote.
    pub votes_in: u32,
    /// Whether the caller has voted in the open round.
    pub voted: bool,
    /// Whether the caller's vote is wanted.
    pub duty: bool,
    /// The reply clock of the last round.
    pub clock: Option<ReplyDue>,
    /// Every round, oldest first.
    pub rounds: Vec<Round>,
    /// The appeal, if there is one.
    pub appeal: Option<Appeal>,
    /// Working days that the agreement gives providers to object after an approval; `None` where it says nothing: while the review goes
    /// on only; 0: not at all.
    pub veto_working_days: Option<u16>,
    /// First moment after the window; `None` where there is none, or where a year on the way is not announced.
    pub window_ends: Option<Timestamp>,
    /// Providers that will not object.
    pub waived: Vec<OrgId>,
}

/// How the review of an output stands for `who` at `now`.
///
/// # Errors
/// What the store says.
pub fn review_shown(
    connection: &Connection,
    row: &ReleaseRow,
    who: &Principal,
    city: &CityProfile,
    now: Timestamp,
) -> Result<ReviewShown, DecideError> {
    let rounds = rounds(connection, &row.id)?;
    let appeal = appeal(connection, &row.id)?;
    let last = rounds.last();
    let open = last.filter(|r| r.outcome.is_none());
    let voters = open.map(|r| voters(connection, &row.id, r.round)).transpose()?.unwrap_or_default();
    let stage = match (row.state, last.and_then(|r| r.outcome)) {
        (ReleaseState::Held, None) if last.is_some() => Stage::InReview,
        (ReleaseState::Held, Some(RoundOutcome::Returned)) => Stage::Returned,
        (ReleaseState::Held, _) => Stage::AwaitingStatement,
        (ReleaseState::ApprovedPending, _) => Stage::VetoWindow,
        (ReleaseState::Denied, _) if appeal.as_ref().is_some_and(|a| a.outcome.is_none()) => Stage::Appealed,
        _ => Stage::Decided,
    };
    let window_ends = last.and_then(|r| {
        let approved = r.ended_at?.date(CHINA_UTC_OFFSET_S);
        Some(city.calendar.after(approved, r.window_days?)?.end(CHINA_UTC_OFFSET_S))
    });
    let duty = who.role == Role::OutputChecker && has_duty(connection, row, who)?;
    Ok(ReviewShown {
        stage,
        round: last.map_or(0, |r| r.round),
        votes_in: if duty { 0 } else { u32::try_from(voters.len()).unwrap_or(u32::MAX) },
        voted: voters.contains(&who.id),
        duty,
        clock: last.map(|r| r.clock(&city.calendar, now)),
        veto_working_days: veto_days(connection, row)?,
        window_ends,
        waived: waived(connection, &row.id)?,
        appeal,
        rounds,
    })
}
