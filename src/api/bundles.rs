//! Bundles of releases: what left, with all that proves it, in one file.

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::Id;
use super::error::{ApiError, not_found};
use super::listing::Lister;
use super::releases::{find, thing, view};
use super::signed::Signed;
use super::state::App;
use crate::gate;
use crate::id::ReleaseId;
use crate::policy::actions;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(bundle))
}

/// The bundle of a release: artefact, manifest, decision, votes, agreement, leaves with their proofs, checkpoint. `fusebox verify` checks it
/// offline.
#[utoipa::path(get, path = "/v1/releases/{id}/bundle", tag = "releases", params(("id" = String, Path, description = "output")),
    responses((status = 200, description = "a zip, entries stored", content_type = "application/zip")))]
async fn bundle(State(app): State<App>, Signed(caller): Signed, Id(id): Id<ReleaseId>) -> Result<Response, ApiError> {
    let name = format!("attachment; filename=\"{id}.zip\"");
    let made = app.read(move |app, c| {
        let row = find(c, &id)?;
        let permit = app.permit::<actions::ReleaseRead>(&caller, thing(&row))?;
        // What may be seen, but not yet, is not there.
        view(app, c, &caller, row, &mut Lister::default())?.ok_or_else(|| not_found(id.as_str()))?;
        Ok(gate::bundle((c, &app.store.artefacts, &app.journal), permit, app.settings.witness_required())?)
    });
    let bytes = made.await?.into_bytes();
    let disposition = HeaderValue::from_str(&name).map_err(|e| ApiError::Internal(e.to_string()))?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/zip")),
        (header::CONTENT_DISPOSITION, disposition),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, bytes).into_response())
}
