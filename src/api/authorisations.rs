//! Authorisations of operators.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::{Id, JsonBody, TomlBody};
use super::error::{ApiError, not_found};
use super::signed::Signed;
use super::state::App;
use crate::agreement::{Authorisation, AuthorisationDocument, records};
use crate::id::Name;
use crate::policy::actions;
use crate::policy::resource::{self, Platform};
use crate::tlog::leaf::LeafKind;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(grant, list)).routes(routes!(read)).routes(routes!(revoke))
}

/// Identifier of a new paper.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Recorded {
    /// Identifier.
    pub id: Name,
}

/// Why something ends.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Reason {
    /// In words.
    pub reason: String,
}

fn thing(document: &AuthorisationDocument) -> resource::Authorisation {
    resource::Authorisation { id: document.id.clone(), org: document.operator.clone() }
}

/// Authorises an operator.
#[utoipa::path(post, path = "/v1/authorisations", tag = "papers", request_body(content = String, content_type = "application/toml"),
    responses((status = 201, body = Recorded)))]
async fn grant(State(app): State<App>, Signed(caller): Signed, TomlBody(text): TomlBody) -> Result<(StatusCode, Json<Recorded>), ApiError> {
    let document = AuthorisationDocument::parse(&text)?;
    let permit = app.permit::<actions::AuthorisationGrant>(&caller, thing(&document))?;
    let id = app.write(move |app, tx| {
        records::grant(tx, permit, &document, app.now())?;
        let _ = app.append(tx, LeafKind::Authorisation, &caller, ("authorisation.granted", json!(document)), &[&document.operator])?;
        Ok(document.id)
    });
    Ok((StatusCode::CREATED, Json(Recorded { id: id.await? })))
}

/// Authorisations that the caller may see.
#[utoipa::path(get, path = "/v1/authorisations", tag = "papers", responses((status = 200, body = Vec<Authorisation>)))]
async fn list(State(app): State<App>, Signed(caller): Signed) -> Result<Json<Vec<Authorisation>>, ApiError> {
    let _permit = app.permit::<actions::AuthorisationList>(&caller, Platform {})?;
    let all = app.read(move |app, c| {
        let mut visible = Vec::new();
        for id in records::authorisation_ids(c)? {
            visible.extend(records::authorisation(c, &id)?);
        }
        visible.retain(|a| app.authz.allows::<actions::AuthorisationRead>(&caller, &thing(&a.document)));
        Ok(visible)
    });
    Ok(Json(all.await?))
}

/// One authorisation.
#[utoipa::path(get, path = "/v1/authorisations/{id}", tag = "papers", params(("id" = String, Path, description = "authorisation")),
    responses((status = 200, body = Authorisation)))]
async fn read(State(app): State<App>, Signed(caller): Signed, Id(id): Id<Name>) -> Result<Json<Authorisation>, ApiError> {
    let found = app.read(move |app, c| {
        let found = records::authorisation(c, &id)?.ok_or_else(|| not_found(id.as_str()))?;
        let _permit = app.permit::<actions::AuthorisationRead>(&caller, thing(&found.document))?;
        Ok(found)
    });
    Ok(Json(found.await?))
}

/// Revokes an authorisation; queued and running jobs under it stop.
#[utoipa::path(post, path = "/v1/authorisations/{id}/revoke", tag = "papers", params(("id" = String, Path, description = "authorisation")),
    request_body = Reason, responses((status = 200, body = Recorded)))]
async fn revoke(
    State(app): State<App>,
    Signed(caller): Signed,
    Id(id): Id<Name>,
    JsonBody(why): JsonBody<Reason>,
) -> Result<Json<Recorded>, ApiError> {
    let name = id.clone();
    let (operator, stopped) = app
        .write(move |app, tx| {
            let found = records::authorisation(tx, &name)?.ok_or_else(|| not_found(name.as_str()))?;
            let permit = app.permit::<actions::AuthorisationRevoke>(&caller, thing(&found.document))?;
            records::revoke(tx, permit, &why.reason, app.now())?;
            let operator = found.document.operator;
            let about = json!({ "authorisation": name, "operator": operator, "reason": why.reason });
            let _ = app.append(tx, LeafKind::Revocation, &caller, ("authorisation.revoked", about), &[&operator])?;
            let stopped = app.jobs.cancel_unlawful(tx)?;
            Ok((operator, stopped))
        })
        .await?;
    app.jobs.stop(&stopped);
    app.jobs.evict(operator.as_str());
    Ok(Json(Recorded { id }))
}
