//! Keys with which reviewers sign votes: enrolled by the reviewer, confirmed by the security administrator.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::{Id, JsonBody};
use super::error::{ApiError, malformed, not_found};
use super::signed::Signed;
use super::state::App;
use crate::gate::{self, ReviewerKey};
use crate::id::Name;
use crate::policy::resource::{self, Platform};
use crate::policy::{Caller, actions};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, enrol)).routes(routes!(confirm)).routes(routes!(revoke))
}

/// A key to be enrolled.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewReviewerKey {
    /// Ed25519 public key, 32 bytes in base64.
    public_key: String,
}

/// A confirmation.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Confirmation {
    /// The fingerprint that the reviewer told in person: `sha256:` and 64 hexadecimal digits.
    fingerprint: String,
}

fn thing(key: &ReviewerKey) -> resource::ReviewerKey {
    resource::ReviewerKey { id: key.id.clone(), name: key.principal.clone(), org: key.org.clone() }
}

/// Enrols a key of the caller.
pub(crate) async fn enrol_key(app: &App, caller: &Caller, public_key: &str) -> Result<ReviewerKey, ApiError> {
    let who = caller.principal();
    let id: Name = "new".parse()?;
    let permit =
        app.permit::<actions::ReviewerKeyEnrol>(caller, resource::ReviewerKey { id, name: who.id.clone(), org: who.org.clone() })?;
    let key = STANDARD.decode(public_key).map_err(|_| malformed("public_key"))?;
    app.write(move |app, tx| Ok(gate::enrol_key(tx, &app.journal, permit, &key, app.now())?)).await
}

/// Keys that `caller` may see, newest first.
pub(crate) async fn keys(app: &App, caller: &Caller) -> Result<Vec<ReviewerKey>, ApiError> {
    let _permit = app.permit::<actions::ReviewerKeyList>(caller, Platform {})?;
    let caller = caller.clone();
    app.read(move |app, c| {
        let mut keys = gate::reviewer_keys(c)?;
        keys.retain(|key| app.authz.allows::<actions::ReviewerKeyRead>(&caller, &thing(key)));
        Ok(keys)
    })
    .await
}

/// Enrols the caller's own key. It signs nothing before it is confirmed.
#[utoipa::path(post, path = "/v1/reviewer-keys", tag = "reviews", request_body = NewReviewerKey, responses((status = 201, body = ReviewerKey)))]
async fn enrol(
    State(app): State<App>,
    Signed(caller): Signed,
    JsonBody(new): JsonBody<NewReviewerKey>,
) -> Result<(StatusCode, Json<ReviewerKey>), ApiError> {
    Ok((StatusCode::CREATED, Json(enrol_key(&app, &caller, &new.public_key).await?)))
}

/// Reviewers' keys: a checker's own; for the security administrator, the authority and auditors all.
#[utoipa::path(get, path = "/v1/reviewer-keys", tag = "reviews", responses((status = 200, body = Vec<ReviewerKey>)))]
async fn list(State(app): State<App>, Signed(caller): Signed) -> Result<Json<Vec<ReviewerKey>>, ApiError> {
    Ok(Json(keys(&app, &caller).await?))
}

/// Confirms a key by its fingerprint.
#[utoipa::path(post, path = "/v1/reviewer-keys/{id}/confirm", tag = "reviews", params(("id" = String, Path, description = "key")),
    request_body = Confirmation, responses((status = 200, body = ReviewerKey)))]
async fn confirm(
    State(app): State<App>,
    Signed(caller): Signed,
    Id(id): Id<Name>,
    JsonBody(new): JsonBody<Confirmation>,
) -> Result<Json<ReviewerKey>, ApiError> {
    let confirmed = app.write(move |app, tx| {
        let key = gate::reviewer_key(tx, &id)?.ok_or_else(|| not_found(id.as_str()))?;
        let permit = app.permit::<actions::ReviewerKeyConfirm>(&caller, thing(&key))?;
        Ok(gate::confirm_key(tx, &app.journal, permit, &new.fingerprint, app.now())?)
    });
    Ok(Json(confirmed.await?))
}

/// Revokes a key: a vote under it that was not counted is void.
#[utoipa::path(delete, path = "/v1/reviewer-keys/{id}", tag = "reviews", params(("id" = String, Path, description = "key")), responses((status = 204)))]
async fn revoke(State(app): State<App>, Signed(caller): Signed, Id(id): Id<Name>) -> Result<StatusCode, ApiError> {
    app.write(move |app, tx| {
        let key = gate::reviewer_key(tx, &id)?.ok_or_else(|| not_found(id.as_str()))?;
        let permit = app.permit::<actions::ReviewerKeyRevoke>(&caller, thing(&key))?;
        Ok(gate::revoke_reviewer_key(tx, &app.journal, permit, app.now())?)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}
