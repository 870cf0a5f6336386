//! Bodies and path parameters: bounded, parsed, and refused without repeating them.

use std::io::Write;
use std::os::fd::OwnedFd;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header;
use axum::http::request::Parts;
use protocol::memfd::MemfdWriter;
use serde::de::DeserializeOwned;
use tokio_stream::StreamExt;

use super::error::{ApiError, malformed, not_found};
use crate::refusal::{self, Refused};

/// Bytes of a JSON or TOML body.
pub(super) const TEXT_BYTES_MAX: usize = 1 << 20;
/// Content types of the text bodies; everything else is an upload and gets the time of one.
const TEXT_TYPES: [&[u8]; 2] = [b"application/json", b"application/toml"];

pub(super) fn is_upload(content_type: &[u8]) -> bool {
    !TEXT_TYPES.iter().any(|t| content_type.get(..t.len()).is_some_and(|start| start.eq_ignore_ascii_case(t)))
}

fn has_type(request: &Request, wanted: &[u8]) -> bool {
    let value = request.headers().get(header::CONTENT_TYPE).map(|v| v.as_bytes()).unwrap_or_default();
    let rest = value.get(wanted.len()..).unwrap_or_default();
    value.get(..wanted.len()).is_some_and(|start| start.eq_ignore_ascii_case(wanted)) && (rest.is_empty() || rest.starts_with(b";"))
}

/// At most [`TEXT_BYTES_MAX`] bytes.
async fn collect(request: Request) -> Result<Bytes, ApiError> {
    bytes(request.into_body(), TEXT_BYTES_MAX).await
}

/// A whole body of at most `bytes_max` bytes.
pub(super) async fn bytes(body: Body, bytes_max: usize) -> Result<Bytes, ApiError> {
    axum::body::to_bytes(body, bytes_max).await.map_err(|error| {
        let long = std::error::Error::source(&error).is_some_and(|source| source.to_string().contains("length limit"));
        if long { too_large(bytes_max as u64) } else { malformed("the body did not arrive whole") }
    })
}

/// Receives an upload into sealed shared memory, which no file system holds and its reader can rely on not to change.
pub(super) async fn upload(parts: &axum::http::HeaderMap, body: Body, bytes_max: u64) -> Result<OwnedFd, ApiError> {
    let announced = parts.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|n| n > bytes_max) {
        return Err(too_large(bytes_max));
    }
    let failed = |e: std::io::Error| ApiError::Internal(e.to_string());
    let mut writer = MemfdWriter::create("upload").map_err(failed)?;
    let mut left = bytes_max;
    let mut body = body.into_data_stream();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|_| malformed("the body did not arrive whole"))?;
        left = left.checked_sub(chunk.len() as u64).ok_or_else(|| too_large(bytes_max))?;
        writer.write_all(&chunk).map_err(failed)?;
    }
    writer.seal().map_err(failed)
}

/// `request.too_large` beyond `bytes_max`.
pub(super) fn too_large(bytes_max: u64) -> ApiError {
    Refused::new(&refusal::TOO_LARGE).threshold(format!("{bytes_max} bytes")).into()
}

/// A JSON body.
pub(super) struct JsonBody<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;
    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        if !has_type(&request, b"application/json") {
            return Err(malformed("content-type: application/json is needed"));
        }
        let body = collect(request).await?;
        serde_json::from_slice(&body).map(Self).map_err(|error| malformed(&told(&error)))
    }
}

/// What of a parser's message may be told: where it is, and the name of an element; no value and no type of ours.
fn told(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let element = ["missing field", "unknown field", "duplicate field"].iter().any(|start| text.starts_with(start));
    let what = if element { text.split(", expected").next().and_then(|t| t.split(" at line").next()).unwrap_or_default() } else { "JSON" };
    format!("{what}, line {}, column {}", error.line(), error.column())
}

/// A TOML body, as text.
pub(super) struct TomlBody(pub String);

impl<S: Send + Sync> FromRequest<S> for TomlBody {
    type Rejection = ApiError;
    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        if !has_type(&request, b"application/toml") {
            return Err(malformed("content-type: application/toml is needed"));
        }
        let body = collect(request).await?;
        String::from_utf8(body.into()).map(Self).map_err(|_| malformed("not UTF-8"))
    }
}

/// A path parameter. What is no identifier names nothing.
pub(super) struct Id<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Id<T> {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Path(id) = Path::<T>::from_request_parts(parts, state).await.map_err(|_| not_found("not an identifier"))?;
        Ok(Self(id))
    }
}

/// Query parameters.
pub(super) struct Params<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Query(params) = Query::<T>::from_request_parts(parts, state).await.map_err(|_| malformed("query parameters"))?;
        Ok(Self(params))
    }
}
