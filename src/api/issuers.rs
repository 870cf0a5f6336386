//! Issuers of consent tokens: registered by providers and the authority.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rusqlite::Connection;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::authorisations::Reason;
use super::body::{Id, JsonBody};
use super::error::{ApiError, malformed, not_found};
use super::signed::Signed;
use super::state::App;
use crate::clock::Timestamp;
use crate::gate::{self, IssuerRow, NewIssuer};
use crate::id::{Name, OrgId};
use crate::policy::actions;
use crate::policy::resource::{Issuer, Platform};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(register, list)).routes(routes!(read)).routes(routes!(revoke))
}

/// An issuer to be registered.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct IssuerDocument {
    /// Its name, which tokens bear.
    id: Name,
    /// The organisation that signs; never one that operates.
    org: OrgId,
    /// Ed25519 public key, 32 bytes in base64.
    public_key: String,
    /// From when on its tokens are taken; without it from now on.
    #[serde(default)]
    valid_from: Option<Timestamp>,
    /// Until when.
    valid_until: Timestamp,
}

fn thing(row: &IssuerRow) -> Issuer {
    Issuer { id: row.id.clone(), org: row.org.clone(), registered_org: row.registered_org.clone() }
}

fn find(connection: &Connection, id: &Name) -> Result<IssuerRow, ApiError> {
    gate::issuer(connection, id)?.ok_or_else(|| not_found(id.as_str()))
}

/// Registers an issuer.
#[utoipa::path(post, path = "/v1/issuers", tag = "verifications", request_body = IssuerDocument, responses((status = 201, body = IssuerRow)))]
async fn register(
    State(app): State<App>,
    Signed(caller): Signed,
    JsonBody(new): JsonBody<IssuerDocument>,
) -> Result<(StatusCode, Json<IssuerRow>), ApiError> {
    let registered_org = caller.principal().org.clone();
    let permit = app.permit::<actions::IssuerRegister>(&caller, Issuer { id: new.id, org: new.org, registered_org })?;
    let key = STANDARD.decode(&new.public_key).ok().and_then(|k| <[u8; 32]>::try_from(k).ok());
    let public_key = key.ok_or_else(|| malformed("public_key"))?;
    let row = app.write(move |app, tx| {
        let now = app.now();
        let issuer = NewIssuer { public_key, valid_from: new.valid_from.unwrap_or(now), valid_until: new.valid_until };
        Ok(gate::register_issuer(tx, &app.journal, permit, &issuer, now)?)
    });
    Ok((StatusCode::CREATED, Json(row.await?)))
}

/// All issuers, by name.
#[utoipa::path(get, path = "/v1/issuers", tag = "verifications", responses((status = 200, body = Vec<IssuerRow>)))]
async fn list(State(app): State<App>, Signed(caller): Signed) -> Result<Json<Vec<IssuerRow>>, ApiError> {
    let _permit = app.permit::<actions::IssuerList>(&caller, Platform {})?;
    Ok(Json(app.read(|_, c| Ok(gate::issuers(c)?)).await?))
}

/// One issuer.
#[utoipa::path(get, path = "/v1/issuers/{id}", tag = "verifications", params(("id" = String, Path, description = "issuer")),
    responses((status = 200, body = IssuerRow)))]
async fn read(State(app): State<App>, Signed(caller): Signed, Id(id): Id<Name>) -> Result<Json<IssuerRow>, ApiError> {
    let row = app.read(move |_, c| find(c, &id)).await?;
    let _permit = app.permit::<actions::IssuerRead>(&caller, thing(&row))?;
    Ok(Json(row))
}

/// Revokes an issuer: none of its tokens is taken any more.
#[utoipa::path(post, path = "/v1/issuers/{id}/revoke", tag = "verifications", params(("id" = String, Path, description = "issuer")),
    request_body = Reason, responses((status = 200, body = IssuerRow)))]
async fn revoke(
    State(app): State<App>,
    Signed(caller): Signed,
    Id(id): Id<Name>,
    JsonBody(why): JsonBody<Reason>,
) -> Result<Json<IssuerRow>, ApiError> {
    let row = app.write(move |app, tx| {
        let permit = app.permit::<actions::IssuerRevoke>(&caller, thing(&find(tx, &id)?))?;
        Ok(gate::revoke_issuer(tx, &app.journal, permit, &why.reason, app.now())?)
    });
    Ok(Json(row.await?))
}
