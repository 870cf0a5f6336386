//! A database that is behind what is remembered of its log: what was found, and the authority's signature under it.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::JsonBody;
use super::error::ApiError;
use super::signed::Signed;
use super::state::App;
use crate::gate::{self, Recovered, RecoveryStatement};
use crate::id::Name;
use crate::policy::actions;
use crate::policy::resource::Platform;
use crate::tlog::rollback::{self, Extent, RolledBack};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(read, sign)).routes(routes!(rebase))
}

/// What was found about the log.
#[derive(Serialize, utoipa::ToSchema)]
struct RecoveryView {
    /// The finding that stands; nothing: the database is not behind.
    needed: Option<RolledBack>,
    /// The furthest checkpoint that is remembered, as a recovery names it.
    remembered: Option<Extent>,
    /// At most how many leaves were lost; nothing where nobody can tell.
    lost_at_most: Option<u64>,
    /// Number of the newest recovery; 0 where there was none. Until a namespace is re-based after it, its tables wait for reviewers.
    newest: i64,
}

/// A recovery that was signed.
#[derive(Serialize, utoipa::ToSchema)]
struct RecoveredView {
    /// The recovery.
    recovery: Recovered,
    /// Open jobs that were cancelled.
    jobs_cancelled: usize,
    /// Approved outputs that were denied, for an objection may be lost.
    outputs_denied: usize,
}

/// A namespace whose tables leave automatically again.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Rebase {
    /// Kind of identifier.
    namespace: Name,
    /// What was done about the tables that left in the lost span.
    reason: String,
}

/// The leaf of that.
#[derive(Serialize, utoipa::ToSchema)]
struct RebasedView {
    /// Its number.
    leaf: u64,
}

/// Whether the database was found behind what is remembered of its log.
#[utoipa::path(get, path = "/v1/recovery", tag = "system", responses((status = 200, body = RecoveryView)))]
async fn read(State(app): State<App>, Signed(caller): Signed) -> Result<Json<RecoveryView>, ApiError> {
    let _permit = app.permit::<actions::RecoveryRead>(&caller, Platform {})?;
    let view = app.read(|_, c| {
        let needed = rollback::standing(c)?;
        let (remembered, lost_at_most) = needed.as_ref().map_or((None, None), |n| (n.remembered().cloned(), n.lost_at_most()));
        Ok(RecoveryView { needed, remembered, lost_at_most, newest: rollback::newest_recovery(c)? })
    });
    Ok(Json(view.await?))
}

/// Signs for the database as it is: budgets of the lost span count as spent, open jobs are cancelled.
#[utoipa::path(post, path = "/v1/recovery", tag = "system", request_body = RecoveryStatement, responses((status = 201, body = RecoveredView)))]
async fn sign(
    State(app): State<App>,
    Signed(caller): Signed,
    JsonBody(statement): JsonBody<RecoveryStatement>,
) -> Result<(StatusCode, Json<RecoveredView>), ApiError> {
    let permit = app.permit::<actions::RecoverySign>(&caller, Platform {})?;
    let signed = app.write(move |app, tx| {
        let recovery = gate::recover(tx, &app.journal, permit, &statement, app.now())?;
        let (jobs_cancelled, outputs_denied) = app.jobs.recovered(tx)?;
        Ok(RecoveredView { recovery, jobs_cancelled, outputs_denied })
    });
    let signed = signed.await?;
    // Views may be of consent that was withdrawn in the lost span and is withdrawn anew.
    app.jobs.evict_all();
    app.jobs.ring();
    Ok((StatusCode::CREATED, Json(signed)))
}

/// Lets tables on a namespace leave automatically again, after a recovery.
#[utoipa::path(post, path = "/v1/recovery/rebase", tag = "system", request_body = Rebase, responses((status = 201, body = RebasedView)))]
async fn rebase(
    State(app): State<App>,
    Signed(caller): Signed,
    JsonBody(new): JsonBody<Rebase>,
) -> Result<(StatusCode, Json<RebasedView>), ApiError> {
    let permit = app.permit::<actions::RecoverySign>(&caller, Platform {})?;
    let leaf = app.write(move |app, tx| Ok(gate::rebase(tx, &app.journal, permit, &new.namespace, &new.reason)?)).await?;
    Ok((StatusCode::CREATED, Json(RebasedView { leaf })))
}
