//! Fusion plans, and what follows from them: level, owners, columns.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use rusqlite::Connection;
use serde::Serialize;
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::{Id, TomlBody};
use super::error::{ApiError, not_found};
use super::signed::Signed;
use super::state::App;
use crate::agreement::Digest;
use crate::catalog::store::{self, PlanRow};
use crate::catalog::{CatalogueEntry, FusionPlan, SecurityLevel};
use crate::clock::Timestamp;
use crate::id::{DatasetId, OrgId, PlanId};
use crate::policy::actions;
use crate::policy::resource::{Plan, Platform};
use crate::store::StoreError;
use crate::tlog::leaf::LeafKind;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(submit, list)).routes(routes!(read))
}

/// A submitted plan.
#[derive(Serialize, utoipa::ToSchema)]
struct Submitted {
    /// The plan.
    id: PlanId,
    /// Digest that an agreement pins.
    digest: Digest,
}

/// A plan and what follows from it under the present catalogue.
#[derive(Serialize, utoipa::ToSchema)]
struct PlanView {
    /// The plan.
    id: PlanId,
    /// The operator.
    org: OrgId,
    /// Its digest.
    digest: Digest,
    /// When it was submitted.
    submitted_at: Timestamp,
    /// Highest level of its members; nothing where the catalogue no longer allows the plan.
    level: Option<SecurityLevel>,
    /// Whose word an agreement needs, the operator left out.
    providers: BTreeSet<OrgId>,
    /// Granted columns with their sources.
    columns: Vec<GrantedColumn>,
    /// As written.
    plan: FusionPlan,
}

/// A granted column.
#[derive(Serialize, utoipa::ToSchema)]
struct GrantedColumn {
    /// Its name in the view.
    name: String,
    /// Where it comes from.
    dataset: DatasetId,
    /// Its name there.
    column: String,
}

/// Newest entries of the plan's datasets, as far as they are registered.
pub(super) fn members(connection: &Connection, plan: &FusionPlan) -> Result<BTreeMap<DatasetId, CatalogueEntry>, StoreError> {
    let mut found = BTreeMap::new();
    for dataset in plan.datasets() {
        if let Some(row) = store::entry(connection, dataset)? {
            found.insert(dataset.clone(), row.entry);
        }
    }
    Ok(found)
}

/// What the authorisation policies look at.
pub(super) fn resource(connection: &Connection, plan: &FusionPlan, org: &OrgId) -> Result<Plan, StoreError> {
    let owners = members(connection, plan)?.into_values().map(|e| e.owner().clone());
    Ok(Plan { id: plan.id.clone(), org: org.clone(), providers: owners.filter(|o| o != org).collect() })
}

fn view(connection: &Connection, row: PlanRow) -> Result<PlanView, StoreError> {
    let members = members(connection, &row.plan)?;
    let resolved = row.plan.validate(&members.iter().map(|(id, entry)| (id.clone(), entry)).collect()).ok();
    let column =
        |p: &crate::catalog::Provenance| GrantedColumn { name: p.output.clone(), dataset: p.dataset.clone(), column: p.column.clone() };
    Ok(PlanView {
        id: row.plan.id.clone(),
        digest: Digest(row.plan.digest()),
        submitted_at: row.submitted_at,
        level: resolved.as_ref().map(|r| r.level),
        providers: members.values().map(|e| e.owner().clone()).filter(|o| *o != row.org).collect(),
        columns: resolved.iter().flat_map(|r| r.provenance.iter().map(column)).collect(),
        org: row.org,
        plan: row.plan,
    })
}

/// Submits a plan. It is checked against the catalogue and never changed.
#[utoipa::path(post, path = "/v1/plans", tag = "plans", request_body(content = String, content_type = "application/toml"),
    responses((status = 201, body = Submitted)))]
async fn submit(
    State(app): State<App>,
    Signed(caller): Signed,
    TomlBody(text): TomlBody,
) -> Result<(StatusCode, Json<Submitted>), ApiError> {
    let plan = FusionPlan::parse(&text)?;
    let submitted = app.write(move |app, tx| {
        let thing = resource(tx, &plan, &caller.principal().org)?;
        let providers = thing.providers.clone();
        let permit = app.permit::<actions::PlanSubmit>(&caller, thing)?;
        let members = members(tx, &plan)?;
        let _ = plan.validate(&members.iter().map(|(id, entry)| (id.clone(), entry)).collect())?;
        store::submit_plan(tx, permit, &plan, app.now())?;
        let digest = Digest(plan.digest());
        let about = json!({ "plan": plan.id, "digest": digest, "document": plan });
        let _ = app.append(tx, LeafKind::Registration, &caller, ("plan.submitted", about), &providers.iter().collect::<Vec<_>>())?;
        Ok(Submitted { id: plan.id, digest })
    });
    Ok((StatusCode::CREATED, Json(submitted.await?)))
}

/// Plans that the caller may see.
#[utoipa::path(get, path = "/v1/plans", tag = "plans", responses((status = 200, body = Vec<PlanView>)))]
async fn list(State(app): State<App>, Signed(caller): Signed) -> Result<Json<Vec<PlanView>>, ApiError> {
    let _permit = app.permit::<actions::PlanList>(&caller, Platform {})?;
    let all = app.read(move |app, c| {
        let mut visible = Vec::new();
        for row in store::plans(c)? {
            if app.authz.allows::<actions::PlanRead>(&caller, &resource(c, &row.plan, &row.org)?) {
                visible.push(view(c, row)?);
            }
        }
        Ok(visible)
    });
    Ok(Json(all.await?))
}

/// One plan.
#[utoipa::path(get, path = "/v1/plans/{id}", tag = "plans", params(("id" = String, Path, description = "plan")),
    responses((status = 200, body = PlanView)))]
async fn read(State(app): State<App>, Signed(caller): Signed, Id(id): Id<PlanId>) -> Result<Json<PlanView>, ApiError> {
    let found = app.read(move |app, c| {
        let row = store::plan(c, &id)?.ok_or_else(|| not_found(id.as_str()))?;
        let _permit = app.permit::<actions::PlanRead>(&caller, resource(c, &row.plan, &row.org)?)?;
        Ok(view(c, row)?)
    });
    Ok(Json(found.await?))
}
