//! Applications for data, and the providers' decisions.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use rusqlite::Connection;
use serde::Deserialize;
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::authorisations::Recorded;
use super::body::{Id, JsonBody, TomlBody};
use super::error::{ApiError, not_found};
use super::signed::Signed;
use super::state::App;
use crate::agreement::{Application, ApplicationDocument, records};
use crate::catalog::store;
use crate::id::{DatasetId, Name, OrgId};
use crate::policy::actions;
use crate::policy::resource::{self, Platform};
use crate::store::StoreError;
use crate::tlog::leaf::LeafKind;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(submit, list)).routes(routes!(read)).routes(routes!(decide))
}

/// A provider's decision.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewDecision {
    /// Whether it is granted.
    approve: bool,
    /// Why; a refusal needs one.
    #[serde(default)]
    reason: String,
    /// Legal basis; a refusal needs one.
    #[serde(default)]
    basis: String,
}

/// Owners of the datasets, the operator left out; and the first dataset that is not registered.
fn owners(connection: &Connection, document: &ApplicationDocument) -> Result<(BTreeSet<OrgId>, Option<DatasetId>), StoreError> {
    let (mut owners, mut unknown) = (BTreeSet::new(), None);
    for dataset in document.columns.keys() {
        match store::entry(connection, dataset)? {
            Some(row) if *row.entry.owner() != document.operator => drop(owners.insert(row.entry.owner().clone())),
            Some(_) => {}
            None => unknown = unknown.or(Some(dataset.clone())),
        }
    }
    Ok((owners, unknown))
}

fn thing(document: &ApplicationDocument, providers: BTreeSet<OrgId>) -> resource::Application {
    resource::Application { id: document.id.clone(), org: document.operator.clone(), providers }
}

/// Applies for data.
#[utoipa::path(post, path = "/v1/applications", tag = "papers", request_body(content = String, content_type = "application/toml"),
    responses((status = 201, body = Recorded)))]
async fn submit(
    State(app): State<App>,
    Signed(caller): Signed,
    TomlBody(text): TomlBody,
) -> Result<(StatusCode, Json<Recorded>), ApiError> {
    let document = ApplicationDocument::parse(&text)?;
    let id = app.write(move |app, tx| {
        let (providers, unknown) = owners(tx, &document)?;
        let permit = app.permit::<actions::ApplicationSubmit>(&caller, thing(&document, providers.clone()))?;
        if let Some(dataset) = unknown {
            return Err(not_found(dataset.as_str()));
        }
        records::submit(tx, permit, &document, app.now())?;
        let readers: Vec<&OrgId> = providers.iter().collect();
        let _ = app.append(tx, LeafKind::Application, &caller, ("application.submitted", json!(document)), &readers)?;
        Ok(document.id)
    });
    Ok((StatusCode::CREATED, Json(Recorded { id: id.await? })))
}

/// Applications that the caller may see.
#[utoipa::path(get, path = "/v1/applications", tag = "papers", responses((status = 200, body = Vec<Application>)))]
async fn list(State(app): State<App>, Signed(caller): Signed) -> Result<Json<Vec<Application>>, ApiError> {
    let _permit = app.permit::<actions::ApplicationList>(&caller, Platform {})?;
    let all = app.read(move |app, c| {
        let mut visible = Vec::new();
        for id in records::application_ids(c)? {
            visible.extend(records::application(c, &id)?);
        }
        visible.retain(|a| app.authz.allows::<actions::ApplicationRead>(&caller, &thing(&a.document, a.providers.clone())));
        Ok(visible)
    });
    Ok(Json(all.await?))
}

/// One application.
#[utoipa::path(get, path = "/v1/applications/{id}", tag = "papers", params(("id" = String, Path, description = "application")),
    responses((status = 200, body = Application)))]
async fn read(State(app): State<App>, Signed(caller): Signed, Id(id): Id<Name>) -> Result<Json<Application>, ApiError> {
    let found = app.read(move |app, c| {
        let found = records::application(c, &id)?.ok_or_else(|| not_found(id.as_str()))?;
        let _permit = app.permit::<actions::ApplicationRead>(&caller, thing(&found.document, found.providers.clone()))?;
        Ok(found)
    });
    Ok(Json(found.await?))
}

/// Decides an application for one's own data.
#[utoipa::path(post, path = "/v1/applications/{id}/decide", tag = "papers", params(("id" = String, Path, description = "application")),
    request_body = NewDecision, responses((status = 200, body = Recorded)))]
async fn decide(
    State(app): State<App>,
    Signed(caller): Signed,
    Id(id): Id<Name>,
    JsonBody(new): JsonBody<NewDecision>,
) -> Result<Json<Recorded>, ApiError> {
    let decided = app.write(move |app, tx| {
        let found = records::application(tx, &id)?.ok_or_else(|| not_found(id.as_str()))?;
        let permit = app.permit::<actions::ApplicationDecide>(&caller, thing(&found.document, found.providers.clone()))?;
        records::decide(tx, permit, new.approve, &new.reason, &new.basis, app.now())?;
        let about = json!({ "application": id, "approve": new.approve, "reason": new.reason, "basis": new.basis });
        let _ = app.append(tx, LeafKind::Application, &caller, ("application.decided", about), &[&found.document.operator])?;
        Ok(id)
    });
    Ok(Json(Recorded { id: decided.await? }))
}
