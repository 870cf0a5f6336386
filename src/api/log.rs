//! The release log: checkpoint and tiles for everyone, bodies for those they concern.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::{Id, Params};
use super::error::{ApiError, malformed, not_found};
use super::signed::Signed;
use super::state::App;
use crate::clock::Timestamp;
use crate::id::OrgId;
use crate::policy::actions;
use crate::policy::resource::{LogEntry, Platform};
use crate::store::StoreError;
use crate::tlog::{self, Leaf, LeafKind, Reader, Tile, journal, merkle};

/// Leaves of one list.
const LEAVES_MAX: u32 = 500;

/// Full tiles never change (tlog-tiles, "caching").
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const BRIEFLY: HeaderValue = HeaderValue::from_static("no-cache");

pub(super) fn public() -> OpenApiRouter<App> {
    let lists = OpenApiRouter::new().routes(routes!(checkpoint)).routes(routes!(cosigned)).routes(routes!(tile));
    lists.routes(routes!(key)).routes(routes!(inclusion))
}

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(leaves)).routes(routes!(leaf))
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

/// That a leaf stands in the log, for whoever has the log's key. All of it is of one moment.
#[derive(Serialize, utoipa::ToSchema)]
struct Inclusion {
    /// The published 56 bytes, base64.
    leaf: String,
    /// The newest signed checkpoint.
    checkpoint: String,
    /// PATH(n, D[0:size]) of RFC 6962 §2.1.1 in the tree of that checkpoint, the leaf's sibling first, base64.
    path: Vec<String>,
}

/// Proof that a leaf stands in the log of the newest checkpoint (RFC 6962 §2.1.1; verified as RFC 9162 §2.1.3.2 says).
#[utoipa::path(get, path = "/log/inclusion/{n}", tag = "log", params(("n" = u64, Path, description = "index of the leaf")),
    responses((status = 200, body = Inclusion)))]
async fn inclusion(State(app): State<App>, Id(n): Id<u64>) -> Result<Response, ApiError> {
    let proof = app.read(move |_, c| {
        let (size, checkpoint) = journal::checkpoint(c)?.filter(|(size, _)| n < *size).ok_or_else(|| not_found("no such leaf"))?;
        let path =
            merkle::inclusion(n, size, |level, index| journal::node(c, level, index)).map_err(|e| ApiError::Internal(e.to_string()))?;
        let leaf = journal::entry(c, n).ok_or_else(|| ApiError::Internal("a leaf of the log is not stored".into()))?;
        let path = path.iter().map(ToString::to_string).collect();
        Ok(Inclusion { leaf: STANDARD.encode(leaf), checkpoint, path })
    });
    let proof = proof.await?;
    Ok(([(header::CACHE_CONTROL, BRIEFLY)], Json(proof)).into_response())
}

/// Which leaves a list shows.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Leaves before this number; without it the newest.
    before: Option<u64>,
    /// Leaves at most: 1 to 500; without it 100.
    count: Option<u32>,
    /// Leaves of this kind alone: its code.
    kind: Option<u8>,
}

/// The public header of a leaf.
#[derive(Serialize, utoipa::ToSchema)]
struct LeafLine {
    /// Index in the log.
    number: u64,
    /// Code of its kind.
    kind: u8,
    /// Its kind in English.
    en: &'static str,
    /// Its kind in Chinese.
    zh: &'static str,
    /// Start of its time quantum.
    at: Timestamp,
    /// HMAC-SHA-256(salt, body), hexadecimal.
    commitment: String,
    /// Whether the caller may see its body.
    open: bool,
}

/// Part of the log.
#[derive(Serialize, utoipa::ToSchema)]
struct Leaves {
    /// Leaves in the log, as the newest checkpoint says.
    size: u64,
    /// Newest first.
    leaves: Vec<LeafLine>,
}

/// Headers of leaves, newest first.
#[utoipa::path(get, path = "/v1/log/leaves", tag = "log", params(Wanted), responses((status = 200, body = Leaves)))]
async fn leaves(State(app): State<App>, Signed(caller): Signed, Params(wanted): Params<Wanted>) -> Result<Json<Leaves>, ApiError> {
    let _permit = app.permit::<actions::LogRead>(&caller, Platform {})?;
    let count = wanted.count.unwrap_or(100);
    if !(1..=LEAVES_MAX).contains(&count) {
        return Err(malformed("count: 1 to 500"));
    }
    let kind =
        wanted.kind.map(|code| LeafKind::from_code(code).ok_or_else(|| malformed("kind: the code of a kind of leaf"))).transpose()?;
    let found = app.read(move |app, c| {
        let size = journal::checkpoint(c)?.map_or(0, |(size, _)| size);
        let line = |(leaf, parties): (Leaf, BTreeSet<OrgId>)| LeafLine {
            number: leaf.number,
            kind: leaf.kind.code(),
            en: leaf.kind.en(),
            zh: leaf.kind.zh(),
            at: Timestamp::from_unix_s(i64::try_from(leaf.time_s).unwrap_or(i64::MAX)),
            commitment: leaf.commitment.iter().map(|b| format!("{b:02x}")).collect(),
            open: app.authz.allows::<actions::LogBodyRead>(&caller, &LogEntry { id: leaf.number, parties }),
        };
        let before = wanted.before.unwrap_or(size).min(size);
        Ok(Leaves { size, leaves: journal::headers(c, before, kind, count)?.into_iter().map(line).collect() })
    });
    Ok(Json(found.await?))
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
