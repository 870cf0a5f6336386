//! Public keys with which organisations sign modules. The security administrator registers them: a key that its owner could
//! register would prove no more than a token does.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::{Id, JsonBody};
use super::error::{ApiError, malformed, not_found};
use super::signed::Signed;
use super::state::{App, random_hex};
use crate::id::{Name, OrgId};
use crate::jobs::modules::{self, SigningKeyRow};
use crate::policy::actions;
use crate::policy::resource::SigningKey;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(register)).routes(routes!(read, revoke))
}

/// A key to be registered.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewKey {
    /// Ed25519 public key, 32 bytes in base64.
    public_key: String,
    /// Whose key; without it the caller's organisation.
    #[serde(default)]
    org: Option<OrgId>,
}

/// A registered key.
#[derive(Serialize, utoipa::ToSchema)]
struct RegisteredKey {
    /// Its name.
    key_id: Name,
}

fn thing(row: &SigningKeyRow) -> SigningKey {
    SigningKey { id: row.id.clone(), org: row.org.clone() }
}

/// Registers a key.
#[utoipa::path(post, path = "/v1/keys", tag = "modules", request_body = NewKey, responses((status = 201, body = RegisteredKey)))]
async fn register(
    State(app): State<App>,
    Signed(caller): Signed,
    JsonBody(new): JsonBody<NewKey>,
) -> Result<(StatusCode, Json<RegisteredKey>), ApiError> {
    let org = new.org.unwrap_or_else(|| caller.principal().org.clone());
    let id: Name = format!("key-{}", random_hex::<8>()).parse()?;
    let permit = app.permit::<actions::KeyRegister>(&caller, SigningKey { id, org })?;
    let key = STANDARD.decode(&new.public_key).map_err(|_| malformed("public_key"))?;
    let row = app.write(move |app, tx| Ok(modules::register_key(tx, &app.journal, permit, &key, app.now())?)).await?;
    Ok((StatusCode::CREATED, Json(RegisteredKey { key_id: row.id })))
}

/// One key.
#[utoipa::path(get, path = "/v1/keys/{id}", tag = "modules", params(("id" = String, Path, description = "key")),
    responses((status = 200, body = SigningKeyRow)))]
async fn read(State(app): State<App>, Signed(caller): Signed, Id(id): Id<Name>) -> Result<Json<SigningKeyRow>, ApiError> {
    let row = app.read(move |_, c| modules::signing_key(c, &id)?.ok_or_else(|| not_found(id.as_str()))).await?;
    let _permit = app.permit::<actions::KeyRead>(&caller, thing(&row))?;
    Ok(Json(row))
}

/// Revokes a key: nothing new is accepted under it.
#[utoipa::path(delete, path = "/v1/keys/{id}", tag = "modules", params(("id" = String, Path, description = "key")), responses((status = 204)))]
async fn revoke(State(app): State<App>, Signed(caller): Signed, Id(id): Id<Name>) -> Result<StatusCode, ApiError> {
    app.write(move |app, tx| {
        let row = modules::signing_key(tx, &id)?.ok_or_else(|| not_found(id.as_str()))?;
        let permit = app.permit::<actions::KeyRevoke>(&caller, thing(&row))?;
        Ok(modules::revoke_key(tx, &app.journal, permit, app.now())?)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}
