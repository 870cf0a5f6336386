//! Uploads of rows and of consent: received into sealed memory, parsed in a worker, stored encrypted.

use std::convert::Infallible;
use std::sync::PoisonError;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use protocol::message::UploadFormat;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::watch;
use tokio_stream::wrappers::ReceiverStream;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::{Id, Params, upload};
use super::datasets::resource;
use super::error::{ApiError, malformed, not_found};
use super::signed::Signed;
use super::state::App;
use crate::catalog::store;
use crate::id::DatasetId;
use crate::jobs::{ImportOf, ImportReport, Jobs, RejectedLine};
use crate::policy::actions;
use crate::policy::resource::Dataset;
use crate::refusal::{self, Refused};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(versions)).routes(routes!(consents)).routes(routes!(progress))
}

/// How the upload is written.
#[derive(Deserialize)]
struct Format {
    format: String,
}

/// What an import brought.
#[derive(Serialize, utoipa::ToSchema)]
struct Imported {
    /// The version that was made.
    version: u32,
    /// Rows taken.
    rows: u64,
    /// Rows left out.
    rejected: u64,
    /// The first of them: row, column and rule, never a value.
    #[schema(value_type = Vec<Object>)]
    rejected_rows: Vec<RejectedLine>,
}

async fn dataset(app: &App, id: DatasetId) -> Result<Dataset, ApiError> {
    app.read(move |_, c| Ok(resource(&store::entry(c, &id)?.ok_or_else(|| not_found(id.as_str()))?.entry))).await
}

async fn import(app: App, of: ImportOf, format: Format, headers: HeaderMap, body: Body) -> Result<(StatusCode, Json<Imported>), ApiError> {
    let format: UploadFormat = Jobs::upload_format(&format.format).ok_or_else(|| malformed("format"))?;
    let slot = app.upload_slot()?;
    let received = upload(&headers, body, app.settings.upload_bytes_max).await?;
    let under_way = UnderWay::begin(&app, &of.dataset)?;
    let report: ImportReport =
        app.blocking(move |app| app.jobs.import(&of, format, &received, |rows| { let _ = under_way.rows.send_replace(rows); })).await?;
    drop(slot);
    match (report.version, report.refusal) {
        (Some(version), None) => {
            let made = Imported { version, rows: report.rows, rejected: report.rejected, rejected_rows: report.rejected_rows };
            Ok((StatusCode::CREATED, Json(made)))
        }
        (_, Some(refusal)) => {
            Err(ApiError::Detailed(refusal, json!({ "rejected": report.rejected, "rejected_rows": report.rejected_rows })))
        }
        (None, None) => Err(ApiError::Internal("an import reported neither version nor refusal".into())),
    }
}

/// One import of a dataset, whose progress may be followed while it lasts.
struct UnderWay {
    app: App,
    dataset: DatasetId,
    rows: watch::Sender<u64>,
}

impl UnderWay {
    fn begin(app: &App, dataset: &DatasetId) -> Result<Self, ApiError> {
        let rows = watch::Sender::new(0);
        let mut imports = app.imports.lock().unwrap_or_else(PoisonError::into_inner);
        if imports.contains_key(dataset) {
            return Err(Refused::new(&refusal::BUSY).subject(dataset.as_str()).threshold("1 import of a dataset").into());
        }
        imports.insert(dataset.clone(), rows.clone());
        Ok(Self { app: app.clone(), dataset: dataset.clone(), rows })
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        // Its followers are told by the end of their stream.
        self.app.imports.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.dataset);
    }
}

/// Rows read so far by the import that is under way, until its end.
#[utoipa::path(get, path = "/v1/datasets/{id}/imports", tag = "catalogue", params(("id" = String, Path, description = "entry")),
    responses((status = 200, description = "`event: progress`, data `{\"rows\": …}`; at once at its end where none is under way", content_type = "text/event-stream")))]
async fn progress(State(app): State<App>, Signed(caller): Signed, Id(id): Id<DatasetId>) -> Result<impl IntoResponse, ApiError> {
    let _permit = app.permit::<actions::ImportRead>(&caller, dataset(&app, id.clone()).await?)?;
    let slot = app.stream_slot()?;
    let watched = app.imports.lock().unwrap_or_else(PoisonError::into_inner).get(&id).map(watch::Sender::subscribe);
    let (tell, told) = tokio::sync::mpsc::channel::<Result<Event, Infallible>>(4);
    let follow = async move {
        let _slot = slot;
        let Some(mut rows) = watched else { return };
        while rows.changed().await.is_ok() {
            let data = json!({ "rows": *rows.borrow_and_update() }).to_string();
            if tell.send(Ok(Event::default().event("progress").data(data))).await.is_err() {
                return;
            }
        }
    };
    tokio::spawn(follow);
    Ok(Sse::new(ReceiverStream::new(told)).keep_alive(KeepAlive::default()))
}

/// Imports rows as a new version.
#[utoipa::path(post, path = "/v1/datasets/{id}/versions", tag = "catalogue",
    params(("id" = String, Path, description = "entry"), ("format" = String, Query, description = "csv, csv_gb18030, csv_gz, csv_gb18030_gz or parquet")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"), responses((status = 201, body = Imported)))]
async fn versions(
    State(app): State<App>,
    Signed(caller): Signed,
    Id(id): Id<DatasetId>,
    Params(format): Params<Format>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Imported>), ApiError> {
    let permit = app.permit::<actions::DatasetImport>(&caller, dataset(&app, id).await?)?;
    import(app, ImportOf::data(permit), format, headers, body).await
}

/// Imports a consent table (`unit`, `purpose`, `expiry`) as a new version; consent that it does not list is withdrawn.
#[utoipa::path(post, path = "/v1/datasets/{id}/consents", tag = "catalogue",
    params(("id" = String, Path, description = "entry"), ("format" = String, Query, description = "csv, csv_gb18030, csv_gz, csv_gb18030_gz or parquet")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"), responses((status = 201, body = Imported)))]
async fn consents(
    State(app): State<App>,
    Signed(caller): Signed,
    Id(id): Id<DatasetId>,
    Params(format): Params<Format>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Imported>), ApiError> {
    let permit = app.permit::<actions::ConsentImport>(&caller, dataset(&app, id).await?)?;
    import(app, ImportOf::consent(permit), format, headers, body).await
}
