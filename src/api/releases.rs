//! Outputs at the gate: seen and fetched.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::{Id, Params};
use super::error::{ApiError, not_found};
use super::listing::{Lister, Listing};
use super::signed::Signed;
use super::state::App;
use crate::clock::Timestamp;
use crate::gate::{self, Filter, ReleaseRow, ReleaseState, ReviewShown};
use crate::id::{JobId, OrgId, ReleaseId};
use crate::policy::resource::{Platform, Release};
use crate::policy::{Caller, actions};
use crate::store::StoreError;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(read)).routes(routes!(artefact)).routes(routes!(evidence))
}

/// Which outputs a list shows.
#[derive(Deserialize)]
struct Wanted {
    job: Option<JobId>,
    state: Option<String>,
}

/// An output as the caller may see it. Holds no value of it.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct ReleaseView {
    /// The output.
    pub id: ReleaseId,
    /// Its job.
    pub job: JobId,
    /// The operator.
    pub org: OrgId,
    /// Owners of the inputs.
    pub providers: BTreeSet<OrgId>,
    /// `table`, `model` or `private`.
    #[schema(value_type = String)]
    pub kind: gate::OutputKind,
    /// `held`, `approved_pending`, `released`, `refused` or `denied`.
    #[schema(value_type = String)]
    pub state: ReleaseState,
    /// Its name in the module.
    pub name: String,
    /// The rule that refused it.
    #[schema(value_type = Option<Object>)]
    pub refusal: Option<Value>,
    /// Why it was released or denied: a word of the reviewers' list, `veto`, or the rule under which papers ended.
    pub reason: Option<String>,
    /// Rules that were applied, with their thresholds.
    #[schema(value_type = Object)]
    pub checks: Value,
    /// Agreement, plan, module, purpose, recipient, sources.
    #[schema(value_type = Object)]
    pub facts: Value,
    /// HMAC-SHA-256(salt, artefact), hexadecimal; the salt is in the bundle.
    pub commitment: String,
    /// Leaf of the decision.
    pub decision_leaf: u64,
    /// Leaf of the release.
    pub leaf: Option<u64>,
    /// When it reached the gate; for others than checkers on the policy's time quantum.
    pub created_at: Timestamp,
    /// When it was decided; likewise.
    pub decided_at: Option<Timestamp>,
    /// How its review stands.
    pub review: ReviewShown,
    /// Papers, sources, keys and module, for the supervisor's list.
    pub listing: Listing,
}

pub(crate) fn thing(row: &ReleaseRow) -> Release {
    Release { id: row.id.clone(), org: row.org.clone(), providers: row.providers.clone() }
}

/// Checks as an operator sees them; what cannot be read is not shown.
fn for_operator(checks: Value) -> Value {
    let checks: Vec<gate::Check> = serde_json::from_value(checks).unwrap_or_default();
    json!(checks.into_iter().map(gate::Check::for_operator).collect::<Vec<_>>())
}

/// The view of `row`; `None` where it may be seen, but not yet: the end of its job does not show before its quantum.
pub(crate) fn view(
    app: &App,
    connection: &Connection,
    caller: &Caller,
    row: ReleaseRow,
    lister: &mut Lister,
) -> Result<Option<ReleaseView>, ApiError> {
    let visible_at = crate::jobs::find(connection, &row.job)?.and_then(|job| job.visible_at);
    let exact = app.authz.allows::<actions::ReleaseEvidenceRead>(caller, &thing(&row));
    let from = visible_at.filter(|_| !exact);
    if from.is_some_and(|at| app.now() < at) {
        return Ok(None);
    }
    let listing = lister.of(connection, &row)?;
    let mut review = gate::review_shown(connection, &row, caller.principal(), &app.city, app.now())?;
    let quantum = if exact { 1 } else { i64::try_from(app.settings.log_quantum_s.get()).unwrap_or(i64::MAX) };
    review.rounds.iter_mut().for_each(|r| r.ended_at = r.ended_at.map(|at| at.floor_to_s(quantum)));
    let coarse = |at: Timestamp| from.map_or(at, |from| at.floor_to_s(quantum).max(from));
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
        review,
        listing,
    }))
}

/// Outputs that `caller` may see, newest first: denied ones beside approved ones.
pub(crate) async fn releases(app: &App, caller: &Caller, filter: Filter) -> Result<Vec<ReleaseView>, ApiError> {
    let _permit = app.permit::<actions::ReleaseList>(caller, Platform {})?;
    let caller = caller.clone();
    app.read(move |app, c| {
        let (mut visible, mut lister) = (Vec::new(), Lister::default());
        for row in gate::list(c, &filter, |row| app.authz.allows::<actions::ReleaseRead>(&caller, &thing(row)))? {
            visible.extend(view(app, c, &caller, row, &mut lister)?);
        }
        Ok(visible)
    })
    .await
}

/// One output as `caller` may see it.
pub(crate) async fn release(app: &App, caller: &Caller, id: &ReleaseId) -> Result<ReleaseView, ApiError> {
    let (caller, id) = (caller.clone(), id.clone());
    app.read(move |app, c| {
        let row = find(c, &id)?;
        let _permit = app.permit::<actions::ReleaseRead>(&caller, thing(&row))?;
        view(app, c, &caller, row, &mut Lister::default())?.ok_or_else(|| not_found(id.as_str()))
    })
    .await
}

/// Outputs that the caller may see, newest first.
#[utoipa::path(get, path = "/v1/releases", tag = "releases",
    params(("job" = Option<String>, Query, description = "of this job"), ("state" = Option<String>, Query, description = "held, approved_pending, released, refused or denied")),
    responses((status = 200, body = Vec<ReleaseView>)))]
async fn list(State(app): State<App>, Signed(caller): Signed, Params(wanted): Params<Wanted>) -> Result<Json<Vec<ReleaseView>>, ApiError> {
    Ok(Json(releases(&app, &caller, Filter { job: wanted.job, state: wanted.state }).await?))
}

pub(super) fn find(connection: &Connection, id: &ReleaseId) -> Result<ReleaseRow, ApiError> {
    gate::find(connection, id)?.ok_or_else(|| not_found(id.as_str()))
}

/// One output.
#[utoipa::path(get, path = "/v1/releases/{id}", tag = "releases", params(("id" = String, Path, description = "output")),
    responses((status = 200, body = ReleaseView)))]
async fn read(State(app): State<App>, Signed(caller): Signed, Id(id): Id<ReleaseId>) -> Result<Json<ReleaseView>, ApiError> {
    Ok(Json(release(&app, &caller, &id).await?))
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
        let Some(manifest) = view(app, c, &who, row, &mut Lister::default())? else { return Err(not_found(name.as_str())) };
        let released = gate::open(c, &app.store.artefacts, permit, app.settings.witness_required())?;
        let artefact: Value = serde_json::from_slice(released.artefact()).map_err(|_| StoreError::Malformed("artefact"))?;
        Ok(Some(json!({ "manifest": manifest, "artefact": artefact })))
    });
    match opened.await? {
        Some(released) => Ok(Json(released)),
        None => evidence(State(app), Signed(caller), Id(id)).await,
    }
}

/// The review copy of an output, with its manifest. Each opening is a leaf.
pub(crate) async fn copy(app: &App, caller: &Caller, id: &ReleaseId) -> Result<Value, ApiError> {
    let (caller, id) = (caller.clone(), id.clone());
    app.write(move |app, tx| {
        let row = find(tx, &id)?;
        let permit = app.permit::<actions::ReleaseEvidenceRead>(&caller, thing(&row))?;
        let manifest = view(app, tx, &caller, row, &mut Lister::default())?;
        let mut copy = gate::review_copy(tx, &app.store.artefacts, &app.journal, permit)?;
        if let Some(object) = copy.as_object_mut() {
            object.insert("manifest".into(), json!(manifest));
        }
        Ok(copy)
    })
    .await
}

/// The review copy: the artefact as it would leave, and the evidence behind it. Each opening is a leaf.
#[utoipa::path(get, path = "/v1/releases/{id}/evidence", tag = "releases", params(("id" = String, Path, description = "output")),
    responses((status = 200, description = "manifest, artefact and evidence", body = Object)))]
async fn evidence(State(app): State<App>, Signed(caller): Signed, Id(id): Id<ReleaseId>) -> Result<Json<Value>, ApiError> {
    Ok(Json(copy(&app, &caller, &id).await?))
}
