//! Steps of a review: request, votes, more time, objection, waiver, appeal. Each step is a function that handlers and pages call alike.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::authorisations::Reason;
use super::body::{Id, JsonBody};
use super::error::{ApiError, malformed, not_found};
use super::releases::thing;
use super::signed::Signed;
use super::state::App;
use crate::gate::{self, Airlock, Cast, Choice, NewVote, ReleaseRow, ReleaseState, ReviewReason, Round, Statement};
use crate::id::ReleaseId;
use crate::policy::{ActionType, Caller, Permit, actions, resource};
use crate::refusal::{self, Refused};
use crate::store::KeyUse;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(file))
        .routes(routes!(vote))
        .routes(routes!(extend))
        .routes(routes!(veto))
        .routes(routes!(waive))
        .routes(routes!(appeal))
        .routes(routes!(decide_appeal))
}

/// One step: permitted on the output, done and logged in one transaction; then whoever waits is told.
async fn step<A, T>(
    app: &App,
    caller: &Caller,
    id: &ReleaseId,
    act: impl FnOnce(&Airlock<'_>, Permit<A>) -> Result<T, gate::DecideError> + Send + 'static,
) -> Result<T, ApiError>
where
    A: ActionType<Resource = resource::Release>,
    T: Send + 'static,
{
    let (caller, id) = (caller.clone(), id.clone());
    let done = app.write(move |app, tx| {
        let row: ReleaseRow = gate::find(tx, &id)?.ok_or_else(|| not_found(id.as_str()))?;
        let permit = app.permit::<A>(&caller, thing(&row))?;
        let key = app.store.keyring.derive(KeyUse::Vote);
        let done = act(&app.airlock(tx, &key), permit)?;
        crate::jobs::reviewed(tx, &row.job)?;
        Ok(done)
    });
    let done = done.await?;
    app.jobs.ring();
    Ok(done)
}

/// Files what a held output is for; the number of its round.
pub(crate) async fn file_request(app: &App, caller: &Caller, id: &ReleaseId, statement: Statement) -> Result<u32, ApiError> {
    step::<actions::ReleaseRequestFile, _>(app, caller, id, move |airlock, permit| airlock.file(permit, &statement)).await
}

/// Casts a signed vote.
pub(crate) async fn cast_vote(app: &App, caller: &Caller, id: &ReleaseId, new: NewVote) -> Result<Cast, ApiError> {
    step::<actions::ReleaseReview, _>(app, caller, id, move |airlock, permit| airlock.vote(permit, new)).await
}

/// A vote from words; the refusal of a reason names the list.
pub(crate) fn vote_of(decision: &str, reason: &str, signature: String) -> Result<NewVote, ApiError> {
    let decision: Choice = serde_json::from_value(Value::from(decision)).map_err(|_| malformed("decision: approve, deny or return"))?;
    let reason: ReviewReason = serde_json::from_value(Value::from(reason))
        .map_err(|_| ApiError::from(Refused::new(&refusal::REVIEW_REASON).threshold(gate::reason_words())))?;
    Ok(NewVote { decision, reason, signature })
}

/// Gives a review more time.
pub(crate) async fn extend_review(app: &App, caller: &Caller, id: &ReleaseId, reason: String) -> Result<Round, ApiError> {
    step::<actions::ReleaseExtend, _>(app, caller, id, move |airlock, permit| airlock.extend(permit, &reason)).await
}

/// Objects to an output.
pub(crate) async fn veto_release(app: &App, caller: &Caller, id: &ReleaseId, reason: String) -> Result<ReleaseState, ApiError> {
    step::<actions::ReleaseVeto, _>(app, caller, id, move |airlock, permit| airlock.veto(permit, &reason)).await
}

/// Says that the caller's organisation will not object.
pub(crate) async fn waive_veto(app: &App, caller: &Caller, id: &ReleaseId) -> Result<ReleaseState, ApiError> {
    step::<actions::ReleaseWaive, _>(app, caller, id, move |airlock, permit| airlock.waive(permit)).await
}

/// Appeals against a denial.
pub(crate) async fn appeal_denial(app: &App, caller: &Caller, id: &ReleaseId, reason: String) -> Result<(), ApiError> {
    step::<actions::ReleaseAppeal, _>(app, caller, id, move |airlock, permit| airlock.appeal(permit, &reason)).await
}

/// Decides an appeal.
pub(crate) async fn hear_appeal(
    app: &App,
    caller: &Caller,
    id: &ReleaseId,
    (uphold, reason): (bool, String),
) -> Result<ReleaseState, ApiError> {
    step::<actions::ReleaseAppealDecide, _>(app, caller, id, move |airlock, permit| airlock.decide_appeal(permit, uphold, &reason)).await
}

/// A request that was filed.
#[derive(Serialize, utoipa::ToSchema)]
struct Filed {
    /// The output.
    id: ReleaseId,
    /// Number of the round, which reviewers sign.
    round: u32,
}

/// A signed vote.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct VoteBody {
    /// `approve`, `deny` or `return`.
    decision: String,
    /// One of the closed list: `sound` approves; `disclosive`, `beyond_purpose`, `capacity`, `unexplained`, `quality` deny or return.
    reason: String,
    /// Ed25519 signature, base64, over the UTF-8 text of six lines, each ended by one line feed: `fusebox-review-v1`, the output's id, the
    /// round, the commitment in hexadecimal, the decision, the reason.
    signature: String,
}

/// The authority's word on an appeal.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct AppealDecision {
    /// True: it stays denied. False: two other reviewers vote.
    uphold: bool,
    /// Why.
    reason: String,
}

/// The state after a step.
#[derive(Serialize, utoipa::ToSchema)]
struct Stepped {
    /// The output.
    id: ReleaseId,
    /// Its state.
    #[schema(value_type = String)]
    state: ReleaseState,
}

/// Files the statement of purpose and context: a held output becomes a release request, and the clock starts.
#[utoipa::path(post, path = "/v1/releases/{id}/request", tag = "reviews", params(("id" = String, Path, description = "output")),
    request_body = Statement, responses((status = 200, body = Filed)))]
async fn file(
    State(app): State<App>,
    Signed(caller): Signed,
    Id(id): Id<ReleaseId>,
    JsonBody(statement): JsonBody<Statement>,
) -> Result<Json<Filed>, ApiError> {
    let round = file_request(&app, &caller, &id, statement).await?;
    Ok(Json(Filed { id, round }))
}

/// Casts a signed vote on a held output of another organisation. What it says is told to nobody before two are in.
#[utoipa::path(post, path = "/v1/releases/{id}/vote", tag = "reviews", params(("id" = String, Path, description = "output")),
    request_body = VoteBody, responses((status = 200, body = Cast)))]
async fn vote(
    State(app): State<App>,
    Signed(caller): Signed,
    Id(id): Id<ReleaseId>,
    JsonBody(new): JsonBody<VoteBody>,
) -> Result<Json<Cast>, ApiError> {
    // Who may not vote is told that first, whatever was sent.
    let name = id.clone();
    let row = app.read(move |_, c| gate::find(c, &name)?.ok_or_else(|| not_found(name.as_str()))).await?;
    let _may = app.permit::<actions::ReleaseReview>(&caller, thing(&row))?;
    let new = vote_of(&new.decision, &new.reason, new.signature)?;
    Ok(Json(cast_vote(&app, &caller, &id, new).await?))
}

/// Gives a review more working days, once a round, by the authority's name and reason.
#[utoipa::path(post, path = "/v1/releases/{id}/extend", tag = "reviews", params(("id" = String, Path, description = "output")),
    request_body = Reason, responses((status = 200, body = Round)))]
async fn extend(
    State(app): State<App>,
    Signed(caller): Signed,
    Id(id): Id<ReleaseId>,
    JsonBody(why): JsonBody<Reason>,
) -> Result<Json<Round>, ApiError> {
    Ok(Json(extend_review(&app, &caller, &id, why.reason).await?))
}

/// A provider objects to an output that rests on its data: it does not leave.
#[utoipa::path(post, path = "/v1/releases/{id}/veto", tag = "reviews", params(("id" = String, Path, description = "output")),
    request_body = Reason, responses((status = 200, body = Stepped)))]
async fn veto(
    State(app): State<App>,
    Signed(caller): Signed,
    Id(id): Id<ReleaseId>,
    JsonBody(why): JsonBody<Reason>,
) -> Result<Json<Stepped>, ApiError> {
    let state = veto_release(&app, &caller, &id, why.reason).await?;
    Ok(Json(Stepped { id, state }))
}

/// A provider will not object to an approved output; when all have said so, it leaves.
#[utoipa::path(post, path = "/v1/releases/{id}/waive", tag = "reviews", params(("id" = String, Path, description = "output")),
    responses((status = 200, body = Stepped)))]
async fn waive(State(app): State<App>, Signed(caller): Signed, Id(id): Id<ReleaseId>) -> Result<Json<Stepped>, ApiError> {
    let state = waive_veto(&app, &caller, &id).await?;
    Ok(Json(Stepped { id, state }))
}

/// The operator appeals against a denial, once.
#[utoipa::path(post, path = "/v1/releases/{id}/appeal", tag = "reviews", params(("id" = String, Path, description = "output")),
    request_body = Reason, responses((status = 200, body = Stepped)))]
async fn appeal(
    State(app): State<App>,
    Signed(caller): Signed,
    Id(id): Id<ReleaseId>,
    JsonBody(why): JsonBody<Reason>,
) -> Result<Json<Stepped>, ApiError> {
    appeal_denial(&app, &caller, &id, why.reason).await?;
    Ok(Json(Stepped { id, state: ReleaseState::Denied }))
}

/// The authority upholds a denial or sends it back to two other reviewers.
#[utoipa::path(post, path = "/v1/releases/{id}/appeal/decide", tag = "reviews", params(("id" = String, Path, description = "output")),
    request_body = AppealDecision, responses((status = 200, body = Stepped)))]
async fn decide_appeal(
    State(app): State<App>,
    Signed(caller): Signed,
    Id(id): Id<ReleaseId>,
    JsonBody(new): JsonBody<AppealDecision>,
) -> Result<Json<Stepped>, ApiError> {
    let state = hear_appeal(&app, &caller, &id, (new.uphold, new.reason)).await?;
    Ok(Json(Stepped { id, state }))
}
