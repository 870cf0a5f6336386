//! The release log: checkpoint and tiles for everyone, bodies for those they concern.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rusqlite::Connection;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::Id;
use super::error::{ApiError, not_found};
use super::signed::Signed;
use super::state::App;
use crate::policy::actions;
use crate::policy::resource::LogEntry;
use crate::store::StoreError;
use crate::tlog::{self, Reader, Tile, journal};

/// Full tiles never change (tlog-tiles, "caching").
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const BRIEFLY: HeaderValue = HeaderValue::from_static("no-cache");

pub(super) fn public() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(checkpoint)).routes(routes!(cosigned)).routes(routes!(tile)).routes(routes!(key))
}

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(leaf))
}

fn answer(content_type: &'static str, cache: HeaderValue, body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static(content_type)), (header::CACHE_CONTROL, cache)], body).into_response()
}

/// The newest signed checkpoint (C2SP tlog-checkpoint).
#[utoipa::path(get, path = "/log/checkpoint", tag = "log", responses((status = 200, body = String, content_type = "text/plain")))]
async fn checkpoint(State(app): State<App>) -> Result<Response, ApiError> {
    let newest = app.read(|_, c| Ok(journal::checkpoint(c)?)).await?;
    let (_, note) = newest.ok_or_else(|| not_found("the log is empty"))?;
    Ok(answer("text/plain; charset=utf-8", BRIEFLY, note.into_bytes()))
}

/// The newest checkpoint that the witness cosigned (C2SP tlog-cosignature).
#[utoipa::path(get, path = "/log/checkpoint/cosigned", tag = "log", responses((status = 200, body = String, content_type = "text/plain")))]
async fn cosigned(State(app): State<App>) -> Result<Response, ApiError> {
    let newest = app.read(|_, c| Ok(tlog::cosigned::newest(c)?)).await?;
    let (_, note) = newest.ok_or_else(|| not_found("nothing is cosigned yet"))?;
    Ok(answer("text/plain; charset=utf-8", BRIEFLY, note.into_bytes()))
}

/// The log's public key, `name+hash+base64`. A verifier compares it with the one it remembers.
#[utoipa::path(get, path = "/log/key", tag = "log", responses((status = 200, body = String, content_type = "text/plain")))]
async fn key(State(app): State<App>) -> Response {
    answer("text/plain; charset=utf-8", BRIEFLY, format!("{}\n", app.log_key).into_bytes())
}

/// A tile or entry bundle (C2SP tlog-tiles).
#[utoipa::path(get, path = "/log/tile/{*path}", tag = "log", params(("path" = String, Path, description = "as tlog-tiles spells it")),
    responses((status = 200, description = "hashes, or entries", content_type = "application/octet-stream")))]
async fn tile(State(app): State<App>, Id(path): Id<String>) -> Result<Response, ApiError> {
    let tile = Tile::parse(&format!("tile/{path}")).ok_or_else(|| not_found("not a tile"))?;
    let bytes = app
        .read(move |_, c| {
            let size = journal::checkpoint(c)?.map_or(0, |(size, _)| size);
            if !tile.within(size) {
                return Err(not_found("not a tile of this log"));
            }
            let bytes = tile.bytes(|level, index| journal::node(c, level, index), |number| journal::entry(c, number));
            bytes.map_err(|e| ApiError::Internal(e.to_string()))
        })
        .await?;
    let full = tile.width() == crate::tlog::tile::TILE_WIDTH;
    Ok(answer("application/octet-stream", if full { FOR_EVER } else { BRIEFLY }, bytes))
}

/// A leaf with what it commits to.
#[derive(Serialize, utoipa::ToSchema)]
struct OpenLeaf {
    /// The published 56 bytes, base64.
    leaf: String,
    /// The salt, base64.
    salt: String,
    /// The body, canonical JSON: the commitment is HMAC-SHA-256(salt, body).
    body: String,
}

/// Who a leaf's body concerns, or nothing where there is no such leaf.
fn parties(connection: &Connection, number: u64) -> Result<Option<LogEntry>, StoreError> {
    let readers = journal::readers(connection, number)?;
    Ok(readers.map(|parties| LogEntry { id: number, parties }))
}

/// The body of a leaf.
#[utoipa::path(get, path = "/v1/log/leaves/{n}", tag = "log", params(("n" = u64, Path, description = "index of the leaf")),
    responses((status = 200, body = OpenLeaf)))]
async fn leaf(State(app): State<App>, Signed(caller): Signed, Id(n): Id<u64>) -> Result<Json<OpenLeaf>, ApiError> {
    let entry = app.read(move |_, c| parties(c, n)?.ok_or_else(|| not_found("no such leaf"))).await?;
    let _permit = app.permit::<actions::LogBodyRead>(&caller, entry)?;
    let opened = app.read(move |app, c| app.journal.open(c, n, Reader::All)?.ok_or_else(|| not_found("no such leaf"))).await?;
    Ok(Json(OpenLeaf { leaf: STANDARD.encode(opened.leaf), salt: STANDARD.encode(opened.salt), body: opened.body }))
}
