//! Health, the interface's own description, who one is, the state of the machine.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::ApiError;
use super::signed::Signed;
use super::state::App;
use crate::id::{OrgId, PrincipalId};
use crate::policy::{Role, actions, resource};
use crate::tlog::rollback;

pub(super) fn public() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(health)).routes(routes!(openapi))
}

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(me)).routes(routes!(doctor))
}

/// Whether the server runs.
#[derive(Serialize, utoipa::ToSchema)]
struct Health {
    /// `ok`, or `restart` after a failed commit.
    status: &'static str,
    /// Whether all releases are stopped.
    frozen: bool,
    /// Whether the database was found behind what is remembered of its log: then they are stopped too, and nothing is accepted.
    rolled_back: bool,
}

/// Whether the server runs.
#[utoipa::path(get, path = "/health", tag = "system", responses((status = 200, body = Health)))]
async fn health(State(app): State<App>) -> Result<Json<Health>, ApiError> {
    let stops = app.read(|_, c| Ok((crate::gate::all_standing(c)?.iter().any(|f| f.org.is_none()), rollback::standing(c)?.is_some())));
    let (frozen, rolled_back) = stops.await?;
    let status = if app.store.db.poisoned() { "restart" } else { "ok" };
    Ok(Json(Health { status, frozen: frozen || rolled_back, rolled_back }))
}

/// This description.
#[utoipa::path(get, path = "/openapi.json", tag = "system", responses((status = 200, description = "OpenAPI 3.1")))]
async fn openapi() -> Json<utoipa::openapi::OpenApi> {
    Json(super::document())
}

/// Who calls.
#[derive(Serialize, utoipa::ToSchema)]
struct Me {
    /// Account.
    principal: PrincipalId,
    /// Organisation.
    org: OrgId,
    /// Role.
    role: Role,
}

/// Who the presented token stands for.
#[utoipa::path(get, path = "/v1/me", tag = "accounts", responses((status = 200, body = Me)))]
async fn me(Signed(caller): Signed) -> Json<Me> {
    let who = caller.principal();
    Json(Me { principal: who.id.clone(), org: who.org.clone(), role: who.role })
}

/// The state of the machine.
#[derive(Serialize, utoipa::ToSchema)]
struct Doctor {
    /// Version of the server.
    version: &'static str,
    /// Whether writes are refused until a restart.
    poisoned: bool,
    /// Public key of the log, `name+hash+base64`.
    log_key: String,
    /// Leaves in the log.
    log_size: u64,
    /// Threads of an engine.
    threads: u16,
    /// The workers' jail by role: `in_force`, `missing` (waived only), `system_calls`; and what is `waived`.
    #[schema(value_type = Object)]
    jail: crate::workers::Jail,
    /// Bounds that no policy changes, by name.
    #[schema(value_type = std::collections::BTreeMap<String, u64>)]
    limits: protocol::limits::Limits,
}

/// Layers, limits, and what is wrong.
#[utoipa::path(get, path = "/v1/doctor", tag = "system", responses((status = 200, body = Doctor)))]
async fn doctor(State(app): State<App>, Signed(caller): Signed) -> Result<Json<Doctor>, ApiError> {
    let _permit = app.permit::<actions::DoctorRead>(&caller, resource::Platform {})?;
    let log_size = app.read(|_, c| Ok(crate::tlog::journal::checkpoint(c)?.map_or(0, |(size, _)| size))).await?;
    Ok(Json(Doctor {
        version: env!("CARGO_PKG_VERSION"),
        poisoned: app.store.db.poisoned(),
        log_key: app.log_key.clone(),
        log_size,
        threads: app.jobs.workers().threads(),
        jail: app.jail.clone(),
        limits: protocol::limits::Limits::STANDARD,
    }))
}
