//! The catalogue: entries, their versions, whether they are overdue.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use rusqlite::Connection;
use serde::Serialize;
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::{Id, TomlBody};
use super::error::{ApiError, not_found};
use super::signed::Signed;
use super::state::App;
use crate::catalog::store::{self, EntryRow, VersionKind, VersionRow};
use crate::catalog::{CatalogueEntry, DataOrigin, EntryDocument};
use crate::clock::{CHINA_UTC_OFFSET_S, Timestamp};
use crate::id::{DatasetId, OrgId};
use crate::policy::actions;
use crate::policy::resource::{Dataset, Platform};
use crate::store::StoreError;
use crate::tlog::leaf::LeafKind;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(register, list)).routes(routes!(read))
}

/// A registered revision.
#[derive(Serialize, utoipa::ToSchema)]
struct Registered {
    /// The entry.
    id: DatasetId,
    /// Its revision, from 1.
    version: u32,
}

/// An entry as the catalogue shows it.
#[derive(Serialize, utoipa::ToSchema)]
struct EntryView {
    /// The entry.
    id: DatasetId,
    /// Whose word an agreement needs.
    owner: OrgId,
    /// Its revision.
    version: u32,
    /// When this revision was registered.
    registered_at: Timestamp,
    /// Whether its last import is older than its update frequency allows.
    stale: bool,
    /// The declaration.
    entry: EntryDocument,
    /// Imported versions of rows, newest first.
    data: Vec<VersionRow>,
    /// Imported versions of its consent table, newest first.
    consent: Vec<VersionRow>,
}

/// What the authorisation policies look at.
pub(super) fn resource(entry: &CatalogueEntry) -> Dataset {
    Dataset { id: entry.id.clone(), org: entry.owner().clone(), public: matches!(entry.origin, DataOrigin::Public(_)) }
}

fn view(connection: &Connection, row: EntryRow, now: Timestamp) -> Result<EntryView, StoreError> {
    let data = store::versions(connection, &row.entry.id, VersionKind::Data)?;
    let consent = store::versions(connection, &row.entry.id, VersionKind::Consent)?;
    let due = data.first().and_then(|v| row.entry.update_frequency.stale_on(v.imported_at.date(CHINA_UTC_OFFSET_S)));
    Ok(EntryView {
        id: row.entry.id.clone(),
        owner: row.entry.owner().clone(),
        version: row.revision,
        registered_at: row.registered_at,
        stale: due.is_some_and(|due| now.date(CHINA_UTC_OFFSET_S) >= due),
        entry: row.entry.into(),
        data,
        consent,
    })
}

/// Registers an entry, or a new revision of it.
#[utoipa::path(post, path = "/v1/datasets", tag = "catalogue", request_body(content = String, content_type = "application/toml"),
    responses((status = 201, body = Registered)))]
async fn register(
    State(app): State<App>,
    Signed(caller): Signed,
    TomlBody(text): TomlBody,
) -> Result<(StatusCode, Json<Registered>), ApiError> {
    let entry = CatalogueEntry::parse(&text)?;
    let permit = app.permit::<actions::DatasetRegister>(&caller, resource(&entry))?;
    let (registered, stopped) = app
        .write(move |app, tx| {
            let version = store::register(tx, permit, &entry, app.now())?;
            let about = json!({ "dataset": entry.id, "revision": version, "entry": entry });
            let _ = app.append(tx, LeafKind::Registration, &caller, ("dataset.registered", about), &[entry.owner(), &entry.provider])?;
            // Graded up, or no longer shared: what runs on it stops.
            let stopped = app.jobs.cancel_unlawful(tx)?;
            Ok((Registered { id: entry.id, version }, stopped))
        })
        .await?;
    if !stopped.is_empty() {
        app.jobs.stop(&stopped);
    }
    app.jobs.evict(registered.id.as_str());
    Ok((StatusCode::CREATED, Json(registered)))
}

/// The catalogue.
#[utoipa::path(get, path = "/v1/datasets", tag = "catalogue", responses((status = 200, body = Vec<EntryView>)))]
async fn list(State(app): State<App>, Signed(caller): Signed) -> Result<Json<Vec<EntryView>>, ApiError> {
    let _permit = app.permit::<actions::DatasetList>(&caller, Platform {})?;
    let all = app.read(move |app, c| {
        let visible = store::entries(c)?.into_iter().filter(|row| app.authz.allows::<actions::DatasetRead>(&caller, &resource(&row.entry)));
        visible.map(|row| Ok(view(c, row, app.now())?)).collect()
    });
    Ok(Json(all.await?))
}

/// One entry.
#[utoipa::path(get, path = "/v1/datasets/{id}", tag = "catalogue", params(("id" = String, Path, description = "entry")),
    responses((status = 200, body = EntryView)))]
async fn read(State(app): State<App>, Signed(caller): Signed, Id(id): Id<DatasetId>) -> Result<Json<EntryView>, ApiError> {
    let found = app.read(move |app, c| {
        let row = store::entry(c, &id)?.ok_or_else(|| not_found(id.as_str()))?;
        let _permit = app.permit::<actions::DatasetRead>(&caller, resource(&row.entry))?;
        Ok(view(c, row, app.now())?)
    });
    Ok(Json(found.await?))
}
