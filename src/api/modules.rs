//! Modules: uploaded with a signature, reviewed by someone of another organisation.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::limits::Limits;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::{Id, JsonBody, bytes};
use super::error::{ApiError, malformed, not_found};
use super::signed::Signed;
use super::state::App;
use crate::id::ModuleDigest;
use crate::jobs::modules::{self, ModuleRow};
use crate::policy::actions;
use crate::policy::resource::{Module, Platform};
use crate::refusal::{self, Refused};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(upload, list)).routes(routes!(read)).routes(routes!(wasm)).routes(routes!(review))
}

fn thing(row: &ModuleRow) -> Module {
    Module { id: row.digest.clone(), org: row.org.clone() }
}

/// The signature, and the digest that it is said to be over.
fn announced(headers: &HeaderMap) -> Result<(Vec<u8>, Option<ModuleDigest>), ApiError> {
    let text = |name: &str| headers.get(name).map(|v| v.to_str().map_err(|_| malformed(name))).transpose();
    let signature = text("x-fusebox-signature")?.ok_or(Refused::new(&refusal::MODULE_SIGNATURE))?;
    let signature = STANDARD.decode(signature).map_err(|_| Refused::new(&refusal::MODULE_SIGNATURE))?;
    let digest = text("x-fusebox-digest")?.map(|t| t.parse().map_err(|_| malformed("x-fusebox-digest"))).transpose()?;
    Ok((signature, digest))
}

/// Uploads a module. Its signature is Ed25519 over `fusebox-module-v1`, a zero byte and the 32 bytes of its SHA-256.
#[utoipa::path(post, path = "/v1/modules", tag = "modules",
    params(("x-fusebox-signature" = String, Header, description = "base64"), ("x-fusebox-digest" = Option<String>, Header, description = "sha256:…")),
    request_body(content = Vec<u8>, content_type = "application/wasm"), responses((status = 201, body = ModuleRow)))]
async fn upload(
    State(app): State<App>,
    Signed(caller): Signed,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<ModuleRow>), ApiError> {
    let org = caller.principal().org.clone();
    // Judged before a byte is received; judged again for what was received.
    let _may = app.permit::<actions::ModuleUpload>(&caller, Module { id: ModuleDigest::of(b""), org: org.clone() })?;
    let (signature, digest) = announced(&headers)?;
    let slot = app.upload_slot()?;
    let wasm = bytes(body, usize::try_from(Limits::STANDARD.module_bytes_max).unwrap_or(0)).await?.to_vec();
    let thing = Module { id: ModuleDigest::of(&wasm), org: org.clone() };
    let compiled = app.blocking(move |app| app.jobs.compile(&org, wasm, digest, signature)).await?;
    drop(slot);
    let permit = app.permit::<actions::ModuleUpload>(&caller, thing)?;
    let row = app.write(move |app, tx| Ok(compiled.store(tx, &app.store, &app.journal, permit, app.now())?)).await?;
    Ok((StatusCode::CREATED, Json(row)))
}

/// Modules that the caller may see.
#[utoipa::path(get, path = "/v1/modules", tag = "modules", responses((status = 200, body = Vec<ModuleRow>)))]
async fn list(State(app): State<App>, Signed(caller): Signed) -> Result<Json<Vec<ModuleRow>>, ApiError> {
    let _permit = app.permit::<actions::ModuleList>(&caller, Platform {})?;
    let mut all = app.read(|_, c| Ok(modules::list(c)?)).await?;
    all.retain(|row| app.authz.allows::<actions::ModuleRead>(&caller, &thing(row)));
    Ok(Json(all))
}

async fn find(app: &App, digest: ModuleDigest) -> Result<ModuleRow, ApiError> {
    app.read(move |_, c| modules::find(c, &digest)?.ok_or_else(|| not_found(digest.as_str()))).await
}

/// One module.
#[utoipa::path(get, path = "/v1/modules/{digest}", tag = "modules", params(("digest" = String, Path, description = "sha256:…")),
    responses((status = 200, body = ModuleRow)))]
async fn read(State(app): State<App>, Signed(caller): Signed, Id(digest): Id<ModuleDigest>) -> Result<Json<ModuleRow>, ApiError> {
    let row = find(&app, digest).await?;
    let _permit = app.permit::<actions::ModuleRead>(&caller, thing(&row))?;
    Ok(Json(row))
}

/// The bytes of a module, for its review.
#[utoipa::path(get, path = "/v1/modules/{digest}/wasm", tag = "modules", params(("digest" = String, Path, description = "sha256:…")),
    responses((status = 200, description = "the bytes as uploaded", content_type = "application/wasm")))]
async fn wasm(State(app): State<App>, Signed(caller): Signed, Id(digest): Id<ModuleDigest>) -> Result<Response, ApiError> {
    let row = find(&app, digest).await?;
    let _permit = app.permit::<actions::ModuleBytesRead>(&caller, thing(&row))?;
    let bytes = app.read(move |app, c| Ok(modules::bytes(c, &app.store, &row.digest)?)).await?;
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static("application/wasm"))], bytes).into_response())
}

/// A checker's decision on a module.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct ModuleReview {
    /// Whether it may run on real data.
    approve: bool,
    /// Why; a denial needs one.
    #[serde(default)]
    reason: String,
}

/// Approves or denies a module of another organisation.
#[utoipa::path(post, path = "/v1/modules/{digest}/review", tag = "modules", params(("digest" = String, Path, description = "sha256:…")),
    request_body = ModuleReview, responses((status = 200, body = ModuleRow)))]
async fn review(
    State(app): State<App>,
    Signed(caller): Signed,
    Id(digest): Id<ModuleDigest>,
    JsonBody(new): JsonBody<ModuleReview>,
) -> Result<Json<ModuleRow>, ApiError> {
    let row = app.write(move |app, tx| {
        let found = modules::find(tx, &digest)?.ok_or_else(|| not_found(digest.as_str()))?;
        let permit = app.permit::<actions::ModuleReview>(&caller, thing(&found))?;
        Ok(modules::review(tx, &app.journal, permit, new.approve, &new.reason, app.now())?)
    });
    Ok(Json(row.await?))
}
