//! Outputs at the gate: seen, fetched, reviewed.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::authorisations::Reason;
use super::body::{Id, JsonBody, Params};
use super::error::{ApiError, not_found};
use super::signed::Signed;
use super::state::App;
use crate::clock::Timestamp;
use crate::gate::{self, Filter, REASONS, ReleaseRow, ReleaseState, ReviewReason};
use crate::id::{JobId, OrgId, ReleaseId};
use crate::policy::resource::{Platform, Release};
use crate::policy::{Caller, actions};
use crate::refusal::{self, Refused};
use crate::store::StoreError;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(read))
        .routes(routes!(artefact))
        .routes(routes!(evidence))
        .routes(routes!(review))
        .routes(routes!(veto))
}

/// Which outputs a list shows.
#[derive(Deserialize)]
struct Wanted {
    job: Option<JobId>,
    state: Option<String>,
}

/// An output as the caller may see it. Holds no value of it.
#[derive(Serialize, utoipa::ToSchema)]
struct ReleaseView {
    /// The output.
    id: ReleaseId,
    /// Its job.
    job: JobId,
    /// The operator.
    org: OrgId,
    /// Owners of the inputs.
    providers: BTreeSet<OrgId>,
    /// `table` or `model`.
    #[schema(value_type = String)]
    kind: gate::OutputKind,
    /// `held`, `released`, `refused` or `denied`.
    #[schema(value_type = String)]
    state: ReleaseState,
    /// Its name in the module.
    name: String,
    /// The rule that refused it.
    #[schema(value_type = Option<Object>)]
    refusal: Option<Value>,
    /// The checker's reason.
    reason: Option<String>,
    /// Rules that were applied, with their thresholds.
    #[schema(value_type = Object)]
    checks: Value,
    /// Agreement, plan, module, purpose, recipient, sources.
    #[schema(value_type = Object)]
    facts: Value,
    /// HMAC-SHA-256(job key, artefact), hexadecimal.
    commitment: String,
    /// Leaf of the decision.
    decision_leaf: u64,
    /// Leaf of the release.
    leaf: Option<u64>,
    /// When it reached the gate; for others than checkers on the policy's time quantum.
    created_at: Timestamp,
    /// When it was decided; likewise.
    decided_at: Option<Timestamp>,
}

fn thing(row: &ReleaseRow) -> Release {
    Release { id: row.id.clone(), org: row.org.clone(), providers: row.providers.clone() }
}

/// Checks as an operator sees them; what cannot be read is not shown.
fn for_operator(checks: Value) -> Value {
    let checks: Vec<gate::Check> = serde_json::from_value(checks).unwrap_or_default();
    json!(checks.into_iter().map(gate::Check::for_operator).collect::<Vec<_>>())
}

/// The view of `row`; `None` where it may be seen, but not yet: the end of its job does not show before its quantum.
fn view(app: &App, connection: &Connection, caller: &Caller, row: ReleaseRow) -> Result<Option<ReleaseView>, StoreError> {
    let visible_at = crate::jobs::find(connection, &row.job)?.and_then(|job| job.visible_at);
    let exact = app.authz.allows::<actions::ReleaseEvidenceRead>(caller, &thing(&row));
    let from = visible_at.filter(|_| !exact);
    if from.is_some_and(|at| app.now() < at) {
        return Ok(None);
    }
    let coarse = |at: Timestamp| from.map_or(at, |from| at.max(from));
    Ok(Some(ReleaseView {
        created_at: coarse(row.created_at),
        decided_at: row.decided_at.map(coarse),
        facts: json!(row.facts),
        id: row.id,
        job: row.job,
        org: row.org,
        providers: row.providers,
        kind: row.kind,
        state: row.state,
        name: row.name,
        refusal: row.refusal,
        reason: row.reason,
        checks: if exact { row.checks } else { for_operator(row.checks) },
        commitment: row.commitment,
        decision_leaf: row.decision_leaf,
        leaf: row.release_leaf,
    }))
}

/// Outputs that the caller may see, newest first.
#[utoipa::path(get, path = "/v1/releases", tag = "releases",
    params(("job" = Option<String>, Query, description = "of this job"), ("state" = Option<String>, Query, description = "held, released, refused or denied")),
    responses((status = 200, body = Vec<ReleaseView>)))]
async fn list(State(app): State<App>, Signed(caller): Signed, Params(wanted): Params<Wanted>) -> Result<Json<Vec<ReleaseView>>, ApiError> {
    let _permit = app.permit::<actions::ReleaseList>(&caller, Platform {})?;
    let all = app.read(move |app, c| {
        let mut visible = Vec::new();
        for row in gate::list(c, &Filter { job: wanted.job, state: wanted.state })? {
            if app.authz.allows::<actions::ReleaseRead>(&caller, &thing(&row)) {
                visible.extend(view(app, c, &caller, row)?);
            }
        }
        Ok(visible)
    });
    Ok(Json(all.await?))
}

fn find(connection: &Connection, id: &ReleaseId) -> Result<ReleaseRow, ApiError> {
    gate::find(connection, id)?.ok_or_else(|| not_found(id.as_str()))
}

/// One output.
#[utoipa::path(get, path = "/v1/releases/{id}", tag = "releases", params(("id" = String, Path, description = "output")),
    responses((status = 200, body = ReleaseView)))]
async fn read(State(app): State<App>, Signed(caller): Signed, Id(id): Id<ReleaseId>) -> Result<Json<ReleaseView>, ApiError> {
    let found = app.read(move |app, c| {
        let row = find(c, &id)?;
        let _permit = app.permit::<actions::ReleaseRead>(&caller, thing(&row))?;
        view(app, c, &caller, row)?.ok_or_else(|| not_found(id.as_str()))
    });
    Ok(Json(found.await?))
}

/// What was released, with its manifest. Reviewers of a held output get their review copy, and the log says so.
#[utoipa::path(get, path = "/v1/releases/{id}/artefact", tag = "releases", params(("id" = String, Path, description = "output")),
    responses((status = 200, description = "the artefact, and a manifest that names its sources", body = Object)))]
async fn artefact(State(app): State<App>, Signed(caller): Signed, Id(id): Id<ReleaseId>) -> Result<Json<Value>, ApiError> {
    let (who, name) = (caller.clone(), id.clone());
    let opened = app.read(move |app, c| {
        let row = find(c, &name)?;
        let permit = app.permit::<actions::ReleaseRead>(&who, thing(&row))?;
        if row.state == ReleaseState::Held && app.authz.allows::<actions::ReleaseEvidenceRead>(&who, &thing(&row)) {
            return Ok(None);
        }
        let Some(manifest) = view(app, c, &who, row)? else { return Err(not_found(name.as_str())) };
        let released = gate::open(c, &app.store.artefacts, permit)?;
        let artefact: Value = serde_json::from_slice(released.artefact()).map_err(|_| StoreError::Malformed("artefact"))?;
        Ok(Some(json!({ "manifest": manifest, "artefact": artefact })))
    });
    match opened.await? {
        Some(released) => Ok(Json(released)),
        None => evidence(State(app), Signed(caller), Id(id)).await,
    }
}

/// The review copy: the artefact as it would leave, and the evidence behind it. Each opening is a leaf.
#[utoipa::path(get, path = "/v1/releases/{id}/evidence", tag = "releases", params(("id" = String, Path, description = "output")),
    responses((status = 200, description = "manifest, artefact and evidence", body = Object)))]
async fn evidence(State(app): State<App>, Signed(caller): Signed, Id(id): Id<ReleaseId>) -> Result<Json<Value>, ApiError> {
    let copy = app.write(move |app, tx| {
        let row = find(tx, &id)?;
        let permit = app.permit::<actions::ReleaseEvidenceRead>(&caller, thing(&row))?;
        let manifest = view(app, tx, &caller, row)?;
        let mut copy = gate::review_copy(tx, &app.store.artefacts, &app.journal, permit)?;
        if let Some(object) = copy.as_object_mut() {
            object.insert("manifest".into(), json!(manifest));
        }
        Ok(copy)
    });
    Ok(Json(copy.await?))
}

/// A checker's decision on a held output.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewReview {
    /// Whether it may leave.
    approve: bool,
    /// One of the closed list: `sound` approves; `disclosive`, `beyond_purpose`, `capacity`, `unexplained`, `quality` deny.
    reason: String,
}

/// The state after a review.
#[derive(Serialize, utoipa::ToSchema)]
struct Reviewed {
    /// The output.
    id: ReleaseId,
    /// `released` or `denied`.
    #[schema(value_type = String)]
    state: ReleaseState,
}

/// A reason of the closed list, or the refusal that names the list.
fn reason(word: &str) -> Result<ReviewReason, ApiError> {
    serde_json::from_value(Value::from(word)).map_err(|_| {
        let words = REASONS.iter().filter_map(|(r, _, _)| json!(r).as_str().map(str::to_owned)).collect::<Vec<_>>().join(", ");
        Refused::new(&refusal::REVIEW_REASON).threshold(words).into()
    })
}

/// Approves or denies a held output of another organisation.
#[utoipa::path(post, path = "/v1/releases/{id}/review", tag = "releases", params(("id" = String, Path, description = "output")),
    request_body = NewReview, responses((status = 200, body = Reviewed)))]
async fn review(
    State(app): State<App>,
    Signed(caller): Signed,
    Id(id): Id<ReleaseId>,
    JsonBody(new): JsonBody<NewReview>,
) -> Result<Json<Reviewed>, ApiError> {
    let name = id.clone();
    let state = app.write(move |app, tx| {
        let row = find(tx, &name)?;
        let permit = app.permit::<actions::ReleaseReview>(&caller, thing(&row))?;
        let state = gate::review(tx, &app.journal, permit, new.approve, reason(&new.reason)?, app.now())?;
        crate::jobs::reviewed(tx, &row.job)?;
        Ok(state)
    });
    let state = state.await?;
    app.jobs.ring();
    Ok(Json(Reviewed { id, state }))
}

/// A provider objects to a held output that rests on its data: it does not leave.
#[utoipa::path(post, path = "/v1/releases/{id}/veto", tag = "releases", params(("id" = String, Path, description = "output")),
    request_body = Reason, responses((status = 200, body = Reviewed)))]
async fn veto(
    State(app): State<App>,
    Signed(caller): Signed,
    Id(id): Id<ReleaseId>,
    JsonBody(why): JsonBody<Reason>,
) -> Result<Json<Reviewed>, ApiError> {
    let name = id.clone();
    app.write(move |app, tx| {
        let row = find(tx, &name)?;
        let permit = app.permit::<actions::ReleaseVeto>(&caller, thing(&row))?;
        gate::veto(tx, &app.journal, permit, &why.reason, app.now())?;
        crate::jobs::reviewed(tx, &row.job)?;
        Ok(())
    })
    .await?;
    app.jobs.ring();
    Ok(Json(Reviewed { id, state: ReleaseState::Denied }))
}
