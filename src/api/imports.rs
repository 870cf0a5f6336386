//! Uploads of rows and of consent: received into sealed memory, parsed in a worker, stored encrypted.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use protocol::message::UploadFormat;
use serde::{Deserialize, Serialize};
use serde_json::json;
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

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(versions)).routes(routes!(consents))
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
    let report: ImportReport = app.blocking(move |app| app.jobs.import(&of, format, &received, |_| ())).await?;
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
