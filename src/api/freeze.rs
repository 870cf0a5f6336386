//! Stopping releases, and letting them go on.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::JsonBody;
use super::error::{ApiError, malformed};
use super::signed::Signed;
use super::state::App;
use crate::gate::{self, Frozen};
use crate::id::OrgId;
use crate::policy::resource::Freeze;
use crate::policy::{Role, actions};
use crate::refusal::{self, Refused};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(set)).routes(routes!(lift))
}

/// A stop on releases.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewFreeze {
    /// Why.
    reason: String,
    /// Releases with data of this organisation only. A provider can stop those with its own data, and need not say so.
    #[serde(default)]
    org: Option<OrgId>,
}

/// An end of stops.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Lift {
    /// Why.
    reason: String,
    /// Which; without it every one that the caller may lift.
    #[serde(default)]
    id: Option<i64>,
}

/// Stops releases; those on their way are held.
#[utoipa::path(post, path = "/v1/freeze", tag = "releases", request_body = NewFreeze, responses((status = 201, body = Frozen)))]
async fn set(
    State(app): State<App>,
    Signed(caller): Signed,
    JsonBody(new): JsonBody<NewFreeze>,
) -> Result<(StatusCode, Json<Frozen>), ApiError> {
    let who = caller.principal();
    let org = new.org.or_else(|| (who.role == Role::Provider).then(|| who.org.clone()));
    let permit = app.permit::<actions::FreezeSet>(&caller, Freeze { org, set_by: None })?;
    if new.reason.trim().is_empty() {
        return Err(malformed("reason"));
    }
    let frozen = app.write(move |app, tx| Ok(gate::set(tx, &app.journal, permit, &new.reason, app.now())?)).await?;
    match &frozen.org {
        Some(org) => app.jobs.evict(org.as_str()),
        None => app.jobs.evict_all(),
    }
    Ok((StatusCode::CREATED, Json(frozen)))
}

/// Lets releases go on.
#[utoipa::path(post, path = "/v1/freeze/lift", tag = "releases", request_body = Lift, responses((status = 200, body = Vec<Frozen>)))]
async fn lift(State(app): State<App>, Signed(caller): Signed, JsonBody(new): JsonBody<Lift>) -> Result<Json<Vec<Frozen>>, ApiError> {
    if new.reason.trim().is_empty() {
        return Err(malformed("reason"));
    }
    let lifted = app.write(move |app, tx| {
        let thing = |f: &Frozen| Freeze { org: f.org.clone(), set_by: Some(f.set_by.clone()) };
        let mut standing = gate::all_standing(tx)?;
        match new.id {
            Some(id) => standing.retain(|f| f.id == id),
            None => {
                let some = !standing.is_empty();
                standing.retain(|f| app.authz.allows::<actions::FreezeLift>(&caller, &thing(f)));
                if some && standing.is_empty() {
                    return Err(Refused::new(&refusal::FORBIDDEN).into());
                }
            }
        }
        if standing.is_empty() {
            // Whoever could lift none is told that, whether or not one stands.
            let own = caller.principal().org.clone();
            let _may = app.permit::<actions::FreezeLift>(&caller, Freeze { org: Some(own.clone()), set_by: Some(own) })?;
            return Err(Refused::new(&refusal::NOT_FOUND).into());
        }
        for frozen in &standing {
            let permit = app.permit::<actions::FreezeLift>(&caller, thing(frozen))?;
            gate::lift(tx, &app.journal, permit, frozen.id, &new.reason, app.now())?;
        }
        Ok(standing)
    });
    Ok(Json(lifted.await?))
}
